"""Rows of what measure_saliency.py finds: areas below curves, what they gain over controls, and agreement of maps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from salience.errors import stale
from salience.files import read_json
from salience.scoring.bootstrap import interval, resampled_rates, resampling_units
from salience.scoring.results import new_row, rounded
from salience.scoring.sources import SOURCES, Run

SIGNS = {"deletion": -1, "insertion": 1}
"""Whether a faithful map's area below a curve is lower or higher than that of its controls."""

SURVIVES = 0.1
"""A map survives randomised weights if the interval of its correlation, less that of random maps, is above this."""

WHAT = {"map": "curve", "random": "control_curve", "other": "other_curve"}
"""Fields of the curves of a map and of its controls."""
MEASURES = ("rank", "rank_random", "overlap", "overlap_random")


@SOURCES.register("faithfulness")
@dataclass(frozen=True)
class Faithfulness:
    """How faithful saliency maps are to the model that they explain.

    Args:
        measured: Pattern of the files of measure_saliency.py, with {system}, the method, and {set}; utterances of
            several folds count together; what else it has, such as {classifier}, are fields of the rows.
        what: What it is, for the sentence about what a run did not make.
    """

    measured: str
    what: str | None = None

    def collect(self, run: Run) -> None:
        """Add the rows of each method."""
        groups: dict[tuple[tuple[str, str], ...], list[Mapping[str, Any]]] = {}
        for fields, path in run.found(self.measured, self.what):
            found = read_json(path)
            if not isinstance(found, dict) or not {"utterances", "speakers", "shares", "curves"} <= found.keys():
                raise stale(path, "holds no curves of saliency maps")
            groups.setdefault(tuple((k, v) for k, v in fields.items() if k != "fold"), []).append(found)
        for place, parts in groups.items():
            run.rows += [new_row(run.common, seeds=[], **dict(place), **row) for row in rows_of(parts)]


def rows_of(parts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Make the rows of one method on one set, of files with different utterances.

    `deletion_auc` and `insertion_auc` have the mean `curve`, the area of
    random regions as `control`, their `control_curve`, and `other_curve` of
    another utterance's maps.  `deletion_gain` and `insertion_gain` say how
    much better the map is than what it is `against`.  Rows of agreement have
    the correlation of ranks as `value`, that of random maps as `control`, and
    the `overlap` of the top decile; of the model with all weights randomised,
    whether the map `survives`.
    """

    def all_of(rows: Sequence[Sequence[Any]]) -> list[Any]:
        return [one for row in rows for one in row]

    utterances, speakers = (all_of([part[name] for part in parts]) for name in ("utterances", "speakers"))
    units, resampled = resampling_units(speakers, utterances)
    about = {"n": len(utterances), "resampled": resampled}

    def with_interval(values: np.ndarray) -> dict[str, Any]:
        samples = resampled_rates(values[:, None], np.ones((len(values), 1)), units, "faithfulness")[:, 0] / 100
        low, high = interval(samples)
        return {"value": rounded(values.mean()), "low": rounded(low), "high": rounded(high), **about}

    shares, score = parts[0]["shares"], parts[0].get("score")
    found = []
    for kind, sign in SIGNS.items():
        curves = {what: np.array(all_of([part["curves"][kind][what] for part in parts])) for what in WHAT}
        areas = {what: np.trapezoid(rows, shares, axis=1) for what, rows in curves.items()}
        drawn = {
            name: [[share, rounded(mean)] for share, mean in zip(shares, curves[what].mean(0), strict=True)]
            for what, name in WHAT.items()
        }
        control = {"control": rounded(areas["random"].mean()), "score": score}
        found.append({"metric": f"{kind}_auc", **with_interval(areas["map"]), **control, **drawn})
        found += [
            {"metric": f"{kind}_gain", "against": what, **with_interval(sign * (areas["map"] - areas[what]))}
            for what in ("random", "other")
        ]
    agreement: dict[tuple[str, str], dict[str, list[float]]] = {}
    for entry in (entry for part in parts for entry in part["agreement"]):
        own = agreement.setdefault((entry["metric"], entry["against"]), {name: [] for name in MEASURES})
        for name in MEASURES:
            own[name] += entry[name]
    for metric, against in agreement:
        rank, chance, overlap, overlap_chance = (np.array(agreement[metric, against][name]) for name in MEASURES)
        row = {"metric": metric, "against": against, **with_interval(rank), "control": rounded(chance.mean())}
        found.append(row | {"overlap": rounded(overlap.mean()), "overlap_control": rounded(overlap_chance.mean())})
        if (metric, against) == ("randomised_agreement", list(agreement)[-1][1]):
            found[-1]["survives"] = with_interval(rank - chance)["low"] > SURVIVES
    return found
