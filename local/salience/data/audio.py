"""Audio of any rate, format and channel count, as mono float32."""

from pathlib import Path

import numpy as np
import soundfile
import soxr

from salience.corpora.headers import damaged_audio, open_audio, promised_bytes
from salience.errors import InputError

BLOCK = 1 << 20
"""Samples that are decoded at once."""


def read_audio(path: Path, rate: int, start: float | None = None, end: float | None = None) -> np.ndarray:
    """Read a file, or the part of it between `start` and `end` seconds.

    Only that part is decoded.  Channels are averaged; other rates are
    resampled (soxr, high quality).  Returns float32 samples in [-1, 1] of
    shape (samples,).  A missing, unreadable, truncated or empty file is an
    InputError.
    """
    with open_audio(path) as source, damaged_audio(path):
        first = 0 if start is None else round(start * source.samplerate)
        last = source.frames if end is None else round(end * source.samplerate)
        if last > source.frames + source.samplerate // 10:
            raise InputError(f"{path} ends at {source.frames / source.samplerate:.2f} s, before the segment's end at {end:.2f} s; fetch the recording again or correct segments")
        source.seek(min(first, source.frames))
        samples = _read(source, max(last - first, 0))
        found, wanted, source_rate = len(samples), min(last, source.frames) - first, source.samplerate
    # An MP3's header only estimates its length, hence the tenth of a second.
    if found == 0 or found < wanted - source_rate // 10:
        raise InputError(f"{path} holds {found} of the {wanted} samples its header promises; fetch the file again or remove its utterances")
    # Of a cut WAV or sphere file, libsndfile knows only what is left.
    if promised_bytes(path) > (size := Path(path).stat().st_size):
        raise InputError(f"{path} holds {size} of the {promised_bytes(path)} bytes its header promises; fetch the file again or remove its utterances")
    if source_rate != rate:
        samples = soxr.resample(samples, source_rate, rate)
    if len(samples) == 0:
        raise InputError(f"{path} is too short to be heard at {rate} Hz; remove its utterances")
    return np.ascontiguousarray(samples, dtype=np.float32)


def _read(source: soundfile.SoundFile, frames: int) -> np.ndarray:
    """So many frames from here, the mean of the channels; fewer where there are fewer.

    In blocks, because memory for all that a damaged header promises may be
    more than there is.
    """
    blocks = [np.zeros(0, np.float32)]
    size = max(1, BLOCK // source.channels)
    while frames > 0:
        block = source.read(min(size, frames), dtype="float32", always_2d=True).mean(axis=1)
        blocks.append(block)
        frames = frames - len(block) if len(block) == min(size, frames) else 0
    return np.concatenate(blocks)


def change_speed(samples: np.ndarray, rate: int, factor: float) -> np.ndarray:
    """Play faster (`factor` > 1) or slower, pitch included, as `sox speed` does."""
    import shutil

    if shutil.which("sox") is None:
        raise InputError("speed perturbation needs the program sox; install it (Debian: apt-get install sox) or leave out --speed-factors")
    import sox

    return sox.Transformer().speed(factor).build_array(input_array=samples, sample_rate_in=rate).astype(np.float32)
