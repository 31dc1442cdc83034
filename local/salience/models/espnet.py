"""ESPnet's trained models: their configurations, read with care, and what ESPnet needs before it is imported."""

import logging
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
import typeguard

from salience.errors import InputError
from salience.files import read_yaml
from salience.models.checkpoints import read_pickle


def _unchecked(target: Any = None, **_: Any) -> Any:
    return _unchecked if target is None else target


# ESPnet has the types of its calls checked at run time, for which typeguard compiles hundreds of functions again: three
# of the five seconds that an import of ESPnet takes.  Everything that imports it imports this first.
typeguard.typechecked = _unchecked

AGAIN = "train that model again"


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of a finished experiment."""
    for name in ("config.yaml", "model.pth"):
        if not (folder / name).exists():
            raise InputError(f"{folder / name} does not exist; train that model first")
    # ESPnet itself would run what code is in it.
    read_pickle(folder / "model.pth", "is no model of ESPnet's, weights alone", AGAIN)
    config = read_yaml(folder / "config.yaml", AGAIN)
    if not isinstance(config, dict):
        raise InputError(f"{folder / 'config.yaml'} holds no settings; {AGAIN}")
    return config


def new_hybrid(path: Path, seed: int) -> tuple[torch.nn.Module, Namespace]:
    """Build ESPnet's model with random weights, and its whole configuration.

    Args:
        path: YAML file of ESPnet's own settings, among them `token_list` and `input_size`.
        seed: Random seed of the weights.
    """
    again = "give settings as in egs/fsdd/conf/hybrid.yaml"
    settings = read_yaml(path, again)
    for name in ("token_list", "token_type", "input_size", "encoder"):
        if not isinstance(settings, dict) or not settings.get(name):
            raise InputError(f"{path} has no {name}; {again}")
    sizes = settings.get("encoder_conf")
    if settings["encoder"] == "rnn" and isinstance(sizes, dict) and isinstance(factors := sizes.get("subsample"), list):
        last = sizes.get("num_layers", 4) - 1
        if factors[last:] and factors[last] not in (1, 2):
            # Of n frames ceil(n / 4) come out and (n + 1) // 4 are counted; ESPnet stops where they differ.
            raise InputError(
                f"{path}: ESPnet miscounts frames where its last layer keeps one of {factors[last]}; take 2"
            )
    prepare_espnet()
    from espnet2.tasks.asr import ASRTask

    defaults = vars(ASRTask.get_parser().parse_args([]))
    for name in settings:
        if name not in defaults:
            raise InputError(f"{path}: ESPnet has no setting {name!r} of a model; correct it")
    arguments = Namespace(**defaults | settings)
    torch.manual_seed(seed)
    try:
        return ASRTask.build_model(arguments), arguments
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: ESPnet cannot build this model: {' '.join(str(error).split())}; {again}") from None


def prepare_espnet() -> None:
    """Register what our models are made of, and silence what says nothing."""
    from salience.models import bubble_augment

    bubble_augment.register()
    logging.getLogger().addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether to show a record of the root logger: not ESPnet's remark on tracing, which comes with every batch."""
    return record.module != "nets_utils"
