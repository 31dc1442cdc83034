"""wav2vec 2.0 as the saliency methods see it: its features are the latent frames, the feature encoder's output.

A map has one row, and a column for each latent frame.
"""

import logging
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from more_itertools import chunked
from torch import Tensor
from transformers import Wav2Vec2ForCTC, Wav2Vec2ForSequenceClassification

from salience.data.normalisers import normaliser as normaliser_of
from salience.data.symbols import Symbols, least_frames
from salience.data.waveforms import RATE, Waveforms, batches_of_equals, labels_of_set, pad_signals, padded_samples
from salience.errors import InputError
from salience.models.wav2vec import (
    FILES,
    class_scores,
    context,
    feature_maps,
    frames_of,
    labels_of,
    load_ctc,
    load_trained,
    numbers_of,
)
from salience.saliency.base import SaliencyMap
from salience.saliency.explained import EXPLAINED, Batch, Explained, ExplainedSet, Target, first_of_each
from salience.steps import fingerprint

logger = logging.getLogger(__name__)

FAINTEST = 1e-10
"""Power of a frame at least, so that digital silence has a level."""


@dataclass(frozen=True)
class Spoken:
    """A symbol of a CTC output and the frames in which it is written."""

    symbol: int
    frames: tuple[int, ...]


class ExplainedWav2Vec(Explained):
    """What classifier and recogniser have in common.

    Archives hold maps that are rectified and scaled to [0, 1].
    """

    frames_per_column = bins_per_row = 1
    window = (5, 0)
    latent = True

    def __init__(self, model: Wav2Vec2ForSequenceClassification | Wav2Vec2ForCTC, target: Target = Target()) -> None:
        super().__init__(target)
        self.model, self.encoder = model, model.wav2vec2
        self.device = next(model.parameters()).device
        self.frame_shift = int(np.prod(model.config.conv_stride)) / RATE
        self.layer = f"feature_extractor.conv_layers.{len(model.config.conv_dim) - 1}"
        self.baseline = torch.zeros(1, device=self.device)
        self.files = []

    def features(self, signals: Sequence[np.ndarray], length: int = 0) -> tuple[Tensor, list[int]]:
        """The latent frames (batch, frames, channels) of signals padded to `length`, and how many of each are real.

        Zero behind each utterance: nothing attends to the padding, but
        Grad-CAM++ would count it among the activations.
        """
        padded, _ = pad_signals(signals, length)
        lengths = [int(frames_of(self.model.config, len(signal))) for signal in signals]
        with torch.no_grad():
            latent = feature_maps(self.encoder, torch.from_numpy(padded).to(self.device)).transpose(1, 2)
        return latent * self.real(latent, lengths)[..., None], lengths

    def real(self, features: Tensor, lengths: Sequence[int]) -> Tensor:
        """True where a frame is real, (batch, frames)."""
        counts = torch.tensor(lengths, device=self.device)
        return torch.arange(features.shape[1], device=self.device) < counts[:, None]

    def states(self, activations: Tensor, lengths: Sequence[int]) -> tuple[Tensor, Tensor]:
        """What the transformer makes of the layer's output (batch, frames, hidden), and which frames are real."""
        latent = activations[:, :, 0]
        real = self.real(latent.transpose(1, 2), lengths)
        return context(self.encoder, latent, real), real

    def compute(self, features: Tensor, lengths: Sequence[int]) -> Tensor:
        return features.transpose(1, 2)[:, :, None]

    def open(self, data: Path, features: Path | None, max_per_accent: int = 0) -> "Latents":
        return Latents(self, data, features, max_per_accent)

    @abstractmethod
    def targets(self, latents: "Latents", keys: list[str], features: Tensor, lengths: list[int]) -> Tensor:
        """What is explained of each utterance of a batch."""

    def batch(self, latents: "Latents", keys: list[str], features: Tensor, lengths: list[int]) -> Iterator[Batch]:
        """The batches that these utterances are explained in."""
        yield Batch(keys, features, lengths, self.targets(latents, keys, features, lengths))

    def join(self, maps: list[SaliencyMap], length: int) -> SaliencyMap:
        """The maps of an utterance, each in [0, 1], side by side."""
        columns = [each.unit(length, 1) for each in maps]
        return SaliencyMap(np.hstack(columns), 1, 1, False, method=maps[0].method, target=maps[0].target, of=maps[0].of)

    def about(self) -> dict[str, Any]:
        return {
            "per_character": self.target.per_character,
            "range": [0, 1],
            "samples_per_frame": int(np.prod(self.model.config.conv_stride)),
            "checkpoint": fingerprint(self.files[-1]),
        }


class Latents(ExplainedSet):
    """The recordings of a set as latent frames."""

    def __init__(self, explained: ExplainedWav2Vec, data: Path, packed: Path | None, max_per_accent: int) -> None:
        self.explained, self.waveforms = explained, Waveforms(data, packed)
        chosen = first_of_each(self.waveforms.utterances.values(), max_per_accent)
        self.waveforms.keep(utterance.id for utterance in chosen)
        self.inputs = [*self.waveforms.inputs, *(data / table for table in ("text", "utt2accent", "spk2gender"))]
        self.identity = self.waveforms.identity()

    def keep(self, keys: Iterable[str]) -> None:
        self.waveforms.keep(keys)

    @property
    def frames(self) -> dict[str, int]:
        """Frames of each utterance, to within one if only its duration is known; with --per-character, of its maps."""
        config, target = self.explained.model.config, self.explained.target
        utterances = self.waveforms.utterances
        return {
            key: frames_of(config, samples) * (max(len(utterances[key].text), 1) if target.per_character else 1)
            for key, samples in self.waveforms.samples.items()
        }

    def levels(self, key: str) -> np.ndarray:
        shift = round(RATE * self.explained.frame_shift)
        power = self.waveforms[key].astype(np.float64) ** 2
        count = frames_of(self.explained.model.config, len(power))
        # The receptive field is a little longer than the shift, so that the last frames have all they need.
        return 10 * np.log10(power[: count * shift].reshape(count, shift).mean(axis=1) + FAINTEST)

    def batches(self, batch_size: int) -> Iterator[Batch]:
        # A symbol's batches are made of one utterance.
        size = 1 if self.explained.target.per_character else batch_size
        samples = self.waveforms.samples
        self.batch_size = batch_size
        for keys in batches_of_equals(samples, size):
            longest = padded_samples(max(samples[key] for key in keys))
            features, lengths = self.explained.features([self.waveforms[key] for key in keys], longest)
            yield from self.explained.batch(self, keys, features, lengths)


class ExplainedClassifier(ExplainedWav2Vec):
    """A classifier; what is explained is the logit of a class."""

    def outputs(self, activations: Tensor, lengths: Sequence[int]) -> Tensor:
        return class_scores(self.model, *self.states(activations, lengths))

    def select(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.gather(1, targets[:, None])[:, 0]

    def targets(self, latents: Latents, keys: list[str], features: Tensor, lengths: list[int]) -> Tensor:
        if self.target.kind == "predicted":
            return self.forward(features, lengths)[1].argmax(1)
        labels = labels_of_set(latents.waveforms, self.target.labels)
        classes = numbers_of([labels[key] for key in keys], labels_of(self.model), keys, latents.waveforms.data)
        return torch.tensor(classes, device=self.device)


class ExplainedCTC(ExplainedWav2Vec):
    """A recogniser; what is explained is the sum of the log-probabilities of symbols in their frames.

    Outputs are log-probabilities (batch, frames, symbols); targets, of the
    same shape, are 1 where a symbol is written in a frame.
    """

    def __init__(self, model: Wav2Vec2ForCTC, symbols: Symbols, target: Target) -> None:
        super().__init__(model, target)
        self.symbols = symbols
        self.normalise, _ = normaliser_of(target.normaliser)

    def outputs(self, activations: Tensor, lengths: Sequence[int]) -> Tensor:
        return self.model.lm_head(self.states(activations, lengths)[0]).log_softmax(-1)

    def select(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs * targets).sum((1, 2))

    def probability(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The geometric mean over the symbols and their frames."""
        return (self.select(outputs, targets) / targets.sum((1, 2)).clamp(min=1)).exp()

    def open(self, data: Path, features: Path | None, max_per_accent: int = 0) -> Latents:
        """The set without the utterances whose text does not fit in their frames."""
        latents = super().open(data, features, max_per_accent)
        waveforms, count = latents.waveforms, len(latents.waveforms)
        if self.target.kind == "reference":
            waveforms.keep(
                key
                for key, samples in waveforms.samples.items()
                if least_frames(self._reference(latents, key)) <= frames_of(self.model.config, samples)
            )
        if len(waveforms) < count:
            logger.info("%d utterances of %s have more symbols than frames and no map", count - len(waveforms), data)
        return latents

    def _reference(self, latents: Latents, key: str) -> list[int]:
        return self.symbols.encode(self.normalise(latents.waveforms.utterances[key].text))

    def spoken(self, latents: Latents, keys: list[str], features: Tensor, lengths: list[int]) -> list[list[Spoken]]:
        """Which symbols are written in which frames."""
        scores = self.forward(features, lengths)[1].detach().float().cpu().numpy()
        rows = [each[:length] for each, length in zip(scores, lengths, strict=True)]
        if self.target.kind == "greedy":
            return [greedy_symbols(each, self.symbols.blank) for each in rows]
        return [
            aligned_symbols(each, self._reference(latents, key), self.symbols.blank, f"{latents.waveforms.data}: {key}")
            for key, each in zip(keys, rows, strict=True)
        ]

    def places(self, spoken: Sequence[Sequence[Spoken]], features: Tensor) -> Tensor:
        """1 where a symbol is written in a frame, (batch, frames, symbols)."""
        chosen = torch.zeros(len(spoken), features.shape[1], len(self.model.lm_head.bias), device=self.device)
        for row, symbols in enumerate(spoken):
            for each in symbols:
                chosen[row, list(each.frames), each.symbol] = 1
        return chosen

    def targets(self, latents: Latents, keys: list[str], features: Tensor, lengths: list[int]) -> Tensor:
        return self.places(self.spoken(latents, keys, features, lengths), features)

    def batch(self, latents: Latents, keys: list[str], features: Tensor, lengths: list[int]) -> Iterator[Batch]:
        if not self.target.per_character:
            yield from super().batch(latents, keys, features, lengths)
            return
        # Where nothing is written, one map of zeros.
        said = self.spoken(latents, keys, features, lengths)[0]
        names = [self.symbols.symbols[each.symbol] for each in said] or [self.symbols.symbols[self.symbols.blank]]
        for part in chunked(zip([[each] for each in said] or [[]], names, strict=True), latents.batch_size):
            targets = self.places([each for each, _ in part], features)
            expanded = features.expand(len(part), -1, -1)
            yield Batch(keys * len(part), expanded, lengths * len(part), targets, [name for _, name in part])


@EXPLAINED.register("Wav2Vec2ForSequenceClassification")
def explained_classifier(folder: Path, target: Target, device: str) -> ExplainedClassifier:
    """The classifier in a folder."""
    target.check_classes(folder)
    explained = ExplainedClassifier(load_trained(folder, Wav2Vec2ForSequenceClassification, device), target)
    explained.files = [folder / name for name in FILES]
    return explained


@EXPLAINED.register("Wav2Vec2ForCTC")
def explained_ctc(folder: Path, target: Target, device: str) -> ExplainedCTC:
    """The recogniser in a folder."""
    if target.kind not in ("greedy", "reference"):
        raise InputError(f"{folder} holds a CTC model, which has no classes; give --target greedy or reference")
    explained = ExplainedCTC(*load_ctc(folder, device), target)
    explained.files = [folder / name for name in FILES]
    return explained


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
