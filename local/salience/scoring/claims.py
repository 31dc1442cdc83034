"""A recipe's claim.yaml: what is claimed, written down before the test is run, and whether the comparisons show it.

A comparison is shown if the first system has the lower error rate, its p value
is below `alpha` after correction for all comparisons of the file, and every
training seed has the same sign.  Those that the run lacks count as p = 1, so
that leaving out a system does not make the others easier.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from salience.errors import InputError
from salience.files import read_yaml
from salience.scoring.results import new_row
from salience.scoring.specification import called, select
from salience.steps import last_change

Triple = tuple[str, str, str]
"""System, against, set."""


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values for their number by the step-down method of Holm (Scand. J. Statist. 6, 1979)."""
    p = np.asarray(p_values, float)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted.tolist()


CORRECTIONS: dict[str, Callable[[Sequence[float]], list[float]]] = {"Holm": holm, "none": list}


@dataclass(frozen=True)
class Names:
    """Names that must all do, or `any` one of which must."""

    names: tuple[str, ...]
    any: bool

    def judge(self, verdict: Callable[[str], bool | None]) -> bool | None:
        """Combine the verdicts of the names; None is unknown, and stays so unless a known one decides."""
        found = [verdict(name) for name in self.names]
        if self.any in found:
            return self.any
        return None if None in found else not self.any


@dataclass(frozen=True)
class Statement:
    """One statement of a claim.

    Args:
        says: The statement as a clause: `the map matters`.
        better: Systems that have the lower error rate.
        than: Systems that each of them is compared with.
        sets: Test sets.
    """

    says: str
    better: Names
    than: Names
    sets: Names

    def triples(self) -> list[Triple]:
        """List its comparisons."""
        return list(product(self.better.names, self.than.names, self.sets.names))

    def judge(self, shown: Mapping[Triple, bool | None], systems: Names | None = None) -> bool | None:
        """Say whether it holds; None if that cannot be said.

        Args:
            shown: Whether each comparison is shown; None for those that are not there.
            systems: The better systems to ask about, instead of all.
        """
        return (systems or self.better).judge(
            lambda system: self.than.judge(lambda against: self.sets.judge(lambda name: shown[system, against, name]))
        )


@dataclass(frozen=True)
class Claim:
    """What claim.yaml says.

    Args:
        path: The file.
        statements: What it is made of.
        alpha: Level below which a corrected p value is shown.
        correction: One of CORRECTIONS.
        harm: (system, against) such as (plain, zero-shot): where the first is worse, the report says so.
        also: Such pairs that are compared, too, but not claimed.
    """

    path: Path
    statements: tuple[Statement, ...]
    alpha: float = 0.05
    correction: str = "Holm"
    harm: tuple[str, str] = ("", "")
    also: tuple[tuple[str, str], ...] = ()

    def pairs(self) -> list[tuple[str, str]]:
        """List which systems are compared with which."""
        harm = [self.harm] if any(self.harm) else []
        return list(dict.fromkeys([*(triple[:2] for triple in self.triples()), *harm, *self.also]))

    def triples(self) -> list[Triple]:
        """List all comparisons, each once: what p values are corrected for."""
        return list(dict.fromkeys(triple for one in self.statements for triple in one.triples()))


def read_claim(path: Path) -> Claim:
    """Read a claim.yaml; what is wrong in it is an InputError."""
    found = read_yaml(path, "correct `claim` in report.yaml")
    if not isinstance(found, Mapping) or not isinstance(found.get("statements"), list) or not found["statements"]:
        raise InputError(f"{path} has no list of statements; write what is claimed into it")
    pairs = {"harm": [found.get("harm", ["", ""])], "also": found.get("also", [])}
    for name, values in pairs.items():
        for pair in values if isinstance(values, list) else [values]:
            if not (isinstance(pair, list) and len(pair) == 2):
                raise InputError(f"{path}: {name} has {pair!r} where two systems are expected; correct it")
        pairs[name] = tuple(tuple(pair) for pair in values)
    statements = tuple(_statement(entry, f"{path}: statements") for entry in found["statements"])
    given = {**found, "path": path, "statements": statements, "harm": pairs["harm"][0], "also": pairs["also"]}
    claim = called(Claim, given, f"{path}")
    if claim.correction not in CORRECTIONS:
        raise InputError(
            f"{path}: correction is {claim.correction!r} and may be {' or '.join(CORRECTIONS)}; correct it"
        )
    if not (isinstance(claim.alpha, float) and 0 < claim.alpha < 1):
        raise InputError(f"{path}: alpha is {claim.alpha!r} and must be between 0 and 1; correct it")
    return claim


def read_claims(paths: Sequence[Path]) -> list[Claim]:
    """Read the claims of a recipe, in the order of their tests; a comparison may belong to one of them only."""
    claims = [read_claim(path) for path in paths]
    seen: dict[Triple, Path] = {}
    for claim in claims:
        for triple in claim.triples():
            if triple in seen:
                system, against, name = triple
                raise InputError(
                    f"{claim.path} compares {system} with {against} on {name}, as {seen[triple].name} does, so that"
                    " its p value would be corrected in two ways; leave it out of one of them"
                )
        seen |= dict.fromkeys(claim.triples(), claim.path)
    return claims


def _statement(entry: Any, where: str) -> Statement:
    if isinstance(entry, Mapping):
        entry = {key: value if key == "says" else _names(value, f"{where}, {key}") for key, value in entry.items()}
    return called(Statement, entry, where)


def _names(value: Any, where: str) -> Names:
    """Names as claim.yaml has them: `one`, `[all, of these]` or `{any: [of, these]}`."""
    one_of = isinstance(value, Mapping) and list(value) == ["any"]
    names = value["any"] if one_of else [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise InputError(f"{where} has {value!r} where a name, [names] or {{any: [names]}} is expected; correct it")
    return Names(tuple(names), one_of)


def attach_claim(
    claim: Claim, compared: Sequence[dict[str, Any]], judged_by: Mapping[str, Any], common: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Write into the comparisons what they say of the claim, and make a row for each of its statements.

    A comparison of the claim gets the statements that it belongs to as its
    `claim`, its corrected p value, `p_adjusted`, whether it is `shown`, of how
    many comparisons it is one, `family`, and the claim's `file`, when that was
    `written`, its `alpha` and `correction`; one of the pair `harm` is marked
    so.  A row of the metric `claim` has the `statement`, its `file`, whether
    it holds as its `value` (null if that cannot be said), the systems `by`
    which it holds, how many of its comparisons there are, `compared`, and are
    not shown, `failing`, and those that are `lacking`.

    Args:
        claim: The claim.
        compared: Comparisons of the run.
        judged_by: Metric and normaliser of the error rates that count.
        common: What all rows have in common.
    """
    wanted = claim.triples()
    written = {
        "file": claim.path.name,
        "written": last_change(claim.path),
        "alpha": claim.alpha,
        "correction": claim.correction,
    }
    items = {
        (item["system"], item["against"], item["set"]): item
        for item in select(compared, {**judged_by, "snr": None, "weight": None})
    }
    # Where the two systems do not have the same seeds, there are no differences by seed, and the comparison is lacking.
    known = {triple: items[triple] for triple in wanted if items.get(triple, {}).get("differences")}
    adjusted = CORRECTIONS[claim.correction]([known[triple]["p"] if triple in known else 1.0 for triple in wanted])
    shown: dict[Triple, bool | None] = dict.fromkeys(wanted)
    for triple, p in zip(wanted, adjusted, strict=True):
        if triple in known:
            item = known[triple]
            shown[triple] = p < claim.alpha and max(item["difference"], *item["differences"]) < 0
            item["claim"] = [one.says for one in claim.statements if triple in one.triples()]
            item |= {"p_adjusted": round(p, 5), "shown": shown[triple], "family": len(wanted), **written}
    for item in select(items.values(), dict(zip(("system", "against"), claim.harm, strict=True))):
        item["harm"] = True
    return [
        new_row(
            common,
            metric="claim",
            normaliser=judged_by["normaliser"],
            statement=one.says,
            value=one.judge(shown),
            compared=sum(shown[triple] is not None for triple in one.triples()),
            failing=sum(shown[triple] is False for triple in one.triples()),
            by=[name for name in one.better.names if one.judge(shown, Names((name,), True))],
            lacking=[list(triple) for triple in one.triples() if shown[triple] is None],
            n=len(wanted),
            seeds=[],
            **written,
        )
        for one in claim.statements
    ]
