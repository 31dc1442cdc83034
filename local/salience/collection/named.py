"""Models that a user names: packages that are not among ours, imported only then."""

import functools
from typing import Any

from salience.errors import InputError


def split_name(name: str) -> tuple[str, str]:
    """`package` or `package:model`, as (package, model)."""
    kind, _, model = name.partition(":")
    return kind, model


@functools.cache
def load_pyannote(model: str, task: str, instead: str) -> Any:
    """A pipeline of pyannote.audio by its name or path; `instead` is the option that needs no download."""
    try:
        from pyannote.audio import Pipeline
    except ImportError as error:
        raise InputError(
            f"{task} by pyannote needs the package pyannote.audio, which cannot be imported ({error}); install it, or take {instead}"
        ) from None
    try:
        pipeline = Pipeline.from_pretrained(model)
    # Whatever goes wrong in the hub's client: no network, no token, terms not accepted.
    except Exception as error:
        raise InputError(f"pyannote's {model} cannot be fetched ({_first_line(error)}); log in to its hub, name a local pipeline, or take {instead}") from None
    if pipeline is None:
        raise InputError(f"pyannote's {model} cannot be fetched without accepting its terms; do so, name a local pipeline, or take {instead}")
    return pipeline


@functools.cache
def load_demucs(model: str, instead: str) -> Any:
    """A separation model of Demucs by name."""
    try:
        from demucs.pretrained import get_model
    except ImportError as error:
        raise InputError(f"separation by Demucs needs the package demucs, which cannot be imported ({error}); install it, or take {instead}") from None
    try:
        return get_model(model)
    except Exception as error:
        raise InputError(f"Demucs' {model} cannot be fetched ({_first_line(error)}); fetch it where there is a network, or take {instead}") from None


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
