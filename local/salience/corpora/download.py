"""Archives: fetched resumably from several mirrors, checked before use, unpacked only inside a folder.

pooch checks what it downloads, but it starts again after an interruption and
knows one address a file, so the transfer is our own.
"""

import hashlib
import logging
import os
import posixpath
import shutil
import stat
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import urlsplit

from salience.errors import InputError
from salience.files import foreign, publish, read_yaml, temporary_name, visible, write_lines
from salience.progress import bytes_bar

logger = logging.getLogger(__name__)

BLOCK = 1 << 20
ROUNDS = 3
"""How often the whole list of mirrors is tried."""


@dataclass(frozen=True)
class Archive:
    """A published file: the name it gets here, where it is, and how to tell that it is the right one."""

    name: str
    urls: tuple[str, ...]
    size: int | None = None
    md5: str | None = None
    sha256: str | None = None
    fixed: bool = True
    """False: packed anew for each download, so that no two are equal."""


RELEASES = Path(__file__).with_name("releases.yaml")


@cache
def release(name: str) -> Archive:
    """An entry of RELEASES."""
    entry = read_yaml(RELEASES, "restore it")[name]
    return Archive(**entry | {"urls": tuple(url.format_map(entry) for url in entry["urls"])})


def obtain(published: Archive | str, target: Path, own: Path | None, option: str) -> Path:
    """The user's `own` archive, checked if it is the published one, or else that one, downloaded into `target`.

    Of what cannot be downloaded, `published` is the sentence that says so.
    """
    if isinstance(published, str):
        if own is None:
            raise InputError(published)
        return Path(own)
    if own is None:
        return download(published, target, option)
    check_own(own, published)
    return Path(own)


def root_in(folder: Path, is_root: Callable[[Path], object], missing: str) -> Path:
    """The first of `folder` and the folders in it that `is_root`; else an InputError that ends in `missing`."""
    for candidate in (folder, *(visible(folder.iterdir()) if folder.is_dir() else ())):
        if is_root(candidate):
            return candidate
    raise InputError(f"{folder} holds no {missing}")


def give(name: str) -> str:
    """How a corpus of this name is given, for the end of a sentence."""
    return f"give the corpus' folder with --{name}-root or its archive with --{name}-archive"


def fetch(
    published: Archive | str,
    folder: Path,
    own: Path | None,
    option: str,
    find_root: Callable[[Path], Path],
    prepare: Callable[[Path], object] = lambda root: None,
) -> Path:
    """Unpack the user's `own` archive, or download the published one, into `folder`; return the corpus root in it.

    Args:
        published: the release, which is removed once unpacked; or why there is none to download
        folder: where the corpus is to be
        own: the user's archive
        option: the corpus in names of options
        find_root: finds the root in a folder, or raises InputError
        prepare: called with the root before it is in place
    """
    file = obtain(published, folder.parent, own, f"--{option}-root or --{option}-archive")
    with whole_folder(folder) as unpacked:
        unpack(file, unpacked)
        prepare(find_root(unpacked))
    if own is None:
        file.unlink()
    return find_root(folder)


@dataclass(frozen=True)
class Corpus:
    """A corpus that is known by what lies in its root.

    Args:
        folder: name of the folder that it is unpacked into
        option: the corpus in names of options
        holds: patterns of what its root holds
        published: the release, or why there is none to download
        prepare: called with the unpacked root before it is in place
    """

    folder: str
    option: str
    holds: tuple[str, ...]
    published: Archive | str
    prepare: Callable[[Path], object] = lambda root: None

    def find_root(self, folder: Path) -> Path:
        """The corpus root: `folder` or one in it."""
        missing = f"{' beside '.join(self.holds)}; {give(self.option)}"
        return root_in(folder, lambda path: all(visible(path.glob(pattern)) for pattern in self.holds), missing)

    def fetch(self, target: Path, archive: Path | None = None) -> Path:
        """Unpack the user's `archive`, or download the release, below `target`; returns the corpus root."""
        folder = target / self.folder
        return fetch(self.published, folder, archive, self.option, self.find_root, self.prepare)


def check_own(path: Path, published: Archive) -> None:
    """Verify a user's archive that has the name or the size of the published one.

    Any other was packed by the user, perhaps with a part of the corpus, and is
    taken as it is.
    """
    if path.name == published.name or (path.is_file() and path.stat().st_size == published.size):
        verify(path, published, "fetch it again, or give it another name if you packed it yourself")
    elif path.is_file():
        logger.info("%s is not the published %s: there is no checksum to compare", path, published.name)


def download(archive: Archive, folder: Path, option: str, timeout: float = 30, pause: float = 2) -> Path:
    """Fetch `archive` into `folder` and return its path; a complete file there is used again.

    An interrupted transfer goes on where it stopped, at the next mirror if
    need be.  The file gets its name only after its size and checksum agreed.
    Where nobody published a checksum, that of the first download is recorded,
    and later ones have to agree with it.
    `option` names what the user can give instead, for the error when no mirror
    answers.  `timeout` and `pause` (between rounds) are seconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / archive.name
    record = path.with_name(f"{archive.name}.sha256")
    unpublished = archive.fixed and archive.md5 is None and archive.sha256 is None
    if unpublished and record.exists():
        archive = replace(archive, sha256=_recorded_checksum(record, path))
    if path.exists():
        verify(path, archive)
        return path
    part = path.with_name(f"{archive.name}.part")
    _check_space(folder, archive, part)
    reasons: dict[str, str] = {}
    changed = ""
    for attempt in range(ROUNDS):
        if attempt:
            time.sleep(pause)
        for url in archive.urls:
            host = urlsplit(url).netloc
            try:
                _continue_transfer(url, part, archive, timeout)
                fault = _fault(part, archive)
            except urllib.error.HTTPError as error:
                reasons[host] = f"HTTP {error.code}"
            except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
                reasons[host] = str(getattr(error, "reason", None) or error or type(error).__name__)
            else:
                if fault is None:
                    if unpublished and not record.exists():
                        _record_checksum(part, record)
                    publish(part, path)
                    return path
                # What came is not the file: nothing of it can be used at the next mirror.
                part.unlink(missing_ok=True)
                reasons[host] = f"what came {fault}"
                if unpublished:
                    changed = f"remove {record} if you trust the file that is there now, "
            if not attempt:
                logger.info("%s: %s", url, reasons[host])
    by_reason = {reason: [host for host in reasons if reasons[host] == reason] for reason in reasons.values()}
    listed = "; ".join(f"{', '.join(hosts)}: {reason}" for reason, hosts in by_reason.items())
    raise InputError(
        f"{archive.name} cannot be downloaded ({listed}); connect to a network and run the same command "
        f"again, {changed}or give your own copy with {option}"
    )


def _check_space(folder: Path, archive: Archive, part: Path) -> None:
    if archive.size is None:
        return
    there = part.stat().st_size if part.exists() else 0
    # The archive and what it unpacks to; compressed audio hardly grows.
    needed = int(2.1 * archive.size) - there
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"{folder} has {free / 1e9:.1f} GB free and {archive.name} needs {needed / 1e9:.1f} GB; "
            "free some, or choose another folder"
        )


def _continue_transfer(url: str, part: Path, archive: Archive, timeout: float) -> None:
    there = part.stat().st_size if part.exists() else 0
    if archive.size is not None and there >= archive.size:
        return
    request = urllib.request.Request(url, headers={"User-Agent": "salience"})
    if there:
        request.add_header("Range", f"bytes={there}-")
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416 and there:
            # Nothing beyond what we have: it is complete, which verify() decides, or another file.
            total = (error.headers.get("Content-Range") or "").rpartition("/")[2]
            if total == str(there):
                return
            part.unlink()
        raise
    with response:
        resumed = response.status == 206 and (response.headers.get("Content-Range") or "").startswith(f"bytes {there}-")
        expected = int(response.headers.get("Content-Length") or 0)
        if response.status == 206 and not resumed:
            raise ConnectionError("the server answered with another part than the one asked for")
        if not resumed:
            there = 0
        with (
            open(part, "ab" if resumed else "wb") as handle,
            bytes_bar(archive.name, there + expected or archive.size, there) as progress,
        ):
            received = 0
            while block := response.read(BLOCK):
                handle.write(block)
                received += len(block)
                progress(there + received)
    if expected and received < expected:
        raise ConnectionError(f"the connection ended after {there + received} of {there + expected} bytes")


def verify(path: Path, archive: Archive, remedy: str = "remove it and fetch it again") -> None:
    """Raise InputError unless `path` has the size and checksum of `archive`."""
    if not path.is_file():
        raise InputError(f"{path} does not exist; give the path of {archive.name}")
    fault = _fault(path, archive)
    if fault is not None:
        raise InputError(f"{path} {fault}; {remedy}")


def _fault(path: Path, archive: Archive) -> str | None:
    """How a file differs from `archive`, if it does."""
    size = path.stat().st_size
    if archive.size is not None and size != archive.size:
        return f"has {size} bytes instead of {archive.size}"
    for algorithm, expected in (("md5", archive.md5), ("sha256", archive.sha256)):
        if expected is not None and checksum(path, algorithm) != expected:
            return f"has the wrong {algorithm}"
    return None


def checksum(path: Path, algorithm: str) -> str:
    """The hexadecimal digest of a file."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, algorithm).hexdigest()


def _recorded_checksum(record: Path, path: Path) -> str:
    with foreign(record, "holds no checksum", f"remove it, and {path.name}, which is then fetched again"):
        return record.read_text(encoding="utf-8").split()[0]


def _record_checksum(path: Path, record: Path) -> None:
    seen, name = checksum(path, "sha256"), record.name.removesuffix(".sha256")
    write_lines(record, [f"{seen}  {name}"])
    logger.info("no checksum of %s is published; recorded the one seen, sha256 %s", name, seen)


def unpack(path: Path, folder: Path, max_bytes: int | None = None) -> None:
    """Unpack a tar (plain, gzip, bzip2, xz) or zip archive below `folder`.

    Only folders and regular files are written; a link inside the archive
    becomes a copy of the file or folder that it points to, and what macOS
    adds beside each file (`._*`, `__MACOSX`) is left out.  A name or link that
    leads out of the archive, a device, more than `max_bytes` (by default a
    hundred times the archive's own), and a truncated or unknown archive are
    InputErrors; then `folder` may hold a part, so unpack into a temporary one.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist; give the path of an archive")
    unpacked = _Unpacked(path, folder, max_bytes or GROWTH * max(path.stat().st_size, BLOCK))
    with foreign(path, "is truncated or not an archive", "fetch it again"):
        (_unpack_zip if zipfile.is_zipfile(path) else _unpack_tar)(path, unpacked)


GROWTH = 100
"""No corpus is this many times as large unpacked; archives made to fill disks are."""

HEADER = 8192
"""Bytes that a name or other header of a member may have; a few Pythons take minutes to read a megabyte of it."""


class _Unpacked:
    """The folder that an archive is unpacked to, and what may still be written there."""

    def __init__(self, path: Path, folder: Path, max_bytes: int) -> None:
        self.path, self.folder, self.max_bytes, self.left = path, folder, max_bytes, max_bytes
        folder.mkdir(parents=True, exist_ok=True)

    def refusal(self, why: str) -> InputError:
        """The error for an archive with something in it that no corpus has."""
        return InputError(f"{self.path} {why}; this archive is not the corpus")

    def place(self, name: str) -> Path:
        """Where a member lies; a name that leads out of the folder is an InputError."""
        pure = PurePosixPath(name)
        if pure.is_absolute() or ".." in pure.parts or "\\" in name or "\0" in name:
            raise self.refusal(f"holds {name!r}, which leads out of the folder")
        return self.folder.joinpath(*pure.parts)

    def spend(self, number: int) -> None:
        """Count bytes; no number of files is free of cost."""
        self.left -= number
        if self.left < 0:
            raise self.refusal(f"unpacks to more than {self.max_bytes / 1e6:.0f} MB, many times its own size")

    def make_folder(self, name: str) -> None:
        """Make a folder of the archive."""
        self.spend(MEMBER)
        self.place(name).mkdir(parents=True, exist_ok=True)

    def write(self, name: str, source: IO[bytes], changed: float) -> None:
        """Write a file of the archive, with the time (in seconds) that it has there.

        Recordings are recognised by size and time, so unpacking one again does
        not make it a new one.  For archives whose files all have the same
        time, the fraction of the second depends on the content.
        """
        self.spend(MEMBER)
        destination = self.place(name)
        destination.parent.mkdir(parents=True, exist_ok=True)
        content = 0
        with source, open(destination, "wb") as handle:
            while block := source.read(BLOCK):
                self.spend(len(block))
                handle.write(block)
                content = zlib.crc32(block, content)
        # A time that no file can have is the archive's mistake, and does no harm here.
        with suppress(OSError, OverflowError, ValueError):
            when = int(changed) * 10**9 + content % 10**9
            os.utime(destination, ns=(when, when))


MEMBER = 1024
"""Bytes that even an empty file or folder is taken for."""


class _Member(tarfile.TarInfo):
    """A member whose own sizes are checked, which Python's tarfile believes: below 0 it never ends (CVE-2025-8194)."""

    def _block(self, count: int) -> int:
        if count < 0:
            raise tarfile.ReadError("a size below 0")
        return super()._block(count)  # type: ignore[misc, no-any-return]

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        if self.size > HEADER and self.type in LONG_HEADERS:
            raise tarfile.ReadError("a header that is too long")
        if self.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.ReadError("a file with holes")
        return super()._proc_member(tar)  # type: ignore[misc, no-any-return]

    def _proc_gnusparse_10(self, *_: object) -> None:
        raise tarfile.ReadError("a file with holes")


LONG_HEADERS = (
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE,
)  # fmt: skip


def _of_macos(name: str) -> bool:
    """Whether a member is no file of the corpus but what macOS knows of one beside it."""
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or any(part.startswith("._") for part in parts)


def _unpack_tar(path: Path, unpacked: _Unpacked) -> None:
    links: dict[str, tuple[str, str]] = {}
    files: dict[str, float] = {}
    with (
        open(path, "rb") as raw,
        bytes_bar(f"unpacking {path.name}", path.stat().st_size) as progress,
        tarfile.open(fileobj=raw, tarinfo=_Member) as tar,
    ):
        for member in tar:
            # tarfile remembers every member, for links that we follow ourselves.
            tar.members.clear()
            progress(raw.tell())
            if _of_macos(member.name):
                continue
            unpacked.place(member.name)
            name = posixpath.normpath(member.name)
            if member.isdir():
                unpacked.make_folder(member.name)
            elif member.isreg():
                source = tar.extractfile(member)
                assert source is not None
                unpacked.write(member.name, source, member.mtime)
                files[name] = member.mtime
            elif member.islnk() or member.issym():
                unpacked.spend(MEMBER)
                # A symbolic link counts from its own folder, a hard link from the archive's top.
                place = posixpath.dirname(name) if member.issym() else ""
                links[name] = member.name, posixpath.normpath(posixpath.join(place, member.linkname))
            else:
                raise unpacked.refusal(f"holds {member.name!r}, which is not a file")
    for name, (written, target) in links.items():
        seen = {name}
        while target in links and target not in seen:
            seen.add(target)
            target = links[target][1]
        found = [target] if target in files else [name for name in files if name.startswith(f"{target}/")]
        if not found:
            raise unpacked.refusal(f"holds the link {written!r}, which leads out of it")
        for name in found:
            source = open(unpacked.place(name), "rb")
            unpacked.write(written + name.removeprefix(target), source, files[name])


def _unpack_zip(path: Path, unpacked: _Unpacked) -> None:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if _of_macos(member.filename):
                continue
            if stat.S_ISLNK(member.external_attr >> 16):
                raise unpacked.refusal(f"holds the link {member.filename!r}")
            if member.is_dir():
                unpacked.make_folder(member.filename)
            else:
                unpacked.write(member.filename, archive.open(member), _zip_time(member))


def _zip_time(member: zipfile.ZipInfo) -> float:
    """Zip archives name no time zone; a date that is none (of month 0, say) is the first one that they know."""
    try:
        return datetime(*member.date_time, tzinfo=UTC).timestamp()
    except ValueError:
        return datetime(1980, 1, 1, tzinfo=UTC).timestamp()


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """An empty folder at `path` for the block, removed afterwards and before, if a killed run left it."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


MARK = ".made-by-salience"
"""A file in every folder that `whole_folder` made, and that it may therefore replace."""


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new folder to fill; it replaces `path` if the block ends without an exception.

    A folder that was not made here is never replaced: that is an InputError.
    """
    if path.exists() and any(path.iterdir()) and not (path / MARK).exists():
        raise InputError(
            f"{path} exists and was not made by this program; move it away, or choose another target folder"
        )
    # A link may lead to another disk, onto which no folder can be renamed.
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(temporary_name(path)) as temporary:
        yield temporary
        (temporary / MARK).touch()
        if path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)
