"""The Catalan sets: labelled and unlabelled clips, accents, genders; split by speaker or, as in the paper, randomly."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from salience.corpora import common_voice as corpus
from salience.corpora import common_voice_catalan as catalan
from salience.corpora.sets import PARTS, Sets, at_most
from salience.corpora.splits import split_speakers
from salience.data.directories import read_data_dir
from salience.data.normalisers import normaliser
from salience.data.records import Utterance
from salience.data.tables import write_table
from salience.data.text import clean
from salience.data.vocabulary import unwritable
from salience.errors import InputError
from salience.files import write_lines
from salience.randomness import generator

KINDS = ("labelled", "accent", "gender")
SETS = (*(f"{kind}_{part}{end}" for kind in KINDS for end in ("", "_random") for part in PARTS), "unlabelled")
UNKNOWN = "unlabelled"
"""Stands for an accent or gender in tables that say something of every utterance."""


def check_options(options: Mapping[str, Any]) -> None:
    """Raise InputError for options of the preparation that no set can follow."""
    if options["legacy_accents"] and options["accent_table"]:
        raise InputError("legacy_accents and accent_table cannot be used together; choose one")
    shares = {name: options[name] for name in ("dev_share", "test_share", "random_share")}
    for name, share in shares.items():
        if not 0 < share < 1:
            raise InputError(f"{name} {share:g} is no share between 0 and 1; give for instance 0.1")
    if options["dev_share"] + options["test_share"] >= 1:
        raise InputError("dev_share and test_share leave no speaker to train with; lower one")
    for name in ("max_per_accent", "max_per_gender", "train_limit", "dev_limit", "test_limit"):
        if options[name] is not None and options[name] < 1:
            raise InputError(
                f"{name} {options[name]} leaves nothing; give at least 1, or leave it out for all there is"
            )
    low, high = options["min_seconds"], options["max_seconds"]
    if not 0 <= low <= high:
        raise InputError(
            f"min_seconds {low:g} and max_seconds {high:g} are no range of seconds; give for instance 0.5 and 20"
        )


@dataclass
class CatalanSets(Sets):
    """What is gathered before anything is written.

    Args:
        min_seconds: shorter clips are left out
        max_seconds: longer clips are left out
        labelled: clips with sentences
        unlabelled: clips of which only the audio is used
        unwritable: utterance to why a recogniser cannot be trained on its sentence
        unmapped: accent and variant as they stand in the tables, where they give no label
        few: accents with too few clips for a set
    """

    min_seconds: float = 0.5
    max_seconds: float = 20.0
    labelled: list[Utterance] = field(default_factory=list)
    unlabelled: list[Utterance] = field(default_factory=list)
    unwritable: dict[str, str] = field(default_factory=dict)
    unmapped: Counter[tuple[str, str]] = field(default_factory=Counter)
    few: set[str | None] = field(default_factory=set)

    def read_releases(
        self,
        releases: Sequence[Path],
        only_audio: set[Path],
        labelled_tables: Sequence[str],
        unlabelled_tables: Sequence[str],
        columns: frozenset[str],
        labels: Mapping[str, str],
        variants: bool,
    ) -> None:
        """Read the clips of all releases, each once, labelled tables first: a clip that became valid later is valid.

        Args:
            releases: roots of the releases
            only_audio: those of them of which only the audio is used, of all tables
            labelled_tables: tables whose sentences are used
            unlabelled_tables: tables of which only the audio is used
            columns: columns that the tables may have
            labels: accent or variant as written, and its label
            variants: whether the column `variant` counts
        """
        taken: set[str] = set()
        normalise, _ = normaliser("catalan")
        work = [(root, table, True) for root in releases if root not in only_audio for table in labelled_tables]
        for root in releases:
            # Of a release that gives only audio, what others validated is as good as the rest.
            names = [*labelled_tables, *unlabelled_tables] if root in only_audio else unlabelled_tables
            work += [(root, table, False) for table in names]
        for root, table, has_text in work:
            rows = self._rows(root, table, has_text, taken, columns)
            if rows is None:
                self.notes.append(f"{corpus.release_name(root)} {table}: there is no such table")
                continue
            clips = {clip.id: clip for clip in rows}
            given = (corpus.utterance(root, clip) for clip in rows)
            kept = [u for u in self.bad.usable(given, corpus.told(root, rows)) if self._fits(u.duration)]
            kept = [replace(u, language=catalan.LANGUAGE) for u in kept]
            taken.update(clips[u.id].path for u in kept)
            text = "with" if has_text else "without"
            self.notes.append(f"{corpus.release_name(root)} {table}: {len(kept)} clips, {text} their sentences")
            if not has_text:
                self.unlabelled += [replace(u, text="") for u in kept]
                continue
            for utterance in kept:
                self.labelled.append(self._with_accent(utterance, clips[utterance.id], labels, variants))
                if reason := unwritable(utterance.text, normalise(utterance.text)):
                    self.unwritable[utterance.id] = reason

    def _rows(
        self, root: Path, table: str, has_text: bool, taken: set[str], columns: frozenset[str]
    ) -> list[corpus.Clip] | None:
        """The rows of a table whose clips are new and, if asked for, have a sentence; None without the table."""
        paths = corpus.table_paths(root, table)
        rows: dict[str, corpus.Clip] = {}
        for clip in (clip for path in paths for clip in corpus.clips(path, columns)):
            if clip.path in taken or clip.path in rows:
                self.excluded["rows of clips that were taken from another table or release"] += 1
            elif has_text and not clean(clip.sentence):
                self.excluded["clips without a sentence"] += 1
            else:
                rows[clip.path] = clip
        return list(rows.values()) if paths else None

    def _with_accent(
        self, utterance: Utterance, clip: corpus.Clip, labels: Mapping[str, str], variants: bool
    ) -> Utterance:
        accent, reason = catalan.accent_label(clip, labels, variants)
        written = clip.accent.strip(), clip.variant.strip()
        if accent is None:
            self.excluded[f"accent sets: {reason}"] += 1
            self.unmapped[written] += any(written)
        return replace(utterance, accent=accent)

    def _fits(self, seconds: float) -> bool:
        """Whether a clip is neither too short nor too long; otherwise it is counted."""
        if self.min_seconds <= seconds <= self.max_seconds:
            return True
        limit = f"under {self.min_seconds:g} s" if seconds < self.min_seconds else f"over {self.max_seconds:g} s"
        self.excluded[f"clips {limit}"] += 1
        return False

    def add_audio(self, folder: Path) -> None:
        """Add the audio of a data directory, under the folder's name: its ids may be those of other sets."""
        joined, prefix = [], "_".join(folder.name.split())
        given = [replace(u, audio=u.audio.absolute()) for u in read_data_dir(folder)]
        for u in self.bad.usable(given, {u.id: u.duration for u in given if u.duration}):
            seconds = u.duration or (u.end or 0.0) - (u.start or 0.0)
            if self._fits(seconds):
                names = {part: f"{prefix}-{getattr(u, part)}" for part in ("id", "speaker", "recording")}
                joined.append(replace(u, **names, duration=seconds, text="", accent=None, gender=None))
        self.unlabelled += joined
        self.notes.append(f"{folder}: {len(joined)} utterances, without their sentences")

    def check(self, folder: Path, tables: str) -> None:
        """Raise InputError where no clip has a sentence."""
        left_out = ", ".join(f"{count} {reason}" for reason, count in sorted(self.excluded.items()) if count)
        if not self.labelled and left_out:
            raise InputError(
                f"{folder} gives no clip with a sentence: of all tables, {left_out} were left out; "
                "correct min_seconds and max_seconds, or name other tables as labelled_tables"
            )
        if not self.labelled:
            raise InputError(
                f"{folder} gives no clip with a sentence: the tables {tables} are empty or not there; "
                "name others as labelled_tables"
            )

    def label_speakers(self) -> None:
        """Take accent or gender from the clips of a speaker who states several."""
        several = {
            kind: {
                speaker for speaker, count in Counter(s for s, _ in stated(self.labelled, kind)).items() if count > 1
            }
            for kind in ("accent", "gender")
        }
        for place, utterance in enumerate(self.labelled):
            torn = {kind for kind, speakers in several.items() if utterance.speaker in speakers}
            if utterance.accent and "accent" in torn:
                self.excluded["accent sets: a speaker who states several accents"] += 1
            if utterance.gender is None or "gender" in torn:
                self.excluded["gender sets: no gender stated, another one, or several"] += 1
            self.labelled[place] = replace(utterance, **dict.fromkeys(torn))

    def divide(self, dev_share: float, test_share: float, limits: Mapping[str, int | None], seed: int) -> None:
        """Give each speaker a part, `split` of the utterances, and fill labelled_<part> up to its limit."""
        said: dict[str, tuple[str, str]] = {}
        for utterance in self.labelled:
            accent, gender = said.get(utterance.speaker, ("", ""))
            said[utterance.speaker] = (utterance.accent or accent, utterance.gender or gender)
        numbers = Counter(said.values())
        # With fewer than three speakers a group cannot be in all parts; their accent as a whole perhaps can.
        groups = {
            speaker: accent if numbers[accent, gender] < 3 else f"{accent} {gender}"
            for speaker, (accent, gender) in said.items()
        }
        part_of = split_speakers(groups, {}, seed, dev_share, test_share)
        self.labelled = [replace(u, split=part_of[u.speaker]) for u in self.labelled]
        for part, limit in limits.items():
            own = [u for u in self._of(part) if part == "test" or u.id not in self.unwritable]
            self.found[f"labelled_{part}"] = at_most(own, limit, seed)
        for reason in self.unwritable.values():
            self.excluded[f"training and dev sets of transcripts: {reason}"] += 1
        if kept := sum(u.id in self.unwritable for u in self.found["labelled_test"]):
            self.notes.append(f"labelled_test keeps {kept} sentences that no model here can write in full")
        # The audio of nobody who is in dev or test is trained on.
        self.found["unlabelled"] = [u for u in self.unlabelled if part_of.get(u.speaker, "train") == "train"]
        dropped = len(self.unlabelled) - len(self.found["unlabelled"])
        self.excluded["unlabelled clips of speakers in dev or test"] += dropped

    def _of(self, part: str) -> Iterator[Utterance]:
        return (utterance for utterance in self.labelled if utterance.split == part)

    def choose_accents(self, min_clips: int) -> None:
        """Take the label from clips of accents with fewer clips, and note which part lacks an accent."""
        numbers = Counter(u.accent for u in self.labelled if u.accent)
        self.few = {accent for accent, number in numbers.items() if number < min_clips}
        for accent in sorted(self.few):
            self.notes.append(
                f"accent {accent} has {numbers[accent]} clips, under min_per_accent {min_clips}: in no set"
            )
            self.excluded["accent sets: an accent with too few clips"] += numbers[accent]
        for accent in sorted(numbers.keys() - self.few):
            speakers = {part: {u.speaker for u in self._of(part) if u.accent == accent} for part in PARTS}
            if absent := [part for part in PARTS if not speakers[part]]:
                total = sum(map(len, speakers.values()))
                told = f"{total} speaker{'s' if total > 1 else ''}"
                self.notes.append(f"accent {accent} has {told}: none in {' and '.join(absent)}")

    def add_classes(self, kind: str, most: int | None, seed: int) -> None:
        """Fill <kind>_<part> with at most `most` clips of each accent or gender; nothing if there is only one."""
        values = {getattr(u, kind) for u in self.labelled} - self.few - {None}
        if len(values) < 2:
            self.notes.append(f"there are fewer than two {kind}s, so there is nothing to tell apart")
            return
        for part in PARTS:
            of_value = ([u for u in self._of(part) if getattr(u, kind) == value] for value in sorted(values))
            self.found[f"{kind}_{part}"] = [u for own in of_value for u in at_most(own, most, seed)]

    def split_at_random(self, share: float, seed: int) -> None:
        """Share out the clips of each kind once more by chance, whoever speaks: the paper's split, to show its leak."""
        for kind in KINDS:
            pool = [
                u
                for part in PARTS
                for u in self.found.get(f"{kind}_{part}", [])
                if kind != "labelled" or u.id not in self.unwritable
            ]
            for value in sorted({getattr(u, kind, "") for u in pool}):
                for part, members in by_chance([u for u in pool if getattr(u, kind, "") == value], share, seed).items():
                    self.found.setdefault(f"{kind}_{part}_random", []).extend(members)

    def write_all(self, out: Path) -> None:
        """Write all sets, preparation.txt and unmapped_accents.txt."""
        self.notes.append("speakers are told apart by client_id alone: who made two accounts is two speakers")
        genders = {name: {u.id: u.gender or UNKNOWN for u in self.found.get(name, [])} for name in SETS}
        for name in (name for name in SETS if name.startswith("labelled")):
            # So that scores can be told by accent and gender; spk2gender and utt2accent must be complete.
            self.found[name] = [replace(u, accent=u.accent or UNKNOWN) for u in self.found.get(name, [])]
        self.found["unlabelled"] = [replace(u, split=None) for u in self.found["unlabelled"]]
        self.write(out, SETS)
        for name in SETS:
            if name.startswith("labelled") and self.found[name]:
                write_table(out / name / "utt2gender", genders[name])
        # Nobody agreed that these sentences are what is said.
        (out / "unlabelled" / "text").unlink(missing_ok=True)
        unmapped = sorted((+self.unmapped).items(), key=lambda item: (-item[1], item[0]))
        rows = [f"{count}\t{accent or '-'}\t{variant or '-'}" for (accent, variant), count in unmapped]
        heading = "# clips, accent and variant as written; give labels with accent_table"
        write_lines(out / "unmapped_accents.txt", [heading, *rows])


def stated(utterances: Iterable[Utterance], kind: str) -> set[tuple[str, str]]:
    """Each speaker with each accent or gender that they state."""
    return {(u.speaker, value) for u in utterances if (value := getattr(u, kind))}


def by_chance(utterances: Sequence[Utterance], share: float, seed: int) -> dict[str, list[Utterance]]:
    """Utterances by part, whoever speaks, `share` of them in dev and test, half each."""
    drawn = sorted(utterances, key=lambda u: generator(seed, "random split", u.id).random())
    test = max(1, round(share * len(drawn) / 2)) if len(drawn) > 2 else 0
    parts = {"test": drawn[:test], "dev": drawn[test : 2 * test], "train": drawn[2 * test :]}
    return {part: [replace(u, split=part) for u in members] for part, members in parts.items()}


def chosen_releases(releases: Sequence[Path], named: str, folder: Path) -> set[Path]:
    """The releases that are named, by folder or by version; all of them is an InputError."""
    names = {root: corpus.release_name(root) for root in releases}
    chosen: set[Path] = set()
    for word in named.split():
        found = {root for root, name in names.items() if name == word or name.startswith(f"cv-corpus-{word}-")}
        if not found:
            known = ", ".join(names.values())
            raise InputError(f"{folder} holds no release {word}; there are {known}: correct unlabelled_releases")
        chosen |= found
    if chosen == set(releases):
        raise InputError("unlabelled_releases names all releases, so that none has sentences; leave one out")
    return chosen
