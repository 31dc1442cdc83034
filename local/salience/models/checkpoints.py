"""Weights of a model from an untrusted file: no code in it is run, and no more memory is allocated than its size."""

import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
import torch
from torch import Tensor, nn

from salience.errors import InputError, beside_weights
from salience.files import foreign, publish, temporary_name, write_json

Model = TypeVar("Model", bound=nn.Module)

DEEPEST = 1000
"""No network here has as many layers; one that claims more would be built for hours."""


def read_pickle(path: Path, fault: str, remedy: str, device: str = "cpu") -> Any:
    """What torch.save wrote, if it is plain values and tensors; anything else is not run but an InputError."""
    with foreign(path, fault, remedy, remedy):
        try:
            # Mapped into memory where the format allows, so that sizes are known before weights are read.
            return torch.load(path, map_location=device, weights_only=True, mmap=zipfile.is_zipfile(path))
        except pickle.UnpicklingError as error:
            raise InputError(f"{path} {fault}: it holds {beside_weights(error)}; {remedy}") from None


def save(model: nn.Module, folder: Path, config: Mapping[str, Any]) -> None:
    """Write folder/model.safetensors and folder/config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    temporary = temporary_name(folder / "model.safetensors")
    safetensors.torch.save_file(weights, temporary)
    publish(temporary, folder / "model.safetensors")
    write_json(folder / "config.json", dict(config))


def build(
    make: Callable[[], Model], weights: Mapping[str, Any], sketch: Callable[[], nn.Module] | None = None
) -> Model:
    """The model that `make` builds from a file's own sizes, with the weights of that file.

    It is sketched first, without memory, and only built if the weights are
    really there in those shapes: sizes are easily written, and memory is
    taken by whoever believes them.  Otherwise this is a ValueError.  `sketch`
    makes what has the same weights, for a model that cannot be made without
    memory.
    """
    check_weights(weights, sketch or make)
    model = make()
    model.load_state_dict(dict(weights))
    return model


def check_weights(weights: Mapping[str, Any], sketch: Callable[[], nn.Module]) -> None:
    """A ValueError unless all weights of what `sketch` makes without memory are there, in its shapes."""
    with torch.device("meta"):
        expected = sketch().state_dict()
    for name, value in expected.items():
        found = weights.get(name)
        if not isinstance(found, Tensor) or found.shape != value.shape:
            raise ValueError(f"{name} is missing or of another shape")
        if found.untyped_storage().nbytes() < found.numel() * found.element_size():
            raise ValueError(f"{name} has fewer values than it says")


def check_depth(sizes: Mapping[str, Any]) -> None:
    """A ValueError if a number of layers, under whatever name, is none that could be built."""
    for name, value in sizes.items():
        if ("layer" in name or "block" in name) and isinstance(value, (int, float)) and not 0 <= value <= DEEPEST:
            raise ValueError(f"{name} is {value}")
