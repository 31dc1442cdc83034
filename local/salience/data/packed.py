"""Whole sets of short recordings as one array in a file: read once, kept in memory, cut into batches by indexing."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from salience.audio import audio_info
from salience.data.directories import read_data_dir
from salience.data.records import Utterance
from salience.data.signals import read_utterance
from salience.data.tables import read_table, write_table
from salience.errors import InputError
from salience.files import foreign, publish, room_for, temporary_name
from salience.progress import bar
from salience.steps import audio_fingerprint

INT16 = 32768.0


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

    def rows(self, width: int) -> np.ndarray:
        """The signals as (utterances, width), zeros behind each one's end; of a set that was packed in that width."""
        if len(self.signals) != width * len(self) or (self.starts != width * np.arange(len(self))).any():
            raise InputError(f"a set that was not packed {width} samples wide is read so; run stage 2 again")
        return self.signals.reshape(len(self), width)


def pack(folder: Path, utterances: Sequence[Utterance], rate: int, width: int | None = None, shortest: int = 1) -> None:
    """Write folder/signals.npy and folder/utterances, a table of first sample and number of samples.

    With a `width`, each utterance takes so many samples, and a longer one is
    an InputError, as is one with less than `shortest`.  16-bit recordings
    stay 16-bit integers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kind = _kind(utterances)
    counts = {}
    # Appended to as it is read: the sum of the lengths is not known before.
    temporary, raw = temporary_name(folder / "signals.npy"), temporary_name(folder / "signals.raw")
    try:
        with room_for(folder / "signals.npy"):
            with open(raw, "wb") as handle:
                place = 0
                for utterance in bar(utterances, f"packing {folder.name}"):
                    signal = read_utterance(utterance, rate)
                    if width is not None and len(signal) > width:
                        raise InputError(
                            f"{utterance.audio} has {len(signal)} samples at {rate} Hz, more than the {width} of a"
                            f" command; cut it or remove {utterance.id}"
                        )
                    if len(signal) < shortest:
                        raise InputError(
                            f"{utterance.audio} has {len(signal)} samples at {rate} Hz, too few for one window; remove"
                            f" {utterance.id}"
                        )
                    counts[utterance.id] = f"{place} {len(signal)}"
                    if kind is np.int16:
                        signal = np.clip(np.rint(signal * INT16), -INT16, INT16 - 1)
                    if width is not None:
                        signal = np.pad(signal, (0, width - len(signal)))
                    handle.write(signal.astype(kind).tobytes())
                    place += len(signal)
            # Not through a memory map: on a full disk that ends in a signal instead of an error.
            header = {"descr": np.lib.format.dtype_to_descr(np.dtype(kind)), "fortran_order": False, "shape": (place,)}
            with open(temporary, "wb") as handle, open(raw, "rb") as signals:
                np.lib.format.write_array_header_1_0(handle, header)
                shutil.copyfileobj(signals, handle)
            publish(temporary, folder / "signals.npy")
    finally:
        raw.unlink(missing_ok=True)
        temporary.unlink(missing_ok=True)
    write_table(folder / "utterances", counts)


def packed_bytes(utterances: Sequence[Utterance], rate: int, width: int | None = None) -> int:
    """What the file of these utterances will take, if their durations are right."""
    samples = sum(width or round(utterance.duration * rate) for utterance in utterances)
    return samples * np.dtype(_kind(utterances)).itemsize


def _kind(utterances: Sequence[Utterance]) -> type[np.generic]:
    return np.int16 if _is_16_bit(utterances[0].audio) else np.float32


def _is_16_bit(path: Path) -> bool:
    try:
        return audio_info(path).encoding in ("PCM_16", "pcm_s16le")
    except InputError:
        # read_utterance says what is wrong with it.
        return False


def read_packed(folder: Path) -> Packed:
    """Read what `pack` wrote; the signals stay in the file until they are used."""
    table = read_table(folder / "utterances")
    again = "remove the folder and run stage 2 again"
    with foreign(folder / "utterances", "is no list of places in signals.npy", again):
        places = np.array([value.split() for value in table.values()], dtype=np.int64).reshape(len(table), 2)
    with foreign(folder / "signals.npy", "holds no packed signals", again, "run stage 2"):
        signals = np.load(folder / "signals.npy", mmap_mode="r", allow_pickle=False)
    if not isinstance(signals, np.ndarray) or signals.ndim != 1 or signals.dtype not in (np.int16, np.float32):
        raise InputError(f"{folder}/signals.npy holds no packed signals; {again}")
    if (places < 0).any():
        raise InputError(f"{folder}/utterances has a number below 0; {again}")
    if (places[:, 0] > len(signals) - places[:, 1]).any():
        raise InputError(
            f"{folder}/signals.npy is shorter than its utterances; remove the folder and run stage 2 again"
        )
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

        def unpacked(row: int) -> np.ndarray:
            signal = packed.signals[packed.starts[row] : packed.starts[row] + packed.samples[row]]
            return np.float32(signal) / (np.float32(INT16) if signal.dtype == np.int16 else np.float32(1))

        return Signals(packed.ids, packed.samples.tolist(), unpacked, [folder / "step.json"])
    utterances = read_data_dir(folder)
    return Signals(
        [u.id for u in utterances],
        [round(u.duration * rate) for u in utterances],
        lambda row: read_utterance(utterances[row], rate),
        [folder],
        audio_fingerprint(u.audio for u in utterances),
    )
