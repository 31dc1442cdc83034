"""Keyword networks of either kind: made by name, written to a folder, read again."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import safetensors.torch

from salience.errors import InputError
from salience.files import foreign, read_json
from salience.models.bc_resnet import SIZES, BCResNet, BCResNetConfig
from salience.models.checkpoints import build, check_depth, save
from salience.models.keyword_network import KeywordNetwork, KeywordNetworkConfig

Recogniser = KeywordNetwork | BCResNet

KINDS: dict[str, tuple[type[Recogniser], type]] = {
    "paper": (KeywordNetwork, KeywordNetworkConfig),
    "bc-resnet": (BCResNet, BCResNetConfig),
}
"""What config.json calls a model: its class and that of its configuration."""


def build_recogniser(name: str, words: Sequence[str]) -> Recogniser:
    """A new recogniser of these words: `paper`, or `bc-resnet-1`, -1.5, -2, -3, -6, -8."""
    if name == "paper":
        return KeywordNetwork(KeywordNetworkConfig(tuple(words)))
    widths = {f"bc-resnet-{tau:g}": tau for tau in SIZES}
    if name not in widths:
        raise InputError(
            f"{name} is neither the folder of a keyword network nor the name of a new one; there are paper,"
            f" {', '.join(widths)}"
        )
    return BCResNet(BCResNetConfig(tuple(words), widths[name]))


def save_recogniser(model: Recogniser, folder: Path) -> None:
    """Write folder/model.safetensors and folder/config.json."""
    kind = next(kind for kind, (cls, _) in KINDS.items() if isinstance(model, cls))
    save(model, folder, {"kind": kind, **asdict(model.config)})


def load_recogniser(folder: Path, device: str = "cpu") -> Recogniser:
    """Read what `save_recogniser` wrote; a configuration that names no kind is of the paper's."""
    if not folder.is_dir():
        raise InputError(f"{folder} does not exist; train that keyword network first, or name another one")
    config = read_json(folder / "config.json")
    with foreign(folder, "holds no keyword network that can be read", "train it again"):
        cls, config_cls = KINDS[config.pop("kind", "paper")]
        check_depth(config)
        settings = config_cls(words=tuple(config.pop("words")), **config)
        model = build(lambda: cls(settings), safetensors.torch.load_file(folder / "model.safetensors"))
    return model.to(device).eval()
