"""Rows of where maps point, over the utterances of a set and over those of each accent, resampled by speaker."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from salience.files import read_json
from salience.scoring.bootstrap import interval, resampled_rates, resampling_units
from salience.scoring.results import new_row, rounded
from salience.scoring.sources import SOURCES, Run

Place = tuple[str, str]
"""What it is (region, phone_class or word) and which."""
REGION, PHONE, WORD = "region", "phone_class", "word"
METRICS = {REGION: "importance_share", PHONE: "phone_importance", WORD: "word_importance"}
DRAWS = 2000


@SOURCES.register("location")
@dataclass(frozen=True)
class Location:
    """Where maps point.

    Args:
        located: Pattern of located.json, with {classifier}, {system} and {set}, perhaps {fold}; folds count together.
        min_speakers: An accent with fewer speakers has no rows of its own; a word that fewer have said has none.
        words: How many words of each accent have rows.
    """

    located: str
    min_speakers: int = 5
    words: int = 5

    def collect(self, run: Run) -> None:
        """Add the rows of regions, phone classes, words and frequencies."""
        found: dict[tuple[str | None, ...], dict[str, Any]] = {}
        for fields, path in run.found(self.located):
            key = tuple(fields.get(name) for name in ("classifier", "system", "set"))
            told = read_json(path)
            whole = found.setdefault(key, {"hertz": told["hertz"], "utterances": {}})
            whole["utterances"] |= {f"{fields.get('fold', '')} {u}": own for u, own in told["utterances"].items()}
        for (classifier, system, name), whole in found.items():
            same = {"classifier": classifier, "system": system, "set": name, "seeds": []}
            for row in location_rows(whole, self.min_speakers, self.words):
                run.rows.append(new_row(run.common, **same, **row))


def location_rows(found: Mapping[str, Any], min_speakers: int, words: int) -> Iterator[dict[str, Any]]:
    """Rows of what locate_saliency.py wrote: of all utterances, then of each accent with enough speakers.

    `importance_share` is in percent, beside `time`.  `phone_importance` and
    `word_importance` are the share of importance divided by that of time; of
    an accent they have the `control`, the same of all other utterances, and
    the interval of the difference from it, `above_low` to `above_high`.
    `frequency_importance` is the frequency below which half of the importance
    lies; its `curve` has the share of each bin in percent.

    Args:
        found: The file.
        min_speakers: Fewest speakers of an accent, and of a word.
        words: How many words of each accent have rows: those whose interval begins highest, of an accent the interval
            of the difference.
    """
    utterances = found["utterances"]
    speakers: dict[Any, set[str]] = {}
    for utterance in utterances.values():
        speakers.setdefault(utterance["accent"], set()).add(utterance["speaker"])
    chosen = sorted(accent for accent in speakers if accent and len(speakers[accent]) >= min_speakers)
    for accent in (None, *(chosen if len(speakers) > 1 else [])):
        own = {key: each for key, each in utterances.items() if accent in (None, each["accent"])}
        others = {key: each for key, each in utterances.items() if key not in own}
        if own:
            rows = _place_rows(own, others, accent, min_speakers)
            spoken = [row for row in rows if WORD in row]
            spoken.sort(key=lambda row: -row.get("above_low", row["low"]))
            yield from (row for row in rows if WORD not in row)
            yield from ({**row, "rank": rank} for rank, row in enumerate(spoken[:words], 1))
            yield from _frequency_rows(own, found["hertz"], accent)


def _place_rows(
    own: Mapping[str, Any], others: Mapping[str, Any], accent: str | None, min_speakers: int
) -> list[dict[str, Any]]:
    """A row for each region, phone class and word that enough speakers have said."""
    places, importance, time = _shares(own)
    units, resampled = resampling_units([each["speaker"] for each in own.values()], list(own))
    samples = resampled_rates(importance, time, units, "location", DRAWS) / 100
    said = np.array([len({own[key]["speaker"] for key, has in zip(own, column) if has}) for column in time.T > 0])
    rest = _ratios(others, places) if others else None
    rows = []
    for number, place in enumerate(places):
        kind, name = place
        row = {"metric": METRICS[kind], kind: name, "accent": accent, "n": int(said[number]), "resampled": resampled}
        taken = time[:, number].sum()
        if kind == REGION:
            # All of an utterance is one, so that a mean of shares is the share of all.
            shares = resampled_rates(importance[:, [number]], np.ones((len(own), 1)), units, "location", DRAWS)
            low, high = interval(shares)
            row |= {"value": rounded(100 * importance[:, number].mean()), "low": rounded(low), "high": rounded(high)}
            rows.append(row | {"n": len(own), "time": round(float(100 * taken / len(own)), 1)})
        elif said[number] >= min(min_speakers, len(own)):
            value, (low, high) = importance[:, number].sum() / taken, interval(samples[:, number])
            row |= {"value": rounded(value), "low": rounded(low), "high": rounded(high)}
            row["time"] = round(float(100 * taken / np.count_nonzero(_spoken(own, kind))), 1)
            if rest is not None and place in rest:
                control, draws = rest[place]
                above = interval(samples[:, number] - draws)
                row |= {"control": rounded(control), "above_low": rounded(above[0]), "above_high": rounded(above[1])}
            rows.append(row)
    return rows


def _spoken(own: Mapping[str, Any], kind: str) -> Sequence[bool]:
    return [bool(each["phones" if kind == PHONE else "words"]) for each in own.values()]


def _ratios(utterances: Mapping[str, Any], wanted: Sequence[Place]) -> dict[Place, tuple[float, np.ndarray]]:
    """The ratio of each place that these utterances have, and what resampling makes of it."""
    places, importance, time = _shares(utterances)
    units, _ = resampling_units([each["speaker"] for each in utterances.values()], list(utterances))
    samples = resampled_rates(importance, time, units, "location of others", DRAWS) / 100
    ratios = importance.sum(axis=0) / np.maximum(time.sum(axis=0), 1e-12)
    return {place: (ratios[n], samples[:, n]) for n, place in enumerate(places) if place in wanted and time[:, n].any()}


def _shares(utterances: Mapping[str, Any]) -> tuple[list[Place], np.ndarray, np.ndarray]:
    """All places, and the shares of importance and of time of each in each utterance (utterances, places)."""
    sums: list[dict[Place, np.ndarray]] = []
    for each in utterances.values():
        own: dict[Place, np.ndarray] = {(REGION, name): np.array(pair) for name, pair in each["regions"].items()}
        own |= {(PHONE, name): np.array(pair) for name, pair in each["phones"].items()}
        for word, *pair in each["words"]:
            own[WORD, word] = own.get((WORD, word), np.zeros(2)) + pair
        sums.append(own)
    places = list(dict.fromkeys(place for own in sums for place in own))
    both = np.array([[own.get(place, np.zeros(2)) for place in places] for own in sums])
    return places, both[..., 0], both[..., 1]


def _frequency_rows(own: Mapping[str, Any], hertz: Sequence[float], accent: str | None) -> Iterator[dict[str, Any]]:
    curves = [each["frequencies"] for each in own.values() if each["frequencies"]]
    if curves:
        mean = np.mean(curves, axis=0)
        half = hertz[int(np.searchsorted(np.cumsum(mean), mean.sum() / 2))]
        curve = [[frequency, rounded(100 * share)] for frequency, share in zip(hertz, mean, strict=True)]
        yield {"metric": "frequency_importance", "accent": accent, "value": half, "n": len(curves), "curve": curve}
