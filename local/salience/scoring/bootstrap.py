"""Percentile bootstrap of corpus-level rates and of their differences.

Utterances of one speaker are alike, so whole speakers are drawn (Bisani and
Ney, ICASSP 2004, draw whole blocks for the same reason).  Systems that are
compared share each draw.  What an interval says: how much the rate depends on
who happens to be in the test set, for the trained models at hand.
"""

from collections.abc import Sequence

import numpy as np

from salience.randomness import generator

DRAWS = 10_000
FEW_SPEAKERS = 10
"""Below this number of speakers their draws say little: utterances are drawn instead, and the row says so."""


def resampling_units(speakers: Sequence[str], utterances: Sequence[str]) -> tuple[Sequence[str], str]:
    """What is drawn with replacement: (label of each row, `speaker` or `utterance`)."""
    if len(set(speakers)) >= FEW_SPEAKERS:
        return speakers, "speaker"
    return utterances, "utterance"


def resampled_rates(
    errors: np.ndarray, lengths: np.ndarray, units: Sequence[str], name: str, draws: int = DRAWS
) -> np.ndarray:
    """Rates in percent of corpora drawn from the units with replacement: (draws, systems).

    `errors` and `lengths` are (rows, systems); a row is an utterance and
    belongs to the unit of the same index.  Averaged over seeds beforehand,
    the errors of several seeds give the mean of their rates.  A draw without
    a single reference token is nan.
    """
    labels, index = np.unique(np.asarray(units), return_inverse=True)
    size = len(labels)
    sums = np.zeros((size, 2 * errors.shape[1]))
    np.add.at(sums, index, np.concatenate([errors, lengths], axis=1))
    random = generator(name)
    totals = []
    # In blocks: a hundred thousand units times ten thousand draws do not fit in memory.
    block = max(1, 4_000_000 // size)
    for start in range(0, draws, block):
        rows = min(block, draws - start)
        drawn = random.integers(0, size, (rows, size)) + size * np.arange(rows)[:, None]
        totals.append(np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size) @ sums)
    numerator, denominator = np.split(np.concatenate(totals), 2, axis=1)
    return 100 * np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 0)


def interval(samples: np.ndarray) -> tuple[float, float]:
    """The central 95 % of resampled values (draws,)."""
    low, high = np.nanpercentile(samples, (2.5, 97.5))
    return float(low), float(high)


def two_sided_p(differences: np.ndarray) -> float:
    """How often resampling turns a difference round: twice the smaller tail, at least 2 / (draws + 1)."""
    known = differences[~np.isnan(differences)]
    tail = min(np.count_nonzero(known <= 0), np.count_nonzero(known >= 0))
    return float(min(1.0, 2 * (tail + 1) / (len(known) + 1)))
