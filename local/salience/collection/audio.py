"""Recordings of any format, as 16 kHz mono; clips as 16-bit WAV."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from salience.collection.spans import RATE
from salience.corpora.headers import promised_bytes
from salience.errors import InputError


def decode(path: Path) -> np.ndarray:
    """All of a recording: the first audio stream of a sound or film file, channels averaged, at 16 kHz.

    FFmpeg's libraries, which PyAV brings along, do the decoding, so no program
    need be installed.  Memory is that of the result, float32 (samples,).  A
    file that is missing, empty, cut short or no audio is an InputError.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} is missing; correct the list of recordings")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes); fetch the recording again")
    if promised_bytes(path) > path.stat().st_size:
        raise InputError(f"{path} holds {path.stat().st_size} of the {promised_bytes(path)} bytes its header promises; fetch the recording again")
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise InputError(f"{path} has no audio in it; take it out of the recordings")
            samples = _resampled(container.decode(container.streams.audio[0]))
    except (av.error.FFmpegError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path} cannot be decoded ({said}); fetch the recording again, or convert it") from None
    if len(samples) == 0:
        raise InputError(f"{path} holds no sample; fetch the recording again")
    return samples


def _resampled(frames: Iterator) -> np.ndarray:
    """Mono float32 at 16 kHz from PyAV's frames, resampled by soxr piece by piece."""
    pieces: list[np.ndarray] = []
    stream, rate = None, 0
    for frame in frames:
        values = frame.to_ndarray()
        if not frame.format.is_planar:
            values = values.reshape(-1, frame.layout.nb_channels).T
        if values.dtype == np.uint8:
            values = values.astype(np.float32) / 128 - 1
        elif np.issubdtype(values.dtype, np.integer):
            values = values.astype(np.float32) / -float(np.iinfo(values.dtype).min)
        mono = np.ascontiguousarray(values.mean(axis=0, dtype=np.float32))
        if stream is None:
            rate = frame.sample_rate
            stream = soxr.ResampleStream(rate, RATE, 1, dtype="float32")
        elif frame.sample_rate != rate:
            raise ValueError(f"its rate changes from {rate} to {frame.sample_rate} Hz")
        pieces.append(stream.resample_chunk(mono))
    if stream is not None:
        pieces.append(stream.resample_chunk(np.zeros(0, np.float32), last=True))
    return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)


def write_clip(path: Path, samples: np.ndarray) -> None:
    """Write float samples (samples,) in [-1, 1] as 16 kHz mono 16-bit WAV, rounded, never wrapped around."""
    scaled = np.clip(np.round(samples.astype(np.float64) * 32768), -32768, 32767).astype(np.int16)
    soundfile.write(path, scaled, RATE, format="WAV", subtype="PCM_16")
