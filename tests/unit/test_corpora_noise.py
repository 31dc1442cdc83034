"""MUSAN, QUT-NOISE and other folders of noise: pieces, their split, and what each test utterance gets."""

import json
import shutil
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from corpora_helpers import contents, listing
from hypothesis import given, settings
from hypothesis import strategies as st
from speech_commands_helpers import RATE, living_room, prepare, tiny_corpus, validate, write

from salience.audio import read_audio
from salience.corpora import download, keyword_noise, musan, qut_noise, recordings
from salience.corpora.synthetic import musan as mini_musan
from salience.corpora.synthetic import noise
from salience.corpora.synthetic import qut_noise as mini_qut_noise
from salience.data.directories import read_data_dir
from salience.data.records import Utterance
from salience.data.tables import read_table
from salience.errors import InputError

SNRS = ("-12.5", "-10", "0", "10", "20", "30", "40")


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("musan") / "musan"
    mini_musan.synthesise(root, seed=3)
    return root


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("qut") / "QUT-NOISE"
    mini_qut_noise.synthesise(root, seed=3)
    return root


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return tiny_corpus(tmp_path / "corpus")


@pytest.fixture
def room(tmp_path: Path) -> Path:
    return living_room(tmp_path / "room")


def recording(key: str, seconds: float) -> Utterance:
    return Utterance(id=key, speaker=key, audio=Path(f"{key}.wav"), text="", duration=seconds, recording=key)


# The corpora


def test_mini_musan(mini: Path, tmp_path: Path) -> None:
    before = listing(mini)
    found = musan.noises(mini.parent)
    assert listing(mini) == before
    assert Counter(u.audio.parent.name for u in found) == {"free-sound": 32, "sound-bible": 8}
    assert [u.id for u in found] == sorted(u.audio.stem for u in found) and found[0].id == "noise-free-sound-0000"
    assert sum(u.duration < 1 for u in found) == 5
    for utterance in found:
        sound, rate = soundfile.read(utterance.audio)
        assert rate == RATE and sound.ndim == 1 and soundfile.info(utterance.audio).subtype == "PCM_16"
        assert 0.02 < np.abs(sound).max() < 0.7 and np.abs(sound).min(initial=1) < 0.01
    for folder in ("noise/free-sound", "noise/sound-bible", "music/fma", "speech/librivox"):
        assert (mini / folder / "LICENSE").is_file() and next((mini / folder).glob("*.wav"))
    assert "not MUSAN" in (mini / "SYNTHETIC.txt").read_text()
    mini_musan.synthesise(tmp_path / "again", seed=3)
    assert contents(tmp_path / "again") == contents(mini)


def test_kinds_of_noise_differ() -> None:
    """Hum is low, clicks are sparse, tones are lines, coloured noise is none of these."""

    def crest(sound: np.ndarray) -> float:
        return float(np.abs(sound).max() / np.sqrt(np.mean(sound**2)))

    def lines(sound: np.ndarray) -> float:
        """Share of the power in the 1 % strongest bins."""
        power = np.sort(np.abs(np.fft.rfft(sound)) ** 2)[::-1]
        return float(power[: len(power) // 100].sum() / power.sum())

    for take in range(5):
        made = {kind: noise.noise(kind, 2, RATE, take) for kind in noise.KINDS}
        assert all(len(sound) == 2 * RATE for sound in made.values())
        assert crest(made["clicks"]) > 1.5 * max(crest(made[kind]) for kind in ("hum", "coloured", "tones"))
        assert lines(made["hum"]) > 0.95 and lines(made["clicks"]) < 0.5
        power = np.abs(np.fft.rfft(made["hum"])) ** 2
        # Two bins a Hz: the eleventh harmonic of 130 Hz is the highest.
        assert power[: 2 * 1450].sum() > 0.95 * power.sum()
    with pytest.raises(ValueError, match="no noise of the kind"):
        noise.noise("silence", 1, RATE)


def test_mini_living_room(home: Path, tmp_path: Path) -> None:
    (found,) = qut_noise.noises(home)
    info = soundfile.info(found.audio)
    assert (found.id, info.samplerate, info.channels, info.duration) == ("HOME-LIVINGB-1", 48000, 2, 30)
    left, right = soundfile.read(found.audio)[0].T
    assert 0.1 < np.corrcoef(left, right)[0, 1] < 0.999
    mini_qut_noise.synthesise(tmp_path / "again", seed=3)
    assert contents(tmp_path / "again") == contents(home)


def test_living_room_is_found_anywhere(home: Path, tmp_path: Path) -> None:
    deep = tmp_path / "QUT-NOISE" / "QUT-NOISE" / "QUT-NOISE"
    shutil.copytree(home / "QUT-NOISE", deep)
    shutil.copy(deep / qut_noise.LIVING_ROOM, deep / "HOME-KITCHEN-1.wav")
    (found,) = qut_noise.noises(tmp_path)
    assert (found.id, found.audio) == ("HOME-LIVINGB-1", deep / qut_noise.LIVING_ROOM)
    (deep / qut_noise.LIVING_ROOM).unlink()
    with pytest.raises(InputError, match="holds no HOME-LIVINGB-1.wav; .*--qut-noise-root"):
        qut_noise.find_root(tmp_path)


def test_archives(mini: Path, home: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "musan.tar.gz", "w:gz") as tar:
        tar.add(mini, "musan")
    with pytest.raises(
        InputError, match="musan.tar.gz has .* bytes instead of 11086114085; fetch it again, or give it another name"
    ):
        musan.fetch(tmp_path / "t", tmp_path / "musan.tar.gz")
    (tmp_path / "musan.tar.gz").rename(tmp_path / "mini.tar.gz")
    assert len(musan.noises(musan.fetch(tmp_path / "t", tmp_path / "mini.tar.gz"))) == 40
    with zipfile.ZipFile(tmp_path / "home.zip", "w") as archive:
        archive.write(home / "QUT-NOISE" / qut_noise.LIVING_ROOM, f"QUT-NOISE/{qut_noise.LIVING_ROOM}")
    assert qut_noise.noises(qut_noise.fetch(tmp_path / "t", tmp_path / "home.zip"))[0].duration == 30
    with pytest.raises(InputError, match="home.zip|holds no noise"):
        musan.fetch(tmp_path / "u", tmp_path / "home.zip")


def test_published_archives_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(archive: download.Archive, folder: Path, option: str) -> Path:
        asked.append((archive, option))
        raise InputError("no network")

    monkeypatch.setattr(download, "download", refuse)
    for module in (musan, qut_noise):
        with pytest.raises(InputError, match="no network"):
            module.fetch(tmp_path)
    (first, for_musan), (second, for_qut) = asked
    assert first.size == 11086114085 and len(first.md5) == 32 and for_musan == "--musan-root or --musan-archive"
    assert second.urls[0].endswith("35cd737a-e6ad-4173-9aee-a1768e864532/download/qutnoisehome.zip")
    assert for_qut == "--qut-noise-root or --qut-noise-archive"


# Pieces


def test_first_seconds_of_as_many_recordings_as_musan_has() -> None:
    usable = [recording(f"noise-{n:04d}", 1 + n / 100) for n in range(877)]
    split = keyword_noise.split_recordings
    train, test = split(usable, seed=0)
    assert (len(train), len(test)) == (702, 175)
    assert {p.recording for p in train} | {p.recording for p in test} == {u.id for u in usable}
    assert all((p.start, p.end, p.id) == (0, 1, f"{p.recording}-0000") for p in (*train, *test))
    again, _ = split(usable[::-1], seed=0)
    assert {p.id for p in again} == {p.id for p in train}
    other, _ = split(usable, seed=1)
    assert 400 < len({p.id for p in other} & {p.id for p in train}) < 650


@given(st.lists(st.floats(1, 40), min_size=1, max_size=6))
def test_whole_seconds_are_disjoint_and_within(lengths: list[float]) -> None:
    usable = [recording(f"r{n}", seconds) for n, seconds in enumerate(lengths)]
    train, test = keyword_noise.split_seconds(usable, 0)
    taken = {p.recording: [] for p in (*train, *test)}
    for p in (*train, *test):
        taken[p.recording].append((p.start, p.end))
    for u in usable:
        assert sorted(taken[u.id]) == [(float(s), float(s + 1)) for s in range(int(u.duration))]
        own, others = ([p for p in part if p.recording == u.id] for part in (train, test))
        if u.duration < 3:
            assert not own or not others
            continue
        assert abs(len(own) - 0.8 * int(u.duration)) <= 0.5 and others
        assert max(p.end for p in own) <= min(p.start for p in others)


def test_short_recordings_are_parted_as_wholes() -> None:
    split = keyword_noise.split_seconds
    usable = [recording(f"r{n}", 1 + n % 2) for n in range(40)]
    train, test = split(usable, 0)
    assert (len({p.recording for p in train}), len({p.recording for p in test}), len(train) + len(test)) == (32, 8, 60)
    assert {p.id for p in split(usable[::-1], 0)[1]} == {p.id for p in test} != {p.id for p in split(usable, 1)[1]}
    # Two are enough.
    assert [len(part) for part in split(usable[:4:2], 0)] == [1, 1]


def test_a_folder_of_short_recordings(tiny: Path, room: Path, tmp_path: Path) -> None:
    for number in range(5):
        write(tmp_path / "noise" / f"bang{number}.wav", 2 * RATE)
    prepare(tmp_path / "out", tiny, room, noise=str(tmp_path / "noise"))
    sizes = json.loads((tmp_path / "out/sizes.json").read_text())
    names = ("noise_train", "noise_train_recordings", "noise_test", "noise_test_recordings")
    assert [sizes[name] for name in names] == [8, 4, 2, 1]
    assert "but all or none of the 5 shorter than 3 s" in (tmp_path / "out/preparation.txt").read_text()


def test_musan_by_the_program(tiny: Path, room: Path, mini: Path, tmp_path: Path) -> None:
    prepare(tmp_path / "a", tiny, room, noise="musan", musan=mini.parent)
    prepare(tmp_path / "b", tiny, room, noise="musan", musan=mini.parent)
    prepare(tmp_path / "c", tiny, room, noise="musan", musan=mini.parent, seed=1)
    a, b, c = (contents(tmp_path / name) for name in "abc")
    a.pop("step.json"), b.pop("step.json")
    assert a == b and a["noise_test.txt"] != c["noise_test.txt"]
    train, test = (read_data_dir(tmp_path / "a" / f"noise_{name}") for name in ("train", "test"))
    long = {u.id for u in musan.noises(mini) if u.duration >= 1}
    assert (len(train), len(test)) == (28, 7) and {u.recording for u in (*train, *test)} == long
    for name in ("noise_train", "noise_test", "noise_other"):
        validate(tmp_path / "a" / name, "--no-text")
    lists = {name: (tmp_path / "a" / f"noise_{name}.txt").read_text().splitlines() for name in ("train", "test")}
    assert lists["test"] == [f"{u.audio} 0" for u in test] and len(lists["train"]) == 28
    table = read_table(tmp_path / "a/test_musan/noise")
    assert len(table) == 2 and {v.split()[0] for v in table.values()} <= {u.id for u in test}
    assert {v.split()[1] for v in table.values()} == {"0"}


def test_folder_of_any_noise(tiny: Path, room: Path, tmp_path: Path) -> None:
    folder = tmp_path / "noise"
    write(folder / "street" / "a b.wav", 10 * 44100, 44100, channels=2)
    write(folder / "street" / "short.flac", 8000)
    write(folder / "home.flac", 5 * RATE + 100)
    write(folder / "._home.flac", 5 * RATE)
    (folder / "LICENSE").write_text("free\n")
    prepare(tmp_path / "out", tiny, room, noise=str(folder))
    train, test = (read_data_dir(tmp_path / "out" / f"noise_{name}") for name in ("train", "test"))
    assert [u.id for u in test] == ["home-0004", "street-a_b-0008", "street-a_b-0009"] and len(train) == 12
    assert {len(read_audio(u.audio, RATE, u.start, u.end)) for u in (*train, *test)} == {RATE}
    read_table(tmp_path / "out/test_noise/noise")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": "musan", "musan": "music"}, r"holds no noise/\*/\*\.wav; .*--musan-root"),
        (
            {"noise": "musan", "musan": "short"},
            "holds only recordings shorter than a second .2 of them.; .*--musan-root",
        ),
        ({"noise": "musan"}, "downloads/musan/root.txt does not exist; run the step"),
        ({"noise": "empty"}, r"holds no audio .*; give a folder of recordings with --noise"),
        ({"noise": "nowhere"}, "holds no audio"),
        ({"noise": "short"}, "holds only recordings shorter than a second .2 of them.; .*--noise"),
        ({"noise": "one"}, "holds too little noise: .*--noise"),
        ({"noise": "cut"}, "cut/a.wav is cut off"),
        ({"noise": "twice"}, "would both be called x-a; rename one"),
        ({"qut": "empty"}, "holds no HOME-LIVINGB-1.wav"),
        ({"other_noise": "short"}, "holds only recordings shorter than a second .*--other-noise"),
        ({"other_noise": "empty"}, "holds no audio .*--other-noise"),
        ({"noise": "one", "other_noise": "more/one"}, "both called one; rename one of the folders"),
        ({"other_noise": "a b"}, "--other-noise is called 'a b'; rename the folder: use letters"),
        ({"qut_placement": "published", "other_noise": "several"}, "needs one recording and there are 2"),
        ({"qut_placement": "published", "other_noise": "one"}, "lasts 1.0 s, and .*more than 2"),
        ({"qut_placement": "published", "published_qut": "empty"}, "leave out one of them"),
        ({"published_musan": "empty"}, "no folder speech_command_test_musan_-12.5_dB; unpack the published"),
        ({"published_qut": "empty"}, "no folder speech_command_test_QUT_-12.5_dB; unpack the published"),
    ],
)  # fmt: skip
def test_bad_noise_is_one_sentence(tiny: Path, room: Path, tmp_path: Path, options: dict, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "LICENSE").write_text("free\n")
    write(tmp_path / "music/music/fma/a.wav")
    for name in ("noise/free-sound/a.wav", "noise/sound-bible/b.wav"):
        write(tmp_path / "short" / name, 15999)
    write(tmp_path / "one/a.wav", RATE)
    write(tmp_path / "several/a.wav", RATE), write(tmp_path / "several/b.wav", RATE)
    write(tmp_path / "twice/x/a.wav", RATE), write(tmp_path / "twice/x-a.wav", RATE)
    cut = write(tmp_path / "cut/a.wav", 3 * RATE)
    cut.write_bytes(cut.read_bytes()[:50000])
    folders = ("musan", "qut", "noise", "other_noise", "published_musan", "published_qut")
    given = {
        key: str(tmp_path / value) if key in folders and value not in ("musan", "background") else value
        for key, value in options.items()
    }
    given |= {key: Path(value) for key, value in given.items() if key.startswith("published")}
    room = Path(given.pop("qut", room))
    with pytest.raises(InputError, match=message) as caught:
        prepare(tmp_path / "out", tiny, room, **given)
    written = {path.name for path in (tmp_path / "out").glob("*")}
    assert "\n" not in str(caught.value) and written <= {"bad_clips.tsv"}


# Which noise an utterance gets


def test_pieces_are_drawn_evenly_and_by_utterance_alone() -> None:
    pair = keyword_noise.pair_pieces
    pieces = [recordings.piece(recording(f"n{n}", 2), 1) for n in range(10)]
    test = [recording(f"u{n}", 1) for n in range(3000)]
    table = pair(test, pieces, 0)
    counts = Counter(value.split()[0] for value in table.values())
    assert set(counts) == {p.id for p in pieces} and all(220 < count < 380 for count in counts.values())
    assert pair(test[:5][::-1], pieces[::-1], 0) == {u.id: table[u.id] for u in test[:5]}
    assert pair(test[:50], pieces, 1) != {u.id: table[u.id] for u in test[:50]}


def test_places_are_drawn_evenly_within_long_and_short_recordings() -> None:
    pair = keyword_noise.pair_places
    found = [recording("a", 1.0), recording("b", 3.0), recording("c", 2.0)]
    drawn = [value.split() for value in pair([recording(f"u{n}", 1) for n in range(3000)], found, 0).values()]
    counts = Counter(name for name, _ in drawn)
    assert counts["a"] < 10 and 1.7 < counts["b"] / counts["c"] < 2.3
    for name, longest in (("b", 2 * RATE), ("c", RATE)):
        starts = [int(start) for key, start in drawn if key == name]
        assert 0 <= min(starts) < 300 and longest - 300 < max(starts) <= longest


@pytest.mark.parametrize(("place", "expected"), [(0, "a 0"), (8000, "a 8000"), (8001, "b 0"), (8001 + 4000, "b 4000")])
def test_every_place_from_the_first_to_the_very_last(
    monkeypatch: pytest.MonkeyPatch, place: int, expected: str
) -> None:
    module = keyword_noise

    class Drawn:
        @staticmethod
        def integers(high: int) -> int:
            assert high == 8001 + 4001
            return place

    monkeypatch.setattr(module, "generator", lambda *names: Drawn)
    found = [recording("a", 1.5), recording("b", 1.25)]
    assert module.pair_places([recording("u", 1)], found, 0) == {"u": expected}


@settings(max_examples=25, deadline=None)
@given(st.sampled_from((8000, 16000, 22050, 44100, 48000)), st.integers(0, 400))
def test_a_place_lies_within_the_recording_as_it_is_read(
    tmp_path_factory: pytest.TempPathFactory, rate: int, more: int
) -> None:
    path = write(tmp_path_factory.mktemp("r") / "a.wav", rate + more, rate)
    (found,) = recordings.recordings(path.parent)
    module = keyword_noise
    starts = [
        int(v.split()[1]) for v in module.pair_places([recording(f"u{n}", 1) for n in range(60)], [found], 0).values()
    ]
    assert max(starts) + RATE <= len(read_audio(path, RATE))


def test_published_making_is_that_of_the_published_script(tiny: Path, tmp_path: Path) -> None:
    room48 = tmp_path / "long"
    write(room48 / "HOME-LIVINGB-1.wav", 5 * 48000 + 1, 48000, channels=2)
    prepare(tmp_path / "out", tiny, room48, qut_placement="published")
    # As the script says it, with NumPy's global generator: a line of the list, a draw.
    length = int(np.ceil((5 * 48000 + 1) * (16000 / 48000)))
    state = np.random.get_state()
    np.random.seed(10)
    expected = {}
    for line in (tiny / "testing_list.txt").read_text().splitlines():
        word, name = line.split("/")
        expected[f"{name.split('_')[0]}-{word}-0"] = f"HOME-LIVINGB-1 {np.random.randint(0, length - 32000)}"
    np.random.set_state(state)
    # The list is not in the order of the ids.
    assert list(expected) != sorted(expected)
    assert read_table(tmp_path / "out/test_qut/noise") == expected
    # A word left out takes its draws with it and changes no other's.
    prepare(tmp_path / "no", tiny, room48, qut_placement="published", words="no")
    assert read_table(tmp_path / "no/test_qut/noise") == {k: v for k, v in expected.items() if "-no-" in k}
    prepare(tmp_path / "ours", tiny, room48)
    assert read_table(tmp_path / "ours/test_qut/noise") != expected


@pytest.mark.parametrize("frames", [3 * 32004 + 1, 3 * 32005, 3 * 32005 + 2, 48000 * 600])
def test_published_draws_by_the_length_that_the_script_sees(frames: int) -> None:
    """Few places show whether their number is right: old NumPy draws again what is too large."""
    lines = [f"yes/{number:08x}_nohash_0.wav" for number in range(200)]
    length = int(np.ceil(frames * (16000 / 48000)))
    random = np.random.RandomState(10)
    expected = {f"{n:08x}-yes-0": f"room {random.randint(0, length - 32000)}" for n in range(200)}
    test = [recording(key, 1) for key in expected]
    assert keyword_noise.pair_as_published(test, lines, [recording("room", frames / 48000)]) == expected


def test_published_archives(tiny: Path, room: Path, tmp_path: Path) -> None:
    test = [f"{word}/cccc0000_nohash_0.wav" for word in ("no", "yes")]
    for kind in ("musan", "QUT"):
        for snr in SNRS:
            for name in test:
                path = tmp_path / kind / "SpeechCommands" / f"speech_command_test_{kind}_{snr}_dB" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                # As torchaudio writes a float tensor: beyond full scale, nothing is clipped.
                soundfile.write(path, np.linspace(-2, 2, 8000), RATE, subtype="FLOAT")
    out = tmp_path / "out"
    prepare(out, tiny, room)
    assert (out / "test_background/noise").exists() and (out / "noise_other").exists()
    published = {"published_musan": tmp_path / "musan", "published_qut": tmp_path / "QUT"}
    prepare(out, tiny, room, **published)
    assert not (out / "noise_other").exists() and (out / "noise_train").exists()
    for name, kind in (("test_background", "musan"), ("test_qut", "QUT")):
        assert not (out / name / "noise").exists()
        assert sorted(path.name for path in (out / name).iterdir() if path.is_dir()) == sorted(SNRS)
        for snr in SNRS:
            found = read_data_dir(out / name / snr)
            assert [u.id for u in found] == ["cccc0000-no-0", "cccc0000-yes-0"]
            assert [u.audio.parts[-3:] for u in found] == [
                (f"speech_command_test_{kind}_{snr}_dB", *line.split("/")) for line in test
            ]
        validate(out / name / "-12.5")
    assert json.loads((out / "sizes.json").read_text())["noise_other_seconds"] == 0
    assert "published mixtures at -12.5 -10 0" in (out / "preparation.txt").read_text()
    # Of some ratios, no others are needed.
    some = tmp_path / "some"
    for snr in ("0", "20"):
        shutil.copytree(
            tmp_path / f"QUT/SpeechCommands/speech_command_test_QUT_{snr}_dB",
            some / f"speech_command_test_QUT_{snr}_dB",
        )
    prepare(tmp_path / "few", tiny, room, published_qut=some, snrs="0 20")
    assert sorted(path.name for path in (tmp_path / "few/test_qut").iterdir() if path.is_dir()) == ["0", "20"]
    with pytest.raises(InputError, match="no folder speech_command_test_QUT_10_dB; .* with --snrs"):
        prepare(tmp_path / "few", tiny, room, published_qut=some, snrs="0 10 20")
    before = contents(out)
    path = tmp_path / "musan/SpeechCommands/speech_command_test_musan_20_dB/yes/cccc0000_nohash_0.wav"
    path.unlink()
    with pytest.raises(InputError, match="musan_20_dB/yes/cccc0000_nohash_0.wav does not exist"):
        prepare(out, tiny, room, **published)
    assert contents(out) == before | {"bad_clips.tsv": (out / "bad_clips.tsv").read_bytes()}
    # And back: nothing of the archive is left.
    prepare(out, tiny, room)
    assert not (out / "test_background/20").exists() and (out / "test_background/noise").exists()
