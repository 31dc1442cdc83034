"""What masks write: errors with something else in a band, and the writing index that they make."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from salience.errors import InputError
from salience.scoring.bootstrap import interval, resampled_rates, resampling_units
from salience.scoring.patterns import fill
from salience.scoring.rates import Scores, read_scores
from salience.scoring.results import new_row, rounded
from salience.scoring.sources import SOURCES, Run

FILLS = ("own", "exchanged", "noise")
MIN_COST = 2.0
"""Points of CER that noise in a band must cost; with less, the index says nothing."""


def writing_index(cers: np.ndarray, min_cost: float) -> np.ndarray:
    """W = (noise - exchanged) / (noise - own), nan where noise costs less than `min_cost` points.

    It is 0 where a mask reveals speech: another utterance's is no better than
    noise.  It is 1 where the mask writes: another utterance's is as good as
    the own.  It can be below 0, where other speech misleads more than noise.

    Args:
        cers: CER in percent with the own speech in the band, another utterance's, and noise, (..., 3)
        min_cost: points
    """
    own, exchanged, noise = np.moveaxis(cers, -1, 0)
    known = noise - own >= min_cost
    return np.where(known, noise - exchanged, np.nan) / np.where(known, noise - own, 1)


def writing_rows(
    set_name: str, band: tuple[int, int], scores: Mapping[str, Scores], system: str, common: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Rows of the metrics `band_cer`, one for each `fill`, and `writing_index`, of one set and band.

    The index is that of the mean CER over seeds, `values` that of each seed,
    and its interval that of the draws in which noise costs anything.  The
    value is null, and so is the interval, where noise costs less than MIN_COST.

    Args:
        set_name: the set
        band: its ends in Hz
        scores: of each of FILLS, with the same seeds and utterances
        system: what stands outside the band, such as masked-noise
        common: what all rows have in common
    """
    first = scores["own"]
    for name in FILLS:
        if (scores[name].ids, scores[name].seeds) != (first.ids, first.seeds):
            raise InputError(
                f"{set_name}, {band[0]}-{band[1]} Hz: {name} is not scored with the same seeds and utterances as own; "
                "run the decoding and scoring stages again"
            )
    units, resampled = resampling_units(first.speakers, [key for _, key in first.ids])
    same = {"set": set_name, "system": system, "recogniser": common["recogniser"], "band": list(band)}
    same |= {"n": len({key for _, key in first.ids}), "seeds": first.seeds, "resampled": resampled}
    rows = []
    for kind in (kind for kind, metric in first.lengths if metric == "cer"):
        lengths = np.repeat(first.lengths[kind, "cer"][:, None], len(FILLS), axis=1)
        errors = np.stack([scores[name].errors[kind, "cer"] for name in FILLS], axis=-1)  # (seeds, rows, fills)
        samples = resampled_rates(errors.mean(axis=0), lengths, units, f"{common['corpus']} {set_name}")
        by_seed = 100 * errors.sum(axis=1) / lengths.sum(axis=0)
        means = by_seed.mean(axis=0)
        values = {name: (means[place], samples[:, place], by_seed[:, place]) for place, name in enumerate(FILLS)}
        values[""] = (writing_index(means, MIN_COST), writing_index(samples, 1e-9), writing_index(by_seed, MIN_COST))
        for name, (value, drawn, each) in values.items():
            known = not np.isnan(value)
            low, high = map(rounded, interval(drawn)) if known else (None, None)
            row = new_row(
                common,
                metric="band_cer" if name else "writing_index",
                normaliser=first.normalisers[kind],
                value=rounded(value) if known else None,
                low=low,
                high=high,
                values=[None if np.isnan(one) else rounded(one) for one in each],
                **({"fill": name} if name else {"cost": rounded(means[2] - means[0])}),
                **same,
            )
            rows.append(row)
    return rows


@SOURCES.register("writing-index")
@dataclass(frozen=True)
class WritingIndex:
    """What stands in a band decides the errors: the own speech, another utterance's, or noise.

    Args:
        own: Pattern of the folders that scoring wrote of the own speech, with {seed} and {set}.
        filled: That of the others, with {band}, as 0-1000, {fill}, {seed} and {set}.
        what: What it is, for the sentence about what a run did not make.
        system: What the own speech's condition is called.
    """

    own: str
    filled: str
    what: str
    system: str

    def collect(self, run: Run) -> None:
        """Add the rows of each band and set."""
        if not run.found(self.filled, self.what):
            return
        own, filled = self._read(run, self.own, lambda _: "own"), self._read(run, self.filled, _name)
        for name, of_set in filled.items():
            for band in dict.fromkeys(one.partition(" ")[2] for one in of_set):
                scores = {fill: of_set[f"{fill} {band}"] for fill in FILLS[1:] if f"{fill} {band}" in of_set}
                if len(scores) < len(FILLS) - 1 or name not in own:
                    raise InputError(f"{name} is not scored with all of {', '.join(FILLS)} in {band} Hz; do that first")
                low, high = map(int, band.split("-"))
                run.rows += writing_rows(name, (low, high), own[name] | scores, self.system, run.common)

    def _read(
        self, run: Run, pattern: str, name_of: Callable[[Mapping[str, str]], str]
    ) -> dict[str, dict[str, Scores]]:
        return read_scores(fill(pattern, run.values) or "", name_of=name_of)


def _name(fields: Mapping[str, str]) -> str:
    return f"{fields['fill']} {fields['band']}"
