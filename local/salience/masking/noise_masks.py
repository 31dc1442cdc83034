"""Models that write noise masks: M (frames, bins) is 1 where noise may be added; the importance of a point is 1 - M."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch.nn.functional import pad

from salience.data.tables import read_table
from salience.errors import stale
from salience.features import keywords
from salience.features.archives import Archive
from salience.features.fbank import INT16
from salience.masking.noise import dithered
from salience.models.keywords import load_recogniser
from salience.models.mask_estimator import load_estimator
from salience.models.mask_generator import load_generator
from salience.registry import Registry, plugins_of
from salience.saliency.base import METHODS
from salience.saliency.explained import Batch, maps_of
from salience.saliency.keywords import ExplainedKeywords


class NoiseMaskModel(Protocol):
    """A trained model that hides in noise what a recogniser does not need; made from (folder, device, dither)."""

    bins: int
    batch: int
    """Signals that it is fastest with."""

    def frames(self, samples: int) -> int:
        """Frames of the mask of a signal with this many samples."""

    def masks(self, ids: Sequence[str], signals: Sequence[np.ndarray], length: int = 0) -> list[np.ndarray]:
        """The mask of each signal, (samples,) at 16 kHz in [-1, 1], padded with silence to `length` samples or more."""


NOISE_MASKS: Registry[type[NoiseMaskModel]] = Registry("model of noise masks")


@NOISE_MASKS.register("estimator")
class EstimatorMasks:
    """The mask estimator of the bubble cooperative network, which reads signals with dither."""

    batch = 1

    def __init__(self, folder: Path, device: str, dither: float) -> None:
        self.model, self.device, self.dither = load_estimator(folder, device), device, dither
        self.bins = self.model.sizes.bins

    def frames(self, samples: int) -> int:
        return int(self.model.frames(torch.tensor(samples)))

    @torch.no_grad()
    def masks(self, ids: Sequence[str], signals: Sequence[np.ndarray], length: int = 0) -> list[np.ndarray]:
        found = []
        for key, signal in zip(ids, signals, strict=True):
            speech = dithered(INT16 * signal, self.dither, "evaluation", key)
            silence = np.zeros(max(length - len(signal), 0), np.float32)
            padded = np.concatenate([speech, dithered(silence, self.dither, "padding", key)])
            waveform = torch.from_numpy(padded)[None].to(self.device)
            frames = self.model.frames(torch.tensor([waveform.shape[1]]))
            logits = self.model(self.model.log_power(waveform), frames.to(self.device))
            found.append(torch.sigmoid(logits)[0].cpu().numpy())
        return found


@NOISE_MASKS.register("generator")
class GeneratorMasks:
    """The mask generator of ImportantAug: clips of a second at most, whose masks all have 126 frames."""

    batch = 256
    bins = keywords.BINS

    def __init__(self, folder: Path, device: str, dither: float) -> None:
        self.model, self.device = load_generator(folder, device), device

    def frames(self, samples: int) -> int:
        return keywords.FRAMES

    @torch.no_grad()
    def masks(self, ids: Sequence[str], signals: Sequence[np.ndarray], length: int = 0) -> list[np.ndarray]:
        return list(torch.sigmoid(self.model(_levels(signals, self.device))).transpose(1, 2).cpu().numpy())


class MapMasks:
    """M = 1 - C of a keyword network, C its map of the predicted word in [0, 1]; behind a clip M is 1."""

    batch = 64
    bins = keywords.BINS

    def __init__(self, method: str, folder: Path, device: str, seed: int = 1) -> None:
        self.explained = ExplainedKeywords(load_recogniser(folder, device))
        self.method, self.device, self.seed = method, device, seed

    def frames(self, samples: int) -> int:
        return keywords.FRAMES

    def masks(self, ids: Sequence[str], signals: Sequence[np.ndarray], length: int = 0) -> list[np.ndarray]:
        features = _levels(signals, self.device).transpose(1, 2)
        frames = [1 + len(signal) // keywords.HOP for signal in signals]
        words = self.explained.forward(features, frames)[1].argmax(1)
        found = maps_of(self.explained, Batch(list(ids), features, frames, words), [self.method], self.seed)
        return [
            np.pad(1 - each.unit(count, self.bins), ((0, keywords.FRAMES - count), (0, 0)), constant_values=1)
            for each, count in zip(found[self.method], frames, strict=True)
        ]


def _levels(signals: Sequence[np.ndarray], device: str) -> torch.Tensor:
    """What keyword networks and their generators read of clips, (batch, bins, frames)."""
    waveforms = [pad(torch.from_numpy(signal), (0, keywords.SAMPLES - len(signal))) for signal in signals]
    samples = torch.tensor([len(signal) for signal in signals], device=device)
    return keywords.decibels(keywords.spectra(torch.stack(waveforms).to(device), samples))


def noise_mask_model(kind: str, folder: Path, device: str, dither: float = 0.0) -> NoiseMaskModel:
    """The model of a kind in NOISE_MASKS; the keyword network, of a saliency method."""
    return MapMasks(kind, folder, device) if _is_method(kind) else NOISE_MASKS[kind](folder, device, dither)


def plugins_of_masks(kind: str) -> list[Path]:
    """The plug-in files that make masks of this kind."""
    return plugins_of(METHODS[kind] if _is_method(kind) else NOISE_MASKS[kind])


def _is_method(kind: str) -> bool:
    return kind not in NOISE_MASKS and kind in METHODS.names()


def open_noise_masks(folder: Path | None) -> Callable[[str], tuple[np.ndarray | None, str]]:
    """A function from an utterance id to its mask (frames, bins) and noise proportion, of estimate_noise_masks.py.

    Without a folder, noise is everywhere: no mask and a proportion of 1, padded too.
    """
    if folder is None:
        return lambda key: (None, "1 1")
    archive, proportions = Archive(folder / "mask.scp"), read_table(folder / "noise_proportion")

    def mask_of(key: str) -> tuple[np.ndarray, str]:
        if key in archive and key not in proportions:
            raise stale(folder / "noise_proportion", f"has no line for {key}")
        return archive[key], proportions[key]

    return mask_of
