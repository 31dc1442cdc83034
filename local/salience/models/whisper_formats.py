"""Whisper checkpoints in the formats people have: openai-whisper's files, Hugging Face's and CTranslate2's folders.

A format is a line of FORMATS: how it is recognised by what lies there, and how it is read.  Reading a checkpoint looks
at its sizes only; its weights come one at a time, as float32 or whatever they are stored in, by openai-whisper's names.
"""

import base64
import gzip
import json
import math
import os
import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import whisper
from safetensors.torch import load_file
from torch import Tensor, nn
from whisper.model import AudioEncoder, ModelDimensions, TextDecoder

from salience.errors import InputError
from salience.files import foreign, read_json
from salience.models.checkpoints import check_depth, read_pickle

FAULT = "is no Whisper checkpoint that this version can load"
REMEDY = "give a file of openai-whisper, or a folder of Hugging Face or CTranslate2"

MINI = ModelDimensions(
    n_mels=80, n_audio_ctx=1500, n_audio_state=128, n_audio_head=2, n_audio_layer=2,
    n_vocab=51865, n_text_ctx=448, n_text_state=128, n_text_head=2, n_text_layer=2,
)  # fmt: skip
"""A model that trains in minutes on two cores, with Whisper's full multilingual vocabulary."""


@dataclass(frozen=True)
class Checkpoint:
    """A Whisper model that is not built yet.

    Args:
        format: Name of its format.
        dims: Its sizes.
        weights: Its weights by openai-whisper's names.
        alignment_heads: (layer, head) of the decoder's heads that follow the audio, for word time stamps; None if it
            does not say.
        short_context: Whether it was fine-tuned on inputs shorter than 30 s.  Others need padding.
    """

    format: str
    dims: ModelDimensions
    weights: Mapping[str, Any]
    alignment_heads: Sequence[Sequence[int]] | None = None
    short_context: bool = False


class Format(NamedTuple):
    """How a format is recognised, and what reads it."""

    recognises: Callable[[Path], bool]
    read: Callable[[Path], Checkpoint]


def find_checkpoint(name_or_path: str) -> Path:
    """The file or folder of a model; one of openai-whisper's names is fetched when it is first used."""
    if name_or_path in whisper.available_models():
        # Where whisper.load_model keeps them too.
        cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "whisper"
        try:
            return Path(whisper._download(whisper._MODELS[name_or_path], str(cache), False))
        except (OSError, RuntimeError) as error:
            raise InputError(
                f"the Whisper model {name_or_path} cannot be fetched ({error}); fetch it where there is a network and"
                f" give the file by --model path/to/{name_or_path}.pt"
            ) from None
    if not Path(name_or_path).exists():
        names = ", ".join(whisper.available_models())
        raise InputError(f"{name_or_path} is neither a file nor a folder nor one of Whisper's models ({names})")
    return Path(name_or_path)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read sizes and places of weights; whatever is no checkpoint is an InputError."""
    for format in FORMATS.values():
        if format.recognises(path):
            with foreign(path, FAULT, REMEDY):
                checkpoint = format.read(path)
                check_depth(asdict(checkpoint.dims))
                return checkpoint
    raise InputError(f"{path} holds none of {', '.join((*HUGGING_FACE, CTRANSLATE2))}; {REMEDY}")


def sketch(dims: ModelDimensions) -> nn.Module:
    """All weights of Whisper(dims), without its table of attention heads, which torch cannot make without memory."""
    audio = (dims.n_mels, dims.n_audio_ctx, dims.n_audio_state, dims.n_audio_head, dims.n_audio_layer)
    text = (dims.n_vocab, dims.n_text_ctx, dims.n_text_state, dims.n_text_head, dims.n_text_layer)
    return nn.ModuleDict({"encoder": AudioEncoder(*audio), "decoder": TextDecoder(*text)})


class _Weights(Mapping[str, Tensor]):
    """Weights of Whisper(dims), each read when it is asked for."""

    def __init__(self, dims: ModelDimensions, read: Callable[[str], Tensor]) -> None:
        check_depth(asdict(dims))
        with torch.device("meta"):
            self._names = list(sketch(dims).state_dict())
        self._read = read

    def __getitem__(self, name: str) -> Tensor:
        return self._read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _json(path: Path) -> Any:
    with foreign(path, "is not JSON", REMEDY, REMEDY):
        return json.loads(path.read_text(encoding="utf-8"))


# openai-whisper


def _read_openai(path: Path) -> Checkpoint:
    saved = read_pickle(path, FAULT, REMEDY)
    dims = ModelDimensions(**saved["dims"])
    short = saved.get("short_context", dims == MINI or _tuned_short(path))
    heads = saved.get("alignment_heads")
    if heads is None and (published := whisper._ALIGNMENT_HEADS.get(path.stem)):
        mask = np.frombuffer(gzip.decompress(base64.b85decode(published)), dtype=bool)
        if mask.size == dims.n_text_layer * dims.n_text_head:
            heads = np.argwhere(mask.reshape(dims.n_text_layer, dims.n_text_head)).tolist()
    return Checkpoint("openai-whisper", dims, saved["model_state_dict"], heads, bool(short))


def _tuned_short(path: Path) -> bool:
    """Whether a fine-tuning of ours made this file with short context, when its checkpoints did not say so yet."""
    try:
        return read_json(path.with_name("step.json"))["config"]["full_context"] is False
    except (InputError, KeyError, TypeError):
        return False


# Hugging Face

HUGGING_FACE = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""What may hold the weights in a folder of Hugging Face, the best first; an index names the files that do."""

RENAMED = (
    (r"\bblocks\b", "layers"),
    (r"\bcross_attn_ln\b", "encoder_attn_layer_norm"),
    (r"\battn_ln\b", "self_attn_layer_norm"),
    (r"\bmlp_ln\b", "final_layer_norm"),
    (r"\bcross_attn\b", "encoder_attn"),
    (r"\battn\b", "self_attn"),
    (r"\bquery\b", "q_proj"),
    (r"\bkey\b", "k_proj"),
    (r"\bvalue\b", "v_proj"),
    (r"\bout\b", "out_proj"),
    (r"\bmlp\.0\b", "fc1"),
    (r"\bmlp\.2\b", "fc2"),
    (r"\btoken_embedding\b", "embed_tokens"),
    (r"\bpositional_embedding\b", "embed_positions.weight"),
    (r"\bln_post\b", "layer_norm"),
    (r"\bln\b", "layer_norm"),
)
"""openai-whisper's names of weights and transformers', as patterns that are applied in order."""


def huggingface_name(name: str) -> str:
    """The name in transformers of a weight of openai-whisper."""
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    return f"model.{name}"


def _read_huggingface(folder: Path) -> Checkpoint:
    config = _json(folder / "config.json")
    if config.get("model_type") != "whisper":
        raise ValueError(f"config.json has the model type {config.get('model_type')!r}, not 'whisper'")
    width, context = config["d_model"], config["max_source_positions"]
    dims = ModelDimensions(
        n_mels=config["num_mel_bins"], n_vocab=config["vocab_size"], n_audio_ctx=context, n_audio_state=width,
        n_audio_head=config["encoder_attention_heads"], n_audio_layer=config["encoder_layers"],
        n_text_ctx=config["max_target_positions"], n_text_state=width, n_text_head=config["decoder_attention_heads"],
        n_text_layer=config["decoder_layers"],
    )  # fmt: skip
    if config.get("activation_function", "gelu") != "gelu" or config.get("scale_embedding", False):
        raise ValueError("its activation or the scale of its embeddings is not Whisper's")
    stored = {name.removeprefix("model."): tensor for name, tensor in _huggingface_weights(folder).items()}
    projection = stored.pop("proj_out.weight", None)
    if projection is not None and not torch.equal(projection, stored["decoder.embed_tokens.weight"]):
        raise ValueError("its output projection is not its token embedding")
    weights = _Weights(dims, lambda name: stored[huggingface_name(name).removeprefix("model.")])
    if unknown := stored.keys() - {huggingface_name(name).removeprefix("model.") for name in weights}:
        raise ValueError(f"Whisper has no weight {min(unknown)}")
    generation = folder / "generation_config.json"
    heads = _json(generation).get("alignment_heads") if generation.exists() else None
    short = config.get("short_context", context < 1500)
    return Checkpoint("Hugging Face", dims, weights, heads, bool(short))


def _huggingface_weights(folder: Path) -> dict[str, Tensor]:
    first = next(folder / name for name in HUGGING_FACE if (folder / name).is_file())
    files = [first]
    if first.suffix == ".json":
        names = sorted(set(_json(first)["weight_map"].values()))
        if any(Path(name).name != name for name in names):
            raise ValueError(f"{first.name} names files outside the folder")
        files = [folder / name for name in names]
    stored: dict[str, Tensor] = {}
    for file in files:
        if file.suffix == ".safetensors":
            with foreign(file, FAULT, REMEDY, REMEDY):
                stored |= load_file(file)
        else:
            stored |= read_pickle(file, FAULT, REMEDY)
    return stored


# CTranslate2

CTRANSLATE2 = "model.bin"
_BINARY_VERSION = 6
_TYPES = ("float32", "int8", "int16", "int32", "float16", "bfloat16")
"""By CTranslate2's numbers."""

_PLACES = {
    "conv1": ("conv1", 0, 1), "conv2": ("conv2", 0, 1), "ln_post": ("layer_norm", 0, 1), "ln": ("layer_norm", 0, 1),
    "token_embedding": ("embeddings", 0, 1), "positional_embedding": ("position_encodings", 0, 1),
    "attn_ln": ("self_attention/layer_norm", 0, 1), "attn.query": ("self_attention/linear_0", 0, 3),
    "attn.key": ("self_attention/linear_0", 1, 3), "attn.value": ("self_attention/linear_0", 2, 3),
    "attn.out": ("self_attention/linear_1", 0, 1), "cross_attn_ln": ("attention/layer_norm", 0, 1),
    "cross_attn.query": ("attention/linear_0", 0, 1), "cross_attn.key": ("attention/linear_1", 0, 2),
    "cross_attn.value": ("attention/linear_1", 1, 2), "cross_attn.out": ("attention/linear_2", 0, 1),
    "mlp_ln": ("ffn/layer_norm", 0, 1), "mlp.0": ("ffn/linear_0", 0, 1), "mlp.2": ("ffn/linear_1", 0, 1),
}  # fmt: skip
"""openai-whisper's name of a layer: CTranslate2's, and which part of how many, as queries, keys and values are one.

Keys have a bias there, of zeros, which no softmax would see."""

_NAME = re.compile(r"(encoder|decoder)\.(?:blocks\.(\d+)\.)?(.+?)(?:\.(weight|bias))?")


class _Variable(NamedTuple):
    """Where a variable lies in a file."""

    type: str
    shape: tuple[int, ...]
    start: int
    bytes: int


def _read_ctranslate2(folder: Path) -> Checkpoint:
    # Mapped into memory: a large model's weights are converted one at a time.
    data = np.memmap(folder / CTRANSLATE2, dtype=np.uint8, mode="r")
    variables = _variables(data)
    shapes = {name: variable.shape for name, variable in variables.items()}
    width, bins, _ = shapes["encoder/conv1/weight"]
    layers = {
        side: len(
            {name.split("/")[1] for name in variables if name.startswith(f"{side}/layer_") and name.count("/") > 2}
        )
        for side in ("encoder", "decoder")
    }
    dims = ModelDimensions(
        n_mels=bins, n_vocab=shapes["decoder/embeddings/weight"][0], n_audio_state=width, n_text_state=width,
        n_audio_ctx=shapes["encoder/position_encodings/encodings"][0], n_audio_layer=layers["encoder"],
        n_audio_head=int(_values(data, variables["encoder/num_heads"]).item()),
        n_text_ctx=shapes["decoder/position_encodings/encodings"][0], n_text_layer=layers["decoder"],
        n_text_head=int(_values(data, variables["decoder/num_heads"]).item()),
    )  # fmt: skip

    def weight(name: str) -> Tensor:
        side, block, layer, kind = _NAME.fullmatch(name).groups()  # type: ignore[union-attr]
        place, part, parts = _PLACES[layer]
        names = {"layer_norm": {"weight": "gamma", "bias": "beta"}, "position_encodings": {None: "encodings"}}
        kind = names.get(place.rpartition("/")[2], {}).get(kind, kind)
        return _part(f"{side}/{'' if block is None else f'layer_{block}/'}{place}/{kind}", part, parts)

    def _part(place: str, part: int, parts: int) -> Tensor:
        variable = variables[place]
        values = _values(data, variable)
        if variable.type in ("int8", "int16"):
            scale = _values(data, variables[f"{place}_scale"]).astype(np.float32)
            values = values / scale.reshape(-1, *[1] * (values.ndim - 1))
        rows = len(values) // parts
        return torch.from_numpy(np.array(values[part * rows : (part + 1) * rows], dtype=np.float32))

    config = folder / "config.json"
    heads = _json(config).get("alignment_heads") if config.exists() else None
    return Checkpoint("CTranslate2", dims, _Weights(dims, weight), heads, dims.n_audio_ctx < 1500)


def _variables(data: np.ndarray) -> dict[str, _Variable]:
    """All variables of a file by name, aliases included.

    It has a version, the name of the model's kind and its revision; a number of variables, each with its name, rank,
    sizes, type, number of bytes and values; and a number of aliases, each with the name of a variable.  Numbers are
    little-endian: two bytes for a name's length, which ends with a zero, one for rank and type, else four.
    """
    place = 0

    def numbers(form: str) -> tuple[Any, ...]:
        nonlocal place
        values = struct.unpack_from(f"<{form}", data, place)
        place += struct.calcsize(f"<{form}")
        return values

    def name() -> str:
        (length,) = numbers("H")
        (text,) = numbers(f"{length}s")
        return text.rstrip(b"\0").decode()

    (version,) = numbers("I")
    if version != _BINARY_VERSION:
        raise ValueError(f"it is of version {version} of CTranslate2's files, not {_BINARY_VERSION}: convert it again")
    if (kind := name()) != "WhisperSpec":
        raise ValueError(f"it is a {kind}, not a WhisperSpec")
    _revision, count = numbers("II")
    variables = {}
    for _ in range(count):
        key = name()
        (rank,) = numbers("B")
        shape = numbers(f"{rank}I")
        type, size = numbers("BI")
        variables[key] = _Variable(_TYPES[type], shape, place, size)
        width = {"int8": 1, "int16": 2, "float16": 2, "bfloat16": 2}.get(_TYPES[type], 4)
        if size != width * math.prod(shape) or place + size > len(data):
            raise ValueError(f"{key} has fewer values than it says")
        place += size
    for _ in range(numbers("I")[0]):
        alias, original = name(), name()
        # What stands for a weight stands for its scale as well.
        for suffix in ("", "_scale"):
            if original + suffix in variables:
                variables[alias + suffix] = variables[original + suffix]
    return variables


def _values(data: np.ndarray, variable: _Variable) -> np.ndarray:
    stored = data[variable.start : variable.start + variable.bytes]
    if variable.type == "bfloat16":
        # The upper half of a float32.
        return (stored.view(np.uint16).astype(np.uint32) << 16).view(np.float32).reshape(variable.shape)
    return stored.view(variable.type).reshape(variable.shape)


FORMATS = {
    "openai-whisper": Format(lambda path: path.is_file(), _read_openai),
    "Hugging Face": Format(lambda path: any((path / name).is_file() for name in HUGGING_FACE), _read_huggingface),
    "CTranslate2": Format(lambda path: (path / CTRANSLATE2).is_file(), _read_ctranslate2),
}
