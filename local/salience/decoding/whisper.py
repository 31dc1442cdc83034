"""Greedy decoding of many utterances at a time with openai-whisper's own decoder."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from more_itertools import chunked
from whisper.decoding import DecodingOptions, DecodingTask
from whisper.model import Whisper

from salience.data.text import clean
from salience.features.logmel import floor_of, pad_frames
from salience.models.whisper import encode, tokenizer_of
from salience.training.whisper_data import padded_frames


class _EncodedTask(DecodingTask):
    """A decoding task that is given encoder states, of any number of frames."""

    def _get_audio_features(self, states: torch.Tensor) -> torch.Tensor:
        return states


def transcribe(
    model: Whisper,
    features: Mapping[str, np.ndarray],
    frames: Mapping[str, int],
    language: str,
    batch_size: int = 32,
    full_context: bool = False,
    longest: int = 225,
    truncated: list[str] | None = None,
) -> Iterator[tuple[str, str]]:
    """Yield (utterance id, hypothesis).

    features: (frames, bins) by utterance; frames: their numbers, so that
    batches are formed without reading.  The language is forced, the output
    holds at most `longest` tokens, there are no time stamps and no fallback
    to other temperatures.  An utterance is padded by its own length alone and
    shares a batch only with equals: the batch size does not change a result.
    The ids of hypotheses that hit the limit are added to `truncated`.
    """
    model.eval()
    tokenizer_of(model, language)
    device = next(model.parameters()).device
    task = _EncodedTask(
        model,
        DecodingOptions(
            language=language,
            task="transcribe",
            without_timestamps=True,
            sample_len=longest,
            temperature=0.0,
            fp16=False,
        ),
    )
    # The decoder takes the prompt and as many tokens as it has positions, and adds one.
    limit = min(longest, model.dims.n_text_ctx + 1 - len(task.initial_tokens))
    by_length: dict[int, list[str]] = defaultdict(list)
    for utterance, count in frames.items():
        by_length[padded_frames(count, full_context, 2 * model.dims.n_audio_ctx)].append(utterance)
    for length in sorted(by_length):
        for batch in chunked(by_length[length], batch_size):
            matrices = [features[utterance] for utterance in batch]
            padded = np.stack([pad_frames(matrix, length, floor_of(matrix)) for matrix in matrices])
            with torch.inference_mode():
                states = encode(model, torch.from_numpy(padded).to(device))
                results = task.run(states)
            for utterance, result in zip(batch, results, strict=True):
                if truncated is not None and len(result.tokens) >= limit:
                    truncated.append(utterance)
                yield utterance, clean(result.text)
