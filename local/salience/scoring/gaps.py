"""How errors fall on accents: how far the worst is above the native one, and the spread over accents.

Speakers are drawn with replacement within each accent, the same for all
systems, so that differences between systems are paired.  The worst accent of a
system is the same in every draw: the maximum of each draw would be too large.
So would be the standard deviation over accents, so that its interval is the
basic bootstrap's (2 * estimate - draw; Davison and Hinkley, Bootstrap Methods
and their Application, 1997, section 5.2).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from salience.scoring.bootstrap import interval, resampled_rates, two_sided_p
from salience.scoring.rates import Scores
from salience.scoring.results import new_row, rounded

SystemsBySet = Mapping[str, Mapping[str, Scores]]


@dataclass(frozen=True)
class Quantity:
    """A number in percent of each system, such as the error rate of one accent.

    Args:
        value: Of errors averaged over seeds: (systems,).
        samples: The same, resampled: (draws, systems).
        by_seed: Of each system, by seed.
        n: Utterances.
        speakers: Speakers.
    """

    value: np.ndarray
    samples: np.ndarray
    by_seed: list[np.ndarray]
    n: int
    speakers: int

    def row(self, place: int) -> dict[str, Any]:
        """Make the fields of one system's row that hold numbers."""
        low, high = interval(self.samples[:, place])
        values = [rounded(value) for value in self.by_seed[place]]
        return {"value": rounded(self.value[place]), "low": rounded(low), "high": rounded(high), "values": values}

    def difference(self, one: int, other: int, same_seeds: bool) -> dict[str, Any]:
        """Make the fields of a comparison of two systems that hold numbers."""
        samples = self.samples[:, one] - self.samples[:, other]
        low, high = interval(samples)
        return {
            "difference": rounded(self.value[one] - self.value[other]),
            "low": rounded(low),
            "high": rounded(high),
            "differences": [rounded(gap) for gap in self.by_seed[one] - self.by_seed[other]] if same_seeds else [],
            "p": two_sided_p(samples),
        }


def rates_of(systems: Mapping[str, Scores], kind: tuple[str, str], chosen: np.ndarray, name: str) -> Quantity:
    """Error rates of some utterances of a set.

    Args:
        systems: Scores on the set.
        kind: Kind of text and metric.
        chosen: Indices of the utterances: (rows,).
        name: What the draws are seeded by.
    """
    first = next(iter(systems.values()))
    lengths, total = first.lengths[kind][chosen], first.lengths[kind][chosen].sum()
    errors = [one.errors[kind][:, chosen] for one in systems.values()]
    columns = np.stack([one.mean(axis=0) for one in errors], axis=1)
    speakers = [first.speakers[place] for place in chosen]
    return Quantity(
        value=100 * columns.sum(axis=0) / total,
        samples=resampled_rates(columns, np.repeat(lengths[:, None], len(errors), axis=1), speakers, name),
        by_seed=[100 * one.sum(axis=1) / total for one in errors],
        n=len(chosen),
        speakers=len(set(speakers)),
    )


def weighted(accents: Sequence[Quantity], weights: np.ndarray) -> Quantity:
    """Sum the rates of accents by weights (accents, systems)."""
    pairs = list(zip(weights, accents, strict=True))
    return Quantity(
        value=sum(weight * one.value for weight, one in pairs),
        samples=sum(weight * one.samples for weight, one in pairs),
        by_seed=[sum(w[place] * one.by_seed[place] for w, one in pairs) for place in range(weights.shape[1])],
        n=sum(one.n for one in accents),
        speakers=sum(one.speakers for one in accents),
    )


def spread(accents: Sequence[Quantity]) -> Quantity:
    """Take the standard deviation over accents of their rates."""
    value = np.std([one.value for one in accents], axis=0)
    return Quantity(
        value=value,
        samples=2 * value - np.std([one.samples for one in accents], axis=0),
        by_seed=[np.std(rates, axis=0) for rates in zip(*(one.by_seed for one in accents), strict=True)],
        n=sum(one.n for one in accents),
        speakers=sum(one.speakers for one in accents),
    )


@dataclass(frozen=True)
class Gaps:
    """Which accents are compared.

    Args:
        sets: Sets that the accents are in; one without accents counts as one.
        native: The native accent, or a set whose speakers all are; without it there are mean and spread alone.
        metric: The error rate.
        min_speakers: Accents with fewer speakers are left out.
    """

    sets: Sequence[str]
    native: str | None = None
    metric: str = "wer"
    min_speakers: int = 5

    def results(
        self, name: str, scores: SystemsBySet, pairs: Sequence[tuple[str, str]], common: Mapping[str, Any]
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Rows and comparisons of the metrics <metric>_mean, <metric>_spread and <metric>_gap; none of a single accent.

        The `worst` accent is that of the system; a row with an `accent` is the
        gap of that one.  `left_out` are accents with too few speakers.

        Args:
            name: The `set` of the rows.
            scores: Scores by set and system.
            pairs: Systems that are compared.
            common: What all rows have in common.
        """
        wanted = {place: scores[place] for place in dict.fromkeys([*self.sets, self.native]) if place in scores}
        first = next(iter(wanted.values()), {})
        names = [system for system in first if all(system in systems for systems in wanted.values())]
        if not names or not set(self.sets) <= set(wanted):
            return [], []
        found = self._rates(wanted, names, common["corpus"])
        large = {accent: one for accent, one in found.items() if one.speakers >= self.min_speakers}
        if len(large) < 2:
            return [], []
        seeds = [first[system].seeds for system in names]
        normaliser = first[names[0]].normalisers[self._kind(first[names[0]])[0]]
        same = {"set": name, "recogniser": common["recogniser"], "normaliser": normaliser, "resampled": "speaker"}
        few = [accent for accent in found if accent not in large]
        lists = {"accents": list(large)} | ({"left_out": few} if few else {})
        rows, compared = [], []
        for metric, quantity, fields in self._quantities(large, names):
            same |= {"metric": metric, "n": quantity.n}
            for place, system in enumerate(names):
                row = {**same, "system": system, "seeds": seeds[place], **quantity.row(place), **fields[place], **lists}
                rows.append(new_row(common, **row, speakers=quantity.speakers))
            for one, other in pairs if "accent" not in fields[0] else ():
                if {one, other} <= set(names):
                    a, b = names.index(one), names.index(other)
                    item = {key: common[key] for key in ("corpus", "synthetic")} | same
                    item |= {"system": one, "against": other}
                    compared.append({**item, **quantity.difference(a, b, seeds[a] == seeds[b])})
        return rows, compared

    def _kind(self, scores: Scores) -> tuple[str, str]:
        """The kind of text that counts, the last one, and the metric."""
        return [key for key in scores.lengths if key[1] == self.metric][-1]

    def _rates(self, scores: SystemsBySet, names: Sequence[str], corpus: str) -> dict[str, Quantity]:
        """Error rates by accent; the whole of a set without accents, or with native speakers alone, under its name."""
        found: dict[str, Quantity] = {}
        for place, systems in scores.items():
            first = systems[names[0]]
            whole = first.accents is None or place == self.native
            labels = np.array([place] * len(first.ids) if whole else first.accents)
            for accent in sorted(set(labels.tolist())):
                chosen, kind = np.flatnonzero(labels == accent), self._kind(first)
                if first.lengths[kind][chosen].sum():
                    key = f"{place} {accent}" if accent in found else accent
                    of_system = {name: systems[name] for name in names}
                    found[key] = rates_of(of_system, kind, chosen, f"{corpus} {place} {accent}")
        return found

    def _quantities(
        self, accents: Mapping[str, Quantity], names: Sequence[str]
    ) -> list[tuple[str, Quantity, list[dict[str, Any]]]]:
        """Metric, quantity and other fields of each system's row."""
        members, others = list(accents.values()), [accent for accent in accents if accent != self.native]
        nothing: list[dict[str, Any]] = [{}] * len(names)
        mean = np.full((len(members), len(names)), 1 / len(members))
        found = [
            (f"{self.metric}_mean", weighted(members, mean), nothing),
            (f"{self.metric}_spread", spread(members), nothing),
        ]
        if self.native not in accents:
            return found
        worst = np.stack([accents[accent].value for accent in others]).argmax(axis=0)
        asked = [("worst", [others[place] for place in worst])]
        for key, chosen in asked + [("accent", [accent] * len(names)) for accent in others]:
            asked_of = {one: accents[one] for one in accents if key == "worst" or one in (chosen[0], self.native)}
            weights = np.array([[(one == accent) - (one == self.native) for accent in chosen] for one in asked_of])
            fields = [{key: accent, "native": self.native} for accent in chosen]
            found.append((f"{self.metric}_gap", weighted(list(asked_of.values()), weights), fields))
        return found
