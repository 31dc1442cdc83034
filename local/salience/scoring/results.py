"""results.json: rows and comparisons, what every row has, and how new ones replace old ones."""

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from salience.errors import InputError
from salience.files import read_json, whole_file
from salience.steps import commit, versions

FIELDS = (
    "corpus synthetic set accent system recogniser metric normaliser snr value low high n seeds paper "
    "command commit date"
).split()
"""What every row has; a row may have more."""
OF_RUN = ("command", "commit", "date")
"""What a row of the file leaves out where the record of its run has the same."""


def provenance(corpus: str, synthetic: bool, recogniser: str | None, command: str) -> dict[str, Any]:
    """What all rows of one collection have in common: corpus, command, commit and date."""
    return {
        "corpus": corpus,
        "synthetic": synthetic,
        "recogniser": recogniser,
        "command": command,
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def run_fields(common: Mapping[str, Any]) -> dict[str, Any]:
    """What the record of every run begins with."""
    return {name: common[name] for name in ("corpus", "synthetic", "command", "commit", "date")} | {
        "versions": versions()
    }


def new_row(common: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """A row with all fields that every row has, null where one has no meaning."""
    empty = dict.fromkeys(FIELDS)
    known = {name: common[name] for name in ("corpus", "synthetic", "command", "commit", "date")}
    return {**empty, **known, **fields}


def rounded(value: float) -> float:
    """Three decimals: finer than any table shows, coarser than the last bits of a sum."""
    return round(float(value), 3)


def read_results(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Read `results.json`, each row with what its run says; empty lists when it does not exist yet."""
    results = read_json(path) if Path(path).exists() else {}
    if not isinstance(results, dict):
        raise InputError(f"{path} is not a table of results; remove it and run the scoring stage again")
    found = {name: results.get(name, []) for name in ("rows", "comparisons", "runs")}
    told = _told(found["runs"])
    return found | {"rows": [{**told.get(_run(row), {}), **row} for row in found["rows"]]}


def replace(old: Mapping[str, list], new: Mapping[str, list[dict[str, Any]]]) -> dict[str, list]:
    """Old results with those of the new ones' (corpus, synthetic) replaced, all others kept."""
    fresh = {_run(item) for items in new.values() for item in items}
    return {name: [item for item in old.get(name, []) if _run(item) not in fresh] + list(new[name]) for name in new}


def write_results(path: Path, results: Mapping[str, list[dict[str, Any]]]) -> None:
    """Write `results.json`, one row a line, so that a changed figure is one changed line."""
    told = _told(results.get("runs", []))
    rows = [_without(row, told.get(_run(row), {})) for row in results.get("rows", [])]
    with whole_file(path) as handle:
        blocks = (
            f' "{name}": [' + ",".join("\n  " + json.dumps(item, ensure_ascii=False) for item in items) + "\n ]"
            for name, items in {**results, "rows": rows}.items()
        )
        handle.write("{\n" + ",\n".join(blocks) + "\n}\n")


def _run(item: Mapping[str, Any]) -> tuple[str, bool]:
    return item["corpus"], item["synthetic"]


def _told(runs: Iterable[Mapping[str, Any]]) -> dict[tuple[str, bool], dict[str, Any]]:
    """What the rows of each run leave out."""
    return {_run(run): {name: run[name] for name in OF_RUN if name in run} for run in runs}


def _without(row: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in told or told[name] != value}


def placed(items: Iterable[Mapping[str, Any]], fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows or comparisons with what tells them from others of the same set, such as an SNR."""
    return [{**item, **fields} for item in items]
