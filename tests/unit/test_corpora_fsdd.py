"""Digits: metadata is read and never run, strings use each recording once a pass and share no sentence."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from corpora_helpers import contents, listing, real_data
from hypothesis import given
from hypothesis import strategies as st

from salience.corpora import digits, fsdd
from salience.corpora.synthetic import fsdd as mini_fsdd
from salience.errors import InputError


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("espeakng_loader")
    root = tmp_path_factory.mktemp("fsdd") / "fsdd"
    mini_fsdd.synthesise(root, seed=3, indices=6)
    return root


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fsdd.fetch(tmp_path_factory.mktemp("real"), real_data("fsdd.tar.xz"))


@pytest.fixture
def copy(corpus: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(corpus, tmp_path / "fsdd"))


def test_mini_round_trip(corpus: Path) -> None:
    before = listing(corpus)
    found = list(fsdd.utterances(corpus))
    assert listing(corpus) == before
    assert len(found) == 5 * 10 * 6
    assert Counter(u.accent for u in found) == {"us": 120, "german": 120, "french": 60}
    assert Counter(u.split for u in found) == {"test": 250, "train": 50}
    assert [u.id for u in found] == sorted(u.id for u in found)
    for utterance in found:
        info = soundfile.info(utterance.audio)
        assert (info.samplerate, info.channels, info.subtype) == (8000, 1, "PCM_16") and 0.1 < info.duration < 1.5


def test_takes_of_a_digit_differ(corpus: Path) -> None:
    takes = [soundfile.read(path)[0] for path in sorted((corpus / "recordings").glob("7_ann_*.wav"))]
    assert len({len(samples) for samples in takes}) > 1


def test_mini_is_the_same_again(corpus: Path, tmp_path: Path) -> None:
    mini_fsdd.synthesise(tmp_path / "again", seed=3, indices=6)
    assert contents(tmp_path / "again") == contents(corpus)


def test_real_corpus(real: Path) -> None:
    found = list(fsdd.utterances(real.parent))
    assert len(found) == 2500 and Counter(u.split for u in found) == {"train": 2250, "test": 250}
    accents = {u.speaker: u.accent for u in found}
    assert accents == {"jackson": "us", "theo": "us", "lucas": "german", "yweweler": "german", "nicolas": "french"}
    assert {u.gender for u in found} == {"m"}


def test_real_strings(real: Path, tmp_path: Path) -> None:
    train = [u for u in fsdd.utterances(real) if u.speaker == "jackson" and fsdd.index_of(u) >= 10]
    strings = fsdd.draw_strings(train, "train", 2, seed=0, kind=digits.TRAIN)
    assert 190 <= len(strings) <= 210
    used = Counter(digit.id for string in strings for digit in string.digits)
    assert max(used.values()) == 2 and sum(used.values()) >= 0.98 * 800
    joined = fsdd.join(strings[0], tmp_path)
    samples, rate = soundfile.read(joined.audio, dtype="int16")
    expected = []
    for digit, gap in zip(strings[0].digits, (*strings[0].gaps, 0), strict=True):
        expected += [soundfile.read(digit.audio, dtype="int16")[0], np.zeros(round(gap * 8000), dtype=np.int16)]
    np.testing.assert_array_equal(samples, np.concatenate(expected))
    assert rate == 8000 and joined.duration == len(samples) / 8000 and joined.text == strings[0].text


def test_strings_keep_within_a_speaker_and_their_rules(corpus: Path) -> None:
    own = [u for u in fsdd.utterances(corpus) if u.speaker == "dora"]
    strings = fsdd.draw_strings(own, "test", 3, seed=5, kind=digits.TEST)
    assert strings == fsdd.draw_strings(own[::-1], "test", 3, seed=5, kind=digits.TEST)
    assert strings != fsdd.draw_strings(own, "test", 3, seed=6, kind=digits.TEST)
    assert {len(string.digits) for string in strings} == {3, 4, 5}
    for string in strings:
        assert string.id.startswith("dora-test-") and digits.sentence_set(string.text) == digits.TEST
        assert all(0.05 <= gap <= 0.15 for gap in string.gaps) and len(string.gaps) == len(string.digits) - 1
        assert len({digit.id for digit in string.digits}) == len(string.digits)
    for first, second in zip(strings, strings[1:], strict=False):
        assert first.id < second.id


def test_metadata_is_never_run(copy: Path) -> None:
    trap = copy.parent / "trapped"
    path = copy / "metadata.py"
    path.write_text(f"open({str(trap)!r}, 'w')\n{path.read_text()}")
    assert len(fsdd.speakers(copy)) == 5 and not trap.exists()
    path.write_text(f"metadata = {{'ann': {{'accent': open({str(trap)!r}, 'w').name}}}}\n")
    with pytest.raises(InputError, match="plain dictionary"):
        fsdd.speakers(copy)
    assert not trap.exists()


@given(
    st.dictionaries(st.text(min_size=1, max_size=8), st.fixed_dictionaries({"accent": st.text(max_size=8)}), max_size=4)
)
def test_any_dictionary_comes_back(tmp_path_factory: pytest.TempPathFactory, told: dict) -> None:
    root = tmp_path_factory.mktemp("metadata")
    (root / "metadata.py").write_text(f"metadata = {told!a}\n", encoding="utf-8")
    assert fsdd.speakers(root) == told


@given(st.text(max_size=60))
def test_any_other_text_is_one_sentence(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    root = tmp_path_factory.mktemp("metadata")
    (root / "metadata.py").write_text(text, encoding="utf-8", errors="replace")
    with pytest.raises(InputError):
        fsdd.speakers(root)


def test_accent_that_no_label_fits_is_no_label(copy: Path) -> None:
    path = copy / "metadata.py"
    path.write_text(path.read_text().replace("BEL/French", "BEL/French and USA/neutral"))
    assert {u.accent for u in fsdd.utterances(copy) if u.speaker == "emile"} == {None}


def test_bad_input_is_one_sentence(copy: Path) -> None:
    path = copy / "recordings/0_ann_0.wav"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="0_ann_0.wav is cut off"):
        list(fsdd.utterances(copy))
    path.write_bytes(data)
    shutil.copy(path, copy / "recordings/0_zoe_0.wav")
    with pytest.raises(InputError, match="says nothing of zoe"):
        list(fsdd.utterances(copy))
    (copy / "recordings/0_zoe_0.wav").rename(copy / "recordings/zero.wav")
    with pytest.raises(InputError, match="is not named"):
        list(fsdd.utterances(copy))
    with pytest.raises(InputError, match="--fsdd-root"):
        fsdd.find_root(copy / "recordings")
