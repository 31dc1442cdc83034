"""How long an audio file is, told by its header, and whether the rest of it is there; and audio files written."""

import math
import re
from contextlib import AbstractContextManager
from io import BytesIO
from os.path import isfile
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from salience.errors import InputError
from salience.files import foreign, room_for


RATES = range(1000, 1_000_001)
"""Hertz.  A rate outside is none: resampled from 1 Hz, a small file would fill the memory."""

COMMANDS = "local/run_wav_commands.py writes a data directory of what such commands say"


def damaged_audio(path: Path) -> AbstractContextManager[None]:
    """What libsndfile says of a file that it cannot decode, or begins to and cannot go on, as an InputError."""
    return foreign(path, "is truncated or not audio", "fetch the file again or remove its utterances")


def open_audio(path: Path) -> soundfile.SoundFile:
    """Open an audio file.

    What is no regular file is an InputError before it is opened: a command,
    which the wav.scp of other programs may hold and nothing here runs, a
    device, standard input.  So is a file that is no audio.
    """
    if str(path).rstrip().endswith("|"):
        raise InputError(f"{str(path)[:200]!r} is a command and not an audio file; {COMMANDS}")
    if not isfile(path):
        raise InputError(f"{path} does not exist; check the corpus root and run stage 1 again")
    with damaged_audio(path):
        file = soundfile.SoundFile(path)
    if file.samplerate not in RATES:
        file.close()
        raise InputError(f"{path} has a rate of {file.samplerate} Hz, which no audio has; fetch the file again or remove its utterances")
    return file


def audio_duration(path: Path) -> float:
    """Length of `path` in seconds.

    Reads the header and the last sample only (0.1 ms for FLAC).  A file that
    is missing, empty, not audio, or cut short is an InputError.
    """
    path = Path(path)
    if not isfile(path):
        raise InputError(
            f"{path} is missing; unpack the corpus again, or take its line out of the transcripts"
        )
    with open_audio(path) as file, damaged_audio(path):
        frames, rate = file.frames, file.samplerate
        if frames:
            file.seek(frames - 1)
        last = len(file.read(1))
    # libsndfile shortens a cut WAV or sphere file silently: its length must agree with what the header says.
    if not last or promised_bytes(path) > path.stat().st_size:
        raise InputError(f"{path} is empty or truncated; unpack the corpus again")
    return frames / rate


def promised_bytes(path: Path) -> int:
    """Size of a WAV or NIST sphere file as its header tells it; 0 where it tells nothing."""
    with open(path, "rb") as handle:
        head = handle.read(1024)
    if head.startswith(b"NIST_1A"):
        return _promised_by_sphere(head)
    size = int.from_bytes(head[4:8], "little")
    # Streams written without knowing their length promise the largest number, or nothing.
    return 0 if head[:4] != b"RIFF" or size >= 0xFFFFFFF0 else size + 8


def _promised_by_sphere(head: bytes) -> int:
    told = dict(re.findall(rb"^(\w+) -i (\d+)", head, re.MULTILINE))
    sizes = [told.get(name) for name in (b"sample_count", b"channel_count", b"sample_n_bytes")]
    # What is compressed is shorter than its samples.
    if None in sizes or re.search(rb"^sample_coding -s\d+ \S*embedded", head, re.MULTILINE):
        return 0
    # The header's own length, on its second line.
    start = head[8:16].strip()
    return (int(start) if start.isdigit() else 0) + math.prod(int(size) for size in sizes if size)


def write_audio(path: Path, samples: np.ndarray, rate: int, format: str | None = None, **options: Any) -> None:
    """Write an audio file as `soundfile.write` does; a full disk is an OSError that names it, which libsndfile's is not."""
    path = Path(path)
    encoded = BytesIO()
    soundfile.write(encoded, samples, rate, format=format or path.suffix[1:].upper(), **options)
    try:
        with room_for(path):
            path.write_bytes(encoded.getbuffer())
    except OSError:
        path.unlink(missing_ok=True)
        raise
