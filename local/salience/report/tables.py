"""Result rows as the sections, tables and sentences of a report.

Every number that a report shows is formatted here, from a row.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = Mapping[str, Any]

ERROR_RATES = ("wer", "cer")
NONE = "–"


@dataclass(frozen=True)
class Table:
    """A table of cells that are ready to print."""

    title: str
    headers: list[str]
    rows: list[list[str]]
    note: str = ""


@dataclass(frozen=True)
class Section:
    """What one corpus, synthetic or real, has to show.

    `main` are the tables of error rates, one a normaliser, raw first;
    `findings` are (title, sentences); `facts` are (name, value) of the run.
    """

    corpus: str
    synthetic: bool
    main: list[Table]
    details: list[Table]
    findings: list[tuple[str, list[str]]]
    facts: list[tuple[str, str]]
    remarks: list[str] = field(default_factory=list)


def sections(results: Mapping[str, Sequence[Row]]) -> list[Section]:
    """One section for each (corpus, synthetic) of the results, real speech first."""
    keys = list(dict.fromkeys((row["corpus"], row["synthetic"]) for row in results["rows"]))
    return [_section(results, *key) for key in sorted(keys, key=lambda key: key[1])]


def _section(results: Mapping[str, Sequence[Row]], corpus: str, synthetic: bool) -> Section:
    def mine(name: str) -> list[Row]:
        return [item for item in results[name] if (item["corpus"], item["synthetic"]) == (corpus, synthetic)]

    rows, compared, runs = mine("rows"), mine("comparisons"), mine("runs")
    rates = [row for row in rows if row["metric"] in ERROR_RATES]
    # Raw before normalised, whatever order they were written in.
    normalisers = sorted(_distinct(rates, "normaliser"), key=lambda name: not name.startswith("raw"))
    main, details = [], []
    for name in normalisers:
        chosen = [row for row in rates if row["normaliser"] == name]
        main.append(main_table(chosen, name))
        details.append(interval_table(chosen, name))
    for name in normalisers[-1:]:
        details += accent_tables([row for row in rates if row["normaliser"] == name], name)
    details += classifier_tables(rows)
    shares = [row for row in rows if row["metric"] == "masked_share"]
    if shares:
        details.append(share_table(shares))
    findings = []
    for name in _distinct(compared, "set"):
        chosen = [
            c for c in compared if (c["set"], c["metric"], c["normaliser"]) == (name, "wer", normalisers[-1])
        ]
        said = [sentence(item) for item in chosen if not _said_the_other_way(item, chosen)]
        if said:
            size, unit = chosen[0]["n"], chosen[0]["resampled"]
            findings.append(
                (f"WER on {name}, {normalisers[-1]}, {size} utterances, resampled by {unit}", said)
            )
    return Section(corpus, synthetic, main, details, findings, _facts(runs), _remarks(rates))


def _said_the_other_way(item: Row, compared: Iterable[Row]) -> bool:
    """Whether this is B against A where A against B comes before."""
    for other in compared:
        if other is item:
            return False
        if (other["system"], other["against"]) == (item["against"], item["system"]):
            return True
    return False


def _distinct(items: Iterable[Row], key: str) -> list[Any]:
    return list(dict.fromkeys(item[key] for item in items))


def main_table(rows: Sequence[Row], normaliser: str) -> Table:
    """The paper's layout: systems down, sets across, WER / CER, and the paper's figures if there are any."""
    whole = [row for row in rows if row.get("accent") is None]
    sets, systems = _distinct(whole, "set"), _distinct(whole, "system")
    index = {(row["system"], row["set"], row["metric"]): row for row in whole}
    in_paper = {row["set"] for row in whole if row.get("paper") is not None}
    headers, body = ["system"], []
    for name in sets:
        headers += [name, f"{name}, paper"] if name in in_paper else [name]
    for system in systems:
        cells = [system]
        for name in sets:
            pair = [index.get((system, name, metric)) for metric in ERROR_RATES]
            cells.append(_pair(pair, "value"))
            if name in in_paper:
                cells.append(_pair(pair, "paper"))
        body.append(cells)
    note = "Means over seeds of corpus-level rates."
    if in_paper:
        note += " The paper does not name its text normaliser, so its figures stand beside both scores."
    return Table(f"WER / CER in %, {normaliser}", headers, body, note)


def _pair(pair: Sequence[Row | None], key: str) -> str:
    values = [None if row is None else row.get(key) for row in pair]
    return NONE if values == [None, None] else " / ".join(NONE if v is None else rate(v) for v in values)


def interval_table(rows: Sequence[Row], normaliser: str) -> Table:
    """Each rate with its 95 % interval, the rate of each seed, and what was resampled."""
    whole = [row for row in rows if row.get("accent") is None]
    body = []
    for name in _distinct(whole, "set"):
        for system in _distinct(whole, "system"):
            pair = {row["metric"]: row for row in whole if (row["set"], row["system"]) == (name, system)}
            if not pair:
                continue
            first = next(iter(pair.values()))
            body.append(
                [
                    name,
                    system,
                    *(_with_interval(pair.get(metric)) for metric in ERROR_RATES),
                    ", ".join(f"{rate(value)}" for value in pair.get("wer", first).get("values", [])),
                    ", ".join(map(str, first["seeds"])),
                    str(first["n"]),
                    first.get("resampled") or NONE,
                ]
            )
    return Table(
        f"95 % intervals, {normaliser}",
        ["set", "system", "WER (%)", "CER (%)", "WER of each seed", "seeds", "utterances", "resampled by"],
        body,
        "Percentile bootstrap over the test set, with the trained models as they are: the spread over seeds "
        "is not in the interval. Where the speakers are too few to be resampled, utterances are, and the "
        "interval is too narrow.",
    )


def _with_interval(row: Row | None) -> str:
    if row is None:
        return NONE
    if row.get("low") is None:
        return rate(row["value"])
    return f"{rate(row['value'])} ({rate(row['low'])} to {rate(row['high'])})"


def accent_tables(rows: Sequence[Row], normaliser: str) -> list[Table]:
    """A table for each set that has several accents: accents down, systems across, WER / CER."""
    tables = []
    for name in _distinct(rows, "set"):
        mine = [row for row in rows if row["set"] == name and row.get("accent") is not None]
        if not mine:
            continue
        systems = _distinct(mine, "system")
        body = []
        for accent in _distinct(mine, "accent"):
            cells = {(row["system"], row["metric"]): row for row in mine if row["accent"] == accent}
            body.append(
                [
                    accent,
                    str(next(iter(cells.values()))["n"]),
                    *(
                        _pair([cells.get((system, metric)) for metric in ERROR_RATES], "value")
                        for system in systems
                    ),
                ]
            )
        tables.append(
            Table(
                f"Accents of {name}, WER / CER in %, {normaliser}", ["accent", "utterances", *systems], body
            )
        )
    return tables


def classifier_tables(rows: Sequence[Row]) -> list[Table]:
    """Accuracy, macro F1 and speakers' accuracies of the classifiers, one table a set."""
    mine = [row for row in rows if row["metric"] in ("accuracy", "macro_f1", "speaker_accuracy")]
    tables = []
    for name in _distinct(mine, "set"):
        body = []
        of_set = [row for row in mine if row["set"] == name]
        for system in _distinct(of_set, "system"):
            whole = {r["metric"]: r for r in of_set if r["system"] == system and r.get("speaker") is None}
            speakers = [r["value"] for r in of_set if r["system"] == system and r.get("speaker") is not None]
            spread = (
                f" ({rate(min(speakers))} to {rate(max(speakers))}, {len(speakers)} speakers)"
                if speakers
                else ""
            )
            body.append(
                [
                    system,
                    _with_interval(whole.get("accuracy")),
                    _with_interval(whole.get("macro_f1")),
                    _with_interval(whole.get("speaker_accuracy")) + spread,
                    str(next(iter(whole.values()))["n"]),
                ]
            )
        tables.append(
            Table(
                f"Accent classifier, {name}",
                [
                    "classifier",
                    "accuracy (%)",
                    "macro F1 (%)",
                    "mean accuracy of a speaker (%), lowest to highest",
                    "utterances",
                ],
                body,
                "majority-class always answers the most frequent class: the accuracy of chance.",
            )
        )
    return tables


def share_table(rows: Sequence[Row]) -> Table:
    """How much of each variant's training spectrograms is masked."""
    body = [[row["system"], row["set"], rate(row["value"]), str(row["n"])] for row in rows]
    return Table("Masked share of the spectrogram", ["system", "set", "masked (%)", "utterances"], body)


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


def rate(value: float) -> str:
    """A rate in percent, as the paper prints it."""
    return f"{value:.1f}"


def points(value: float) -> str:
    """A difference of rates; a value that rounds to nothing has no sign."""
    return f"{value:.2f}".replace("-0.00", "0.00")


def p_value(p: float) -> str:
    """A p value, no finer than resampling can tell."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def _facts(runs: Sequence[Row]) -> list[tuple[str, str]]:
    facts = []
    for run in runs:
        facts += [("command", run["command"]), ("commit", run["commit"]), ("date", run["date"])]
        facts.append(("seeds", ", ".join(map(str, run["seeds"])) or NONE))
        facts.append(
            ("versions", ", ".join(f"{name} {version}" for name, version in run["versions"].items()))
        )
        facts += [(name, str(value)) for name, value in run["settings"].items()]
    return facts


def _remarks(rates: Sequence[Row]) -> list[str]:
    remarks = []
    for row in rates:
        if row.get("missing") and row["metric"] == "wer":
            where = f"{row['system']} on {row['set']}"
            remark = f"{where}: missing hypotheses, counted as deletions: {row['missing']}."
            if remark not in remarks:
                remarks.append(remark)
    return remarks


def plain_text(table: Table) -> str:
    """A table in aligned columns for the terminal."""
    lines = [table.headers, *table.rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.headers))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]
    return "\n".join([table.title, text[0], "-" * max(map(len, text)), *text[1:]])
