"""Cells and sentences of a report: how a number that it shows is written."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]

NONE = "–"


@dataclass(frozen=True)
class Table:
    """A table of cells that are ready to print."""

    title: str
    headers: list[str]
    rows: list[list[str]]
    note: str = ""


def distinct(items: Iterable[Row], key: str) -> list[Any]:
    """The values of a field, in the order in which they come."""
    return list(dict.fromkeys(item[key] for item in items))


def snr_name(snr: Any) -> str:
    """`clean` as it is, a number as a ratio in dB."""
    return f"{snr:g} dB" if isinstance(snr, (int, float)) else str(snr)


def with_interval(row: Row | None, digits: int = 1) -> str:
    """A rate and its 95 % interval, where it has one."""
    if row is None:
        return NONE
    if row.get("low") is None:
        return rate(row["value"], digits)
    low, high = rate(row["low"], digits), rate(row["high"], digits)
    return f"{rate(row['value'], digits)} ({low} to {high})"


def sentence(item: Row) -> str:
    """A comparison in words that claim no more than its interval shows."""
    gap, low, high = item["difference"], item["low"], item["high"]
    shown = low > 0 or high < 0
    word = "worse"
    if gap < 0:
        gap, low, high, word = -gap, -high, -low, "better"
    numbers = f"95 % interval {points(low)} to {points(high)}, {p_value(item['p'])}"
    if len(item["differences"]) > 1:
        better = sum(difference < 0 for difference in item["differences"])
        numbers += f", better in {better} of {len(item['differences'])} seeds"
    if shown:
        return f"{item['system']} is {points(gap)} points {word} than {item['against']} ({numbers})."
    measured = f"{item['system']} measured {points(gap)} points {word}" if gap else "none measured"
    return f"{item['system']} and {item['against']}: no difference is shown ({measured}; {numbers})."


def rate(value: float, digits: int = 1) -> str:
    """A rate in percent, with as many decimals as its paper prints."""
    return f"{value:.{digits}f}"


def points(value: float) -> str:
    """A difference of rates; a value that rounds to nothing has no sign."""
    return f"{value:.2f}".replace("-0.00", "0.00")


def p_value(p: float) -> str:
    """A p value, no finer than resampling can tell."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"
