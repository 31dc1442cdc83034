"""The sentence on what the saliency maps of a recipe are worth."""

from collections.abc import Sequence

from salience.report.cells import distinct, points, rate
from salience.report.findings import RULES
from salience.report.frames import Part
from salience.scoring.specification import Row, select

GAINS = {"deletion_gain": "deletion", "insertion_gain": "insertion"}
JUDGEMENTS = {
    2: "better than random regions of the same area",
    1: "better than random regions by one curve only",
    0: "not shown to be better than random regions",
    -1: "worse than random regions",
}
PLACE = ("system", "classifier", "set")


@RULES.register("faithfulness")
def faithfulness_sentences(part: Part) -> list[str]:
    """Say which maps are better than random ones, by how many points, and how seeds of the model agree."""
    gains = select(part.rows, {"metric": list(GAINS), "against": "random"})
    told: dict[int, list[str]] = {}
    for place in dict.fromkeys(tuple(row.get(name) for name in PLACE) for row in gains):
        own = select(gains, dict(zip(PLACE, place, strict=True)))
        seeds = select(part.rows, {"metric": "seed_agreement", **dict(zip(PLACE, place, strict=True))})
        named = _named(own[0], len(distinct(gains, "set")) > 1)
        told.setdefault(_judged(own), []).append(f"{named} ({_points(own)}{_agreed(seeds)})")
    said = "; ".join(f"{JUDGEMENTS[count]}: {', '.join(told[count])}" for count in JUDGEMENTS if count in told)
    return [f"At finding what the model uses, maps are {said}."] if said else []


def _judged(rows: Sequence[Row]) -> int:
    """By how many curves maps are better, or -1 if they are worse by both."""
    return -1 if all(row["high"] < 0 for row in rows) else sum(row["low"] > 0 for row in rows)


def _named(row: Row, with_set: bool) -> str:
    """`gradcam of cnn on cls_test`."""
    of = f" of {row['classifier']}" if row.get("classifier") else ""
    return f"{row['system']}{of}" + (f" on {row['set']}" if with_set else "")


def _points(rows: Sequence[Row]) -> str:
    unit = rows[0].get("unit")
    gains = (f"{GAINS[row['metric']]} {rate(row['value'], 2 if unit else 1)}" for row in rows)
    return f"{', '.join(gains)} {unit or 'points'}"


def _agreed(seeds: Sequence[Row]) -> str:
    values = sorted(row["value"] for row in seeds)
    ends = dict.fromkeys(points(value) for value in (values[:1] + values[-1:]))
    return f"; seeds agree by r = {' to '.join(ends)}" if seeds else ""
