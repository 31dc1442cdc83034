"""Tables of wav2vec 2.0: recognisers by start and variant, classifiers on two splits, and the health of pretraining.

From rows with the fields `start` and `variant`, or `task`, `part` and `split`
(salience.scoring.wav2vec_rows).  The paper's figures stand beside ours
together with what they were measured on.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from salience.report.cells import NONE, Row, Table, distinct, points, rate, with_interval

RATES = ("wer", "cer")
PAPER = "the paper"
DISJOINT, RANDOM = "speaker-disjoint", "random"
CHANCE = "majority-class"


def main_tables(rows: Sequence[Row], run: Row, normalisers: Sequence[str]) -> list[Table]:
    """Error rates, then the classifiers' test, then pretraining, each if there is something to show."""
    known = run.get("paper") or {}
    rates = [row for row in rows if row["metric"] in RATES and row["accent"] is row.get("gender") is None]
    tables = [
        rate_table([row for row in rates if row["set"] == name], name, normalisers, known.get("recognition", {}))
        for name in distinct(rates, "set")
    ]
    tasks = [row for row in rows if "task" in row]
    for task in dict.fromkeys(row["task"] for row in tasks):
        mine = [row for row in tasks if (row["task"], row["part"]) == (task, "test")]
        if mine:
            tables.append(task_table(mine, known.get("classification", {}).get(task)))
    health = [row for row in rows if row["metric"] in HEALTH or row["metric"] == "updates"]
    if health:
        tables.append(health_table(health, known.get("pretraining")))
    return tables


def detail_tables(rows: Sequence[Row], normaliser: str) -> list[Table]:
    """Error rates by accent and by gender under one normaliser, and what the classifiers score on dev."""
    tables = []
    for group in ("accent", "gender"):
        mine = [row for row in rows if row["normaliser"] == normaliser and row.get(group) is not None]
        tables += [
            group_table([row for row in mine if row["set"] == name], group, name, normaliser)
            for name in distinct(mine, "set")
        ]
    for place in dict.fromkeys((row["task"], row["part"]) for row in rows if "task" in row):
        if place[1] != "test":
            tables.append(task_table([row for row in rows if (row.get("task"), row.get("part")) == place]))
    return tables


def rate_table(rows: Sequence[Row], name: str, normalisers: Sequence[str], known: Mapping[str, Any]) -> Table:
    """Starts and variants down, raw and normalised rates across, each beside the paper's WER if it has one."""
    index = {(row["system"], row["normaliser"], row["metric"]): row for row in rows}
    compared = any(row["paper"] is not None for row in rows)
    headers = ["start"]
    for normaliser in normalisers:
        headers += [normaliser, f"{normaliser.split()[0]}: {PAPER}'s WER"] if compared else [normaliser]
    body = []
    for system in distinct(rows, "system"):
        cells = [system]
        for normaliser in normalisers:
            pair = [index.get((system, normaliser, metric)) for metric in RATES]
            cells.append(_pair(pair))
            if compared:
                figure = pair[0]["paper"] if pair[0] is not None else None
                cells.append(NONE if figure is None else rate(figure))
        mine = next(row for row in rows if row["system"] == system)
        body.append([*cells, ", ".join(map(str, mine["seeds"])) or NONE])
    note = "Means over seeds of corpus-level rates. A start alone is fine-tuned without masks, + names what masks it."
    starts = dict.fromkeys(row["start"] for row in rows)
    caveats = [f"Start {start}: {known[start]['note']}" for start in starts if known.get(start, {}).get("note")]
    if known.get("note") and caveats:
        note += f" {PAPER.capitalize()}'s figures: {known['note']} {' '.join(caveats)}"
    return Table(f"WER / CER in % on {name}", [*headers, "seeds"], body, _flat(note))


def group_table(rows: Sequence[Row], group: str, name: str, normaliser: str) -> Table:
    """Starts and variants down, accents or genders across."""
    index = {(row["system"], row[group], row["metric"]): row for row in rows}
    sizes = {row[group]: row["n"] for row in rows}
    body = [
        [system, *(_pair([index.get((system, label, metric)) for metric in RATES]) for label in sizes)]
        for system in distinct(rows, "system")
    ]
    headers = ["start", *(f"{label} ({size})" for label, size in sizes.items())]
    note = "In brackets the number of utterances. Rates of few utterances say little."
    return Table(f"By {group} on {name}, WER / CER in %, {normaliser}", headers, body, note)


def task_table(rows: Sequence[Row], known: Mapping[str, Any] | None = None) -> Table:
    """A classifier on unknown speakers, then on the paper's random split, and what that leaks."""
    known = known or {}
    index = {(row["system"], row.get("split"), row["metric"]): row for row in rows}
    leaking = any(row.get("split") == RANDOM for row in rows)
    headers, columns = ["start"], []
    for split in (DISJOINT, RANDOM):
        shown = {
            "accuracy": f"accuracy (%), {split} split",
            "macro_f1": "macro F1 (%)",
            "speaker_accuracy": "of a speaker (%)",
        }
        if split == RANDOM and not leaking:
            # Of the paper's figure alone.
            shown = {"accuracy": shown["accuracy"]} if known else {}
        size = next((row["n"] for row in rows if row.get("split") == split), None)
        headers += [f"{title} ({size})" if metric == "accuracy" and size else title for metric, title in shown.items()]
        columns += [(split, metric) for metric in shown]
    if leaking:
        headers, columns = [*headers, "leak (points)"], [*columns, (None, "leak")]
    systems = [name for name in distinct(rows, "system") if name != CHANCE]
    body = [
        [system, *(_score(index.get((system, split, metric)), metric) for split, metric in columns)]
        for system in [*systems, CHANCE]
    ]
    if known.get("accuracy") is not None:
        figure = rate(known["accuracy"], 2)
        body.append([PAPER, *(figure if column == (RANDOM, "accuracy") else NONE for column in columns)])
    seeds = sorted({seed for row in rows for seed in row["seeds"]})
    note = (
        f"Seeds {', '.join(map(str, seeds))}. In brackets the 95 % interval, of several seeds the least and the "
        "greatest; of a speaker: the mean over speakers, then the lowest, the highest and how many. "
        f"{CHANCE} always answers the most frequent class: the accuracy of chance."
    )
    if leaking:
        note += (
            " The random split is drawn by utterance, so that speakers, and often sentences, are in training and "
            "test; the leak is what it adds to the accuracy on unknown speakers. The two splits have models and "
            "utterances of their own, so the leak has no paired interval."
        )
    if known.get("note"):
        note += f" {PAPER.capitalize()}'s figure: {known['note']}"
    return Table(f"{rows[0]['task'].capitalize()} classifier, {rows[0]['part']}", headers, body, _flat(note))


def _score(row: Row | None, metric: str) -> str:
    if row is None:
        return NONE
    if metric == "speaker_accuracy":
        return f"{rate(row['value'])} ({rate(row['lowest'])} to {rate(row['highest'])}, {row['speakers']})"
    written, values = points if metric == "leak" else rate, row.get("values", [])
    if len(values) > 1:
        return f"{written(row['value'])} ({written(min(values))} to {written(max(values))})"
    return written(row["value"]) if metric == "leak" else with_interval(row)


HEALTH = {
    "contrastive_accuracy": ("contrastive accuracy (%)", 2),
    "contrastive_chance": ("of a guess (%)", 2),
    "code_perplexity": ("perplexity of the codes", 1),
    "frame_cosine": ("cosine of two frames' states", 2),
    "masked_frames": ("masked frames (%)", 1),
    "pretraining_loss": ("training loss", 2),
    "contrastive_accuracy_kept": ("accuracy of the kept epoch (%)", 2),
}
"""Metric: (what the table calls it, decimals)."""


def health_table(rows: Sequence[Row], known: Mapping[str, Any] | None = None) -> Table:
    """Whether pretraining was healthy at its end, a seed a line."""
    index = {row["metric"]: row for row in rows}
    first = rows[0]
    body = [
        [
            str(seed),
            f"{index['updates']['values'][place]:.0f}",
            *(rate(index[metric]["values"][place], digits) for metric, (_, digits) in HEALTH.items()),
        ]
        for place, seed in enumerate(first["seeds"])
    ]
    if known and known.get("loss") is not None:
        shown = [rate(known["loss"], 2) if metric == "pretraining_loss" else NONE for metric in HEALTH]
        body.append([PAPER, NONE, *shown])
    note = "On the dev set with fixed masks, after the last update."
    least, most = (index["code_perplexity"].get(end) for end in ("least", "most"))
    if most is not None:
        note += (
            f" The perplexity is summed over codebooks: {least} is collapse, {most} would be all codes equally often."
        )
    if known and known.get("note"):
        note += f" {PAPER.capitalize()}'s figures: {known['note']}"
    headers = ["seed", "updates", *(title for title, _ in HEALTH.values())]
    return Table("Pretraining, at its end", headers, body, _flat(note))


def _pair(pair: Sequence[Row | None]) -> str:
    if pair == [None, None]:
        return NONE
    return " / ".join(NONE if row is None else rate(row["value"]) for row in pair)


def _flat(note: str) -> str:
    return " ".join(note.split())
