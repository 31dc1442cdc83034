"""Rows of what measure_saliency.py finds: areas below curves, what they gain over controls, and agreement of maps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from salience.errors import RERUN, InputError, stale
from salience.files import read_json
from salience.scoring.bootstrap import interval, resampled_rates, resampling_units
from salience.scoring.results import new_row, rounded
from salience.scoring.sources import SOURCES, Run

SIGNS = {"deletion": -1, "insertion": 1}
"""Whether a faithful map's area below a curve is lower or higher than that of its controls."""

SURVIVES = 0.1
"""A map survives randomised weights if the size of its correlation, less that of random maps, is above this with its
interval; a map that is turned round has the same edges."""

WHAT = {"map": "curve", "random": "control_curve", "other": "other_curve", "noise_only": "noise_only_curve"}
"""Fields of the curves of a map and of its controls, and of what noise masks say without speech."""
NAMES = {"random": "control", "other": "other", "noise_only": "noise_only"}
"""Fields of their areas, and of their rates of errors."""
MEASURES = ("rank", "rank_random", "overlap", "overlap_random")


@SOURCES.register("faithfulness")
@dataclass(frozen=True)
class Faithfulness:
    """How faithful saliency maps are to the model that they explain.

    Args:
        measured: Pattern of the files of measure_saliency.py, with {system}, the method, and {set}; utterances of
            several folds count together, and of several seeds the mean; what else it has, such as {classifier}, are
            fields of the rows.
        what: What it is, for the sentence about what a run did not make.
        seedless: Systems that no seed of ours belongs to.
    """

    measured: str
    what: str | None = None
    seedless: Sequence[str] = ()

    def collect(self, run: Run) -> None:
        """Add the rows of each method."""
        groups: dict[tuple[tuple[str, str], ...], dict[int, list[Mapping[str, Any]]]] = {}
        for fields, path in run.found(self.measured, self.what):
            found = read_json(path)
            if not isinstance(found, dict) or not {"utterances", "speakers", "shares", "curves"} <= found.keys():
                raise stale(path, "holds no curves of saliency maps")
            place = tuple((k, v) for k, v in fields.items() if k not in ("fold", "seed"))
            groups.setdefault(place, {}).setdefault(int(fields.get("seed", 0)), []).append(found)
        for place, seeds in groups.items():
            parts = [mean_of_seeds(same) for same in zip(*seeds.values(), strict=True)]
            known = sorted(seeds) if any(seeds) and dict(place).get("system") not in self.seedless else []
            run.rows += [new_row(run.common, seeds=known, **dict(place), **row) for row in rows_of(parts)]


def mean_of_seeds(found: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """What was found of the same utterances with several seeds, as one; the agreement is that of all pairs of seeds."""
    first = found[0]
    if len(found) == 1:
        return first
    if any(one["utterances"] != first["utterances"] for one in found):
        raise InputError(f"maps were measured on other utterances with one seed than with another; {RERUN}")

    def mean(name: str) -> dict[str, Any]:
        return {
            kind: {what: np.mean([one[name][kind][what] for one in found], axis=0) for what in of_kind}
            for kind, of_kind in first[name].items()
        }

    pairs = [entry for one in found for entry in one["agreement"]]
    agreement = [
        {"metric": metric, "against": "other seeds"}
        | {name: np.mean([p[name] for p in pairs if p["metric"] == metric], axis=0).tolist() for name in MEASURES}
        for metric in dict.fromkeys(pair["metric"] for pair in pairs)
    ]
    return {**first, **{name: mean(name) for name in ("curves", "errors") if name in first}, "agreement": agreement}


def rows_of(parts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Make the rows of one method on one set, of files with different utterances.

    `deletion_auc` and `insertion_auc` have the mean `curve`, the area of
    random regions as `control`, their `control_curve`, and `other_curve` of
    another utterance's maps.  `deletion_gain` and `insertion_gain` say how
    much better the map is than what it is `against`.  Where errors were
    counted, `error_at_share` is their rate at a `share` of the points of the
    curve `of`, beside those of the controls.  Rows of agreement have
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

    shares, score = parts[0]["shares"], {name: parts[0].get(name) for name in ("score", "unit")}
    found = error_rows(parts, units, about) if "errors" in parts[0] else []
    for kind, sign in SIGNS.items():
        there = [what for what in WHAT if what in parts[0]["curves"][kind]]
        curves = {what: np.array(all_of([part["curves"][kind][what] for part in parts])) for what in there}
        areas = {what: np.trapezoid(rows, shares, axis=1) for what, rows in curves.items()}
        drawn = {
            WHAT[what]: [[share, rounded(mean)] for share, mean in zip(shares, curves[what].mean(0), strict=True)]
            for what in there
        }
        means = {NAMES[what]: rounded(areas[what].mean()) for what in there if what in NAMES}
        found.append({"metric": f"{kind}_auc", **with_interval(areas["map"]), **means, **score, **drawn})
        found += [
            {"metric": f"{kind}_gain", "against": what, **score, **with_interval(sign * (areas["map"] - areas[what]))}
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
            found[-1]["survives"] = with_interval(abs(rank) - abs(chance))["low"] > SURVIVES
    return found


def error_rows(
    parts: Sequence[Mapping[str, Any]], units: Sequence[str], about: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Rates of errors in percent at each share of the points, of maps and controls."""
    lengths = np.concatenate([part["lengths"] for part in parts]).astype(float)
    found = []
    for kind in SIGNS:
        errors = {
            what: np.concatenate([part["errors"][kind][what] for part in parts]) for what in parts[0]["errors"][kind]
        }
        rates = {what: 100 * rows.sum(0) / lengths.sum() for what, rows in errors.items()}
        for place, share in enumerate(parts[0]["shares"]):
            if not 0 < share < 1:
                continue
            own = errors["map"][:, [place]].astype(float)
            low, high = interval(resampled_rates(own, lengths[:, None], units, "faithfulness")[:, 0])
            found.append(
                {"metric": "error_at_share", "of": kind, "share": rounded(100 * share)}
                | {"value": rounded(rates["map"][place]), "low": rounded(low), "high": rounded(high), **about}
                | {NAMES[what]: rounded(each[place]) for what, each in rates.items() if what in NAMES}
            )
    return found
