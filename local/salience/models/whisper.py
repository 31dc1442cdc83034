"""openai-whisper's models, trained and decoded on utterances of any length up to 30 s."""

import hashlib
from dataclasses import asdict
from pathlib import Path

import torch
import whisper
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from whisper.model import AudioEncoder, ModelDimensions, TextDecoder, Whisper
from whisper.tokenizer import Tokenizer, get_tokenizer

from salience.errors import InputError
from salience.files import foreign, whole_file
from salience.models.checkpoints import build, check_depth, read_pickle

IGNORED = -100
"""The label of a position that the loss leaves out."""

MINI = ModelDimensions(
    n_mels=80, n_audio_ctx=1500, n_audio_state=128, n_audio_head=2, n_audio_layer=2,
    n_vocab=51865, n_text_ctx=448, n_text_state=128, n_text_head=2, n_text_layer=2,
)
"""A model that trains in minutes on two cores, with Whisper's full multilingual vocabulary."""


def new_model(dimensions: ModelDimensions, seed: int) -> Whisper:
    """A model with random weights."""
    torch.manual_seed(seed)
    model = Whisper(dimensions)
    # openai-whisper leaves this one as uninitialised memory, for a checkpoint to fill.
    nn.init.normal_(model.decoder.positional_embedding, std=0.01)
    nn.init.normal_(model.decoder.token_embedding.weight, std=0.02)
    return model


def load_model(name_or_path: str, device: str = "cpu") -> Whisper:
    """A Whisper model by its published name, or from a checkpoint file of openai-whisper's format."""
    if name_or_path in whisper.available_models():
        try:
            return whisper.load_model(name_or_path, device=device)
        except (OSError, RuntimeError) as error:
            raise InputError(f"the Whisper model {name_or_path} cannot be fetched ({error}); fetch it where there is a network and give the file by --model path/to/{name_or_path}.pt") from None
    path = Path(name_or_path)
    if not path.is_file():
        raise InputError(f"{name_or_path} is neither a file nor one of Whisper's models ({', '.join(whisper.available_models())})")
    fault, remedy = "is no Whisper checkpoint that this version can load", "give a file of openai-whisper's format"
    saved = read_pickle(path, fault, remedy, device)
    with foreign(path, fault, remedy):
        dims = ModelDimensions(**saved["dims"])
        check_depth(asdict(dims))
        model = build(lambda: Whisper(dims), saved["model_state_dict"], lambda: _halves(dims))
    return model.to(device)


def _halves(dims: ModelDimensions) -> nn.Module:
    """All weights of Whisper(dims), without its table of attention heads, which torch cannot make without memory."""
    audio = (dims.n_mels, dims.n_audio_ctx, dims.n_audio_state, dims.n_audio_head, dims.n_audio_layer)
    text = (dims.n_vocab, dims.n_text_ctx, dims.n_text_state, dims.n_text_head, dims.n_text_layer)
    return nn.ModuleDict({"encoder": AudioEncoder(*audio), "decoder": TextDecoder(*text)})


def save_model(model: Whisper, path: Path) -> None:
    """Write a checkpoint that `whisper.load_model` reads."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with whole_file(path, "wb") as handle:
        torch.save({"dims": asdict(model.dims), "model_state_dict": weights}, handle)


def checkpoint_hash(path: Path) -> str:
    """Identify a checkpoint in the records of what was made with it."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]


def tokenizer_of(model: Whisper, language: str) -> Tokenizer:
    """The tokenizer for transcription in `language` (a code such as `en`)."""
    try:
        return get_tokenizer(model.is_multilingual, num_languages=model.num_languages, language=language, task="transcribe")
    except ValueError:
        raise InputError(f"Whisper knows no language {language!r}; give a code such as en, fa or ca") from None


def target_tokens(tokenizer: Tokenizer, text: str, limit: int) -> list[int]:
    """Start, language, task and no-timestamps tokens, the text, the end; at most `limit` tokens."""
    tokens = [*tokenizer.sot_sequence_including_notimestamps, *tokenizer.encode(" " + text.strip()), tokenizer.eot]
    if len(tokens) > limit:
        raise InputError(f"the text {text[:40]!r}... has {len(tokens)} tokens, over the model's {limit}; leave it out with utils/validate_data_dir.sh --max-tokens {limit}")
    return tokens


def encode(model: Whisper, features: Tensor, checkpointed: bool = False) -> Tensor:
    """Encoder states for log-mel features of any length.

    features: (batch, frames, bins), frames even and at most 3000.  The
    published encoder wants exactly 3000; fewer get the first positions.
    Returns (batch, frames / 2, state).
    """
    encoder = model.encoder
    x = nn.functional.gelu(encoder.conv1(features.transpose(1, 2)))
    x = nn.functional.gelu(encoder.conv2(x)).transpose(1, 2)
    if x.shape[1] > encoder.positional_embedding.shape[0]:
        raise InputError(f"an utterance of {features.shape[1]} frames is longer than the model's {2 * encoder.positional_embedding.shape[0]}; leave out utterances over 30 s in stage 1")
    x = (x + encoder.positional_embedding[: x.shape[1]]).to(x.dtype)
    for block in encoder.blocks:
        x = checkpoint(block, x, use_reentrant=False) if checkpointed else block(x)
    return encoder.ln_post(x)


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
        states = encode(self.model, features, self.checkpointed and self.training)
        decoder = self.model.decoder
        x = decoder.token_embedding(tokens) + decoder.positional_embedding[: tokens.shape[1]]
        x = x.to(states.dtype)
        for block in decoder.blocks:
            x = checkpoint(block, x, states, decoder.mask, use_reentrant=False) if self.checkpointed and self.training else block(x, states, mask=decoder.mask)
        # Only where a label counts: the projection to 51,865 tokens is the dearest part of a small model.
        counted = labels != IGNORED
        x = decoder.ln(x)[counted]
        logits = x @ decoder.token_embedding.weight.to(x.dtype).T
        return {"loss": nn.functional.cross_entropy(logits.float(), labels[counted]), "count": counted.sum()}
