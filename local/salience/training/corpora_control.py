"""A control: can the corpora that a recipe combines be told apart without a word or an accent?"""

from collections.abc import Callable, Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from salience.registry import Registry

MEASURES: Registry[Callable[[np.ndarray], np.ndarray]] = Registry("measure of an utterance")
"""Name to a function from log-mel features (frames, bins) to a vector."""


@MEASURES.register("spectrum")
def spectrum(features: np.ndarray) -> np.ndarray:
    """The shape (bins,) of the long-term spectrum of speech: channel and bandwidth.

    The mean of the louder half of the frames, without its own mean over the
    bins, so that neither pauses nor levels have a part in it.
    """
    loudness = features.mean(1)
    shape: np.ndarray = features[loudness >= np.median(loudness)].mean(0)
    return shape - shape.mean()


@MEASURES.register("statistics")
def statistics(features: np.ndarray) -> np.ndarray:
    """Mean and standard deviation over all frames (2 * bins,): also levels, noise, and pauses that were cut out."""
    return np.concatenate([features.mean(0), features.std(0)])


def predicted_corpora(
    vectors: np.ndarray, corpora: Sequence[int], speakers: Sequence[str], seed: int, folds: int = 5
) -> list[int]:
    """The corpus of each utterance as logistic regression tells it, never trained on the speaker.

    Args:
        vectors: one of MEASURES of each utterance (utterances, values)
        corpora: number of the corpus of each utterance; all as frequent, so that 1 / corpora is chance
        speakers: who speaks each utterance
        seed: random seed of the folds
        folds: parts of the cross-validation
    """
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    parts = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    chosen: list[int] = cross_val_predict(model, vectors, list(corpora), groups=list(speakers), cv=parts).tolist()
    return chosen
