"""The Recogniser interface, and the registry in which recognisers are found by name."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from salience.errors import InputError
from salience.features.archives import FeatureSet, LoadedFeatures
from salience.registry import Registry
from salience.steps import recorded

if TYPE_CHECKING:  # the registry is asked for names where nothing is computed, and torch takes seconds to import
    from torch import Tensor, nn


@dataclass(frozen=True)
class Example:
    """One training example: features (frames, bins), the value that pads them, and the target's tokens."""

    features: np.ndarray
    floor: float
    tokens: list[int]


@dataclass
class Recogniser:
    """A model that writes text, registered in RECOGNISERS.

    The fields of a subclass, which is a dataclass, are options of finetune.py
    and decode.py.  Whoever is fine-tuned on features and their masked copies
    implements everything; decoding alone needs `load` and `transcribe`.
    """

    features: ClassVar[Literal["log-mel", "fbank", "waveform"]] = "log-mel"
    """What it reads."""
    saved: ClassVar[tuple[str, ...]] = ("model.pt",)
    """The files that `save` writes."""
    batch_size: ClassVar[int] = 32
    """Utterances decoded at a time, unless the user says otherwise."""

    renamed: ClassVar[dict[str, str]] = {}
    """Options of earlier versions, with their names of now."""

    network: ClassVar["nn.Module"]
    """What is trained, set by `load`: from a collated batch, as keywords, to {"loss": ..., "count": ...}, the count
    being of what the loss is a mean (utterances if it is left out)."""

    def load(self, model: str, device: str = "cpu", seed: int = 1) -> None:
        """Load a model: a folder that `save` wrote, or whatever else the subclass accepts as `model`."""
        raise NotImplementedError

    def files(self, model: str) -> list[Path]:
        """List the files that identify a model in the records of what is made with it; none for a published name."""
        path = Path(model)
        return [path / name for name in self.saved] if path.is_dir() else [path] if path.exists() else []

    def settings(self) -> dict[str, Any]:
        """Return the options, as a step's record names them."""
        return recorded(self)

    def source(self, data: Path, features: Path | None, name: str) -> FeatureSet:
        """Open what is decoded of a set, by utterance; its `inputs` and `settings` go into the step's record."""
        if features is None:
            raise InputError("--features is missing; give the folder of the features")
        return FeatureSet(features / name)

    def check(self, source: FeatureSet, training: bool = False) -> None:
        """Raise InputError unless these are features that the loaded model reads, in training or decoding."""

    def target(self, text: str) -> list[int]:
        """Tokenise a transcript; TooLong if the model cannot write all of it, another InputError if none of it."""
        raise InputError(f"{type(self).__name__} cannot be fine-tuned here, because it has no targets for training")

    def collate(self, examples: Sequence[Example]) -> dict[str, "Tensor"]:
        """Make one batch of the network's inputs."""
        raise NotImplementedError

    def transcribe(
        self, source: Mapping[str, np.ndarray], batch_size: int, truncated: list[str]
    ) -> Iterator[tuple[str, str]]:
        """Yield (utterance id, hypothesis); ids of hypotheses that were cut off are added to `truncated`."""
        raise NotImplementedError

    def use_bf16(self) -> None:
        """Decode in bfloat16 from now on; the model is not to be trained after that."""
        raise InputError(f"{type(self).__name__} decodes in float32 only; leave out --precision bf16")

    def transcripts(self, features: Mapping[str, np.ndarray]) -> dict[str, str]:
        """Decode features (frames, bins) in memory; the hypothesis of each utterance."""
        return dict(self.transcribe(LoadedFeatures(features), self.batch_size, []))

    def save(self, folder: Path) -> None:
        """Write the model, each file whole or not at all."""
        raise NotImplementedError

    @classmethod
    def frozen(cls, choice: "RecogniserChoice", device: str) -> "FrozenRecogniser":
        """Load a model that stays as it is while something else is trained with it."""
        raise InputError(f"{cls.__name__} cannot be used frozen, because it gives no gradient to signals")


class FrozenRecogniser:
    """A recogniser that stays as it is, with the gradient of its losses to signals.

    Signals are (batch, samples), on the scale of 16-bit integers; `samples` (batch,) are their own lengths.
    """

    model: "nn.Module"

    def losses(self, signals: "Tensor", samples: "Tensor", texts: Sequence[str]) -> "Tensor":
        """-log of the probability of each text, in nats, (batch,)."""
        raise NotImplementedError

    def log_probabilities(self, signals: "Tensor", samples: "Tensor", texts: Sequence[str]) -> "Tensor":
        """Log-probability of each text in nats, (batch,), whatever else is in the batch."""
        import torch

        with torch.no_grad():
            return -self.losses(signals, samples, texts)

    def transcribe(self, signals: "Tensor", samples: "Tensor") -> list[str]:
        """Transcribe each signal, by a decoding fast enough for every epoch."""
        raise NotImplementedError

    def normalise(self, text: str) -> str:
        """Normalise a text for comparison."""
        return text

    def check(self, text: str) -> str | None:
        """Say why this text cannot be a target, or None."""
        return None if text else "it is empty"


@dataclass(frozen=True)
class RecogniserChoice:
    """Which recogniser is used frozen.

    Args:
        kind: espnet, a model of train_espnet.py; whisper; or keyword, a network of single words.
        model: Its folder, or another name that its kind takes.
        language: Whisper's code of the language.
    """

    kind: str = "espnet"
    model: str = ""
    language: str = "en"

    @property
    def files(self) -> list[Path]:
        """The files that identify the model."""
        return RECOGNISERS[self.kind]().files(self.model)


def frozen(choice: RecogniserChoice, device: str = "cpu") -> FrozenRecogniser:
    """Load a recogniser and freeze it."""
    recogniser = RECOGNISERS[choice.kind].frozen(choice, device)
    recogniser.model.requires_grad_(False)
    return recogniser


def load_recogniser(name: str, model: str, device: str = "cpu", **options: Any) -> Recogniser:
    """Load a recogniser by its registered name, with any of its options."""
    recogniser = RECOGNISERS[name](**options)
    recogniser.load(str(model), device)
    return recogniser


class TooLong(InputError):
    """A text has more tokens than the model can write."""


RECOGNISERS: Registry[type[Recogniser]] = Registry(
    "recogniser",
    {
        "espnet": "salience.decoding.hybrid",
        "keyword": "salience.decoding.keywords",
        "wav2vec2": "salience.decoding.ctc",
        "whisper": "salience.decoding.whisper",
    },
)
