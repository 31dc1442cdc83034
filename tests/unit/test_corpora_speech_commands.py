"""Speech Commands: the official lists give the official sets, and what is wrong in a copy is one sentence."""

import hashlib
import json
import os
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from corpora_helpers import contents, listing, program, real_data
from hypothesis import given
from hypothesis import strategies as st
from speech_commands_helpers import RATE, RECIPE, living_room, prepare, roots, tiny_corpus, validate, write

from salience.corpora import download, keyword_sets, recordings, speech_commands
from salience.corpora.synthetic import speech_commands as mini_speech_commands
from salience.data.directories import read_data_dir
from salience.data.records import Utterance
from salience.data.tables import read_table
from salience.errors import InputError


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("espeakng_loader")
    root = tmp_path_factory.mktemp("speech_commands") / "speech_commands"
    mini_speech_commands.synthesise(root, seed=3)
    return root


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return tiny_corpus(tmp_path / "corpus")


@pytest.fixture
def room(tmp_path: Path) -> Path:
    return living_room(tmp_path / "room")


# The whole corpus


TENTH = {"train": 8484, "dev": 998, "test": 1100}
"""Clips of a corpus that is a tenth of the official one, of all its words."""


def full_tree(root: Path) -> tuple[list[str], list[str]]:
    """The clips of TENTH of 35 words, all links to a few files, and lists of its lengths."""
    names = []
    for number in range(sum(TENTH.values())):
        word = speech_commands.WORDS[number % 35]
        # The hash of a speaker that lists and clips share, and some takes.
        speaker = hashlib.sha1(str(number // 35 % 262).encode()).hexdigest()[:8]
        names.append(f"{word}/{speaker}_nohash_{number // 35 // 262}.wav")
    assert len(set(names)) == sum(TENTH.values())
    (root / "_background_noise_").mkdir(parents=True)
    for word in speech_commands.WORDS:
        (root / word).mkdir()
    # A file system allows a file so many names: each word has a file of its own.
    sources = {word: write(root.parent / f"{word}.wav", 300) for word in speech_commands.WORDS}
    for name in names:
        os.link(sources[name.split("/")[0]], root / name)
    order = [names[i] for i in np.random.default_rng(1).permutation(len(names))]
    dev, test = order[: TENTH["dev"]], order[TENTH["dev"] : TENTH["dev"] + TENTH["test"]]
    (root / "validation_list.txt").write_text("".join(f"{name}\n" for name in dev))
    (root / "testing_list.txt").write_text("".join(f"{name}\n" for name in test))
    return dev, test


def test_official_lists_give_the_official_sets(tmp_path: Path, room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "whole" / "corpus"
    dev, test = full_tree(root)
    write(root / "_background_noise_" / "tap.wav", 10 * RATE)
    try:
        # What a header says is tested elsewhere.
        monkeypatch.setattr(speech_commands, "clip_duration", lambda path: 300 / RATE)
        monkeypatch.setattr(speech_commands, "COUNTS", TENTH)
        out = tmp_path / "out"
        prepare(out, root, room)
        sizes = json.loads((out / "sizes.json").read_text())
        counts = {"words": 35, **TENTH}
        assert {name: sizes[name] for name in counts} == counts
        assert {name: sizes["official"][name] for name in counts} == counts
        assert sizes["official"] | {"noise_train": 702, "noise_test": 175} == sizes["official"]
        of = {
            name: {Path(p).relative_to(root).as_posix() for p in read_table(out / name / "wav.scp").values()}
            for name in ("train", "dev", "test")
        }
        assert of["dev"] == set(dev) and of["test"] == set(test) and len(of["train"]) == TENTH["train"]
        assert not of["train"] & (of["dev"] | of["test"])
        assert (out / "words").read_text().split() == list(speech_commands.WORDS)
        told = (out / "preparation.txt").read_text()
        assert "differs from the whole corpus and the paper's noise in noise_train, noise_test." in told
    finally:
        shutil.rmtree(root.parent)


def test_one_clip_less_is_not_the_corpus() -> None:
    def clips(count: int) -> list[Utterance]:
        return [
            Utterance(id="", speaker="", audio=Path(), text=speech_commands.WORDS[n % 35], duration=1, recording="")
            for n in range(count)
        ]

    check = keyword_sets.check_counts
    sets = {name: clips(count) for name, count in speech_commands.COUNTS.items()}
    check(sets, Path("corpus"), False)
    for name in sets:
        fewer = sets | {name: sets[name][:-1]}
        with pytest.raises(
            InputError, match=f"{len(fewer[name]):,}.* instead of 84,843/9,981/11,005; .*`partial: true`"
        ):
            check(fewer, Path("corpus"), False)
        check(fewer, Path("corpus"), True)


def test_words_and_counts_are_those_of_the_paper() -> None:
    assert len(set(speech_commands.WORDS)) == 35 and list(speech_commands.WORDS) == sorted(speech_commands.WORDS)
    assert sum(speech_commands.COUNTS.values()) == 105829


def test_all_words_with_few_clips_need_a_word_of_consent(tmp_path: Path, room: Path) -> None:
    root = tmp_path / "corpus"
    for word in speech_commands.WORDS:
        for speaker in ("aa", "bb", "cc"):
            write(root / word / f"{speaker}_nohash_0.wav")
    for file, speaker in (("validation_list.txt", "bb"), ("testing_list.txt", "cc")):
        (root / file).write_text("".join(f"{word}/{speaker}_nohash_0.wav\n" for word in speech_commands.WORDS))
    write(root / "_background_noise_" / "tap.wav", 10 * RATE)
    with pytest.raises(InputError, match="35/35/35 .*`partial: true`"):
        prepare(tmp_path / "out", root, room)
    prepare(tmp_path / "out", root, room, partial=True)
    assert json.loads((tmp_path / "out/sizes.json").read_text())["train"] == 35
    # Without one of them it cannot be the whole corpus, and nobody thinks so.
    words = " ".join(speech_commands.WORDS[1:])
    prepare(tmp_path / "fewer", root, room, words=words)
    assert (tmp_path / "fewer/words").read_text().split() == words.split()
    assert "in words, train, dev, test" in (tmp_path / "fewer/preparation.txt").read_text()


# Reading a corpus


def test_ids_texts_and_splits(tiny: Path) -> None:
    before = listing(tiny)
    found = list(speech_commands.utterances(tiny.parent))
    assert listing(tiny) == before
    assert [(u.id, u.speaker, u.text, u.split) for u in found] == [
        ("aaaa0000-no-0", "aaaa0000", "no", "train"),
        ("aaaa0000-no-1", "aaaa0000", "no", "train"),
        ("aaaa0000-yes-0", "aaaa0000", "yes", "train"),
        ("aaaa0000-yes-1", "aaaa0000", "yes", "train"),
        ("bbbb0000-no-0", "bbbb0000", "no", "dev"),
        ("bbbb0000-yes-0", "bbbb0000", "yes", "dev"),
        ("cccc0000-no-0", "cccc0000", "no", "test"),
        ("cccc0000-yes-0", "cccc0000", "yes", "test"),
    ]
    assert {u.duration for u in found} == {0.5}
    assert found[2].audio == tiny / "yes/aaaa0000_nohash_0.wav"


def test_a_word_may_have_a_dash(tiny: Path) -> None:
    (tiny / "yes").rename(tiny / "ice-cream")
    for name in ("validation_list.txt", "testing_list.txt"):
        (tiny / name).write_text((tiny / name).read_text().replace("yes", "ice-cream"))
    found = [u for u in speech_commands.utterances(tiny) if u.text == "ice-cream"]
    assert [(u.id, u.speaker, u.split) for u in found] == [
        ("aaaa0000-ice-cream-0", "aaaa0000", "train"),
        ("aaaa0000-ice-cream-1", "aaaa0000", "train"),
        ("bbbb0000-ice-cream-0", "bbbb0000", "dev"),
        ("cccc0000-ice-cream-0", "cccc0000", "test"),
    ]


def test_stray_files_change_nothing(tiny: Path) -> None:
    before = list(speech_commands.utterances(tiny))
    for name in ("README.md", ".DS_Store", "no/README.md", "no/._aaaa0000_nohash_0.wav", "yes/notes.txt"):
        (tiny / name).write_text("\n")
    (tiny / ".git").mkdir()
    with open(tiny / "testing_list.txt", "a") as handle:
        handle.write("\n\r\n")
    assert list(speech_commands.utterances(tiny)) == before


def test_chosen_words_leave_lines_of_others_alone(tiny: Path) -> None:
    shutil.rmtree(tiny / "yes")
    with pytest.raises(InputError, match="yes/bbbb0000_nohash_0.wav does not exist.*validation_list.txt.*--words"):
        list(speech_commands.utterances(tiny))
    assert {u.text for u in speech_commands.utterances(tiny, ["no"])} == {"no"}
    with pytest.raises(InputError, match="has no folder maybe; choose among no with --words"):
        list(speech_commands.utterances(tiny, ["no", "maybe"]))


def test_archive_without_a_top_folder(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "speech_commands_v0.02.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(tiny, ".")
    with pytest.raises(
        InputError,
        match="bytes instead of 2428923189; fetch it again, or give it another name if you packed it yourself",
    ):
        speech_commands.fetch(tmp_path / "t", path)
    path = path.rename(tmp_path / "one_word.tar.gz")
    root = speech_commands.fetch(tmp_path / "t", path)
    assert root == tmp_path / "t" / "speech_commands" and path.exists()
    assert [u.id for u in speech_commands.utterances(root)] == [u.id for u in speech_commands.utterances(tiny)]


def test_download_is_checked(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = speech_commands.CORPUS.published
    assert release.size == 2428923189 and len(release.sha256 or "") == 64 and len(release.urls) == 2
    asked = []

    def give(archive: download.Archive, folder: Path, option: str) -> Path:
        asked.append((archive, option))
        folder.mkdir(parents=True)
        with tarfile.open(folder / archive.name, "w:gz") as tar:
            tar.add(tiny, ".")
        return folder / archive.name

    monkeypatch.setattr(download, "download", give)
    speech_commands.fetch(tmp_path / "t")
    assert asked == [(release, "--speech-commands-root or --speech-commands-archive")]
    assert not (tmp_path / "t" / release.name).exists()


# Bad input


def empty_word(root: Path) -> None:
    shutil.rmtree(root / "no")
    (root / "no").mkdir()


def line(text: str) -> object:
    def change(root: Path) -> None:
        with open(root / "testing_list.txt", "a") as handle:
            handle.write(text)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (empty_word, r"/no holds no \.wav file; .*--words"),
        (line("no/dddd0000_nohash_0.wav\n"), "no/dddd0000_nohash_0.wav does not exist"),
        (line("bed/aaaa0000_nohash_0.wav\n"), "bed/aaaa0000_nohash_0.wav does not exist"),
        (line("no aaaa0000_nohash_0.wav\n"), r"testing_list.txt:3 is 'no aaaa0000_nohash_0.wav' instead of a path"),
        (line("/no/aaaa0000_nohash_0.wav\n"), "testing_list.txt:3 is"),
        (line("no/../yes/aaaa0000_nohash_0.wav\n"), "testing_list.txt:3 is"),
        (line("\nno/bbbb0000_nohash_0.wav\n"), "testing_list.txt names no/bbbb0000.*so does .*validation_list.txt"),
        (line("no/cccc0000_nohash_0.wav\n"), "testing_list.txt:3 repeats no/cccc0000_nohash_0.wav of line 2"),
        (lambda root: (root / "testing_list.txt").write_bytes(b"no/\xff\n"), "testing_list.txt:1 is not UTF-8"),
        (lambda root: write(root / "no/aaaa0000_nohash_0.wav", 16001), "no/aaaa.* lasts 16001 samples, longer"),
        (lambda root: write(root / "no/aaaa0000_nohash_0.wav", 256), "no/aaaa.* lasts 256 samples, too short"),
        (lambda root: write(root / "no/aaaa0000_nohash_0.wav", 0), "no/aaaa.* holds no samples"),
        (lambda root: write(root / "no/aaaa0000_nohash_0.wav", 4000, 8000), "no/aaaa.* has 8000 Hz instead of 16000"),
        (lambda root: write(root / "no/aaaa0000_nohash_0.wav", 4000, channels=2), "no/aaaa.* has 2 channels"),
        (lambda root: (root / "no/aaaa0000_nohash_0.wav").write_bytes(b""), "no/aaaa.*is empty"),
        (lambda root: os.truncate(root / "no/aaaa0000_nohash_0.wav", 9000), "no/aaaa.*is cut off"),
        (lambda root: write(root / "no/hello.wav"), "no/hello.wav is not named"),
        (lambda root: shutil.rmtree(root / "_background_noise_"), "_background_noise_ does not exist"),
        (lambda root: (root / "testing_list.txt").unlink(), "holds no validation_list.txt beside testing_list.txt"),
        (lambda root: shutil.copytree(root / "no", root / "ice cream"),
         "/ice cream has white space in its name, .*rename"),
        (lambda root: (root / "validation_list.txt").write_text("\n"),
         "validation_list.txt names no clip of the words taken"),
        (lambda root: (root / "testing_list.txt").write_text(""), "testing_list.txt names no clip of the words taken"),
        (
            lambda root: [path.unlink() for path in (root / "no").glob("aaaa*")],
            "/no holds no clip that the lists leave for training",
        ),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence_and_earlier_outputs_stay(
    tiny: Path, room: Path, tmp_path: Path, change: object, message: str
) -> None:
    prepare(tmp_path / "out", tiny, room)
    before = contents(tmp_path / "out")
    change(tiny)  # type: ignore[operator]
    with pytest.raises(InputError, match=message) as caught:
        prepare(tmp_path / "out", tiny, room)
    after = contents(tmp_path / "out")
    after.pop("bad_clips.tsv", None)
    assert "\n" not in str(caught.value) and after == before


def test_shortest_and_longest_clips_are_taken(tiny: Path) -> None:
    for samples in (257, 16000):
        write(tiny / "no/aaaa0000_nohash_0.wav", samples)
        assert next(speech_commands.utterances(tiny)).duration == samples / RATE


@given(st.text(max_size=40))
def test_any_list_is_paths_or_one_sentence(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("list") / "testing_list.txt"
    path.write_text(text, encoding="utf-8", errors="replace", newline="")
    try:
        found = speech_commands.listed(path)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert found == text.split() and all(name.endswith(".wav") for name in found)


# The mini corpus


def test_mini_round_trip(mini: Path) -> None:
    before = listing(mini)
    found = list(speech_commands.utterances(mini))
    assert listing(mini) == before
    assert Counter(u.split for u in found) == {"train": 240, "dev": 60, "test": 80}
    assert {u.text for u in found} == set(mini_speech_commands.MINI_WORDS)
    speakers = [{u.speaker for u in found if u.split == split} for split in ("train", "dev", "test")]
    assert sum(map(len, speakers)) == len(set.union(*speakers)) == 38
    assert 20 < sum(u.duration < 1 for u in found) < 120 and all(0.3 < u.duration <= 1 for u in found)
    for utterance in found[::7]:
        info = soundfile.info(utterance.audio)
        assert (info.format, info.subtype) == ("WAV", "PCM_16")
        # Somebody speaks, and not all the time.
        loudness = np.abs(soundfile.read(utterance.audio)[0])
        assert loudness.max() > 0.1 and np.quantile(loudness, 0.1) < 0.02
    noises = recordings.recordings(speech_commands.background(mini))
    assert [u.id for u in noises] == ["pink_noise", "running_tap"]
    for name in ("LICENSE", "README.md", "_background_noise_/README.md", ".DS_Store"):
        assert (mini / name).is_file()
    assert "not Speech Commands" in (mini / "SYNTHETIC.txt").read_text()


def test_mini_is_the_same_again_and_another_for_another_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("espeakng_loader")
    monkeypatch.setattr(mini_speech_commands, "MINI_SPEAKERS", {"train": 2, "dev": 1, "test": 1})
    for name, seed in (("mini", 3), ("again", 3), ("other", 4)):
        mini_speech_commands.synthesise(tmp_path / name, seed=seed)
    mini, again, other = (contents(tmp_path / name) for name in ("mini", "again", "other"))
    assert again == mini and len(mini) > 40
    assert other["testing_list.txt"] != mini["testing_list.txt"]


# Stage 1 on the mini and the real corpus


def test_data_directories(mini: Path, room: Path, tmp_path: Path) -> None:
    before = listing(mini)
    prepare(tmp_path, mini, room, other_noise=str(room))
    assert listing(mini) == before
    for name in ("train", "dev", "test", "test_background", "test_room"):
        validate(tmp_path / name)
    for name in ("noise_train", "noise_test", "noise_other"):
        validate(tmp_path / name, "--no-text")
        assert not (tmp_path / name / "text").exists()
    test = {u.id: u for u in read_data_dir(tmp_path / "test")}
    for name in ("test_background", "test_room"):
        assert {u.id: u for u in read_data_dir(tmp_path / name)} == test
        assert read_table(tmp_path / name / "noise").keys() == test.keys()
    assert json.loads((tmp_path / "sizes.json").read_text())["noise_other_seconds"] == 3


def test_real_part(tmp_path: Path) -> None:
    archive, other = real_data("speech_commands.tar.xz"), real_data("noise_other")
    root = speech_commands.fetch(tmp_path / "t", archive)
    out = tmp_path / "out"
    program(RECIPE).main(out, roots(tmp_path, speech_commands=root), noise="background", other_noise=str(other))
    words = "down go left no off on right stop up yes".split()
    assert (out / "words").read_text().split() == words
    lines = {name: (root / f"{name}_list.txt").read_text().split() for name in ("validation", "testing")}
    sizes = json.loads((out / "sizes.json").read_text())
    assert {name: sizes[name] for name in ("words", "train", "dev", "test")} == {
        "words": 10, "train": 3376 - 374 - 825, "dev": 374, "test": 825,
    }  # fmt: skip
    for name, own in (("dev", lines["validation"]), ("test", lines["testing"])):
        found = read_data_dir(out / name)
        assert sorted(str(u.audio.relative_to(root)) for u in found) == sorted(own)
        assert all(u.text == u.audio.parent.name and u.speaker == u.audio.name[:8] for u in found)
    told = (out / "preparation.txt").read_text()
    assert told.count("share no speaker") == 3 and "3,376" not in told and "2,177     84,843" in told
    assert (sizes["noise_train"], sizes["noise_test"]) == (319, 79) and sizes["noise_other_seconds"] == 77.896
    for name in ("train", "test_background", "test_noise_other"):
        validate(out / name)
