"""The recordings of a set by utterance at 16 kHz, from packed arrays or from a data directory of any recipe."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from more_itertools import chunked, map_reduce

from salience.audio import audio_duration
from salience.data.directories import read_data_dir
from salience.data.packed import read_packed
from salience.data.signals import read_utterance
from salience.errors import InputError, stale
from salience.steps import audio_fingerprint

RATE = 16000

SHORTEST = 400
"""Samples of one frame of wav2vec 2.0."""

GRID = RATE // 2
"""Utterances are padded to multiples of so many samples where a batch must not change a result."""

STEP = RATE // 10
"""Batches are padded to multiples of so many samples, so that few lengths occur: oneDNN prepares every convolution anew
for each length, which takes longer than a short batch itself."""


class Waveforms(Mapping[str, np.ndarray]):
    """Signals (samples,) float32 by utterance id, read when they are asked for.

    data: a data directory.  packed: the folder of its packed signals; without
    one the recordings are decoded each time.  scaled: bring each utterance to
    zero mean and unit variance, as the published models hear them.

    `samples` holds the number of samples by utterance, to within a
    millisecond where only the data directory says it.
    """

    def __init__(self, data: Path, packed: Path | None = None, scaled: bool = True) -> None:
        self.data, self.scaled = data, scaled
        self.utterances = {u.id: u for u in read_data_dir(data)}
        if not self.utterances:
            raise stale(data, "holds no utterance")
        self._packed = read_packed(packed) if packed is not None else None
        if self._packed is not None:
            rows = {key: row for row, key in enumerate(self._packed.ids)}
            for key in self.utterances:
                if key not in rows:
                    raise stale(packed / "utterances", f"has no line for {key}, which {data} has")
            self._rows = rows
            self.samples = {key: int(self._packed.samples[rows[key]]) for key in self.utterances}
            self.inputs = [data / "utt2spk", packed / "signals.npy", packed / "utterances"]
        else:
            self.samples = {key: round(RATE * (u.duration or _seconds(u.audio))) for key, u in self.utterances.items()}
            self.inputs = [data / name for name in ("utt2spk", "wav.scp", "segments")]

    def keep(self, keys: Iterable[str]) -> None:
        """Leave out all others."""
        kept = set(keys)
        self.utterances = {key: utterance for key, utterance in self.utterances.items() if key in kept}
        self.samples = {key: count for key, count in self.samples.items() if key in kept}

    @property
    def settings(self) -> dict[str, str]:
        """What stands for the recordings in a step's record, beside `inputs`."""
        return {"sound": self.identity()}

    def identity(self) -> str:
        """What stands for the recordings in a step's record."""
        return "packed" if self._packed is not None else audio_fingerprint(u.audio for u in self.utterances.values())

    def __getitem__(self, key: str) -> np.ndarray:
        if self._packed is not None:
            signal = self._packed.signal(self._rows[key])
        else:
            signal = read_utterance(self.utterances[key], RATE)
        if len(signal) < SHORTEST:
            raise InputError(
                f"{self.data}: {key} has {len(signal)} samples at {RATE} Hz, too few for one frame; remove it from"
                " the set"
            )
        return scale(signal) if self.scaled else signal.astype(np.float32)

    def __iter__(self) -> Iterator[str]:
        return iter(self.utterances)

    def __len__(self) -> int:
        return len(self.utterances)


def scale(signal: np.ndarray) -> np.ndarray:
    """Zero mean and unit variance; silence stays silence."""
    signal = signal.astype(np.float64)
    return ((signal - signal.mean()) / np.sqrt(signal.var() + 1e-7)).astype(np.float32)


def _seconds(path: Path) -> float:
    """Length of a recording whose data directory lacks it; 0 if it cannot be read, which decoding will explain."""
    try:
        return audio_duration(path)
    except InputError:
        return 0.0


def padded_samples(samples: int, grid: int = GRID) -> int:
    """Samples an utterance is padded to; depends on nothing but its own length."""
    return -(-samples // grid) * grid


def batches_of_equals(samples: Mapping[str, int], batch_size: int) -> Iterator[list[str]]:
    """Utterances that share a padded length, so that neither batch size nor neighbours change a result."""
    groups = map_reduce(sorted(samples, key=lambda k: (samples[k], k)), lambda key: padded_samples(samples[key]))
    for length in sorted(groups):
        yield from chunked(groups[length], batch_size)


def pad_signals(signals: Sequence[np.ndarray], length: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Signals (batch, samples), zero-padded to `length` or the next multiple of STEP, and 1 where they are real."""
    length = max(length, padded_samples(max(map(len, signals)), STEP))
    padded = np.zeros((len(signals), length), np.float32)
    real = np.zeros((len(signals), length), np.int64)
    for row, signal in enumerate(signals):
        padded[row, : len(signal)], real[row, : len(signal)] = signal, 1
    return padded, real


def labels_of_set(waveforms: Waveforms, kind: str) -> dict[str, str]:
    """The accent or gender of each utterance; one without is an InputError."""
    if kind not in ("accent", "gender"):
        raise InputError(f"there are no labels {kind!r} of utterances; there are accent and gender")
    table = "utt2accent" if kind == "accent" else "spk2gender"
    labels = {
        key: utterance.accent if kind == "accent" else utterance.gender
        for key, utterance in waveforms.utterances.items()
    }
    for key, label in labels.items():
        if label is None:
            owner = key if kind == "accent" else waveforms.utterances[key].speaker
            raise InputError(f"{waveforms.data}/{table} has no line for {owner}; a classifier needs a label for each")
    return {key: str(label) for key, label in labels.items()}


def total_hours(sets: Iterable[Waveforms]) -> float:
    """Hours of sound in these sets."""
    return sum(sum(waveforms.samples.values()) for waveforms in sets) / RATE / 3600
