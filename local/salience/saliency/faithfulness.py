"""Whether a saliency map says what its model uses: curves of deletion and insertion, and how far two maps agree.

Deletion hides the most important points first, insertion shows them first
(Petsiuk, Das and Saenko, RISE, BMVC 2018): a faithful map makes the model's
score fall early in the one and rise early in the other.  A spectrogram with
holes is not what a model was trained on, so a part of each fall comes from the
holes, wherever they are (Rong et al., ROAD, ICML 2022).  No score here says
anything by itself, therefore: what counts is how it differs from that of two
controls, which hide as many points of the same utterance in regions of the
same shape.

- `random`: the map itself, moved round in time and frequency by a random
  distance each, at its own resolution.  Points drawn one by one would be an
  unfair control: models read over a fine grain of holes, but not over regions.
- `other`: the map of another utterance, stretched to the length of this one.
  A map that does no better knows where such models look in general (the speech
  between the pauses, the lower frequencies), and nothing about the utterance.

Nothing here knows a model: scores come from a function that is given which
points of each utterance are kept.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from salience.progress import bar
from salience.randomness import generator
from salience.saliency.base import SaliencyMap
from salience.saliency.controls import OtherUtterances

SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Shares of the points that are hidden, or shown, beside none and all of them."""

TOP = 0.1
"""Share of the points that count as the top of a map."""

Name = TypeVar("Name", bound=Hashable)
Ranks = np.ndarray
"""Of each point (frames, bins) the share of the points that are more important, in (0, 1)."""

Score = Callable[[Sequence[np.ndarray]], Sequence[float] | np.ndarray]
"""From the points that are kept of each utterance, True where one is, (frames, bins), to a score of each."""


def ranked(values: np.ndarray, rng: np.random.Generator) -> Ranks:
    """The ranks of a map's values (frames, bins), the highest first; ties are drawn."""
    drawn = rng.permutation(values.size)
    order = drawn[np.argsort(-values.ravel()[drawn])]
    ranks = np.empty(values.size, np.float32)
    ranks[order] = (np.arange(values.size) + 0.5) / values.size
    return ranks.reshape(values.shape)


def moved(found: SaliencyMap, rng: np.random.Generator) -> SaliencyMap:
    """The map moved round in time and frequency by a random distance each: regions of the same shape, elsewhere."""
    return replace(found, values=np.roll(found.values, [rng.integers(size) for size in found.values.shape], (0, 1)))


def ranks_of(
    maps: Mapping[str, SaliencyMap],
    shapes: Mapping[str, tuple[int, int]],
    seed: int,
    ties: str = "",
    control: bool = False,
) -> dict[str, Ranks]:
    """The ranks of the points of each utterance.

    Args:
        maps: The maps.
        shapes: Frames and bins of each utterance.
        seed: Random seed of ties and moves.
        ties: What names the draw of ties; maps that are compared need different ones.
        control: Whether each map is moved round first.
    """
    found = {}
    for key, shape in shapes.items():
        random = generator(seed, key, "moved" if control else "ties", ties)
        one = moved(maps[key], random) if control else maps[key]
        found[key] = ranked(one.enlarged(*shape), random)
    return found


def with_controls(
    maps: Mapping[str, SaliencyMap], shapes: Mapping[str, tuple[int, int]], seed: int
) -> dict[str, dict[str, Ranks]]:
    """The ranks of the maps (`map`), and of the controls `random` and `other`."""
    borrowed = OtherUtterances({key: maps[key] for key in shapes}, {key: frames for key, (frames, _) in shapes.items()})
    return {
        "map": ranks_of(maps, shapes, seed),
        "random": ranks_of(maps, shapes, seed, control=True),
        "other": ranks_of(borrowed, shapes, seed),
    }


def deleted(ranks: Ranks, share: float) -> np.ndarray:
    """The points that are kept when this share, the most important, is hidden."""
    return ranks >= share


def inserted(ranks: Ranks, share: float) -> np.ndarray:
    """The points that are kept when this share, the most important, is all that is shown."""
    return ranks < share


CURVES = {"deletion": deleted, "insertion": inserted}
"""What is kept at a share, by the name of the curve."""


def curves(
    rankings: Mapping[Name, Sequence[Ranks]], score: Score, shares: Sequence[float] = SHARES, title: str = "curves"
) -> dict[Name, dict[str, np.ndarray]]:
    """The curves (utterances, shares and both ends) of several rankings of the same utterances, by name in CURVES.

    Nothing hidden and nothing shown are scored once for all of them.

    Args:
        rankings: Ranks of each utterance, by the name of what ranks them.
        score: Scores of the utterances from what is kept of each.
        shares: Shares in ascending order.
        title: What the progress line says.
    """
    utterances = next(iter(rankings.values()))
    whole, nothing = (np.asarray(score([np.full(each.shape, kept) for each in utterances])) for kept in (True, False))
    work = [(name, kind, share) for name in rankings for kind in CURVES for share in shares]
    found: dict[Name, dict[str, list[np.ndarray]]] = {
        name: {"deletion": [whole], "insertion": [nothing]} for name in rankings
    }
    for name, kind, share in bar(work, title):
        found[name][kind].append(np.asarray(score([CURVES[kind](ranks, share) for ranks in rankings[name]])))
    for each in found.values():
        each["deletion"].append(nothing)
        each["insertion"].append(whole)
    return {name: {kind: np.stack(rows, axis=1) for kind, rows in each.items()} for name, each in found.items()}


def ends(shares: Sequence[float] = SHARES) -> list[float]:
    """The shares of a curve, both ends included."""
    return [0.0, *shares, 1.0]


def area(curve: np.ndarray, shares: Sequence[float] = SHARES) -> np.ndarray:
    """The area below curves (..., shares and both ends), by trapezoids: the mean score over all shares."""
    return np.trapezoid(curve, ends(shares), axis=-1)


def rank_correlation(first: Ranks, second: Ranks) -> float:
    """Spearman's correlation of two rankings of the same points."""
    a, b = (ranks.ravel().astype(np.float64) - 0.5 for ranks in (first, second))
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def overlap(first: Ranks, second: Ranks, top: float = TOP) -> float:
    """Share of one ranking's top that is in the top of the other; independent rankings share `top`."""
    a, b = (ranks < top for ranks in (first, second))
    return float((a & b).sum() / max(a.sum(), 1))


def agreement(
    metric: str,
    against: str,
    first: Mapping[str, Ranks],
    maps: Mapping[str, SaliencyMap],
    shapes: Mapping[str, tuple[int, int]],
    seed: int,
) -> dict[str, Any]:
    """How far each utterance's ranks agree with other maps, and with these moved round: all ranks, and the top."""
    found: dict[str, Any] = {"metric": metric, "against": against}
    for suffix, control in (("", False), ("_random", True)):
        second = ranks_of(maps, shapes, seed, metric, control)
        pairs = [(first[key], second[key]) for key in shapes]
        found[f"rank{suffix}"] = [round(rank_correlation(*pair), 4) for pair in pairs]
        found[f"overlap{suffix}"] = [round(overlap(*pair), 4) for pair in pairs]
    return found
