"""Synthetic speech whose bytes depend on the text and the voice alone."""

import json
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import soxr

from salience.errors import InputError


@dataclass(frozen=True)
class Voice:
    """A speaker: an espeak-ng voice with its variant, pitch, pitch range and speed.

    `name` is `voice` or `voice+variant`, for instance `en-us+m3`.  `pitch`
    and `range` go from 0 to 99, `rate` is words a minute.
    """

    name: str
    pitch: int = 50
    range: int = 50
    rate: int = 175


def speak(
    jobs: Iterable[tuple[str, Voice]], sample_rate: int = 16000, workers: int | None = None
) -> Iterator[np.ndarray]:
    """Yield float32 samples in [-1, 1) at `sample_rate` for each (text, voice), in their order.

    The samples are the same whatever was said before and however many
    `workers` (default: two, or the number of processors if that is one) speak
    side by side.  An unknown voice is an InputError.
    """
    jobs = list(jobs)
    workers = min(workers or 2, os.cpu_count() or 1, max(1, len(jobs)))
    processes = [_start(jobs[first::workers]) for first in range(workers)]
    try:
        for number, (text, voice) in enumerate(jobs):
            process = processes[number % workers]
            assert process.stdout is not None
            rate, size = struct.unpack("<ii", _exactly(process.stdout, 8, text, voice))
            data = _exactly(process.stdout, size, text, voice)
            if rate < 0:
                raise InputError(data.decode())
            samples = np.frombuffer(data, dtype="<i2").astype(np.float32) / 32768
            yield samples if rate == sample_rate else soxr.resample(samples, rate, sample_rate)
    finally:
        for process in processes:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _start(jobs: list[tuple[str, Voice]]) -> subprocess.Popen[bytes]:
    with tempfile.TemporaryFile() as lines:
        for text, voice in jobs:
            lines.write(json.dumps([text, voice.name, voice.pitch, voice.range, voice.rate]).encode() + b"\n")
        lines.seek(0)
        worker = Path(__file__).with_name("espeak_worker.py")
        return subprocess.Popen([sys.executable, str(worker)], stdin=lines, stdout=subprocess.PIPE)


def _exactly(stream: IO[bytes], size: int, text: str, voice: Voice) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise InputError(
            f"espeak-ng stopped before saying {text!r} with {voice.name}; its message is above, "
            "and `pip install espeakng-loader` puts a missing library in place"
        )
    return data
