#!/usr/bin/env python3
"""The authors' checkpoint as two folders of ours: a recogniser, which stage 7 evaluates, and its mask generator."""

import logging
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from salience import program
from salience.corpora.speech_commands import WORDS
from salience.errors import InputError
from salience.models.commands import build_recogniser, save_recogniser
from salience.models.mask_generator import MaskGenerator, save_generator
from salience.steps import Step

logger = logging.getLogger(Path(__file__).name)

GENERATOR, RECOGNISER = "gen.", "classifier."
"""How the names of the two networks' weights begin."""


def convert_published(checkpoint: Path, recogniser: Path, generator: Path) -> None:
    """Write both networks in our format, and log what the checkpoint says of its training.

    The file is a dictionary whose `model_state_dict` has both networks.  It is
    read without running any code that it may hold.  The words are the 35 of
    the corpus in alphabetical order.

    Args:
        checkpoint: File of the published checkpoint (best_clf_frozen.pt).
        recogniser: Folder for the recogniser.
        generator: Folder for the mask generator.
    """
    outputs = [folder / name for folder in (recogniser, generator) for name in ("model.safetensors", "config.json")]
    step = Step(recogniser / "step.json", {}, inputs=[checkpoint], outputs=outputs)
    if step.is_done():
        return
    content = read_checkpoint(checkpoint)
    weights = {name: value for name, value in content["model_state_dict"].items() if isinstance(value, Tensor)}
    classifier, masks = build_recogniser("paper", WORDS), MaskGenerator()
    names = {GENERATOR + name: name for name in masks.state_dict()}
    fill(masks, weights, names, checkpoint)
    convolutions = {RECOGNISER + name: name for name in classifier.state_dict() if name.startswith("convs.")}
    dense = dense_names(weights, classifier, checkpoint)
    fill(classifier, weights, convolutions | dense, checkpoint)
    ignored = [name for name in content["model_state_dict"] if name not in {*names, *convolutions, *dense}]
    with step:
        save_recogniser(classifier, recogniser)
        save_generator(masks, generator)
    logger.info("%s: dense layers are %s", checkpoint, " ".join(name for name in dense if name.endswith("weight")))
    noted = records(content)
    ignored += [name for name in content if name != "model_state_dict" and name not in noted]
    logger.info("not used: %s", " ".join(map(str, ignored)) or "nothing")
    for name, value in noted.items():
        logger.info("recorded: %s %s", name, value)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The dictionary of a checkpoint; code in it is not run but an InputError."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; name the authors' checkpoint by --checkpoint") from None
    except pickle.UnpicklingError as error:
        if named := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise InputError(
                f"{path} holds more than weights ({named[1]}), which could run any code and is not loaded; get the file"
                " from its authors again"
            ) from None
        raise InputError(f"{path} is no PyTorch checkpoint; get the file from its authors again") from None
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, IndexError, AttributeError, TypeError):
        raise InputError(f"{path} is no PyTorch checkpoint; get the file from its authors again") from None
    if not isinstance(content, dict) or not isinstance(content.get("model_state_dict"), Mapping):
        raise InputError(
            f"{path} has no dictionary model_state_dict; give the checkpoint of the mask generator's training"
        )
    return content


def fill(model: nn.Module, weights: Mapping[str, Tensor], names: Mapping[str, str], path: Path) -> None:
    """Copy weights into a model; `names` maps theirs to ours."""
    own = model.state_dict()
    for theirs, ours in names.items():
        if theirs not in weights:
            first = " ".join(name for name in weights if name.startswith(theirs.split(".")[0] + "."))
            raise InputError(
                f"{path} has no {theirs} in model_state_dict, where these are: {first or ' '.join(weights) or 'none'};"
                " give the authors' checkpoint"
            )
        if weights[theirs].shape != own[ours].shape:
            raise InputError(
                f"{path}: {theirs} has the shape {shape(weights[theirs])}, not {shape(own[ours])}; give the authors'"
                " checkpoint"
            )
        own[ours] = weights[theirs]
    model.load_state_dict(own)


def dense_names(weights: Mapping[str, Tensor], model: nn.Module, path: Path) -> dict[str, str]:
    """Their names of the dense layers to ours: we do not know theirs, but their order and shapes."""
    theirs = [
        name.removesuffix(".weight")
        for name, value in weights.items()
        if name.startswith(RECOGNISER) and name.endswith(".weight") and value.dim() == 2
    ]
    own = model.state_dict()
    ours = [name.removesuffix(".weight") for name in own if name.startswith("dense.") and name.endswith(".weight")]
    found, expected = (
        [shape(weights[f"{name}.weight"]) for name in theirs],
        [shape(own[f"{name}.weight"]) for name in ours],
    )
    if found != expected:
        raise InputError(
            f"{path} has dense layers of {', '.join(found) or 'no shape'}, not {', '.join(expected)}; give the authors'"
            " checkpoint"
        )
    return {f"{a}.{part}": f"{b}.{part}" for a, b in zip(theirs, ours, strict=True) for part in ("weight", "bias")}


def shape(tensor: Tensor) -> str:
    """As in 257x257."""
    return "x".join(map(str, tensor.shape))


def records(content: Mapping[str, Any]) -> dict[str, object]:
    """What a checkpoint says beside its weights: numbers and words, and the step of its optimiser."""
    found: dict[str, object] = {k: value for k, value in content.items() if isinstance(value, (int, float, str))}
    for name, value in content.items():
        if isinstance(value, Mapping) and isinstance(value.get("state"), Mapping):
            steps = {
                int(state["step"])
                for state in value["state"].values()
                if isinstance(state, Mapping) and "step" in state
            }
            if steps:
                found[f"{name} step"] = max(steps)
    return found


if __name__ == "__main__":
    program.main(convert_published)
