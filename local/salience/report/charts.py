"""The charts of a page: FIGURES, the kinds that a recipe's report.yaml names, as Vega-Lite specifications.

A kind is a function of a `Drawing` and of its keys in report.yaml; it yields a
`Chart` for each picture.  Whatever a run did not make is left out.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any

import altair
import numpy as np

from salience.errors import InputError
from salience.features.archives import Archive
from salience.files import read_json
from salience.registry import Registry
from salience.report.cells import MEAN_OVER_SNRS, label
from salience.scoring.classification import of_its_split, place_of
from salience.scoring.noise_masks import frequency_importance, mean_of_seeds
from salience.scoring.patterns import fill, matches, only_seeds, substituted
from salience.scoring.specification import Row, Specification, called_by_kind, select

METRIC = "@metric"
"""Stands in the specifications for the title of the axis, which the page's script puts in."""
RATE = 16_000


@dataclass(frozen=True)
class Drawing:
    """A run of which charts are drawn.

    Args:
        corpus: Its corpus.
        synthetic: Whether its speech is synthetic.
        rows: Rows of results.json, of all corpora.
        values: What stands in the places of patterns.
        only: Systems and seeds that are shown, such as `plain/1`; all, if empty.
    """

    corpus: str = ""
    synthetic: bool = False
    rows: Sequence[Row] = ()
    values: Mapping[str, str] = field(default_factory=dict)
    only: str = ""

    def found(self, pattern: str) -> list[tuple[dict[str, str], Path]]:
        """The paths that match a pattern; none if a place of it has no value."""
        filled = fill(pattern, self.values)
        return matches(filled) if filled is not None else []

    def path(self, pattern: str) -> Path | None:
        """The first path that matches a pattern, if there is one."""
        return next((path for _, path in self.found(pattern)), None)

    def text(self, text: str) -> str:
        """A text with the run's values in its places; empty if one of them has none."""
        return substituted(text, self.values) or ""

    def groups(self, where: Mapping[str, Any], each: str = "corpus") -> Iterator[tuple[dict[str, Any], list[Row]]]:
        """The run's rows that fit `where`, for each value of a field: (names for texts, rows)."""
        for rows in self.parts(where, (each,)):
            yield {**rows[0], "METRIC": str(rows[0]["metric"]).upper()}, rows

    def parts(self, where: Mapping[str, Any], each: Sequence[str]) -> Iterator[list[Row]]:
        """The run's rows that fit `where`, in groups that have the same values of some fields."""
        rows = select(self.rows, {"corpus": self.corpus, "synthetic": self.synthetic, **where})
        for key in dict.fromkeys(tuple(row.get(name) for name in each) for row in rows):
            yield [row for row in rows if tuple(row.get(name) for name in each) == key]


@dataclass(frozen=True)
class Chart:
    """A chart with its title and what a reader must know of it."""

    title: str
    chart: altair.TopLevelMixin
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """What the page's script draws."""
        return {"title": self.title, "note": self.note, "specification": self.chart.to_dict()}


FIGURES: Registry[Callable[..., Iterator[Chart]]] = Registry("kind of figure")


def drawn(drawing: Drawing, wanted: Specification) -> list[Chart]:
    """The charts that a recipe's report.yaml names, as far as the run has them."""
    entries = (called_by_kind(FIGURES, entry, f"{wanted.path}: figures", drawing) for entry in wanted.figures)
    return list(chain.from_iterable(entries))


# What charts are made of


def rates_chart() -> altair.LayerChart:
    """A line for each system: its rate with interval, each seed and the paper's figure."""
    base = altair.Chart(altair.NamedData("rows")).encode(y=altair.Y("system:N", sort=None, title=None))
    seeds = base.transform_flatten(["seeds", "values"])
    tooltip = [altair.Tooltip(f"{name}:N") for name in ("system", "value", "low", "high", "n", "paper")]
    return altair.layer(
        base.mark_rule(size=2.5).encode(x=_rate("low"), x2="high:Q"),
        seeds.mark_circle(size=16, yOffset=8, opacity=0.9).encode(
            x=_rate("values"), tooltip=["system:N", "seeds:N", "values:N"]
        ),
        base.mark_point(size=90, filled=True, opacity=1).encode(x=_rate("value"), tooltip=tooltip),
        base.transform_filter("isValid(datum.paper)")
        .mark_point(shape="diamond", size=90, strokeWidth=2, style="paper")
        .encode(x=_rate("paper"), tooltip=tooltip),
    ).properties(width="container")


def accents_chart() -> altair.LayerChart:
    """A line for each accent with the rate of every system and its interval; the script sorts the accents."""
    base = altair.Chart(altair.NamedData("rows")).encode(
        y=altair.Y("accent:N", sort=None, title=None),
        yOffset=altair.YOffset("system:N", sort=None),
        color=_colour("system"),
    )
    tooltip = [altair.Tooltip(f"{name}:N") for name in ("accent", "system", "value", "low", "high", "n", "gap")]
    return altair.layer(
        base.mark_rule(size=1.5).encode(x=_rate("low"), x2="high:Q"),
        base.mark_point(size=45, filled=True, opacity=1).encode(
            x=_rate("value"), shape=altair.Shape("system:N", sort=None, legend=None), tooltip=tooltip
        ),
    ).properties(width="container")


def _rate(name: str) -> altair.X:
    scale, axis = altair.Scale(zero=False, nice=True), altair.Axis(tickCount=8)
    return altair.X(f"{name}:Q", title=METRIC, scale=scale, axis=axis)


def _colour(name: str) -> altair.Color:
    return altair.Color(f"{name}:N", sort=None, legend=altair.Legend(title=None, orient="top"))


def line_chart(
    points: Sequence[Mapping[str, Any]],
    xlabel: str,
    ylabel: str,
    ordinal: bool = False,
    scale: Mapping[str, Any] | None = None,
    xscale: Mapping[str, Any] | None = None,
    level: float | None = None,
) -> altair.LayerChart:
    """Lines with a colour for each name.

    Args:
        points: x, y and name; `line` tells lines of one colour apart, `kind` those that are dashed differently, and
            `low` and `high` are the ends of an interval.  Of the kind `each seed` there are points only.
        xlabel: Title of the x axis.
        ylabel: Title of the y axis.
        ordinal: Whether x are names in their order.
        scale: Scale of the y axis.
        xscale: Scale of the x axis.
        level: A line across.
    """
    x_scale = altair.Undefined if ordinal else altair.Scale(nice=False, **(xscale or {}))
    # Steps and epochs are whole numbers.
    least = 1 if all(isinstance(point["x"], int) for point in points) else altair.Undefined
    axis = altair.Axis(labelAngle=0, labelOverlap=True, tickMinStep=least)
    base = altair.Chart(altair.Data(values=[dict(point) for point in points])).encode(
        x=altair.X("x:O" if ordinal else "x:Q", sort=None, title=xlabel, scale=x_scale, axis=axis),
        y=altair.Y("y:Q", title=ylabel, scale=altair.Scale(**(scale or {"zero": False}))),
        color=_colour("name"),
        tooltip=["name:N", *(["kind:N"] if any("kind" in point for point in points) else []), "x:N", "y:N"],
    )
    kinds = list(dict.fromkeys(point["kind"] for point in points if "kind" in point))
    line = base.transform_filter("datum.kind != 'each seed'").encode(detail="line:N")
    if lined := [kind for kind in kinds if kind != "each seed"]:
        dashes = altair.Scale(domain=lined, range=[[1, 0], [6, 4], [2, 2], [8, 2, 2, 2]][: len(lined)])
        looks = {"symbolType": "stroke", "symbolFillColor": "transparent", "symbolStrokeColor": "#888888"}
        legend = altair.Legend(title=None, orient="top", symbolSize=300, **looks)
        line = line.encode(strokeDash=altair.StrokeDash("kind:N", scale=dashes, legend=legend))
    few = len(points) <= 20 * len({(p["name"], p.get("line"), p.get("kind")) for p in points})
    layers = [line.mark_line(point=few, strokeWidth=1.8)]
    if "each seed" in kinds:
        layers.append(base.transform_filter("datum.kind == 'each seed'").mark_point(size=18))
    if any("low" in point for point in points):
        layers.append(base.mark_rule().encode(y="low:Q", y2="high:Q"))
    if level is not None:
        across = altair.Chart(altair.Data(values=[{"level": level}]))
        layers.append(across.mark_rule(strokeDash=[2, 3], color="#888888").encode(y="level:Q"))
    return altair.layer(*layers).properties(width="container", height=240)


# Rates of results.json


@FIGURES.register("noise")
def noise(
    drawing: Drawing, where: Mapping[str, Any], title: str, ylabel: str, ascending: bool = False
) -> Iterator[Chart]:
    """Draw a line with intervals for each system over signal-to-noise ratios, a chart for each set.

    Args:
        drawing: The run.
        where: Which rows.
        title: Title, with the row's fields in {braces}.
        ylabel: Label of the values.
        ascending: Whether the lowest ratio comes first instead of the order of the rows.
    """
    for names, rows in drawing.groups({"snr": "any", **where}, "set"):
        rows = [row for row in rows if row["snr"] != MEAN_OVER_SNRS]
        if ascending:
            rows.sort(key=lambda row: (isinstance(row["snr"], str), row["snr"]))
        points = [
            {
                "x": label("snr", row["snr"]),
                "y": row["value"],
                "name": row["system"],
                "low": row["low"],
                "high": row["high"],
            }
            for row in rows
        ]
        chart = line_chart(points, "signal-to-noise ratio", ylabel.format(**names), True, {"zero": True})
        yield Chart(title.format(**names), chart, "Lines up and down are 95 % intervals.")


@FIGURES.register("sweep")
def sweep(
    drawing: Drawing, where: Mapping[str, Any], title: str, xlabel: str, ends: Mapping[str, str] | None = None
) -> Iterator[Chart]:
    """Draw errors over the values of a sweep, a curve for each set: means, seeds, and the paper's dashed.

    Args:
        drawing: The run.
        where: Which rows.
        title: Title.
        xlabel: What is swept.
        ends: What the points without a value, which come last, are called, by system.
    """
    for _, rows in drawing.groups(where):
        rows = sorted(rows, key=lambda row: (row["sweep_value"] is None, row["sweep_value"] or 0))
        points = []
        for row in rows:
            swept = row["sweep_value"]
            at = {"x": (ends or {}).get(row["system"], "") if swept is None else f"{swept:g}", "name": row["set"]}
            points.append({**at, "y": float(np.mean(row["values"])), "kind": "mean over seeds"})
            points += [{**at, "y": value, "kind": "each seed"} for value in row["values"]]
            if row["paper"] is not None:
                points.append({**at, "y": row["paper"], "kind": "the paper"})
        yield Chart(title, line_chart(points, xlabel, "error (%)", True))


@FIGURES.register("weights")
def weights(drawing: Drawing, where: Mapping[str, Any], title: str) -> Iterator[Chart]:
    """Draw accuracy and noise over each weight of a loss, for each set.

    Args:
        drawing: The run.
        where: Which rows are error rates in percent; the noise proportions stand beside them.
        title: Title, with {weight} and the row's fields in braces.
    """
    swept = {"weight": "any"}
    shares = [row for _, rows in drawing.groups({"metric": "noise_proportion", **swept}) for row in rows]
    for _, rows in drawing.groups({**where, **swept}, "set"):
        for weight in dict.fromkeys(row["weight"] for row in rows):
            same = {"weight": weight, "set": rows[0]["set"]}
            points = [
                {"x": row["weight_value"], "y": at(row["value"]), "name": name}
                for name, those, at in (
                    ("character accuracy", rows, lambda value: 100 - value),
                    ("noise proportion", shares, float),
                )
                for row in sorted(select(those, same), key=lambda row: row["weight_value"])
            ]
            if len({point["name"] for point in points}) == 2:
                chart = line_chart(points, f"weight of the {weight} term", "%", xscale={"type": "log"})
                yield Chart(title.format(**{**rows[0], "weight": weight}), chart)


@FIGURES.register("row-curves")
def row_curves(
    drawing: Drawing,
    metrics: Mapping[str, str],
    xlabel: str,
    ylabel: str,
    line: str = "{system}",
    kinds: Mapping[str, str] = MappingProxyType({"curve": ""}),
    note: str = "",
    each: Sequence[str] = ("set",),
) -> Iterator[Chart]:
    """Draw rows that have a `curve`, [[x, y], ...], such as deletion and insertion.

    Args:
        drawing: The run.
        metrics: Title of the charts of each metric, in which {set} is the set.
        xlabel: What x is.
        ylabel: What y is.
        line: What a row's line is called, in fields of the row; an accent that it has not is `all`.
        kinds: What lines are called by the field of the row that has them; each but the first is dashed.
        note: What a reader must know of it.
        each: Fields: there is a chart for each of their values.
    """
    for metric, title in metrics.items():
        for rows in drawing.parts({"metric": metric, "curve": "any"}, each):
            points = [
                {"x": x, "y": y, "name": line.format(**row | {"accent": row.get("accent") or "all"})}
                | ({"kind": kind} if kind else {})
                for row in rows
                for field, kind in kinds.items()
                for x, y in row.get(field) or ()
            ]
            yield Chart(title.format(**rows[0]), line_chart(points, xlabel, ylabel), note)


@FIGURES.register("heat")
def heat(
    drawing: Drawing,
    where: Mapping[str, Any],
    title: str,
    x: str,
    y: str,
    note: str = "",
    each: Sequence[str] = ("set",),
    middle: float = 1.0,
) -> Iterator[Chart]:
    """Draw the values of rows as a grid of shades.

    Args:
        drawing: The run.
        where: Which rows.
        title: Title, with the row's fields in {braces}.
        x: The field across; where it is null, the column is called `all`.
        y: The field down.
        note: What a reader must know.
        each: Fields: there is a chart for each of their values.
        middle: The value without a shade.
    """
    for rows in drawing.parts(where, each):
        cells = [
            {"x": row[x] or "all", "y": row[y], **{name: row[name] for name in ("value", "low", "high", "n")}}
            for row in rows
        ]
        base = altair.Chart(altair.Data(values=cells)).encode(
            x=altair.X("x:N", sort=None, title=x.replace("_", " "), axis=altair.Axis(labelAngle=-40)),
            y=altair.Y("y:N", sort=None, title=y.replace("_", " ")),
            tooltip=["x:N", "y:N", "value:Q", "low:Q", "high:Q", "n:Q"],
        )
        reach = max(abs(cell["value"] - middle) for cell in cells) or 1
        scale = altair.Scale(scheme="blueorange", domain=[middle - reach, middle + reach])
        shade = altair.Color("value:Q", scale=scale, legend=None)
        text = base.mark_text().encode(text=altair.Text("value:Q", format=".2f"), color=altair.value("#1b2430"))
        chart = altair.layer(base.mark_rect().encode(color=shade), text)
        height = max(160, 24 * len({cell["y"] for cell in cells}))
        yield Chart(title.format(**rows[0]), chart.properties(width="container", height=height), note)


# Trainings


@dataclass(frozen=True)
class Panel:
    """One panel of training curves.

    Args:
        label: Label of its values.
        value: Key of the history.
        dashed: Key of what is drawn dashed, of the training set.
        minus: Key of what is subtracted from the value.
        scale: Factor.
        level: A line across: a number, or a key of the history.
        level_name: What the line is.
        symlog: Whether the axis is linear to 10 and logarithmic beyond.
    """

    label: str
    value: str
    dashed: str | None = None
    minus: str | None = None
    scale: float = 1.0
    level: float | str | None = None
    level_name: str = ""
    symlog: bool = False

    def points(self, history: Sequence[Mapping[str, Any]], x: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The points of a history, x being the first of some keys that an entry has."""
        for entry in history:
            place = next((entry[key] for key in x if key in entry), None)
            for key, kind in ((self.value, "dev"), (self.dashed, "training")):
                if place is not None and key in entry and (self.minus is None or self.minus in entry):
                    value = self.scale * (entry[key] - entry.get(self.minus, 0))
                    yield {"x": place, "y": value} | ({"kind": kind} if self.dashed else {})

    def chart(
        self, histories: Mapping[str, Sequence[Mapping[str, Any]]], x: Sequence[str], xlabel: str
    ) -> altair.LayerChart | None:
        """Its lines, `own/1` and `own/2` being two lines of one colour; None if there is nothing."""
        points = [
            {**point, "name": key.split("/")[0], "line": key}
            for key, history in histories.items()
            for point in self.points(history, x)
        ]
        entries = [entry for history in histories.values() for entry in history]
        level = self.level
        if isinstance(level, str):
            level = next((self.scale * entry[level] for entry in entries if level in entry), None)
        scale = {"type": "symlog", "constant": 10} if self.symlog else {"zero": False}
        label = " ".join(self.label.split()) + (f"; dotted: {self.level_name}" if level is not None else "")
        return line_chart(points, xlabel, label, scale=scale, level=level) if points else None


@FIGURES.register("curves")
def curves(
    drawing: Drawing,
    histories: str,
    title: str,
    panels: Sequence[Mapping[str, Any]],
    line: str = "seed {seed}",
    each: str | None = None,
    x: Sequence[str] = ("update", "step"),
    xlabel: str = "training step",
    only: str | None = None,
    order: Sequence[str] = (),
    min_colours: int = 1,
) -> Iterator[Chart]:
    """Draw what the histories of trainings hold, a chart for each panel.

    Args:
        drawing: The run.
        histories: Pattern of their history.json.
        title: Title, with the pattern's placeholders.
        panels: Keyword arguments of `Panel`; those of which there is nothing are left out.
        line: Name of a line, with the pattern's placeholders; what comes before `/` has a colour and names it.
        each: Placeholder: a chart for each of its values.
        x: Keys of the history for the x axis; the first that an entry has counts.
        xlabel: Its label.
        only: What of the placeholders the run's `only` names, such as '{start}/{variant}'.
        order: Values of placeholders in the order of the lines; others come behind.
        min_colours: Fewer colours than this are not drawn.
    """
    chosen = only_seeds(drawing.only)

    def is_asked(fields: Mapping[str, str]) -> bool:
        return not (only and chosen) or int(fields.get("seed", 0)) in chosen.get(only.format(**fields), ())

    def rank(fields: Mapping[str, str]) -> list[tuple[int, str]]:
        return [
            (order.index(v) if v in order else len(order), v.rjust(9) if v.isdecimal() else v) for v in fields.values()
        ]

    found = [(fields, read_json(path)) for fields, path in drawing.found(histories) if is_asked(fields)]
    found.sort(key=lambda one: rank(one[0]))
    for value in dict.fromkeys(fields[each] if each else None for fields, _ in found):
        group = [one for one in found if not each or one[0][each] == value]
        lines = {line.format_map(_Blank(fields)): history for fields, history in group}
        if len({key.split("/")[0] for key in lines}) < min_colours:
            continue
        for panel in (Panel(**panel) for panel in panels):
            if chart := panel.chart(lines, x, xlabel):
                yield Chart(f"{title.format_map(_Blank(group[0][0]))}: {' '.join(panel.label.split())}", chart)


class _Blank(dict):
    """What a placeholder that a pattern has not is written as: nothing."""

    def __missing__(self, key: str) -> str:
        return ""


# Classifiers, masks and collections


@FIGURES.register("confusion")
def confusion(drawing: Drawing, scores: str, title: str = "", part: str | None = None) -> Iterator[Chart]:
    """Draw the confusion matrices of classifiers, those of several seeds added.

    Args:
        drawing: The run.
        scores: Pattern of their scores; `seed` is the placeholder that is added over.
        title: Title; without one the values of the other placeholders are it.
        part: Part of the data, such as test, of classifiers of several tasks, whose sets are called by task, part and
            split; only sets of the split that a classifier was trained on are drawn.
    """
    sums: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    names: dict[tuple[str, ...], dict[str, str]] = {}
    for fields, path in drawing.found(scores):
        if part is not None and (not of_its_split(fields) or place_of(fields["set"])[1] != part):
            continue
        key = tuple(value for field, value in fields.items() if field != "seed")
        names[key] = fields
        sums.setdefault(key, []).append(read_json(path))
        if sums[key][0]["labels"] != sums[key][-1]["labels"]:
            raise InputError(f"{path} has other labels than the classifiers of other seeds; train them again")
    for key, found in sums.items():
        total = np.sum([scores["confusion"] for scores in found], axis=0)
        seeds = f", {len(found)} seeds together" if len(found) > 1 else ""
        shown = (title.format(**names[key]) if title else ", ".join(key) or "accent classifier") + seeds
        yield Chart(f"Confusion: {shown}", confusion_matrix(found[0]["labels"], total), "Numbers are utterances.")


def confusion_matrix(labels: Sequence[str], counts: np.ndarray) -> altair.LayerChart:
    """Draw counts (true class, predicted class); the shade is the share of the true class."""
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    cells = [
        {"true": true, "predicted": predicted, "count": int(counts[i, j]), "share": float(shares[i, j])}
        for i, true in enumerate(labels)
        for j, predicted in enumerate(labels)
    ]
    base = altair.Chart(altair.Data(values=cells)).encode(
        x=altair.X("predicted:N", sort=None, title="predicted class", axis=altair.Axis(labelAngle=-40)),
        y=altair.Y("true:N", sort=None, title="true class"),
        tooltip=["true:N", "predicted:N", "count:Q", "share:Q"],
    )
    scale = altair.Scale(scheme="blues", domain=[0, 100])
    shade = altair.Color(
        "share:Q", scale=scale, legend=altair.Legend(title="share of the true class (%)", orient="top")
    )
    dark = altair.condition("datum.share > 55", altair.value("white"), altair.value("#1b2430"))
    return altair.layer(
        base.mark_rect().encode(color=shade), base.mark_text().encode(text="count:Q", color=dark)
    ).properties(width="container", height=max(160, 30 * len(labels)))


@FIGURES.register("frequency-importance")
def importance_of_frequencies(drawing: Drawing, masks: str) -> Iterator[Chart]:
    """Draw the mean importance of each frequency, a line for each seed and their mean.

    Args:
        drawing: The run.
        masks: Pattern of one set's mask.scp files.
    """
    found = drawing.found(masks)
    if not found:
        return
    curves_of = [frequency_importance(Archive(path).values(), RATE) for _, path in found]
    lines = {f"seed {fields.get('seed', '')}": curve for (fields, _), curve in zip(found, curves_of)}
    if len(lines) > 1:
        lines["mean"] = mean_of_seeds(curves_of)
    points = [
        {"x": float(hertz), "y": 100 * float(share), "name": name}
        for name, curve in lines.items()
        for hertz, share in zip(curve.hertz, curve.importance)
    ]
    chart = line_chart(points, "frequency (Hz)", "mean importance 1 - M (%)", scale={"zero": True})
    yield Chart(f"Which frequencies the masks spare, {curves_of[0].utterances} utterances", chart)


HISTOGRAMS = {
    "duration": ("Length of a clip (s)", "clips"),
    "snr": ("Signal-to-noise ratio (dB)", "clips"),
    "speakers": ("Speakers of a recording", "recordings"),
}


@FIGURES.register("histograms")
def histograms(drawing: Drawing, summary: str) -> Iterator[Chart]:
    """Draw the histograms of a collection, {name in HISTOGRAMS: {edges, counts}}.

    Args:
        drawing: The run.
        summary: Pattern of its collection.json.
    """
    for _, path in drawing.found(summary):
        for name, own in read_json(path)["histograms"].items():
            bins = [
                {"from": low, "to": high, "count": count}
                for low, high, count in zip(own["edges"], own["edges"][1:], own["counts"])
            ]
            xlabel, ylabel = HISTOGRAMS[name]
            chart = altair.Chart(altair.Data(values=bins)).mark_bar(binSpacing=1)
            chart = chart.encode(
                x=altair.X("from:Q", bin="binned", title=xlabel), x2="to:Q", y=altair.Y("count:Q", title=ylabel)
            )
            yield Chart(f"The collection: {xlabel}", chart.properties(width="container", height=200))
