"""Kaldi archives, through kaldiio: written whole or not at all, read with checks."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from os.path import isfile
from pathlib import Path

import kaldiio
import numpy as np
from kaldiio.matio import read_matrix_or_vector

from salience.data.tables import read_table, write_table
from salience.errors import RERUN, InputError, stale
from salience.files import foreign, publish, room_for, temporary_name
from salience.specifiers import Range, parse_specifier

ONE_BYTE = 5
"""kaldiio's number for one byte a value with the matrix's own range (Kaldi's kOneByteAuto)."""

TOO_LONG = 2
"""Rows by which a range may pass the matrix's end, as in Kaldi: segments are rounded, and so are frames."""

ENTRY = 512
"""Bytes, at most, of an entry's two ids, header and place."""


class ArchiveWriter:
    """Write `<prefix>.ark` and `<prefix>.scp`; both appear when the `with` block ends without an exception.

    The scp names the archive as `prefix` does: give a path relative to where
    the recipe runs, or an absolute one.
    """

    def __init__(self, prefix: Path, compress: bool = False) -> None:
        prefix = Path(prefix)
        self.ark = prefix.with_name(prefix.name + ".ark")
        self.scp = prefix.with_name(prefix.name + ".scp")
        self._method = ONE_BYTE if compress else None
        self._lines: dict[str, str] = {}

    def __enter__(self) -> "ArchiveWriter":
        self.ark.parent.mkdir(parents=True, exist_ok=True)
        with room_for(self.ark):
            self._handle = open(temporary_name(self.ark), "wb")
        return self

    def write(self, key: str, matrix: np.ndarray) -> None:
        """Append one matrix; a value that is not finite is an InputError."""
        if not np.isfinite(matrix).all():
            raise InputError(
                f"{key}: the values to be written to {self.ark} are not all finite; check its audio or features"
            )
        # An scp points past "key ", to the binary marker.
        offset = self._handle.tell() + len(key.encode()) + 1
        options = {} if self._method is None else {"compression_method": self._method}
        with room_for(self.ark):
            kaldiio.save_ark(self._handle, {key: np.ascontiguousarray(matrix, dtype=np.float32)}, **options)
        self._lines[key] = f"{self.ark}:{offset}"

    def __exit__(self, kind: type | None, value: BaseException | None, trace: object) -> None:
        try:
            # On a full disk it is closing that fails.
            with room_for(self.ark):
                self._handle.close()
                if kind is None:
                    publish(temporary_name(self.ark), self.ark)
        finally:
            temporary_name(self.ark).unlink(missing_ok=True)
        if kind is not None:
            return
        write_table(self.scp, self._lines)


class Archive(Mapping[str, np.ndarray]):
    """Matrices by utterance id, read one at a time.  `path` is an scp file."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._specifiers = read_table(self.path)

    def __getitem__(self, key: str) -> np.ndarray:
        specifier = self._specifiers.get(key)
        if specifier is None:
            raise stale(self.path, f"has no entry for {key}")
        entry = f"{self.path}: the entry of {key} at {specifier}"
        if "|" in (specifier[:1], specifier[-1:]):
            raise InputError(
                f"{self.path}: the entry of {key} is the command {specifier!r}, which is not run; write its features"
                " into an archive"
            )
        try:
            matrix = _read_matrix(specifier)
        except FileNotFoundError:
            raise InputError(f"{entry} does not exist; {RERUN}", self.path) from None
        except InputError as error:
            raise InputError(f"{entry} {error}; correct the range") from None
        except Exception as error:
            fault = f"is corrupt ({type(error).__name__})"
            raise InputError(f"{entry} {fault}; remove the archive and {RERUN}", self.path) from None
        if matrix is None or matrix.size == 0:
            raise InputError(f"{entry} is corrupt or no matrix; remove the archive and {RERUN}", self.path)
        if not np.isfinite(matrix).all():
            raise InputError(f"{entry} holds a NaN or an infinity; check its audio and {RERUN}", self.path)
        return matrix

    @property
    def columns(self) -> int | None:
        """Columns of the first matrix; None if there is none."""
        return next((self[key].shape[1] for key in self), None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._specifiers)

    def __len__(self) -> int:
        return len(self._specifiers)

    def __contains__(self, key: object) -> bool:
        return key in self._specifiers


class FeatureSet(Archive):
    """The features of a set, in a folder with feats.scp and utt2num_frames.

    `frames` holds each utterance's number of frames, so that batches are formed without reading; `inputs` and
    `settings` are for the records of what is made of them.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "feats.scp")
        self.inputs: list[Path] = [self.path]
        self.settings: dict[str, object] = {}

    @cached_property
    def frames(self) -> dict[str, int]:
        table = self.path.with_name("utt2num_frames")
        counts = read_table(table)
        with foreign(table, "holds what is not a number of frames", RERUN):
            return {key: int(counts[key]) for key in self}


class LoadedFeatures(dict[str, np.ndarray]):
    """Features (frames, bins) by utterance in memory, for whoever reads a FeatureSet."""

    @property
    def frames(self) -> dict[str, int]:
        """Each utterance's number of frames."""
        return {key: len(matrix) for key, matrix in self.items()}


def _read_matrix(specifier: str) -> np.ndarray | None:
    """The matrix that a specifier names, or the part of it; None if something else lies there.

    kaldiio would run a command, wait for standard input, and unpickle what is
    marked as a pickle.  So only binary matrices get to it, from regular
    files, and only those whose header promises no more than the file holds.
    """
    place = parse_specifier(specifier)
    if not isfile(place.file):
        raise FileNotFoundError(place.file)
    with open(place.file, "rb") as handle:
        size = os.fstat(handle.fileno()).st_size
        handle.seek(place.offset)
        header = re.match(rb"\0B(?:([FD])M \x04(.{4})\x04(.{4})|CM(|2|3) .{8}(.{4})(.{4}))", handle.read(30), re.DOTALL)
        if header is None:
            return None
        kind, *sizes = header.group(1), *(header.group(2, 3) if header[1] else header.group(5, 6))
        rows, columns = (int.from_bytes(number, "little", signed=True) for number in sizes)
        width = {b"F": 4, b"D": 8, None: 2 if header[4] == b"2" else 1}[kind]
        if min(rows, columns) < 0 or rows * columns * width > size:
            raise EOFError
        handle.seek(place.offset)
        matrix: np.ndarray = read_matrix_or_vector(handle)
    rows = _within(place.rows, matrix.shape[0], "rows", TOO_LONG)
    return matrix[rows, _within(place.columns, matrix.shape[1], "columns")]


def _within(wanted: Range, size: int, what: str, more: int = 0) -> slice:
    first = 0 if wanted[0] is None else wanted[0]
    last = size - 1 if wanted[1] is None else wanted[1]
    if wanted != (None, None) and not first <= min(last, size - 1) <= last < size + more:
        raise InputError(f"asks for {what} {first} to {last}, and the matrix has {what} 0 to {size - 1}")
    return slice(first, last + 1)


def archive_bytes(frames: Iterable[int], columns: int, compress: bool) -> int:
    """So much disk matrices of these numbers of frames take at most, with their scp lines."""
    lengths = list(frames)
    return sum(lengths) * columns * (1 if compress else 4) + ENTRY * len(lengths)


def merge_scps(parts: list[Path], target: Path) -> int:
    """Join the scp files of an array's jobs into one, sorted; an id in two parts is an InputError."""
    merged: dict[str, str] = {}
    for part in parts:
        for key, specifier in read_table(part).items():
            if key in merged:
                fault = f"repeats {key}, which is in another part"
                raise InputError(f"{part} {fault}; remove {target.parent} and {RERUN}", part)
            merged[key] = specifier
    write_table(target, merged)
    return len(merged)
