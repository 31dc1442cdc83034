#!/usr/bin/env python3
"""Lengths and samples of MP3 clips as Common Voice makes them, against PyAV alone."""

import os
import tempfile
from pathlib import Path

import av
import numpy as np
from measure import Row, best_seconds, write_rows

from salience import program
from salience.audio import audio_duration, read_audio

RATE = 32_000


def clips(folder: Path, number: int) -> tuple[list[Path], str]:
    """`number` clips and what they are: real ones, or noise encoded by FFmpeg on a pipe in `folder`."""
    given = os.environ.get("SALIENCE_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data"
    found = sorted(Path(given).glob("common_voice_*/*/clips/*.mp3"))
    if found:
        return found[:number], "Common Voice"
    rng = np.random.default_rng(1)
    for index in range(number):
        sound = 0.1 * rng.standard_normal((1, round(RATE * rng.uniform(3, 7)))).astype(np.float32)
        with av.open(str(folder / f"{index:04d}.mp3"), "w", format="mp3", options={"write_xing": "0"}) as container:
            stream = container.add_stream("libmp3lame", rate=RATE, layout="mono")
            stream.bit_rate = 48_000
            frame = av.AudioFrame.from_ndarray(sound, format="fltp", layout="mono")
            frame.sample_rate = RATE
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return sorted(folder.glob("*.mp3")), "noise of the lengths of speech"


def bench_audio(number: int = 300, repetitions: int = 5, out: Path | None = None) -> None:
    """Rows for measuring and for decoding, one thread each.

    PyAV opens each file with its own settings and adds up the packets'
    lengths, or decodes all frames to one array.

    Args:
        number: Clips.
        repetitions: Measurements of each; the best counts.
        out: File to append the rows to; they are printed if there is none.
    """
    with tempfile.TemporaryDirectory() as name:
        files, about = clips(Path(name), number)

        def their_duration(path: Path) -> float:
            with av.open(str(path)) as container:
                stream = container.streams.audio[0]
                return float(sum(packet.duration or 0 for packet in container.demux(stream)) * stream.time_base)

        def their_samples(path: Path) -> np.ndarray:
            with av.open(str(path)) as container:
                return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)[0]

        for path in files:
            assert abs(audio_duration(path) - their_duration(path)) < 1e-6
            assert np.array_equal(read_audio(path, None), their_samples(path))
        seconds = best_seconds(
            {
                "our lengths": lambda: [audio_duration(path) for path in files],
                "their lengths": lambda: [their_duration(path) for path in files],
                "our samples": lambda: [read_audio(path, None) for path in files],
                "their samples": lambda: [their_samples(path) for path in files],
            },
            repetitions,
        )
    rows = [
        Row(
            f"{what} of {len(files)} MP3 clips ({about})", f"{seconds[f'our {part}']:.2f} s",
            f"PyAV {seconds[f'their {part}']:.2f} s", seconds[f"their {part}"] / seconds[f"our {part}"], aim=aim,
        )
        for part, what, aim in (("lengths", "lengths, cut-off files told,", 1), ("samples", "decoding", 0.9))
    ]  # fmt: skip
    write_rows(rows, out)


if __name__ == "__main__":
    program.main(bench_audio)
