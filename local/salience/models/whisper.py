"""openai-whisper's models, trained and decoded on utterances of any length up to 30 s."""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from whisper.model import AudioEncoder, ModelDimensions, Whisper
from whisper.tokenizer import Tokenizer, get_tokenizer

from salience.errors import InputError, stale
from salience.features.archives import Archive
from salience.features.logmel import FRAMES_30S, pad_frames
from salience.files import foreign, whole_file
from salience.models.checkpoints import build, check_weights
from salience.models.recognisers import Example, TooLong
from salience.models.whisper_formats import FAULT, MINI, REMEDY, Checkpoint, find_checkpoint, read_checkpoint, sketch

__all__ = ["MINI"]

logger = logging.getLogger(__name__)

IGNORED = -100
"""The label of a position that the loss leaves out."""

VOCABULARIES = {51864: (False, 99), 51865: (True, 99), 51866: (True, 100)}
"""Whether a model of so many tokens is multilingual, and how many languages have a token of theirs."""

TAIL = 50
"""Frames of silence after the longest utterance of a batch, so that an end can be heard."""
STEP = 100
"""Padded lengths are multiples of this many frames."""


def new_model(dimensions: ModelDimensions, seed: int, spread: float = 0.02) -> Whisper:
    """A model with random weights; `spread` is the standard deviation of its tokens' embedding."""
    torch.manual_seed(seed)
    model = Whisper(dimensions)
    # openai-whisper leaves this one as uninitialised memory, for a checkpoint to fill.
    nn.init.normal_(model.decoder.positional_embedding, std=0.01)
    nn.init.normal_(model.decoder.token_embedding.weight, std=spread)
    return model


def load_model(name_or_path: str, device: str = "cpu") -> Whisper:
    """A Whisper model by its published name, or from a file or folder of any of whisper_formats.FORMATS.

    Its attribute `short_context` says whether it was fine-tuned on inputs shorter than 30 s.
    """
    path = find_checkpoint(name_or_path)
    checkpoint = read_checkpoint(path)
    with foreign(path, FAULT, REMEDY):
        model = build(lambda: Whisper(checkpoint.dims), checkpoint.weights, lambda: sketch(checkpoint.dims))
        if checkpoint.alignment_heads is not None:
            heads = torch.zeros(checkpoint.dims.n_text_layer, checkpoint.dims.n_text_head, dtype=torch.bool)
            for layer, head in checkpoint.alignment_heads:
                heads[layer, head] = True
            model.register_buffer("alignment_heads", heads.to_sparse(), persistent=False)
    model.short_context = checkpoint.short_context
    return model.to(device)


def open_model(name_or_path: str) -> Checkpoint:
    """What `load_model` would load, checked without its memory: that it is there, whole, and of Whisper's shape."""
    path = find_checkpoint(name_or_path)
    checkpoint = read_checkpoint(path)
    with foreign(path, FAULT, REMEDY):
        check_weights(checkpoint.weights, lambda: sketch(checkpoint.dims))
    return checkpoint


def save_model(model: Whisper, path: Path) -> None:
    """Write a checkpoint that `whisper.load_model` reads, and `load_model` with what it does not keep."""
    saved = {
        "dims": asdict(model.dims),
        "model_state_dict": {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()},
        "alignment_heads": alignment_heads(model),
        "short_context": getattr(model, "short_context", False),
    }
    with whole_file(path, "wb") as handle:
        torch.save(saved, handle)


def alignment_heads(model: Whisper) -> list[list[int]]:
    """(layer, head) of the decoder's heads that follow the audio; of a model that never had any, the upper half."""
    return model.alignment_heads.cpu().to_dense().nonzero().tolist()


def tokenizer_of(model: Whisper | Checkpoint, language: str) -> Tokenizer:
    """The tokenizer for transcription in `language` (a code such as `en`), if the model knows that language."""
    vocabulary = model.dims.n_vocab
    if vocabulary not in VOCABULARIES:
        raise InputError(
            f"the model has {vocabulary} tokens, which is none of Whisper's vocabularies"
            f" ({', '.join(map(str, VOCABULARIES))})"
        )
    multilingual, languages = VOCABULARIES[vocabulary]
    try:
        tokenizer = get_tokenizer(multilingual, num_languages=languages, language=language, task="transcribe")
        # The tokenizer of an English-only model takes any.
        known = multilingual or get_tokenizer(True, language=language, task="transcribe").language == "en"
    except ValueError:
        raise InputError(
            f"this Whisper knows no language {language!r}; give --language a code such as en, fa or ca"
        ) from None
    if not known:
        raise InputError(
            f"this Whisper knows English only, not {language!r}; give --model a multilingual one, without .en in its"
            " name"
        )
    return tokenizer


def check_context(model: Whisper | Checkpoint, full_context: bool) -> None:
    """Warn of a model that is decoded without the padding it was trained with."""
    if not (full_context or getattr(model, "short_context", False)):
        logger.warning(
            "WARNING: decoding without padding to 30 s a model that was not fine-tuned on shorter inputs: it makes up"
            " words (published tiny.en: 721 % WER, 39 % padded); set full_context: true, in a recipe in"
            " conf/decode.yaml"
        )


def check_bins(model: Whisper, features: Archive) -> None:
    """An InputError unless these are the features that the model reads."""
    if features.columns not in (None, model.dims.n_mels):
        fault = f"has features of {features.columns} mel bins, and this model reads {model.dims.n_mels}"
        raise stale(features.path, fault)


def target_tokens(tokenizer: Tokenizer, text: str, limit: int) -> list[int]:
    """Start, language, task and no-timestamps tokens, the text, the end.

    The decoder reads all of them but the end: at most `limit`, or this is a
    TooLong.  A special token in the text is an InputError.
    """
    special = next((token for token in tokenizer.special_tokens if token in text), None) if "<|" in text else None
    if special is not None:
        raise InputError(f"the text {text[:40]!r} has Whisper's special token {special}; remove it from the text")
    tokens = [*tokenizer.sot_sequence_including_notimestamps, *tokenizer.encode(" " + text.strip()), tokenizer.eot]
    if len(tokens) - 1 > limit:
        raise TooLong(
            f"the text {text[:40]!r}... has {len(tokens) - 1} tokens with the prompt, over the {limit} that the model's"
            " decoder reads"
        )
    return tokens


def encode(model: Whisper, features: Tensor, checkpointed: bool = False) -> Tensor:
    """Encoder states for log-mel features of any length.

    features: (batch, frames, bins), frames even and at most 3000.  The
    published encoder wants exactly 3000; fewer get the first positions.
    Returns (batch, frames / 2, state).
    """
    return model.encoder.ln_post(encoder_states(model.encoder, features, checkpointed))


def encoder_states(encoder: AudioEncoder, features: Tensor, checkpointed: bool = False) -> Tensor:
    """The same before the last layer norm: the output of the last block."""
    x = nn.functional.gelu(encoder.conv1(features.transpose(1, 2)))
    x = nn.functional.gelu(encoder.conv2(x)).transpose(1, 2)
    if x.shape[1] > encoder.positional_embedding.shape[0]:
        raise too_long(features.shape[1], 2 * encoder.positional_embedding.shape[0])
    x = (x + encoder.positional_embedding[: x.shape[1]]).to(x.dtype)
    for block in encoder.blocks:
        x = checkpoint(block, x, use_reentrant=False) if checkpointed else block(x)
    return x


def too_long(frames: int, most: int) -> InputError:
    """That an utterance does not fit the encoder."""
    return InputError(
        f"an utterance of {frames} frames is longer than the model's {most}; leave out utterances over {most // 100} s"
        " in stage 1"
    )


def padded_frames(frames: int, full_context: bool, most: int = FRAMES_30S) -> int:
    """Frames an utterance is padded to; depends on nothing but its own length and the `most` that the model hears."""
    if frames > most:
        raise too_long(frames, most)
    return most if full_context else min(-(-(frames + TAIL) // STEP) * STEP, most)


def collate(examples: Sequence[Example], end: int, full_context: bool, most: int = FRAMES_30S) -> dict[str, Tensor]:
    """One batch: features (batch, frames, bins), decoder input tokens and labels (batch, length).

    `end` is the end-of-text token, which also fills the decoder's input; `most` are the frames that the model hears.
    """
    frames = padded_frames(max(len(e.features) for e in examples), full_context, most)
    features = np.stack([pad_frames(e.features, frames, e.floor) for e in examples])
    tokens, labels = collate_tokens([e.tokens for e in examples], end)
    return {"features": torch.from_numpy(features), "tokens": tokens, "labels": labels}


def collate_tokens(targets: Sequence[Sequence[int]], end: int) -> tuple[Tensor, Tensor]:
    """Decoder input and the labels that follow it, (batch, length) each, filled with `end` and IGNORED."""
    length = max(map(len, targets)) - 1
    tokens = torch.full((len(targets), length), end, dtype=torch.long)
    labels = torch.full((len(targets), length), IGNORED, dtype=torch.long)
    for row, target in enumerate(targets):
        tokens[row, : len(target) - 1] = torch.tensor(target[:-1])
        labels[row, : len(target) - 1] = torch.tensor(target[1:])
    return tokens, labels


class WhisperForTraining(nn.Module):
    """A Whisper model as `transformers.Trainer` wants it: features and labels in, loss out."""

    def __init__(self, model: Whisper) -> None:
        super().__init__()
        self.model = model
        self.checkpointed = False
        # A sparse buffer, for word time stamps only, which several GPUs could not keep in step.
        self._ddp_params_and_buffers_to_ignore = ["model.alignment_heads"]

    def activation_checkpointing_enable(self, **_: object) -> None:
        """Keep only the blocks' inputs in memory and compute them again for the gradient."""
        self.checkpointed = True

    def forward(self, features: Tensor, tokens: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Teacher-forced cross entropy.

        features: (batch, frames, bins); tokens: (batch, length), the decoder's
        input; labels: the same shape, each the token that follows, or IGNORED.
        """
        counted = labels != IGNORED
        loss = nn.functional.cross_entropy(self.logits(features, tokens, counted), labels[counted])
        return {"loss": loss, "count": counted.sum()}

    def logits(self, features: Tensor, tokens: Tensor, counted: Tensor) -> Tensor:
        """Those of the next token at the places that count, (places, tokens), of all rows one after the other."""
        states = encode(self.model, features, self.checkpointed and self.training)
        decoder = self.model.decoder
        x = decoder.token_embedding(tokens) + decoder.positional_embedding[: tokens.shape[1]]
        x = x.to(states.dtype)
        for block in decoder.blocks:
            x = (
                checkpoint(block, x, states, decoder.mask, use_reentrant=False)
                if self.checkpointed and self.training
                else block(x, states, mask=decoder.mask)
            )
        # Only there: the projection to 51,865 tokens is the dearest part of a small model.
        x = decoder.ln(x)[counted]
        return (x @ decoder.token_embedding.weight.to(x.dtype).T).float()
