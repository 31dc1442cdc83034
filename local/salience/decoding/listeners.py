"""Recognisers as frozen listeners: from a signal to a loss, with a gradient.

Any recogniser can teach a mask estimator that answers these questions about
signals (batch, samples) on the scale of 16-bit integers: how far its answer
is from the text (`loss`), what it hears (`transcribe`), and which texts it
can be asked about at all (`check`).  `plain` takes out of texts what is no
matter of hearing before they are compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from salience.data.normalisers import normaliser, squeeze
from salience.decoding.hybrid import ctc_greedy, load_hybrid
from salience.errors import InputError
from salience.features.fbank import BINS, INT16, fbank, num_frames
from salience.models.recurrent import padded_lstm
from salience.training.bubbles import Listener

IGNORED = -1
"""The label of a position beyond a text's end, as ESPnet wants it."""


@dataclass(frozen=True)
class ListenerChoice:
    """Which recogniser listens.

    Args:
        kind: `hybrid` is a model of ESPnet (train_espnet.py), `whisper` one of openai-whisper, `commands` a
            recogniser of single words (salience.models.commands).
        model: Its folder, or the checkpoint of a Whisper.
        language: Whisper's code of the language.
    """

    kind: Literal["hybrid", "whisper", "commands"] = "hybrid"
    model: Path = Path()
    language: str = "en"

    @property
    def weights(self) -> Path:
        """The file that identifies the recogniser."""
        return {
            "hybrid": self.model / "model.pth",
            "whisper": self.model,
            "commands": self.model / "model.safetensors",
        }[self.kind]


def open_listener(choice: ListenerChoice, device: str = "cpu") -> Listener:
    """Load the recogniser and freeze it."""
    if not choice.weights.is_file():
        raise InputError(
            f"{choice.weights} does not exist; train the recogniser, or name another one by --listener.model"
        )
    kinds = {"hybrid": HybridListener, "whisper": WhisperListener, "commands": CommandListener}
    return kinds[choice.kind](choice, device)


def _frozen(model: nn.Module) -> nn.Module:
    return model.requires_grad_(False)


class HybridListener:
    """ESPnet's hybrid CTC/attention recogniser on our differentiable fbank."""

    def __init__(self, choice: ListenerChoice, device: str) -> None:
        self.model, self.arguments = load_hybrid(choice.model, device)
        if self.arguments.input_size != BINS:
            raise InputError(
                f"{choice.model} reads features of {self.arguments.input_size} dimensions, and fbank has {BINS}; train"
                " it on the features of stage 2"
            )
        _frozen(self.model)
        # It would count errors in evaluation mode, which is where the model stays.
        self.model.error_calculator = None
        self._recurrent = [module for module in self.model.modules() if isinstance(module, nn.RNNBase)]
        for module in self.model.modules():
            # ESPnet's projected recurrent layers drop units in evaluation mode too.
            if isinstance(getattr(module, "dropout", None), float):
                module.dropout = 0.0
        from espnet2.text.build_tokenizer import build_tokenizer
        from espnet2.text.token_id_converter import TokenIDConverter

        self._tokenizer = build_tokenizer(self.arguments.token_type, bpemodel=self.arguments.bpemodel)
        self._converter = TokenIDConverter(self.arguments.token_list)

    def _features(self, signals: Tensor, samples: Tensor) -> tuple[Tensor, Tensor]:
        lengths = torch.tensor([num_frames(n) for n in samples.tolist()], device=signals.device)
        return fbank(signals)[:, : int(lengths.max())], lengths

    def loss(self, signals: Tensor, samples: Tensor, texts: Sequence[str]) -> Tensor:
        """ESPnet's own: CTC and attention, weighted as the model was trained."""
        # ESPnet wants its batches longest first.
        order = samples.argsort(descending=True).tolist()
        ids = [
            torch.tensor(self._converter.tokens2ids(self._tokenizer.text2tokens(squeeze(texts[row])))) for row in order
        ]
        padded = nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=IGNORED).to(signals.device)
        lengths = torch.tensor([len(i) for i in ids], device=signals.device)
        features, frames = self._features(signals[order], samples[order])
        # cuDNN differentiates recurrent layers in training mode only, which changes nothing without dropout.
        for layer in self._recurrent:
            layer.train()
        with padded_lstm():
            return self.model(speech=features, speech_lengths=frames, text=padded, text_lengths=lengths)[0].squeeze()

    @torch.no_grad()
    def transcribe(self, signals: Tensor, samples: Tensor) -> list[str]:
        """The best path of the CTC branch."""
        return [
            self._tokenizer.tokens2text(tokens) for tokens in ctc_greedy(self.model, *self._features(signals, samples))
        ]

    def plain(self, text: str) -> str:
        """As it is: a hybrid writes what its transcripts have."""
        return text

    def check(self, text: str) -> str | None:
        """A hybrid can be asked about any text that is not empty."""
        return None if text else "it is empty"


class WhisperListener:
    """A model of openai-whisper on its own log-mel spectrogram."""

    def __init__(self, choice: ListenerChoice, device: str) -> None:
        from salience.models.whisper import WhisperForTraining, load_model, tokenizer_of

        self.model = _frozen(load_model(str(choice.model), device)).eval()
        self.language = choice.language
        self._training = WhisperForTraining(self.model)
        self._tokenizer = tokenizer_of(self.model, choice.language)
        self._plain, _ = normaliser("digit-words" if choice.language == "en" else "whisper-basic")

    def loss(self, signals: Tensor, samples: Tensor, texts: Sequence[str]) -> Tensor:
        """Cross-entropy of the target's tokens, in lower case, summed over an utterance, as the hybrid's is."""
        from salience.models.whisper import collate_tokens, padded_frames, target_tokens

        matrices = self._features(signals, samples)
        longest = padded_frames(max(map(len, matrices)), False, 2 * self.model.dims.n_audio_ctx)
        features = torch.stack([_padded(matrix, longest) for matrix in matrices])
        targets = [target_tokens(self._tokenizer, text.lower(), self.model.dims.n_text_ctx) for text in texts]
        tokens, labels = (t.to(signals.device) for t in collate_tokens(targets, self._tokenizer.eot))
        each = self._training(features, tokens, labels)["loss"]
        return each * sum(len(target) - 1 for target in targets) / len(targets)

    @torch.no_grad()
    def transcribe(self, signals: Tensor, samples: Tensor) -> list[str]:
        """Greedy hypotheses."""
        from salience.decoding.whisper import transcribe

        matrices = {str(row): matrix.cpu().numpy() for row, matrix in enumerate(self._features(signals, samples))}
        heard = dict(transcribe(self.model, matrices, {key: len(m) for key, m in matrices.items()}, self.language))
        return [heard[key] for key in matrices]

    def plain(self, text: str) -> str:
        """Drop case and punctuation, in English write figures as words: corpora differ in these."""
        return self._plain(text)

    def _features(self, signals: Tensor, samples: Tensor) -> list[Tensor]:
        from salience.features.logmel import log_mel_tensors

        return log_mel_tensors(signals / INT16, samples.tolist(), self.model.dims.n_mels)

    def check(self, text: str) -> str | None:
        """Any text that is not empty."""
        return None if text else "it is empty"


def _padded(features: Tensor, frames: int) -> Tensor:
    """As Whisper's padding: with the features' own floor."""
    from salience.features.logmel import DYNAMIC_RANGE, SILENCE

    floor = (features.detach().max() - DYNAMIC_RANGE).clamp(min=SILENCE)
    return torch.cat([features, floor.expand(frames - len(features), features.shape[1])])


class CommandListener:
    """A recogniser of single words."""

    def __init__(self, choice: ListenerChoice, device: str) -> None:
        from salience.models.commands import load_recogniser

        self.model = _frozen(load_recogniser(choice.model, device))
        self.words = self.model.config.words

    def loss(self, signals: Tensor, samples: Tensor, texts: Sequence[str]) -> Tensor:
        """Cross-entropy of the word."""
        truth = torch.tensor([self.words.index(text) for text in texts], device=signals.device)
        return nn.functional.cross_entropy(self._logits(signals, samples), truth)

    @torch.no_grad()
    def transcribe(self, signals: Tensor, samples: Tensor) -> list[str]:
        """The most probable word of each."""
        return [self.words[i] for i in self._logits(signals, samples).argmax(dim=1).tolist()]

    def plain(self, text: str) -> str:
        """As it is."""
        return text

    def _logits(self, signals: Tensor, samples: Tensor) -> Tensor:
        # One by one: the recogniser's mean over time would count the padding.
        return torch.cat(
            [
                self.model(self.model.decibels(signal[None, :own] / INT16))
                for signal, own in zip(signals, samples.tolist(), strict=True)
            ]
        )

    def check(self, text: str) -> str | None:
        """Only the words that it was trained on."""
        return None if text in self.words else f"it is none of the recogniser's words ({', '.join(self.words)})"
