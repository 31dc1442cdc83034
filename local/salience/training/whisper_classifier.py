"""Training of the accent classifier on a frozen Whisper encoder, whose pooled states are computed once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from salience.errors import InputError
from salience.models.recognisers import RECOGNISERS, load_recogniser
from salience.models.whisper_classifier import WhisperEncoderClassifier, WhisperEncoderConfig
from salience.progress import bar
from salience.training.accent_classifier import AccentSet, NetworkClassifier
from salience.training.classifiers import CLASSIFIERS
from salience.training.settings import TrainingSettings
from salience.training.trainer import device_of

DEPTH = 0.75
"""Share of the encoder's blocks that is kept by default: of tiny's four three, after which accents are told best."""


class Pooled(Dataset[tuple[Tensor, int]]):
    """Pooled states and labels of a set, by (epoch, index)."""

    def __init__(self, states: Tensor, labels: Sequence[int]) -> None:
        self.states, self.labels = states, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, where: tuple[int, int]) -> tuple[Tensor, int]:
        return self.states[where[1]], self.labels[where[1]]


def collate(items: Sequence[tuple[Tensor, int]]) -> dict[str, Tensor]:
    """One batch of pooled states (batch, width) and labels."""
    return {"pooled": torch.stack([states for states, _ in items]), "labels": torch.tensor([n for _, n in items])}


def open_encoder(
    name: str, classes: tuple[str, ...], block: int, hidden: int, full_context: bool
) -> WhisperEncoderClassifier:
    """An untrained classifier on the encoder of a Whisper model, up to a block (0: DEPTH of them)."""
    whisper = load_recogniser("whisper", name).model
    dims = whisper.dims
    kept = block or ceil(DEPTH * dims.n_audio_layer)
    if kept > dims.n_audio_layer:
        raise InputError(f"the encoder of {name} has {dims.n_audio_layer} blocks, not {kept}; correct block")
    model = WhisperEncoderClassifier(
        WhisperEncoderConfig(
            classes=classes,
            bins=dims.n_mels,
            context=dims.n_audio_ctx,
            state=dims.n_audio_state,
            heads=dims.n_audio_head,
            blocks=kept,
            hidden=hidden,
            full_context=full_context,
        )
    )
    weights = whisper.encoder.state_dict()
    model.encoder.load_state_dict({key: weights[key] for key in model.encoder.state_dict()})
    return model


@torch.no_grad()
def pooled_states(model: WhisperEncoderClassifier, source: AccentSet, batch_size: int) -> Tensor:
    """Pooled states (utterances, width) in the order of the set."""
    model.eval()
    frames = source.by_utterance()
    found: dict[str, Tensor] = {}
    for keys in bar(list(model.batches(frames, batch_size)), f"states of {source.name.name}"):
        features, lengths = model.padded([source.archive[key] for key in keys])
        found |= zip(keys, model.pool(model.feature_maps(features), lengths).cpu(), strict=True)
    return torch.stack([found[key] for key in frames])


@CLASSIFIERS.register("whisper-encoder")
@dataclass
class WhisperEncoder(NetworkClassifier):
    """A linear layer, or a small network, on the pooled states of a frozen Whisper encoder.

    Args:
        block: Block of the encoder whose states are pooled; 0 is three quarters of the way, the third of tiny's four.
        hidden: Units of a hidden layer; 0 is a linear classifier.
        full_context: Pad to 30 s, as the published encoders were trained, instead of by the utterance's length.
        training: Settings of the training.
    """

    system = "whisper-encoder"
    batch_size = 8

    block: int = 0
    hidden: int = 0
    full_context: bool = False
    training: TrainingSettings = field(
        default_factory=lambda: TrainingSettings(epochs=60, learning_rate=1e-3, score_every=5)
    )

    def inputs(self, model: str) -> list[Path]:
        return RECOGNISERS["whisper"]().files(model)

    def prepare(
        self, train: AccentSet, dev: AccentSet, classes: tuple[str, ...], model: str, seed: int, ngpu: int
    ) -> tuple[Any, Any, Sequence[int], Callable[..., Any], Callable[[Any], Tensor]]:
        self.model = open_encoder(model, classes, self.block, self.hidden, self.full_context).to(device_of(ngpu))
        self.model.mean.copy_(train.statistics()[0])
        states, chosen_by = (pooled_states(self.model, each, self.batch_size) for each in (train, dev))
        head = self.model.classify
        head.mean.copy_(states.mean(0))
        head.deviation.copy_(states.std(0).clamp(min=1e-6))
        return (
            head,
            Pooled(states, train.labels),
            [1] * len(states),
            collate,
            lambda network: network(chosen_by.to(network.mean.device))["logits"].cpu(),
        )
