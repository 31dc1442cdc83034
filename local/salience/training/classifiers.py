"""Kinds of accent classifiers by name, CLASSIFIERS, and what each implements; listing the names needs no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from salience.registry import Registry

if TYPE_CHECKING:
    from salience.training.accent_classifier import AccentSet


@dataclass
class Classifier:
    """A kind of accent classifier; the fields of a subclass, a dataclass, are options of train_classifier.py."""

    system: ClassVar[str]
    """What the results call it."""
    saved: ClassVar[tuple[str, ...]] = ("model.safetensors", "config.json", "history.json")
    """The files that `fit` writes."""

    def settings(self) -> dict[str, Any]:
        """Return the options, as a step's record names them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def inputs(self, model: str) -> list[Path]:
        """List the files that identify the model which training starts from; none where it starts from random weights.

        Args:
            model: A Whisper model, by name, file or folder.
        """
        return []

    def fit(
        self,
        train: "AccentSet",
        dev: "AccentSet",
        classes: tuple[str, ...],
        model: str,
        out: Path,
        seed: int,
        ngpu: int,
    ) -> None:
        """Train, and write the files named in `saved` into OUT.

        Args:
            train: Training set, labelled.
            dev: The set by which settings or the best epoch are chosen.
            classes: The labels in the order of their numbers.
            model: A Whisper model, by name, file or folder.
            out: Folder of the classifier.
            seed: Random seed of weights, order and masks.
            ngpu: GPUs to use.
        """
        raise NotImplementedError

    def predict(self, source: "AccentSet") -> Sequence[int]:
        """Return the class that the trained classifier gives to each utterance of a set."""
        raise NotImplementedError


CLASSIFIERS: Registry[type[Classifier]] = Registry(
    "accent classifier",
    {
        "cnn": "salience.training.accent_cnn",
        "whisper-encoder": "salience.training.whisper_classifier",
        "durations": "salience.training.accent_classifier",
    },
)
"""Classifiers and, with `durations`, the control that knows nothing but how long an utterance is."""
