"""LibriSpeech: the mini corpus round-trips, the real excerpt reads, bad input is one sentence."""

import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from corpora_helpers import contents, listing, real_data
from hypothesis import given
from hypothesis import strategies as st

from salience.corpora import digits, librispeech
from salience.corpora.synthetic import librispeech as mini_librispeech
from salience.errors import InputError

SIZES = {"train": (3, 4), "dev": (2, 2), "test": (2, 3)}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("espeakng_loader")
    root = tmp_path_factory.mktemp("librispeech") / "LibriSpeech"
    mini_librispeech.synthesise(root, seed=3, **SIZES)
    return root


@pytest.fixture
def copy(corpus: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(corpus, tmp_path / "LibriSpeech"))


def test_mini_round_trip(corpus: Path) -> None:
    before = listing(corpus)
    found = list(librispeech.utterances(corpus))
    assert listing(corpus) == before
    assert len(found) == 3 * 4 + 2 * 2 + 2 * 3
    count = {part: sum(u.split == part for u in found) for part in librispeech.DEFAULT_PARTS}
    assert count == {"train-clean-100": 12, "dev-clean": 4, "test-clean": 6}
    assert len({u.speaker for u in found}) == 7 and len({u.text for u in found}) == len(found)
    for utterance in found:
        assert utterance.id.startswith(f"{utterance.speaker}-")
        assert utterance.text == utterance.text.upper() and 3 <= len(utterance.text.split()) <= 6
        info = soundfile.info(utterance.audio)
        assert (info.samplerate, info.channels, info.format, info.subtype) == (16000, 1, "FLAC", "PCM_16")
        assert utterance.duration == info.duration and utterance.gender in ("m", "f")
    sentences = {u.split: {digits.sentence_set(v.text.lower()) for v in found if v.split == u.split} for u in found}
    assert sentences == {"train-clean-100": {digits.TRAIN}, "dev-clean": {digits.DEV}, "test-clean": {digits.TEST}}
    assert "synthetic" in (corpus / "SYNTHETIC.txt").read_text()


def test_mini_is_the_same_again_and_another_with_another_seed(corpus: Path, tmp_path: Path) -> None:
    mini_librispeech.synthesise(tmp_path / "again", seed=3, **SIZES)
    assert contents(tmp_path / "again") == contents(corpus)
    mini_librispeech.synthesise(tmp_path / "other", seed=4, **SIZES)
    assert contents(tmp_path / "other") != contents(corpus)


def test_pretraining_shares_no_voice_with_the_mini_corpus(corpus: Path, tmp_path: Path) -> None:
    mini_librispeech.synthesise_pretraining(tmp_path / "p", seed=3, utterances=10, readers=4)
    found = list(librispeech.utterances(tmp_path / "p"))
    assert len(found) == 10 and {u.split for u in found} == {"train-clean-100"}
    assert not {u.speaker for u in found} & {u.speaker for u in librispeech.utterances(corpus)}
    assert {digits.sentence_set(u.text.lower()) for u in found} == {digits.TRAIN}


def test_every_second_reader_of_the_pretraining_sounds_as_through_a_telephone(tmp_path: Path) -> None:
    """Readers with an odd number have nothing above 4 kHz, not even noise; the others have."""
    pytest.importorskip("espeakng_loader")
    mini_librispeech.synthesise_pretraining(tmp_path / "p", seed=3, utterances=8, readers=4)
    above: dict[bool, list[float]] = {True: [], False: []}
    for utterance in librispeech.utterances(tmp_path / "p"):
        samples, rate = soundfile.read(utterance.audio)
        power = np.abs(np.fft.rfft(samples)) ** 2
        frequencies = np.fft.rfftfreq(len(samples), 1 / rate)
        share = power[frequencies > 4200].sum() / power.sum()
        above[int(utterance.speaker) % 2 == 1].append(float(10 * np.log10(share)))
    assert len(above[True]) == len(above[False]) == 4
    assert max(above[True]) < -60 and min(above[False]) > -35


def test_speaker_60_has_a_bar_in_the_name(corpus: Path) -> None:
    line = next(line for line in (corpus / "SPEAKERS.TXT").read_text().splitlines() if line.startswith("60 "))
    assert line.endswith("|CBW|Simon") and line.count("|") == 6
    assert librispeech.genders(corpus)["60"] in ("m", "f")


def test_real_excerpt() -> None:
    root = real_data("LibriSpeech")
    before = listing(root)
    found = list(librispeech.utterances(root))
    assert listing(root) == before
    assert len(found) == 100 and len({u.speaker for u in found}) == 10
    assert {u.split for u in found} == {"test-other"}
    assert [u.id for u in found] == sorted(u.id for u in found)
    first = next(u for u in found if u.id == "1688-142285-0000")
    assert first.text.startswith("THERE'S IRON THEY SAY") and first.gender == "m" and first.duration == 15.0
    assert librispeech.genders(root)["60"] == "m" or "60" not in librispeech.genders(root)


def test_parent_of_the_root_will_do(corpus: Path) -> None:
    assert librispeech.find_root(corpus.parent) == corpus


def test_part_that_is_not_there(corpus: Path) -> None:
    with pytest.raises(InputError, match="has no part test-other, only dev-clean, test-clean, train-clean-100"):
        list(librispeech.utterances(corpus, ["test-other"]))


def first_of(root: Path, pattern: str) -> Path:
    return sorted(root.rglob(pattern))[0]


@pytest.mark.parametrize("keep", [0, 10, 100, 0.5, 0.999])
def test_truncated_audio(copy: Path, keep: float) -> None:
    path = first_of(copy, "*.flac")
    data = path.read_bytes()
    path.write_bytes(data[: keep if isinstance(keep, int) else int(len(data) * keep)])
    with pytest.raises(InputError, match=f"{path} (is empty|is cut off or damaged|cannot be decoded)"):
        list(librispeech.utterances(copy))


def test_missing_audio(copy: Path) -> None:
    path = first_of(copy, "*.flac")
    path.unlink()
    with pytest.raises(InputError, match=f"{path} does not exist"):
        list(librispeech.utterances(copy))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"%s \n", "has an empty transcript"),
        (b"%s\n", "has an empty transcript"),
        (b"\n", "is empty"),
        (b"%s CAF\xc9\n", "is not UTF-8"),
        (b"nonsense WORDS\n", "is not an id"),
    ],
)
def test_bad_transcript_names_file_and_line(copy: Path, line: bytes, message: str) -> None:
    path = first_of(copy / "train-clean-100", "*.trans.txt")
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = line.replace(b"%s", lines[1].split()[0])
    path.write_bytes(b"".join(lines))
    with pytest.raises(InputError, match=message) as caught:
        list(librispeech.utterances(copy))
    assert f"{path}:2" in str(caught.value) and "\n" not in str(caught.value)


name = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp"), blacklist_characters="\x85"), max_size=20)


@given(st.dictionaries(st.integers(1, 9999), st.tuples(st.sampled_from("FM"), name), min_size=1, max_size=8))
def test_any_name_of_a_reader_is_read(tmp_path_factory: pytest.TempPathFactory, people: dict) -> None:
    root = tmp_path_factory.mktemp("speakers")
    rows = [f"{reader:<4} | {sex} | train-clean-100  | 25.03 | {called}" for reader, (sex, called) in people.items()]
    (root / "SPEAKERS.TXT").write_text("\n".join(["; a comment | with | bars", *rows]) + "\n", encoding="utf-8")
    assert librispeech.genders(root) == {str(reader): sex.lower() for reader, (sex, _) in people.items()}


def test_archive_of_a_part_is_unpacked_beside_others(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archives = tmp_path / "archives"
    archives.mkdir()
    for part in ("dev-clean", "test-clean"):
        path = archives / f"{part}.tar.gz"
        with tarfile.open(path, "w:gz") as tar:
            tar.add(corpus / part, f"LibriSpeech/{part}")
            tar.add(corpus / "SPEAKERS.TXT", "LibriSpeech/SPEAKERS.TXT")
        with pytest.raises(InputError, match="dev-clean.tar.gz has 337926286|test-clean.tar.gz|bytes instead of"):
            librispeech.fetch(tmp_path / "target", archives)
        monkeypatch.setitem(
            librispeech.PARTS,
            part,
            replace(librispeech.PARTS[part], size=None, md5=librispeech.download.checksum(path, "md5")),
        )
    root = librispeech.fetch(tmp_path / "target", archives)
    assert librispeech.parts_in(root) == ["dev-clean", "test-clean"]
    assert len(list(librispeech.utterances(root))) == 4 + 6
    assert sorted(p.name for p in (tmp_path / "target").iterdir()) == ["LibriSpeech"]
