"""The sets of a recipe: gathered from its corpora, cut to limits, and written with a note of what was left out."""

import logging
import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path

from more_itertools import map_reduce

from salience.corpora.clips import LEFT_OUT, BadClips
from salience.corpora.splits import spread
from salience.data.directories import read_data_dir, write_data_dir
from salience.data.leakage import sentence_key
from salience.data.records import Utterance
from salience.data.tables import write_table
from salience.files import write_lines

logger = logging.getLogger(__name__)

STANDARD = "Standard"
"""The class of the unaccented corpus beside the accents' names."""

PARTS = ("train", "dev", "test")


@dataclass
class Sets:
    """What is gathered before anything is written.

    Args:
        bad: clips that cannot be used
        found: set name to its utterances
        notes: sentences for preparation.txt
        excluded: reason to the number of utterances left out for it
    """

    bad: BadClips
    found: dict[str, list[Utterance]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    excluded: Counter[str] = field(default_factory=Counter)

    def report_bad(self) -> None:
        """End the run if clips cannot be used and are not to be skipped; otherwise count them."""
        self.bad.report()
        self.excluded[LEFT_OUT] += len(self.bad.reasons)

    def limit(self, min_seconds: float, max_seconds: float) -> None:
        """Drop utterances that are too short or too long, and count them."""
        for name, utterances in self.found.items():
            lengths = [utterance.duration for utterance in utterances]
            self.excluded[f"utterances of {name} over {max_seconds:g} s"] += sum(s > max_seconds for s in lengths)
            self.excluded[f"utterances of {name} under {min_seconds:g} s"] += sum(s < min_seconds for s in lengths)
            self.found[name] = [u for u in utterances if min_seconds <= u.duration <= max_seconds]

    def with_text(self, name: str) -> list[Utterance]:
        """The utterances of a set that have a transcript; the others are counted."""
        kept = [utterance for utterance in self.found.get(name, []) if utterance.text]
        self.excluded[f"clips of {name} without text, for the recogniser"] += len(self.found.get(name, [])) - len(kept)
        return kept

    def capped(self, utterances: Iterable[Utterance], most: int | None, seed: int) -> list[Utterance]:
        """At most so many utterances of each speaker (None: all); the others are counted."""
        if most is None:
            return list(utterances)
        by_speaker = map_reduce(utterances, attrgetter("speaker"))
        kept = [u for one in sorted(by_speaker) for u in spread({one: by_speaker[one]}, most, seed, attrgetter("id"))]
        self.excluded[f"clips of a speaker beyond {most}"] += sum(map(len, by_speaker.values())) - len(kept)
        return kept

    def keep_sentences_apart(self, learnt: Sequence[str], tested: Collection[str]) -> None:
        """Drop utterances of `learnt` whose sentence is in a set of `tested`, or in one that follows in `learnt`."""
        taken = {sentence_key(u.text) for name in tested for u in self.found.get(name, [])}
        for name in reversed(learnt):
            own = self.found.get(name, [])
            self.found[name] = [u for u in own if sentence_key(u.text) not in taken]
            dropped = len(own) - len(self.found[name])
            self.excluded[f"utterances of {name} whose sentence is in a test set or a later set"] += dropped
            taken |= {sentence_key(u.text) for u in own}

    def keep_apart_from(self, learnt: Iterable[Path], tested: Sequence[str]) -> None:
        """Drop utterances of `tested` whose speaker or sentence is in these data directories of another recipe."""
        utterances = [utterance for folder in learnt for utterance in read_data_dir(folder)]
        speakers = {utterance.speaker for utterance in utterances}
        sentences = {sentence_key(utterance.text) for utterance in utterances}
        for name in tested:
            own = self.found.get(name, [])
            self.found[name] = [u for u in own if u.speaker not in speakers and sentence_key(u.text) not in sentences]
            dropped = len(own) - len(self.found[name])
            self.excluded[f"utterances of {name} whose speaker or sentence the given recognisers learnt"] += dropped

    def write(self, out: Path, names: Sequence[str], recordings: Mapping[str, str] | None = None) -> None:
        """Write a data directory for each of `names` that has utterances, and preparation.txt.

        With `recordings`, utterance to what it was cut from, utt2recording is
        written as well; an utterance that is not in it names its own recording.
        """
        width = max(map(len, names))
        lines = [f"{'set':<{width}} utterances  speakers   hours  accents"]
        for name in names:
            if not (utterances := self.found.get(name)):
                # An earlier run, with more corpora, may have left one that no longer fits the others.
                shutil.rmtree(out / name, ignore_errors=True)
                self.notes.append(f"{name} is left out: the corpora given hold nothing for it")
                continue
            write_data_dir(out / name, utterances)
            if recordings is not None:
                write_table(out / name / "utt2recording", {u.id: recordings.get(u.id, u.recording) for u in utterances})
            hours, speakers = sum(u.duration for u in utterances) / 3600, len({u.speaker for u in utterances})
            accents = sorted(Counter(u.accent or "?" for u in utterances).items())
            told = ", ".join(f"{accent} {count}" for accent, count in accents)
            lines.append(f"{name:<{width}} {len(utterances):>10} {speakers:>9} {hours:>7.2f}  {told}")
        left_out = [f"{count:>8}  {why}" for why, count in sorted(self.excluded.items()) if count]
        lines += ["", "Left out:", *(left_out or ["       0  utterances"])]
        lines += ["", "Notes:", *(f"- {note}" for note in self.notes)]
        write_lines(out / "preparation.txt", lines)
        logger.info("wrote %s to %s; preparation.txt says what was left out", ", ".join(self.found), out)

    def combine(
        self, accented: str, limits: Sequence[int], spoken: Sequence[Utterance], seed: int, needs_standard: bool = False
    ) -> None:
        """Replace standard_<part> and <accented>_<part> by cls_<part>, asr_train and asr_dev, as far as possible.

        Args:
            accented: name of the accented corpus' sets
            limits: maximum number of standard utterances in cls_train, cls_dev and cls_test; 0 for cls_train: no such
                class
            spoken: accented utterances that are added to asr_train
            seed: random seed of the utterances chosen
            needs_standard: no cls_<part> without standard utterances
        """
        given, final = self.found, {}
        classes = {utterance.accent for utterance in given.get(f"{accented}_train", [])}
        with_standard = limits[0] > 0 and bool(given.get("standard_train"))
        for part, limit in zip(PARTS, limits, strict=True):
            standard = at_most(given.get(f"standard_{part}", []), limit, seed) if with_standard else []
            # With one class there is nothing to tell apart.
            if classes and len(classes) + with_standard > 1 and (standard or not needs_standard):
                final[f"cls_{part}"] = standard + [u for u in given[f"{accented}_{part}"] if u.accent in classes]
        if given.get("standard_train"):
            final["asr_train"] = [*given["standard_train"], *spoken]
        if given.get("standard_dev"):
            final["asr_dev"] = given["standard_dev"]
        self.found = final


def at_most(utterances: Iterable[Utterance], count: int | None, seed: int) -> list[Utterance]:
    """At most `count` utterances (None: all), shared evenly among the speakers."""
    return spread(map_reduce(utterances, attrgetter("speaker")), count, seed, attrgetter("id"))
