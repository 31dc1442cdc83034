"""Cells of a report's tables: how a number that it shows is written."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from string import Formatter
from typing import Any

from salience.registry import Registry
from salience.scoring.specification import Row

NONE = "–"
MEAN_OVER_SNRS = "mean"


@dataclass(frozen=True)
class Column:
    """A column, or several, of a table.

    Args:
        title: Its header, in which {field} is that of its first row.
        show: What its cells show: one of CELLS, a field of its first row, or `run.<name>`, a table of the run in which
            the line's first field is looked up.
        where: Which rows it is of.
        each: A field: there is a column for each of its values.
        columns: Columns instead of one, with the conditions of this one too.
        join: A field whose values have a cell each, with slashes between them; or [field, [value, ...]].
        digits: Decimals.
        names: What values of the field that it shows are called.
        mark: A field of the run: the cell with its value says so.
    """

    title: str = ""
    show: str = "value"
    where: Mapping[Any, Any] = field(default_factory=dict)
    each: str | None = None
    columns: Sequence[Any] = ()
    join: str | Sequence[Any] | None = None
    digits: int = 1
    names: Mapping[Any, str] = field(default_factory=dict)
    mark: str | None = None


Cell = Callable[[Sequence[Row], Column], str]
CELLS: Registry[Cell] = Registry("cell")


def label(name: str, value: Any) -> str:
    """A value of a field as a header or the first cell of a line has it."""
    if value is None or value == []:
        return NONE
    if name == "snr" and isinstance(value, (int, float)):
        return f"{value:g} dB"
    if name == "band":
        return f"below {value[1]:,} Hz" if value[0] == 0 else f"{value[0]:,} to {value[1]:,} Hz"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def rate(value: float, digits: int = 1) -> str:
    """A rate in percent, with as many decimals as its paper prints."""
    return f"{value:z.{digits}f}"


def points(value: float) -> str:
    """A difference of rates; a value that rounds to nothing has no sign."""
    return f"{value:.2f}".replace("-0.00", "0.00")


def metric_name(metric: str) -> str:
    """How a metric is written: abbreviations in capitals."""
    return metric.upper() if metric in ("wer", "cer") else metric


def p_value(p: float) -> str:
    """A p value, no finer than resampling can tell."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def better_seeds(item: Row) -> int:
    """In how many seeds a comparison's difference is an improvement."""
    return sum(difference < 0 for difference in item["differences"])


def _field(name: str) -> Cell:
    return lambda rows, column: _number(rows[0].get(name), column)


for _name in ("value", "paper", "control", "other", "noise_only", "overlap", "overlap_control"):
    CELLS.register(_name)(_field(_name))


def _number(value: float | None, column: Column) -> str:
    return NONE if value is None else f"{value:,.{column.digits}f}"


@CELLS.register("interval")
def _interval(rows: Sequence[Row], column: Column) -> str:
    """A rate and its 95 % interval, where it has one."""
    row = rows[0]
    return _spanned(row["value"], row.get("low"), row.get("high"), column)


@CELLS.register("index")
def _index(rows: Sequence[Row], column: Column) -> str:
    """An index that may be undefined, and its 95 % interval."""
    return "undefined" if rows[0]["value"] is None else _interval(rows, column)


def _spanned(value: float, low: float | None, high: Any, column: Column, more: str = "") -> str:
    text = rate(value, column.digits)
    return text if low is None else f"{text} ({rate(low, column.digits)} to {rate(high, column.digits)}{more})"


@CELLS.register("range")
def _range(rows: Sequence[Row], column: Column) -> str:
    """A mean over seeds with the least and the greatest; of a single seed, its interval."""
    values = rows[0].get("values", [])
    if len(values) < 2:
        return _interval(rows, column)
    return _spanned(rows[0]["value"], min(values), max(values), column)


@CELLS.register("speakers")
def _speakers(rows: Sequence[Row], column: Column) -> str:
    """The mean accuracy of a speaker, then the lowest, the highest and how many there are."""
    mean = next((row for row in rows if row["metric"] == "speaker_accuracy"), None)
    if mean is None:
        return NONE
    each = [row["value"] for row in rows if row.get("speaker") is not None]
    if not each and mean.get("speakers") is None:
        return _interval([mean], column)
    low, high = (min(each), max(each)) if each else (mean["lowest"], mean["highest"])
    return _spanned(mean["value"], low, high, column, f", {len(each) or mean['speakers']} speakers")


@CELLS.register("values")
def _values(rows: Sequence[Row], column: Column) -> str:
    values = rows[0].get("values", [])
    return ", ".join(NONE if value is None else rate(value, column.digits) for value in values) or NONE


@CELLS.register("difference")
def _difference(rows: Sequence[Row], column: Column) -> str:
    """A comparison: points, its interval, and in how many seeds it is better."""
    seeds = _better(rows, column)
    return _points(rows, column) if seeds == NONE else f"{_points(rows, column)[:-1]}, {seeds})"


@CELLS.register("points")
def _points(rows: Sequence[Row], column: Column) -> str:
    """A comparison's difference and its interval."""
    item = rows[0]
    return f"{points(item['difference'])} ({points(item['low'])} to {points(item['high'])})"


@CELLS.register("p")
def _p(rows: Sequence[Row], column: Column) -> str:
    return p_value(rows[0]["p"])


@CELLS.register("p_adjusted")
def _p_adjusted(rows: Sequence[Row], column: Column) -> str:
    return p_value(rows[0]["p_adjusted"])


@CELLS.register("better")
def _better(rows: Sequence[Row], column: Column) -> str:
    seeds = rows[0]["differences"]
    return f"{better_seeds(rows[0])} of {len(seeds)}" if seeds else NONE


@CELLS.register("differences")
def _differences(rows: Sequence[Row], column: Column) -> str:
    return ", ".join(map(points, rows[0]["differences"])) or NONE


@CELLS.register("seconds")
def _seconds(rows: Sequence[Row], column: Column) -> str:
    return _number(rows[0]["seconds"] or None, column)


class _Template(Formatter):
    def get_value(self, key: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
        value = kwargs.get(key)
        if value is None:
            raise KeyError(key)
        return label(key, value) if key == "snr" else value

    def format_field(self, value: Any, spec: str) -> str:
        return format(value, spec) if spec else label("", value)


def filled(text: str, *fields: Mapping[str, Any]) -> str | None:
    """The text with {field} from the first of the mappings that has it; None if one of its fields is nowhere.

    Args:
        text: Text with format fields such as {set} or {value:.1f}.
        fields: Rows, or what else has names and values.
    """
    known: dict[str, Any] = {}
    for mapping in reversed(fields):
        known |= {name: value for name, value in mapping.items() if value is not None}
    try:
        return _Template().vformat(text, (), known)
    except (KeyError, TypeError):
        return None


def distinct(items: Iterable[Row], name: str) -> list[Any]:
    """The values of a field in the order in which they come; of normalisers, raw ones come first."""
    found: list[Any] = []
    for item in items:
        if item.get(name) not in found:
            found.append(item.get(name))
    return sorted(found, key=lambda one: not str(one).startswith("raw")) if name == "normaliser" else found
