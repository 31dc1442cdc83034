"""Kaldi archives: to and from kaldiio, whole or absent, and refused when damaged."""

import contextlib
import tempfile
from pathlib import Path

import kaldiio
import numpy as np
import pytest
from accent_helpers import noise
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from salience.data.tables import id_fault, read_table
from salience.errors import InputError
from salience.features.archives import Archive, ArchiveWriter, merge_scps
from salience.specifiers import parse_specifier
from salience.steps import fingerprint

keys = st.text(
    st.characters(blacklist_categories=["Zs", "Zl", "Zp", "Cc", "Cs", "Cf"]), min_size=1, max_size=12
).filter(lambda key: id_fault(key.encode()) is None)
matrices = arrays.arrays(
    np.float32,
    arrays.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=20),
    elements=st.floats(-1e6, 1e6, width=32),
)


def written(folder: Path, matrices: dict[str, np.ndarray], compress: bool = False, name: str = "feats") -> Path:
    """The scp of an archive with these matrices."""
    with ArchiveWriter(folder / name, compress) as writer:
        for key, matrix in matrices.items():
            writer.write(key, matrix)
    return folder / f"{name}.scp"


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(keys, matrices, min_size=1, max_size=4))
def test_kaldiio_reads_what_we_write(content):
    with tempfile.TemporaryDirectory() as folder:
        scp = written(Path(folder), content)
        theirs = kaldiio.load_scp(str(scp))
        assert set(theirs) == set(content) == set(Archive(scp))
        for key, matrix in content.items():
            np.testing.assert_array_equal(theirs[key], matrix)
            np.testing.assert_array_equal(Archive(scp)[key], matrix)
        # Read from front to back, as Kaldi's own tools do.
        for key, matrix in kaldiio.load_ark(str(scp.with_suffix(".ark"))):
            np.testing.assert_array_equal(matrix, content[key])


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(keys, matrices, min_size=1, max_size=4), st.sampled_from([None, 1, 2, 3]))
def test_we_read_what_kaldiio_writes(content, method):
    with tempfile.TemporaryDirectory() as folder:
        scp = Path(folder) / "feats.scp"
        options = {} if method is None else {"compression_method": method}
        with kaldiio.WriteHelper(f"ark,scp:{folder}/feats.ark,{scp}", **options) as writer:
            for key, matrix in content.items():
                writer(key, matrix)
        theirs = kaldiio.load_scp(str(scp))
        for key, matrix in content.items():
            if np.isfinite(theirs[key]).all():
                np.testing.assert_array_equal(Archive(scp)[key], theirs[key])
            if method is None:
                np.testing.assert_array_equal(Archive(scp)[key], matrix)


@settings(max_examples=60, deadline=None)
@given(matrices)
def test_one_byte_is_within_half_a_step(matrix):
    with tempfile.TemporaryDirectory() as folder:
        scp = written(Path(folder), {"a": matrix}, compress=True)
        read = Archive(scp)["a"]
        step = (float(matrix.max()) - float(matrix.min())) / 255
        tolerance = step / 2 + 1e-5 * float(np.abs(matrix).max()) + 1e-30
        assert np.abs(read.astype(float) - matrix).max() <= tolerance
        np.testing.assert_array_equal(kaldiio.load_scp(str(scp))["a"], read)
        assert (Path(folder) / "feats.ark").stat().st_size < matrix.size + 40


def test_an_scp_points_at_the_binary_marker(tmp_path):
    scp = written(tmp_path, {"ü-2": noise(1, (3, 4)), "a": noise(2, (2, 5))})
    table = read_table(scp)
    assert list(table) == sorted(table, key=str.encode) == ["a", "ü-2"]
    for specifier in table.values():
        ark, offset = specifier.rsplit(":", 1)
        assert ark == str(tmp_path / "feats.ark")
        assert Path(ark).read_bytes()[int(offset) :][:5] == b"\0BFM "


def test_a_relative_prefix_stays_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(Path("dump"), {"a": noise(1, (3, 4))})
    assert Path("dump/feats.scp").read_text() == "a dump/feats.ark:2\n"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("compress", [False, True])
def test_what_is_not_finite_is_not_written(tmp_path, value, compress):
    bad = noise(1, (4, 5))
    bad[2, 3] = value
    with pytest.raises(InputError, match=r"^bad: the values .* not all finite"):
        written(tmp_path, {"good": noise(2, (4, 5)), "bad": bad}, compress)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_not_read(tmp_path, value):
    bad = noise(1, (4, 5))
    bad[0, 0] = value
    with kaldiio.WriteHelper(f"ark,scp:{tmp_path}/f.ark,{tmp_path}/f.scp") as writer:
        writer("bad", bad)
        writer("good", noise(2, (4, 5)))
    archive = Archive(tmp_path / "f.scp")
    np.testing.assert_array_equal(archive["good"], noise(2, (4, 5)))
    with pytest.raises(InputError, match="entry of bad at .* holds a NaN or an infinity"):
        archive["bad"]


@pytest.mark.parametrize("compress", [False, True])
def test_a_truncated_archive_is_refused_where_it_is_cut(tmp_path, compress):
    scp = written(tmp_path, {"a": noise(1, (9, 5)), "b": noise(2, (9, 5))}, compress)
    whole = (tmp_path / "feats.ark").read_bytes()
    start = int(read_table(scp)["b"].rsplit(":", 1)[1])
    for end in range(start, len(whole)):
        (tmp_path / "feats.ark").write_bytes(whole[:end])
        assert Archive(scp)["a"].shape == (9, 5)
        with pytest.raises(
            InputError, match=r"entry of b at .*feats\.ark:\d+ is (corrupt|no matrix).*run the step"
        ) as caught:
            Archive(scp)["b"]
        assert "\n" not in str(caught.value)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 40), st.binary(min_size=1, max_size=4), st.booleans())
def test_damage_never_ends_in_a_traceback(position, damage, compress):
    """Damaged values may go unseen; a damaged header is refused, and nothing else is raised."""
    with tempfile.TemporaryDirectory() as folder:
        scp = written(Path(folder), {"a": noise(1, (6, 5))}, compress)
        ark = scp.with_suffix(".ark")
        content = bytearray(ark.read_bytes())
        content[2 + position : 2 + position + len(damage)] = damage
        ark.write_bytes(content)
        with contextlib.suppress(InputError):
            matrix = Archive(scp)["a"]
            assert matrix.ndim == 2 and np.isfinite(matrix).all()


def test_a_damaged_header_is_refused(tmp_path):
    scp = written(tmp_path, {"a": noise(1, (6, 5))})
    ark = tmp_path / "feats.ark"
    whole = ark.read_bytes()
    for damaged in (
        b"a \0BXX " + whole[7:],
        b"a " + whole[4:],
        b"a \0BFM \x04\xff\xff\xff\x7f" + whole[12:],
        bytes(len(whole)),
    ):
        ark.write_bytes(damaged)
        with pytest.raises(InputError, match="entry of a at .* is (corrupt|no matrix)"):
            Archive(scp)["a"]


@pytest.mark.parametrize("specifier", ["feats.ark:99999", "feats.ark:x", "feats.ark"])
def test_a_wrong_offset_is_refused(tmp_path, monkeypatch, specifier):
    monkeypatch.chdir(tmp_path)
    written(Path(), {"a": noise(1, (6, 5))})
    Path("feats.scp").write_text(f"a {specifier}\n")
    with pytest.raises(InputError):
        Archive(Path("feats.scp"))["a"]


PLACES = {
    "{}": (0, np.s_[:, :]), "{}:0": (0, np.s_[:, :]), "{}:99": (99, np.s_[:, :]), "{}:99[0:2]": (99, np.s_[0:3, :]),
    "{}[1:1]": (0, np.s_[1:2, :]), "{}:99[:,2:3]": (99, np.s_[:, 2:4]), "{}:99[0:8,4:4]": (99, np.s_[:, 4:]),
    "{}:99[:]": (99, np.s_[:, :]), "{}:99[2:]": (99, np.s_[2:, :]),
}  # fmt: skip
"""What may stand in an scp behind a file: the byte, and the part of a matrix, both of whose ends Kaldi counts."""


@pytest.mark.parametrize("specifier", PLACES)
@pytest.mark.parametrize("name", ["f.ark", "a:b.ark", "12:30/x[1:2].ark", "with blank/f.ark"])
def test_every_specifier_is_read_and_its_archive_known(tmp_path, monkeypatch, name, specifier):
    monkeypatch.chdir(tmp_path)
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    offset, part = PLACES[specifier]

    def write(seed: int) -> np.ndarray:
        matrix = noise(seed, (9, 5))
        content = (
            b"\0BFM \x04"
            + (9).to_bytes(4, "little")
            + b"\x04"
            + (5).to_bytes(4, "little")
            + matrix.astype("<f4").tobytes()
        )
        path.write_bytes(b"x" * offset + content)
        return matrix

    Path("feats.scp").write_text(f"a {specifier.format(name)}\n")
    matrix = write(1)
    assert parse_specifier(specifier.format(name))[:2] == (str(path), offset)
    np.testing.assert_array_equal(Archive(Path("feats.scp"))["a"], matrix[part].astype(np.float32))
    before = fingerprint(Path("feats.scp"))
    write(2)
    assert fingerprint(Path("feats.scp")) != before


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("[0:9]", 9), ("[0:10]", 9), ("[8:8]", 1),
     ("[0:11]", "rows 0 to 11"), ("[9:9]", "rows 9 to 9"), ("[3:2]", "rows 3 to 2"),
     ("[:,0:5]", "columns 0 to 5"), ("[0:1,9:9]", "columns 9 to 9")],
)  # fmt: skip
def test_a_range_may_pass_the_end_by_two_rows_as_in_kaldi(tmp_path, wanted, found):
    scp = written(tmp_path, {"a": noise(1, (9, 5))})
    scp.write_text(scp.read_text().strip() + wanted + "\n")
    if isinstance(found, int):
        assert Archive(scp)["a"].shape == (found, 5)
    else:
        with pytest.raises(
            InputError, match=rf"entry of a at .* asks for {found}, and the matrix has .*; correct the range$"
        ):
            Archive(scp)["a"]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=20), st.sampled_from(["", ":0", ":7", "[0:9]", ":7[0:9]", ":7[0:9,2:5]", ":7[:,2:5]"]))
def test_a_name_before_an_offset_may_be_any(name, rest):
    found = parse_specifier(f"/{name}.ark{rest}")
    assert found.file == f"/{name}.ark" and found.offset == (7 if ":7" in rest else 0)
    assert found.rows == ((0, 9) if "[0:9" in rest else (None, None)) and found.columns == (
        (2, 5) if "2:5" in rest else (None, None)
    )


def test_what_is_missing_is_named(tmp_path):
    scp = written(tmp_path, {"a": noise(1, (6, 5))})
    with pytest.raises(InputError, match=r"feats\.scp has no entry for b"):
        Archive(scp)["b"]
    (tmp_path / "feats.ark").unlink()
    with pytest.raises(InputError, match=r"entry of a at .*feats\.ark:2 does not exist"):
        Archive(scp)["a"]
    with pytest.raises(InputError, match=r"none\.scp does not exist"):
        Archive(tmp_path / "none.scp")


def test_an_exception_leaves_what_was_there(tmp_path):
    scp = written(tmp_path, {"a": noise(1, (6, 5))})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for error in (RuntimeError, KeyboardInterrupt):
        with pytest.raises(error), ArchiveWriter(tmp_path / "feats") as writer:
            writer.write("b", noise(2, (6, 5)))
            raise error
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    np.testing.assert_array_equal(Archive(scp)["a"], noise(1, (6, 5)))


def test_nothing_is_in_place_before_the_end(tmp_path):
    with ArchiveWriter(tmp_path / "feats") as writer:
        writer.write("a", noise(1, (6, 5)))
        assert not (tmp_path / "feats.ark").exists() and not (tmp_path / "feats.scp").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["feats.ark", "feats.scp"]


def test_a_full_disk_leaves_nothing_behind(tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("/dev/full is not here")
    (tmp_path / ".feats.ark.tmp").symlink_to("/dev/full")
    # Small enough to stay in the buffer until the file is closed, and too large for it.
    for size in (10, 100_000):
        with pytest.raises(OSError, match="No space left"):
            written(tmp_path, {"a": noise(1, (size, 2))})
        assert list(tmp_path.iterdir()) == []
        (tmp_path / ".feats.ark.tmp").symlink_to("/dev/full")


def test_parts_are_merged_in_order(tmp_path):
    one = written(tmp_path, {"b": noise(1, (2, 2)), "d": noise(2, (2, 2))}, name="f.1")
    two = written(tmp_path, {"ä": noise(3, (2, 2)), "a": noise(4, (2, 2))}, name="f.2")
    assert merge_scps([one, two], tmp_path / "f.scp") == 4
    merged = Archive(tmp_path / "f.scp")
    assert list(merged) == ["a", "b", "d", "ä"]
    np.testing.assert_array_equal(merged["ä"], noise(3, (2, 2)))


def test_an_id_in_two_parts_is_refused(tmp_path):
    parts = [written(tmp_path, {"a": noise(1, (2, 2))}, name=f"f.{job}") for job in (1, 2)]
    with pytest.raises(InputError, match=r"f\.2\.scp repeats a"):
        merge_scps(parts, tmp_path / "f.scp")
    assert not (tmp_path / "f.scp").exists()
