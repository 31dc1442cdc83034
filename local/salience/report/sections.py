"""A report: the finding, one main table, how to repeat it, and a section of details for each corpus of results.json."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from salience.errors import InputError
from salience.files import read_yaml
from salience.report.cells import NONE, label
from salience.report.findings import finding
from salience.report.frames import Part
from salience.report.tables import Table, tables
from salience.scoring.results import new_row
from salience.scoring.specification import Row, Specification, select


@dataclass(frozen=True)
class Section:
    """The details of one corpus.

    Args:
        corpus: Its name.
        facts: (name, value) of the run.
        remarks: What a reader must know before the tables, such as missing hypotheses.
        main: Its main table.
        tables: Its other tables.
    """

    corpus: str
    facts: list[tuple[str, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    main: Table | None = None
    tables: list[Table] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """What RESULTS.md, its details and the page show.

    Args:
        title: Title, with the paper.
        synthetic: Whether all of it was measured on synthetic speech, there being no other.
        finding: One to three sentences.
        main: The main table.
        further: What else was found, in sentences that stand each by itself.
        repeat: (name, value) of the run that the main table is of: command, commit, date, seeds and what else is known.
        departures: Sentences on how it differs from the paper.
        sections: Details.
    """

    title: str
    synthetic: bool = False
    finding: list[str] = field(default_factory=list)
    main: Table | None = None
    further: list[str] = field(default_factory=list)
    repeat: list[tuple[str, str]] = field(default_factory=list)
    departures: list[str] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)


def report(results: Mapping[str, Sequence[Row]], wanted: Specification) -> Report:
    """Make a report from results.json.

    Only rows of real speech count; those of synthetic speech where there are no others.

    Args:
        results: Its rows, comparisons and runs.
        wanted: The recipe's report.yaml.
    """
    synthetic, parts = parts_of(results, wanted)
    found = [_section(part, wanted) for part in parts]
    if found and (found[0].main or synthetic):
        main, repeat = found[0].main, found[0].facts
    else:
        main, repeat = _main(planned(wanted), wanted), [("command", wanted.command)]
    said, further = (finding(getattr(wanted, name), parts, f"{wanted.path}: {name}") for name in ("finding", "further"))
    return Report(wanted.title, synthetic, said, main, further, repeat, list(wanted.departures), found)


def parts_of(results: Mapping[str, Sequence[Row]], wanted: Specification) -> tuple[bool, list[Part]]:
    """Whether there is synthetic speech only, and the results of each corpus, that of the main table first."""
    synthetic = all(row["synthetic"] for row in results["rows"]) if results["rows"] else False
    corpora = dict.fromkeys(row["corpus"] for row in results["rows"] if row["synthetic"] == synthetic)
    parts = [_part(results, wanted, corpus, synthetic) for corpus in corpora]
    parts.sort(key=lambda part: (part.corpus != wanted.headline, _main(part, wanted) is None))
    return synthetic, parts


def _main(part: Part, wanted: Specification) -> Table | None:
    found = tables(wanted.main, part, f"{wanted.path}: main") if wanted.main else []
    return replace(found[0], note=f"{wanted.legend} {found[0].note}".strip()) if found else None


def _part(results: Mapping[str, Sequence[Row]], wanted: Specification, corpus: str, synthetic: bool) -> Part:
    rows, compared, runs = (
        select(results[name], {"corpus": corpus, "synthetic": synthetic}) for name in ("rows", "comparisons", "runs")
    )
    return Part(rows, compared, runs[0] if runs else {}, wanted.metric)


def planned(wanted: Specification) -> Part:
    """What the paper measured, as rows without a value of ours."""
    paper = read_yaml(wanted.beside(wanted.paper), f"correct paper in {wanted.path}") if wanted.paper else {}
    none = dict.fromkeys(("corpus", "synthetic", "command", "commit", "date"))
    rows = [
        new_row(none, system=system, set=name, metric=metric, normaliser=kind, paper=value)
        for system, sets in paper.get("figures", {}).items()
        for name, metrics in sets.items()
        for metric, values in metrics.items()
        for kind, value in (values if isinstance(values, Mapping) else {None: values}).items()
    ]
    return Part(rows, [], {}, wanted.metric, planned=True)


def _section(part: Part, wanted: Specification) -> Section:
    found: list[Table] = []
    for entry in wanted.details:
        if not isinstance(entry, Mapping):
            raise InputError(f"{wanted.path}: details has the entry {entry!r}, which is no table; correct it")
        found += _distinct(tables(entry, part, f"{wanted.path}: details"))
    absent = part.run.get("absent")
    remarks = [*_remarks(part.rows), *([f"Not in this run: {', '.join(absent)}."] if absent else [])]
    return Section(part.corpus or NONE, _facts(part.run), remarks, _main(part, wanted), tables=found)


def _distinct(found: Sequence[Table]) -> list[Table]:
    """The tables of one entry, those with the same cells once: the last of them, whose note names the others."""
    alike: dict[str, list[Table]] = {}
    for table in found:
        alike.setdefault(repr((table.headers, table.rows)), []).append(table)
    kept = []
    for *others, table in alike.values():
        same = (f"{other.title}: the same." for other in others)
        kept.append(replace(table, note=" ".join([*same, table.note])))
    return kept


def _facts(run: Row) -> list[tuple[str, str]]:
    if not run:
        return []
    facts = [(name, run[name]) for name in ("command", "commit", "date")]
    facts.append(("seeds", ", ".join(map(str, run["seeds"])) or NONE))
    facts += [(name, label(name, run[name])) for name in ("machine", "hours") if run.get(name)]
    facts.append(("versions", ", ".join(f"{name} {version}" for name, version in run["versions"].items())))
    return facts + [(name, str(value)) for name, value in run["settings"].items()]


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
