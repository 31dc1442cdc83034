"""AN4: sphere, RIFF and headerless releases are one corpus, and the split is the published one."""

import os
import shutil
import subprocess
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from corpora_helpers import TOP, contents, listing, program, real_data
from hypothesis import given
from hypothesis import strategies as st

from salience.audio import audio_duration, read_audio
from salience.corpora import an4, download
from salience.corpora.clips import BadClips
from salience.corpora.synthetic import an4 as mini_an4
from salience.data.directories import read_data_dir
from salience.data.leakage import overlaps
from salience.errors import InputError

RECIPE = "egs/an4/local/prepare_sets.py"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("espeakng_loader")
    root = tmp_path_factory.mktemp("an4") / "an4"
    mini_an4.synthesise(root, seed=3)
    return root


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return an4.fetch(tmp_path_factory.mktemp("real"), real_data("an4.tar.xz"))


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Three utterances of two speakers, in WAV."""
    root = tmp_path / "an4"
    for name, text, split in (
        ("an1-fabc-b", "<s> ENTER SIX </s>", "train"),
        ("cen2-fabc-b", "<s> R O S E </s>", "train"),
        ("an3-mxyz2-b", "GO", "test"),
    ):
        folder = {"train": "an4_clstk", "test": "an4test_clstk"}[split] + "/" + name.split("-")[1]
        path = root / "wav" / folder / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, tone(len(name)), 16000)
        (root / "etc").mkdir(exist_ok=True)
        append(root / f"etc/an4_{split}.fileids", f"{folder}/{name}\n")
        append(root / f"etc/an4_{split}.transcription", f"{text} ({name})\n")
    return root


def tone(seed: int, seconds: float = 0.5, rate: int = 16000, channels: int = 1) -> np.ndarray:
    """A faint sound, as 16-bit samples."""
    time = np.arange(int(seconds * rate)) / rate
    noise = np.random.default_rng(seed).normal(0, 3, (len(time), channels))
    return np.squeeze(noise + 300 * np.sin(2 * np.pi * 440 * time)[:, None]).astype(np.int16)


def append(path: Path, text: str) -> None:
    with open(path, "a") as handle:
        handle.write(text)


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def headerless(root: Path, copy: Path, order: str) -> Path:
    """A copy of a corpus as the raw releases have it."""
    shutil.copytree(root, copy)
    for path in [*copy.rglob("*.sph"), *copy.rglob("*.wav")]:
        samples, _ = soundfile.read(path, dtype="int16")
        path.with_suffix(".raw").write_bytes(samples.astype(f"{order}i2").tobytes())
        path.unlink()
    return copy


def samples_of(root: Path) -> dict[str, bytes]:
    return {u.id: soundfile.read(u.audio, dtype="int16")[0].tobytes() for u in an4.utterances(root)}


def test_mini_round_trip(corpus: Path) -> None:
    before = listing(corpus)
    found = list(an4.utterances(corpus.parent))
    assert listing(corpus) == before
    assert Counter(u.split for u in found) == {"train": 96, "test": 16}
    speakers = {split: {u.speaker for u in found if u.split == split} for split in ("train", "test")}
    assert len(speakers["train"]) == 8 and len(speakers["test"]) == 3
    assert not speakers["train"] & speakers["test"]
    for split in speakers:
        ids = [u.id for u in found if u.split == split]
        assert ids == sorted(ids)
    for utterance in found:
        assert utterance.audio.suffix == ".sph" and utterance.audio.read_bytes()[:8] == b"NIST_1A\n"
        info = soundfile.info(utterance.audio)
        assert (info.format, info.samplerate, info.channels, info.subtype) == ("NIST", 16000, 1, "PCM_16")
        assert 1.5 <= utterance.duration <= 4.1
        speaker, number, kind = utterance.id.split("-")
        assert speaker == utterance.speaker and utterance.audio.stem == f"{number}-{speaker}-{kind}"
        assert utterance.text == utterance.text.upper() and not set(utterance.text) & set("<>()")
        # Somebody speaks, and not all the time.
        loudness = np.abs(read_audio(utterance.audio, 16000))
        assert loudness.max() > 0.05 and np.median(loudness[:2000]) < 0.01


def test_mini_has_the_marks_of_the_real_lists(corpus: Path) -> None:
    train = (corpus / "etc/an4_train.transcription").read_text().splitlines()
    test = (corpus / "etc/an4_test.transcription").read_text().splitlines()
    assert all(line.startswith("<s> ") and " </s> (" in line for line in train)
    assert not any("<s>" in line or "</s>" in line for line in test)
    assert "not AN4" in (corpus / "SYNTHETIC.txt").read_text()


def test_mini_is_the_same_again_and_another_for_another_seed(corpus: Path, tmp_path: Path) -> None:
    mini_an4.synthesise(tmp_path / "again", seed=3)
    assert contents(tmp_path / "again") == contents(corpus)
    mini_an4.synthesise(tmp_path / "other", seed=4)
    lists = "etc/an4_train.transcription"
    assert (tmp_path / "other" / lists).read_text() != (corpus / lists).read_text()


def test_ids_are_middle_first(tiny: Path) -> None:
    assert [(u.id, u.speaker, u.text) for u in an4.utterances(tiny)] == [
        ("fabc-an1-b", "fabc", "ENTER SIX"),
        ("fabc-cen2-b", "fabc", "R O S E"),
        ("mxyz2-an3-b", "mxyz2", "GO"),
    ]


def test_stray_files_and_empty_lines_change_nothing(tiny: Path) -> None:
    before = list(an4.utterances(tiny))
    (tiny / "etc/an4_test.transcription253239").write_text("NO (mxyz2-AN3-MXYZ2-B)\n")
    shutil.copy(tiny / "wav/an4_clstk/fabc/an1-fabc-b.wav", tiny / "wav/an4_clstk/fabc/cen9-fabc-b.wav")
    append(tiny / "etc/an4_train.fileids", "\n")
    append(tiny / "etc/an4_train.transcription", "  \n\n")
    assert list(an4.utterances(tiny)) == before


WORDS = st.lists(st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ'", min_size=1, max_size=8), min_size=1, max_size=6)


@given(WORDS, st.from_regex(r"[a-z0-9]{1,5}-[a-z0-9]{1,5}-[ab]", fullmatch=True))
def test_any_line_comes_back(tmp_path_factory: pytest.TempPathFactory, words: list[str], name: str) -> None:
    path = tmp_path_factory.mktemp("lines") / "transcription"
    said = " ".join(words)
    for line in (
        f"<s> {said} </s> ({name})", f"{said} ({name})", f"{said} </s> ({name})", f"<s> {said} ({name})",
        f"<s>  {said.lower()}  </s>  ({name})\r",
    ):  # fmt: skip
        path.write_text(line + "\n", newline="")
        assert an4._texts(path) == {name: said}


@given(st.text(max_size=40))
def test_any_other_text_is_one_sentence(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("lines") / "transcription"
    path.write_text(text, encoding="utf-8", errors="replace")
    try:
        texts = an4._texts(path)
    except InputError as error:
        assert f"{path}:" in str(error) and "\n" not in str(error)
    else:
        assert len(texts) == sum(bool(line.strip()) for line in path.read_text(encoding="utf-8").split("\n"))


TRAIN_LINES, TRAIN_LIST = "etc/an4_train.transcription", "etc/an4_train.fileids"
TEST_LINES, TEST_LIST = "etc/an4_test.transcription", "etc/an4_test.fileids"
AUDIO = "wav/an4_clstk/fabc/an1-fabc-b.wav"

BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "transcript line missing": (
        lambda root: replace(root / TRAIN_LINES, "<s> R O S E </s> (cen2-fabc-b)\n", ""),
        "an4_train.transcription has no line for cen2-fabc-b",
    ),
    "name not listed": (
        lambda root: replace(root / TRAIN_LIST, "an4_clstk/fabc/cen2-fabc-b\n", ""),
        "an4_train.fileids does not list cen2-fabc-b",
    ),
    "listed in both": (
        lambda root: (
            append(root / TEST_LIST, "an4_clstk/fabc/an1-fabc-b\n"),
            append(root / TEST_LINES, "GO (an1-fabc-b)\n"),
        ),
        "an4_test.fileids lists an1-fabc-b, and so does .*an4_train.fileids",
    ),
    "listed twice": (
        lambda root: append(root / TRAIN_LIST, "an4_clstk/fabc/an1-fabc-b\n"),
        "an4_train.fileids:3 has an1-fabc-b a second time",
    ),
    "two lines": (
        lambda root: append(root / TRAIN_LINES, "<s> NO </s> (an1-fabc-b)\n"),
        "an4_train.transcription:3 has an1-fabc-b a second time",
    ),
    "no words": (
        lambda root: replace(root / TRAIN_LINES, "<s> R O S E </s>", "<s> </s>"),
        "an4_train.transcription:2 is '<s> </s> ",
    ),
    "no name": (
        lambda root: replace(root / TEST_LINES, "GO (an3-mxyz2-b)", "GO"),
        "an4_test.transcription:1 is 'GO' instead of",
    ),
    "no bracket": (
        lambda root: replace(root / TEST_LINES, "-b)", "-b"),
        "an4_test.transcription:1 is .* instead of",
    ),
    "unknown mark": (
        lambda root: replace(root / TEST_LINES, "GO", "<noise> GO"),
        "an4_test.transcription:1 is '<noise> GO",
    ),
    "name of two parts": (
        lambda root: replace(root / TEST_LINES, "an3-mxyz2-b", "an3-mxyz2"),
        "an4_test.transcription:1 has the name 'an3-mxyz2' instead of",
    ),
    "audio missing": (
        lambda root: (root / AUDIO).unlink(),
        "an1-fabc-b.sph does not exist",
    ),
    "stereo": (
        lambda root: soundfile.write(root / AUDIO, tone(1, channels=2), 16000),
        "an1-fabc-b.wav has 2 channels",
    ),
    "8 kHz": (
        lambda root: soundfile.write(root / AUDIO, tone(1, rate=8000), 8000),
        "an1-fabc-b.wav has 8000 Hz instead of 16000",
    ),
    "cut audio": (
        lambda root: (root / AUDIO).write_bytes((root / AUDIO).read_bytes()[:9000]),
        "an1-fabc-b.wav is cut off",
    ),
    "no audio": (
        lambda root: (root / AUDIO).write_bytes(b"text"),
        "an1-fabc-b.wav cannot be decoded",
    ),
    "no transcription": (
        lambda root: (root / TEST_LINES).unlink(),
        "an4_test.transcription is missing",
    ),
    "not UTF-8": (
        lambda root: (root / TEST_LINES).write_bytes(b"G\xd6 (an3-mxyz2-b)\n"),
        "an4_test.transcription:1 is not UTF-8",
    ),
    "headerless": (
        lambda root: (root / AUDIO).rename((root / AUDIO).with_suffix(".raw")),
        "an1-fabc-b.raw has no header; fetch the corpus",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_sentence_and_leaves_no_sets(tiny: Path, tmp_path: Path, name: str) -> None:
    spoil, message = BAD[name]
    spoil(tiny)
    with pytest.raises(InputError, match=message) as caught:
        program(RECIPE).main(tmp_path / "data", tiny, dev_utterances=1)
    written = {path.name for path in (tmp_path / "data").glob("*")}
    assert "\n" not in str(caught.value) and written <= {"bad_clips.tsv"}


def test_no_corpus_is_one_sentence(tiny: Path) -> None:
    with pytest.raises(InputError, match="--an4-root or its archive with --an4-archive"):
        an4.find_root(tiny / "wav")


def test_cut_sphere_is_noticed(corpus: Path, tmp_path: Path) -> None:
    whole = next(iter(an4.utterances(corpus))).audio
    assert audio_duration(whole) == soundfile.info(whole).duration
    cut = tmp_path / "cut.sph"
    for size in (1024, 5000, whole.stat().st_size - 2):
        cut.write_bytes(whole.read_bytes()[:size])
        with pytest.raises(InputError, match="cut.sph is cut off"):
            audio_duration(cut)
        with pytest.raises(InputError, match="cut.sph is cut off"):
            read_audio(cut, 16000)


@pytest.mark.parametrize("order", ["<", ">"])
def test_headerless_release_is_the_same_corpus(corpus: Path, tmp_path: Path, order: str) -> None:
    raw = headerless(corpus, tmp_path / "own", order)
    assert len(list(raw.rglob("*.raw"))) == 112
    before = listing(raw)
    fetch = program("local/fetch_corpus.py").main
    fetch("an4", tmp_path / "root", root=raw)
    assert listing(raw) == before
    with tarfile.open(tmp_path / "an4_raw.tar.gz", "w:gz") as tar:
        tar.add(raw, "an4")
    fetch("an4", tmp_path / "archive", archive=tmp_path / "an4_raw.tar.gz")
    for target in ("root", "archive"):
        found = Path((tmp_path / target / "root.txt").read_text().strip())
        assert samples_of(found) == samples_of(corpus)
        assert not list((tmp_path / target).rglob("*.raw"))
        assert {path.name for path in (found / "etc").iterdir()} == {path.name for path in (corpus / "etc").iterdir()}


@pytest.mark.parametrize("order", ["<", ">"])
def test_byte_order_of_quiet_and_of_loud_files(tmp_path: Path, order: str) -> None:
    random = np.random.default_rng(0)
    for name, loudness in (("quiet", 2), ("loud", 8000)):
        path = tmp_path / f"{name}.raw"
        slow = np.convolve(random.normal(0, loudness, 4000), np.ones(8) / 8)
        path.write_bytes(slow.astype(f"{order}i2").tobytes())
        assert an4.byte_order([path]) == order


def test_bad_headerless_files_are_bad_clips_and_an_interruption_leaves_nothing(tiny: Path, tmp_path: Path) -> None:
    raw = headerless(tiny, tmp_path / "raw", ">")
    spoilt = raw / "wav/an4test_clstk/mxyz2/an3-mxyz2-b.raw"
    whole = spoilt.read_bytes()
    spoilt.write_bytes(whole[:-1])
    empty = raw / AUDIO.replace(".wav", ".raw")
    size = empty.read_bytes()
    empty.write_bytes(b"")
    bad = BadClips(tmp_path)
    assert [u.id for u in an4.utterances(an4.with_headers(raw, tmp_path / "target"), bad)] == ["fabc-cen2-b"]
    assert [path.name for path in bad.reasons] == [empty.name, spoilt.name]
    assert all("is empty or truncated (" in reason for reason in bad.reasons.values())
    shutil.rmtree(tmp_path / "target")
    spoilt.write_bytes(whole)
    empty.write_bytes(size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(soundfile, "write", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            an4.with_headers(raw, tmp_path / "target")
    assert not list((tmp_path / "target").glob("*"))
    assert samples_of(an4.with_headers(raw, tmp_path / "target")) == samples_of(tiny)


def test_release_with_headers_is_used_where_it_is(tiny: Path, tmp_path: Path) -> None:
    program("local/fetch_corpus.py").main("an4", tmp_path / "t", root=tiny.parent)
    assert Path((tmp_path / "t/root.txt").read_text().strip()) == tiny
    assert not (tmp_path / "t/an4").exists()


def test_download_has_fallbacks_and_a_checksum(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (
        len({url.split("/")[2] for url in an4.CORPUS.published.urls}) == 3
        and len(an4.CORPUS.published.sha256 or "") == 64
    )
    asked = []

    def give(archive: download.Archive, folder: Path, option: str) -> Path:
        asked.append((archive, option))
        folder.mkdir(parents=True)
        with tarfile.open(folder / archive.name, "w:gz") as tar:
            tar.add(corpus, "an4")
        return folder / archive.name

    with pytest.raises(
        InputError, match="an4_sphere.tar.gz has the wrong sha256; fetch it again, or give it another name"
    ):
        an4.fetch(tmp_path / "own", give(an4.CORPUS.published, tmp_path / "given", ""))
    asked.clear()
    monkeypatch.setattr(download, "download", give)
    root = an4.fetch(tmp_path / "t")
    assert asked == [(an4.CORPUS.published, "--an4-root or --an4-archive")]
    assert samples_of(root) == samples_of(corpus) and not (tmp_path / "t" / an4.CORPUS.published.name).exists()


def test_sets_of_the_mini_corpus(corpus: Path, tmp_path: Path) -> None:
    main, before = program(RECIPE).main, listing(corpus)
    main(tmp_path, corpus, dev_utterances=16)
    assert listing(corpus) == before
    sets = {name: read_data_dir(tmp_path / name) for name in ("train", "dev", "test")}
    assert {name: len(members) for name, members in sets.items()} == {"train": 80, "dev": 16, "test": 16}
    assert max(u.id for u in sets["dev"]) < min(u.id for u in sets["train"])
    for name in sets:
        command = [str(TOP / "utils/validate_data_dir.sh"), "--no-feats", str(tmp_path / name)]
        environment = os.environ | {
            "PATH": f"{TOP / '.venv/bin'}:{TOP / 'local'}:{TOP / 'utils'}:{os.environ['PATH']}",
            "PYTHONPATH": str(TOP / "local"),
            "LC_ALL": "C",
        }
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
    # Twelve sentences a speaker: the second one is cut in two.
    shared = {u.speaker for u in sets["dev"]} & {u.speaker for u in sets["train"]}
    assert len(shared) == 1
    shares = {(o.first.name, o.second.name): o for o in overlaps(tmp_path / name for name in sets)}
    assert set(shares["train", "dev"].speakers) == shared and not shares["train", "test"].speakers
    train, said = {u.text for u in sets["train"]}, [u.text for u in sets["test"]]
    repeated = [text for text in said if text in train]
    assert repeated, "a control word in both, as in the real corpus"
    assert len(shares["train", "test"].sentences) == len(set(repeated))
    assert sum(shares["train", "test"].sentences.values()) == len(repeated)


def test_sets_are_made_once_and_bad_sizes_leave_them(corpus: Path, tmp_path: Path) -> None:
    main = program(RECIPE).main
    main(tmp_path, corpus, dev_utterances=12)
    before = listing(tmp_path)
    main(tmp_path, corpus, dev_utterances=12)
    for size in (0, -1, 96, 100):
        with pytest.raises(InputError, match=f"--dev-utterances {size} leaves"):
            main(tmp_path, corpus, dev_utterances=size)
    assert listing(tmp_path) == before
    main(tmp_path, corpus, dev_utterances=24)
    assert len(read_data_dir(tmp_path / "dev")) == 24 and len(read_data_dir(tmp_path / "train")) == 72


def test_real_corpus(real: Path) -> None:
    found = list(an4.utterances(real))
    assert Counter(u.split for u in found) == {"train": 948, "test": 130}
    assert {split: len({u.speaker for u in found if u.split == split}) for split in ("train", "test")} == {
        "train": 74,
        "test": 10,
    }
    assert max(u.duration for u in found) == pytest.approx(6.4)
    texts = {u.id: u.text for u in found}
    assert texts["fash-an251-b"] == "YES" and texts["fcaw-an406-b"] == "RUBOUT G M E F THREE NINE"
    assert set("".join(texts.values())) == set("ABCDEFGHIJKLMNOPQRSTUVWXYZ ")


def test_real_sets_are_the_published_ones(real: Path, tmp_path: Path) -> None:
    program(RECIPE).main(tmp_path, real)
    sets = {name: read_data_dir(tmp_path / name) for name in ("train", "dev", "test")}
    assert {name: len(members) for name, members in sets.items()} == {"train": 848, "dev": 100, "test": 130}
    # ESPnet's results give the sizes of its sets in characters.
    characters = {name: sum(len(u.text) for u in members) for name, members in sets.items()}
    assert (characters["dev"], characters["test"]) == (1915, 2565)
    # Its first hundred, taken by other means.
    swapped = subprocess.run(
        r"sed -E 's/.*\((.*)-(.*)-(.*)\)\s*$/\2-\1-\3/' etc/an4_train.transcription | LC_ALL=C sort",
        shell=True, cwd=real, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert [u.id for u in sets["dev"]] == swapped[:100] and [u.id for u in sets["train"]] == swapped[100:]
    assert "has 6.40 s: fbbh-an89-b" in (tmp_path / "preparation.txt").read_text()
    dev, test, _ = overlaps(tmp_path / name for name in sets)
    assert not dev.speakers and (len(test.sentences), sum(test.sentences.values())) == (18, 25)


def test_real_corpus_in_every_format(real: Path, tmp_path: Path) -> None:
    """The first speaker as sphere and as headerless files of either order."""
    part = tmp_path / "part"
    (part / "etc").mkdir(parents=True)
    shutil.copytree(real / "wav/an4_clstk/fash", part / "wav/an4_clstk/fash")
    for ending in ("fileids", "transcription"):
        lines = (real / f"etc/an4_train.{ending}").read_text().splitlines(keepends=True)
        (part / f"etc/an4_train.{ending}").write_text("".join(line for line in lines if "-fash-" in line))
        (part / f"etc/an4_test.{ending}").write_text("")
    expected = samples_of(part)
    assert len(expected) == len(list(part.rglob("*.wav"))) > 5
    for order in "<>":
        raw = headerless(part, tmp_path / f"raw{order}", order)
        assert samples_of(an4.with_headers(raw, tmp_path / f"target{order}")) == expected
    for path in part.rglob("*.wav"):
        samples, _ = soundfile.read(path, dtype="int16")
        soundfile.write(path.with_suffix(".sph"), samples, 16000, format="NIST", subtype="PCM_16")
        path.unlink()
    assert samples_of(part) == expected
