"""How recognisers are fine-tuned: what a method prepares, and the default, each utterance as it is and masked."""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from salience.data.alignment import word_error_rate
from salience.data.directories import read_data_dir
from salience.errors import InputError
from salience.features.archives import Archive, FeatureSet
from salience.features.logmel import floor_of
from salience.masking.apply import Masker, open_maps
from salience.masking.systems import System, read_system
from salience.models.recognisers import Example, Recogniser, TooLong
from salience.progress import bar
from salience.registry import Registry, plugins_of
from salience.steps import LATER, recorded

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sets:
    """What a fine-tuning is given.

    Args:
        recogniser: The recogniser, whose model is not loaded yet.
        data: Folder of the data directories.
        features: Folder of the features or packed signals.
        train: Name of the training set.
        dev: Name of the set that chooses the epoch.
    """

    recogniser: Recogniser
    data: Path
    features: Path | None
    train: str
    dev: str

    @cached_property
    def sources(self) -> tuple[Any, Any]:
        """What the recogniser reads of the training and the dev set."""
        train, dev = (self.recogniser.source(self.data, self.features, name) for name in (self.train, self.dev))
        return train, dev


@dataclass(frozen=True)
class Task:
    """What `train` needs of a fine-tuning; a lower dev score is better.

    Args:
        network: From a collated batch, as keywords, to the loss.
        examples: The training set, by (epoch, index).
        lengths: Of each example.
        collate: From examples to a batch.
        dev_score: From the network to dev scores.
        metric: The dev score that chooses the epoch.
        rate: From a parameter's name to its share of the learning rate.
        finish: Changes the network of the best epoch before it is written.
    """

    network: nn.Module
    examples: Dataset
    lengths: Sequence[int]
    collate: Callable[[list[Any]], dict[str, torch.Tensor]]
    dev_score: Callable[[nn.Module], dict[str, float]]
    metric: str
    rate: Callable[[str], float] | None = None
    finish: Callable[[nn.Module], None] = lambda network: None


@dataclass
class FineTuning:
    """A method; its fields are options of finetune.py, and those with `compare` stand in a step's record."""

    def settings(self, sets: Sets) -> dict[str, Any]:
        """Return the options and whatever else of the sets a step's record names."""
        return recorded(self)

    def inputs(self, sets: Sets) -> list[Path]:
        """List the files that the result depends on, beside those of the model that is fine-tuned."""
        raise NotImplementedError

    def prepare(self, sets: Sets, model: str, batch_size: int, seed: int, device: str) -> Task:
        """Load or make `model` in the recogniser and prepare its training; whatever does not fit is an InputError."""
        raise NotImplementedError


FINETUNINGS: Registry[type[FineTuning]] = Registry(
    "recogniser that can be fine-tuned",
    {"keyword": "salience.training.keywords", "wav2vec2": "salience.training.wav2vec_ctc"},
)
"""Methods by the name of the recogniser; any other recogniser is fine-tuned by MaskedCopies."""


def method_of(recogniser: str) -> type[FineTuning]:
    """Find the method of a recogniser."""
    return FINETUNINGS[recogniser] if recogniser in FINETUNINGS.names() else MaskedCopies


@dataclass
class MaskedTraining(FineTuning):
    """A fine-tuning whose masks are those of a system.

    Args:
        systems: The recipe's systems.yaml; without one, nothing is masked.
        system: Which of its systems to train.
        maps: Folder of the saliency maps, for systems whose masks come from maps.
        classifier: The classifier whose maps a system takes that names none, where the folder of maps has several.
    """

    renamed: ClassVar[dict[str, str]] = {"variant": "system", "masking": "systems"}

    systems: Path | None = field(default=None, compare=False)
    system: str = "plain"
    maps: Path | None = field(default=None, compare=False)
    classifier: str = field(default="", compare=False)

    @cached_property
    def chosen(self) -> System:
        """The system to train."""
        chosen = read_system(self.systems, self.system, self.classifier) if self.systems else System()
        if not chosen.trained:
            raise InputError(f"the system {self.system} is not trained ({self.systems}); give another --system")
        return chosen

    def settings(self, sets: Sets) -> dict[str, Any]:
        return {**super().settings(sets), "masking": self.chosen}

    def mask_files(self, name: str) -> list[Path]:
        """List the files that the masks of a set depend on."""
        if self.chosen.methods and self.maps is None:
            raise InputError(f"the system {self.system} needs --maps, the folder of the saliency maps")
        return [*open_maps(self.maps, name, self.chosen)[1], *plugins_of(*self.chosen.policies)]

    def masker(self, name: str, seed: int, frames: Mapping[str, int]) -> Masker:
        """Make what masks the utterances of a set, whose numbers of frames are given."""
        return Masker(self.chosen, seed, open_maps(self.maps, name, self.chosen)[0], frames)


@dataclass
class MaskedCopies(MaskedTraining):
    """Each utterance twice an epoch, once as it is and once masked.

    Every system makes the same number of updates: one without masks sees each
    utterance twice.

    Args:
        masked: Folder of the masked features, for --masks fixed.
        masks: Draw masks anew in each epoch, or take those of stage 5.
        dev_utterances: Use only this many of the dev set, the first; 0 uses all.
        skip_long_texts: Leave out training utterances whose text has more tokens than the decoder reads (448).
        frozen: Regular expression; parameters whose names it is found in are not trained, for instance
            "decoder|conv" of Whisper.
        start_share: Share of the weights that the training starts from in those that are written, from 0 to less
            than 1.  The mean of both often keeps what the start could do elsewhere (Wortsman et al. 2022).  The epoch
            is chosen by the trained weights alone.
    """

    masked: Path | None = field(default=None, compare=False)
    masks: Literal["redrawn", "fixed"] = "redrawn"
    dev_utterances: int = 0
    skip_long_texts: bool = False
    frozen: str = ""
    start_share: float = field(default=0.0, metadata=LATER)

    def _fixed(self, sets: Sets) -> Path | None:
        """The archive of masked features, where they are not drawn anew."""
        if self.masks == "redrawn" or not self.chosen.masked:
            return None
        if self.masked is None:
            raise InputError("--masks fixed needs --masked, the folder of the masked features")
        return self.masked / self.system / sets.train / "feats.scp"

    def inputs(self, sets: Sets) -> list[Path]:
        fixed = self._fixed(sets)
        features = [source.path for source in sets.sources]
        return [
            sets.data / sets.train,
            sets.data / sets.dev,
            *features,
            *([fixed] if fixed else self.mask_files(sets.train)),
        ]

    def prepare(self, sets: Sets, model: str, batch_size: int, seed: int, device: str) -> Task:
        if not 0 <= self.start_share < 1:
            raise InputError(f"--start-share is {self.start_share}; give a number from 0 to less than 1")
        recogniser = sets.recogniser
        recogniser.load(model, seed=seed)
        if self.frozen:
            freeze(recogniser.network, self.frozen)
        train, dev = sets.sources
        for source in (train, dev):
            recogniser.check(source, training=True)
        targets = self._targets(sets.data / sets.train, recogniser)
        if fixed := self._fixed(sets):
            copies = Archive(fixed)
            augment = lambda utterance, _features, _epoch: copies[utterance]  # noqa: E731
        else:
            augment = self.masker(sets.train, seed, train.frames).apply
        return Task(
            recogniser.network,
            AugmentedUtterances(list(targets), train, targets, augment),
            [train.frames[utterance] for utterance in targets] * 2,
            recogniser.collate,
            DevScore(recogniser, sets.data / sets.dev, dev, self.dev_utterances, batch_size),
            "eval_dev_wer",
            finish=towards_start(recogniser.network, self.start_share),
        )

    def _targets(self, data: Path, recogniser: Recogniser) -> dict[str, list[int]]:
        """Target tokens of each training utterance."""
        targets: dict[str, list[int]] = {}
        skipped = []
        for utterance in read_data_dir(data):
            if not utterance.text.strip():
                raise InputError(
                    f"{data}/text: {utterance.id} has an empty transcript; remove it with utils/fix_data_dir.sh"
                )
            try:
                targets[utterance.id] = recogniser.target(utterance.text)
            except TooLong as error:
                skipped.append(utterance.id)
                if not self.skip_long_texts:
                    raise InputError(
                        f"{data}/text: {utterance.id}: {error}; leave out such utterances with --skip-long-texts true,"
                        " in a recipe skip_long_texts: true in conf/finetune.yaml"
                    ) from None
            except InputError as error:
                raise InputError(f"{data}/text: {utterance.id}: {error}") from None
        if skipped:
            logger.info("left out %d utterances whose texts have too many tokens, first %s", len(skipped), skipped[0])
        if not targets:
            raise InputError(f"{data}/text: every utterance has too many tokens for the model; give shorter ones")
        return targets


def freeze(network: nn.Module, pattern: str) -> None:
    """Keep the parameters whose names the regular expression is found in as they are; some, but not all, must match."""
    try:
        frozen = [weights for name, weights in network.named_parameters() if re.search(pattern, name)]
    except re.error as error:
        raise InputError(f"--frozen: {pattern!r} is not a regular expression: {error}") from None
    if not 0 < len(frozen) < len(list(network.parameters())):
        names = [name for name, _ in network.named_parameters()]
        raise InputError(
            f"--frozen {pattern!r} matches {'all' if frozen else 'none'} of the model's parameters, which are"
            f" {names[0]} to {names[-1]}; give a pattern that matches some"
        )
    for weights in frozen:
        weights.requires_grad_(False)
    logger.info("not trained: %d of %d parameter tensors", len(frozen), len(list(network.parameters())))


def towards_start(network: nn.Module, share: float) -> Callable[[nn.Module], None]:
    """What moves a network's weights this share of the way back to where they are now."""
    start = {name: weights.detach().cpu().clone() for name, weights in network.named_parameters()} if share else {}

    def finish(trained: nn.Module) -> None:
        for name, weights in trained.named_parameters():
            if name in start:
                weights.data.lerp_(start[name].to(weights), share)

    return finish


class AugmentedUtterances(Dataset[Example]):
    """Every utterance twice: index i < n is utterance i itself, index n + i its augmented copy.

    "The masked spectrograms are combined with the primary dataset" (section
    3.3).  Without masks it is repeated, so that all systems make
    the same number of updates.  Items are asked for by (epoch, index).

    features: by utterance id.  tokens: by utterance id.  augment(utterance,
    features, epoch) returns features of the same shape.
    """

    def __init__(
        self,
        utterances: Sequence[str],
        features: Mapping[str, np.ndarray],
        tokens: Mapping[str, list[int]],
        augment: Callable[[str, np.ndarray, int], np.ndarray],
    ) -> None:
        self.utterances, self.features, self.tokens, self.augment = utterances, features, tokens, augment

    def __len__(self) -> int:
        return 2 * len(self.utterances)

    def __getitem__(self, where: tuple[int, int]) -> Example:
        epoch, index = where
        utterance = self.utterances[index % len(self.utterances)]
        features = self.features[utterance]
        floor = floor_of(features)
        if index >= len(self.utterances):
            features = self.augment(utterance, features, epoch)
        return Example(features, floor, self.tokens[utterance])


class DevScore:
    """WER in percent of a recogniser on the dev set, both sides lower case."""

    def __init__(
        self, recogniser: Recogniser, data: Path, source: FeatureSet, max_utterances: int, batch_size: int
    ) -> None:
        self.recogniser, self.source, self.batch_size = recogniser, source, batch_size
        records = read_data_dir(data)[: max_utterances or None]
        self.references = {u.id: " ".join(u.text.lower().split()) for u in records}
        source.frames = {u.id: source.frames[u.id] for u in records}

    def __call__(self, network: nn.Module) -> dict[str, float]:
        found = self.recogniser.transcribe(self.source, self.batch_size, [])
        hypotheses = dict(bar(found, "decoding the dev set", len(self.references)))
        pairs = [(self.references[u], hypotheses[u].lower()) for u in self.references]
        return {"dev_wer": word_error_rate([r for r, _ in pairs], [h for _, h in pairs])}
