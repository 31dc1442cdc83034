"""The sections of a report: one for each corpus of results.json, real speech first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from salience.errors import InputError
from salience.report.cells import NONE, label
from salience.report.frames import Part
from salience.report.sentences import Findings, findings
from salience.report.tables import Table, tables
from salience.scoring.specification import Row, Specification, select


@dataclass(frozen=True)
class Section:
    """What one corpus, synthetic or real, has to show.

    Args:
        corpus: Its name.
        synthetic: Whether its speech is.
        facts: (name, value) of the run.
        remarks: What a reader must know before the tables, such as missing hypotheses.
        main: The main tables and sentences.
        details: All other tables and sentences.
    """

    corpus: str
    synthetic: bool
    facts: list[tuple[str, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    main: list[Table | Findings] = field(default_factory=list)
    details: list[Table | Findings] = field(default_factory=list)


def sections(results: Mapping[str, Sequence[Row]], wanted: Specification) -> list[Section]:
    """Make the sections of a report from results.json.

    Args:
        results: Its rows, comparisons and runs.
        wanted: The recipe's report.yaml.
    """
    keys = dict.fromkeys((row["corpus"], row["synthetic"]) for row in results["rows"])
    return [_section(results, wanted, *key) for key in sorted(keys, key=lambda key: key[1])]


def _section(results: Mapping[str, Sequence[Row]], wanted: Specification, corpus: str, synthetic: bool) -> Section:
    rows, compared, runs = (
        select(results[name], {"corpus": corpus, "synthetic": synthetic}) for name in ("rows", "comparisons", "runs")
    )
    part = Part(rows, compared, runs[0] if runs else {}, wanted.metric)
    absent = [f"Not in this run: {', '.join(run['absent'])}." for run in runs if run.get("absent")]
    main, details = (_blocks(entries, part, f"{wanted.path}: {name}") for name, entries in wanted.entries().items())
    return Section(corpus, synthetic, _facts(runs), _remarks(rows) + absent, main, details)


def _blocks(entries: Sequence[Mapping[str, Any]], part: Part, where: str) -> list[Table | Findings]:
    blocks: list[Table | Findings] = []
    for entry in entries:
        if not isinstance(entry, Mapping):
            raise InputError(f"{where} has the entry {entry!r}, which is neither a table nor sentences; correct it")
        blocks += (findings if "sentences" in entry else tables)(entry, part, where)
    return blocks


def _facts(runs: Sequence[Row]) -> list[tuple[str, str]]:
    facts = []
    for run in runs:
        facts += [(name, run[name]) for name in ("command", "commit", "date")]
        facts.append(("seeds", ", ".join(map(str, run["seeds"])) or NONE))
        facts.append(("versions", ", ".join(f"{name} {version}" for name, version in run["versions"].items())))
        facts += [(name, str(value)) for name, value in run["settings"].items()]
    return facts


def _remarks(rows: Sequence[Row]) -> list[str]:
    """What hypotheses are missing or were cut off, once for the rates of each set."""
    remarks, truncated = [], []
    for row in select(rows, {"metric": ["wer", "error"]}):
        where = f"{row['system']} on {row['set']}"
        if row["snr"] is not None:
            where += f", {label('snr', row['snr'])}"
        if row.get("weight") is not None:
            where += f", {row['weight']} {row['weight_value']:g}"
        if row.get("missing"):
            counted = "deletions" if row["metric"] == "wer" else "wrong"
            remarks.append(f"{where}: missing hypotheses, counted as {counted}: {row['missing']}.")
        if row.get("truncated"):
            truncated.append(f"{where} {row['truncated']}")
    if truncated:
        remarks.append(f"Hypotheses cut off at the limit of their length: {'; '.join(dict.fromkeys(truncated))}.")
    return list(dict.fromkeys(remarks))
