"""Findings of a report: sentences made from result rows by rule, which claim no more than they show."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from salience.registry import Registry
from salience.report.cells import better_seeds, filled, metric_name, rate
from salience.report.frames import Part
from salience.scoring.specification import Row, called, select

SHOWN = "{comparison} than {rival} by {points} points ({certainty})"
OPEN = (
    "no difference is shown between {subject} ({metric} {value} %) and {rival} ({other} %; "
    "difference {signed} points, {certainty})"
)
UNSHOWN = "no difference from {rival} is shown ({signed} points, {certainty})"

ALL = dict.fromkeys(("accent", "snr", "weight", "sweep"))
"""What selects rows of all accents, on clean speech, with the settings of the recipe."""


@dataclass(frozen=True)
class Sentence:
    """A sentence of a finding, as report.yaml describes it.

    The sentence names, for each rival, whether the system is better or worse
    (its interval excludes zero; `on average` if not every seed agrees), or
    that no difference is shown.  Texts can say {subject}, {rival}, {value} and
    {other} (the rates of the two), {value_paper} and {other_paper}, {points},
    {signed}, {low}, {high}, {certainty} and what `values` name.

    Args:
        system: The system that the sentence is about.
        against: What it is compared with, one or several.
        corpus: Whose results count; those of the corpus that the report shows first.
        where: What else selects the comparisons and the rows of the systems, such as {set: test}.
        place: Words that the sentence begins with, such as "On new speakers", or "On {set}" for the name of the set.
        names: What systems are called in the sentence.
        values: Other rows by name: {noise: {metric: noise_proportion}} makes {noise} and {noise_paper}.
        better: The sentence if the system is better, without its full stop; by default it is made by rule.
        worse: Likewise if it is worse.
        open: Likewise if no difference is shown.
        paper: Added where the paper has the figures that it names.
        text: The sentence where nothing is to be compared, of what `values` names.
        missing: The sentence where there is nothing of all this.
    """

    system: str | None = None
    against: Sequence[str] | str = ()
    corpus: str | None = None
    where: Mapping[Any, Any] = field(default_factory=dict)
    place: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Mapping[Any, Any]] = field(default_factory=dict)
    better: str | None = None
    worse: str | None = None
    open: str | None = None
    paper: str | None = None
    text: str | None = None
    missing: str | None = None


@dataclass(frozen=True)
class Rule:
    """Sentences of a rule in RULES, as report.yaml asks for them.

    They are of the first corpus in which the rule has something to say, and
    name it where it is not the one that the report shows first.  No rule
    speaks of the same corpus twice.

    Args:
        rule: Its name.
        corpus: The corpus to ask first; that which the report shows first.
    """

    rule: str
    corpus: str | None = None


RULES: Registry[Callable[[Part], list[str]]] = Registry(
    "rule for sentences",
    dict.fromkeys(("claim", "statements", "harm", "gaps"), "salience.report.claims")
    | {"faithfulness": "salience.report.faithfulness"}
    | {"writing": "salience.report.writing"},
)


def finding(entries: Sequence[Mapping[str, Any]], parts: Sequence[Part], where: str) -> list[str]:
    """What report.yaml's `finding` or `further` says of the results.

    Args:
        entries: Keyword arguments of `Sentence` or, with `rule`, of `Rule`.
        parts: Results of each corpus; the first is that which the report shows first.
        where: File and key of the entries, for sentences about what is wrong in it.
    """
    said: list[str] = []
    told: set[tuple[str, str | None]] = set()
    for entry in entries:
        kind = Rule if isinstance(entry, Mapping) and "rule" in entry else Sentence
        wanted = called(kind, entry, where)
        if isinstance(wanted, Sentence):
            part = next((part for part in parts if wanted.corpus in (None, part.corpus)), None)
            said += filter(None, [_said(wanted, part)])
            continue
        asked = sorted(parts, key=lambda part: part.corpus != wanted.corpus)
        for part, own in ((part, own) for part in asked if (own := RULES[wanted.rule](part))):
            if part is not parts[0]:
                own[0] = f'In "{part.corpus}", {own[0][0].lower()}{own[0][1:]}'
            if (wanted.rule, part.corpus) not in told:
                said += own
            told.add((wanted.rule, part.corpus))
            break
    return said


def verdict(item: Row) -> str:
    """Judge a comparison: `better` or `worse` if its interval is on one side of zero, and so is every seed.

    If not every seed is, `better on average` or `worse on average`, and if
    the interval is not, `open`.
    """
    if item["low"] <= 0 <= item["high"]:
        return "open"
    word = "better" if item["high"] < 0 else "worse"
    return word if _agreeing(item) == len(item["differences"]) else f"{word} on average"


def certainty(item: Row) -> str:
    """The interval of a comparison, in the direction that it is told in, and the seeds that agree."""
    ends = sorted(abs(item[end]) if verdict(item) != "open" else item[end] for end in ("low", "high"))
    text = f"95 % interval {' to '.join(_points(end, item) for end in ends)}"
    seeds = len(item["differences"])
    if seeds == 1:
        return f"{text}, one training seed"
    if verdict(item) == "open":
        return f"{text}, better in {better_seeds(item)} of {seeds} seeds" if seeds else text
    return f"{text}, in {_agreeing(item)} of {seeds} seeds" if seeds else text


def _agreeing(item: Row) -> int:
    """In how many seeds the difference is on the side of the mean over all."""
    return sum(one * item["difference"] > 0 for one in item["differences"])


def _points(value: float, item: Row) -> str:
    """A difference with one decimal, or with two where one would make a zero of something that is none."""
    finest = min(abs(item[name]) for name in ("difference", "low", "high"))
    return rate(value, 2 if 0 < finest < 0.05 else 1)


def _said(wanted: Sentence, part: Part | None) -> str | None:
    if wanted.text is not None:
        return (filled(wanted.text, _values(wanted.values, part)) if part is not None else None) or wanted.missing
    rivals = (wanted.against,) if isinstance(wanted.against, str) else wanted.against
    told = [_told(wanted, rival, part) for rival in rivals] if part is not None else []
    told = [fields for fields in told if fields]
    if not told:
        return wanted.missing
    own = getattr(wanted, told[0]["verdict"].split()[0])
    if own is not None:
        return f"{filled(own, told[0]) or own}{_of_the_paper(wanted, told[0])}."
    head = f"{filled(wanted.place, told[0]) or wanted.place}, " if wanted.place else ""
    shown = [filled(SHOWN, fields) or "" for fields in told if fields["verdict"] != "open"]
    unshown = [fields for fields in told if fields["verdict"] == "open"]
    texts = [UNSHOWN if shown or fields is not unshown[0] else OPEN for fields in unshown]
    said = [f"{told[0]['subject']} ({told[0]['metric']} {told[0]['value']} %) is {_joined(shown)}"] if shown else []
    sentence = head + "; ".join([*said, *(filled(*pair) or "" for pair in zip(texts, unshown, strict=True))])
    return sentence[0].upper() + sentence[1:] + _of_the_paper(wanted, told[0]) + "."


def _of_the_paper(wanted: Sentence, fields: Mapping[str, Any]) -> str:
    return (filled(wanted.paper, fields) if wanted.paper else None) or ""


def _told(wanted: Sentence, rival: str, part: Part) -> dict[str, Any] | None:
    """What a sentence can say of a system and one rival; None if they are not compared."""
    condition = part.resolved({**ALL, "metric": part.metric, "normaliser": part.normaliser, **wanted.where})
    found = select(part.comparisons, {**condition, "system": wanted.system, "against": rival})
    if not found:
        return None
    item = found[0]
    fields: dict[str, Any] = {
        "subject": wanted.names.get(wanted.system or "", wanted.system),
        "rival": wanted.names.get(rival, rival),
        "verdict": verdict(item),
        "comparison": verdict(item),
        "metric": metric_name(item["metric"]),
        "set": item["set"],
        "points": _points(abs(item["difference"]), item),
        "signed": _points(item["difference"], item),
        "certainty": certainty(item),
    }
    same = {**condition, "set": item["set"]}
    rows = {"value": {**same, "system": wanted.system}, "other": {**same, "system": rival}}
    return fields | _values({**rows, **wanted.values}, part)


def _values(wanted: Mapping[str, Mapping[Any, Any]], part: Part) -> dict[str, str]:
    """The values of rows by name, and those of the paper as `<name>_paper`."""
    found = {}
    for name, where in wanted.items():
        for row in select(part.rows, part.resolved(ALL | where))[:1]:
            for key, value in ((name, row["value"]), (f"{name}_paper", row["paper"])):
                if value is not None:
                    found[key] = f"{value:,}" if isinstance(value, int) else rate(value)
    return found


def _joined(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
