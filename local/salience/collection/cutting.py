"""Clips of a few seconds from a speaker's speech, cut in the silences."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from salience.collection.spans import RATE, Span, seconds
from salience.collection.speakers import Turn, quietest

GRID = RATE // 1000
"""Cuts fall on milliseconds, so that the metadata says exactly where a clip lies."""

UNBROKEN = 3.0
"""Seconds without a pause of which the quietest place may be cut at as well."""

LONG_PAUSE = 0.5
"""Seconds; a cut in a shorter pause costs more the shorter it is."""

FORCED = 3.0
"""Cost of a cut where nobody pauses; a clip of twice the wanted length costs 1."""


@dataclass(frozen=True)
class Stretch:
    """What one speaker says with pauses but without interruption; `pauses` lie inside and do not touch its ends."""

    start: int
    end: int
    speaker: int
    pauses: tuple[Span, ...]


def stretches(
    turns: Sequence[Turn], edges: Sequence[int], longest_pause: float, pad: float, length: int
) -> list[Stretch]:
    """Join turns of one speaker over pauses up to `longest_pause` seconds.

    No stretch goes over one of `edges` (samples where music begins or ends),
    and turns are expected to be cut there.  Each end takes up to `pad`
    seconds of the silence beside it, never more than half of it, and ends on
    a millisecond.  `length` is that of the recording.
    """
    borders = sorted(edges)
    groups: list[list[Turn]] = []
    for turn in turns:
        last = groups[-1][-1] if groups else None
        if (
            last is not None
            and last.speaker == turn.speaker
            and turn.start - last.end <= longest_pause * RATE
            and not any(last.end <= border <= turn.start for border in borders)
        ):
            groups[-1].append(turn)
        else:
            groups.append([turn])
    found: list[Stretch] = []
    for number, group in enumerate(groups):
        first, last = group[0].start, group[-1].end
        before = max([groups[number - 1][-1].end if number else 0, *(b for b in borders if b <= first)])
        after = min(
            [groups[number + 1][0].start if number + 1 < len(groups) else length, *(b for b in borders if b >= last)]
        )
        # A silence at the very end of the recording is shared with nobody.
        room_before = (first - before) // 2 if number else first - before
        room_after = (after - last) // 2 if number + 1 < len(groups) else after - last
        reach = round(pad * RATE)
        start = -(-(first - min(reach, room_before)) // GRID) * GRID
        end = (last + min(reach, room_after)) // GRID * GRID
        pauses = tuple((a.end, b.start) for a, b in zip(group, group[1:]) if b.start > a.end)
        if end > start:
            found.append(Stretch(start, end, group[0].speaker, pauses))
    return found


def cut(stretch: Stretch, samples: np.ndarray, min_seconds: float, max_seconds: float, wanted: float) -> list[Span]:
    """`stretch` in pieces that follow each other without a gap, each `min_seconds` to `max_seconds` seconds.

    Cuts lie in the middle of pauses, at the quietest place where somebody
    talks on and on.  The pieces are those with the lowest sum of costs: how far
    their lengths are from `wanted` seconds, and how short the pauses are that
    are cut.  A stretch that is too short for one piece comes back as it is.
    """
    places = _places(stretch, samples)
    points = [stretch.start, *sorted(places), stretch.end]
    best = [0.0] + [np.inf] * (len(points) - 1)
    come_from = [0] * len(points)
    for last in range(1, len(points)):
        for first in range(last - 1, -1, -1):
            length = (points[last] - points[first]) / RATE
            if length > max_seconds:
                break
            if length < min_seconds:
                continue
            cost = best[first] + ((length - wanted) / wanted) ** 2 + places.get(points[last], 0.0)
            if cost < best[last]:
                best[last], come_from[last] = cost, first
    if not np.isfinite(best[-1]):
        return [(stretch.start, stretch.end)]
    pieces = []
    last = len(points) - 1
    while last > 0:
        pieces.append((points[come_from[last]], points[last]))
        last = come_from[last]
    return pieces[::-1]


def _places(stretch: Stretch, samples: np.ndarray) -> dict[int, float]:
    """Where the stretch may be cut, with the cost of each place."""
    found: dict[int, float] = {}
    for pause in stretch.pauses:
        middle = (pause[0] + pause[1]) // 2 // GRID * GRID
        found[middle] = max(0.0, 1 - seconds(pause) / LONG_PAUSE)
    known = [stretch.start, *sorted(found), stretch.end]
    for start, end in zip(known, known[1:]):
        parts = int((end - start) / RATE / UNBROKEN) + 1
        width = (end - start) / parts
        for number in range(1, parts):
            around = start + number * width
            place = quietest(samples, round(around - width / 2), round(around + width / 2)) // GRID * GRID
            found[place] = FORCED
    return {place: cost for place, cost in found.items() if stretch.start < place < stretch.end}
