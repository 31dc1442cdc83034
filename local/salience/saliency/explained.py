"""Models as the saliency methods see them, the sets that they read, and the maps of a batch by any methods."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from salience.data.records import Utterance
from salience.errors import InputError
from salience.features.archives import archive_bytes
from salience.features.logmel import FRAME_SHIFT
from salience.files import read_json
from salience.randomness import generator
from salience.registry import Registry
from salience.saliency.base import METHODS, SaliencyMap, columns_for


@dataclass(frozen=True)
class Target:
    """What of a model's output is explained.

    Args:
        kind: Of a classifier: the predicted class or the true one.  Of a CTC model: the symbols of the best path
            (greedy) or of the text (reference) in their frames.
        labels: Of a classifier of signals: accent or gender.
        per_character: A map for each symbol of a CTC model.
        normaliser: Of the text, for the target reference.
    """

    kind: Literal["predicted", "true", "greedy", "reference"] = "predicted"
    labels: str = "accent"
    per_character: bool = False
    normaliser: str = "raw"

    def check_classes(self, folder: Path) -> None:
        """Raise an InputError unless this is a class, as of the classifier in `folder`, which has no symbols."""
        if self.kind not in ("predicted", "true") or self.per_character:
            raise InputError(
                f"{folder} holds a classifier, which has no symbols; give --target predicted or true, no"
                " --per-character"
            )


class Batch(NamedTuple):
    """Utterances that are explained together; one of which each symbol is explained stands there for each of them."""

    keys: list[str]
    features: Tensor
    lengths: list[int]
    targets: Tensor
    symbols: list[str] | None = None


class ExplainedSet(ABC):
    """The utterances of a data directory as a model reads them.

    frames: by utterance.  inputs: the files that the maps come from.
    identity: what else stands for the recordings in a step's record.
    """

    frames: dict[str, int]
    inputs: list[Path]
    identity: str | None = None

    @abstractmethod
    def levels(self, key: str) -> np.ndarray:
        """How loud each frame of an utterance is, in dB."""

    @abstractmethod
    def batches(self, batch_size: int) -> Iterator[Batch]:
        """All utterances, those of similar length together."""

    @abstractmethod
    def keep(self, keys: Iterable[str]) -> None:
        """Leave out all others."""


class Explained(ABC):
    """A model as the saliency methods see it.

    The layer whose activations Grad-CAM weighs divides it: `compute` is what
    comes before, `outputs` what follows, and `select` what of these is
    explained.

    layer: its name.  frames_per_column, bins_per_row: its resolution.
    baseline: what a point is replaced by to hide it, broadcast to (bins,).
    frame_shift: seconds between frames.
    window: frames and bins that occlusion hides at a time; 0 is all bins.
    latent: whether the features' last dimension is no frequency, so that
    maps of the input are summed over it.
    files: of the model, for a step's record.
    model: the network.
    layers: other layers that may divide it, with their resolution.
    padded: whether maps go on where the utterance ends and its padding begins,
    of models that the padding reaches.
    """

    layer: str
    frames_per_column: int
    bins_per_row: int
    baseline: Tensor
    frame_shift: float = FRAME_SHIFT
    window: tuple[int, int]
    latent = False
    padded = False
    files: list[Path]
    model: torch.nn.Module
    layers: Mapping[str, tuple[int, int]] = MappingProxyType({})

    def __init__(self, target: Target = Target()) -> None:
        self.target = target
        self.forget()

    def forget(self) -> None:
        """Forget the last batch, as after a change of the weights."""
        self._last: tuple[Any, ...] = (None, None, None)
        self._gradient: tuple[Any, ...] = (None, None)

    @abstractmethod
    def open(self, data: Path, features: Path | None, max_per_accent: int = 0) -> ExplainedSet:
        """The set of a data directory, of which `features` is the folder of features or packed signals."""

    @abstractmethod
    def compute(self, features: Tensor, lengths: Sequence[int]) -> Tensor:
        """A, the layer's activations (batch, channels, rows, columns)."""

    @abstractmethod
    def outputs(self, activations: Tensor, lengths: Sequence[int]) -> Tensor:
        """What the model makes of the layer's activations, for instance logits (batch, classes)."""

    @abstractmethod
    def select(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The score that is explained of each utterance, (batch,)."""

    def scores(self, features: Tensor, lengths: Sequence[int], targets: Tensor) -> Tensor:
        """What is explained of each utterance (batch,), from the features."""
        return self.select(self.outputs(self.compute(features, lengths), lengths), targets)

    def probability(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The probability of what is explained of each utterance, (batch,)."""
        return self.select(outputs.softmax(1), targets)

    def forward(self, features: Tensor, lengths: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Activations and outputs of a batch, with a gradient between them; those of the last batch are remembered."""
        if self._last[0] is not features:
            with torch.no_grad():
                activations = self.compute(features, lengths)
            with torch.enable_grad():
                leaf = activations.detach().requires_grad_(True)
                self._last = (features, leaf, self.outputs(leaf, lengths))
            self._gradient = (None, None)
        return self._last[1], self._last[2]

    def layer_gradient(self, features: Tensor, lengths: Sequence[int], targets: Tensor) -> tuple[Tensor, Tensor]:
        """The activations, and the gradient of the score with respect to them; no layer before is differentiated."""
        leaf, outputs = self.forward(features, lengths)
        if self._gradient[0] is not targets:
            with torch.enable_grad():
                # Items do not mix, so the gradient of the sum holds each item's own.
                (gradient,) = torch.autograd.grad(self.select(outputs, targets).sum(), leaf, retain_graph=True)
            self._gradient = (targets, gradient)
        return leaf.detach(), self._gradient[1]

    def layer_maps(self, values: Tensor, lengths: Sequence[int]) -> list[SaliencyMap]:
        """Signed maps at the layer's resolution from values (batch, rows, columns), cut to the real frames."""
        return [
            self.layer_map(native[:, : self.kept(columns_for(length, self.frames_per_column))].T)
            for native, length in zip(_array(values), lengths, strict=True)
        ]

    def layer_map(self, values: np.ndarray, signed: bool = True) -> SaliencyMap:
        """A map of these values (columns, rows) at the layer's resolution."""
        return SaliencyMap(values, self.frames_per_column, self.bins_per_row, signed, of=self.layer)

    def input_maps(
        self, values: Tensor, lengths: Sequence[int], window: tuple[int, int] = (1, 1), signed: bool = True
    ) -> list[SaliencyMap]:
        """Maps of the input from values (batch, columns, rows), each point of which spans `window` frames and bins."""
        if self.latent:
            values, window = values.sum(2, keepdim=True), (window[0], 1)
        return [
            SaliencyMap(native[: self.kept(-(-length // window[0]))], *window, signed, of="features")
            for native, length in zip(_array(values), lengths, strict=True)
        ]

    def kept(self, columns: int) -> int | None:
        """How many of a map's columns are kept of those that cover the real frames; None is all there are."""
        return columns

    def heard(self, frames: int) -> int:
        """The frames that the model reads of an utterance, with the padding that reaches it."""
        return frames

    def join(self, maps: list[SaliencyMap], length: int) -> SaliencyMap:
        """What is archived for one utterance; several maps only if symbols are explained one by one."""
        return maps[0]

    def about(self) -> dict[str, Any]:
        """What saliency.json says of the model beside the maps' resolution."""
        return {}


EXPLAINED: Registry[Callable[[Path, Target, str], Explained]] = Registry(
    "model that can be explained",
    {
        **dict.fromkeys(("AccentCNN", "WhisperEncoderClassifier"), "salience.saliency.accents"),
        "Wav2Vec2ForSequenceClassification": "salience.saliency.wav2vec",
        "Wav2Vec2ForCTC": "salience.saliency.wav2vec",
        "KeywordNetwork": "salience.saliency.keywords",
    },
)
"""Loaders by the name of the model's class, as config.json has it in `architectures`."""


def _array(values: Tensor) -> np.ndarray:
    """The values for numpy, which has no bfloat16."""
    return (values.float() if values.dtype == torch.bfloat16 else values).detach().cpu().numpy()


def load_explained(folder: Path, target: Target = Target(), device: str = "cpu") -> Explained:
    """The model in a folder, as the methods see it.

    Neither keyword networks nor the accent CNN name an architecture in their
    config.json.
    """
    about = read_json(folder / "config.json")
    known = about if isinstance(about, dict) else {}
    names = known.get("architectures")
    unnamed = "KeywordNetwork" if "words" in known else "AccentCNN"
    return EXPLAINED[str(names[0]) if isinstance(names, list) and names else unnamed](folder, target, device)


def first_of_each(utterances: Iterable[Utterance], max_per_accent: int) -> Iterator[Utterance]:
    """The utterances in their order, at most this many of each accent; 0 takes all."""
    seen: Counter[str | None] = Counter()
    for utterance in utterances:
        seen[utterance.accent] += 1
        if not max_per_accent or seen[utterance.accent] <= max_per_accent:
            yield utterance


def maps_of(model: Explained, batch: Batch, methods: Sequence[str], seed: int = 1) -> dict[str, list[SaliencyMap]]:
    """The maps of a batch by each method, whose draws depend on seed, utterance and method only."""
    found = {}
    for name in methods:
        rngs = [generator(seed, key, f"{name} map") for key in batch.keys]
        maps = METHODS[name](model, batch.features, batch.lengths, batch.targets, rngs)
        if len(maps) != len(batch.keys):
            raise InputError(f"the saliency method {name} gives {len(maps)} maps for {len(batch.keys)} utterances")
        found[name] = [replace(each, method=name, target=model.target.kind) for each in maps]
    return found


def maps_of_set(
    model: Explained,
    source: ExplainedSet,
    methods: Sequence[str],
    batch_size: int = 8,
    seed: int = 1,
    bf16: bool = False,
) -> Iterator[tuple[str, dict[str, SaliencyMap], str]]:
    """Yield (utterance, its map by each method, names of the symbols that were explained one by one)."""

    def rows() -> Iterator[tuple[str, int, dict[str, SaliencyMap], str]]:
        for batch in source.batches(batch_size):
            with torch.autocast(batch.features.device.type, torch.bfloat16, enabled=bf16):
                found = maps_of(model, batch, methods, seed)
            for row, (key, length) in enumerate(zip(batch.keys, batch.lengths, strict=True)):
                symbol = batch.symbols[row] if batch.symbols else ""
                yield key, length, {name: maps[row] for name, maps in found.items()}, symbol

    for key, group in groupby(rows(), key=itemgetter(0)):
        parts = list(group)
        maps = {name: model.join([part[2][name] for part in parts], parts[0][1]) for name in methods}
        yield key, maps, " ".join(part[3] for part in parts)


def bytes_of_maps(model: Explained, sets: Sequence[ExplainedSet], methods: Sequence[str], compress: bool) -> int:
    """Disk that the maps of these sets take at most, by the resolution of each method's map of one utterance."""
    one = next((batch for source in sets for batch in source.batches(1)), None)
    if one is None:
        return 0
    frames = [count for source in sets for count in source.frames.values()]
    maps = [found[0] for found in maps_of(model, one, methods).values()]
    return sum(
        archive_bytes([columns_for(count, each.frames_per_column) for count in frames], each.values.shape[1], compress)
        for each in maps
    )
