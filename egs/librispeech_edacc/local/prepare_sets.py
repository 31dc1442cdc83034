#!/usr/bin/env python3
"""Data directories of the accent recipe: classifier and recogniser sets, and the four test sets."""

import logging
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path

from salience import program
from salience.corpora import common_voice as common_voice_corpus
from salience.corpora import edacc as edacc_corpus
from salience.corpora import librispeech as librispeech_corpus
from salience.corpora.clips import LEFT_OUT, BadClips, bad_before
from salience.corpora.labels import read_labels
from salience.corpora.splits import split_speakers, spread
from salience.data.directories import write_data_dir
from salience.data.leakage import unknown_speakers
from salience.data.records import Utterance
from salience.errors import InputError
from salience.files import files_below, whole_file
from salience.steps import Step, audio_fingerprint

logger = logging.getLogger(__name__)

SETS = ("cls_train", "cls_dev", "cls_test", "asr_train", "asr_dev", "ls", "accented", "unseen", "cma")
STANDARD = "Standard"
SEEN = "Southern British English,Irish English,Italian,Egyptian,Vietnamese"
"""The five EdAcc accents of the paper's Table 2."""


@dataclass
class Preparation:
    """What is gathered before anything is written."""

    sets: dict[str, list[Utterance]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    excluded: Counter[str] = field(default_factory=Counter)
    unmapped: dict[str, list[str]] = field(default_factory=dict)


def main(
    out: Path,
    librispeech: Path | None = None,
    edacc: Path | None = None,
    common_voice: Path | None = None,
    seen: str = SEEN,
    train_part: str = "train-clean-100",
    dev_part: str = "dev-clean",
    test_part: str | None = None,
    accent_table: Path = edacc_corpus.ACCENT_TABLE,
    speaker_accents: Path | None = None,
    asr_train_accents: bool = False,
    standard_train: int = 1000,
    standard_dev: int = 200,
    standard_test: int = 200,
    cma_per_accent: int = 100,
    test_limit: int | None = None,
    shortest: float = 0.1,
    longest: float = 30.0,
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
        seen: the EdAcc accents to train with, parted by commas; `unseen` holds all others
        train_part: part of LibriSpeech to train with
        dev_part: part of LibriSpeech for development
        test_part: part of LibriSpeech for `ls` (default: test-clean, or test-other where that is missing)
        accent_table: EdAcc's free-text accents and their labels, two columns parted by a tab
        speaker_accents: your own table, EdAcc speaker and label, which comes before accent_table
        asr_train_accents: add the seen accents' training speakers to asr_train
        standard_train: at most this many LibriSpeech utterances in cls_train
        standard_dev: the same for cls_dev
        standard_test: the same for cls_test
        cma_per_accent: at most this many clips of an accent in cma
        test_limit: at most this many utterances in each of ls, accented and unseen (default: all)
        shortest: leave out utterances shorter than this many seconds
        longest: leave out utterances longer than this many seconds
        skip_bad_clips: leave out clips that are missing, damaged or of another length than the corpus says, instead of
            stopping; bad_clips.tsv lists them
        seed: seed of every choice
    """
    if common_voice:
        common_voice = common_voice_corpus.find_root(common_voice.absolute())
    roots = {"librispeech": librispeech, "edacc": edacc, "common_voice": common_voice}
    if not any(roots.values()):
        raise InputError("no corpus is given; give at least one of --librispeech, --edacc and --common-voice")
    accents = [accent.strip() for accent in seen.split(",") if accent.strip()]
    config = {name: value for name, value in locals().items() if name not in ("out", "roots", "accents")}
    config["files"] = _fingerprint(roots, out)
    tables = [accent_table, *([speaker_accents] if speaker_accents else [])]
    step = Step(out / "step.json", config, tables, [out / "preparation.txt"])
    if step.is_done():
        return
    with step:
        made, bad = Preparation(), BadClips(out, skip_bad_clips)
        if librispeech:
            _librispeech(made, librispeech.absolute(), (train_part, dev_part, test_part), bad)
        if edacc:
            labels = read_labels(speaker_accents) if speaker_accents else {}
            _edacc(made, edacc.absolute(), accents, read_labels(accent_table), labels, seed, bad)
        if common_voice:
            _common_accent(made, common_voice, cma_per_accent, seed, bad)
        bad.report()
        made.excluded[LEFT_OUT] += len(bad.reasons)
        step.config["files"] = _fingerprint(roots, out)
        _within_limits(made, shortest, longest)
        shares = {"train": standard_train, "dev": standard_dev, "test": standard_test}
        _combine(made, shares, asr_train_accents, test_limit, seed)
        _write(made, out)


def _fingerprint(roots: Mapping[str, Path | None], out: Path) -> str:
    """What tells that a corpus changed; of Common Voice, with its millions of clips, the tables and what was bad."""
    files = [
        file
        for name, root in roots.items() if root
        for file in (common_voice_corpus.all_tables(root) if name == "common_voice" else files_below(root))
    ]  # fmt: skip
    return audio_fingerprint([*files, *bad_before(out)])


def _librispeech(made: Preparation, root: Path, parts: tuple[str, str, str | None], bad: BadClips) -> None:
    root = librispeech_corpus.find_root(root)
    there = librispeech_corpus.parts_in(root)
    train, dev, test = parts
    if test is None:
        test = next((part for part in ("test-clean", "test-other") if part in there), "test-clean")
    for name, part in (("train", train), ("dev", dev), ("test", test)):
        if part not in there:
            made.notes.append(f"LibriSpeech has no {part} here: nothing of it for {name}")
            continue
        made.notes.append(f"LibriSpeech: {part} for {name}")
        made.sets[f"standard_{name}"] = [
            replace(utterance, accent=STANDARD, split=None)
            for utterance in librispeech_corpus.utterances(root, [part], bad)
        ]


def _edacc(
    made: Preparation,
    root: Path,
    seen: list[str],
    table: dict[str, str],
    by_speaker: dict[str, str],
    seed: int,
    bad: BadClips,
) -> None:
    root = edacc_corpus.find_root(root)
    labels, made.unmapped = edacc_corpus.label_speakers(edacc_corpus.background(root), table, by_speaker)
    absent = [accent for accent in seen if accent not in labels.values()]
    if absent:
        raise InputError(
            f"{root}: no EdAcc speaker has the accent {absent[0]!r}; "
            f"there are {', '.join(sorted(set(labels.values())))}: "
            "correct --seen, or complete the table with --speaker-accents"
        )
    turns = [
        replace(turn, split=None)
        for turn in edacc_corpus.utterances(root, accents=labels, excluded=made.excluded, bad=bad)
    ]
    partners: dict[str, set[str]] = defaultdict(set)
    for recording in {turn.recording for turn in turns}:
        voices = {turn.speaker for turn in turns if turn.recording == recording}
        for speaker in voices:
            partners[speaker] |= voices - {speaker}
    heard = {turn.speaker: turn.accent for turn in turns if turn.accent}
    chosen = split_speakers(
        {speaker: accent for speaker, accent in heard.items() if accent in seen},
        {speaker: sorted(others) for speaker, others in partners.items()},
        seed,
    )
    for name in ("train", "dev", "test"):
        made.sets[f"seen_{name}"] = [turn for turn in turns if chosen.get(turn.speaker) == name]
    made.sets["unseen"] = [turn for turn in turns if turn.accent and turn.speaker not in chosen]
    made.excluded["EdAcc turns of speakers without an accent label"] += sum(turn.accent is None for turn in turns)
    crossing = sorted(
        {
            turn.recording
            for turn in turns
            if chosen.get(turn.speaker) == "train" and any(chosen.get(p) != "train" for p in partners[turn.speaker])
        }
    )
    made.notes.append(
        "EdAcc: the two speakers of a conversation share a channel and were put in the same set where "
        f"the accents allowed it; {len(crossing)} recordings have one speaker in training and the other outside it"
        + (f" ({', '.join(crossing)})" if crossing else "")
    )
    single = sorted({labels[s] for s in chosen} - {labels[s] for s, name in chosen.items() if name == "test"})
    for accent in single:
        made.notes.append(f"EdAcc: {accent} has one speaker only, who is in training: it is in no test set")


def _common_accent(made: Preparation, root: Path, per_accent: int, seed: int, bad: BadClips) -> None:
    drawn = common_voice_corpus.common_accent(root, seed, per_accent, ("test",), made.excluded, bad)
    made.sets["cma"] = [replace(utterance, split=None) for utterance in drawn["test"]]
    made.notes += unknown_speakers("cma", ((u.id, u.speaker) for u in made.sets["cma"]))


def _within_limits(made: Preparation, shortest: float, longest: float) -> None:
    for name, utterances in made.sets.items():
        kept = [u for u in utterances if shortest <= u.duration <= longest]
        for utterance in utterances:
            if utterance.duration > longest:
                made.excluded[f"utterances of {name} over {longest:g} s"] += 1
            elif utterance.duration < shortest:
                made.excluded[f"utterances of {name} under {shortest:g} s"] += 1
        made.sets[name] = kept


def _combine(
    made: Preparation, shares: Mapping[str, int], asr_train_accents: bool, test_limit: int | None, seed: int
) -> None:
    """From what each corpus gives to the recipe's sets; a set that lacks a corpus is absent."""
    given = made.sets
    final: dict[str, list[Utterance]] = {}
    for name in ("train", "dev", "test"):
        standard, seen = given.get(f"standard_{name}"), given.get(f"seen_{name}")
        # The classifier tells accents from Standard: with one of the two there is nothing to learn.
        if standard and seen:
            final[f"cls_{name}"] = _share(standard, shares[name], seed) + seen
    if given.get("standard_train"):
        final["asr_train"] = given["standard_train"] + (given.get("seen_train", []) if asr_train_accents else [])
    for name, source in (("asr_dev", "standard_dev"), ("cma", "cma")):
        if given.get(source):
            final[name] = given[source]
    for name, source in (("ls", "standard_test"), ("accented", "seen_test"), ("unseen", "unseen")):
        if given.get(source):
            final[name] = _share(given[source], test_limit, seed)
    made.sets = final


def _share(utterances: Iterable[Utterance], count: int | None, seed: int) -> list[Utterance]:
    by_speaker: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        by_speaker[utterance.speaker].append(utterance)
    return spread(by_speaker, count, seed, attrgetter("id"))


def _write(made: Preparation, out: Path) -> None:
    lines = ["set        utterances  speakers   hours  accents"]
    for name in SETS:
        utterances = made.sets.get(name)
        if not utterances:
            # An earlier run, with more corpora, may have left one that no longer fits the others.
            shutil.rmtree(out / name, ignore_errors=True)
            made.notes.append(f"{name} is left out: the corpora given hold nothing for it")
            continue
        write_data_dir(out / name, utterances)
        hours = sum(utterance.duration for utterance in utterances) / 3600
        counts = Counter(utterance.accent or "?" for utterance in utterances)
        lines.append(
            f"{name:<10} {len(utterances):>10} {len({u.speaker for u in utterances}):>9} {hours:>7.2f}  "
            + ", ".join(f"{accent} {count}" for accent, count in sorted(counts.items()))
        )
    lines += ["", "Left out:", *(f"{count:>8}  {reason}" for reason, count in sorted(made.excluded.items()) if count)]
    lines += ["", "Notes:", *(f"- {note}" for note in made.notes)]
    unmapped = out / "edacc_unmapped_accents.txt"
    if made.unmapped:
        with whole_file(unmapped) as handle:
            handle.write("# speakers, what they said of their accent, who; give labels with --speaker-accents\n")
            for told, speakers in sorted(made.unmapped.items(), key=lambda item: (-len(item[1]), item[0])):
                handle.write(f"{len(speakers)}\t{told or '(nothing)'}\t{' '.join(speakers)}\n")
        lines.append(f"- EdAcc: {len(made.unmapped)} descriptions of accents have no label, see {unmapped.name}")
    else:
        unmapped.unlink(missing_ok=True)
    with whole_file(out / "preparation.txt") as handle:
        handle.write("\n".join(lines) + "\n")
    logger.info("wrote %s to %s; %s says what was left out", ", ".join(made.sets), out, out / "preparation.txt")


if __name__ == "__main__":
    program.main(main)
