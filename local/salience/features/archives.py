"""Kaldi archives, through kaldiio: written whole or not at all, read with checks."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kaldiio
import numpy as np

from salience.data.tables import read_table
from salience.errors import InputError
from salience.files import publish, temporary_name, whole_file

ONE_BYTE = 5
"""kaldiio's number for one byte a value with the matrix's own range (Kaldi's kOneByteAuto)."""


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
        self._handle = open(temporary_name(self.ark), "wb")
        return self

    def write(self, key: str, matrix: np.ndarray) -> None:
        """Append one matrix; a value that is not finite is an InputError."""
        if not np.isfinite(matrix).all():
            raise InputError(f"{key}: the values to be written to {self.ark} are not all finite; check its audio or features")
        # An scp points past "key ", to the binary marker.
        offset = self._handle.tell() + len(key.encode()) + 1
        options = {} if self._method is None else {"compression_method": self._method}
        kaldiio.save_ark(self._handle, {key: np.ascontiguousarray(matrix, dtype=np.float32)}, **options)
        self._lines[key] = f"{self.ark}:{offset}"

    def __exit__(self, kind: type | None, value: BaseException | None, trace: object) -> None:
        try:
            # On a full disk it is closing that fails.
            self._handle.close()
            if kind is None:
                publish(temporary_name(self.ark), self.ark)
        finally:
            temporary_name(self.ark).unlink(missing_ok=True)
        if kind is not None:
            return
        with whole_file(self.scp) as handle:
            for key in sorted(self._lines, key=str.encode):
                handle.write(f"{key} {self._lines[key]}\n")


class Archive(Mapping[str, np.ndarray]):
    """Matrices by utterance id, read one at a time.  `path` is an scp file."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._specifiers = read_table(self.path)

    def __getitem__(self, key: str) -> np.ndarray:
        specifier = self._specifiers.get(key)
        if specifier is None:
            raise InputError(f"{self.path} has no entry for {key}; run the stage that writes it again")
        try:
            matrix: Any = kaldiio.load_mat(specifier)
        except FileNotFoundError:
            raise InputError(f"{self.path}: the archive of {key}, {specifier}, does not exist; run the stage that writes it again") from None
        except Exception as error:
            raise InputError(f"{self.path}: the entry of {key} at {specifier} is corrupt ({type(error).__name__}); remove the archive and run the stage that writes it again") from None
        if not isinstance(matrix, np.ndarray) or matrix.ndim != 2 or matrix.size == 0:
            raise InputError(f"{self.path}: the entry of {key} at {specifier} is no matrix; remove the archive and run the stage that writes it again")
        if not np.isfinite(matrix).all():
            raise InputError(f"{self.path}: the entry of {key} at {specifier} holds a NaN or an infinity; check its audio and run the stage that writes it again")
        return matrix

    def __iter__(self) -> Iterator[str]:
        return iter(self._specifiers)

    def __len__(self) -> int:
        return len(self._specifiers)

    def __contains__(self, key: object) -> bool:
        return key in self._specifiers


def merge_scps(parts: list[Path], target: Path) -> int:
    """Join the scp files of an array's jobs into one, sorted; an id in two parts is an InputError."""
    merged: dict[str, str] = {}
    for part in parts:
        for key, specifier in read_table(part).items():
            if key in merged:
                raise InputError(f"{part} repeats {key}, which stands in another part; remove {target.parent} and run the stage again")
            merged[key] = specifier
    with whole_file(target) as handle:
        for key in sorted(merged, key=str.encode):
            handle.write(f"{key} {merged[key]}\n")
    return len(merged)
