#!/usr/bin/env python3
"""Data directories of the Persian recipe: classifier and recogniser sets, and the two test sets."""

import logging
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path

from salience import program
from salience.corpora import common_voice as common_voice_corpus
from salience.corpora import common_voice_persian
from salience.corpora import pdid as pdid_corpus
from salience.corpora.clips import LEFT_OUT, BadClips, bad_before
from salience.corpora.splits import groups_of, split_speakers, spread
from salience.data.directories import write_data_dir
from salience.data.records import Utterance
from salience.data.tables import write_table
from salience.errors import InputError
from salience.files import files_below, whole_file
from salience.steps import Step, audio_fingerprint

logger = logging.getLogger(__name__)

SETS = ("cls_train", "cls_dev", "cls_test", "asr_train", "asr_dev", "standard", "accented")
STANDARD = "Standard"
TEST_ONLY = "Tajiki,Shirazi,Balochi"
"""Accents that the paper has in its test set alone."""


@dataclass
class Preparation:
    """What is gathered before anything is written; `recordings` has the long recording of each PDID clip."""

    sets: dict[str, list[Utterance]] = field(default_factory=dict)
    recordings: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    excluded: Counter[str] = field(default_factory=Counter)


def main(
    out: Path,
    common_voice: Path | None = None,
    pdid: Path | None = None,
    labelled_tables: str = "validated",
    test_only: str = TEST_ONLY,
    asr_train_accents: bool = False,
    standard_train: int = 1000,
    standard_dev: int = 200,
    standard_test: int = 200,
    test_limit: int | None = None,
    shortest: float = 0.1,
    longest: float = 30.0,
    skip_bad_clips: bool = False,
    seed: int = 0,
) -> None:
    """Write a data directory for each set that the given corpora allow, and <out>/preparation.txt.

    Common Voice keeps its official train, dev and test lists; a delta segment,
    which has none, is split by speaker.  PDID keeps the split of its metadata,
    if that has one; else all that shares a recording or a speaker goes to one
    set, about half of each accent to train, a fifth to dev, the rest to test.
    Clips without text are in the classifier's sets alone.  utt2recording names
    what each clip was cut from.

    Args:
        out: folder for the data directories
        common_voice: root of a Persian Common Voice release or delta segment
        pdid: root of PDID, as its owner supplies it or a collection leaves it
        labelled_tables: tables of a delta segment whose clips are used, parted by spaces
        test_only: PDID accents that are in the test set alone, parted by commas; capital letters are like small ones
        asr_train_accents: add PDID's training clips, which then need text, to asr_train
        standard_train: at most this many Common Voice clips in cls_train, as the class Standard; 0: no such class
        standard_dev: the same for cls_dev
        standard_test: the same for cls_test
        test_limit: at most this many utterances in standard and in accented (default: all)
        shortest: leave out clips shorter than this many seconds
        longest: leave out clips longer than this many seconds
        skip_bad_clips: leave out clips that are missing, damaged or of another length than the corpus says, instead of
            stopping; bad_clips.tsv lists them
        seed: seed of every choice
    """
    if not (common_voice or pdid):
        raise InputError("no corpus is given; give --common-voice or --pdid, or both")
    if common_voice:
        common_voice = common_voice_persian.find_root(common_voice.absolute())
    alone = [accent.strip() for accent in test_only.split(",") if accent.strip()]
    config = {name: value for name, value in locals().items() if name not in ("out", "alone")}
    config["files"] = _fingerprint(common_voice, pdid, out)
    step = Step(out / "step.json", config, [pdid / pdid_corpus.METADATA] if pdid else [], [out / "preparation.txt"])
    if step.is_done():
        return
    with step:
        made, bad = Preparation(), BadClips(out, skip_bad_clips)
        if common_voice:
            _common_voice(made, common_voice, labelled_tables.split(), seed, bad)
        if pdid:
            _pdid(made, pdid.absolute(), alone, seed, bad)
        bad.report()
        made.excluded[LEFT_OUT] += len(bad.reasons)
        step.config["files"] = _fingerprint(common_voice, pdid, out)
        _within_limits(made, shortest, longest)
        shares = {"train": standard_train, "dev": standard_dev, "test": standard_test}
        _combine(made, shares, asr_train_accents, test_limit, seed)
        _write(made, out)


def _fingerprint(common_voice: Path | None, pdid: Path | None, out: Path) -> str:
    """What tells that a corpus changed; of Common Voice, with its many clips, the tables and what was bad."""
    tables = common_voice_corpus.all_tables(common_voice) if common_voice else []
    clips = [path for path in files_below(pdid) if path.suffix == ".wav"] if pdid else []
    return audio_fingerprint([*tables, *clips, *bad_before(out)])


def _common_voice(made: Preparation, root: Path, tables: Sequence[str], seed: int, bad: BadClips) -> None:
    found = common_voice_corpus.split_sets(root, seed, tables, excluded=made.excluded, bad=bad)
    for name, clips in found.items():
        made.sets[f"standard_{name}"] = [replace(clip, accent=STANDARD, split=None) for clip in clips]
    made.notes.append(
        "Common Voice: the split is that of train.tsv, dev.tsv and test.tsv"
        if common_voice_corpus.has_lists(root)
        else (
            f"Common Voice: {root} has no train.tsv, dev.tsv and test.tsv, like a delta segment; "
            f"the clips of {' and '.join(f'{name}.tsv' for name in tables)} were split by speaker"
        )
    )


def _pdid(made: Preparation, root: Path, test_only: Sequence[str], seed: int, bad: BadClips) -> None:
    clips = list(pdid_corpus.utterances(root, bad))
    rows = pdid_corpus.read_metadata(root)
    ids = pdid_corpus.sorted_ids(rows)
    recording = {ids[row.utt]: ids.get(row.recording, row.recording) for row in rows}
    renamed = [utt for utt, key in ids.items() if utt != key]
    if renamed:
        made.notes.append(
            f"PDID: {len(renamed)} utterances have ids that do not sort as their speakers do, and were renamed, "
            f"such as {renamed[0]} to {ids[renamed[0]]}"
        )
    made.recordings = recording
    unknown = sum(name == utt for utt, name in recording.items())
    if unknown:
        made.notes.append(
            f"PDID: {unknown} clips name no recording; that none is in two sets cannot be checked for them, only"
            " speakers can"
        )
    accents = {str(clip.accent) for clip in clips}
    alone = {accent for accent in accents if accent.casefold() in map(str.casefold, test_only)}
    for name in test_only:
        if name.casefold() not in map(str.casefold, accents):
            made.notes.append(f"test-only accent {name} is not in PDID, which has {', '.join(sorted(accents))}")
    table = root / pdid_corpus.METADATA
    given = [clip for clip in clips if clip.split]
    if given and len(given) < len(clips):
        without = next(clip for clip in clips if not clip.split)
        raise InputError(
            f"{table} has a split for {given[0].id} and none for {without.id}; give one for all clips or for none"
        )
    if given:
        chosen = {clip.id: clip.split for clip in clips}
        wrong = [clip for clip in clips if clip.accent in alone and clip.split != "test"]
        if wrong:
            raise InputError(
                f"{table} has {wrong[0].id} in {wrong[0].split}, but {wrong[0].accent} is for testing alone; "
                "correct the split or --test-only"
            )
        made.notes.append("PDID: the split is that of metadata.tsv")
    else:
        chosen = _drawn(clips, recording, alone, seed)
        made.notes.append("PDID: the split was drawn by recording and speaker")
    for name in ("train", "dev", "test"):
        made.sets[f"accented_{name}"] = [replace(clip, split=None) for clip in clips if chosen[clip.id] == name]
    for accent in sorted(accents - {str(c.accent) for c in made.sets["accented_test"]}):
        made.notes.append(f"PDID: {accent} is in no test set; it needs recordings of other speakers")


def _drawn(clips: Sequence[Utterance], recording: dict[str, str], alone: set[str], seed: int) -> dict[str, str]:
    """Clip to set: groups that share a speaker or a recording stay together, those with an accent in `alone` in test."""
    group = groups_of((clip.speaker, recording[clip.id]) for clip in clips)
    accents: dict[str, Counter[str]] = defaultdict(Counter)
    for clip in clips:
        accents[group[clip.speaker]][str(clip.accent)] += 1
    main_accent = {
        name: min(counts, key=lambda accent: (-counts[accent], accent))
        for name, counts in accents.items()
        if not alone & counts.keys()
    }
    place = split_speakers(main_accent, {}, seed)
    return {clip.id: place.get(group[clip.speaker], "test") for clip in clips}


def _within_limits(made: Preparation, shortest: float, longest: float) -> None:
    for name, utterances in made.sets.items():
        made.excluded[f"clips of {name} over {longest:g} s"] += sum(u.duration > longest for u in utterances)
        made.excluded[f"clips of {name} under {shortest:g} s"] += sum(u.duration < shortest for u in utterances)
        made.sets[name] = [u for u in utterances if shortest <= u.duration <= longest]


def _combine(
    made: Preparation, shares: dict[str, int], asr_train_accents: bool, test_limit: int | None, seed: int
) -> None:
    """From what each corpus gives to the recipe's sets; a set that lacks a corpus is absent."""
    given, final = made.sets, {}
    classes = {u.accent for u in given.get("accented_train", [])}
    with_standard = shares["train"] > 0 and bool(given.get("standard_train"))
    if len(classes) + with_standard > 1 and classes:
        for name in ("train", "dev", "test"):
            standard = _share(given[f"standard_{name}"], shares[name], seed) if with_standard else []
            final[f"cls_{name}"] = standard + [u for u in given[f"accented_{name}"] if u.accent in classes]
    spoken = {name: _with_text(made, f"accented_{name}") for name in ("train", "test") if f"accented_{name}" in given}
    if given.get("standard_train"):
        final["asr_train"] = list(given["standard_train"])
        if asr_train_accents:
            if not spoken.get("train"):
                raise InputError(
                    "--asr-train-accents true needs PDID's transcripts, and no training clip has one; "
                    "fill the column text of metadata.tsv, or leave the option out"
                )
            final["asr_train"] += spoken["train"]
    if given.get("standard_dev"):
        final["asr_dev"] = given["standard_dev"]
    for name, source in (("standard", given.get("standard_test")), ("accented", spoken.get("test"))):
        if source:
            final[name] = _share(source, test_limit, seed)
    made.sets = final


def _with_text(made: Preparation, name: str) -> list[Utterance]:
    kept = [utterance for utterance in made.sets[name] if utterance.text]
    made.excluded[f"clips of {name} without text, for the recogniser"] += len(made.sets[name]) - len(kept)
    return kept


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
        write_table(out / name / "utt2recording", {u.id: made.recordings.get(u.id, u.recording) for u in utterances})
        hours = sum(utterance.duration for utterance in utterances) / 3600
        counts = Counter(utterance.accent or "?" for utterance in utterances)
        lines.append(
            f"{name:<10} {len(utterances):>10} {len({u.speaker for u in utterances}):>9} {hours:>7.2f}  "
            + ", ".join(f"{accent} {count}" for accent, count in sorted(counts.items()))
        )
    lines += ["", "Left out:", *(f"{count:>8}  {reason}" for reason, count in sorted(made.excluded.items()) if count)]
    lines += ["", "Notes:", *(f"- {note}" for note in made.notes)]
    with whole_file(out / "preparation.txt") as handle:
        handle.write("\n".join(lines) + "\n")
    logger.info("wrote %s to %s; %s says what was left out", ", ".join(made.sets), out, out / "preparation.txt")


if __name__ == "__main__":
    program.main(main)
