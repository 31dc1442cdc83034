#!/usr/bin/env python3
"""Log-mel features of audio files, against a loop over openai-whisper's own function."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from extract_features import extract_features
from material import speech_files, write_set
from measure import Row, best_seconds, write_rows
from more_itertools import chunked
from whisper.audio import log_mel_spectrogram, pad_or_trim

from salience import program
from salience.audio import read_audio
from salience.features.archives import Archive, ArchiveWriter
from salience.features.logmel import RATE, log_mel, num_frames


def bench_logmel(utterances: int = 60, repetitions: int = 5, out: Path | None = None) -> None:
    """Rows for the dump, from audio files to an archive, and for the transform alone.

    The loop reads the same files with the same function and writes the same
    real frames with the same writer.

    Args:
        utterances: Audio files.
        repetitions: Measurements of each; the best counts.
        out: File to append the rows to; they are printed if there is none.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files, about = speech_files(folder, utterances)
        write_set(folder / "data", "speech", files)
        audios = sorted((read_audio(file, RATE) for file in files), key=len)
        tries = iter(range(repetitions))

        def our_dump() -> None:
            extract_features(folder / "data", "speech", folder / f"ours{next(tries)}")

        def their_dump() -> None:
            with ArchiveWriter(folder / "theirs" / "feats") as writer:
                for file in files:
                    audio = read_audio(file, RATE)
                    matrix = log_mel_spectrogram(pad_or_trim(audio))
                    writer.write(f"{file.stem}-0", matrix[:, : num_frames(len(audio))].T.numpy())

        def our_transform() -> None:
            for batch in chunked(audios, 8):
                log_mel(batch)

        def their_transform() -> None:
            for audio in audios:
                log_mel_spectrogram(pad_or_trim(audio))

        with torch.inference_mode():
            seconds = best_seconds(
                {
                    "our dump": our_dump,
                    "their dump": their_dump,
                    "our transform": our_transform,
                    "their transform": their_transform,
                },
                repetitions,
            )
        ours, theirs = Archive(folder / "ours0/speech/feats.1.scp"), Archive(folder / "theirs/feats.scp")
        assert all(np.abs(ours[key] - theirs[key]).max() < 1e-4 for key in theirs)
    rows = [
        Row(
            f"log-mel {what} ({len(files)} utterances, {about})",
            f"{seconds[f'our {part}']:.2f} s",
            f"openai-whisper, loop {seconds[f'their {part}']:.2f} s",
            seconds[f"their {part}"] / seconds[f"our {part}"],
            aim=2,
        )
        for part, what in (("dump", "dump: files in, archive out"), ("transform", "transform alone"))
    ]
    write_rows(rows, out)


if __name__ == "__main__":
    program.main(bench_logmel)
