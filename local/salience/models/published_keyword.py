"""ImportantAug's published checkpoint, which holds a keyword recogniser and its mask generator, as models of ours."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from salience.errors import InputError
from salience.models.checkpoints import read_pickle
from salience.models.keywords import Recogniser, build_recogniser
from salience.models.mask_generator import MaskGenerator

GENERATOR, RECOGNISER = "gen.", "classifier."
"""How the names of the two networks' weights begin."""
REMEDY = "give the authors' checkpoint"


def read_published(path: Path, words: Sequence[str]) -> tuple[Recogniser, MaskGenerator, dict[str, Any]]:
    """Read a checkpoint without running any code that it may hold.

    Returns the recogniser of these words, the generator, and notes: which
    dense layers were taken, what is not used, and the numbers and words that
    stand beside the weights.
    """
    content = read_pickle(path, "is no PyTorch checkpoint", "get the file from its authors again")
    if not isinstance(content, dict) or not isinstance(content.get("model_state_dict"), Mapping):
        raise InputError(
            f"{path} has no dictionary model_state_dict; give the checkpoint of the mask generator's training"
        )
    weights = {name: value for name, value in content["model_state_dict"].items() if isinstance(value, Tensor)}
    recogniser, generator = build_recogniser("paper", words), MaskGenerator()
    dense = _dense_names(weights, recogniser, path)
    names = {GENERATOR + name: name for name in generator.state_dict()}
    _fill(generator, weights, names, path)
    own = {RECOGNISER + name: name for name in recogniser.state_dict() if name.startswith("convs.")} | dense
    _fill(recogniser, weights, own, path)
    noted = {name: value for name, value in content.items() if isinstance(value, (int, float, str))}
    rest = [name for name in content["model_state_dict"] if name not in {*names, *own}]
    rest += [name for name in content if name != "model_state_dict" and name not in noted]
    layers = " ".join(name for name in dense if name.endswith("weight"))
    return recogniser, generator, {"dense layers": layers, "not used": " ".join(map(str, rest)), **noted}


def _fill(model: nn.Module, weights: Mapping[str, Tensor], names: Mapping[str, str], path: Path) -> None:
    """Copy weights into a model; `names` maps theirs to ours."""
    own = model.state_dict()
    for theirs, ours in names.items():
        if theirs not in weights:
            like = [name for name in weights if name.startswith(theirs.split(".")[0] + ".")] or list(weights)
            there = " ".join(like) or "none"
            raise InputError(f"{path} has no {theirs} in model_state_dict, where these are: {there}; {REMEDY}")
        if weights[theirs].shape != own[ours].shape:
            found, wanted = _shape(weights[theirs]), _shape(own[ours])
            raise InputError(f"{path}: {theirs} has the shape {found}, not {wanted}; {REMEDY}")
        own[ours] = weights[theirs]
    model.load_state_dict(own)


def _dense_names(weights: Mapping[str, Tensor], model: nn.Module, path: Path) -> dict[str, str]:
    """Their names of the dense layers to ours: we do not know theirs, but their order and shapes."""
    own = {name: value for name, value in model.state_dict().items() if name.startswith("dense.") and value.dim() == 2}
    theirs = {name: value for name, value in weights.items() if name.startswith(RECOGNISER) and value.dim() == 2}
    found, expected = (", ".join(map(_shape, layers.values())) for layers in (theirs, own))
    if theirs and found != expected:
        raise InputError(f"{path} has dense layers of {found}, not {expected}; {REMEDY}")
    pairs = [(a.removesuffix("weight"), b.removesuffix("weight")) for a, b in zip(theirs, own, strict=False)]
    return {f"{a}{part}": f"{b}{part}" for a, b in pairs for part in ("weight", "bias")}


def _shape(tensor: Tensor) -> str:
    """As in 257x257."""
    return "x".join(map(str, tensor.shape))
