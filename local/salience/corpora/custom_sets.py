"""The sets of a recipe from a corpus of the user's own: what was given, and by speaker what was not."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from salience.corpora.sets import PARTS, Sets, at_most
from salience.corpora.splits import split_speakers
from salience.data.records import Utterance
from salience.errors import InputError

TRAIN, DEV, CLASSIFIER = "--train-dir", "--dev-dir", "--classifier-dir"
"""Where sets.found has what was given, beside the test sets by their names."""

DEV_SHARE, TEST_SHARE = 0.1, 0.2
"""Shares of the speakers that are held out where no development or test set is given."""

UNLABELLED = "unlabelled"
"""The accent of the utterances of a test set that have none, while others have."""


@dataclass(frozen=True)
class Limits:
    """What bounds the sets: speakers that an accent needs to be a class, utterances (None: all), seed of all draws."""

    min_speakers: int = 3
    train: int | None = None
    other: int | None = None
    seed: int = 0

    def cut(self, name: str, utterances: Sequence[Utterance]) -> list[Utterance]:
        """At most as many utterances as a set of this name may have, spread over the speakers."""
        return at_most(utterances, self.train if name.endswith("_train") else self.other, self.seed)


def add_sets(sets: Sets, limits: Limits) -> list[str]:
    """Replace what was given by the sets of the recipe; returns the names of the test sets.

    The classifier is trained on the corpus that was given for it, with speakers
    of its own held out, or on the recogniser's sets as far as they say accents.
    """
    given = {name: sets.found.get(name, []) for name in (TRAIN, DEV, CLASSIFIER)}
    names = [name for name in sets.found if name not in given]
    tests = {name: limits.cut(name, sets.with_text(name)) for name in names}
    train, dev = (sets.with_text(name) if given[name] else [] for name in (TRAIN, DEV))
    classes = classes_of(given[CLASSIFIER] or train, limits.min_speakers)
    sets.found = {}
    if given[CLASSIFIER]:
        found = parts_of(given[CLASSIFIER], held_out(given[CLASSIFIER], classes, DEV_SHARE, TEST_SHARE, limits.seed))
        sets.found = {f"cls_{part}": labelled(found[part], classes) for part in PARTS}
    if train:
        own = () if given[CLASSIFIER] else classes
        sets.found |= train_sets(train, dev, tests, own, limits)
        tests = tests or {"test": limits.cut("test", sets.found.pop("test"))}
    # With one class there is nothing to tell apart.
    sets.found = {
        name: limits.cut(name, utterances)
        for name, utterances in sets.found.items()
        if len(classes) > 1 or not name.startswith("cls_")
    }
    for name, utterances in tests.items():
        sets.found[name] = all_labelled(sets, name, utterances)
    return list(tests)


def train_sets(
    train: Sequence[Utterance],
    dev: Sequence[Utterance],
    tests: Mapping[str, Sequence[Utterance]],
    classes: Collection[str],
    limits: Limits,
) -> dict[str, list[Utterance]]:
    """asr_train and asr_dev, test where there is none, and with classes cls_train, cls_dev and cls_test.

    Speakers of the training set are held out for what was not given, and for
    what was but has none of the classes.
    """
    said = {u.id: u for own in reversed(tests.values()) for u in own}
    cls_dev, cls_test = labelled(dev, classes), labelled(list(said.values()), classes)
    needs_dev, needs_test = not dev or (classes and not cls_dev), not tests or (classes and not cls_test)
    chosen = held_out(train, classes, DEV_SHARE if needs_dev else 0, TEST_SHARE if needs_test else 0, limits.seed)
    for utterance in train:
        # Held out for the classifier alone, who has none of its classes is of no use.
        if utterance.accent not in classes and {"dev": dev, "test": tests}.get(chosen[utterance.speaker]):
            chosen[utterance.speaker] = "train"
    found = parts_of(train, chosen)
    sets = {"asr_train": limits.cut("asr_train", found["train"]), "asr_dev": list(dev) or found["dev"]}
    if not tests:
        sets["test"] = found["test"]
    for name, utterances in sets.items():
        if not utterances:
            raise InputError(
                f"{TRAIN} has too few speakers to hold out some of them for {name}; give --dev-dir and --test-dirs"
            )
    if classes:
        sets["cls_train"] = labelled(sets["asr_train"], classes)
        sets["cls_dev"] = cls_dev or labelled(found["dev"], classes)
        sets["cls_test"] = cls_test or labelled(found["test"], classes)
    return sets


def classes_of(utterances: Sequence[Utterance], min_speakers: int) -> list[str]:
    """The accents that at least `min_speakers` speakers have."""
    return sorted(accent for accent, people in people_of(utterances).items() if len(people) >= min_speakers)


def people_of(utterances: Sequence[Utterance]) -> dict[str, set[str]]:
    """Accent to the speakers that have it."""
    found: dict[str, set[str]] = defaultdict(set)
    for utterance in utterances:
        if utterance.accent:
            found[utterance.accent].add(utterance.speaker)
    return found


def check_accents(path: Path, utterances: Sequence[Utterance], min_speakers: int, needed_for: str) -> None:
    """Raise InputError where a corpus does not say two accents of enough speakers, for the systems `needed_for`."""
    people = people_of(utterances)
    if len(classes_of(utterances, min_speakers)) > 1:
        return
    counts = ", ".join(f"{accent} {len(speakers)}" for accent, speakers in sorted(people.items())[:10])
    fault = (
        f"says accents of too few speakers ({counts}; two accents of {min_speakers} or more are needed, --min-speakers)"
        if people
        else "says no accents (utt2accent, a column accent, or in lhotse's supervisions custom: {accent: ...})"
    )
    raise InputError(
        f"{path} {fault}, and {needed_for} need them: add them, give a corpus that has them with {CLASSIFIER}, or "
        "choose systems that need none (--systems 'zero-shot plain specaugment', or zero-shot alone)"
    )


def held_out(
    utterances: Sequence[Utterance], classes: Collection[str], dev: float, test: float, seed: int
) -> dict[str, str]:
    """Speaker to train, dev or test, in the same shares of each class, and of all others together.

    Those who are heard in the same recording stay together where that is possible.
    """
    accents = {u.speaker: u.accent if u.accent and u.accent in classes else "" for u in utterances}
    heard: dict[Path, dict[str, None]] = defaultdict(dict)
    for utterance in utterances:
        heard[utterance.audio][utterance.speaker] = None
    partners = {speaker: list(people) for people in heard.values() if len(people) > 1 for speaker in people}
    return split_speakers(accents, partners, seed, dev, test)


def parts_of(utterances: Sequence[Utterance], chosen: Mapping[str, str]) -> dict[str, list[Utterance]]:
    """The utterances of each part, by what part their speakers are in."""
    return {part: [u for u in utterances if chosen[u.speaker] == part] for part in PARTS}


def labelled(utterances: Sequence[Utterance], classes: Collection[str]) -> list[Utterance]:
    """Those that have one of the classes."""
    return [utterance for utterance in utterances if utterance.accent in classes]


def all_labelled(sets: Sets, name: str, utterances: Sequence[Utterance]) -> list[Utterance]:
    """A test set in which every utterance has an accent, if any has."""
    missing = sum(utterance.accent is None for utterance in utterances)
    if missing in (0, len(utterances)):
        return list(utterances)
    sets.notes.append(f"{name}: {missing} of {len(utterances)} utterances say no accent; they are {UNLABELLED}")
    return [replace(utterance, accent=utterance.accent or UNLABELLED) for utterance in utterances]
