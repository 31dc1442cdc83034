"""Sentences on what a recipe's claim.yaml claims, and on what a lower mean does to the gap between accents."""

from collections.abc import Sequence

from salience.report.cells import distinct, p_value, points
from salience.report.findings import RULES
from salience.report.frames import Part
from salience.scoring.specification import Row, select

VERDICTS = {True: "it is shown that", False: "it is not shown that", None: "it cannot be said whether"}


@RULES.register("claim")
def claim_sentences(part: Part) -> list[str]:
    """Say in a sentence for each claim which of its statements are shown."""
    rows = select(part.rows, {"metric": "claim"})
    return [_sentence(_verdicts(select(rows, {"file": file}))) for file in distinct(rows, "file")]


def _verdicts(rows: Sequence[Row]) -> str:
    """`it is shown that A and that B; it is not shown that C`."""
    told = []
    for value, words in VERDICTS.items():
        *others, last = [row["statement"] for row in select(rows, {"value": value})] or [""]
        link = words.split()[-1]
        joined = f"{f', {link} '.join(others)} {'and' if value else 'or'} {link} {last}" if others else last
        told += [f"{words} {joined}"] if last else []
    return "; ".join(told)


@RULES.register("statements")
def statement_sentences(part: Part) -> list[str]:
    """Say of each statement of a claim whether it is shown, by which comparisons."""
    return [_sentence(_statement(row, part)) for row in select(part.rows, {"metric": "claim"})]


@RULES.register("harm")
def harm_sentences(part: Part) -> list[str]:
    """Say where training did harm, if a claim asks for it."""
    said = []
    for items in _by_pair([item for item in select(part.comparisons, {"harm": True}) if item["low"] > 0]):
        what, system, against = _is(items), items[0]["system"], items[0]["against"]
        said.append(f"Fine-tuning does harm: {what}; what beats {system} there may be no better than {against}.")
    return said


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _statement(row: Row, part: Part) -> str:
    said = row["statement"]
    items = [item for item in select(part.comparisons, {"file": row["file"]}) if said in item["claim"]]
    if row["value"]:
        shown = [item for item in select(items, {"shown": True}) if item["system"] in row["by"]]
        found = " and ".join(_is(of_system) for of_system in _alike(shown))
        seeds = len(shown[0]["differences"])
        every = f"in {seeds} of {seeds} seeds" if seeds > 1 else "with one training seed"
        return f"it is shown that {said} ({found}, corrected {_p([item['p_adjusted'] for item in shown])}, {every})"
    lacking = [dict(zip(("system", "against", "set"), names, strict=True)) for names in row["lacking"]]
    absent = " and ".join(f"{_pair(of)} on {_and(of, 'set')}" for of in _by_pair(lacking))
    if row["value"] is None:
        return f"it cannot be said whether {said} (no scores with the same seeds: {absent})"
    failing = _by_pair(select(items, {"shown": False}))
    found = ", ".join(f"{_pair(of)} on {_and(of, 'set')} {_gap(of)}" for of in failing)
    rest = f", and there are no scores of {absent}" if absent else ""
    many = "all" if row["failing"] == row["compared"] else row["failing"]
    return f"it is not shown that {said} (of its {row['compared']} comparisons, {many} fail: {found}{rest})"


def _by_pair(items: Sequence[Row]) -> list[list[Row]]:
    """Comparisons of the same two systems, together."""
    pairs = dict.fromkeys((item["system"], item["against"]) for item in items)
    return [select(items, {"system": system, "against": against}) for system, against in pairs]


def _alike(items: Sequence[Row]) -> list[list[Row]]:
    """Comparisons of the same system on the same sets, together."""
    found: dict[tuple[str, str], list[Row]] = {}
    for of_pair in _by_pair(items):
        found.setdefault((of_pair[0]["system"], _and(of_pair, "set")), []).extend(of_pair)
    return list(found.values())


def _and(items: Sequence[Row], name: str) -> str:
    """The values of a field, with `and` before the last."""
    *others, last = distinct(items, name)
    return f"{', '.join(others)} and {last}" if others else last


def _pair(items: Sequence[Row]) -> str:
    return f"{items[0]['system']} against {items[0]['against']}"


def _gap(items: Sequence[Row]) -> str:
    """By how much the first system is better or worse."""
    best, worst = (end(item["difference"] for item in items) for end in (min, max))
    if best == worst == 0:
        return "no different"
    if best < 0 <= worst:
        return f"{points(-best)} points better to {points(worst)} worse"
    ends = dict.fromkeys(points(abs(value)) for value in sorted((best, worst), key=abs))
    return f"{' to '.join(ends)} points {'better' if worst < 0 else 'worse'}"


def _is(items: Sequence[Row]) -> str:
    return f"{items[0]['system']} is {_gap(items)} than {_and(items, 'against')} on {_and(items, 'set')}"


def _p(values: Sequence[float]) -> str:
    """P values, from the least to the greatest."""
    low, high = p_value(min(values)), p_value(max(values))
    return f"p {low} to {high}" if low != high else f"p {'' if low.startswith('<') else '= '}{low}"


@RULES.register("gaps")
def gap_sentences(part: Part) -> list[str]:
    """Say which systems have a lower mean over accents than others, but a wider gap or spread, if intervals show it."""
    words = {f"{part.metric}_gap": "the gap to {native}", f"{part.metric}_spread": "the spread over accents"}
    found = []
    for mean in select(part.comparisons, {"metric": f"{part.metric}_mean"}):
        place = {name: mean[name] for name in ("system", "against", "set")}
        for gap in select(part.comparisons, {**place, "metric": list(words)}):
            if mean["high"] < 0 < gap["low"]:
                row = select(part.rows, {"metric": gap["metric"], "system": gap["system"], "set": gap["set"]})[0]
                found.append(
                    f"{_pair([gap])} on {gap['set']} (mean {points(-mean['difference'])} points lower, "
                    f"{words[gap['metric']].format(**row)} {points(gap['difference'])} wider)"
                )
    return [f"Better on average over accents, but less even: {'; '.join(found)}."] if found else []
