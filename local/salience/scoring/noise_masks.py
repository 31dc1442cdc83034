"""What noise masks are worth: how much of the speech they hide, and which frequencies they spare.

A mask M is (frames, bins) from 0 to 1, one where all noise is let through
(equation 1 of Salami Kavaki and Mandel, 2020), so importance is 1 - M.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import uniform_filter1d
from scipy.signal import find_peaks

from salience.data.tables import iterate_table
from salience.errors import RERUN, InputError, stale
from salience.scoring.patterns import matches
from salience.scoring.results import new_row, rounded

BANDS = (0, 1000, 1500, 2000, 4000, 8000)
"""Edges in Hz of the bands that a table shows."""
PEAK_SMOOTHING = 100
"""Hz over which importance is averaged before its peaks are looked for."""
PEAK_PROMINENCE = 0.1
"""A peak rises this much above its surroundings, as a part of the curve's whole range."""

Proportions = dict[str, tuple[float, float]]
"""Share of points under noise, 0 to 1, of each utterance: on its own frames, and padded to the longest."""


def read_proportions(pattern: str) -> dict[str, dict[str, dict[int, Proportions]]]:
    """Read tables `<utterance> <share> <share when padded>`, as {set: {system: {seed: shares}}}.

    Draws of noise are averaged within their seed.  A share that is no number
    from 0 to 1 is an InputError.
    """
    draws: dict[tuple[str, str, int], list[Proportions]] = {}
    for fields, path in matches(pattern):
        shares = _read_shares(path)
        of_seed = draws.setdefault((fields["set"], fields.get("system", ""), int(fields.get("seed", 0))), [])
        if of_seed and of_seed[0].keys() != shares.keys():
            raise stale(path, "does not hold the utterances of the other noise realisations")
        of_seed.append(shares)
    found: dict[str, dict[str, dict[int, Proportions]]] = {}
    for (name, system, seed), of_seed in sorted(draws.items()):
        means = {key: tuple(np.mean([one[key] for one in of_seed], axis=0)) for key in of_seed[0]}
        found.setdefault(name, {}).setdefault(system, {})[seed] = means
    return found


def _read_shares(path: Path) -> Proportions:
    shares: Proportions = {}
    for number, key, value in iterate_table(path):
        try:
            real, padded = map(float, value.split())
        except ValueError:
            real = padded = -1.0
        if not (0 <= real <= 1 and 0 <= padded <= 1):
            raise InputError(f"{path}:{number}: {key} needs two shares from 0 to 1; {RERUN}", path)
        shares[key] = real, padded
    return shares


def proportion_rows(
    set_name: str,
    systems: Mapping[str, Mapping[int, Proportions]],
    common: Mapping[str, Any],
    frames: Mapping[str, int] | None = None,
    paper: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Rows of the share of points with M > 0.5 on one set in percent, on real frames and padded.

    With `frames`, each utterance's number, the first is of all points
    together; without, it is the mean over utterances.  Padded utterances have
    one length.  `paper` is as `rate_rows` takes it.
    """
    rows = []
    for system, seeds in systems.items():
        for place, metric in enumerate(("noise_proportion", "noise_proportion_padded")):
            values = []
            for shares in seeds.values():
                if frames is not None and (unknown := sorted(shares.keys() - frames.keys())):
                    raise InputError(
                        f"{set_name}: the number of frames of {unknown[0]} is not known; run the feature stage again"
                    )
                weights = [1 if frames is None or place else frames[key] for key in shares]
                values.append(100 * np.average([pair[place] for pair in shares.values()], weights=weights))
            rows.append(
                new_row(
                    common,
                    set=set_name,
                    system=system,
                    metric=metric,
                    value=rounded(np.mean(values)),
                    n=len(next(iter(seeds.values()))),
                    seeds=list(seeds),
                    paper=(paper or {}).get(system, {}).get(set_name, {}).get("noise_proportion"),
                    values=[rounded(value) for value in values],
                )
            )
    return rows


@dataclass(frozen=True)
class FrequencyImportance:
    """What a set's masks spare, (bins,) each, averaged over all frames of the set.

    `importance` is the mean of 1 - M; `important` the share of frames where
    M < 0.5; `hertz` are the bins' centres; `utterances` says how many there are.
    """

    hertz: np.ndarray
    importance: np.ndarray
    important: np.ndarray
    utterances: int


def frequency_importance(masks: Iterable[np.ndarray], sampling_rate: int = 16000) -> FrequencyImportance:
    """Average masks (frames, bins), whose bins go from 0 Hz to half the sampling rate, over frames."""
    spared: np.ndarray | float = 0.0
    below: np.ndarray | float = 0.0
    frames = utterances = 0
    for mask in masks:
        spared = spared + (1.0 - mask.astype(np.float64)).sum(axis=0)
        below = below + (mask < 0.5).sum(axis=0)
        frames += len(mask)
        utterances += 1
    if not frames:
        raise InputError("there is no mask to average over; run the step that writes the masks")
    spared, below = np.asarray(spared) / frames, np.asarray(below) / frames
    return FrequencyImportance(np.linspace(0, sampling_rate / 2, len(spared)), spared, below, utterances)


def mean_of_seeds(seeds: Sequence[FrequencyImportance]) -> FrequencyImportance:
    """The mean over estimators trained with different seeds."""
    return FrequencyImportance(
        seeds[0].hertz,
        np.mean([one.importance for one in seeds], axis=0),
        np.mean([one.important for one in seeds], axis=0),
        seeds[0].utterances,
    )


def peaks(curve: FrequencyImportance) -> list[tuple[float, float]]:
    """Where the mean importance peaks, smoothed: (Hz, importance), the highest first.

    The lowest and the highest bin can be peaks too.
    """
    step = curve.hertz[1] - curve.hertz[0]
    smooth = uniform_filter1d(curve.importance, max(1, round(PEAK_SMOOTHING / step)), mode="nearest")
    span = float(np.ptp(smooth))
    if not span:
        return []
    lowest = smooth.min()
    places, _ = find_peaks(np.concatenate([[lowest], smooth, [lowest]]), prominence=PEAK_PROMINENCE * span)
    found = [(float(curve.hertz[place - 1]), float(smooth[place - 1])) for place in places]
    return sorted(found, key=lambda peak: -peak[1])


def importance_rows(
    set_name: str, system: str, seeds: Mapping[int, FrequencyImportance], common: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Rows of each band and each peak, in percent, of the mean over seeds.

    In a band `[low, high)` in Hz: `important_points`, its part of all points
    with M < 0.5; `important_share`, the part of its own points that have it;
    `mean_importance`; and `band_points`, its part of all points.  A row of
    the metric `importance_peak` has `hertz`.
    """
    curve = mean_of_seeds(list(seeds.values()))
    total = curve.important.sum()
    same = {"set": set_name, "system": system, "n": curve.utterances, "seeds": list(seeds)}
    rows = []
    for low, high in zip(BANDS, BANDS[1:]):
        last = high >= curve.hertz[-1]
        inside = (curve.hertz >= low) & ((curve.hertz < high) | last)
        if not inside.any():
            continue
        metrics = {
            "band_points": inside.mean(),
            "important_points": curve.important[inside].sum() / total if total else None,
            "important_share": curve.important[inside].mean(),
            "mean_importance": curve.importance[inside].mean(),
        }
        rows += [
            new_row(common, metric=metric, value=rounded(100 * value), band=[low, high], **same)
            for metric, value in metrics.items()
            if value is not None
        ]
    for hertz, importance in peaks(curve):
        rows.append(
            new_row(common, metric="importance_peak", value=rounded(100 * importance), hertz=rounded(hertz), **same)
        )
    return rows
