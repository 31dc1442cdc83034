"""Result rows of a collection: its size by accent, what was rejected, and how it compares with a reference."""

from collections.abc import Mapping
from typing import Any

from salience.scoring.results import new_row

PER_ACCENT = ("samples", "hours", "recordings", "speakers")
BOUNDARIES = ("precision", "recall", "f1", "chance_precision")
MOST_RECORDINGS = 20
"""Recordings that have a row of their own: those that lose most."""
COMPARED = {"tolerance": "clips", "speech_tolerance": "speech"}
"""The keys of a comparison that hold boundaries, and what these are the boundaries of."""


def collection_rows(
    told: Mapping[str, Any], common: Mapping[str, Any], paper: Mapping[str, Mapping[str, float]] | None = None
) -> list[dict[str, Any]]:
    """Rows of the set `collection` from collection.json.

    `paper` maps accent and metric to the paper's figure; an accent of the
    paper that was not collected has 0 samples.  Rows of rejected pieces have
    a `reason` and their `seconds`, those of boundaries `of` and `tolerance`
    in seconds, those of a `recording` its length in `seconds`.
    """
    paper = paper or {}

    def row(metric: str, value: float | None, **fields: Any) -> dict[str, Any]:
        return new_row(common, set="collection", system="collection", metric=metric, value=value, seeds=[], **fields)

    found = {one["accent"]: one for one in told["accents"]}
    rows = [
        row(metric, found.get(accent, {}).get(metric, 0), accent=accent, paper=paper.get(accent, {}).get(metric))
        for accent in [*paper, *sorted(found.keys() - paper.keys())]
        for metric in PER_ACCENT
    ]
    rows += [row("samples", told["clips"]), row("hours", told["hours"])]
    rows += [row("recordings", told["recordings"]), row("recording_hours", told["recording_hours"])]
    rows += [row("rejected", one["count"], reason=one["reason"], seconds=one["seconds"]) for one in told["rejected"]]
    for one in told.get("by_recording", [])[:MOST_RECORDINGS]:
        of_one = {"recording": one["recording"], "seconds": one["seconds"]}
        rows += [row("kept_seconds", one["kept"], **of_one), row("rejected_seconds", one["rejected"], **of_one)]
    compared = told.get("reference") or {}
    for key, value in compared.items():
        if key in COMPARED:
            for tolerance, figures in value.items():
                rows += [
                    row(f"boundary_{name}", figures[name], of=COMPARED[key], tolerance=float(tolerance))
                    for name in BOUNDARIES
                ]
        else:
            rows.append(row(f"reference_{key}", value))
    return rows
