"""Tables 1 to 5 of the ImportantAug paper (Trinh, Salami Kavaki and Mandel, ICASSP 2022), and what they show.

From rows with the metric `error`: percent of single-word utterances that were
taken for another word.  A row of one of the paper's two sweeps has the fields
`sweep` and `sweep_value` (null: without noise), a row of a noisy set an `snr` in dB or `mean`, the
mean over all of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from salience.report.cells import NONE, Row, Table, distinct, p_value, points, rate, snr_name, with_interval

METRIC = "error"
OURS = "importantaug"
"""The system that the comparisons are about."""
MEAN = "mean"
PAPER_SETS = {"in-domain": "GSC-MUSAN", "out-of-domain": "GSC-QUT"}
CLEAN = "∞"
"""Signal-to-noise ratio of a training without noise."""
RIVALS = ("null", "conventional", "baseline", "continue-clean", "specaugment", "other-map")
ASKED = (*RIVALS[:4], "other-map")
"""Those of the paper's question, and the controls that it lacks."""
COMPARED = (*((OURS, rival) for rival in RIVALS), ("null", "conventional"))
"""The second of each pair against the first; the last pair shows how much of a difference is that of the SNR."""
GENERATOR_METRICS = {
    "equation_5": "equation 5",
    "mask_mean": "mean of M (%)",
    "masked_error": "error in noise through M (%)",
}
"""Of the generators on dev, and their columns."""


def main_tables(rows: Sequence[Row], run: Row) -> list[Table]:
    """The sets, then Tables 1 to 5 beside the paper's figures, each if there is something to show."""
    swept = {name: [row for row in rows if row.get("sweep") == name] for name in ("conventional", "binarised")}
    rows = [row for row in rows if row.get("sweep") is None]
    compared = any(row["paper"] is not None for row in rows)
    tables = [sizes_table(run["sizes"], compared)] if run.get("sizes") else []
    if swept["conventional"]:
        tables.append(snr_sweep_table(swept["conventional"], run.get("chosen")))
    tables.append(test_table(rows, run.get("training_snr", {})))
    for place, (role, name) in enumerate(run.get("noisy_sets", {}).items(), 3):
        noisy = [row for row in rows if row["set"] == name and row["snr"] is not None]
        if noisy:
            tables.append(noise_table(noisy, f"Table {place}: error in % in {role} noise, {name}", PAPER_SETS[role]))
    if swept["binarised"]:
        tables.append(binarised_table(swept["binarised"]))
    return [_without_empty_columns(table) for table in tables]


def _without_empty_columns(table: Table) -> Table:
    """The table without columns of the paper's that have no figure, such as those of synthetic speech."""
    kept = [
        place
        for place, header in enumerate(table.headers)
        if not header.endswith(", paper") or any(row[place] != NONE for row in table.rows)
    ]
    rows = [[row[place] for place in kept] for row in table.rows]
    return Table(table.title, [table.headers[place] for place in kept], rows, table.note)


def detail_tables(rows: Sequence[Row], compared: Sequence[Row], generators: Sequence[Row] = ()) -> list[Table]:
    """Intervals, the error of each seed, the difference of every pair on every set, and the generators."""
    noisy = [row for row in rows if row["snr"] is not None]
    tables = [interval_table([row for row in rows if row["snr"] is None and row.get("sweep") is None])]
    for name in distinct(noisy, "set"):
        of_set = [row for row in noisy if row["set"] == name]
        tables.append(noise_table(of_set, f"Error in % on {name} with 95 % intervals"))
    tables += [
        difference_table([item for item in compared if item["set"] == name], name) for name in distinct(compared, "set")
    ]
    return [*tables, generator_table(generators)] if generators else tables


def sizes_table(sizes: Mapping[str, Any], compared: bool) -> Table:
    """How large the sets are, beside the paper's; with a caution where the report is `compared` with its figures."""
    official = sizes.get("official", {})
    names = {
        "words": "words",
        "train": "training utterances",
        "dev": "dev utterances",
        "test": "test utterances",
        "noise_train": "seconds of noise for training",
        "noise_test": "seconds of noise for the in-domain test",
        "noise_other_seconds": "seconds of noise for the out-of-domain test",
    }
    body = [[title, _size(sizes, key), _size(official, key)] for key, title in names.items() if key in sizes]
    note = ""
    if official.get("train") and official["train"] != sizes.get("train"):
        note = (
            f"Learned from {_count(sizes['train'])} utterances of {sizes['words']} words, the paper's corpus having "
            f"{_count(official['train'])} of {official['words']}: that is "
            f"{rate(100 * sizes['train'] / official['train'])} % of its training utterances."
        )
        if compared:
            note += (
                " The paper's figures stand beside ours for orientation: with other words and less speech, error "
                "rates cannot be compared with them, and what one method gains on another only with care."
            )
    return Table("Sets", ["", "this run", "the paper's corpus"], body, note)


def _size(sizes: Mapping[str, Any], key: str) -> str:
    """A number, and of how many recordings these are the seconds, where that is known."""
    recordings = sizes.get(f"{key}_recordings")
    return _count(sizes.get(key)) + ("" if recordings is None else f" from {_count(recordings)} recordings")


def _count(value: Any) -> str:
    return NONE if value is None else f"{value:,.0f}"


def snr_sweep_table(rows: Sequence[Row], chosen: float | None) -> Table:
    """Table 1: conventional noise of each SNR, on dev."""
    names = {"baseline": CLEAN, "continue-clean": f"{CLEAN}, continue-clean"}
    body = []
    for row in rows:
        value = row["sweep_value"]
        mark = " (chosen)" if value is not None and value == chosen else ""
        name = names[row["system"]] if value is None else f"{value:g}{mark}"
        body.append([name, with_interval(row, 2), _paper(row), _seeds(row)])
    note = (
        f"Means over the seeds that all rows have. {CLEAN} is the baseline, from which the rest is trained on."
        " continue-clean is so too, without noise; the paper has no such row, so its table shows the effect of noise"
        " and that of a second training together."
    )
    if chosen is not None and all(len(row["seeds"]) == 1 for row in rows):
        note += (
            f" One training of each SNR, with seed {_seeds(rows[0])}, chose {chosen:g} dB for the system conventional"
            " of all seeds; another seed may choose another SNR."
        )
    return Table(
        "Table 1: error in % on dev with conventional noise",
        ["SNR (dB)", "dev (95 % interval)", "dev, paper", "seeds"],
        body,
        note,
    )


def test_table(rows: Sequence[Row], training_snr: Mapping[str, float | None]) -> Table:
    """Table 2: the systems on the clean test set."""
    body = []
    for row in rows:
        if (row["set"], row["snr"]) == ("test", None):
            snr = training_snr.get(row["system"], NONE)
            heard = CLEAN if snr is None else NONE if snr == NONE else f"{snr:g}"
            body.append([row["system"], heard, with_interval(row, 2), _paper(row), _seeds(row)])
    return Table(
        "Table 2: error in % on the clean test set",
        ["system", "initial SNR (dB)", "test (95 % interval)", "test, paper", "seeds"],
        body,
        "Means over seeds. The paper trained each system once.",
    )


def noise_table(rows: Sequence[Row], title: str, paper_set: str | None = None) -> Table:
    """Tables 3 and 4: systems down, SNRs of the test across, the paper's line below ours.

    Without the paper's test set, with intervals instead.
    """
    ratios = distinct(rows, "snr")
    index = {(row["system"], row["snr"]): row for row in rows}
    body, compared = [], False
    for system in distinct(rows, "system"):
        cells = [index.get((system, snr)) for snr in ratios]
        seeds = _seeds(next(row for row in cells if row is not None))
        if paper_set is None:
            body.append([system, *(with_interval(row) for row in cells), seeds])
            continue
        body.append([system, *(NONE if row is None else rate(row["value"]) for row in cells), seeds])
        if any(row is not None and row["paper"] is not None for row in cells):
            compared = True
            body.append([f"{system}, paper", *(_paper(row, 1) for row in cells), "1 training"])
    note = "Means over seeds; mean is over the signal-to-noise ratios."
    if compared:
        note += f" The paper's lines are of {paper_set}, its mean being ours of its figures."
    return Table(title, ["system", *map(snr_name, ratios), "seeds"], body, note)


def binarised_table(rows: Sequence[Row]) -> Table:
    """Table 5: the share q of the points that noise spares wholly."""
    index = {(row["sweep_value"], row["set"]): row for row in rows}
    body = []
    for q in sorted(distinct(rows, "sweep_value"), reverse=True):
        dev, test = index.get((q, "dev")), index.get((q, "test"))
        seeds = _seeds(next(row for row in (dev, test) if row is not None))
        body.append([f"{q:g}", with_interval(dev, 2), _paper(dev), with_interval(test, 2), _paper(test), seeds])
    return Table(
        "Table 5: error in % with binarised masks",
        ["q (%)", "dev (95 % interval)", "dev, paper", "test (95 % interval)", "test, paper", "seeds"],
        body,
        "No noise at the q % of the points where the mask is lowest, all of it elsewhere; 0 is null. In clips shorter "
        "than a second it is fewer of their points once the mask is moved along time. Means over the seeds that all "
        "rows have.",
    )


def interval_table(rows: Sequence[Row]) -> Table:
    """Every clean score: its interval, and the error of each seed."""
    body = [
        [
            row["set"],
            row["system"],
            with_interval(row, 2),
            ", ".join(rate(value, 2) for value in row["values"]),
            _seeds(row),
            str(row["n"]),
            row["resampled"],
        ]
        for name in distinct(rows, "set")
        for row in rows
        if row["set"] == name
    ]
    return Table(
        "95 % intervals on clean speech",
        ["set", "system", "error (%)", "error of each seed", "seeds", "utterances", "resampled by"],
        body,
        "Percentile bootstrap over the test set, with the trained models as they are: the spread over seeds is not in "
        "the interval. Where the speakers are too few to be resampled, utterances are, and the interval is too narrow.",
    )


def difference_table(compared: Sequence[Row], name: str) -> Table:
    """How many points more errors importantaug makes than each other system, with intervals."""
    index = {(item["system"], item["against"], item.get("snr")): item for item in compared}
    ratios = list(dict.fromkeys(item.get("snr") for item in compared))
    body = []
    for system, against in dict.fromkeys((item["system"], item["against"]) for item in compared):
        cells = [index.get((system, against, snr)) for snr in ratios]
        body.append([against if system == OURS else f"{against}, from {system}", *map(_difference, cells)])
    return Table(
        f"{OURS} minus each other system on {name}, in points",
        ["against", *("clean" if snr is None else snr_name(snr) for snr in ratios)],
        body,
        "Negative is better. In brackets the 95 % interval of the paired bootstrap, then in how many seeds it is"
        " better.",
    )


def generator_table(rows: Sequence[Row]) -> Table:
    """What the generators' masks let through on dev, and at what price."""
    index = {(row["system"], row["metric"]): row for row in rows}
    digits = {metric: 3 if metric == "equation_5" else 2 for metric in GENERATOR_METRICS}
    body = [
        [
            system,
            *(rate(index[system, metric]["value"], digits[metric]) for metric in GENERATOR_METRICS),
            _seeds(index[system, "mask_mean"]),
        ]
        for system in distinct(rows, "system")
    ]
    return Table(
        "Generators on dev",
        ["", *GENERATOR_METRICS.values(), "seeds"],
        body,
        "Each with the frozen recogniser that it was trained with, in noise for training at the SNR of importantaug. "
        "Equation 5 is what a generator learns to make small; M is 1 where all the noise passes.",
    )


def _difference(item: Row | None) -> str:
    if item is None:
        return NONE
    better = sum(difference < 0 for difference in item["differences"])
    seeds = f", {better} of {len(item['differences'])}" if item["differences"] else ""
    return f"{points(item['difference'])} ({points(item['low'])} to {points(item['high'])}{seeds})"


def _paper(row: Row | None, digits: int = 2) -> str:
    return NONE if row is None or row["paper"] is None else rate(row["paper"], digits)


def _seeds(row: Row) -> str:
    return ", ".join(map(str, row["seeds"])) or NONE


def statement(rows: Sequence[Row], compared: Sequence[Row], noisy_sets: Mapping[str, str]) -> list[str]:
    """Plain sentences: whether importantaug beats the others, by how much and with what certainty.

    `noisy_sets` maps what the noise is to training, such as in-domain, to the
    name of the set.  First comes the answer on each set, then every
    comparison with its figures.
    """
    rates = {(row["system"], row["set"], row["snr"]): row["value"] for row in rows if row.get("sweep") is None}
    index = {(item["system"], item["against"], item["set"], item.get("snr")): item for item in compared}
    places = {("test", None): "on the clean test set"}
    for role, name in noisy_sets.items():
        places[name, MEAN] = f"in {role} noise ({name}), mean over SNRs"
    answers, findings = [], []
    for place, where in places.items():
        asked = {rival: index[OURS, rival, *place] for rival in ASKED if (OURS, rival, *place) in index}
        if asked:
            answers.append(_answer(asked, where))
    for system, rival in COMPARED:
        for place, where in places.items():
            if (system, rival, *place) not in index:
                continue
            rates_of_both = (rates[name, *place] for name in (system, rival))
            subject = f"Against {rival}" if system == OURS else f"{system.capitalize()} against {rival}"
            text = f"{subject} {where}: {_finding(index[system, rival, *place], *rates_of_both)}"
            if place[1] is not None:
                alone = [
                    verdict(item)
                    for (*pair, name, snr), item in index.items()
                    if (*pair, name) == (system, rival, place[0]) and isinstance(snr, (int, float))
                ]
                counts = (
                    f"{word} at {sum(found.startswith(word) for found in alone)} (at {alone.count(word)} in every seed)"
                    for word in ("better", "worse")
                )
                text += f" Of {len(alone)} SNRs by themselves, it is {', '.join(counts)}."
            findings.append(text)
    return answers + findings


def verdict(item: Row) -> str:
    """`better` or `worse` if the interval is on one side of zero and so is every seed.

    If not every seed is, `better on average` or `worse on average`, and if
    the interval is not, `open`.
    """
    if item["low"] <= 0 <= item["high"]:
        return "open"
    word = "better" if item["high"] < 0 else "worse"
    return word if _agreeing(item) == len(item["differences"]) else f"{word} on average"


def _agreeing(item: Row) -> int:
    """In how many seeds the difference is on the side of the mean over all."""
    return sum(difference * item["difference"] > 0 for difference in item["differences"])


def _answer(asked: Mapping[str, Row], where: str) -> str:
    """One sentence that names whom importantaug beats, whom it does not, and of whom that cannot be told."""
    said = {
        "better": (f"{OURS} beats %s", "and"),
        "better on average": (f"{OURS} is better on average than %s", "and"),
        "worse": (f"{OURS} does not beat %s: it is worse", "or"),
        "worse on average": (f"{OURS} is worse on average than %s", "and"),
        "open": (f"whether {OURS} beats %s cannot be told", "or"),
    }
    parts = []
    for kind, (words, conjunction) in said.items():
        names = [
            f"{rival} (in {_agreeing(item)} of {len(item['differences'])} seeds)" if kind.endswith("average") else rival
            for rival, item in asked.items()
            if verdict(item) == kind
        ]
        if names:
            parts.append(words % f" {conjunction} ".join(filter(None, [", ".join(names[:-1]), names[-1]])))
    return f"{where[0].upper()}{where[1:]}, {'; '.join(parts)}."


def _finding(item: Row, ours: float, theirs: float) -> str:
    """The figures of one comparison."""
    gap, seeds = item["difference"], item["differences"]
    found = verdict(item)
    words = {
        "better": "it is better",
        "worse": "it is worse, and does not beat it",
        "open": "which is better cannot be told",
    }
    said = words.get(found, f"it is {found}, in {_agreeing(item)} of {len(seeds)} seeds")
    text = f"{said}. {rate(ours, 2)} % against {rate(theirs, 2)} %, difference {points(gap)} points"
    if theirs:
        text += f" or {rate(100 * gap / theirs)} % of the errors"
    text += f" (95 % interval {points(item['low'])} to {points(item['high'])}, {p_value(item['p'])}). "
    if not seeds:
        return text + "The two do not have the same seeds."
    if len(seeds) == 1:
        return text + "One training of each: another seed may say otherwise."
    better = sum(difference < 0 for difference in seeds)
    return text + f"Better in {better} of {len(seeds)} seeds, differences {points(min(seeds))} to {points(max(seeds))}."
