"""Where maps point: which share of their importance lies in silence, padding, words, classes of phones and frequencies.

Importance is the positive part of a map.  All shares stand beside the share of
time that the same place takes; a map that knows nothing gives both alike.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.ndimage import binary_opening

from salience.data.ctm import Word
from salience.data.lexicon import PHONES, Lexicon
from salience.saliency.base import SaliencyMap

QUIET = 30.0
"""dB below its utterance's loud frames (their 95th percentile) from which a frame is quiet."""
PAUSE = 0.15
"""Seconds that frames are quiet for silence; closures of stops are shorter."""
EDGE = 0.25
"""Seconds at either end of an utterance that are its start and end."""

Share = tuple[float, float]
"""Of importance and of time, 0 to 1."""


def silence(level: np.ndarray, shift: float) -> np.ndarray:
    """Which frames lie in pauses.

    Args:
        level: dB of each frame.
        shift: Seconds between frames.
    """
    quiet = level < np.percentile(level, 95) - QUIET
    return binary_opening(quiet, np.ones(max(1, round(PAUSE / shift))))


def frame_importance(found: SaliencyMap) -> np.ndarray:
    """The positive part of a map in each frame, padding included; that of a column is spread evenly."""
    return np.repeat(np.maximum(found.values, 0).sum(axis=1) / found.frames_per_column, found.frames_per_column)


def regions(importance: np.ndarray, level: np.ndarray, shift: float, heard: int) -> dict[str, Share]:
    """Shares of silence, speech and padding, which are all there is, and of start and end, which are in these.

    Args:
        importance: Of each frame, padding included.
        level: dB of each real frame.
        shift: Seconds between frames.
        heard: Frames that the model reads, padding included.
    """
    frames, edge = len(level), round(EDGE / shift)
    real, place = importance[:frames], np.arange(frames)
    quiet = silence(level, shift)
    inside = {"speech": ~quiet, "silence": quiet, "start": place < edge, "end": place >= frames - edge}
    total = importance.sum()
    found = {name: (real[where].sum() / total, where.sum() / heard) for name, where in inside.items()}
    return {**found, "padding": (importance[frames:].sum() / total, 1 - frames / heard)}


def phone_frames(phones: Sequence[str], frames: int) -> np.ndarray:
    """Which of a word's phones each of its frames belongs to: one after the other, long by their inherent durations."""
    ends = np.cumsum([PHONES[phone].milliseconds for phone in phones])
    return np.searchsorted(ends / ends[-1], (np.arange(frames) + 0.5) / frames)


def spoken_shares(
    importance: np.ndarray, quiet: np.ndarray, shift: float, words: Iterable[Word], lexicon: Lexicon
) -> tuple[list[tuple[str, float, float]], dict[str, Share]]:
    """(word, share of importance, of time) of each word, and the shares of the phone classes, without pauses.

    All words together are one; so are all classes, which are of the words that
    the lexicon has.

    Args:
        importance: Of each real frame.
        quiet: True where a frame lies in a pause.
        shift: Seconds between frames.
        words: Words with their times.
        lexicon: Phones of words.
    """
    spoken: list[tuple[str, float, float]] = []
    classes: dict[str, np.ndarray] = {}
    for word in words:
        span = slice(round(word.start / shift), round(word.end / shift))
        own = importance[span][~quiet[span]]
        spoken.append((word.text, own.sum(), len(own)))
        if word.text in lexicon and len(own):
            phones = lexicon[word.text]
            for phone, value in zip(phone_frames(phones, len(own)), own):
                classes.setdefault(PHONES[phones[phone]].kind, np.zeros(2))[:] += value, 1
    total = np.sum([row[1:] for row in spoken] or [(0, 0)], axis=0)
    if not total.all():
        return [], {}
    sums = np.sum(list(classes.values()) or [np.zeros(2)], axis=0)
    shares = {kind: (own[0] / sums[0], own[1] / sums[1]) for kind, own in sorted(classes.items())} if sums[0] else {}
    return [(text, value / total[0], time / total[1]) for text, value, time in spoken], shares


def frequency_shares(found: SaliencyMap, bins: int) -> list[float] | None:
    """The share of importance in each bin; None of a map that has no frequencies."""
    rows = np.maximum(found.values, 0).sum(axis=0)
    if len(rows) == 1:
        return None
    spread = np.repeat(rows / found.bins_per_row, found.bins_per_row)[:bins]
    return (spread / spread.sum()).round(6).tolist()


def locate(
    found: SaliencyMap,
    level: np.ndarray,
    shift: float,
    heard: int,
    bins: int,
    words: Iterable[Word] = (),
    lexicon: Lexicon | None = None,
) -> dict[str, Any] | None:
    """Where one map points, as plain values: regions, words, phones, frequencies; None of a map with no importance.

    Args:
        found: The map, padding included if it has some.
        level: dB of each real frame.
        shift: Seconds between frames.
        heard: Frames that the model reads, padding included.
        bins: Bins of the features.
        words: Words with their times.
        lexicon: Phones of words.
    """
    importance = frame_importance(found)
    if not importance.sum():
        return None
    real, quiet = importance[: len(level)], silence(level, shift)
    spoken, phones = spoken_shares(real, quiet, shift, words, lexicon or {})
    return {
        "regions": {name: list(map(float, pair)) for name, pair in regions(importance, level, shift, heard).items()},
        "words": [[text, float(value), float(time)] for text, value, time in spoken],
        "phones": {kind: list(map(float, pair)) for kind, pair in phones.items()},
        "frequencies": frequency_shares(found, bins),
    }


def unknown_words(words: Mapping[str, Sequence[Word]], lexicon: Lexicon) -> dict[str, int]:
    """How often each word occurs that the lexicon lacks, the most frequent first."""
    counts: dict[str, int] = {}
    for word in (word.text for spoken in words.values() for word in spoken):
        if word not in lexicon:
            counts[word] = counts.get(word, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
