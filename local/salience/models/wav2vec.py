"""wav2vec 2.0 (Baevski et al. 2020), transformers' model: new or from a checkpoint, with the head that a task needs."""

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from huggingface_hub.utils import logging as fetch_logging
from torch import Tensor, nn
from transformers import (
    PreTrainedModel,
    Wav2Vec2Config,
    Wav2Vec2ForCTC,
    Wav2Vec2ForPreTraining,
    Wav2Vec2ForSequenceClassification,
    Wav2Vec2Model,
)
from transformers.utils import logging as hub_logging

from salience.data.symbols import Symbols
from salience.errors import InputError
from salience.files import publish
from salience.models.checkpoints import check_depth

Kind = TypeVar("Kind", bound=PreTrainedModel)

SIZES: dict[str, dict[str, Any]] = {
    # The paper's, which are transformers' own defaults: 95 million weights.
    "base": {},
    # Learns in minutes on two cores; the same frames of 25 ms every 20 ms.
    "mini": {
        "conv_dim": (32, 32, 48, 48, 64, 64, 64),
        "hidden_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 256,
        "num_conv_pos_embeddings": 32,
        "num_conv_pos_embedding_groups": 8,
        "num_codevectors_per_group": 32,
        "codevector_dim": 64,
        "proj_codevector_dim": 64,
        "classifier_proj_size": 64,
        "hidden_dropout": 0.05,
        "attention_dropout": 0.05,
        "activation_dropout": 0.0,
        "feat_proj_dropout": 0.0,
        "final_dropout": 0.05,
        "layerdrop": 0.0,
    },
}
"""Sizes of new models by name."""

HEADS = {
    Wav2Vec2ForCTC: ("lm_head",),
    Wav2Vec2ForSequenceClassification: ("projector", "classifier"),
    Wav2Vec2ForPreTraining: ("quantizer", "project_hid", "project_q"),
}
"""What each kind of model has beside the encoder."""

FILES = ("config.json", "model.safetensors")


@dataclass(frozen=True)
class Learning:
    """Which weights learn, and how fast.

    Args:
        freeze_features: Leave the convolutions of the feature encoder as they are.
        encoder_rate: Learning rate of the encoder as a multiple of the training's.
        head_rate: Learning rate of the head as a multiple of the training's.
        lora: Rank of low-rank updates of the attention's weights (needs peft), trained instead of the encoder; 0: none.
        lora_alpha: Their scale, over the rank.
    """

    freeze_features: bool = False
    encoder_rate: float = 1.0
    head_rate: float = 1.0
    lora: int = 0
    lora_alpha: float = 16.0

    def rate(self, parameter: str) -> float:
        """The multiple that belongs to a parameter's name."""
        return self.encoder_rate if ".wav2vec2." in f".{parameter}" else self.head_rate


def open_start(start: str, kind: type[Kind], size: str = "base", seed: int = 1, **settings: Any) -> Kind:
    """A model whose encoder is `start` and whose head for CTC or classes is new.

    start: `random`; a folder in transformers' format; or a name on the
    Hugging Face hub, with `@` and a commit or tag for other than its newest
    files.  size: of a random one, in SIZES.  settings: of
    `Wav2Vec2Config`.  A head for pretraining is taken from the checkpoint
    where it has one.
    """
    if start == "random":
        if size not in SIZES:
            raise InputError(f"there is no size {size!r} of wav2vec 2.0; there are {', '.join(SIZES)}")
        config = Wav2Vec2Config(**SIZES[size] | settings)
        torch.manual_seed(seed)
        model = kind(config)
    else:
        config = _config(start)
        for name, value in settings.items():
            setattr(config, name, value)
        model = _load(start, kind, config, seed, heads=True)
    if kind is not Wav2Vec2ForPreTraining:
        torch.manual_seed(seed)
        for name in HEADS[kind]:
            head = getattr(model, name)
            nn.init.normal_(head.weight, std=config.initializer_range)
            nn.init.zeros_(head.bias)
    return model.train()


def open_ctc(start: str, symbols: Symbols, size: str = "base", seed: int = 1) -> Wav2Vec2ForCTC:
    """A start with a new head for these symbols."""
    return open_start(
        start,
        Wav2Vec2ForCTC,
        size,
        seed,
        vocab_size=len(symbols),
        pad_token_id=symbols.blank,
        ctc_zero_infinity=True,
        ctc_loss_reduction="mean",
    )


def open_classifier(
    start: str, labels: Sequence[str], size: str = "base", seed: int = 1
) -> Wav2Vec2ForSequenceClassification:
    """A start with a new head for these labels, which its configuration keeps in their order."""
    names = dict(enumerate(labels))
    return open_start(
        start,
        Wav2Vec2ForSequenceClassification,
        size,
        seed,
        num_labels=len(names),
        id2label=names,
        label2id={label: n for n, label in names.items()},
    )


def files_of(start: str) -> list[Path]:
    """The files behind a start that is a folder: configuration, and weights in either of transformers' formats."""
    folder = Path(start)
    if not folder.is_dir():
        return []
    return [
        folder / "config.json",
        *(sorted(folder.glob("model*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))),
    ]


def check_start(start: str) -> None:
    """Say in one sentence if no model can come from this start; for a name on the hub, fetch only the configuration.

    Args:
        start: `random`, a folder of transformers' format, or a name on the Hugging Face hub.
    """
    if start == "random":
        return
    _config(start)
    if len(files_of(start)) == 1:
        raise InputError(f"{start} holds neither model.safetensors nor pytorch_model.bin; fetch or train it again")


def load_trained(folder: Path, kind: type[Kind], device: str = "cpu") -> Kind:
    """A model that was trained before, head included; a checkpoint without that head is an InputError."""
    return _load(str(folder), kind, _config(str(folder)), seed=0, heads=False).to(device).eval()


def load_ctc(folder: Path, device: str = "cpu") -> tuple[Wav2Vec2ForCTC, Symbols]:
    """A recogniser with its symbols, as `save_model` wrote them."""
    model = load_trained(folder, Wav2Vec2ForCTC, device)
    symbols = Symbols(folder / "tokens.txt")
    if model.config.vocab_size != len(symbols) or model.config.pad_token_id != symbols.blank:
        raise InputError(f"{folder}/tokens.txt has other symbols than the model beside it; train the model again")
    return model, symbols


def labels_of(model: Wav2Vec2ForSequenceClassification) -> tuple[str, ...]:
    """A classifier's labels in the order of its outputs."""
    return tuple(model.config.id2label[number] for number in range(model.config.num_labels))


def numbers_of(labels: Sequence[str], known: Sequence[str], ids: Sequence[str], source: Path) -> list[int]:
    """Labels as a classifier's outputs; one that it lacks is an InputError naming the utterance and the file."""
    for key, label in zip(ids, labels, strict=True):
        if label not in known:
            raise InputError(
                f"{source}: {key} has the label {label!r}, which the classifier lacks ({', '.join(known)});"
                " train it on this label or leave its utterances out"
            )
    return [known.index(label) for label in labels]


def save_model(model: PreTrainedModel, folder: Path, symbols: Symbols | None = None) -> None:
    """Write folder/config.json and model.safetensors in transformers' format, and tokens.txt for a recogniser."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / ".model.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    _quietly(lambda: model.save_pretrained(temporary))
    if symbols is not None:
        symbols.write(folder / "tokens.txt")
    for name in FILES:
        publish(temporary / name, folder / name)
    shutil.rmtree(temporary)


def _config(start: str) -> Wav2Vec2Config:
    if Path(start).is_dir() and not (Path(start) / "config.json").exists():
        raise InputError(f"{start} holds no config.json; give a folder of transformers' format, or train one")
    try:
        name, revision = _published(start)
        config = _quietly(lambda: Wav2Vec2Config.get_config_dict(name, revision=revision)[0])
        if config.get("model_type") != "wav2vec2":
            raise InputError(
                f"{start} is a model of the type {config.get('model_type')!r}; give a checkpoint of wav2vec 2.0"
            )
        if config.get("add_adapter"):
            # Trainings here hear the encoder itself; a head behind the adapter would be decoded with another network.
            raise InputError(
                f"{start} has an adapter behind its encoder (add_adapter in config.json), which nothing here trains;"
                " give a checkpoint without one"
            )
        check_depth(config)
        config = Wav2Vec2Config.from_dict(config)
    except InputError:
        raise
    except Exception as error:
        raise _unreadable(start, error) from None
    # The vector that stands for masked frames exists only if the model may mask; all masks are drawn outside of it.
    config.mask_time_prob = config.mask_time_prob or 0.05
    config.apply_spec_augment, config.mask_feature_prob, config.use_weighted_layer_sum = True, 0.0, False
    return config


def _published(start: str) -> tuple[str, str]:
    """A start's folder or name on the hub, and which revision of the latter."""
    name, _, revision = start.partition("@")
    return (start, "main") if Path(start).is_dir() else (name, revision or "main")


def _load(start: str, kind: type[Kind], config: Wav2Vec2Config, seed: int, heads: bool) -> Kind:
    # Draws what the checkpoint lacks.
    torch.manual_seed(seed)
    name, revision = _published(start)
    try:
        model, found = _quietly(
            lambda: kind.from_pretrained(
                name, revision=revision, config=config, ignore_mismatched_sizes=heads, output_loading_info=True
            )
        )
    except Exception as error:
        raise _unreadable(start, error) from None
    lacking = {
        name if isinstance(name, str) else name[0] for key in ("missing_keys", "mismatched_keys") for name in found[key]
    }
    of_head = sorted(name for name in lacking if name.startswith(HEADS[kind]))
    others = sorted(lacking - set(of_head) - {"wav2vec2.masked_spec_embed"})
    if others:
        raise InputError(
            f"{start} lacks {len(others)} of the encoder's weights, first {others[0]}; give a whole checkpoint of"
            " wav2vec 2.0"
        )
    if of_head and not heads:
        raise InputError(
            f"{start} is a checkpoint without a head for {_TASKS[kind]} ({of_head[0]} is missing); train one from it"
            f" with {_TRAINERS[kind]}"
        )
    return model.float()


_TASKS = {Wav2Vec2ForCTC: "CTC", Wav2Vec2ForSequenceClassification: "classes", Wav2Vec2ForPreTraining: "pretraining"}
_TRAINERS = {
    Wav2Vec2ForCTC: "finetune.py --recogniser wav2vec2",
    Wav2Vec2ForSequenceClassification: "train_wav2vec_classifier.py",
    Wav2Vec2ForPreTraining: "pretrain_wav2vec.py",
}


def _quietly(action: Callable[[], Any]) -> Any:
    """Without the libraries' own words and bars: what is wrong is said once, by us."""
    levels = [(logs, logs.get_verbosity()) for logs in (hub_logging, fetch_logging)]
    bars = hub_logging.is_progress_bar_enabled()
    for logs, _ in levels:
        logs.set_verbosity_error()
    if not sys.stderr.isatty():
        hub_logging.disable_progress_bar()
    try:
        return action()
    finally:
        for logs, level in levels:
            logs.set_verbosity(level)
        if bars:
            hub_logging.enable_progress_bar()


def _unreadable(start: str, error: Exception) -> InputError:
    if Path(start).is_dir():
        return InputError(
            f"{start} holds no checkpoint that can be read ({type(error).__name__}); fetch or train it again"
        )
    return InputError(
        f"{start} is no folder here and cannot be fetched from the Hugging Face hub; fetch the checkpoint where there"
        " is a network and give its folder (config.json with model.safetensors or pytorch_model.bin) instead of the"
        " name, by --start or, in the recipe, in conf/starts.yaml or conf/pretraining.yaml"
    )


def frames_of(config: Wav2Vec2Config, samples: Any) -> Any:
    """Frames that the feature encoder makes of so many samples: a number, or an array or tensor of whole numbers."""
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        samples = (samples - kernel) // stride + 1
    return samples


def real_frames(config: Wav2Vec2Config, attention: Tensor) -> Tensor:
    """True where a frame lies within its utterance, (batch, frames), for a mask of samples (batch, samples)."""
    counts = frames_of(config, attention.sum(1))
    return torch.arange(frames_of(config, attention.shape[1]), device=attention.device) < counts[:, None]


def feature_maps(encoder: Wav2Vec2Model, signals: Tensor) -> Tensor:
    """Output of the last convolution, (batch, channels, frames), for signals (batch, samples)."""
    return encoder.feature_extractor(signals)


def context(encoder: Wav2Vec2Model, maps: Tensor, real: Tensor) -> Tensor:
    """What the transformer makes of the last convolution's output: (batch, frames, hidden)."""
    hidden, _ = encoder.feature_projection(maps.transpose(1, 2))
    return encoder.encoder(hidden, attention_mask=real).last_hidden_state


def class_scores(model: Wav2Vec2ForSequenceClassification, states: Tensor, real: Tensor) -> Tensor:
    """Logits (batch, classes): the head on the mean of the real frames."""
    projected = model.projector(states) * real[..., None]
    return model.classifier(projected.sum(1) / real.sum(1, keepdim=True))


def prepare(model: PreTrainedModel, learning: Learning) -> Callable[[], PreTrainedModel]:
    """Freeze and add what `learning` says, in place; the result gives the finished plain model back."""
    finish: Callable[[], PreTrainedModel] = lambda: model  # noqa: E731
    if learning.lora:
        try:
            import peft
        except ImportError:
            raise InputError(
                "low-rank updates need the package peft, which is not installed; pip install peft, or leave out"
                " --learning.lora"
            ) from None
        heads = [parameter for name in HEADS[type(model)] for parameter in getattr(model, name).parameters()]
        adapted = peft.get_peft_model(
            model,
            peft.LoraConfig(
                r=learning.lora,
                lora_alpha=learning.lora_alpha,
                target_modules=["q_proj", "k_proj", "v_proj", "out_proj"],
            ),
        )
        for parameter in heads:
            parameter.requires_grad = True
        finish = adapted.merge_and_unload
    if learning.freeze_features:
        model.freeze_feature_encoder()
    return finish
