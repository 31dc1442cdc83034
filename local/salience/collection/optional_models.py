"""Models that a user names: packages that are not among ours, imported only then.

Both packages ask torch for whatever a checkpoint holds, code included.  Here
it reads nothing but weights all the same.
"""

import functools
import os
import pickle
from collections.abc import Callable, Iterator
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


def _load(
    package: str,
    model: str,
    task: str,
    fetch: Callable[[], Any],
    first: str,
    instead: str,
    plain: list[Any],
    newer: str = "",
) -> Any:
    """What `fetch` returns, which imports a `package` of the user's; whatever goes wrong is one sentence.

    `first` is what helps when the model cannot be fetched, `instead` the
    option that needs none.  `plain` are harmless classes beside the weights; `newer`
    says what helps against others.
    """
    try:
        with _weights_alone(model, plain, newer + instead):
            return fetch()
    except InputError:
        raise
    except ImportError as error:
        raise InputError(
            f"{task} needs the package {package}, which cannot be imported ({error}); install it, or take {instead}"
        ) from None
    # Whatever goes wrong in a hub's client: no network, no token, terms not accepted.
    except Exception as error:
        raise InputError(f"{model} cannot be fetched ({_first_line(error)}); {first}, or take {instead}") from None


@functools.cache
def load_pyannote(model: str, task: str, instead: str) -> Any:
    """A pipeline of pyannote.audio by its name or path; `instead` is the option that needs no download."""

    def fetch() -> Any:
        from pyannote.audio import Pipeline

        return Pipeline.from_pretrained(model)

    name, local = f"pyannote's {model}", "name a local pipeline"
    task, first = f"{task} by pyannote", f"log in to its hub, {local}"
    pipeline = _load("pyannote.audio", name, task, fetch, first, instead, _pyannotes_settings())
    if pipeline is None:
        raise InputError(f"{name} cannot be fetched without accepting its terms; do so, {local}, or take {instead}")
    return pipeline


@functools.cache
def load_demucs(model: str, instead: str) -> Any:
    """A separation model of Demucs by name."""

    def fetch() -> Any:
        from demucs.pretrained import get_model

        return get_model(model)

    name, first = f"Demucs' {model}", "fetch it where there is a network"
    return _load(
        "demucs",
        name,
        "separation by Demucs",
        fetch,
        first,
        instead,
        [],
        "a newer Demucs, which fetches weights alone, or ",
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
