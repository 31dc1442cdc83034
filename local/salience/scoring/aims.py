"""What a recipe aims at, written into the rows and comparisons that say whether it is reached."""

from collections.abc import Mapping, Sequence
from typing import Any


def attach_aims(
    aims: Sequence[Mapping[str, Any]],
    rows: Sequence[dict[str, Any]],
    compared: Sequence[dict[str, Any]],
    normaliser: str | None,
) -> None:
    """Write each aim into the row that it is about or, where it is of a difference, into the comparison.

    Args:
        aims: A `name`, one of `at_most`, `at_least`, `above` and `below`, and fields of the row, with `against` of the
            comparison.
        rows: Rows.
        compared: Comparisons.
        normaliser: The normaliser of the error rates that count.
    """
    for place, aim in enumerate(aims):
        wanted = {key: aim[key] for key in ("system", "against", "set", "metric") if key in aim}
        for item in compared if "against" in aim else rows:
            if (
                wanted.items() <= item.items()
                and item["normaliser"] in (normaliser, None)
                and item.get("snr") is item.get("accent") is item.get("weight") is None
            ):
                item["aim"] = {"place": place, **{key: aim[key] for key in aim if key not in wanted}}
