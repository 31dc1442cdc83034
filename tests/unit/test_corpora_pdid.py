"""PDID's layout: the metadata, what may be wrong with it, and the records."""

import os
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from collection_helpers import tone, write
from corpora_helpers import listing, program
from hypothesis import given
from hypothesis import strategies as st

from salience.corpora import pdid
from salience.data.directories import unsorted, write_data_dir
from salience.errors import InputError

CLIP = pdid.Clip(
    "a-s01-0001", "Yazdi/a-s01-0001.wav", "Yazdi", "a", 1.5, 5.25, "a-s01", -26.02, 31.4, 0.0, "یک دو", "test"
)
WORDS = st.text("abیک\u200c-_1", min_size=1, max_size=8)


def written(root: Path, *clips: pdid.Clip) -> Path:
    for clip in clips:
        write(root / clip.path, tone(1.0))
    pdid.write_metadata(root, clips)
    return root


def test_clips_come_back(tmp_path: Path) -> None:
    other = replace(
        CLIP,
        utt="a-s01-0000",
        path="Yazdi/b.wav",
        start=None,
        end=None,
        loudness=None,
        snr=None,
        music=None,
        text="",
        split="",
    )
    written(tmp_path, CLIP, other)
    assert pdid.read_metadata(tmp_path) == [other, CLIP]
    assert (tmp_path / "metadata.tsv").read_text().splitlines()[0].split("\t") == list(pdid.COLUMNS)


@given(
    st.lists(
        st.tuples(WORDS, st.floats(0, 1e5), st.floats(0.001, 30), WORDS),
        min_size=1,
        max_size=5,
        unique_by=lambda t: t[0],
    )
)
def test_any_clips_come_back(tmp_path_factory: pytest.TempPathFactory, rows: list) -> None:
    root = tmp_path_factory.mktemp("pdid")
    clips = [
        replace(
            CLIP,
            utt=f"s{name}",
            speaker="s",
            path=f"x/{name}.wav",
            start=round(start, 3),
            end=round(start + length, 3),
            text=text,
        )
        for name, start, length, text in rows
        if round(start + length, 3) > round(start, 3)
    ] or [CLIP]
    pdid.write_metadata(root, clips)
    assert sorted(pdid.read_metadata(root), key=lambda c: c.utt) == sorted(clips, key=lambda c: c.utt)


def test_records(tmp_path: Path) -> None:
    root = written(
        tmp_path / "pdid", CLIP, replace(CLIP, utt="a-s01-0000", path="Yazdi/b.wav", text=" سه   چهار ", split="")
    )
    before = listing(root)
    first, second = pdid.utterances(tmp_path)
    assert listing(root) == before
    assert (first.id, first.speaker, first.recording, first.text) == ("a-s01-0000", "a-s01", "a-s01-0000", "سه چهار")
    assert (first.split, second.split, second.accent, second.language, second.duration) == (
        None,
        "test",
        "Yazdi",
        "fa",
        1.0,
    )
    assert second.audio == root / CLIP.path


def named(*pairs: tuple[str, str]) -> list[pdid.Clip]:
    return [replace(CLIP, speaker=speaker, utt=utt, path=f"{utt}.wav") for speaker, utt in pairs]


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([("1", "1-0"), ("13", "13-0")], ["1-0", "13-0"]),
        ([("1", "1_0"), ("13", "13_0")], ["1-1_0", "13-13_0"]),
        # Alone they sort, but not beside a speaker of Common Voice called 13ab.
        ([("13", "13_0")], ["13-13_0"]),
        ([("ali", "ali-rec"), ("ali-2", "ali-2-rec")], ["ali+ali-rec", "ali-2+ali-2-rec"]),
        ([("a", "a"), ("ab", "ab"), ("b", "b1")], ["a", "ab", "b-b1"]),
    ],
)
def test_utterances_sort_as_their_speakers(tmp_path: Path, pairs: list, expected: list[str]) -> None:
    root = written(tmp_path / "pdid", *named(*pairs))
    found = list(pdid.utterances(root))
    assert [u.id for u in found] == expected == [u.recording for u in found]
    write_data_dir(tmp_path / "data", [*found, replace(found[0], id="13ab-0", speaker="13ab", recording="13ab-0")])
    assert subprocess.run(
        ["sort", "-c", "-k2"], stdin=open(tmp_path / "data/utt2spk"), env={"LC_ALL": "C", "PATH": os.environ["PATH"]}
    ).returncode == 0  # fmt: skip


SPEAKERS = st.text("a1_.-+#(", min_size=1, max_size=3)


@given(st.lists(st.tuples(SPEAKERS, st.text("a1_-+", max_size=2)), min_size=1, max_size=6, unique_by="".join))
def test_any_ids_can_be_sorted(pairs: list[tuple[str, str]]) -> None:
    clips = named(*((speaker, speaker + rest) for speaker, rest in pairs))
    ids = pdid.sorted_ids(clips)
    assert not unsorted({ids[clip.utt]: clip.speaker for clip in clips})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("\ttext", ""),
         r"metadata.tsv:1 has no column text; the columns are utt path accent speaker text split,"),
        (lambda text: text.replace("\t31.4", ""), r"metadata.tsv:2 has 11 fields instead of 12"),
        (lambda text: text.replace("31.4", "loud"), r"metadata.tsv:2 has 'loud' for snr, which is not a number"),
        (lambda text: text.replace("31.4", "nan"), r"metadata.tsv:2 has 'nan' for snr"),
        (lambda text: text.replace("5.250", "1.000"), r"metadata.tsv:2 goes from 1.5 to 1.0 s"),
        (lambda text: text.replace("\tYazdi\t", "\t\t"), r"metadata.tsv:2 has an empty accent"),
        (lambda text: text.replace("\ttest", "\texam"), r"metadata.tsv:2 has the split 'exam'"),
        (lambda text: text.replace("\ta-s01\t", "\tb\t"),
         r"metadata.tsv:2: the id a-s01-0001 does not start with its speaker b"),
        (lambda text: text.replace("Yazdi/", "../"), r"metadata.tsv:2 names the file \.\./"),
        (lambda text: text + text.splitlines()[1].replace("\tYazdi\t", "\tLori\t"),
         r"metadata.tsv:3 lists Yazdi/\S+ with the accent Lori, and line 2 with Yazdi"),
        (lambda text: text + text.splitlines()[1], r"metadata.tsv:3 lists Yazdi/\S+ as line 2 does"),
        (lambda text: text + text.splitlines()[1].replace("/a-", "/b-"),
         r"metadata.tsv:3 repeats the id a-s01-0001 of line 2"),
        (lambda text: text.splitlines()[0] + "\n", "metadata.tsv lists no clip"),
        (lambda text: "", "metadata.tsv:1 has no column utt"),
    ],
)  # fmt: skip
def test_bad_metadata_is_one_sentence(tmp_path: Path, change, message: str) -> None:
    table = written(tmp_path, CLIP) / "metadata.tsv"
    table.write_text(change(table.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(InputError, match=message) as error:
        list(pdid.utterances(tmp_path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("recording", ["", "\t"])
def test_an_owner_need_not_know_more_than_accent_speaker_and_text(tmp_path: Path, recording: str) -> None:
    """Six columns; one for the recording may be there and empty."""
    write(tmp_path / CLIP.path, tone(1.0))
    head = "split\tutt\tpath\taccent\tspeaker\ttext" + ("\trecording" if recording else "")
    (tmp_path / "metadata.tsv").write_text(
        f"{head}\ntest\t{CLIP.utt}\t{CLIP.path}\tYazdi\t{CLIP.speaker}\tیک دو{recording}\n"
    )
    unknown = dict.fromkeys(("start", "end", "loudness", "snr", "music"))
    assert pdid.read_metadata(tmp_path) == [replace(CLIP, recording=CLIP.utt, **unknown)]
    assert [u.text for u in pdid.utterances(tmp_path)] == ["یک دو"]


def test_a_file_that_is_missing_or_empty_is_named(tmp_path: Path) -> None:
    written(tmp_path, CLIP)
    (tmp_path / CLIP.path).write_bytes(b"")
    with pytest.raises(InputError, match="a-s01-0001.wav"):
        list(pdid.utterances(tmp_path))
    (tmp_path / CLIP.path).unlink()
    with pytest.raises(InputError, match="a-s01-0001.wav does not exist"):
        list(pdid.utterances(tmp_path))


def test_where_it_comes_from(tmp_path: Path) -> None:
    root = written(tmp_path / "mine", CLIP)
    with tarfile.open(tmp_path / "pdid.tar", "w") as tar:
        tar.add(root, "corpus")
    main = program("local/fetch_corpus.py").main
    main("pdid", tmp_path / "a", archive=tmp_path / "pdid.tar")
    main("pdid", tmp_path / "b", root=root)
    for name in "ab":
        found = Path((tmp_path / name / "root.txt").read_text().strip())
        assert [clip.utt for clip in pdid.read_metadata(found)] == [CLIP.utt]
    with pytest.raises(InputError, match="no public copy; give yours with --pdid-root"):
        main("pdid", tmp_path / "c")
    with pytest.raises(InputError, match="no mini pdid"):
        main("pdid", tmp_path / "c", mini=True)
    with pytest.raises(InputError, match="holds no metadata.tsv"):
        main("pdid", tmp_path / "c", root=tmp_path / "nowhere")
