"""wav2vec 2.0 with CTC as a recogniser: the best path, or a beam with an n-gram model through a library."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from transformers import Wav2Vec2ForCTC

from salience.data.symbols import Symbols
from salience.data.vocabulary import BOUNDARY, PAD
from salience.data.waveforms import Waveforms, batches_of_equals, pad_signals, padded_samples
from salience.errors import InputError
from salience.models.recognisers import RECOGNISERS, Recogniser
from salience.models.wav2vec import FILES, files_of, frames_of, load_ctc, save_model

Decode = Callable[[np.ndarray], str]


@RECOGNISERS.register("wav2vec2")
@dataclass
class Wav2vec2Recogniser(Recogniser):
    """wav2vec 2.0 with a CTC head.

    Nothing here makes an n-gram model: KenLM's lmplz does, or any other tool,
    from sentences as the normaliser writes them.

    Args:
        beam: Width of the beam; 0 takes the best path.
        lm: n-gram model of words for the beam, as ARPA text or KenLM's binary file, which needs the package kenlm.
        lm_weight: Weight of the n-gram model.
        word_bonus: Added for each word of a hypothesis.
        scaled: Scale each utterance to zero mean and unit variance.
    """

    features: ClassVar = "waveform"
    saved: ClassVar = (*FILES, "tokens.txt")
    batch_size: ClassVar = 8

    beam: int = 0
    lm: Path | None = None
    lm_weight: float = 0.5
    word_bonus: float = 1.5
    scaled: bool = True

    symbols: Symbols = field(init=False)

    def __post_init__(self) -> None:
        if self.lm is not None and not self.beam:
            raise InputError(
                f"--lm needs --beam: the best path has no use for {self.lm}; give a width, for instance --beam 50"
            )

    def load(self, model: str, device: str = "cpu", seed: int = 1) -> None:
        self.begin(*load_ctc(Path(model), device))

    def begin(self, model: Wav2Vec2ForCTC, symbols: Symbols, finish: Callable[[], Any] | None = None) -> None:
        """Take a model to be decoded or trained; `finish` gives the plain model back once it is trained."""
        self.model, self.symbols, self.finish = model, symbols, finish or (lambda: model)
        self.decode = (
            beam(symbols, self.beam, self.lm, self.lm_weight, self.word_bonus) if self.beam else greedy(symbols)
        )

    def files(self, model: str) -> list[Path]:
        tokens = Path(model) / "tokens.txt"
        return [*files_of(model), *([tokens] if tokens.exists() else []), *([self.lm] if self.lm else [])]

    def settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("beam", "lm_weight", "word_bonus", "scaled")}

    def source(self, data: Path, features: Path | None, name: str) -> Waveforms:
        return Waveforms(data / name, features / name if features else None, self.scaled)

    def transcribe(self, source: Waveforms, batch_size: int, truncated: list[str]) -> Iterator[tuple[str, str]]:
        for key, scores in log_probabilities(self.model, source, batch_size):
            yield key, self.decode(scores)

    def save(self, folder: Path) -> None:
        save_model(self.finish().cpu(), folder, self.symbols)


@torch.no_grad()
def log_probabilities(
    model: Wav2Vec2ForCTC, waveforms: Waveforms, batch_size: int = 8
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (utterance, log-probabilities (frames, symbols) of its real frames), short utterances first.

    An utterance is padded by its own length alone and shares a batch only with
    equals: the batch size does not change a result.
    """
    model.eval()
    device = model.lm_head.weight.device
    for keys in batches_of_equals(waveforms.samples, batch_size):
        signals = [waveforms[key] for key in keys]
        padded, real = pad_signals(signals, padded_samples(max(waveforms.samples[key] for key in keys)))
        logits = model(torch.from_numpy(padded).to(device), attention_mask=torch.from_numpy(real).to(device)).logits
        scores = logits.float().log_softmax(-1).cpu().numpy()
        for key, signal, rows in zip(keys, signals, scores, strict=True):
            yield key, rows[: frames_of(model.config, len(signal))]


def best_path(scores: np.ndarray, blank: int) -> list[int]:
    """The likeliest symbol of each frame, repeats joined and blanks left out; scores (frames, symbols)."""
    path = scores.argmax(1)
    changes = np.ones(len(path), dtype=bool)
    changes[1:] = path[1:] != path[:-1]
    return path[changes & (path != blank)].tolist()


def greedy(symbols: Symbols) -> Decode:
    """Decode by the best path."""
    return lambda scores: symbols.decode(best_path(scores, symbols.blank))


def beam(
    symbols: Symbols, width: int, language_model: Path | None = None, weight: float = 0.5, word_bonus: float = 1.5
) -> Decode:
    """Decode with a beam, by pyctcdecode or else, without a language model, by torchaudio's decoder.

    language_model: an n-gram model of words, as ARPA text or KenLM's binary
    file.  weight: of its log-probabilities.  word_bonus: added for each word.
    """
    if language_model is not None and not language_model.is_file():
        raise InputError(
            f"{language_model} does not exist; give an n-gram model as ARPA text or KenLM's binary file by --lm"
        )
    if BOUNDARY not in symbols.numbers:
        raise InputError(
            f"the symbols have no word boundary {BOUNDARY!r}, without which a beam finds no words; decode with --beam 0"
        )
    try:
        import pyctcdecode
    except ImportError:
        # torchaudio's decoder would score letters with the model of words.
        if language_model is None:
            return _torchaudios(symbols, width)
        raise InputError(
            "a beam with a language model needs the package pyctcdecode, which is not installed; pip install --no-deps"
            " pyctcdecode pygtrie"
        ) from None
    if language_model is not None:
        _check_readable(language_model)
    labels = ["" if symbol == PAD else " " if symbol == BOUNDARY else symbol for symbol in symbols.symbols]
    decoder = pyctcdecode.build_ctcdecoder(
        labels, str(language_model) if language_model else None, alpha=weight, beta=word_bonus
    )
    return lambda scores: " ".join(decoder.decode(scores, beam_width=width).split())


def _check_readable(language_model: Path) -> None:
    """Say what is wrong before pyctcdecode does: without KenLM it fails with a NameError."""
    try:
        import kenlm
    except ImportError:
        raise InputError(
            "a beam with a language model needs the package kenlm, which is not installed; pip install ufal.kenlm,"
            " or leave out --lm"
        ) from None
    try:
        kenlm.Model(str(language_model))
    except OSError:
        raise InputError(
            f"{language_model} is no n-gram model that KenLM can read; give ARPA text or KenLM's binary file by --lm"
        ) from None


def _torchaudios(symbols: Symbols, width: int) -> Decode:
    try:
        from torchaudio.models.decoder import ctc_decoder

        decoder = ctc_decoder(
            lexicon=None, tokens=list(symbols.symbols), beam_size=width, blank_token=PAD, sil_token=BOUNDARY
        )
    except (ImportError, OSError, RuntimeError):
        raise InputError(
            "a beam needs a decoder that is not installed; pip install pyctcdecode, or decode with --beam 0"
        ) from None
    return lambda scores: symbols.decode(decoder(torch.from_numpy(scores)[None])[0][0].tokens.tolist())
