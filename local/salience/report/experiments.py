"""Several experiments of one recipe in one report: every system once for each of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from salience.errors import InputError
from salience.report.sections import Report, report
from salience.scoring.results import read_results
from salience.scoring.specification import Row, Specification

Results = dict[str, list[Row]]


def named(paths: Sequence[Path]) -> dict[str, Path]:
    """A name for each results.json: as much of the end of its folder's path as tells it from the others."""
    folders = [path.absolute().parent.parts for path in paths]
    if len(set(folders)) < len(folders):
        raise InputError("the same results.json is given twice; leave one out")
    depth = next(count for count in range(1, 99) if len({parts[-count:] for parts in folders}) == len(folders))
    return {"/".join(parts[-depth:]): path for parts, path in zip(folders, paths)}


def compared(paths: Sequence[Path], wanted: Specification) -> tuple[Report, list[Row]]:
    """The report of several experiments and all their rows; in both a system is called `system (experiment)`.

    The finding is that of each experiment; what is shown of a corpus is in one
    section, with the facts of every run.

    Args:
        paths: Their results.json.
        wanted: The recipe's report.yaml.
    """
    merged: Results = {"rows": [], "comparisons": [], "runs": []}
    finding, further, repeat = [], [], []
    for name, path in named(paths).items():
        found = read_results(path)
        if not found["rows"]:
            raise InputError(f"{path} holds no rows; run the scoring stage, which writes it", path)
        alone = report(found, wanted)
        finding += [f"{name}: {sentence}" for sentence in alone.finding]
        further += [f"{name}: {sentence}" for sentence in alone.further]
        repeat += [(f"{name}: {fact}", value) for fact, value in alone.repeat]
        for kind, items in _renamed(found, name).items():
            merged[kind] += items
    made = report(merged, replace(wanted, finding=(), further=()))
    sections = [replace(section, facts=repeat if place == 0 else []) for place, section in enumerate(made.sections)]
    title = f"{wanted.title}: {len(paths)} experiments"
    made = replace(made, title=title, finding=finding, further=further, repeat=repeat, sections=sections)
    return made, merged["rows"]


def _renamed(results: Mapping[str, Sequence[Row]], name: str) -> Results:
    def put(item: Row) -> dict[str, Any]:
        fields = [field for field in ("system", "against") if item.get(field) is not None]
        return {**item, **{field: f"{item[field]} ({name})" for field in fields}}

    return {kind: [put(item) for item in items] for kind, items in results.items()}
