"""Grad-CAM on the last convolution of wav2vec 2.0's feature encoder, for a classifier's class and for what a CTC model writes.

The layer is one-dimensional: its maps are (channels, frames), a point of the
result is one frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import Wav2Vec2ForCTC, Wav2Vec2ForSequenceClassification

from salience.errors import InputError
from salience.models.wav2vec import class_scores, context, feature_maps, real_frames
from salience.saliency.gradcam import cam_maps


@dataclass(frozen=True)
class Spoken:
    """A symbol of a CTC output and the frames in which it is written."""

    symbol: int
    frames: tuple[int, ...]


def class_maps(
    model: Wav2Vec2ForSequenceClassification, signals: Tensor, real: Tensor, classes: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Signed Grad-CAM and Grad-CAM++ maps (batch, frames), and logits, of a batch padded with zeros.

    real: 1 where a sample is real, (batch, samples).  classes: the class to
    explain for each; the predicted one if None.
    """
    maps, frames = _maps(model, signals, real)
    gradcam, gradcam_plus, logits = cam_maps(
        maps, lambda found: class_scores(model, context(model.wav2vec2, found[:, :, 0], frames), frames), classes
    )
    return gradcam[:, 0], gradcam_plus[:, 0], logits


def ctc_maps(
    model: Wav2Vec2ForCTC, signals: Tensor, real: Tensor, targets: Sequence[Sequence[Spoken]]
) -> tuple[Tensor, Tensor]:
    """Signed Grad-CAM and Grad-CAM++ maps (batch, frames) for the sum of the log-probabilities of symbols in their frames."""
    maps, frames = _maps(model, signals, real)
    chosen = torch.zeros(len(signals), frames.shape[1], len(model.lm_head.bias), device=signals.device)
    for row, symbols in enumerate(targets):
        for spoken in symbols:
            chosen[row, list(spoken.frames), spoken.symbol] = 1

    def score(found: Tensor) -> Tensor:
        log_probabilities = model.lm_head(context(model.wav2vec2, found[:, :, 0], frames)).log_softmax(-1)
        return (log_probabilities * chosen).sum((1, 2))[:, None]

    gradcam, gradcam_plus, _ = cam_maps(maps, score, torch.zeros(len(signals), dtype=torch.long, device=signals.device))
    return gradcam[:, 0], gradcam_plus[:, 0]


def _maps(
    model: Wav2Vec2ForCTC | Wav2Vec2ForSequenceClassification, signals: Tensor, real: Tensor
) -> tuple[Tensor, Tensor]:
    """The layer's output as an image of height 1, zero behind each utterance, and which frames are real."""
    frames = real_frames(model.config, real)
    with torch.no_grad():
        # Padding is heard by nobody, but Grad-CAM++ would count it among the activations.
        maps = feature_maps(model.wav2vec2, signals) * frames[:, None]
    return maps[:, :, None], frames


def greedy_symbols(scores: np.ndarray, blank: int) -> list[Spoken]:
    """The symbols of the best path with the frames of each, from log-probabilities (frames, symbols)."""
    return _runs(scores.argmax(1), blank)


def aligned_symbols(
    scores: np.ndarray, symbols: Sequence[int], blank: int, utterance: str = "the utterance"
) -> list[Spoken]:
    """The symbols of a reference with the frames of each, on CTC's likeliest alignment.

    scores: log-probabilities (frames, symbols).  A reference that is too long
    for the frames (`symbols.least_frames`) is an InputError.
    """
    # Every second state is a blank; a state may be skipped if it is a blank between different symbols.
    states = [blank]
    for symbol in symbols:
        states += [symbol, blank]
    skips = np.array([s >= 2 and states[s] != blank and states[s] != states[s - 2] for s in range(len(states))])
    best = np.full(len(states), -np.inf)
    best[:2] = scores[0, states[:2]]
    back = np.zeros((len(scores), len(states)), dtype=int)
    for frame in range(1, len(scores)):
        reached = np.full((3, len(states)), -np.inf)
        reached[0] = best
        reached[1, 1:] = best[:-1]
        reached[2, 2:] = np.where(skips[2:], best[:-2], -np.inf)
        back[frame] = reached.argmax(0)
        best = reached.max(0) + scores[frame, states]
    state = max(range(max(len(states) - 2, 0), len(states)), key=best.__getitem__)
    if not np.isfinite(best[state]):
        raise InputError(
            f"{utterance} has {len(scores)} frames, too few for the {len(symbols)} symbols of its text; use --target"
            " greedy or remove it"
        )
    places: list[list[int]] = [[] for _ in states]
    for frame in range(len(scores) - 1, -1, -1):
        places[state].append(frame)
        state -= back[frame, state]
    return [Spoken(symbol, tuple(reversed(places[2 * number + 1]))) for number, symbol in enumerate(symbols)]


def _runs(path: np.ndarray, blank: int) -> list[Spoken]:
    borders = np.flatnonzero(np.diff(path)) + 1
    runs = np.split(np.arange(len(path)), borders)
    return [Spoken(int(path[run[0]]), tuple(run.tolist())) for run in runs if path[run[0]] != blank]


def unit(native: np.ndarray) -> np.ndarray:
    """A signed map (frames,) rectified and scaled to [0, 1]; one without a positive value gives zeros."""
    positive = np.maximum(native, 0)
    least, greatest = positive.min(), positive.max()
    return (positive - least) / (greatest - least) if greatest > least else np.zeros_like(positive)
