"""Downloads that resume and are checked; archives that stay where they are unpacked."""

import hashlib
import io
import os
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from salience.corpora import download as d
from salience.errors import InputError
from salience.files import read_yaml

DATA = os.urandom(3_000_000)
MD5 = hashlib.md5(DATA).hexdigest()


class Server:
    """A server of DATA that can break off, ignore ranges, or serve something else."""

    def __init__(self) -> None:
        self.break_after: int | None = None
        self.ranges = True
        self.data = DATA
        self.starts: list[int] = []


@contextmanager
def serving(server: Server) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            start = int(asked[len("bytes=") : -1]) if asked and server.ranges else 0
            server.starts.append(start)
            if start >= len(server.data):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(server.data)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body = server.data[start:]
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(server.data) - 1}/{len(server.data)}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if server.break_after is not None:
                body, server.break_after = body[: server.break_after], None
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_port}/file.bin"
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


def fetch(folder: Path, *urls: str, **known: object) -> Path:
    archive = d.Archive("file.bin", urls, **known)  # type: ignore[arg-type]
    return d.download(archive, folder, "--corpus-archive", timeout=5, pause=0)


def test_broken_transfer_goes_on_where_it_stopped(tmp_path: Path) -> None:
    server = Server()
    server.break_after = 1_000_000
    with serving(server) as url:
        path = fetch(tmp_path, url, md5=MD5, size=len(DATA))
    assert path.read_bytes() == DATA
    assert server.starts[0] == 0 and 0 < server.starts[1] <= 1_000_000
    assert [p.name for p in tmp_path.iterdir()] == ["file.bin"]


def test_part_of_a_killed_run_is_used(tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(DATA[:12345])
    server = Server()
    with serving(server) as url:
        assert fetch(tmp_path, url, md5=MD5).read_bytes() == DATA
        assert server.starts == [12345]
        fetch(tmp_path, url, md5=MD5)
        assert server.starts == [12345], "a complete file was fetched again"


@pytest.mark.parametrize("size", [None, len(DATA)])
def test_complete_part_needs_no_byte(tmp_path: Path, size: int | None) -> None:
    (tmp_path / "file.bin.part").write_bytes(DATA)
    with serving(Server()) as url:
        assert fetch(tmp_path, url, md5=MD5, size=size).read_bytes() == DATA


def test_server_without_ranges_starts_over(tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(b"x" * 1000)
    server = Server()
    server.ranges = False
    with serving(server) as url:
        assert fetch(tmp_path, url, md5=MD5).read_bytes() == DATA


def test_part_of_another_file_is_thrown_away(tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(b"x" * 1000)
    with serving(Server()) as url:
        assert fetch(tmp_path, url, md5=MD5).read_bytes() == DATA


def test_next_mirror_serves_when_one_is_dead_or_wrong(tmp_path: Path) -> None:
    wrong, right = Server(), Server()
    wrong.data = DATA[::-1]
    with serving(wrong) as bad, serving(right) as good:
        assert fetch(tmp_path, "http://127.0.0.1:9/file.bin", bad, good, md5=MD5).read_bytes() == DATA


def test_wrong_checksum_everywhere_leaves_nothing(tmp_path: Path) -> None:
    wrong = Server()
    wrong.data = DATA[::-1]
    with serving(wrong) as url, pytest.raises(InputError, match="wrong md5"):
        fetch(tmp_path, url, md5=MD5)
    assert list(tmp_path.iterdir()) == []


def test_no_network_names_the_option(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--corpus-archive") as caught:
        fetch(tmp_path, "http://127.0.0.1:9/file.bin")
    assert "\n" not in str(caught.value)


def test_checksum_seen_is_recorded_and_compared(tmp_path: Path) -> None:
    with serving(Server()) as url:
        path = fetch(tmp_path, url)
        assert (tmp_path / "file.bin.sha256").read_text().split()[0] == hashlib.sha256(DATA).hexdigest()
        path.write_bytes(DATA[:-1])
        with pytest.raises(InputError, match="wrong sha256"):
            fetch(tmp_path, url)


def test_a_new_download_must_be_the_file_of_the_first(tmp_path: Path) -> None:
    """As recipes do: the archive is removed once it is unpacked."""
    server = Server()
    with serving(server) as url:
        fetch(tmp_path, url).unlink()
        fetch(tmp_path, url).unlink()
        record = tmp_path / "file.bin.sha256"
        seen = record.read_text()
        server.data = DATA[::-1]
        with pytest.raises(InputError, match="what came has the wrong sha256") as caught:
            fetch(tmp_path, url)
        assert f"remove {record} if you trust the file that is there now" in str(caught.value) and "\n" not in str(
            caught.value
        )
        assert record.read_text() == seen and [p.name for p in tmp_path.iterdir()] == [record.name]
        record.unlink()
        assert fetch(tmp_path, url).read_bytes() == DATA[::-1] and record.read_text() != seen
    with pytest.raises(InputError) as caught:
        fetch(tmp_path / "other", "http://127.0.0.1:9/file.bin")
    assert "if you trust" not in str(caught.value)


def test_what_is_packed_for_each_download_is_not_compared(tmp_path: Path) -> None:
    server = Server()
    with serving(server) as url:
        fetch(tmp_path, url, fixed=False).unlink()
        server.data = DATA[::-1]
        assert fetch(tmp_path, url, fixed=False).read_bytes() == DATA[::-1]
    assert [p.name for p in tmp_path.iterdir()] == ["file.bin"]


def test_a_users_copy_of_the_published_file_is_checked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By its name or its size; what the user packed has neither and is taken."""
    published = d.Archive("file.bin", (), size=len(DATA), md5=MD5)
    own, renamed, packed = (tmp_path / name for name in ("file.bin", "renamed.bin", "part.tar.xz"))
    own.write_bytes(DATA)
    packed.write_bytes(DATA[:1000])
    caplog.set_level("INFO")
    assert d.obtain(published, tmp_path / "t", own, "--option") == own and not caplog.messages
    assert d.obtain(published, tmp_path / "t", packed, "--option") == packed
    assert caplog.messages == [f"{packed} is not the published file.bin: there is no checksum to compare"]
    own.write_bytes(DATA[:-1])
    renamed.write_bytes(DATA[::-1])
    for path, fault in ((own, "has 2999999 bytes instead of 3000000"), (renamed, "has the wrong md5")):
        with pytest.raises(InputError) as caught:
            d.obtain(published, tmp_path / "t", path, "--option")
        assert str(caught.value) == f"{path} {fault}; fetch it again, or give it another name if you packed it yourself"
    assert not (tmp_path / "t").exists()


def test_too_little_disk_is_said_before_anything_is_fetched(tmp_path: Path) -> None:
    server = Server()
    with serving(server) as url, pytest.raises(InputError, match="GB free"):
        fetch(tmp_path, url, size=10**18)
    assert server.starts == []


def tar_with(path: Path, *members: tuple[tarfile.TarInfo, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_unpacks_every_kind_of_tar(tmp_path: Path, mode: str) -> None:
    path = tar_with(tmp_path / "a", (member("c/x"), b"hello"), (member("./y"), b"you"), mode=mode)
    d.unpack(path, tmp_path / "out")
    assert (tmp_path / "out/c/x").read_bytes() == b"hello" and (tmp_path / "out/y").read_bytes() == b"you"


@pytest.mark.parametrize(
    "bad",
    [
        (member("../evil"), b"x"),
        (member("a/../../evil"), b"x"),
        (member("/tmp/salience-evil"), b"x"),
        (member("a", tarfile.SYMTYPE, "/etc/passwd"), b""),
        (member("a", tarfile.SYMTYPE, "../../evil"), b""),
        (member("a", tarfile.LNKTYPE, "../evil"), b""),
        (member("a", tarfile.CHRTYPE), b""),
        (member("a", tarfile.FIFOTYPE), b""),
    ],
)
def test_tar_cannot_lead_out(tmp_path: Path, bad: tuple[tarfile.TarInfo, bytes]) -> None:
    path = tar_with(tmp_path / "a.tar.gz", (member("fine"), b"x"), bad)
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError, match="not the corpus"):
        d.unpack(path, tmp_path / "in/out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tar.gz", "in"]
    assert not any(p.is_symlink() for p in tmp_path.rglob("*"))


def test_link_inside_becomes_a_copy(tmp_path: Path) -> None:
    path = tar_with(tmp_path / "a.tar", (member("d/x"), b"hello"), (member("d/y", tarfile.SYMTYPE, "x"), b""), mode="w")
    d.unpack(path, tmp_path / "out")
    assert (tmp_path / "out/d/y").read_bytes() == b"hello" and not (tmp_path / "out/d/y").is_symlink()


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_file_unpacked_again_is_known_again_and_one_with_other_content_is_not(tmp_path: Path, kind: str) -> None:
    def times(content: bytes, out: str) -> list[int]:
        for name in ("a", out):
            shutil.rmtree(tmp_path / name, ignore_errors=True)
        if kind == "tar":
            one, other = member("d/x"), member("y", tarfile.SYMTYPE, "d/x")
            one.mtime, other.mtime = 1_000_000_001, 7
            tar_with(tmp_path / "a", (one, content), (other, b""), mode="w")
        else:
            with zipfile.ZipFile(tmp_path / "a", "w") as archive:
                for name in ("d/x", "y"):
                    archive.writestr(zipfile.ZipInfo(name, (2001, 9, 9, 1, 46, 40)), content)
        d.unpack(tmp_path / "a", tmp_path / out)
        (tmp_path / "a").unlink()
        return [(tmp_path / out / name).stat().st_mtime_ns for name in ("d/x", "y")]

    first = times(b"hello", "one")
    assert {when // 10**9 for when in first} == {1_000_000_001 if kind == "tar" else 1_000_000_000}
    assert times(b"hello", "two") == first and times(b"hullo", "three") != first


@pytest.mark.parametrize("time", [-1, 2**70])
def test_a_time_that_no_file_has_is_no_error(tmp_path: Path, time: int) -> None:
    odd = member("x")
    odd.mtime = time
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        tar.addfile(odd)
    d.unpack(tmp_path / "a.tar", tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        info = zipfile.ZipInfo("y")
        info.date_time = (1980, 0, 0, 0, 0, 0)
        archive.writestr(info, b"x")
    d.unpack(tmp_path / "a.zip", tmp_path / "out")
    assert (tmp_path / "out/x").exists() and (tmp_path / "out/y").exists()


@pytest.mark.parametrize("name", ["../evil", "/evil", "a\\..\\evil"])
def test_zip_cannot_lead_out(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("fine", b"x")
        archive.writestr(name, b"x")
    with pytest.raises(InputError, match="leads out"):
        d.unpack(tmp_path / "a.zip", tmp_path / "in/out")


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_truncated_archive_is_one_sentence(tmp_path: Path, mode: str) -> None:
    path = tar_with(tmp_path / "a", (member("x"), os.urandom(100_000)), mode=mode)
    path.write_bytes(path.read_bytes()[:50_000])
    with pytest.raises(InputError, match="fetch it again"):
        d.unpack(path, tmp_path / "out")


@given(st.binary(max_size=300))
def test_no_bytes_are_worse_than_an_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("unpack")
    (folder / "a").write_bytes(data)
    try:
        d.unpack(folder / "a", folder / "out")
    except InputError:
        pass
    assert {p.name for p in folder.iterdir()} <= {"a", "out"}


def test_folder_is_whole_or_absent_and_never_somebody_elses(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), d.whole_folder(tmp_path / "x") as folder:
        (folder / "half").touch()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    for text in ("one", "two"):
        with d.whole_folder(tmp_path / "x") as folder:
            (folder / "file").write_text(text)
    assert (tmp_path / "x/file").read_text() == "two"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").write_text("precious")
    with pytest.raises(InputError, match="was not made by this program"), d.whole_folder(tmp_path / "mine"):
        pass
    assert (tmp_path / "mine/file").read_text() == "precious"


def test_a_whole_folder_may_be_a_link_to_another_disk(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "x").symlink_to(tmp_path / "disk/x")
    for text in ("one", "two"):
        with d.whole_folder(tmp_path / "x") as folder:
            assert folder.parent == tmp_path / "disk"
            (folder / "file").write_text(text)
    assert (tmp_path / "disk/x/file").read_text() == "two" and (tmp_path / "x").is_symlink()


def test_every_release_has_an_address_and_most_a_checksum() -> None:
    names = list(read_yaml(d.RELEASES, ""))
    releases = {name: d.release(name) for name in names}
    assert all(name in ("edacc_inner",) or release.urls for name, release in releases.items())
    assert all(
        url.endswith((release.name, "v1.0.10.tar.gz", "v1.0.10"))
        for release in releases.values()
        for url in release.urls
    )
    unchecked = {name for name, release in releases.items() if not (release.md5 or release.sha256)}
    assert unchecked == {"edacc", "fsdd", "qut_noise", "speechocean762"}


def test_a_root_is_a_folder_or_one_in_it(tmp_path: Path) -> None:
    (tmp_path / "a" / "corpus" / "mark").mkdir(parents=True)
    (tmp_path / "a" / ".hidden" / "mark").mkdir(parents=True)

    def is_root(path: Path) -> bool:
        return (path / "mark").is_dir()

    assert (
        d.root_in(tmp_path / "a", is_root, "") == d.root_in(tmp_path / "a/corpus", is_root, "") == tmp_path / "a/corpus"
    )
    with pytest.raises(InputError, match=f"^{tmp_path} holds no mark; {d.give('x')}$"):
        d.root_in(tmp_path, is_root, f"mark; {d.give('x')}")
