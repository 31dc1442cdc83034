"""Whole sets of short recordings as one array in a file: read once, kept in memory, cut into batches by indexing."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from math import ceil
from pathlib import Path

import numpy as np

from salience.audio import TOLERANCE, audio_info
from salience.data.directories import read_data_dir
from salience.data.records import Utterance
from salience.data.signals import read_utterance
from salience.data.tables import read_table, write_table
from salience.errors import RERUN, InputError
from salience.files import foreign, publish, room_for, temporary_name
from salience.progress import bar
from salience.randomness import generator
from salience.steps import audio_fingerprint

INT16 = 32768.0
HEADER = 128
"""Bytes of the header of signals.npy."""
LINE = 128
"""Maximum number of bytes of a line of `utterances`, and of what a record takes for an utterance."""
RECORD = 4096
"""Maximum number of bytes of the rest of a record."""


@dataclass(frozen=True)
class Packed:
    """A set's signals.

    `signals` is one long array, of 16-bit integers or of floats between -1
    and 1.  Utterance i is its `samples[i]` values from `starts[i]` on.
    """

    ids: list[str]
    signals: np.ndarray
    starts: np.ndarray
    samples: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def signal(self, row: int) -> np.ndarray:
        """One utterance's signal, (samples,) float32 between -1 and 1."""
        signal = self.signals[self.starts[row] : self.starts[row] + self.samples[row]]
        return np.float32(signal) / (np.float32(INT16) if signal.dtype == np.int16 else np.float32(1))

    def rows(self, width: int) -> np.ndarray:
        """The signals as (utterances, width), zeros behind each one's end; of a set that was packed in that width."""
        if len(self.signals) != width * len(self) or (self.starts != width * np.arange(len(self))).any():
            raise InputError(f"a set that was not packed {width} samples wide is read so; pack it again")
        return self.signals.reshape(len(self), width)


def pack(
    folder: Path,
    utterances: Sequence[Utterance],
    rate: int,
    width: int | None = None,
    min_samples: int = 1,
    int16: bool = False,
) -> None:
    """Write folder/signals.npy and folder/utterances, a table of first sample and number of samples.

    The array is written once, under a temporary name, so that the disk never
    holds more than in the end.

    Args:
        folder: Folder of the set.
        utterances: Utterances of the set.
        rate: Sampling rate of the array in Hz.
        width: Samples that each utterance takes, padded with zeros; a longer one is an InputError.
        min_samples: An utterance with fewer is an InputError.
        int16: Store 16-bit integers whatever the recordings are; 16-bit recordings always stay that.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kind = _kind(utterances, int16)
    counts, place = {}, 0
    temporary = temporary_name(folder / "signals.npy")
    try:
        with room_for(folder / "signals.npy"):
            with open(temporary, "wb") as handle:
                handle.seek(HEADER)
                for utterance in bar(utterances, f"packing {folder.name}"):
                    signal = read_utterance(utterance, rate)
                    _check_length(utterance, len(signal), rate, width, min_samples)
                    counts[utterance.id] = f"{place} {len(signal)}"
                    if kind == np.int16:
                        signal = np.clip(np.rint(signal * INT16), -INT16, INT16 - 1)
                    signal = np.pad(signal, (0, (width or len(signal)) - len(signal)))
                    handle.write(signal.astype(kind).tobytes())
                    place += len(signal)
                handle.seek(0)
                handle.write(_header(place, kind))
            write_table(folder / "utterances", counts)
            publish(temporary, folder / "signals.npy")
    finally:
        temporary.unlink(missing_ok=True)


def _check_length(utterance: Utterance, samples: int, rate: int, width: int | None, min_samples: int) -> None:
    told = f"{utterance.audio} has {samples} samples at {rate} Hz"
    if width is not None and samples > width:
        raise InputError(f"{told}, more than the {width} of a keyword; cut it or remove {utterance.id}")
    if samples < min_samples:
        raise InputError(f"{told}, too few for one window; remove {utterance.id}")


def _header(samples: int, kind: np.dtype) -> bytes:
    """NumPy's header of a one-dimensional array; it leaves room for any length."""
    written = BytesIO()
    descr = np.lib.format.dtype_to_descr(kind)
    np.lib.format.write_array_header_1_0(written, {"descr": descr, "fortran_order": False, "shape": (samples,)})
    assert written.tell() == HEADER
    return written.getvalue()


def max_bytes(utterances: Sequence[Utterance], rate: int, width: int | None = None, int16: bool = False) -> int:
    """Most bytes that a set's files take, if the durations of its utterances are right."""
    samples = sum(width or ceil((utterance.duration + TOLERANCE) * rate) for utterance in utterances)
    return HEADER + samples * _kind(utterances, int16).itemsize + LINE * len(utterances) + RECORD


def _kind(utterances: Sequence[Utterance], int16: bool) -> np.dtype:
    return np.dtype(np.int16 if int16 or _is_16_bit(utterances[0].audio) else np.float32)


def write_view(folder: Path, whole: Path, utterances: Iterable[Utterance]) -> None:
    """Make `folder` read as a packed set of some of the utterances of `whole`, whose signals it links to."""
    places = read_table(whole / "utterances")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "step.json").unlink(missing_ok=True)
    write_table(folder / "utterances", {u.id: places[u.id] for u in utterances})
    link = temporary_name(folder / "signals.npy")
    link.unlink(missing_ok=True)
    link.symlink_to(os.path.relpath(whole / "signals.npy", folder))
    os.replace(link, folder / "signals.npy")


def chunk_of(utterances: Sequence[Utterance], size: int, number: int, seed: int) -> list[Utterance]:
    """Deal a set's utterances to chunks of `size`, in an order drawn so that each holds many speakers; take one.

    `number` counts from 1; one that is too high is an InputError.
    """
    drawn = sorted(utterances, key=lambda utterance: generator(seed, "chunk", utterance.id).random())
    count = ceil(len(drawn) / size)
    if number > count:
        raise InputError(f"the set has {count} chunks of {size} clips, so there is no --only {number}")
    return sorted(drawn[(number - 1) * size : number * size], key=lambda utterance: utterance.id.encode())


def _is_16_bit(path: Path) -> bool:
    try:
        return audio_info(path).encoding in ("PCM_16", "pcm_s16le")
    except InputError:
        # read_utterance says what is wrong with it.
        return False


def read_packed(folder: Path) -> Packed:
    """Read what `pack` wrote; the signals stay in the file until they are used."""
    table = read_table(folder / "utterances")
    again = f"remove the folder and {RERUN}"
    with foreign(folder / "utterances", "is no list of places in signals.npy", again):
        places = np.array([value.split() for value in table.values()], dtype=np.int64).reshape(len(table), 2)
    with foreign(folder / "signals.npy", "holds no packed signals", again, RERUN):
        signals = np.load(folder / "signals.npy", mmap_mode="r", allow_pickle=False)
    if not isinstance(signals, np.ndarray) or signals.ndim != 1 or signals.dtype not in (np.int16, np.float32):
        raise InputError(f"{folder}/signals.npy holds no packed signals; {again}", folder)
    if (places < 0).any():
        raise InputError(f"{folder}/utterances has a number below 0; {again}", folder)
    if (places[:, 0] > len(signals) - places[:, 1]).any():
        raise InputError(f"{folder}/signals.npy is shorter than its utterances; {again}", folder)
    return Packed(list(table), signals, places[:, 0], places[:, 1])


@dataclass(frozen=True)
class Signals:
    """A set's signals, read one at a time.

    `samples` are as many as the set's tables say; `read` takes a place in
    `ids` and returns (samples,) float32 between -1 and 1.  `files` and
    `fingerprint` identify them.
    """

    ids: list[str]
    samples: list[int]
    read: Callable[[int], np.ndarray]
    files: list[Path]
    fingerprint: str = ""


def open_signals(folder: Path, rate: int) -> Signals:
    """The signals of a data directory, or of a folder that `pack` wrote, at `rate` Hz."""
    if (folder / "signals.npy").exists():
        packed = read_packed(folder)
        return Signals(packed.ids, packed.samples.tolist(), packed.signal, [folder / "step.json"])
    utterances = read_data_dir(folder)
    return Signals(
        [u.id for u in utterances],
        [round(u.duration * rate) for u in utterances],
        lambda row: read_utterance(utterances[row], rate),
        [folder],
        audio_fingerprint(u.audio for u in utterances),
    )
