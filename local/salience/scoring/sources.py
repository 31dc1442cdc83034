"""A run whose scores are collected, and the kinds of scores: SOURCES, which a recipe's report.yaml names.

A source is a class made from its keys in report.yaml; its `collect` adds what
it finds to a `Run`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from salience.errors import InputError
from salience.registry import Registry
from salience.scoring.patterns import fill, matches, names, substituted


@dataclass
class Run:
    """The run that is collected, and what has been found of it.

    Args:
        common: What all rows have in common.
        values: What stands in the places of patterns.
        only: Systems and seeds that count, such as `plain/1`; all, if empty.
        paper: Figures of the paper; none for synthetic speech.
        pairs: Systems that are compared in any case.
        gaps: Keyword arguments of `Gaps` by name.
        facts: What the report looks up that is not a row.
        rows: Rows found.
        comparisons: Comparisons found.
        absent: What the run did not make.
    """

    common: dict[str, Any]
    values: Mapping[str, str] = field(default_factory=dict)
    only: str = ""
    paper: Mapping[str, Any] = field(default_factory=dict)
    pairs: Sequence[tuple[str, str]] = ()
    gaps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    comparisons: list[dict[str, Any]] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    def named(self, text: str) -> str | None:
        """A text with `$value` and the number of a `{fact}` put in; None if the run has not all of them."""
        filled = substituted(text, self.values)
        if filled is None or any(self.facts.get(name) is None for name in names(filled)):
            return None
        return re.sub(r"\{(\w+)\}", lambda found: f"{self.facts[found[1]]:g}", filled)

    def found(
        self, pattern: str | None, what: str | None = None, required: bool = False
    ) -> list[tuple[dict[str, str], Path]]:
        """What matches a pattern; where nothing does, `what` is absent, or that is an InputError if it is required."""
        filled = fill(pattern, self.values) if pattern is not None else None
        found = matches(filled) if filled is not None else []
        if not found and required:
            raise InputError(f"no scores match {filled or pattern}; run the scoring stage, which writes them")
        if not found and what is not None:
            self.absent.append(what)
        return found


class Source(Protocol):
    """A kind of score."""

    def collect(self, run: Run) -> None:
        """Add what there is of it to the run."""


RATES, OTHERS = "salience.scoring.rate_sources", "salience.scoring.other_sources"
KINDS = "facts steps classifiers task-classifiers masked-shares noise-proportions generators pretraining"
SOURCES: Registry[type[Source]] = Registry(
    "kind of score",
    dict.fromkeys(("error-rates", "accent-gaps", "matrix", "sweep"), RATES)
    | dict.fromkeys((*KINDS.split(), "frequency-importance", "collection"), OTHERS)
    | {
        "faithfulness": "salience.scoring.faithfulness",
        "location": "salience.scoring.location",
        "writing-index": "salience.scoring.writing",
    },
)
