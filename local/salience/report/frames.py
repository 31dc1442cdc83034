"""What the tables of a report select from: the result rows of one corpus, and rows that are made of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from salience.registry import Registry
from salience.report.cells import distinct, metric_name
from salience.scoring.specification import Row


@dataclass(frozen=True)
class Part:
    """What results.json has of one corpus, synthetic or real.

    Args:
        rows: Its rows.
        comparisons: Its comparisons.
        run: What made it.
        metric: Error rate by which systems are compared.
        planned: Whether nothing has been measured, so that the rows have the paper's figures only.
    """

    rows: Sequence[Row]
    comparisons: Sequence[Row]
    run: Row
    metric: str
    planned: bool = False

    @property
    def corpus(self) -> str | None:
        """The corpus that the results are of."""
        return self.rows[0]["corpus"] if self.rows else None

    @property
    def normaliser(self) -> str | None:
        """The normaliser that systems are compared under: the last one, of which raw ones come first."""
        return next(reversed([name for name in distinct(self.rows, "normaliser") if name is not None]), None)

    @property
    def names(self) -> dict[str, Any]:
        """What titles, notes and conditions can say in braces; the noisy sets by what their noise is, too."""
        named = {
            "metric": self.metric,
            "METRIC": metric_name(self.metric),
            "normaliser": self.normaliser,
            "run": self.run,
        }
        return {**self.run.get("noisy_sets", {}), **named}

    def values(self, name: str) -> list[Any]:
        """The values of a field of the rows, in their order."""
        return [value for value in distinct(self.rows, name) if value is not None]

    def resolved(self, where: Mapping[Any, Any]) -> dict[Any, Any]:
        """A condition with what it has in braces put in."""
        names = self.names

        def put_in(value: Any) -> Any:
            if isinstance(value, list):
                return [put_in(one) for one in value]
            return names.get(value[1:-1], value) if isinstance(value, str) and value.startswith("{") else value

        return {key: put_in(value) for key, value in where.items()}


FRAMES: Registry[Callable[[Part], list[Row]]] = Registry("source of a table's rows")


@FRAMES.register("rows")
def _rows(part: Part) -> list[Row]:
    return list(part.rows)


@FRAMES.register("comparisons")
def _comparisons(part: Part) -> list[Row]:
    """The comparisons, without those of B with A where A was compared with B before."""
    found: dict[tuple[Any, ...], Row] = {}
    for item in part.comparisons:
        pair = sorted((item["system"], item["against"]))
        found.setdefault((*pair, *(item.get(name) for name in ("set", "snr", "metric", "normaliser"))), item)
    return list(found.values())


@FRAMES.register("with-paper")
def _with_paper(part: Part) -> list[Row]:
    """The rows, each with a figure of the paper followed by that as a row of the system `<system>, paper`."""
    found: list[Row] = []
    for row in part.rows:
        found.append(row)
        if row["paper"] is not None:
            theirs = {"system": f"{row['system']}, paper", "value": row["paper"], "seeds": ["1 training"]}
            found.append({**row, **theirs, "low": None, "high": None})
    return found


@FRAMES.register("seeds")
def _seeds(part: Part) -> list[Row]:
    """A row for each seed of the rows, then one for the figure of the paper."""
    measured = [
        {**row, "seed": seed, "value": value}
        for row in part.rows
        for seed, value in zip(row["seeds"], row.get("values", ()), strict=False)
    ]
    return measured + [
        {**row, "seed": "the paper", "value": row["paper"]} for row in part.rows if row["paper"] is not None
    ]


@FRAMES.register("sizes")
def _sizes(part: Part) -> list[Row]:
    """How large the sets of the run are, beside those of the paper's corpus: metric, value, paper."""
    sizes = part.run.get("sizes") or {}
    official = sizes.get("official", {})
    found = []
    for name, value in sizes.items():
        if isinstance(value, (int, float)):
            paper = official.get(name)
            recordings = sizes.get(f"{name}_recordings")
            found.append(
                {"metric": name, "value": value, "paper": paper, "sizes": sizes}
                | {"recordings": recordings, "paper_recordings": official.get(f"{name}_recordings")}
            )
    return found
