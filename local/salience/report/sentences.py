"""Sentences of a report: what comparisons show, by rules that claim no more than their intervals do."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from salience.registry import Registry
from salience.report.cells import better_seeds, label, p_value, points, rate
from salience.report.frames import Part
from salience.scoring.specification import Row, called, select

BOOTSTRAP = (
    "Paired bootstrap on the same utterances, errors averaged over seeds; p is two-sided and not corrected for the "
    "number of comparisons. Interval and p are about other speakers or utterances, not about other training seeds"
)


@dataclass(frozen=True)
class Findings:
    """Sentences in groups that have a title each, or one group without."""

    title: str
    note: str
    groups: list[tuple[str, list[str]]]

    def plain_text(self) -> str:
        """The sentences for the terminal, a line each."""
        return "\n".join(line for title, said in self.groups for line in (title, *said) if line)


RULES: Registry[Callable[..., Findings]] = Registry("rule for sentences")


def findings(options: Mapping[str, Any], part: Part, where: str) -> list[Findings]:
    """What an entry `sentences: <rule>` of report.yaml says of one part of the results; nothing without comparisons."""
    rule = RULES[options["sentences"]]
    found = called(rule, {name: value for name, value in options.items() if name != "sentences"}, where, part)
    return [found] if any(said for _, said in found.groups) else []


@RULES.register("differences")
def differences(part: Part) -> Findings:
    """Say what each comparison by the part's metric and normaliser shows, for each set and signal-to-noise ratio."""
    judged = select(part.comparisons, {"metric": part.metric, "normaliser": part.normaliser})
    groups = []
    for name, snr in dict.fromkeys((item["set"], item.get("snr")) for item in judged):
        chosen = select(judged, {"set": name, "snr": snr})
        said = [difference(item) for place, item in enumerate(chosen) if not _is_said(item, chosen[:place])]
        place = name if snr is None else f"{name}, {label('snr', snr)}"
        size = f"{chosen[0]['n']} utterances, resampled by {chosen[0]['resampled']}"
        groups.append((f"{part.metric.upper()} on {place}, {part.normaliser}, {size}", said))
    others = "CER" if part.metric == "wer" else "WER"
    if len(part.values("normaliser")) > 1:
        others += ", and raw,"
    return Findings(
        "Comparisons",
        f"{BOOTSTRAP}: for those, see in how many seeds the difference has the same sign. "
        f"Comparisons in {others} are in results.json.",
        groups,
    )


def _is_said(item: Row, before: Sequence[Row]) -> bool:
    """Whether this is B against A where A against B came before."""
    return bool(select(before, {"system": item["against"], "against": item["system"]}))


def difference(item: Row) -> str:
    """A comparison in words that claim no more than its interval shows."""
    gap, low, high = item["difference"], item["low"], item["high"]
    shown = low > 0 or high < 0
    word = "worse"
    if gap < 0:
        gap, low, high, word = -gap, -high, -low, "better"
    numbers = f"95 % interval {points(low)} to {points(high)}, {p_value(item['p'])}"
    if len(item["differences"]) > 1:
        numbers += f", better in {better_seeds(item)} of {len(item['differences'])} seeds"
    if shown:
        return f"{item['system']} is {points(gap)} points {word} than {item['against']} ({numbers})."
    measured = f"{item['system']} measured {points(gap)} points {word}" if gap else "none measured"
    return f"{item['system']} and {item['against']}: no difference is shown ({measured}; {numbers})."


@RULES.register("verdicts")
def verdicts(
    part: Part, system: str, asked: Sequence[str], pairs: Sequence[Sequence[str]], places: Mapping[str, str]
) -> Findings:
    """Say whether a system beats others, by how much and with what certainty.

    First comes the answer on each set, then every comparison with its figures.

    Args:
        part: Results of one corpus.
        system: The system that the answers are about.
        asked: Those that it is compared with in the answers.
        pairs: What is compared in the figures: (system, against).
        places: Sets and what is said of them: of `clean`, the clean test set; of others, the sets in the run's
            `noisy_sets`, in which the mean over all signal-to-noise ratios counts.
    """
    sets = {"clean": {"set": "test", "snr": None}}
    sets |= {role: {"set": name, "snr": "mean"} for role, name in part.run.get("noisy_sets", {}).items()}
    where = {role: text.format(set=sets[role]["set"]) for role, text in places.items() if role in sets}
    answers, figures = [], []
    for role, text in where.items():
        found = {item["against"]: item for item in select(part.comparisons, {"system": system, **sets[role]})}
        if any(rival in found for rival in asked):
            answers.append(_answer(system, {rival: found[rival] for rival in asked if rival in found}, text))
    rows = select(part.rows, {"sweep": None})
    for one, against in pairs:
        for role, text in where.items():
            for item in select(part.comparisons, {"system": one, "against": against, **sets[role]}):
                subject = f"Against {against}" if one == system else f"{one.capitalize()} against {against}"
                values = [select(rows, {"system": name, **sets[role]})[0]["value"] for name in (one, against)]
                said = f"{subject} {text}: {_figures(item, *values)}"
                if role != "clean":
                    said += _of_snrs(part, {"system": one, "against": against, "set": sets[role]["set"]})
                figures.append(said)
    return Findings(
        "What this shows",
        f"{BOOTSTRAP}. One system beats another here if zero is outside the interval and every seed says the same, "
        "and is better on average if not every seed does.",
        [("", answers + figures)],
    )


def verdict(item: Row) -> str:
    """Judge a comparison: `better` or `worse` if its interval is on one side of zero, and so is every seed.

    If not every seed is, `better on average` or `worse on average`, and if
    the interval is not, `open`.
    """
    if item["low"] <= 0 <= item["high"]:
        return "open"
    word = "better" if item["high"] < 0 else "worse"
    return word if _agreeing(item) == len(item["differences"]) else f"{word} on average"


def _agreeing(item: Row) -> int:
    """In how many seeds the difference is on the side of the mean over all."""
    return sum(one * item["difference"] > 0 for one in item["differences"])


def _answer(system: str, asked: Mapping[str, Row], where: str) -> str:
    """One sentence that names whom a system beats, whom it does not, and of whom that cannot be told."""
    said = {
        "better": (f"{system} beats %s", "and"),
        "better on average": (f"{system} is better on average than %s", "and"),
        "worse": (f"{system} is worse than %s", "and"),
        "worse on average": (f"{system} is worse on average than %s", "and"),
        "open": (f"whether {system} beats %s cannot be told", "or"),
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


def _figures(item: Row, ours: float, theirs: float) -> str:
    gap, seeds = item["difference"], item["differences"]
    found = verdict(item)
    said = "which is better cannot be told" if found == "open" else f"it is {found}"
    if found.endswith("average"):
        said += f", in {_agreeing(item)} of {len(seeds)} seeds"
    text = f"{said}. {rate(ours, 2)} % against {rate(theirs, 2)} %, difference {points(gap)} points"
    if theirs:
        text += f" or {rate(100 * gap / theirs)} % of the errors"
    text += f" (95 % interval {points(item['low'])} to {points(item['high'])}, {p_value(item['p'])}). "
    if not seeds:
        return text + "The two do not have the same seeds."
    if len(seeds) == 1:
        return text + "One training of each: another seed may say otherwise."
    ends = f"{points(min(seeds))} to {points(max(seeds))}"
    return text + f"Better in {better_seeds(item)} of {len(seeds)} seeds, differences {ends}."


def _of_snrs(part: Part, pair: Mapping[str, Any]) -> str:
    """At how many signal-to-noise ratios by themselves the first of a pair is better or worse."""
    items = select(part.comparisons, pair)
    found = [verdict(item) for item in items if isinstance(item.get("snr"), (int, float))]
    counts = (
        f"{word} at {sum(one.startswith(word) for one in found)} (at {found.count(word)} in every seed)"
        for word in ("better", "worse")
    )
    return f" Of {len(found)} SNRs by themselves, it is {', '.join(counts)}."
