"""When each word of a known text is said, from the cross-attention of Whisper's decoder."""

import re

import numpy as np
import torch
from whisper.timing import find_alignment, merge_punctuations

from salience.data.ctm import Word
from salience.features.logmel import FRAME_SHIFT, floor_of, pad_frames
from salience.models.whisper import load_model, target_tokens, tokenizer_of

OPENING, CLOSING = "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、;؛،؟»"
"""Signs that belong to the word after and before them, as openai-whisper has them, and a few more."""
_NO_WORD = re.compile(r"[^\w']+|_")


class WordAligner:
    """openai-whisper's alignment of a given text: dynamic time warping over the heads that follow the audio.

    A word ends where the next one begins, so a pause between two belongs to one of them.

    Args:
        model: A Whisper: a name, a file or a folder.
        language: Code of the language.
        device: cpu or cuda.
    """

    def __init__(self, model: str, language: str = "en", device: str = "cpu") -> None:
        self.model = load_model(model, device).eval()
        self.tokenizer = tokenizer_of(self.model, language)

    def align(self, features: np.ndarray, text: str) -> list[Word]:
        """The words of an utterance in their order, in lower case without punctuation.

        A text that is longer than the decoder reads is a TooLong.

        Args:
            features: Log-mel features (frames, bins).
            text: What is said.
        """
        prompt = len(self.tokenizer.sot_sequence_including_notimestamps)
        tokens = target_tokens(self.tokenizer, text, self.model.dims.n_text_ctx)[prompt:-1]
        # In full: unlike fine-tuned ones, the published models hear nothing else.
        padded = pad_frames(features, 2 * self.model.dims.n_audio_ctx, floor_of(features))
        mel = torch.from_numpy(padded.T.copy()).to(self.model.device)
        timings = find_alignment(self.model, self.tokenizer, tokens, mel, len(features) + len(features) % 2)
        merge_punctuations(timings, OPENING, CLOSING)
        spoken = ((_NO_WORD.sub("", each.word).strip("'").lower(), each) for each in timings)
        end = len(features) * FRAME_SHIFT
        return [Word(word, float(each.start), float(min(each.end, end))) for word, each in spoken if word]
