"""Recordings of any format, as 16 kHz mono; clips as 16-bit WAV."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from salience.collection.spans import RATE
from salience.corpora.headers import promised_bytes
from salience.errors import InputError

logger = logging.getLogger(__name__)

DAMAGED = 0.01
"""The largest share of a recording's packets that may be damaged; silence stands for those."""


def decode(path: Path) -> np.ndarray:
    """All of a recording: the first audio stream of a sound or film file, channels averaged, at 16 kHz.

    FFmpeg's libraries, which PyAV brings along, do the decoding, so no program
    need be installed.  Memory is that of the result, float32 (samples,).  A
    packet that cannot be decoded becomes silence of its length.  A file that
    is missing, empty, shorter than its header says, damaged in more than
    DAMAGED of its packets, or no audio is an InputError.
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
            samples = _resampled(path, container)
    except (av.error.FFmpegError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path} cannot be decoded ({said}); fetch the recording again, or convert it") from None
    if len(samples) == 0:
        raise InputError(f"{path} holds no sample; fetch the recording again")
    if not np.isfinite(samples).all():
        raise InputError(f"{path} holds samples that are no numbers; fetch the recording again, or convert it")
    return samples


def _resampled(path: Path, container: Any) -> np.ndarray:
    """Mono float32 at 16 kHz from PyAV's container, resampled by soxr piece by piece."""
    import av

    pieces: list[np.ndarray] = []
    stream, rate = None, 0
    packets = damaged = 0
    said = ""
    for packet in container.demux(container.streams.audio[0]):
        packets += 1
        try:
            frames = packet.decode()
        except av.error.FFmpegError as error:
            damaged, said = damaged + 1, str(error.strerror)
            # At most a second: what is damaged may lie about its length.
            lost = min(float((packet.duration or 0) * (packet.time_base or 0)), 1.0)
            silence = np.zeros(round(lost * (rate or RATE)), np.float32)
            pieces.append(stream.resample_chunk(silence) if stream else silence)
            continue
        for frame in frames:
            if stream is None:
                rate = frame.sample_rate
                stream = soxr.ResampleStream(rate, RATE, 1, dtype="float32")
            elif frame.sample_rate != rate:
                raise ValueError(f"its rate changes from {rate} to {frame.sample_rate} Hz")
            pieces.append(stream.resample_chunk(_mono(frame)))
    if damaged > DAMAGED * packets:
        raise ValueError(f"{said}: {damaged} of {packets} packets")
    if damaged:
        logger.warning("%s: silence stands for %d of %d packets, which are damaged (%s)", path, damaged, packets, said)
    if stream is not None:
        pieces.append(stream.resample_chunk(np.zeros(0, np.float32), last=True))
    return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)


def _mono(frame: Any) -> np.ndarray:
    """The mean of a frame's channels, float32 (samples,), whole numbers scaled to [-1, 1]."""
    values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, frame.layout.nb_channels).T
    if values.dtype == np.uint8:
        values = values.astype(np.float32) / 128 - 1
    elif np.issubdtype(values.dtype, np.integer):
        values = values.astype(np.float32) / -float(np.iinfo(values.dtype).min)
    return np.ascontiguousarray(values.mean(axis=0, dtype=np.float32))


def write_clip(path: Path, samples: np.ndarray) -> None:
    """Write float samples (samples,) in [-1, 1] as 16 kHz mono 16-bit WAV, rounded, never wrapped around."""
    scaled = np.clip(np.round(samples.astype(np.float64) * 32768), -32768, 32767).astype(np.int16)
    soundfile.write(path, scaled, RATE, format="WAV", subtype="PCM_16")
