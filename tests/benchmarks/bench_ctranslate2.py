#!/usr/bin/env python3
"""Decoding with a published Whisper, against CTranslate2, which faster-whisper runs on."""

import os
import tempfile
from pathlib import Path

import ctranslate2
import jiwer
import numpy as np
import soundfile
import torch
from ctranslate2.converters import TransformersConverter
from material import speech_files
from measure import Row, best_seconds, write_rows
from more_itertools import chunked
from whisper.model import ModelDimensions

from salience import program
from salience.data.normalisers import normaliser
from salience.decoding.whisper import transcribe
from salience.features.logmel import FRAMES_30S, floor_of, log_mel, pad_frames
from salience.models.whisper import load_model, new_model, tokenizer_of
from salience.models.whisper_export import export_huggingface

WEIGHTS = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "whisper" / "tiny.en.pt"
"""Where openai-whisper keeps what it downloads."""
SIZES = ModelDimensions(80, 1500, 384, 6, 4, 51864, 448, 384, 6, 4)
"""Those of tiny.en."""


def bench_ctranslate2(
    utterances: int = 100, repetitions: int = 2, batch_size: int = 32, out: Path | None = None
) -> None:
    """Rows for greedy decoding in float32, padded to 30 s, in batches and against one utterance at a time.

    Both sides read the same features from memory and write the same kind of
    hypothesis: language forced, no time stamps, no second temperature.  The
    threads are those that OMP_NUM_THREADS gives.

    Args:
        utterances: Utterances to decode.
        repetitions: Measurements of each; the best counts.
        batch_size: Utterances in a batch, for both.
        out: File to append the rows to; they are printed if there is none.
    """
    if WEIGHTS.exists():
        model, about, longest = load_model(str(WEIGHTS)).eval(), "published tiny.en", 225
    else:
        model, about, longest = new_model(SIZES, 1).eval(), "random weights of tiny.en's sizes", 30
    tokenizer = tokenizer_of(model, "en")
    prompt = list(tokenizer.sot_sequence_including_notimestamps)
    found: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        files, material = speech_files(Path(scratch), utterances)
        matrices = log_mel([soundfile.read(file, dtype="float32")[0] for file in files])
        features = {file.stem: matrix for file, matrix in zip(files, matrices, strict=True)}
        frames = {key: len(matrix) for key, matrix in features.items()}
        export_huggingface(model, Path(scratch, "transformers"), "en")
        TransformersConverter(str(Path(scratch, "transformers"))).convert(str(Path(scratch, "ctranslate2")))
        peer = ctranslate2.models.Whisper(
            str(Path(scratch, "ctranslate2")), compute_type="float32", intra_threads=torch.get_num_threads()
        )

        def ours() -> None:
            texts = dict(transcribe(model, features, frames, "en", batch_size, True, longest))
            found["ours"] = [texts[key] for key in features]

        def theirs(size: int) -> None:
            found["theirs"] = []
            for batch in chunked(features.values(), size):
                padded = np.stack([pad_frames(matrix, FRAMES_30S, floor_of(matrix)).T for matrix in batch])
                results = peer.generate(
                    ctranslate2.StorageView.from_array(np.ascontiguousarray(padded)),
                    [prompt] * len(batch),
                    beam_size=1,
                    max_length=len(prompt) + longest,
                    suppress_blank=True,
                    suppress_tokens=[-1],
                )
                texts = (tokenizer.decode([t for t in each.sequences_ids[0] if t < tokenizer.eot]) for each in results)
                found["theirs"] += [text.strip() for text in texts]

        contestants = {"ours": ours, "batches": lambda: theirs(batch_size), "loop": lambda: theirs(1)}
        seconds = best_seconds(contestants, repetitions)
    normalise, _ = normaliser("whisper-english")
    apart = jiwer.wer(
        [normalise(text) or "-" for text in found["theirs"]], [normalise(t) or "-" for t in found["ours"]]
    )
    title = (
        f"decoding {len(features)} utterances padded to 30 s, {material}, {about}, {torch.get_num_threads()} threads"
    )
    write_rows(
        [
            Row(
                f"{title}, {100 * apart:.1f} % of the words differ",
                f"{seconds['ours']:.1f} s",
                f"CTranslate2, {name} {seconds[name]:.1f} s",
                seconds[name] / seconds["ours"],
                1,
            )
            for name in ("loop", "batches")
        ],
        out,
    )


if __name__ == "__main__":
    program.main(bench_ctranslate2)
