#!/usr/bin/env python3
"""Data directories of the Persian recipe: classifier and recogniser sets, and the two test sets."""

from dataclasses import replace
from pathlib import Path

from salience import program
from salience.corpora import common_voice as common_voice_corpus
from salience.corpora import common_voice_persian
from salience.corpora import pdid as pdid_corpus
from salience.corpora.clips import BadClips, bad_before
from salience.corpora.sets import STANDARD, Sets
from salience.errors import InputError
from salience.files import files_below
from salience.steps import Step, audio_fingerprint

SETS = ("cls_train", "cls_dev", "cls_test", "asr_train", "asr_dev", "standard", "accented")
TEST_ONLY = "Tajiki,Shirazi,Balochi"
"""Accents that the paper has in its test set alone."""


def main(
    out: Path,
    common_voice: Path | None = None,
    pdid: Path | None = None,
    labelled_tables: str = "validated",
    test_share: float = 0.1,
    max_clips: int | None = None,
    test_only: str = TEST_ONLY,
    asr_train_accents: bool = False,
    standard_train: int = 1000,
    standard_dev: int = 200,
    standard_test: int = 200,
    min_seconds: float = 0.1,
    max_seconds: float = 30.0,
    skip_bad_clips: bool = False,
    seed: int = 0,
) -> None:
    """Write a data directory for each set that the given corpora allow, and <out>/preparation.txt.

    Common Voice keeps its official lists; a delta segment, which has none, is
    split by speaker, and no sentence of its test set is in another.  PDID keeps
    the split of its metadata, if that has one; else all that shares a recording
    or a speaker goes to one set, about half of each accent to train, a fifth to
    dev, the rest to test.  Clips without text are in the classifier's sets
    alone.  utt2recording names what each clip was cut from.

    Args:
        out: folder for the data directories
        common_voice: root of a Persian Common Voice release or delta segment
        pdid: root of PDID, as its owner supplies it or a collection leaves it
        labelled_tables: tables of a delta segment whose clips are used, separated by spaces
        test_share: share of the speakers of a delta segment that are the test set
        max_clips: at most this many Common Voice clips of a speaker in training
        test_only: PDID accents that are in the test set alone, separated by commas, in upper or lower case
        asr_train_accents: add PDID's training clips, which then need text, to asr_train
        standard_train: at most this many Common Voice clips in cls_train, as the class Standard; 0: no such class
        standard_dev: the same for cls_dev
        standard_test: the same for cls_test
        min_seconds: leave out clips shorter than this
        max_seconds: leave out clips longer than this
        skip_bad_clips: leave out clips that are missing, damaged or of a wrong length, which bad_clips.tsv lists
        seed: random seed of every choice
    """
    if not (common_voice or pdid):
        raise InputError("no corpus is given; give --common-voice or --pdid, or both")
    if not 0 < test_share < 1:
        raise InputError(f"--test-share {test_share:g} is not between 0 and 1; 0.1 takes a tenth of the speakers")
    if max_clips is not None and max_clips < 1:
        raise InputError(f"--max-clips {max_clips} leaves no clip in training; give 1 or more, or leave the option out")
    config = {name: value for name, value in locals().items() if name != "out"}
    common_voice = common_voice and common_voice_persian.find_root(common_voice.absolute())

    def files() -> str:
        # Common Voice has many clips; its tables tell whether it changed.
        tables = common_voice_corpus.all_tables(common_voice) if common_voice else []
        clips = [path for path in files_below(pdid) if path.suffix == ".wav"] if pdid else []
        return audio_fingerprint([*tables, *clips, *bad_before(out)])

    inputs = [pdid / pdid_corpus.METADATA] if pdid else []
    step = Step(out / "step.json", config | {"files": files()}, inputs, [out / "preparation.txt"])
    if step.is_done():
        return
    with step:
        sets, recordings = Sets(BadClips(out, skip_bad_clips)), {}
        if common_voice:
            tables = labelled_tables.split()
            found = common_voice_corpus.split_sets(
                common_voice, seed, tables, test=test_share, excluded=sets.excluded, bad=sets.bad
            )
            for name, clips in found.items():
                sets.found[f"standard_{name}"] = [replace(clip, accent=STANDARD, split=None) for clip in clips]
            if not common_voice_corpus.has_lists(common_voice):
                sets.keep_sentences_apart(["standard_train", "standard_dev"], ["standard_test"])
            sets.found["standard_train"] = sets.capped(sets.found["standard_train"], max_clips, seed)
            sets.notes.append(common_voice_corpus.about_split(common_voice, tables))
        if pdid:
            clips = list(pdid_corpus.utterances(pdid.absolute(), sets.bad))
            recordings = pdid_corpus.recordings(pdid)
            alone = [name.strip() for name in test_only.split(",") if name.strip()]
            split, notes = pdid_corpus.split_clips(pdid, clips, alone, seed)
            sets.found |= split
            sets.notes += notes
        sets.report_bad()
        step.config["files"] = files()
        sets.limit(min_seconds, max_seconds)
        given, spoken = sets.found, {part: sets.with_text(f"accented_{part}") for part in ("train", "test")}
        if asr_train_accents and given.get("standard_train") and not spoken["train"]:
            raise InputError(
                "--asr-train-accents true needs PDID's transcripts, and no training clip has one; "
                "fill the column text of metadata.tsv, or leave the option out"
            )
        limits = (standard_train, standard_dev, standard_test)
        sets.combine("accented", limits, spoken["train"] if asr_train_accents else [], seed)
        sets.found |= {"standard": given.get("standard_test", []), "accented": spoken["test"]}
        sets.write(out, SETS, recordings)


if __name__ == "__main__":
    program.main(main)
