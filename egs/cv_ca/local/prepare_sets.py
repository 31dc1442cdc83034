#!/usr/bin/env python3
"""Data directories of the Catalan recipe: labelled, unlabelled, accent and gender sets."""

import logging
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path

from salience import program
from salience.corpora import common_voice as corpus
from salience.corpora import common_voice_catalan as catalan
from salience.corpora.clips import LEFT_OUT, BadClips, bad_before
from salience.corpora.common_voice import Clip
from salience.corpora.labels import read_labels
from salience.corpora.splits import split_speakers, spread
from salience.data.directories import read_data_dir, write_data_dir
from salience.data.normalisers import normaliser
from salience.data.records import Utterance
from salience.data.tables import write_table
from salience.data.text import clean
from salience.data.vocabulary import unwritable
from salience.errors import InputError
from salience.files import whole_file
from salience.randomness import generator
from salience.steps import Step, audio_fingerprint

logger = logging.getLogger(__name__)

PARTS = ("train", "dev", "test")
SETS = (
    *(f"labelled_{part}" for part in PARTS),
    *(f"labelled_{part}_random" for part in PARTS),
    "unlabelled",
    *(f"accent_{part}" for part in PARTS),
    *(f"accent_{part}_random" for part in PARTS),
    *(f"gender_{part}" for part in PARTS),
    *(f"gender_{part}_random" for part in PARTS),
)
UNKNOWN = "unlabelled"
"""Stands for an accent or gender in tables that say something of every utterance."""


@dataclass
class Preparation:
    """What is gathered before anything is written."""

    labelled: list[Utterance] = field(default_factory=list)
    unlabelled: list[Utterance] = field(default_factory=list)
    unwritable: dict[str, str] = field(default_factory=dict)
    """Utterance to why its sentence cannot be learnt."""
    sets: dict[str, list[Utterance]] = field(default_factory=dict)
    excluded: Counter[str] = field(default_factory=Counter)
    unmapped: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Accent and variant as they stand in the tables, where they give no label."""
    notes: list[str] = field(default_factory=list)


def main(
    out: Path,
    common_voice: Path,
    unlabelled_releases: str = "",
    labelled_tables: str = "validated",
    unlabelled_tables: str = "other invalidated",
    unlabelled_data: Path | None = None,
    accent_table: Path | None = None,
    legacy_accents: bool = False,
    min_per_accent: int = 10,
    max_per_accent: int | None = None,
    max_per_gender: int | None = None,
    dev_share: float = 0.1,
    test_share: float = 0.1,
    train_limit: int | None = None,
    dev_limit: int | None = None,
    test_limit: int | None = None,
    random_share: float = 0.1,
    min_seconds: float = 0.5,
    max_seconds: float = 20.0,
    skip_bad_clips: bool = False,
    other_columns: str = "",
    seed: int = 0,
) -> None:
    """Write the data directories of all sets, <out>/preparation.txt and <out>/unmapped_accents.txt.

    A speaker is in training, dev or test, and in the same of them for
    transcripts, accents and genders; nobody of dev or test is in unlabelled.
    Sets with _random are drawn by utterance from the same clips, as the paper
    drew them: what they share is the leak.  A clip that stands in several
    tables or releases is taken once.  Sentences with figures, with signs that
    are read aloud, or with letters that Catalan lacks are in no training or
    dev set of transcripts; test sets keep them.

    Args:
        out: folder for the data directories
        common_voice: a Catalan release, or a folder with several and with delta segments
        unlabelled_releases: releases of which only the audio is used, parted by spaces: names of their folders, or
            versions such as 15.0
        labelled_tables: tables of the other releases whose sentences are used, parted by spaces
        unlabelled_tables: tables of the other releases of which only the audio is used
        unlabelled_data: a data directory of any speech, whose audio joins unlabelled
        accent_table: your own table, what is written in accents or variant and its label; it comes before the recipe's
        legacy_accents: the paper's five exact strings of the accent column instead of the table
        min_per_accent: an accent with fewer clips is in no accent set
        max_per_accent: at most this many clips of an accent in each accent set (default: all)
        max_per_gender: at most this many clips of a gender in each gender set (default: all)
        dev_share: share of the speakers, of each accent and gender, in the dev sets
        test_share: the same for the test sets
        train_limit: at most this many utterances in labelled_train, of as many speakers as possible (default: all)
        dev_limit: the same for labelled_dev
        test_limit: the same for labelled_test
        random_share: share of the utterances, half dev and half test, in the random sets
        min_seconds: leave out clips shorter than this many seconds
        max_seconds: leave out clips longer than this many seconds
        skip_bad_clips: leave out clips that are missing, damaged or of another length than the corpus says, instead of
            stopping; bad_clips.tsv lists them
        other_columns: columns that the tables may have besides the known ones, parted by spaces
        seed: seed of every choice
    """
    if legacy_accents and accent_table:
        raise InputError("--legacy-accents and --accent-table cannot be used together; choose one")
    for name, share in (("dev-share", dev_share), ("test-share", test_share), ("random-share", random_share)):
        if not 0 < share < 1:
            raise InputError(f"--{name} {share:g} is no share between 0 and 1; give for instance 0.1")
    if dev_share + test_share >= 1:
        raise InputError(
            f"--dev-share {dev_share:g} and --test-share {test_share:g} leave no speaker to train with; lower one"
        )
    limits = {
        "max-per-accent": max_per_accent, "max-per-gender": max_per_gender, "train-limit": train_limit,
        "dev-limit": dev_limit, "test-limit": test_limit,
    }  # fmt: skip
    for name, limit in limits.items():
        if limit is not None and limit < 1:
            raise InputError(f"--{name} {limit} leaves nothing; give at least 1, or leave it out for all there is")
    if not 0 <= min_seconds <= max_seconds:
        raise InputError(
            f"--min-seconds {min_seconds:g} and --max-seconds {max_seconds:g} are no range of seconds; give for instance 0.5 and 20"
        )
    config = {
        name: value for name, value in locals().items() if name not in ("out", "name", "share", "limits", "limit")
    }
    releases = corpus.find_releases(common_voice.absolute(), catalan.LANGUAGE)
    config["files"] = _fingerprint(releases, out)
    tables = [catalan.LEGACY_ACCENT_TABLE if legacy_accents else catalan.ACCENT_TABLE]
    inputs = [*tables, *([accent_table] if accent_table else [])]
    if unlabelled_data is not None:
        inputs += [unlabelled_data / name for name in ("utt2spk", "wav.scp", "segments", "utt2dur")]
    step = Step(out / "step.json", config, inputs, [out / "preparation.txt"])
    if step.is_done():
        return
    with step:
        labels = read_labels(tables[0]) | (read_labels(accent_table) if accent_table else {})
        made, bad = Preparation(), BadClips(out, skip_bad_clips)
        only_audio = _chosen(releases, unlabelled_releases, common_voice)
        reader = _Reader(made, corpus.KNOWN_COLUMNS | set(other_columns.split()), bad, min_seconds, max_seconds)
        reader.read(releases, only_audio, labelled_tables.split(), unlabelled_tables.split())
        if unlabelled_data is not None:
            reader.add_audio(unlabelled_data)
        bad.report()
        made.excluded[LEFT_OUT] += len(bad.reasons)
        step.config["files"] = _fingerprint(releases, out)
        if not made.labelled:
            left_out = ", ".join(f"{count} {reason}" for reason, count in sorted(made.excluded.items()) if count)
            raise InputError(
                f"{common_voice} gives no clip with a sentence: the tables {labelled_tables} are empty or not there; "
                "name others with --labelled-tables"
                if not left_out
                else f"{common_voice} gives no clip with a sentence: of all tables, {left_out} were left out; "
                "correct --min-seconds and --max-seconds, or name other tables with --labelled-tables"
            )
        reader.label(labels, variants=not legacy_accents)
        _divide(made, dev_share, test_share, train_limit, dev_limit, test_limit, seed)
        _accents_and_genders(made, min_per_accent, max_per_accent, max_per_gender, random_share, seed)
        _random(made, random_share, seed)
        _keep_apart(made)
        _write(made, out)


def _fingerprint(releases: Sequence[Path], out: Path) -> str:
    """What tells that a corpus of many clips changed: the tables, and what was bad."""
    return audio_fingerprint([*(path for root in releases for path in corpus.all_tables(root)), *bad_before(out)])


def _chosen(releases: Sequence[Path], named: str, folder: Path) -> set[Path]:
    """The releases that are named, by folder or by version."""
    names = {root: corpus.release_name(root) for root in releases}
    chosen: set[Path] = set()
    for word in named.split():
        found = {root for root, name in names.items() if name == word or name.startswith(f"cv-corpus-{word}-")}
        if not found:
            raise InputError(
                f"{folder} holds no release {word}; there are {', '.join(names.values())}: "
                "correct --unlabelled-releases"
            )
        chosen |= found
    if chosen == set(releases):
        raise InputError("--unlabelled-releases names all releases, so that none has sentences; leave one out")
    return chosen


@dataclass
class _Reader:
    """From the tables of all releases to utterances, each clip once."""

    made: Preparation
    columns: frozenset[str]
    bad: BadClips
    min_seconds: float
    max_seconds: float
    clips: dict[str, Clip] = field(default_factory=dict)
    """Utterance to its row, of labelled ones."""

    def read(
        self, releases: Sequence[Path], only_audio: set[Path], labelled: Sequence[str], unlabelled: Sequence[str]
    ) -> None:
        """Labelled tables first, so that a clip that became valid later counts as valid."""
        taken: set[str] = set()
        normalise, _ = normaliser("catalan")
        work = [(root, table, True) for root in releases if root not in only_audio for table in labelled]
        for root in releases:
            # Of a release that gives only audio, what others validated is as good as the rest.
            names = [*labelled, *unlabelled] if root in only_audio else unlabelled
            work += [(root, table, False) for table in names]
        for root, table, has_text in work:
            paths, name = corpus.table_paths(root, table), f"{corpus.release_name(root)} {table}"
            if not paths:
                self.made.notes.append(f"{name}: there is no such table")
                continue
            rows: dict[str, Clip] = {}
            for clip in (clip for path in paths for clip in corpus.clips(path, self.columns)):
                if clip.path in taken or clip.path in rows:
                    self.made.excluded["rows of clips that were taken from another table or release"] += 1
                elif has_text and not clean(clip.sentence):
                    self.made.excluded["clips without a sentence"] += 1
                else:
                    rows[clip.path] = clip
            found = self.bad.usable(
                (corpus.utterance(root, clip) for clip in rows.values()), corpus.told(root, rows.values())
            )
            kept = [replace(u, language=catalan.LANGUAGE) for u in found if self._fits(u.duration)]
            row_of = {clip.id: clip for clip in rows.values()}
            taken.update(row_of[u.id].path for u in kept)
            self.made.notes.append(f"{name}: {len(kept)} clips, {'with' if has_text else 'without'} their sentences")
            if not has_text:
                self.made.unlabelled += [replace(u, text="") for u in kept]
                continue
            self.made.labelled += kept
            for utterance in kept:
                self.clips[utterance.id] = row_of[utterance.id]
                reason = unwritable(utterance.text, normalise(utterance.text))
                if reason:
                    self.made.unwritable[utterance.id] = reason

    def _fits(self, seconds: float) -> bool:
        """Whether a clip is neither too short nor too long; one that is gets counted."""
        if self.min_seconds <= seconds <= self.max_seconds:
            return True
        limit = f"under {self.min_seconds:g} s" if seconds < self.min_seconds else f"over {self.max_seconds:g} s"
        self.made.excluded[f"clips {limit}"] += 1
        return False

    def add_audio(self, folder: Path) -> None:
        """The audio of a data directory, under the folder's name: its ids may be those of other sets."""
        joined, prefix = [], "_".join(folder.name.split())
        given = [replace(u, audio=u.audio.absolute()) for u in read_data_dir(folder)]
        for u in self.bad.usable(given, {u.id: u.duration for u in given if u.duration}):
            seconds = u.duration or (u.end or 0.0) - (u.start or 0.0)
            if self._fits(seconds):
                names = {part: f"{prefix}-{getattr(u, part)}" for part in ("id", "speaker", "recording")}
                joined.append(replace(u, **names, duration=seconds, text="", accent=None, gender=None))
        self.made.unlabelled += joined
        self.made.notes.append(f"{folder}: {len(joined)} utterances, without their sentences")

    def label(self, labels: Mapping[str, str], variants: bool) -> None:
        """Give the labelled utterances their accents; who states two accents or two genders has none."""
        found = {key: catalan.accent_label(clip, labels, variants) for key, clip in self.clips.items()}
        accents: dict[str, set[str]] = defaultdict(set)
        genders: dict[str, set[str]] = defaultdict(set)
        for utterance in self.made.labelled:
            if label := found[utterance.id][0]:
                accents[utterance.speaker].add(label)
            if utterance.gender:
                genders[utterance.speaker].add(utterance.gender)
        for place, utterance in enumerate(self.made.labelled):
            accent, reason = found[utterance.id]
            clip = self.clips[utterance.id]
            if accent is None and (clip.accent.strip() or clip.variant.strip()):
                self.made.unmapped[clip.accent.strip(), clip.variant.strip()] += 1
            if accent and len(accents[utterance.speaker]) > 1:
                accent, reason = None, "a speaker who states several accents"
            if accent is None:
                self.made.excluded[f"accent sets: {reason}"] += 1
            gender = utterance.gender
            if gender is None or len(genders[utterance.speaker]) > 1:
                gender = None
                self.made.excluded["gender sets: no gender stated, another one, or several"] += 1
            self.made.labelled[place] = replace(utterance, accent=accent, gender=gender)


def _divide(
    made: Preparation,
    dev_share: float,
    test_share: float,
    train_limit: int | None,
    dev_limit: int | None,
    test_limit: int | None,
    seed: int,
) -> None:
    """Give each speaker a part; `split` of the utterances says which."""
    said: dict[str, tuple[str, str]] = {}
    for utterance in made.labelled:
        accent, gender = said.get(utterance.speaker, ("", ""))
        said[utterance.speaker] = (utterance.accent or accent, utterance.gender or gender)
    numbers = Counter(said.values())
    # With fewer than three speakers a group cannot be in all parts; their accent as a whole perhaps can.
    groups = {
        speaker: accent if numbers[accent, gender] < 3 else f"{accent} {gender}"
        for speaker, (accent, gender) in said.items()
    }
    part_of = split_speakers(groups, {}, seed, dev_share, test_share)
    made.labelled = [replace(u, split=part_of[u.speaker]) for u in made.labelled]
    for part, limit in (("train", train_limit), ("dev", dev_limit), ("test", test_limit)):
        own = [u for u in made.labelled if u.split == part and (part == "test" or u.id not in made.unwritable)]
        made.sets[f"labelled_{part}"] = spread(_by_speaker(own), limit, seed, attrgetter("id"))
    for reason in made.unwritable.values():
        made.excluded[f"training and dev sets of transcripts: {reason}"] += 1
    kept = sum(u.id in made.unwritable for u in made.sets["labelled_test"])
    if kept:
        made.notes.append(f"labelled_test keeps {kept} sentences that no model here can write in full")


def _accents_and_genders(
    made: Preparation, least: int, most: int | None, max_per_gender: int | None, random_share: float, seed: int
) -> None:
    numbers = Counter(u.accent for u in made.labelled if u.accent)
    few = {accent for accent, number in numbers.items() if number < least}
    for accent in sorted(few):
        made.notes.append(f"accent {accent} has {numbers[accent]} clips, under --min-per-accent {least}: in no set")
        made.excluded["accent sets: an accent with too few clips"] += numbers[accent]
    with_accent = [u for u in made.labelled if u.accent and u.accent not in few]
    for part in PARTS:
        of_part = [u for u in with_accent if u.split == part]
        made.sets[f"accent_{part}"] = _capped(of_part, "accent", most, seed)
        of_part = [u for u in made.labelled if u.gender and u.split == part]
        made.sets[f"gender_{part}"] = _capped(of_part, "gender", max_per_gender, seed)
    for accent in sorted({u.accent for u in with_accent if u.accent}):
        speakers = {part: {u.speaker for u in with_accent if (u.accent, u.split) == (accent, part)} for part in PARTS}
        absent = [part for part in PARTS if not speakers[part]]
        if absent:
            total = sum(map(len, speakers.values()))
            made.notes.append(
                f"accent {accent} has {total} speaker{'s' if total > 1 else ''}: none in {' and '.join(absent)}"
            )
    for kind in ("accent", "gender"):
        pool = [u for part in PARTS for u in made.sets[f"{kind}_{part}"]]
        drawn: dict[str, list[Utterance]] = {part: [] for part in PARTS}
        for label in sorted({getattr(u, kind) for u in pool}):
            for part, members in _by_chance([u for u in pool if getattr(u, kind) == label], random_share, seed).items():
                drawn[part] += members
        made.sets |= {f"{kind}_{part}_random": members for part, members in drawn.items()}
    answers = {"accent": {u.accent for u in with_accent}, "gender": {u.gender for u in made.labelled if u.gender}}
    for kind, values in answers.items():
        if len(values) < 2:
            made.notes.append(f"there are fewer than two {kind}s, so there is nothing to tell apart")
            made.sets |= {name: [] for name in made.sets if name.startswith(kind)}


def _capped(utterances: Sequence[Utterance], kind: str, most: int | None, seed: int) -> list[Utterance]:
    """At most so many utterances of each accent or gender."""
    of_label: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        of_label[getattr(utterance, kind)].append(utterance)
    return [
        utterance
        for label in sorted(of_label)
        for utterance in spread(_by_speaker(of_label[label]), most, seed, attrgetter("id"))
    ]


def _random(made: Preparation, random_share: float, seed: int) -> None:
    pool = [u for part in PARTS for u in made.sets[f"labelled_{part}"] if u.id not in made.unwritable]
    drawn = _by_chance(pool, random_share, seed)
    made.sets |= {f"labelled_{part}_random": members for part, members in drawn.items()}


def _by_chance(utterances: Sequence[Utterance], share: float, seed: int) -> dict[str, list[Utterance]]:
    """Utterances to parts whoever speaks, `share` of them to dev and test, half each."""
    drawn = sorted(utterances, key=lambda u: generator(seed, "random split", u.id).random())
    test = max(1, round(share * len(drawn) / 2)) if len(drawn) > 2 else 0
    parts = {"test": drawn[:test], "dev": drawn[test : 2 * test], "train": drawn[2 * test :]}
    return {part: [replace(u, split=part) for u in members] for part, members in parts.items()}


def _keep_apart(made: Preparation) -> None:
    """The audio of nobody who is in dev or test is learnt from."""
    held_out = {u.speaker for u in made.labelled if u.split != "train"}
    made.sets["unlabelled"] = [u for u in made.unlabelled if u.speaker not in held_out]
    dropped = len(made.unlabelled) - len(made.sets["unlabelled"])
    made.excluded["unlabelled clips of speakers in dev or test"] += dropped


def _by_speaker(utterances: Iterable[Utterance]) -> dict[str, list[Utterance]]:
    found: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        found[utterance.speaker].append(utterance)
    return found


def _write(made: Preparation, out: Path) -> None:
    lines = ["set                     utterances  speakers     hours  women/men  accents"]
    for name in SETS:
        utterances = made.sets.get(name, [])
        # What an earlier run with other options left would no longer fit the others.
        shutil.rmtree(out / name, ignore_errors=True)
        if not utterances:
            made.notes.append(f"{name} is left out: there is nothing for it")
            continue
        _write_set(out / name, utterances)
        accents = Counter(utterance.accent or UNKNOWN for utterance in utterances)
        women, men = (sum(utterance.gender == gender for utterance in utterances) for gender in "fm")
        told = ", ".join(
            f"{accent} {count} ({len({u.speaker for u in utterances if (u.accent or UNKNOWN) == accent})})"
            for accent, count in sorted(accents.items())
        )
        lines.append(
            f"{name:<23} {len(utterances):>10} {len({u.speaker for u in utterances}):>9} "
            f"{sum(u.duration for u in utterances) / 3600:>9.3f} {f'{women}/{men}':>10}  "
            + (told if name != "unlabelled" else "")
        )
    lines += ["", "Accents: clips, and in brackets speakers.", "", "Left out:"]
    lines += [f"{count:>8}  {reason}" for reason, count in sorted(made.excluded.items()) if count]
    lines += ["", "Sentences of test sets that others say too:", *_shared_sentences(made)]
    lines += ["", "Notes:", *(f"- {note}" for note in made.notes)]
    lines.append("- speakers are told apart by client_id alone: who made two accounts is two speakers")
    with whole_file(out / "unmapped_accents.txt") as handle:
        handle.write("# clips, accent and variant as written; give labels with --accent-table\n")
        for (accent, variant), count in sorted(made.unmapped.items(), key=lambda item: (-item[1], item[0])):
            handle.write(f"{count}\t{accent or '-'}\t{variant or '-'}\n")
    with whole_file(out / "preparation.txt") as handle:
        handle.write("\n".join(lines) + "\n")
    logger.info("wrote %d sets to %s; %s says what is in them", len(SETS), out, out / "preparation.txt")


def _write_set(folder: Path, utterances: Sequence[Utterance]) -> None:
    if folder.name.startswith("labelled"):
        # So that scores can be told by accent and gender; spk2gender and utt2accent must be complete.
        write_data_dir(folder, [replace(u, accent=u.accent or UNKNOWN) for u in utterances])
        write_table(folder / "utt2gender", {u.id: u.gender or UNKNOWN for u in utterances})
        return
    if folder.name == "unlabelled":
        write_data_dir(folder, [replace(u, split=None) for u in utterances])
        # Nobody agreed that these sentences are what is said.
        (folder / "text").unlink()
        return
    write_data_dir(folder, utterances)


def _shared_sentences(made: Preparation) -> list[str]:
    # Not leakage.sentence_key: people write l·l and apostrophes in several ways.
    normalise, _ = normaliser("catalan")
    lines = []
    for kind in ("labelled", "accent", "gender"):
        for ending in ("", "_random"):
            train, test = (made.sets.get(f"{kind}_{part}{ending}") for part in ("train", "test"))
            if train and test:
                known = {normalise(u.text) for u in train}
                count = sum(normalise(u.text) in known for u in test)
                heard = {u.speaker for u in train}
                speakers = sum(u.speaker in heard for u in test)
                lines.append(
                    f"{kind}_test{ending}: {count} of {len(test)} utterances, in {kind}_train{ending}; "
                    f"{speakers} are by speakers of it"
                )
    return lines


if __name__ == "__main__":
    program.main(main)
