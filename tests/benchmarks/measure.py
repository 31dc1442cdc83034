"""How the benchmarks measure, and the rows they hand to the table."""

import gc
import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One line of the table.

    `ratio` is how many times better ours is where the aim is `at least`, and
    what ours costs in units of the peer where it is `at most`.  Without an aim
    the row is there for comparison.
    """

    what: str
    ours: str
    peer: str
    ratio: float
    aim: float | None = None
    at_most: bool = False

    def is_met(self) -> bool | None:
        """Whether the aim is reached; None without an aim."""
        if self.aim is None:
            return None
        return self.ratio <= self.aim if self.at_most else self.ratio >= self.aim


def best_seconds(contestants: Mapping[str, Callable[[], object]], repetitions: int) -> dict[str, float]:
    """The shortest time of each of several functions, called in turns so that a busy machine is fair to all."""
    logging.disable(logging.INFO)
    best = dict.fromkeys(contestants, math.inf)
    for _ in range(repetitions):
        for name, function in contestants.items():
            gc.collect()
            start = time.perf_counter()
            function()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def write_rows(rows: list[Row], out: Path | None) -> None:
    """Append rows to a file, one JSON object a line, or print them."""
    lines = [json.dumps(asdict(row)) for row in rows]
    if out is None:
        print("\n".join(lines))
        return
    with open(out, "a", encoding="utf-8") as handle:
        handle.write("\n".join(lines) + "\n")


def read_rows(path: Path) -> list[Row]:
    """Read what `write_rows` wrote."""
    return [Row(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
