#!/usr/bin/env python3
"""Batched decoding, against whisper.transcribe utterance by utterance."""

import os
from pathlib import Path

import numpy as np
import torch
import whisper
from measure import Row, best_seconds, write_rows

from salience import program
from salience.corpora.digits import DEV, digit_strings
from salience.corpora.synthetic.espeak import speak
from salience.corpora.synthetic.voices import STANDARD, as_audio, cast
from salience.decoding.whisper import transcribe
from salience.features.logmel import log_mel
from salience.models.whisper import MINI, load_model, new_model, tokenizer_of

CACHE = Path(os.environ.get("SALIENCE_CACHE") or Path(__file__).parents[2] / ".cache")
CHECKPOINT = CACHE / "whisper-mini" / "mini.pt"
LONGEST = 30
"""Most tokens of a hypothesis, as in the mini recipe."""


def bench_decoding(utterances: int = 64, repetitions: int = 3, out: Path | None = None) -> None:
    """Rows for decoding at the utterances' own length, and padded to 30 s as whisper.transcribe pads.

    Synthetic digit strings.  Both sides go from audio in memory to text,
    greedily, with the language forced, no time stamps, no second temperature.
    The model is the recipe's mini Whisper, or one of random weights that
    writes as many tokens as it may.

    Args:
        utterances: Utterances to decode.
        repetitions: Measurements of each; the best counts.
        out: File to append the rows to; they are printed if there is none.
    """
    if CHECKPOINT.exists():
        model, about = load_model(str(CHECKPOINT)).eval(), "mini Whisper"
    else:
        model, about = new_model(MINI, 1).eval(), "mini Whisper with random weights"
    texts = [text for text, _ in zip(digit_strings(DEV, "bench"), range(utterances), strict=False)]
    speakers = cast(STANDARD, 8, "bench")
    lines = [speakers[i % len(speakers)].line(text) for i, text in enumerate(texts)]
    audios = {
        f"u{i:03d}": as_audio(samples, "bench", i).astype(np.float32) / 32768 for i, samples in enumerate(speak(lines))
    }
    hypotheses: dict[str, list[str]] = {}

    def ours(full_context: bool) -> None:
        order = sorted(audios, key=lambda key: len(audios[key]))
        features = dict(zip(order, log_mel([audios[key] for key in order]), strict=True))
        frames = {key: len(matrix) for key, matrix in features.items()}
        found = dict(transcribe(model, features, frames, "en", full_context=full_context, max_tokens=LONGEST))
        hypotheses[f"ours {full_context}"] = [found[key] for key in audios]

    def loop() -> None:
        hypotheses["loop"] = [
            whisper.transcribe(
                model,
                audio,
                language="en",
                temperature=0.0,
                without_timestamps=True,
                fp16=False,
                condition_on_previous_text=False,
                sample_len=LONGEST,
            )["text"]
            for audio in audios.values()
        ]

    with torch.inference_mode():
        seconds = best_seconds({"short": lambda: ours(False), "loop": loop, "full": lambda: ours(True)}, repetitions)
    encoding = tokenizer_of(model, "en")
    tokens = {name: np.mean([len(encoding.encode(text)) for text in found]) for name, found in hypotheses.items()}
    title = f"decoding {utterances} utterances of {np.mean([len(a) for a in audios.values()]) / 16000:.1f} s, {about}"
    peer = f"whisper.transcribe, loop {seconds['loop']:.2f} s ({tokens['loop']:.0f} tokens each)"
    rows = [
        Row(
            f"{title}, {how}",
            f"{seconds[name]:.2f} s ({tokens[key]:.0f} tokens each)",
            peer,
            seconds["loop"] / seconds[name],
            aim,
        )
        for name, key, how, aim in (
            ("short", "ours False", "own length", 4),
            ("full", "ours True", "padded to 30 s", None),
        )
    ]
    write_rows(rows, out)


if __name__ == "__main__":
    program.main(bench_decoding)
