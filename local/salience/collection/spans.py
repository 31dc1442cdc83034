"""Spans of samples: sorted lists of (first, one after the last) that do not touch."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

import numpy as np

RATE = 16_000

Span = tuple[int, int]


def seconds(span: Span) -> float:
    """Length of a span."""
    return (span[1] - span[0]) / RATE


def join(spans: Iterable[Span], gap: int = 0) -> list[Span]:
    """The spans in order, with those joined that overlap or lie at most `gap` samples apart."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1] + gap:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        elif end > start:
            joined.append((start, end))
    return joined


def overlap(span: Span, others: Iterable[Span]) -> int:
    """Samples of `span` that lie in any of `others`, which do not overlap each other."""
    return sum(max(0, min(span[1], end) - max(span[0], start)) for start, end in others)


def near(spans: Sequence[Span], start: int, end: int) -> Sequence[Span]:
    """Those of the sorted `spans` that reach into `start` to `end`."""
    first = bisect_right(spans, start, key=lambda span: span[1])
    return spans[first : bisect_left(spans, end, key=lambda span: span[0])]


def cut_at(span: Span, edges: Iterable[int]) -> list[Span]:
    """`span` in pieces, cut at those of `edges` that lie inside it."""
    points = [span[0], *sorted({edge for edge in edges if span[0] < edge < span[1]}), span[1]]
    return list(zip(points, points[1:]))


def mask(spans: Sequence[Span], length: int) -> np.ndarray:
    """Which of `length` samples lie in the spans; bool (length,)."""
    inside = np.zeros(length, dtype=bool)
    for start, end in spans:
        inside[start:end] = True
    return inside


def from_mask(inside: np.ndarray) -> list[Span]:
    """The spans of a bool array (samples,) where it is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(np.int8)))
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2])]
