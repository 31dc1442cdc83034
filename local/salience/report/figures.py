"""The figures of a report: FIGURES, the kinds that a recipe's report.yaml names, and what they are drawn with.

A kind is a function of a `Drawing` and of its keys in report.yaml.  Whatever a
run did not make is left out.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import fill as wrap
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from salience.errors import InputError
from salience.files import publish, read_json, temporary_name
from salience.registry import Registry
from salience.report.cells import MEAN_OVER_SNRS, label
from salience.scoring.classification import of_its_split, place_of
from salience.scoring.patterns import fill, matches, only_seeds, substituted
from salience.scoring.specification import Row, select

# Okabe and Ito's palette, told apart by readers with any colour vision; its yellow is too pale for lines.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLE = {
    "font.size": 10, "figure.dpi": 130, "savefig.bbox": "tight", "figure.titlesize": 12,
    "axes.titlesize": 11, "axes.titlelocation": "left", "axes.axisbelow": True,
    "grid.color": "#dddddd", "grid.linewidth": 0.7, "legend.frameon": False,
    "lines.linewidth": 1.3, "lines.markersize": 5, "errorbar.capsize": 2,
    "image.origin": "lower", "image.aspect": "auto", "image.interpolation": "nearest",
}  # fmt: skip
GREY = "#777777"

Points = Sequence[tuple[float, float]]
Interval = tuple[float, float, float]


@dataclass(frozen=True)
class Drawing:
    """A run of which figures are drawn.

    Args:
        out: Folder for the PNG files.
        synthetic: Whether its speech is synthetic; the titles say so.
        corpus: Its corpus.
        rows: Rows of results.json, of all corpora.
        values: What stands in the places of patterns.
        only: Systems and seeds whose trainings are drawn, such as `plain/1`; all, if empty.
    """

    out: Path
    synthetic: bool
    corpus: str = ""
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

    def groups(self, where: Mapping[str, Any], each: str | Sequence[str] = ()) -> Iterator[tuple[dict, list[Row]]]:
        """The run's rows that fit `where`, for each combination of values of some fields: (names for texts, rows)."""
        names = [each] if isinstance(each, str) else each
        rows = select(self.rows, {"corpus": self.corpus, "synthetic": self.synthetic, **where})
        for key in dict.fromkeys(tuple(row.get(name) for name in names) for row in rows):
            group = [row for row in rows if tuple(row.get(name) for name in names) == key]
            yield {**group[0], "METRIC": str(group[0]["metric"]).upper()}, group

    @contextmanager
    def picture(
        self,
        name: str,
        title: str,
        shape: tuple[int, int] = (1, 1),
        size: tuple[float, float] = (8.5, 4.4),
        framed: bool = False,
        synthetic: bool | None = None,
        **options: Any,
    ) -> Iterator[tuple[Figure, np.ndarray]]:
        """Make a figure and its axes, an array of `shape`; at the end write it as NAME.png, titled.

        Args:
            name: File name without its ending.
            title: Title, which is above the first panel, or above the figure where it has frames or columns.
            shape: Rows and columns of panels.
            size: Width and height in inches.
            framed: Whether panels have all four borders, as images have.
            synthetic: Whether the speech is synthetic, where that is not as in the run.
            options: Keyword arguments of plt.subplots.
        """
        with plt.rc_context({**STYLE, "axes.spines.top": framed, "axes.spines.right": framed}):
            figure, axes = plt.subplots(*shape, figsize=size, layout="constrained", squeeze=False, **options)
            yield figure, axes
            title = titled(title, self.synthetic if synthetic is None else synthetic)
            title = "\n".join(wrap(line, 95) for line in title.split("\n"))
            if framed or shape[1] > 1:
                figure.suptitle(title)
            else:
                axes[0, 0].set_title(title)
            save(figure, self.out / f"{name}.png")


FIGURES: Registry[Callable[..., None]] = Registry("kind of figure")


def titled(title: str, synthetic: bool) -> str:
    """Mark a title where the speech is synthetic."""
    return f"{title} [synthetic speech]".strip() if synthetic else title


def save(figure: Figure, path: Path) -> None:
    """Write a figure whole or not at all, and close it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without the date of drawing, so that the same data give the same bytes.
    figure.savefig(temporary_name(path), format="png", metadata={"Software": None})
    plt.close(figure)
    publish(temporary_name(path), path)


def line_style(index: int) -> dict[str, Any]:
    """Colour, marker and dashes of the n-th line."""
    turn, place = divmod(index, len(COLOURS))
    return {"color": COLOURS[place], "marker": MARKERS[place], "linestyle": "--" if turn else "-"}


def finish(axes: Axes, ylabel: str, xlabel: str = "", grid: str = "both", legend: bool = True) -> None:
    """Label axes, draw the grid, and explain the lines beside them."""
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.grid(axis=grid)
    if legend:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


# Rates of results.json


def _intervals(rows: Sequence[Row], line: str, place: str) -> dict[str, dict[str, Interval]]:
    found: dict[str, dict[str, Interval]] = {}
    for row in rows:
        found.setdefault(row[line], {})[label(place, row[place])] = (row["value"], row["low"], row["high"])
    return found


@FIGURES.register("bars")
def draw_bars(
    drawing: Drawing,
    where: Mapping[str, Any],
    name: str,
    title: str,
    ylabel: str,
    each: str | Sequence[str] = "normaliser",
    place: str = "set",
    bar: str = "system",
) -> None:
    """Draw bars of rates with their intervals.

    Args:
        drawing: The run.
        where: Which rows.
        name: File name; it and the texts have the row's fields in {braces}, {corpus_name}, {scoring}: raw, normalised,
            or the name of a normaliser that is not the last.
        title: Title.
        ylabel: Label of the values.
        each: Fields: a figure for each combination of their values.
        place: Field whose values stand along the axis.
        bar: Field whose values have a bar each at a place.
    """
    found = list(drawing.groups(where, each))
    for names, rows in found:
        names |= {"scoring": _scoring(rows[0], [other[0] for _, other in found]), "corpus_name": corpus_name(rows[0])}
        bars = _intervals(rows, bar, place)
        places = list(dict.fromkeys(label(place, row[place]) for row in rows))
        size = (max(6.0, 1.4 + 0.36 * len(places) * len(bars)), 4.4)
        texts = [text.format(**names) for text in (name, title)]
        with drawing.picture(*texts, size=size, synthetic=names["synthetic"]) as (_, axes):
            bar_chart(axes[0, 0], places, bars)
            finish(axes[0, 0], ylabel.format(**names), grid="y")


def _scoring(row: Row, others: Sequence[Row]) -> str:
    """`raw`, `normalised` for the last normaliser of this corpus, or the first word of any other's name."""
    name = row["normaliser"] or ""
    last = [other["normaliser"] for other in others if corpus_name(other) == corpus_name(row)][-1]
    return "raw" if name.startswith("raw") else "normalised" if name == last else (name.split() or [""])[0]


def bar_chart(axes: Axes, places: Sequence[str], bars: Mapping[str, Mapping[str, Interval]]) -> None:
    """Draw a bar with its interval for each name at each place that it has: {name: {place: (value, low, high)}}."""
    width = 0.82 / len(bars)
    for index, (name, rates) in enumerate(bars.items()):
        shown = [(at, rates[place]) for at, place in enumerate(places) if place in rates]
        values = np.array([rate for _, rate in shown])
        axes.bar(
            [at + (index - (len(bars) - 1) / 2) * width for at, _ in shown],
            values[:, 0],
            width * 0.92,
            color=COLOURS[index % len(COLOURS)],
            hatch="//" if index >= len(COLOURS) else None,
            label=name,
            yerr=_reach(values),
            error_kw={"ecolor": "#444444", "elinewidth": 1},
        )
    axes.set_xticks(range(len(places)), places)
    axes.tick_params(axis="x", length=0)


def _reach(values: np.ndarray) -> np.ndarray:
    """How far intervals (value, low, high) reach below and above their values, (2, number)."""
    return np.maximum(0, [values[:, 0] - values[:, 1], values[:, 2] - values[:, 0]])


def corpus_name(row: Row) -> str:
    """A corpus as a part of a file name."""
    return f"{row['corpus'].replace(' ', '_')}{'_synthetic' if row['synthetic'] else ''}"


@FIGURES.register("noise")
def draw_noise(
    drawing: Drawing,
    where: Mapping[str, Any],
    title: str,
    ylabel: str,
    name: str = "noise_{set}",
    ascending: bool = False,
) -> None:
    """Draw a line with intervals for each system over signal-to-noise ratios, a figure for each set.

    Args:
        drawing: The run.
        where: Which rows.
        title: Title, with the row's fields in {braces}.
        ylabel: Label of the values.
        name: File name.
        ascending: Whether the lowest ratio comes first instead of the order of the rows.
    """
    for names, rows in drawing.groups({"snr": "any", **where}, "set"):
        rows = [row for row in rows if row["snr"] != MEAN_OVER_SNRS]
        ratios = list(dict.fromkeys(row["snr"] for row in rows))
        places = [label("snr", snr) for snr in (sorted(ratios) if ascending else ratios)]
        systems = _intervals(rows, "system", "snr")
        with drawing.picture(name.format(**names), title.format(**names)) as (_, ((axes,),)):
            for index, (system, rates) in enumerate(systems.items()):
                # Beside each other, so that intervals can be told apart.
                shift = min(0.08, 0.4 / len(systems)) * (index - (len(systems) - 1) / 2)
                shown = [(at + shift, rates[place]) for at, place in enumerate(places) if place in rates]
                values = np.array([rate for _, rate in shown])
                ats = [at for at, _ in shown]
                axes.errorbar(ats, values[:, 0], yerr=_reach(values), elinewidth=1, label=system, **line_style(index))
            axes.set_xticks(range(len(places)), places)
            axes.set_ylim(bottom=0)
            finish(axes, ylabel.format(**names), "signal-to-noise ratio")


@FIGURES.register("sweep")
def draw_sweep(
    drawing: Drawing,
    where: Mapping[str, Any],
    name: str,
    title: str,
    xlabel: str,
    ends: Mapping[str, str] | None = None,
) -> None:
    """Draw errors over the values of a sweep, a curve for each set: means as a line, seeds as dots, the paper's dashed.

    Args:
        drawing: The run.
        where: Which rows.
        name: File name.
        title: Title.
        xlabel: What is swept.
        ends: What the points without a value, which come last, are called, by system.
    """
    for _, rows in drawing.groups(where):
        rows = sorted(rows, key=lambda row: (row["sweep_value"] is None, row["sweep_value"] or 0))
        named = [
            (row, (ends or {}).get(row["system"], "") if row["sweep_value"] is None else f"{row['sweep_value']:g}")
            for row in rows
        ]
        places = list(dict.fromkeys(place for _, place in named))
        with drawing.picture(name, title) as (_, ((axes,),)):
            for index, curve in enumerate(dict.fromkeys(row["set"] for row in rows)):
                mine = [(places.index(place), row) for row, place in named if row["set"] == curve]
                style = line_style(index)
                mean = [(at, np.mean(row["values"])) for at, row in mine]
                dots = [(at, value) for at, row in mine for value in row["values"]]
                theirs = [(at, row["paper"]) for at, row in mine if row["paper"] is not None]
                axes.plot(*zip(*mean), label=f"{curve}, mean over seeds", **style)
                axes.plot(*zip(*dots), ".", color=style["color"], alpha=0.5, label=f"{curve}, each seed")
                if theirs:
                    dashed = {**style, "linestyle": "--", "markerfacecolor": "white"}
                    axes.plot(*zip(*theirs), label=f"{curve}, the paper", **dashed)
            axes.set_xticks(range(len(places)), places)
            finish(axes, "error (%)", xlabel)


@FIGURES.register("weights")
def draw_weights(drawing: Drawing, where: Mapping[str, Any], title: str, name: str = "sweeps_{set}") -> None:
    """Draw accuracy and noise over each weight of a loss, and accuracy over what the noise leaves, for each set.

    Args:
        drawing: The run.
        where: Which rows are error rates in percent; the noise proportions stand beside them.
        title: Title, with the row's fields in {braces}.
        name: File name.
    """
    swept = {"weight": "any"}
    noise = {
        (row["weight"], row["weight_value"], row["set"]): row["value"]
        for _, rows in drawing.groups({"metric": "noise_proportion", **swept})
        for row in rows
    }
    for names, rows in drawing.groups({**where, **swept}, "set"):
        weights: dict[str, list[tuple[float, float, float]]] = {}
        for row in rows:
            place = (row["weight"], row["weight_value"], row["set"])
            if place in noise:
                weights.setdefault(row["weight"], []).append((row["weight_value"], 100 - row["value"], noise[place]))
        if weights:
            size = (9.5, 2.9 * len(weights) + 0.4)
            with drawing.picture(name.format(**names), title.format(**names), (len(weights), 2), size) as (
                figure,
                axes,
            ):
                for panels, (weight, points) in zip(axes, weights.items()):
                    _weight_panels(*panels, weight, *map(np.array, zip(*sorted(points))))
                lines = axes[0, 0].get_legend_handles_labels()
                figure.legend(*lines, loc="outside lower center", ncols=2)


def _weight_panels(
    left: Axes, right: Axes, weight: str, values: np.ndarray, accuracy: np.ndarray, noise: np.ndarray
) -> None:
    """The two panels of one weight of the loss, all in percent (values,)."""
    left.plot(values, accuracy, label="character accuracy", **line_style(0))
    left.plot(values, noise, color=COLOURS[5], marker="s", linestyle="--", label="noise proportion")
    left.set_xscale("log")
    left.xaxis.set_major_formatter("{x:g}")
    left.set_title(f"Weight of the {weight} term")
    finish(left, "%", "weight", legend=False)
    right.plot(100 - noise, accuracy, **line_style(0))
    # Only the ends are named: values in between crowd.
    for place in {0, len(values) - 1}:
        at = (100 - noise[place], accuracy[place])
        right.annotate(f"{values[place]:g}", at, (0, 7), textcoords="offset points", ha="center", fontsize=9)
    finish(right, "character accuracy (%)", "revealed proportion (%)", legend=False)
    for axes in (left, right):
        axes.margins(0.08, 0.18)


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

    def points(self, history: Sequence[Mapping[str, Any]], x: Sequence[str], dashed: bool = False) -> Points:
        """The (x, value) of a history, x being the first of some keys that an entry has."""
        value = self.dashed if dashed else self.value
        found = []
        for entry in history:
            place = next((entry[key] for key in x if key in entry), None)
            if place is not None and value in entry and (self.minus is None or self.minus in entry):
                found.append((place, self.scale * (entry[value] - entry.get(self.minus, 0))))
        return found


@FIGURES.register("curves")
def draw_curves(
    drawing: Drawing,
    histories: str,
    name: str,
    title: str,
    panels: Sequence[Mapping[str, Any]],
    line: str = "seed {seed}",
    each: str | None = None,
    x: Sequence[str] = ("update", "step"),
    xlabel: str = "training step",
    only: str | None = None,
    order: Sequence[str] = (),
    min_colours: int = 1,
) -> None:
    """Draw what the histories of trainings hold, one panel below the other.

    Args:
        drawing: The run.
        histories: Pattern of their history.json.
        name: File name, with the pattern's placeholders.
        title: Title, likewise.
        panels: Keyword arguments of `Panel`; those of which there is nothing are left out.
        line: Name of a line, with the pattern's placeholders; what comes before `/` has a colour and names it.
        each: Placeholder: a figure for each of its values.
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
        if len({key.split("/")[0] for key in lines}) >= min_colours:
            texts = [text.format_map(_Blank(group[0][0])) for text in (name, title)]
            training_curves(drawing, *texts, [Panel(**panel) for panel in panels], lines, x, xlabel)


class _Blank(dict):
    """What a placeholder that a pattern has not is written as: nothing."""

    def __missing__(self, key: str) -> str:
        return ""


def training_curves(
    drawing: Drawing,
    name: str,
    title: str,
    panels: Sequence[Panel],
    histories: Mapping[str, Sequence[Mapping[str, Any]]],
    x: Sequence[str] = ("update", "step"),
    xlabel: str = "training step",
) -> None:
    """Draw panels of curves of {name of the line: history}; the beginnings of later phases are marked.

    `own/1` and `own/2` are two lines of one colour.
    """
    colours = list(dict.fromkeys(key.split("/")[0] for key in histories))
    entries = [entry for history in histories.values() for entry in history]
    shown = [panel for panel in panels if any(panel.points(history, x) for history in histories.values())]
    if not shown:
        return
    phases = {e["phase"]: e["update"] - e["step"] for e in entries if e.get("phase", 1) > 1 and "update" in e}
    size = (8.5, 4.4 if len(shown) == 1 else 2.3 * len(shown) + 0.8)
    with drawing.picture(name, title, (len(shown), 1), size, sharex=True) as (_, column):
        rows = column[:, 0]
        for axes, panel in zip(rows, shown):
            for key, history in histories.items():
                style = line_style(colours.index(key.split("/")[0]))
                for dashed in (False, True) if panel.dashed else (False,):
                    if points := panel.points(history, x, dashed):
                        looks = {**style, "linestyle": "--", "markerfacecolor": "white"} if dashed else style
                        axes.plot(*zip(*points), markevery=[len(points) - 1], **looks)
            if panel.symlog:
                # The first values are a hundred times the last ones.
                axes.set_yscale("symlog", linthresh=10)
                axes.yaxis.set_major_formatter("{x:g}")
                axes.yaxis.set_major_locator(FixedLocator([-10, -5, 0, 5, 10, 20, 50, 100]))
                axes.minorticks_off()
            _draw_level(axes, panel, entries)
            for place in phases.values():
                axes.axvline(place, color="#999999", linestyle=":")
            finish(axes, panel.label, legend=False)
        rows[-1].set_xlabel(xlabel)
        handles = [plt.Line2D([], [], **line_style(index), label=key) for index, key in enumerate(colours)]
        if any(panel.dashed for panel in shown):
            handles += [
                plt.Line2D([], [], color="#444444", linestyle=s, label=n) for s, n in (("-", "dev"), ("--", "training"))
            ]
        if len(handles) > 1:
            rows[0].legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _draw_level(axes: Axes, panel: Panel, entries: Sequence[Mapping[str, Any]]) -> None:
    """The line across a panel, with its name."""
    level = panel.level
    if isinstance(level, str):
        level = next((panel.scale * entry[level] for entry in entries if level in entry), None)
    if level is None:
        return
    axes.axhline(level, color=GREY, linestyle=":")
    axes.annotate(
        panel.level_name, (1, level), (-2, 3), xycoords=("axes fraction", "data"), textcoords="offset points",
        ha="right", fontsize=9, color="#555555",
    )  # fmt: skip
    axes.margins(y=0.12)


# Classifiers and collections


@FIGURES.register("confusion")
def draw_confusions(
    drawing: Drawing, scores: str, name: str = "confusion", title: str = "", part: str | None = None
) -> None:
    """Draw the confusion matrices of classifiers, those of several seeds added.

    Args:
        drawing: The run.
        scores: Pattern of their scores; `seed` is the placeholder that is added over.
        name: First part of the file name; the values of the other placeholders follow.
        title: Title; without one these values are it.
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
        file = name.format(**names[key]) if "{" in name else "_".join((name, *(key or ("classifier",))))
        confusion_matrix(drawing, file, shown, found[0]["labels"], total)


def confusion_matrix(
    drawing: Drawing, name: str, title: str, labels: Sequence[str], counts: Sequence[Sequence[int]] | np.ndarray
) -> None:
    """Draw counts (true class, predicted class); the shade is the share of the true class."""
    from sklearn.metrics import ConfusionMatrixDisplay

    counts = np.asarray(counts)
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = max(4.0, 1.6 + 0.62 * len(labels))
    with drawing.picture(name, title, size=(size + 1, size)) as (figure, ((axes,),)):
        display = ConfusionMatrixDisplay(shares, display_labels=labels)
        display.plot(ax=axes, cmap="Blues", colorbar=False, xticks_rotation=35, im_kw={"vmin": 0, "vmax": 100})
        for text, count in zip(display.text_.ravel(), counts.ravel()):
            text.set_text(str(count))
        axes.set_xticks(axes.get_xticks(), labels, ha="right", rotation_mode="anchor")
        axes.set(xlabel="predicted class", ylabel="true class")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        figure.colorbar(display.im_, ax=axes, label="share of the true class (%)", fraction=0.046, pad=0.04)


HISTOGRAMS = {
    "duration": ("Length of a clip (s)", "clips"),
    "snr": ("Signal-to-noise ratio (dB)", "clips"),
    "speakers": ("Speakers of a recording", "recordings"),
}


def draw_histograms(drawing: Drawing, name: str, histograms: Mapping[str, Mapping[str, Any]]) -> None:
    """Draw the histograms of a collection beside each other, {name in HISTOGRAMS: {edges, counts}}."""
    with drawing.picture(name, "", (1, len(histograms)), (4 * len(histograms), 3)) as (_, axes):
        for panel, (what, own) in zip(axes[0], histograms.items(), strict=True):
            panel.stairs(own["counts"], own["edges"], fill=True)
            panel.set(xlabel=HISTOGRAMS[what][0], ylabel=HISTOGRAMS[what][1])
            panel.yaxis.get_major_locator().set_params(integer=True)
