"""Models that a user names: packages that are not among ours, imported only then.

Both packages ask torch for whatever a checkpoint holds, code included.  Here
it reads nothing but weights all the same.
"""

import functools
import os
import pickle
from collections.abc import Iterator, Sequence
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
def _fetching(
    package: str, model: str, task: str, first: str, instead: str, newer: str = "", plain: Sequence[Any] = ()
) -> Iterator[None]:
    """Import a package of the user's and fetch a model with it; whatever goes wrong is one sentence.

    torch.load refuses all but weights, whatever it is asked for.

    Args:
        package: what must be installed
        model: the model, in words
        task: what it is for
        first: what helps when the model cannot be fetched
        instead: the option that needs no model
        newer: what helps where there is more than weights
        plain: harmless classes beside the weights
    """
    import torch

    before = {name: os.environ.get(name) for name in FORCES}
    os.environ |= FORCES
    try:
        with torch.serialization.safe_globals(list(plain)):
            yield
    except pickle.UnpicklingError as error:
        fault = f"{model} holds {beside_weights(error)}"
        raise InputError(f"{fault}; name another model, or take {newer}{instead}") from None
    except ImportError as error:
        raise InputError(
            f"{task} needs the package {package}, which cannot be imported ({error}); install it, or take {instead}"
        ) from None
    # Whatever goes wrong in a hub's client: no network, no token, terms not accepted.
    except Exception as error:
        raise InputError(f"{model} cannot be fetched ({_first_line(error)}); {first}, or take {instead}") from None
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
    name, local = f"pyannote's {model}", "name a local pipeline"
    first, plain = f"log in to its hub, {local}", _pyannotes_settings()
    with _fetching("pyannote.audio", name, f"{task} by pyannote", first, instead, plain=plain):
        from pyannote.audio import Pipeline

        pipeline = Pipeline.from_pretrained(model)
    if pipeline is None:
        raise InputError(f"{name} cannot be fetched without accepting its terms; do so, {local}, or take {instead}")
    return pipeline


@functools.cache
def load_demucs(model: str, instead: str) -> Any:
    """A separation model of Demucs by name."""
    first, newer = "fetch it where there is a network", "a newer Demucs, which fetches weights alone, or "
    with _fetching("demucs", f"Demucs' {model}", "separation by Demucs", first, instead, newer):
        from demucs.pretrained import get_model

        return get_model(model)


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
