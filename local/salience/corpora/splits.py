"""Sets of speakers, and fair shares of their utterances, that depend on names and a seed alone."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import TypeVar

from more_itertools import map_reduce

from salience.randomness import generator

Item = TypeVar("Item")


def spread(
    items: Mapping[str, Sequence[Item]], count: int | None, seed: int, name: Callable[[Item], str]
) -> list[Item]:
    """At most `count` items (None: all) of `items`, a speaker to what they said.

    One item of each speaker, then a second of each, and so on, so that no
    speaker prevails; a speaker's items and the speakers come in an order drawn
    from the seed and their names.
    """
    shuffled = [
        sorted(items[speaker], key=lambda item: generator(seed, name(item)).random())
        for speaker in sorted(items, key=lambda speaker: generator(seed, speaker).random())
    ]
    longest = max(map(len, shuffled), default=0)
    dealt = [own[turn] for turn in range(longest) for own in shuffled if turn < len(own)]
    return dealt[:count]


def groups_of(heard: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Each speaker's group, named by its first speaker, from pairs of (speaker, recording).

    Who is heard in a recording is in one group with all who are heard in it,
    and so with all who share any other recording with one of them.
    """
    met = map_reduce(sorted(set(heard)), itemgetter(1), itemgetter(0))
    group = {speaker: speaker for speakers in met.values() for speaker in speakers}
    for speakers in met.values():
        old = {group[speaker] for speaker in speakers}
        group |= {speaker: min(old) for speaker, name in group.items() if name in old}
    return group


def split_speakers(
    accents: Mapping[str, str], partners: Mapping[str, Sequence[str]], seed: int, dev: float = 0.2, test: float = 0.3
) -> dict[str, str]:
    """Speaker to `train`, `dev` or `test`, within each accent in about the shares asked for.

    `accents` is speaker to accent, `partners` speaker to those who share a
    recording, and so a channel, with them.  An accent of two speakers has one
    in train and one in test, one of a single speaker has it in train; where the
    share of dev or test is 0, nobody is in it.  Those who share a recording go
    to the same set where the numbers of their accents allow it.
    """
    people = map_reduce(sorted(accents), accents.__getitem__)
    room: dict[str, dict[str, int]] = {}
    for accent, members in people.items():
        in_test = max(1, round(test * len(members))) if test and len(members) > 1 else 0
        in_dev = max(1, round(dev * len(members))) if dev and len(members) - in_test > 1 else 0
        room[accent] = {"train": len(members) - in_test - in_dev, "dev": in_dev, "test": in_test}
    chosen: dict[str, str] = {}
    for speaker in sorted(accents, key=lambda speaker: generator(seed, speaker).random()):
        if speaker in chosen:
            continue
        known = [partner for partner in partners.get(speaker, ()) if partner in accents and partner != speaker]
        together = [speaker, *sorted(partner for partner in known if partner not in chosen)]
        emptiest = sorted(room[accents[speaker]], key=lambda name: -room[accents[speaker]][name])
        order = [*sorted({chosen[partner] for partner in known if partner in chosen}), *emptiest]
        # All of a recording if a set has room for them, else the speaker alone.
        group, name = next(
            (group, name) for group in (together, [speaker]) for name in order if _has_room(group, accents, room, name)
        )
        for person in group:
            chosen[person] = name
            room[accents[person]][name] -= 1
    return chosen


def _has_room(
    group: Sequence[str], accents: Mapping[str, str], room: Mapping[str, Mapping[str, int]], name: str
) -> bool:
    needed = Counter(accents[person] for person in group)
    return all(room[accent][name] >= count for accent, count in needed.items())
