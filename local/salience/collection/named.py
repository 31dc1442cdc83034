"""Models that a user names: packages that are not among ours, imported only then.

Both packages ask torch for whatever a checkpoint holds, code included.  Here
it reads nothing but weights all the same.
"""

import functools
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from salience.errors import InputError, beside_weights


def split_name(name: str) -> tuple[str, str]:
    """`package` or `package:model`, as (package, model)."""
    kind, _, model = name.partition(":")
    return kind, model


FORCES = {"TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "0"}
"""Variables that torch.load obeys rather than its caller."""


@contextmanager
def _weights_alone(model: str, plain: list[Any], instead: str) -> Iterator[None]:
    """Have torch.load refuse all but weights and these `plain` classes, in one sentence, whatever it is asked for."""
    import torch

    before = {name: os.environ.get(name) for name in FORCES}
    os.environ |= FORCES
    try:
        with torch.serialization.safe_globals(plain):
            yield
    except pickle.UnpicklingError as error:
        raise InputError(f"{model} holds {beside_weights(error)}; name another model, or take {instead}") from None
    finally:
        for name, value in before.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value


def _pyannotes_settings() -> list[Any]:
    """What pyannote.audio keeps beside the weights of its models: two enumerations and a class of settings."""
    try:
        from pyannote.audio.core.task import Problem, Resolution, Specifications
    except ImportError:
        return []
    return [Problem, Resolution, Specifications]


@functools.cache
def load_pyannote(model: str, task: str, instead: str) -> Any:
    """A pipeline of pyannote.audio by its name or path; `instead` is the option that needs no download."""
    try:
        from pyannote.audio import Pipeline
    except ImportError as error:
        raise InputError(
            f"{task} by pyannote needs the package pyannote.audio, which cannot be imported ({error}); install it, or"
            f" take {instead}"
        ) from None
    try:
        with _weights_alone(f"pyannote's {model}", _pyannotes_settings(), instead):
            pipeline = Pipeline.from_pretrained(model)
    except InputError:
        raise
    # Whatever goes wrong in the hub's client: no network, no token, terms not accepted.
    except Exception as error:
        raise InputError(
            f"pyannote's {model} cannot be fetched ({_first_line(error)}); log in to its hub, name a local pipeline, or"
            f" take {instead}"
        ) from None
    if pipeline is None:
        raise InputError(
            f"pyannote's {model} cannot be fetched without accepting its terms; do so, name a local pipeline, or take"
            f" {instead}"
        )
    return pipeline


@functools.cache
def load_demucs(model: str, instead: str) -> Any:
    """A separation model of Demucs by name."""
    try:
        from demucs.pretrained import get_model
    except ImportError as error:
        raise InputError(
            f"separation by Demucs needs the package demucs, which cannot be imported ({error}); install it, or take"
            f" {instead}"
        ) from None
    try:
        with _weights_alone(f"Demucs' {model}", [], f"a newer Demucs, which fetches weights alone, or {instead}"):
            return get_model(model)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"Demucs' {model} cannot be fetched ({_first_line(error)}); fetch it where there is a network, or take"
            f" {instead}"
        ) from None


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
