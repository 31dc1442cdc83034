"""Bad clips: all are found in one pass, told with their reasons, and left out if asked; links and hidden files."""

import logging
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from corpora_helpers import deep_folders, program
from speech_commands_helpers import living_room, prepare, roots, tiny_corpus

from salience.corpora import an4, download, edacc, fsdd, librispeech, musan, pdid, qut_noise, recordings
from salience.corpora.clips import BadClips, bad_before
from salience.corpora.synthetic import edacc as mini_edacc
from salience.data.directories import read_data_dir, write_data_dir
from salience.data.records import UNKNOWN, Utterance
from salience.errors import InputError
from salience.files import files_below
from salience.steps import fingerprint

RATE = 16000


def sound(path: Path, seconds: float = 1.0, rate: int = RATE) -> Path:
    """Noise that depends on the name of the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(len(path.name)).normal(0, 0.1, round(seconds * rate))
    soundfile.write(path, samples, rate, format="NIST" if path.suffix == ".sph" else None, subtype="PCM_16")
    return path


def utterance(path: Path, **fields: object) -> Utterance:
    return Utterance(
        **{
            "id": path.stem,
            "speaker": path.stem,
            "audio": path,
            "text": "a",
            "duration": UNKNOWN,
            "recording": path.stem,
            **fields,
        }
    )  # type: ignore[arg-type]


def damage(folder: Path) -> dict[str, Path]:
    """Five bad files in `folder`, each bad in its own way, by what the reason must say."""
    cut = sound(folder / "cut.wav", 2)
    cut.write_bytes(cut.read_bytes()[:20000])
    bad = {
        "does not exist": folder / "gone.wav",
        "is empty": folder / "nothing.wav",
        "cannot be decoded": folder / "text.wav",
        "cut off": cut,
    }
    bad["is empty"].write_bytes(b"")
    bad["cannot be decoded"].write_text("this is a sentence, and no sound at all\n" * 10)
    return bad


def test_every_bad_clip_is_found_in_one_pass_with_its_reason(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bad = damage(tmp_path / "corpus")
    good = [sound(tmp_path / f"corpus/good{n}.wav", 1 + n / 10) for n in range(3)]
    long = sound(tmp_path / "corpus/long.wav", 2)
    clips = BadClips(tmp_path / "data", skip=True)
    told = {"long": 1.85, "good1": 1.19}
    found = clips.usable([utterance(path) for path in (good[2], *bad.values(), long, *good[:2])], told)
    assert [(u.id, u.duration) for u in found] == [("good2", 1.2), ("good0", 1.0), ("good1", 1.1)]
    clips.report()
    lines = (tmp_path / "data/bad_clips.tsv").read_text().splitlines()
    reasons = dict(line.split("\t") for line in lines)
    assert list(reasons) == sorted(map(str, (*bad.values(), long))) and clips.count == 8
    for word, path in bad.items():
        assert word in reasons[str(path)]
        assert not reasons[str(path)].startswith(str(path)) and ";" in reasons[str(path)]
    assert (
        reasons[str(long)]
        == "lasts 2.00 s, and 1.85 s in the table of the corpus; fetch it again, or correct the table"
    )
    assert bad_before(tmp_path / "data") == sorted((*bad.values(), long))
    assert "5 of 8 clips cannot be used and are left out" in caplog.text
    clips.skip = False
    with pytest.raises(
        InputError,
        match=(
            r"^5 of 8 clips cannot be used \(the first: .*cut.wav .*\); \S*/data/bad_clips.tsv .*--skip-bad-clips true$"
        ),
    ):
        clips.report()
    # Nothing is bad any more.
    BadClips(tmp_path / "data").report()
    assert not (tmp_path / "data/bad_clips.tsv").exists() and bad_before(tmp_path / "data") == []


def test_the_first_ten_are_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clips = BadClips(tmp_path)
    assert clips.durations(tmp_path / f"{n:02d}.wav" for n in range(12)) == {}
    with pytest.raises(InputError, match="12 of 12 clips cannot be used"):
        clips.report()
    shown = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [Path(line.split()[0]).name for line in shown[:10]] == [f"{n:02d}.wav" for n in range(10)]
    assert shown[10:] == ["... and 2 more"]


def test_without_a_table_the_first_bad_clip_is_the_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"^{tmp_path}/a.wav does not exist.* \(2 of 3 clips cannot be used\)$"):
        BadClips().durations([sound(tmp_path / "c.wav"), tmp_path / "a.wav", tmp_path / "b.wav"])


def test_a_segment_beyond_its_recording_is_bad(tmp_path: Path) -> None:
    path = sound(tmp_path / "long.wav", 3)
    parts = [utterance(path, id=f"long-{n}", start=n, end=n + 1.5, duration=1.5) for n in range(3)]
    clips = BadClips(tmp_path)
    assert clips.usable(parts) == parts[:2]
    assert clips.reasons == {
        path: "ends at 3.00 s, before the end of long-2 at 3.50 s; fetch the recording again, or correct segments"
    }


def test_a_name_that_is_not_utf8_is_a_bad_clip(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(sound(tmp_path / "good.wav").parent) + b"/b\xff.wav"))
    shutil.copy(tmp_path / "good.wav", path)
    clips = BadClips(tmp_path / "data", skip=True)
    assert [u.id for u in recordings.recordings(tmp_path, bad=clips)] == ["good"]
    clips.report()
    assert (
        tmp_path / "data/bad_clips.tsv"
    ).read_text() == f"{tmp_path}/b\\xff.wav\thas a name that is not UTF-8; rename it\n"


# Each corpus


def tiny_librispeech(root: Path) -> Path:
    for part in ("train-clean-100", "dev-clean", "test-clean"):
        for reader in ("11", "12"):
            keys = [f"{reader}-{part.count('a') + 5}-{n:04d}" for n in range(4)]
            for key in keys:
                sound(root / part / reader / key.split("-")[1] / f"{key}.flac")
            path = root / part / reader / keys[0].split("-")[1] / f"{keys[0].rsplit('-', 1)[0]}.trans.txt"
            path.write_text("".join(f"{key} WORDS\n" for key in keys))
    return root


def tiny_fsdd(root: Path) -> Path:
    accents = {"ann": "USA/neutral", "ben": "DEU/German", "col": "BEL/French"}
    for speaker in accents:
        for digit in range(10):
            for index in range(12):
                sound(root / f"recordings/{digit}_{speaker}_{index}.wav", 0.3, 8000)
    people = {name: {"gender": "male", "accent": accent, "language": "english"} for name, accent in accents.items()}
    (root / "metadata.py").write_text(f"metadata = {people}\n")
    return root


def tiny_an4(root: Path) -> Path:
    (root / "etc").mkdir(parents=True)
    for split, folder in (("train", "an4_clstk"), ("test", "an4test_clstk")):
        names = [f"an{n}-f{split[:2]}c-b" for n in range(6)]
        for name in names:
            sound(root / f"wav/{folder}/{name.split('-')[1]}/{name}.sph")
        (root / f"etc/an4_{split}.fileids").write_text("".join(f"{folder}/{n.split('-')[1]}/{n}\n" for n in names))
        (root / f"etc/an4_{split}.transcription").write_text("".join(f"<s> WORD </s> ({n})\n" for n in names))
    return root


def tiny_pdid(root: Path) -> Path:
    lines = ["utt\tpath\taccent\tspeaker\ttext\tsplit"]
    for accent in ("Lori", "Yazdi"):
        for split in ("train", "dev", "test"):
            for n in range(2):
                key = f"{accent}_{split}-{n}"
                sound(root / f"{accent}/{key}.wav")
                lines.append(f"{key}\t{accent}/{key}.wav\t{accent}\t{accent}_{split}\tسلام\t{split}")
    (root / "metadata.tsv").write_text("\n".join(lines) + "\n")
    return root


def tiny_common_voice(root: Path, language: str = "en") -> Path:
    """Eight contributors with three clips each; the table of durations is right."""
    header = ("client_id", "path", "sentence", "accents", "gender", "variant", "locale")
    tables: dict[str, list[str]] = {
        name: ["\t".join(header)] for name in ("validated", "train", "dev", "test", "other")
    }
    lengths = ["clip\tduration[ms]"]
    (root / "clips").mkdir(parents=True)
    for number in range(24):
        name, seconds = f"common_voice_{language}_{number:02d}.mp3", 0.6 + number / 50
        soundfile.write(
            root / "clips" / name,
            np.random.default_rng(number).normal(0, 0.1, round(seconds * RATE)),
            RATE,
            format="MP3",
        )
        row = "\t".join((f"{number // 3:0128x}"[::-1], name, "Una frase.", "England English", "male", "", language))
        tables["validated"].append(row)
        tables[("train", "train", "dev", "test")[number // 3 % 4]].append(row)
        lengths.append(f"{name}\t{round(1000 * seconds)}")
    for table, lines in (tables | {"clip_durations": lengths}).items():
        (root / f"{table}.tsv").write_text("\n".join(lines) + "\n")
    return root


def spoil(paths: list[Path]) -> list[Path]:
    """The first is removed, the second emptied, the third cut off."""
    gone, empty, cut = paths[:3]
    gone.unlink()
    empty.write_bytes(b"")
    cut.write_bytes(cut.read_bytes()[:-2000])
    return paths[:3]


RECIPES = {
    "librispeech_edacc": (tiny_librispeech, "train-clean-100/*/*/*.flac", {}, "librispeech"),
    "fsdd": (tiny_fsdd, "recordings/*_ann_*.wav", {"unseen": "german"}, "fsdd"),
    "an4": (tiny_an4, "wav/*/*/*.sph", {"dev_utterances": 1}, "an4"),
    "cv_fa_pdid": (tiny_pdid, "*/*_train-*.wav", {"test_only": ""}, "pdid"),
    "librispeech_edacc, cma": (tiny_common_voice, "clips/*.mp3", {}, "common_voice"),
    "cv_fa_pdid, Common Voice": (lambda root: tiny_common_voice(root, "fa"), "clips/*.mp3", {}, "common_voice"),
    "cv_ca": (lambda root: tiny_common_voice(root, "ca"), "clips/*.mp3", {}, "common_voice"),
    "gsc_v2": (tiny_corpus, "no/*.wav", {}, "speech_commands"),
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_each_recipe_finds_all_bad_clips_and_can_leave_them_out(recipe: str, tmp_path: Path) -> None:
    make, pattern, options, name = RECIPES[recipe]
    root, out = make(tmp_path / "corpus"), tmp_path / "data"
    if recipe == "gsc_v2":  # its third clip of "no" is all there is for dev, so one of "yes" takes its place
        options = {"noise": "background", "other_noise": str(living_room(tmp_path / "room"))}
        spoilt = spoil(
            [root / "no/aaaa0000_nohash_1.wav", root / "yes/aaaa0000_nohash_1.wav", root / "no/bbbb0000_nohash_0.wav"]
        )
        with open(root / "testing_list.txt", "a") as handle:  # a clip for training that is gone is known to no list
            handle.write("no/aaaa0000_nohash_1.wav\n")
    else:
        spoilt = spoil(sorted(root.glob(pattern))[1:4])
    if recipe == "fsdd":  # one that is gone is not in any list
        spoilt = spoilt[1:]
    main = program(f"egs/{recipe.split(',')[0]}/local/prepare_sets.py").main
    corpora = {name: root} if recipe != "gsc_v2" else {"corpora": roots(tmp_path, speech_commands=root)}
    with pytest.raises(InputError, match=rf"^{len(spoilt)} of \d+ clips cannot be used .*--skip-bad-clips true$"):
        main(out, **corpora, **options)
    assert bad_before(out) == sorted(spoilt) and not list(out.rglob("wav.scp"))
    main(out, **corpora, **options, skip_bad_clips=True)
    assert bad_before(out) == sorted(spoilt)
    text = (out / "preparation.txt").read_text()
    assert any(
        str(len(spoilt)) in line and "clips that cannot be used (bad_clips.tsv says which and why)" in line
        for line in text.splitlines()
    )
    used = {u.audio for folder in out.rglob("wav.scp") for u in read_data_dir(folder.parent)}
    assert used and not used & set(spoilt)


def test_a_clip_that_was_bad_is_used_once_it_is_whole(tmp_path: Path) -> None:
    """And one that lasts another time than clip_durations.tsv says is bad, even where that table is there."""
    root, out = tiny_common_voice(tmp_path / "ca", "ca"), tmp_path / "data"
    main = program("egs/cv_ca/local/prepare_sets.py").main
    first, second = root / "clips/common_voice_ca_00.mp3", root / "clips/common_voice_ca_01.mp3"
    whole = first.read_bytes()
    first.write_bytes(whole[: len(whole) // 2])
    data = second.read_bytes()
    second.unlink()
    main(out, root, skip_bad_clips=True)
    assert bad_before(out) == [first, second]
    record = (out / "step.json").read_bytes()
    main(out, root, skip_bad_clips=True)
    assert (out / "step.json").read_bytes() == record
    second.write_bytes(data)
    main(out, root, skip_bad_clips=True)
    used = {u.audio for part in ("train", "dev", "test") for u in read_data_dir(out / f"labelled_{part}")}
    assert bad_before(out) == [first] and second in used and first not in used


def test_a_data_directory_that_joins_the_unlabelled_is_measured(tmp_path: Path) -> None:
    root, out, own = tiny_common_voice(tmp_path / "ca", "ca"), tmp_path / "data", tmp_path / "own"
    paths = [sound(tmp_path / f"audio/s-{n}.wav", 2) for n in range(3)]
    write_data_dir(
        own,
        [utterance(path, speaker="s", duration=length) for path, length in zip(paths, (2.0, 2.5, 2.05), strict=True)],
    )
    main = program("egs/cv_ca/local/prepare_sets.py").main
    with pytest.raises(
        InputError, match=r"1 of 27 clips cannot be used \(the first: \S*/s-1.wav lasts 2.00 s, and 2.50 s in the table"
    ):
        main(out, root, unlabelled_data=own)
    main(out, root, unlabelled_data=own, skip_bad_clips=True)
    assert [u.id for u in read_data_dir(out / "unlabelled")] == ["own-s-0", "own-s-2"]


def test_a_digit_at_another_rate_or_in_stereo_is_a_bad_clip(tmp_path: Path) -> None:
    root = tiny_fsdd(tmp_path)
    sound(root / "recordings/1_ann_1.wav", 0.3, 16000)
    soundfile.write(root / "recordings/2_ann_1.wav", np.zeros((2400, 2)), 8000)
    bad = BadClips(tmp_path, skip=True)
    assert len(list(fsdd.utterances(root, bad))) == 358
    assert list(bad.reasons.values()) == [
        "has 16000 Hz instead of 8000; use a copy at 8000 Hz", "has 2 channels instead of one; mix it down (sox -c 1)"
    ]  # fmt: skip


def test_a_bad_conversation_costs_its_turns(tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader")
    root = tmp_path / "edacc_v1.0"
    mini_edacc.synthesise(root, seen=(2, 2), unseen=(1, 2))
    whole = list(edacc.utterances(root))
    (gone,) = spoil([root / "data" / f"{name}.wav" for name in sorted({u.recording for u in whole})[:3]])[:1]
    clips, counts = BadClips(tmp_path, skip=True), edacc.Counter()
    found = list(edacc.utterances(root, bad=clips, excluded=counts))
    assert len(clips.reasons) == 3 and gone in clips.reasons
    assert [u.id for u in found] == [u.id for u in whole if u.audio not in clips.reasons]
    assert counts[edacc.BAD_RECORDING] >= len(whole) - len(found) > 0


@pytest.mark.parametrize("source", ["noise", "musan", "other_noise", "qut"])
def test_bad_noise_is_found_with_bad_clips(source: str, tmp_path: Path) -> None:
    root = tiny_corpus(tmp_path / "corpus")
    folder = tmp_path / "noise"
    names = {"musan": "noise/free-sound/{}.wav", "qut": "{}/HOME-LIVINGB-1.wav"}.get(source, "deep/{}.flac")
    paths = [sound(folder / names.format(n), 5) for n in "abcdef"]
    if source == "qut":
        bad = [paths[0]]
        paths[0].write_bytes(b"")
    else:
        bad = paths[:2]
        bad[0].write_bytes(b"no sound")
        bad[1].write_bytes(bad[1].read_bytes()[:-3000])
    clip = root / "no/aaaa0000_nohash_1.wav"
    clip.write_bytes(b"")
    options = {
        "noise": {"noise": str(folder)},
        "musan": {"musan": folder, "noise": "musan"},
        "other_noise": {"other_noise": str(folder)},
        "qut": {"room": folder},
    }[source]
    options = {"room": living_room(tmp_path / "room"), **options}
    with pytest.raises(InputError, match="clips cannot be used"):
        prepare(tmp_path / "data", root, **options)
    if source == "qut":  # the only one: reported before the clips are opened
        assert bad_before(tmp_path / "data") == bad
        return
    assert bad_before(tmp_path / "data") == sorted([*bad, clip])
    prepare(tmp_path / "data", root, **options, skip_bad_clips=True)
    assert "Left out: 3 clips that cannot be used" in (tmp_path / "data/preparation.txt").read_text()


# Links and what macOS leaves


def test_all_files_are_walked_and_no_circle(tmp_path: Path) -> None:
    for name in ("top/b/x.wav", "top/a.wav", "top/._a.wav", "top/.git/y", "disk/c/z.wav", "disk/._z.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    top = tmp_path / "top"
    (top / "linked").symlink_to(tmp_path / "disk")
    (tmp_path / "disk/up").symlink_to(top)
    (top / "b/self").symlink_to(top / "b")
    (top / "gone.wav").symlink_to("nowhere")
    assert [str(path.relative_to(top)) for path in files_below(top)] == [
        "a.wav",
        "b/x.wav",
        "gone.wav",
        "linked/c/z.wav",
    ]
    assert list(files_below(tmp_path / "none")) == []


def test_very_deep_folders_are_walked(tmp_path: Path) -> None:
    (tmp_path / "zz.wav").touch()
    with deep_folders(tmp_path, "deep", 1500):
        found = list(files_below(tmp_path))
    assert found[-1] == tmp_path / "zz.wav" and len(os.fsencode(found[0])) > 4000


def test_a_linked_folder_counts_in_a_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/a.txt").write_text("a\n")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/part").symlink_to(tmp_path / "disk")
    before = fingerprint(tmp_path / "corpus")
    (tmp_path / "disk/._a.txt").write_text("macOS\n")
    assert fingerprint(tmp_path / "corpus") == before
    (tmp_path / "disk/a.txt").write_text("b\n")
    assert fingerprint(tmp_path / "corpus") != before


def test_a_changed_transcript_of_a_linked_part_is_noticed(tmp_path: Path) -> None:
    disk = tiny_librispeech(tmp_path / "disk")
    root, out = tmp_path / "LibriSpeech", tmp_path / "data"
    root.mkdir()
    for part in disk.iterdir():
        (root / part.name).symlink_to(part)
    main = program("egs/librispeech_edacc/local/prepare_sets.py").main
    main(out, librispeech=root)
    assert {u.text for u in read_data_dir(out / "asr_train")} == {"WORDS"}
    path = next(disk.glob("train-clean-100/*/*/*.trans.txt"))
    path.write_text(path.read_text().replace("WORDS", "OTHER WORDS"))
    main(out, librispeech=root)
    assert {u.text for u in read_data_dir(out / "asr_train")} == {"WORDS", "OTHER WORDS"}


def test_linked_folders_of_noise_are_read_and_files_of_macos_are_not(tmp_path: Path) -> None:
    sound(tmp_path / "disk/street/a.wav")
    sound(tmp_path / "disk/HOME-LIVINGB-1.wav")
    for root, name in ((tmp_path / "noise", "linked"), (tmp_path / "musan/noise", "free-sound")):
        root.mkdir(parents=True)
        (root / name).symlink_to(tmp_path / ("disk" if name == "linked" else "disk/street"))
    (tmp_path / "disk/street/._a.wav").write_bytes(b"macOS")
    assert [u.id for u in recordings.recordings(tmp_path / "noise")] == ["linked-HOME-LIVINGB-1", "linked-street-a"]
    assert [u.id for u in musan.noises(tmp_path / "musan")] == ["a"]
    assert [u.id for u in qut_noise.noises(tmp_path / "noise")] == ["HOME-LIVINGB-1"]


@pytest.mark.parametrize("make", [tiny_librispeech, tiny_fsdd, tiny_an4, tiny_pdid, tiny_corpus])
def test_files_of_macos_are_in_no_corpus(make: object, tmp_path: Path) -> None:
    root = make(tmp_path / "corpus")  # type: ignore[operator]
    for path in list(files_below(root)):
        (path.parent / f"._{path.name}").write_bytes(b"\x00\x05\x16\x07Mac OS X")
    module = {tiny_librispeech: librispeech, tiny_fsdd: fsdd, tiny_an4: an4, tiny_pdid: pdid}.get(make)  # type: ignore[call-overload]
    if module is None:
        from salience.corpora import speech_commands as module
    found = list(module.utterances(root))
    assert found and not any(u.audio.name.startswith(".") for u in found)


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_archives_made_by_macos(kind: str, tmp_path: Path) -> None:
    sound(tmp_path / "c/a.wav")
    (tmp_path / "c/._a.wav").write_bytes(b"macOS")
    (tmp_path / "__MACOSX/c").mkdir(parents=True)
    (tmp_path / "__MACOSX/c/._a.wav").write_bytes(b"macOS")
    if kind == "tar":
        (tmp_path / "c/linked").symlink_to("../other")
        sound(tmp_path / "other/deep/b.wav")
    shutil.make_archive(str(tmp_path / "archive"), kind, tmp_path, ".") if kind == "zip" else None
    if kind == "tar":
        with tarfile.open(tmp_path / "archive.tar", "w") as tar:
            for name in ("c", "other", "__MACOSX"):
                tar.add(tmp_path / name, name)
    else:
        assert any("._" in name for name in zipfile.ZipFile(tmp_path / "archive.zip").namelist())
    download.unpack(tmp_path / f"archive.{kind}", tmp_path / "out")
    names = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert names - {"archive.zip"} == (
        {"c/a.wav", "c/linked/deep/b.wav", "other/deep/b.wav"} if kind == "tar" else {"c/a.wav"}
    )
