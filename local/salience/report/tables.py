"""Result rows as the sections, tables and sentences of a report.

Every number that a report shows is formatted here, from a row.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from salience.data.bidi import isolated, width
from salience.report import collection_tables, command_tables, wav2vec_tables
from salience.report.cells import NONE, Row, Table, distinct, points, rate, sentence, snr_name, with_interval

ERROR_RATES = ("wer", "cer")
PROPORTIONS = ("noise_proportion", "noise_proportion_padded")


@dataclass(frozen=True)
class Section:
    """What one corpus, synthetic or real, has to show.

    `main` are the tables of error rates; `findings` are (title, sentences),
    `others` the comparisons that are made but not said; `facts` are (name,
    value) of the run; `statement` says in sentences what the tables show.
    """

    corpus: str
    synthetic: bool
    main: list[Table]
    details: list[Table]
    findings: list[tuple[str, list[str]]]
    facts: list[tuple[str, str]]
    remarks: list[str] = field(default_factory=list)
    others: str = ""
    statement: list[str] = field(default_factory=list)


def sections(results: Mapping[str, Sequence[Row]]) -> list[Section]:
    """One section for each (corpus, synthetic) of the results, real speech first."""
    keys = list(dict.fromkeys((row["corpus"], row["synthetic"]) for row in results["rows"]))
    return [_section(results, *key) for key in sorted(keys, key=lambda key: key[1])]


def _section(results: Mapping[str, Sequence[Row]], corpus: str, synthetic: bool) -> Section:
    def mine(name: str) -> list[Row]:
        return [item for item in results[name] if (item["corpus"], item["synthetic"]) == (corpus, synthetic)]

    rows, compared, runs = mine("rows"), mine("comparisons"), mine("runs")
    absent = [f"Not in this run: {', '.join(run['absent'])}." for run in runs if run.get("absent")]
    if any(row["metric"] == collection_tables.METRIC for row in rows):
        of_collection = collection_tables.main_tables(rows), collection_tables.detail_tables(rows)
        return Section(corpus, synthetic, *of_collection, findings=[], facts=_facts(runs))
    commands = [row for row in rows if row["metric"] == command_tables.METRIC]
    if commands:
        run = runs[0] if runs else {}
        return Section(
            corpus,
            synthetic,
            command_tables.main_tables(commands, run),
            command_tables.detail_tables(
                commands, compared, [row for row in rows if row["metric"] in command_tables.GENERATOR_METRICS]
            ),
            findings=[],
            facts=_facts(runs),
            remarks=_remarks(commands) + absent,
            statement=command_tables.statement(commands, compared, run.get("noisy_sets", {})),
        )
    rates = [row for row in rows if row["metric"] in ERROR_RATES]
    if any("start" in row for row in rows):
        return _wav2vec_section(rows, compared, runs, absent)
    alone = [row for row in rates if row["snr"] is None and row.get("weight") is None]
    normalisers = raw_first(distinct(rates, "normaliser"))
    # What a run is judged by, in the tables and sentences that show one rate only.
    judged_by = next((run["judged_by"] for run in runs if "judged_by" in run), {})
    metric = judged_by.get("metric", "wer")
    normaliser = judged_by.get("normaliser", normalisers[-1] if normalisers else None)

    def judged(chosen: Iterable[Row]) -> list[Row]:
        return [row for row in chosen if (row["metric"], row["normaliser"]) == (metric, normaliser)]

    main, details = [], []
    proportions = [row for row in rows if row["metric"] in PROPORTIONS and row.get("weight") is None]
    if proportions:
        main.append(condition_table(judged(alone) + proportions, metric, normaliser))
    aims = sorted((i for i in rows + compared if i.get("aim")), key=lambda item: item["aim"]["place"])
    if aims:
        main.append(aims_table(aims, normaliser))
    for name in normalisers:
        chosen = [row for row in alone if row["normaliser"] == name]
        if chosen and not proportions:
            main.append(main_table(chosen, name))
        if chosen:
            details.append(interval_table(chosen, name, metric))
    noisy = [row for row in judged(rates) if row["snr"] is not None]
    for name in distinct(noisy, "set"):
        chosen = [row for row in noisy if row["set"] == name]
        main.append(snr_table(chosen, f"{metric.upper()} in % on {name} in white noise, {normaliser}"))
        details.append(snr_table(chosen, f"The same on {name} with 95 % intervals", True))
    details += sweep_tables(rows, metric, normaliser)
    details += importance_tables(rows, next((run["importance_note"] for run in runs if run.get("importance_note")), ""))
    for name in normalisers[-1:]:
        details += accent_tables([row for row in rates if row["normaliser"] == name], name)
    details += classifier_tables(rows)
    shares = [row for row in rows if row["metric"] == "masked_share"]
    if shares:
        details.append(share_table(shares))
    findings = _findings(judged(compared), metric, normaliser)
    others = _others(metric, normaliser, normalisers)
    remarks = _remarks(rates) + absent
    return Section(corpus, synthetic, main, details, findings, _facts(runs), remarks, others)


def _wav2vec_section(rows: list[Row], compared: list[Row], runs: list[Row], absent: list[str]) -> Section:
    """Recognisers by start and variant, classifiers on both splits, and pretraining."""
    rates = [row for row in rows if row["metric"] in ERROR_RATES]
    normalisers = raw_first(distinct(rates, "normaliser"))
    judged = normalisers[-1] if normalisers else ""
    whole = [row for row in rates if row.get("gender") is None]
    details = [interval_table([row for row in whole if row["normaliser"] == name], name) for name in normalisers]
    chosen = [item for item in compared if (item["metric"], item["normaliser"]) == ("wer", judged)]
    return Section(
        rows[0]["corpus"],
        rows[0]["synthetic"],
        wav2vec_tables.main_tables(rows, runs[0] if runs else {}, normalisers),
        details + wav2vec_tables.detail_tables(rows, judged),
        _findings(chosen, "wer", judged),
        _facts(runs),
        _remarks(rates) + absent,
        _others("wer", judged, normalisers),
    )


def raw_first(normalisers: Iterable[str]) -> list[str]:
    """Raw before normalised, whatever order they were written in."""
    return sorted(normalisers, key=lambda name: not name.startswith("raw"))


def _findings(compared: Sequence[Row], metric: str, normaliser: str | None) -> list[tuple[str, list[str]]]:
    """What comparisons by one metric and normaliser show, for each set and signal-to-noise ratio."""
    findings = []
    for name, snr in dict.fromkeys((item["set"], item.get("snr")) for item in compared):
        chosen = [item for item in compared if (item["set"], item.get("snr")) == (name, snr)]
        said = [sentence(item) for item in chosen if not _said_the_other_way(item, chosen)]
        if said:
            size, unit = chosen[0]["n"], chosen[0]["resampled"]
            where = name if snr is None else f"{name}, {snr_name(snr)}"
            findings.append(
                (f"{metric.upper()} on {where}, {normaliser}, {size} utterances, resampled by {unit}", said)
            )
    return findings


def _others(metric: str, normaliser: str | None, normalisers: Sequence[str]) -> str:
    """The comparisons that are made but not said."""
    others = "CER" if metric == "wer" else "WER"
    if len(normalisers) > 1:
        others += ", and normalised," if normaliser == normalisers[0] else ", and raw,"
    return others


def _said_the_other_way(item: Row, compared: Iterable[Row]) -> bool:
    """Whether this is B against A where A against B comes before."""
    for other in compared:
        if other is item:
            return False
        if (other["system"], other["against"]) == (item["against"], item["system"]):
            return True
    return False


def main_table(rows: Sequence[Row], normaliser: str) -> Table:
    """The paper's layout: systems down, sets across, WER / CER, and the paper's figures if there are any."""
    whole = [row for row in rows if row.get("accent") is None]
    sets, systems = distinct(whole, "set"), distinct(whole, "system")
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


def condition_table(rows: Sequence[Row], metric: str, normaliser: str) -> Table:
    """The paper's Table 2: conditions down; error rate and noise proportion across, beside the paper's."""
    index = {(row["system"], row["set"], row["metric"]): row for row in rows}
    in_paper = {(row["set"], row["metric"]) for row in rows if row.get("paper") is not None}
    columns = []
    for name in distinct(rows, "set"):
        columns.append((f"{metric.upper()} {name}", name, metric, "value"))
        if (name, metric) in in_paper:
            columns.append((f"{metric.upper()} {name}, paper", name, metric, "paper"))
    for name in distinct(rows, "set"):
        columns.append((f"noise {name}", name, "noise_proportion", "value"))
        columns.append((f"noise {name}, padded", name, "noise_proportion_padded", "value"))
        if (name, "noise_proportion") in in_paper:
            columns.append((f"noise {name}, paper", name, "noise_proportion", "paper"))
    body = [
        [system]
        + [
            NONE if (row := index.get((system, name, kind))) is None or row.get(key) is None else rate(row[key])
            for _, name, kind, key in columns
        ]
        for system in distinct(rows, "system")
    ]
    return Table(
        f"{metric.upper()} in %, {normaliser}, and points with M > 0.5 in %",
        ["condition", *(header for header, *_ in columns)],
        body,
        "Means over seeds and draws of noise. Noise counts an utterance's own frames; padded, the frames up "
        "to the longest utterance too: the paper does not say which of the two its figure is. Without noise "
        "the proportion is 0 and with noise everywhere 100 by definition.",
    )


def aims_table(items: Sequence[Row], normaliser: str) -> Table:
    """What was aimed at, beside what was measured."""
    words = {"at_most": "at most", "at_least": "at least", "above": "above", "below": "below"}
    body = []
    for item in items:
        aim = item["aim"]
        measured = item["difference"] if "difference" in item else item["value"]
        bound = next(name for name in words if name in aim)
        target = aim[bound]
        gap = measured - target if bound in ("at_most", "below") else target - measured
        reached = gap <= 0 if bound.startswith("at_") else gap < 0
        low, high = item.get("low"), item.get("high")
        body.append(
            [
                aim["name"],
                f"{words[bound]} {rate(target)}",
                points(measured),
                NONE if low is None or high is None else f"{points(low)} to {points(high)}",
                "yes" if reached else f"no, by {points(gap)}",
            ]
        )
    return Table(
        "Aims",
        ["quantity", "aim", "measured", "95 % interval", "reached"],
        body,
        f"In % or points, {normaliser}. Whether an aim is reached is said of the measured mean; the "
        "interval, where there is one, is about other speakers or utterances.",
    )


def snr_table(rows: Sequence[Row], title: str, intervals: bool = False) -> Table:
    """Recognisers down, signal-to-noise ratios across."""
    index = {(row["system"], row["snr"]): row for row in rows}
    ratios = distinct(rows, "snr")
    body = []
    for system in distinct(rows, "system"):
        cells = [index.get((system, snr)) for snr in ratios]
        shown = [NONE if row is None else with_interval(row) if intervals else rate(row["value"]) for row in cells]
        seeds = next(row["seeds"] for row in cells if row is not None)
        body.append([system, *shown, ", ".join(map(str, seeds))])
    return Table(title, ["recogniser", *map(snr_name, ratios), "seeds"], body)


def sweep_tables(rows: Sequence[Row], metric: str, normaliser: str | None) -> list[Table]:
    """A table for each weight of the loss that was varied: its values down, each cell for all sets."""
    mine = [
        row
        for row in rows
        if row.get("weight") is not None
        and (row["metric"] == "noise_proportion" or (row["metric"], row["normaliser"]) == (metric, normaliser))
    ]
    tables = []
    for weight in distinct(mine, "weight"):
        of_weight = [row for row in mine if row["weight"] == weight]
        sets = distinct(of_weight, "set")
        index = {(row["weight_value"], row["set"], row["metric"]): row["value"] for row in of_weight}
        columns = ((metric, False), (metric, True), ("noise_proportion", False), ("noise_proportion", True))
        body = [
            [
                f"{value:g}",
                *(
                    " / ".join(_share(index.get((value, name, kind)), complement) for name in sets)
                    for kind, complement in columns
                ),
                ", ".join(map(str, next(row["seeds"] for row in of_weight if row["weight_value"] == value))),
            ]
            for value in distinct(of_weight, "weight_value")
        ]
        accuracy = "character accuracy" if metric == "cer" else "word accuracy"
        tables.append(
            Table(
                f"Weight of the loss varied: {weight}, {' / '.join(sets)} in %, {normaliser}",
                [weight, metric.upper(), accuracy, "noise", "revealed", "seeds"],
                body,
                f"{accuracy.capitalize()} is 100 - {metric.upper()}; revealed is 100 - noise.",
            )
        )
    return tables


def _share(value: float | None, complement: bool) -> str:
    return NONE if value is None else rate(100 - value if complement else value)


def importance_tables(rows: Sequence[Row], note: str = "") -> list[Table]:
    """Which frequencies the masks spare, one table a set; `note` is what the paper says of it."""
    metrics = {
        "band_points": "its part of all points (%)",
        "important_points": "its part of the important points (%)",
        "important_share": "important, of its points (%)",
        "mean_importance": "mean importance (%)",
    }
    mine = [row for row in rows if row["metric"] in metrics or row["metric"] == "importance_peak"]
    tables = []
    for name in distinct(mine, "set"):
        of_set = [row for row in mine if row["set"] == name]
        index = {(tuple(row["band"]), row["metric"]): row["value"] for row in of_set if "band" in row}
        body = []
        for low, high in dict.fromkeys(band for band, _ in index):
            values = [index.get(((low, high), metric)) for metric in metrics]
            body.append(
                [
                    f"below {high:,} Hz" if low == 0 else f"{low:,} to {high:,} Hz",
                    *(NONE if value is None else rate(value) for value in values),
                ]
            )
        found = [row for row in of_set if row["metric"] == "importance_peak"]
        at = "; ".join(f"{row['hertz']:.0f} Hz ({rate(row['value'])} %)" for row in found)
        tables.append(
            Table(
                f"Frequencies that the masks spare, {name}, {of_set[0]['n']} utterances",
                ["band", *metrics.values()],
                body,
                "Averaged over frames and seeds; a point is important where M < 0.5; importance is 1 - M. "
                + (
                    f"Peaks of the mean importance, the highest first: {at}. "
                    if at
                    else "The mean importance has no peak. "
                )
                + note,
            )
        )
    return tables


def interval_table(rows: Sequence[Row], normaliser: str, metric: str = "wer") -> Table:
    """Each rate with its 95 % interval, the rate by `metric` of each seed, and what was resampled."""
    whole = [row for row in rows if row.get("accent") is None]
    body = []
    for name in distinct(whole, "set"):
        for system in distinct(whole, "system"):
            pair = {row["metric"]: row for row in whole if (row["set"], row["system"]) == (name, system)}
            if not pair:
                continue
            first = next(iter(pair.values()))
            body.append(
                [
                    name,
                    system,
                    *(with_interval(pair.get(metric)) for metric in ERROR_RATES),
                    ", ".join(f"{rate(value)}" for value in pair.get(metric, first).get("values", [])),
                    ", ".join(map(str, first["seeds"])),
                    str(first["n"]),
                    first.get("resampled") or NONE,
                ]
            )
    return Table(
        f"95 % intervals, {normaliser}",
        [
            "set",
            "system",
            "WER (%)",
            "CER (%)",
            f"{metric.upper()} of each seed",
            "seeds",
            "utterances",
            "resampled by",
        ],
        body,
        "Percentile bootstrap over the test set, with the trained models as they are: the spread over seeds "
        "is not in the interval. Where the speakers are too few to be resampled, utterances are, and the "
        "interval is too narrow.",
    )


def accent_tables(rows: Sequence[Row], normaliser: str) -> list[Table]:
    """A table for each set that has several accents: accents down, systems across, WER / CER."""
    tables = []
    for name in distinct(rows, "set"):
        mine = [row for row in rows if row["set"] == name and row.get("accent") is not None]
        if not mine:
            continue
        systems = distinct(mine, "system")
        body = []
        for accent in distinct(mine, "accent"):
            cells = {(row["system"], row["metric"]): row for row in mine if row["accent"] == accent}
            body.append(
                [
                    accent,
                    str(next(iter(cells.values()))["n"]),
                    *(_pair([cells.get((system, metric)) for metric in ERROR_RATES], "value") for system in systems),
                ]
            )
        tables.append(
            Table(f"Accents of {name}, WER / CER in %, {normaliser}", ["accent", "utterances", *systems], body)
        )
    return tables


def classifier_tables(rows: Sequence[Row]) -> list[Table]:
    """Accuracy, macro F1 and speakers' accuracies of the classifiers, one table a set."""
    mine = [row for row in rows if row["metric"] in ("accuracy", "macro_f1", "speaker_accuracy")]
    tables = []
    for name in distinct(mine, "set"):
        body = []
        of_set = [row for row in mine if row["set"] == name]
        for system in distinct(of_set, "system"):
            whole = {r["metric"]: r for r in of_set if r["system"] == system and r.get("speaker") is None}
            speakers = [r["value"] for r in of_set if r["system"] == system and r.get("speaker") is not None]
            spread = f" ({rate(min(speakers))} to {rate(max(speakers))}, {len(speakers)} speakers)" if speakers else ""
            body.append(
                [
                    system,
                    with_interval(whole.get("accuracy")),
                    with_interval(whole.get("macro_f1")),
                    with_interval(whole.get("speaker_accuracy")) + spread,
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


def _facts(runs: Sequence[Row]) -> list[tuple[str, str]]:
    facts = []
    for run in runs:
        facts += [("command", run["command"]), ("commit", run["commit"]), ("date", run["date"])]
        facts.append(("seeds", ", ".join(map(str, run["seeds"])) or NONE))
        facts.append(("versions", ", ".join(f"{name} {version}" for name, version in run["versions"].items())))
        facts += [(name, str(value)) for name, value in run["settings"].items()]
    return facts


def _remarks(rates: Sequence[Row]) -> list[str]:
    remarks, truncated = [], []
    for row in rates:
        if row["metric"] not in ("wer", command_tables.METRIC):
            continue
        where = f"{row['system']} on {row['set']}"
        if row["snr"] is not None:
            where += f", {snr_name(row['snr'])}"
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


def plain_text(table: Table) -> str:
    """A table in aligned columns for the terminal, in whatever script its cells are."""
    lines = [[isolated(cell) for cell in line] for line in (table.headers, *table.rows)]
    widths = [max(width(line[column]) for line in lines) for column in range(len(table.headers))]
    text = [
        "  ".join(cell + " " * (widest - width(cell)) for cell, widest in zip(line, widths)).rstrip() for line in lines
    ]
    return "\n".join([table.title, text[0], "-" * max(map(width, text)), *text[1:]])
