#!/usr/bin/env python3
"""Data directories of the accent recipe: classifier and recogniser sets, and the four test sets."""

from dataclasses import replace
from pathlib import Path

from salience import program
from salience.corpora import common_voice as common_voice_corpus
from salience.corpora import edacc as edacc_corpus
from salience.corpora import librispeech as librispeech_corpus
from salience.corpora.clips import BadClips, bad_before
from salience.corpora.sets import STANDARD, Sets, at_most
from salience.data.leakage import unknown_speakers
from salience.errors import InputError
from salience.files import files_below
from salience.steps import Step, audio_fingerprint

TESTS = ("ls", "accented", "unseen", "cma")
SETS = ("cls_train", "cls_dev", "cls_test", "asr_train", "asr_dev", *TESTS)
SEEN = "Southern British English,Irish English,Italian,Egyptian,Vietnamese"
"""The five EdAcc accents of the paper's Table 2."""
LIBRISPEECH = {"train": ("train-clean-100",), "dev": ("dev-clean",), "test": ("test-clean", "test-other")}
"""The parts used: the first that is there."""
CMA_PER_ACCENT = 100


def main(
    out: Path,
    librispeech: Path | None = None,
    edacc: Path | None = None,
    common_voice: Path | None = None,
    seen: str = SEEN,
    speaker_accents: Path | None = None,
    asr_train_accents: bool = False,
    learnt: str = "",
    standard_train: int = 1000,
    standard_dev: int = 200,
    standard_test: int = 200,
    test_limit: int | None = None,
    min_seconds: float = 0.1,
    max_seconds: float = 30.0,
    skip_bad_clips: bool = False,
    seed: int = 0,
) -> None:
    """Write a data directory for each set that the given corpora allow, and <out>/preparation.txt.

    No speaker of a test set is in a training or development set.  Without one
    of the corpora its sets are left out, and preparation.txt says which.
    Accents that EdAcc's speakers described in words without a label are
    listed in <out>/edacc_unmapped_accents.txt; those speakers are in no set.

    Args:
        out: folder for the data directories
        librispeech: root of LibriSpeech
        edacc: root of EdAcc v1.0
        common_voice: an English Common Voice, a release or a delta segment, from which `cma` is drawn
        seen: the EdAcc accents to train with, separated by commas; `unseen` holds all others
        speaker_accents: your own table, EdAcc speaker and label separated by a tab, which comes before our labels
        asr_train_accents: add the seen accents' training speakers to asr_train
        learnt: data directories that given recognisers were trained on; no test set has their speakers and sentences
        standard_train: at most this many LibriSpeech utterances in cls_train
        standard_dev: the same for cls_dev
        standard_test: the same for cls_test
        test_limit: at most this many utterances in each of ls, accented and unseen (default: all)
        min_seconds: leave out utterances shorter than this
        max_seconds: leave out utterances longer than this
        skip_bad_clips: leave out clips that are missing, damaged or of the wrong length, which bad_clips.tsv then lists
        seed: random seed of every choice
    """
    if not (librispeech or edacc or common_voice):
        raise InputError("no corpus is given; give at least one of --librispeech, --edacc and --common-voice")
    config = {name: value for name, value in locals().items() if name != "out"}
    common_voice = common_voice and common_voice_corpus.find_root(common_voice.absolute())

    def files() -> str:
        # Common Voice has millions of clips; its tables tell whether it changed.
        tables = common_voice_corpus.all_tables(common_voice) if common_voice else []
        found = [file for root in (librispeech, edacc) if root for file in files_below(root)]
        return audio_fingerprint([*found, *tables, *bad_before(out)])

    inputs = [edacc_corpus.ACCENT_TABLE, *map(Path, learnt.split()), *([speaker_accents] if speaker_accents else [])]
    step = Step(out / "step.json", config | {"files": files()}, inputs, [out / "preparation.txt"])
    if step.is_done():
        return
    with step:
        sets = Sets(BadClips(out, skip_bad_clips))
        if librispeech:
            root = librispeech_corpus.find_root(librispeech.absolute())
            for name, parts in LIBRISPEECH.items():
                part = next((part for part in parts if part in librispeech_corpus.parts_in(root)), None)
                if part is None:
                    sets.notes.append(f"LibriSpeech has no {parts[0]} here: nothing of it for {name}")
                    continue
                sets.notes.append(f"LibriSpeech: {part} for {name}")
                found = librispeech_corpus.utterances(root, [part], sets.bad)
                sets.found[f"standard_{name}"] = [replace(u, accent=STANDARD, split=None) for u in found]
        accents = [accent.strip() for accent in seen.split(",") if accent.strip()]
        unmapped = edacc_corpus.add_sets(sets, edacc.absolute(), accents, speaker_accents, seed) if edacc else {}
        edacc_corpus.write_unmapped(out, unmapped)
        if common_voice:
            drawn = common_voice_corpus.common_accent(
                common_voice, seed, CMA_PER_ACCENT, ("test",), sets.excluded, sets.bad
            )
            sets.found["cma"] = [replace(utterance, split=None) for utterance in drawn["test"]]
            sets.notes += unknown_speakers("cma", ((u.id, u.speaker) for u in sets.found["cma"]))
        sets.report_bad()
        step.config["files"] = files()
        sets.limit(min_seconds, max_seconds)
        given = sets.found
        spoken = given.get("seen_train", []) if asr_train_accents else []
        sets.combine("seen", (standard_train, standard_dev, standard_test), spoken, seed, needs_standard=True)
        sets.found["cma"] = given.get("cma", [])
        for name, source in (("ls", "standard_test"), ("accented", "seen_test"), ("unseen", "unseen")):
            sets.found[name] = at_most(given.get(source, []), test_limit, seed)
        sets.keep_apart_from([Path(folder) for folder in learnt.split()], TESTS)
        sets.write(out, SETS)


if __name__ == "__main__":
    program.main(main)
