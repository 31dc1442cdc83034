"""Features of the utterances of a data directory, in batches of similar length."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from salience.data.records import Utterance
from salience.data.signals import read_utterance
from salience.errors import InputError
from salience.features import fbank, logmel

RATE = 16_000


class Kind(NamedTuple):
    """One kind of features of 16 kHz audio.

    transform: matrices (frames, bins) of a batch of signals, given the number
    of `bins`, on a `device`.  num_frames: frames of a number of samples.
    bins: possible numbers of bins, the usual one first.  max_frames: what an
    utterance may have.
    """

    transform: Callable[..., list[np.ndarray]]
    num_frames: Callable[[int], int]
    bins: tuple[int, ...]
    max_frames: float = float("inf")


KINDS = {
    "logmel": Kind(logmel.log_mel, logmel.num_frames, (logmel.BINS, 128), logmel.FRAMES_30S),
    "fbank": Kind(
        lambda audios, bins, device: fbank.fbank_of_audios(audios, device=device), fbank.num_frames, (fbank.BINS,)
    ),
}


def extract(
    utterances: Sequence[Utterance],
    kind: Kind,
    bins: int,
    speeds: Mapping[str, str],
    device: str = "cpu",
    batch_seconds: float = 60.0,
    bandwidth: float | None = None,
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (utterance id, features (frames, bins)), shortest first.

    Args:
        utterances: what is read
        kind: one of KINDS
        bins: number of mel bins
        speeds: utterance id to the speed at which it is played, if it is one
        device: where the transform runs
        batch_seconds: seconds of padded audio that are transformed at a time
        bandwidth: hertz to which all audio is limited first, see salience.audio.limit_band
    """
    for batch in batches(utterances, batch_seconds):
        audios = []
        for utterance in batch:
            speed = float(speeds[utterance.id]) if utterance.id in speeds else None
            audio = read_utterance(utterance, RATE, speed, bandwidth)
            frames, begins = kind.num_frames(len(audio)), f"{utterance.audio}: the utterance {utterance.id} lasts"
            if frames == 0:
                raise InputError(
                    f"{begins} {1000 * len(audio) / RATE:.1f} ms, less than the window of one frame; leave it out of "
                    "the data directory"
                )
            if frames > kind.max_frames:
                raise InputError(
                    f"{begins} {len(audio) / RATE:.1f} s, over Whisper's 30; leave it out of the data directory"
                )
            audios.append(audio)
        for utterance, matrix in zip(batch, kind.transform(audios, bins=bins, device=device), strict=True):
            yield utterance.id, matrix


def batches(utterances: Sequence[Utterance], seconds: float) -> Iterator[list[Utterance]]:
    """Utterances of similar length, at most `seconds` of padded audio together."""
    batch: list[Utterance] = []
    for utterance in sorted(utterances, key=lambda u: (u.duration, u.id)):
        if batch and utterance.duration * (len(batch) + 1) > seconds:
            yield batch
            batch = []
        batch.append(utterance)
    if batch:
        yield batch
