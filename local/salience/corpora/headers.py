"""How long an audio file is, told by its header, and whether the rest of it is there."""

import math
import re
from pathlib import Path

import soundfile

from salience.errors import InputError


def audio_duration(path: Path) -> float:
    """Length of `path` in seconds.

    Reads the header and the last sample only (0.1 ms for FLAC).  A file that
    is missing, empty, not audio, or cut short is an InputError.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"{path} is missing; unpack the corpus again, or take its line out of the transcripts"
        )
    try:
        with soundfile.SoundFile(path) as file:
            frames, rate = file.frames, file.samplerate
            if frames:
                file.seek(frames - 1)
            last = len(file.read(1))
    except soundfile.SoundFileError as error:
        raise InputError(f"{path} is truncated or not audio ({error}); unpack the corpus again") from None
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
    return int(head[8:16]) + math.prod(int(size) for size in sizes if size)
