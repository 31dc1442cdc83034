"""Sets of recordings of any length as packed arrays, whole or in chunks, within a bound of disk space.

A set's folder holds either signals.npy and utterances, as packed.py reads
them, or folders chunk0001, chunk0002, ... each of which holds the two.  Signals
are 16-bit integers whatever the recordings are: two bytes a sample.
"""

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from math import ceil
from pathlib import Path

import numpy as np

from salience.data.packed import INT16
from salience.data.records import Utterance
from salience.data.signals import TOLERANCE, read_utterance
from salience.data.tables import read_table, write_table
from salience.errors import stale
from salience.files import publish, temporary_name
from salience.progress import bar
from salience.randomness import generator

HEADER = 128
"""Bytes of the header of signals.npy."""

LINE = 128
"""Bytes, at most, of a line of `utterances`, and of what a chunk's record takes for an utterance."""


@dataclass(frozen=True)
class Chunk:
    """Utterances of one set that are decoded together, and where they go."""

    folder: Path
    utterances: list[Utterance]

    def most_bytes(self, rate: int) -> int:
        """So much disk its files take at most, if the durations of the utterances are right."""
        samples = sum(ceil((utterance.duration + TOLERANCE) * rate) for utterance in self.utterances)
        return HEADER + 2 * samples + LINE * len(self.utterances)


def plan(folder: Path, utterances: Sequence[Utterance], size: int, seed: int) -> list[Chunk]:
    """Share a set's utterances among chunks of `size` in an order drawn from the seed; with 0, one whole set.

    The order is drawn so that each chunk holds many speakers.
    """
    if size == 0:
        return [Chunk(folder, list(utterances))]
    drawn = sorted(utterances, key=lambda utterance: generator(seed, "chunk", utterance.id).random())
    return [
        Chunk(folder / f"chunk{number:04d}", sorted(drawn[first : first + size], key=lambda u: u.id.encode()))
        for number, first in enumerate(range(0, len(drawn), size), 1)
    ]


def chunk_folders(folder: Path) -> list[Path]:
    """Where a set's packed signals are: the folder itself, or its chunks; nothing decoded is an InputError."""
    folder = Path(folder)
    if (folder / "signals.npy").exists():
        return [folder]
    found = sorted(path.parent for path in folder.glob("chunk*/signals.npy"))
    if not found:
        raise stale(folder, "holds no decoded signals")
    return found


def remove_others(folder: Path, wanted: Iterable[Path]) -> None:
    """Remove what is decoded of a set and is not among the folders `wanted`."""
    keep = set(wanted)
    for path in Path(folder).glob("chunk*"):
        if path.is_dir() and path not in keep:
            shutil.rmtree(path, ignore_errors=True)
    # A set is whole or in chunks.
    for name in ("chunks",) if folder in keep else ("signals.npy", "utterances", "step.json"):
        (folder / name).unlink(missing_ok=True)


def decode(chunk: Chunk, rate: int) -> None:
    """Write the chunk's signals.npy and utterances.

    The array is written once, under a temporary name, so that no more is on
    the disk at any time than in the end.  A clip that is longer or shorter than
    its duration is an InputError, so that no more is written than was planned.
    """
    chunk.folder.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(chunk.folder / "signals.npy")
    counts: dict[str, str] = {}
    place = 0
    try:
        with open(temporary, "wb") as handle:
            handle.seek(HEADER)
            for utterance in bar(chunk.utterances, f"decoding {chunk.folder.name}"):
                signal = read_utterance(utterance, rate)
                handle.write(np.clip(np.rint(signal * INT16), -INT16, INT16 - 1).astype("<i2").tobytes())
                counts[utterance.id] = f"{place} {len(signal)}"
                place += len(signal)
            handle.seek(0)
            handle.write(_header(place))
        write_table(chunk.folder / "utterances", counts)
        publish(temporary, chunk.folder / "signals.npy")
    finally:
        temporary.unlink(missing_ok=True)


def write_view(folder: Path, whole: Path, utterances: Iterable[Utterance]) -> None:
    """Make `folder` read as a packed set of some of the utterances of `whole`, whose signals it links to."""
    places = read_table(whole / "utterances")
    folder.mkdir(parents=True, exist_ok=True)
    write_table(folder / "utterances", {u.id: places[u.id] for u in utterances})
    link = temporary_name(folder / "signals.npy")
    link.unlink(missing_ok=True)
    link.symlink_to(os.path.relpath(whole / "signals.npy", folder))
    os.replace(link, folder / "signals.npy")


def _header(samples: int) -> bytes:
    """NumPy's header of a one-dimensional array of 16-bit integers; it leaves room for any length."""
    written = BytesIO()
    np.lib.format.write_array_header_1_0(written, {"descr": "<i2", "fortran_order": False, "shape": (samples,)})
    assert written.tell() == HEADER
    return written.getvalue()
