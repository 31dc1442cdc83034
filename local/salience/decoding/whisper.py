"""Whisper as a recogniser: openai-whisper's own greedy decoder on many utterances at a time, and fine-tuning."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from more_itertools import chunked
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from whisper.decoding import DecodingOptions, DecodingTask
from whisper.model import LayerNorm, Whisper

from salience.data.normalisers import normaliser
from salience.data.text import clean
from salience.features.archives import FeatureSet
from salience.features.fbank import INT16
from salience.features.logmel import DYNAMIC_RANGE, SILENCE, floor_of, log_mel_tensors, pad_frames
from salience.models.recognisers import RECOGNISERS, Example, FrozenRecogniser, Recogniser, RecogniserChoice
from salience.models.whisper import (
    IGNORED,
    MINI,
    WhisperForTraining,
    check_bins,
    check_context,
    collate,
    collate_tokens,
    encode,
    load_model,
    new_model,
    padded_frames,
    save_model,
    target_tokens,
    tokenizer_of,
)
from salience.steps import LATER

LONG_STEP = 500
"""Frames to a multiple of which utterances longer than two of them are padded."""


@RECOGNISERS.register("whisper")
@dataclass
class WhisperRecogniser(Recogniser):
    """Whisper.

    Its models are named as openai-whisper names them, or are a checkpoint file
    of it, a folder of Hugging Face or CTranslate2 (whose quantised weights are
    rounded ones), or `new-mini`, the mini model with random weights.  Greedy,
    with the language forced, without time stamps and without a second try at
    another temperature.

    Args:
        language: Whisper's code of the language.
        full_context: Pad to 30 s, as the published models were trained, instead of to the utterance or batch; null does
            it unless the model was fine-tuned on shorter inputs.
        max_tokens: Tokens of a hypothesis at most; 225 are some 150 words of English and 65 of Persian.
        lowercase: Train on texts in lower case; false leaves transcripts as they are, with case and punctuation, which
            the published models write.
    """

    renamed: ClassVar[dict[str, str]] = {"longest": "max_tokens"}

    language: str = "en"
    full_context: bool | None = False
    max_tokens: int = 225
    lowercase: bool = field(default=True, metadata=LATER)

    def load(self, model: str, device: str = "cpu", seed: int = 1) -> None:
        path = Path(model) / "model.pt"
        # The embedding is the output layer, too: with this spread it tells tokens apart though it is not trained.
        self.model = (
            new_model(MINI, seed, spread=0.1)
            if model == "new-mini"
            else load_model(str(path if path.is_file() else model))
        )
        short = getattr(self.model, "short_context", True)
        self.padded = not short if self.full_context is None else self.full_context
        self.network = WhisperForTraining(self.model.to(device))
        self.tokenizer = tokenizer_of(self.model, self.language)

    def files(self, model: str) -> list[Path]:
        path = Path(model) / "model.pt"
        return [path] if path.is_file() else [Path(model)] if Path(model).exists() else []

    def check(self, source: FeatureSet, training: bool = False) -> None:
        check_bins(self.model, source)
        if not training:
            check_context(self.model, self.padded)

    def target(self, text: str) -> list[int]:
        return target_tokens(self.tokenizer, text.lower() if self.lowercase else text, self.model.dims.n_text_ctx)

    def collate(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        return collate(examples, self.tokenizer.eot, self.padded, 2 * self.model.dims.n_audio_ctx)

    def transcribe(self, source: FeatureSet, batch_size: int, truncated: list[str]) -> Iterator[tuple[str, str]]:
        return transcribe(
            self.model, source, source.frames, self.language, batch_size, self.padded, self.max_tokens, truncated
        )

    def use_bf16(self) -> None:
        self.model.bfloat16()
        for module in self.model.modules():
            if isinstance(module, LayerNorm):
                module.float()  # which normalises in float32 whatever it is given

    def save(self, folder: Path) -> None:
        self.model.short_context = not self.padded
        save_model(self.model, folder / "model.pt")

    @classmethod
    def frozen(cls, choice: RecogniserChoice, device: str) -> "FrozenWhisper":
        return FrozenWhisper(choice.model, choice.language, device)


class FrozenWhisper(FrozenRecogniser):
    """Whisper on its own log-mel spectrogram of the signals."""

    def __init__(self, model: str, language: str, device: str) -> None:
        recogniser = WhisperRecogniser(language)
        recogniser.load(model, device)
        self.model, self._recogniser = recogniser.model.eval(), recogniser
        self._normalise, _ = normaliser("digit-words" if language == "en" else "whisper-basic")

    def losses(self, signals: Tensor, samples: Tensor, texts: Sequence[str]) -> Tensor:
        """Cross-entropy of the target's tokens, in lower case, summed over an utterance, as the hybrid's is."""
        matrices = self._features(signals, samples)
        frames = padded_frames(max(map(len, matrices)), False, 2 * self.model.dims.n_audio_ctx)
        features = torch.stack([_padded(matrix, frames) for matrix in matrices])
        targets = [self._recogniser.target(text) for text in texts]
        tokens, labels = (t.to(signals.device) for t in collate_tokens(targets, self._recogniser.tokenizer.eot))
        counted = labels != IGNORED
        logits = self._recogniser.network.logits(features, tokens, counted)
        each = nn.functional.cross_entropy(logits, labels[counted], reduction="none")
        return each.new_zeros(len(targets)).index_add(0, counted.nonzero()[:, 0], each)

    def log_probabilities(self, signals: Tensor, samples: Tensor, texts: Sequence[str]) -> Tensor:
        """One by one: a batch is padded to its longest."""
        rows = zip(signals, samples.tolist(), texts, strict=True)
        alone = ((signal[None, :own], torch.tensor([own]), [text]) for signal, own, text in rows)
        return torch.cat([super(FrozenWhisper, self).log_probabilities(*one) for one in alone])

    @torch.no_grad()
    def transcribe(self, signals: Tensor, samples: Tensor) -> list[str]:
        """Greedy hypotheses."""
        matrices = {row: matrix.cpu().numpy() for row, matrix in enumerate(self._features(signals, samples))}
        frames = {row: len(matrix) for row, matrix in matrices.items()}
        said = dict(transcribe(self.model, matrices, frames, self._recogniser.language))
        return [said[row] for row in matrices]

    def normalise(self, text: str) -> str:
        """Drop case and punctuation, and in English write figures as words: corpora differ in these."""
        return self._normalise(text)

    def _features(self, signals: Tensor, samples: Tensor) -> list[Tensor]:
        return log_mel_tensors(signals / INT16, samples.tolist(), self.model.dims.n_mels)


def _padded(features: Tensor, frames: int) -> Tensor:
    """As Whisper's padding: with the features' own floor."""
    floor = (features.detach().max() - DYNAMIC_RANGE).clamp(min=SILENCE)
    return torch.cat([features, floor.expand(frames - len(features), features.shape[1])])


class _EncodedTask(DecodingTask):
    """A greedy decoding that is given encoder states, of any number of frames, and lets go of what has ended.

    Most texts of a batch end long before its longest.  Their rows leave the
    batch and the caches once they are a quarter of it; more often would cost
    more copying than it saves.
    """

    def _get_audio_features(self, states: Tensor) -> Tensor:
        return states

    def _main_loop(self, states: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, list[float]]:
        count, end = len(tokens), self.tokenizer.eot
        done: dict[int, Tensor] = {}
        rows = torch.arange(count, device=tokens.device)
        try:
            for _ in range(self.sample_len):
                logits = self.inference.logits(tokens, states)[:, -1]
                for each in self.logit_filters:
                    each.apply(logits, tokens)
                going = tokens[:, -1] != end
                tokens = torch.cat([tokens, torch.where(going, logits.argmax(-1), end)[:, None]], 1)
                going = tokens[:, -1] != end
                if not going.any() or tokens.shape[1] > self.n_ctx:
                    break
                if 4 * going.sum() <= 3 * len(going):
                    done |= zip(rows[~going].tolist(), tokens[~going], strict=True)
                    rows, tokens, states = rows[going], tokens[going], states[going]
                    cache = self.inference.kv_cache  # the hooks hold this dictionary
                    cache |= {module: values[going] for module, values in cache.items()}
        finally:
            self.inference.cleanup_caching()
        done |= zip(rows.tolist(), tokens, strict=True)
        texts = pad_sequence([done[row] for row in range(count)], batch_first=True, padding_value=end)
        return texts, torch.zeros(count), [0.0] * count


def _decoded_frames(frames: int, full_context: bool, most: int) -> int:
    """As `padded_frames`, but long utterances in steps of 5 s: batches are larger, and decoding is a quarter faster."""
    length = padded_frames(frames, full_context, most)
    return length if length <= 2 * LONG_STEP else min(-(-length // LONG_STEP) * LONG_STEP, most)


def transcribe(
    model: Whisper,
    features: Mapping[str, np.ndarray],
    frames: Mapping[str, int],
    language: str,
    batch_size: int = 32,
    full_context: bool = False,
    max_tokens: int = 225,
    truncated: list[str] | None = None,
) -> Iterator[tuple[str, str]]:
    """Yield (utterance id, hypothesis).

    features: (frames, bins) by utterance; frames: their numbers, so that
    batches are formed without reading.  The language is forced, the output
    holds at most `max_tokens` tokens, there are no time stamps and no fallback
    to other temperatures.  An utterance is padded by its own length alone and
    shares a batch only with equals: the batch size does not change a result.
    The ids of hypotheses that hit the limit are added to `truncated`.
    """
    model.eval()
    tokenizer_of(model, language)
    weight = model.decoder.token_embedding.weight
    task = _EncodedTask(
        model,
        DecodingOptions(
            language=language,
            task="transcribe",
            without_timestamps=True,
            sample_len=max_tokens,
            temperature=0.0,
            fp16=False,
        ),
    )
    # The decoder takes the prompt and as many tokens as it has positions, and adds one.
    limit = min(max_tokens, model.dims.n_text_ctx + 1 - len(task.initial_tokens))
    by_length: dict[int, list[str]] = defaultdict(list)
    for utterance, count in frames.items():
        by_length[_decoded_frames(count, full_context, 2 * model.dims.n_audio_ctx)].append(utterance)
    for length in sorted(by_length):
        # Texts of similar length together: a batch takes as long as its longest.
        for batch in chunked(sorted(by_length[length], key=frames.__getitem__), batch_size):
            matrices = [features[utterance] for utterance in batch]
            padded = np.stack([pad_frames(matrix, length, floor_of(matrix)) for matrix in matrices])
            with torch.inference_mode():
                states = encode(model, torch.from_numpy(padded).to(weight))
                results = task.run(states)
            for utterance, result in zip(batch, results, strict=True):
                if truncated is not None and len(result.tokens) >= limit:
                    truncated.append(utterance)
                yield utterance, clean(result.text)
