"""`conf/report.yaml` of a recipe: what is collected into results.json, and what is shown of it.

Its keys are the fields of `Specification`.  `include` names files whose keys
count where the file itself has none; the entries of `shared` are merged.
Everything that a function or class is made from by its keyword arguments is
checked by `called`, so that a misspelt key is one sentence.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from salience.errors import InputError
from salience.files import read_yaml

T = TypeVar("T")
Row = Mapping[str, Any]
"""A row or a comparison of results.json."""


@dataclass(frozen=True)
class Specification:
    """A recipe's report.

    Args:
        path: File that it stands in.
        title: Title of the report.
        intro: Markdown file beside `path` whose text comes first in the details.
        metric: Error rate by which systems are compared.
        paper: YAML file beside `path` with the figures of the paper, which stand beside those of real speech.
        claims: YAML files beside `path` with what is claimed, as `read_claim` reads them, in the order of the tests.
        gaps: Accents that are compared: keyword arguments of salience.scoring.gaps.Gaps by the `set` of their rows.
        scores: What is collected: keyword arguments of a source and its `kind`; with `unless: matrix`, not by a run
            that has a value of this name.
        headline: The corpus that is shown first; by default the first that has a main table.
        finding: The one to three sentences that begin the report: keyword arguments of
            Sentence or Rule in salience.report.findings.
        further: Likewise, of what stands below the main table.
        main: The main table: keyword arguments, or a name in `shared`.
        legend: What the sets of the main table are; it stands below the table.
        departures: Sentences on how it differs from the paper, at most five.
        summary: The line in the README's table: what is `measured`, in words, and `where`, the row that has it.
        command: How to repeat it, where nothing has been measured yet.
        details: All other tables: keyword arguments, or names in `shared`.
        figures: What is drawn: keyword arguments of a figure and its `kind`.
        utterances: Which utterances the page shows, and what of them: keyword arguments and a `kind`.
        shared: Tables by name, for `main` and `details` of other files.
    """

    path: Path
    title: str = "Results"
    intro: str | None = None
    metric: str = "wer"
    paper: str | None = None
    claims: tuple[str, ...] = ()
    gaps: dict[str, dict[str, Any]] = field(default_factory=dict)
    scores: tuple[dict[str, Any], ...] = ()
    headline: str | None = None
    finding: tuple[dict[str, Any], ...] = ()
    further: tuple[dict[str, Any], ...] = ()
    main: dict[str, Any] = field(default_factory=dict)
    legend: str = ""
    departures: tuple[str, ...] = ()
    summary: dict[str, Any] = field(default_factory=dict)
    command: str = ""
    details: tuple[dict[str, Any], ...] = ()
    figures: tuple[dict[str, Any], ...] = ()
    utterances: tuple[dict[str, Any], ...] = ()
    shared: dict[str, dict[str, Any]] = field(default_factory=dict)

    def beside(self, name: str | None) -> Path | None:
        """The path of a file that stands beside the specification."""
        return None if name is None else self.path.parent / name

    def scores_of(self, values: Mapping[str, str]) -> list[Any]:
        """Those entries of `scores` that a run with these values collects, without their `unless`."""
        found: list[Any] = []
        for entry in self.scores:
            options = dict(entry) if isinstance(entry, Mapping) else {}
            if not values.get(options.pop("unless", "")):
                found.append(options or entry)
        return found


def read_specification(path: Path) -> Specification:
    """Read a report.yaml with all that it includes."""
    found = _read(path)
    shared = found.get("shared", {})

    def table(name: str, entry: Any) -> Any:
        if isinstance(entry, str) and entry not in shared:
            raise InputError(f"{path}: {name} has {entry!r}, which is not in shared; there are: {', '.join(shared)}")
        return shared[entry] if isinstance(entry, str) else entry

    found["details"] = tuple(table("details", entry) for entry in found.get("details", ()))
    found["main"] = table("main", found.get("main", {}))
    for name in ("scores", "figures", "utterances", "finding", "further", "departures", "claims"):
        found[name] = tuple(found.get(name, ()))
    return called(Specification, {"path": path, **found}, f"{path}")


def _read(path: Path) -> dict[str, Any]:
    found = read_yaml(path, "correct --report")
    if not isinstance(found, dict):
        raise InputError(f"{path} holds no names with values; correct --report")
    for name in [found.pop("include")] if isinstance(found.get("include"), str) else found.pop("include", []):
        other = _read(path.parent / name)
        found = {**other, **found, "shared": {**other.get("shared", {}), **found.get("shared", {})}}
    return found


def called(function: Callable[..., T], options: Mapping[str, Any], where: str, *given: Any) -> T:
    """Call a function, or make an object, with options from a file.

    Args:
        function: What to call.
        options: Its keyword arguments.
        where: File and key of the options, for the sentence about one that the function does not have, or lacks.
        given: Its first arguments, which are not from the file.
    """
    if not isinstance(options, Mapping):
        raise InputError(f"{where} has {options!r} where names with values are expected; correct it")
    parameters = dict(list(inspect.signature(function).parameters.items())[len(given) :])
    for name in options:
        if name not in parameters:
            raise InputError(f"{where} has the unknown key {name!r}; it may have: {', '.join(parameters)}")
    for name, parameter in parameters.items():
        if name not in options and parameter.default is parameter.empty:
            raise InputError(f"{where} lacks the key {name!r}; add it")
    return function(*given, **options)


def called_by_kind(kinds: Mapping[str, Callable[..., T]], entry: Mapping[str, Any], where: str, *given: Any) -> T:
    """Call the function that an entry names by its `kind`, as `called` does."""
    kind = entry.get("kind") if isinstance(entry, Mapping) else None
    if kind is None:
        raise InputError(f"{where} has an entry without the key 'kind'; it may be one of: {', '.join(kinds)}")
    options = {name: value for name, value in entry.items() if name != "kind"}
    return called(kinds[kind], options, f"{where}, {kind}", *given)


def select(items: Iterable[Row], where: Mapping[Any, Any]) -> list[Row]:
    """The rows that have the values of `where`.

    A list stands for one of its values, null for none at all, `any` for
    whatever is not null; a row without the field has null.
    """
    wanted = {name: value if isinstance(value, list) else [value] for name, value in where.items()}
    return [item for item in items if all(_fits(item.get(name), values) for name, values in wanted.items())]


def _fits(value: Any, wanted: list[Any]) -> bool:
    return value in wanted or (value is not None and "any" in wanted)
