"""A corpus of the user's own, in each of the formats that egs/custom reads; two of them written by lhotse itself."""

import csv
import gzip
import json
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from check_leakage import check_leakage
from corpora_helpers import program
from hypothesis import given, settings
from hypothesis import strategies as st

from salience.audio import write_audio
from salience.corpora import custom, custom_sets, lhotse_manifests
from salience.corpora.clips import BadClips
from salience.corpora.custom import Given
from salience.corpora.sets import Sets
from salience.data.directories import read_data_dir, write_data_dir
from salience.data.records import Utterance
from salience.data.tables import read_table
from salience.data.text import clean
from salience.errors import InputError

GOLDEN = Path(__file__).with_name("golden") / "lhotse"
"""Data directories, and what lhotse 1.33.0 (load_kaldi_data_dir, CutSet.from_manifests) made of them."""

PREPARE = program("egs/custom/local/prepare_sets.py").main


def write_corpus(root: Path, kind: str) -> Path:
    """Eight people with two accents who say two sentences each: whole `files`, or `parts` of a tape of each."""
    shutil.copytree(GOLDEN / kind, root / kind)
    (root / "audio").mkdir(exist_ok=True)
    for _, path in read_table(root / kind / "data/wav.scp").items():
        write_audio(root / path, np.random.default_rng(0).normal(0, 0.1, 16000 if kind == "parts" else 8000), 16000)
    data = root / kind / "data"
    tables = {name: read_table(data / name) for name in ("text", "utt2spk", "utt2accent", "spk2gender", "wav.scp")}
    rows = []
    for key, speaker in tables["utt2spk"].items():
        path, start, end = tables["wav.scp"].get(key), "", ""
        if kind == "parts":
            tape, start, end = read_table(data / "segments")[key].split()
            path = tables["wav.scp"][tape]
        gender = tables["spk2gender"][speaker]
        rows.append((key, path, speaker, tables["text"][key], tables["utt2accent"][key], gender, start, end))
    columns = ("id", "path", "speaker", "text", "accent", "gender", "start", "end")
    with open(root / kind / "own.csv", "w", newline="") as handle:
        csv.writer(handle).writerows([columns, *rows])
    (root / kind / "own.tsv").write_text("".join("\t".join(row) + "\n" for row in [columns, *rows]))
    return root / kind


def prepare(out: Path, **options: object) -> str:
    """Run the program; what it says where it refuses."""
    try:
        PREPARE(out, out.parent, **options, seed=1)
    except InputError as error:
        return str(error)
    return ""


def tables_in(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.glob("*/*")) if path.is_file()}


@pytest.mark.parametrize("kind", ["files", "parts"])
def test_each_format_of_a_corpus_makes_the_same_sets(kind, tmp_path):
    corpus = write_corpus(tmp_path, kind)
    found = {}
    for name in ("data", "own.csv", "own.tsv", "cuts.jsonl.gz", "supervisions.jsonl"):
        assert prepare(tmp_path / name, train_dir=corpus / name) == ""
        found[name] = tables_in(tmp_path / name)
    assert {"asr_train/text", "asr_dev/text", "test/utt2accent", "cls_test/utt2spk"} <= found["data"].keys()
    assert ("test/segments" in found["data"]) == (kind == "parts")
    tapes = {"own.csv", "own.tsv"} if kind == "parts" else set()  # which have no name there: their files have
    for name, tables in found.items():
        text = {key: value.replace("-tape", "") if name in tapes else value for key, value in tables.items()}
        assert {key: value.replace("-tape", "") if tapes else value for key, value in found["data"].items()} == {
            key: value.replace("-tape", "") if tapes else value for key, value in text.items()
        }


def people(folder: Path) -> set[str]:
    return set(read_table(folder / "utt2spk").values())


def test_who_is_held_out_is_in_no_other_set(tmp_path):
    corpus = write_corpus(tmp_path, "files")
    assert prepare(tmp_path / "out", train_dir=corpus / "data") == ""
    train, dev, test = (people(tmp_path / "out" / name) for name in ("asr_train", "asr_dev", "test"))
    assert train | dev | test == people(corpus / "data")
    assert not (train & dev or train & test or dev & test)
    # An American and an Indian in each.
    assert all({name[0] for name in own} == {"a", "i"} for own in (train, dev, test))
    assert people(tmp_path / "out/cls_test") == test


def test_sets_that_are_given_are_kept_and_their_leakage_is_told(tmp_path):
    corpus = write_corpus(tmp_path, "files")
    rows = (corpus / "own.csv").read_text().splitlines()
    for name, first in (("dev", "i4"), ("test", "a1")):
        own = [row for row in rows[1:] if row.startswith(first)]
        (tmp_path / f"{name}.csv").write_text("\n".join([rows[0], *own]) + "\n")
    tests = str(tmp_path / "test.csv")
    assert prepare(tmp_path / "out", train_dir=corpus / "data", dev_dir=tmp_path / "dev.csv", test_dirs=tests) == ""
    assert people(tmp_path / "out/asr_dev") == {"i4"} and people(tmp_path / "out/test") == {"a1"}
    assert people(tmp_path / "out/asr_train") == people(corpus / "data")
    train, dev, test = (str(tmp_path / "out" / name) for name in ("asr_train", "asr_dev", "test"))
    with pytest.raises(InputError, match="share the speakers i4"):
        check_leakage(train, test, tmp_path / "leakage.md", dev)
    report = (tmp_path / "leakage.md").read_text()
    assert "SHARED SPEAKERS, an error" in report and "speakers of asr_train and test: a1" in report


def test_a_corpus_for_the_classifier_alone_has_speakers_held_out_of_it(tmp_path):
    corpus = write_corpus(tmp_path, "files")
    silent = [{"id": "x", "speaker": "x", "path": str(tmp_path / "audio/a1-0.wav"), "text": "one"}]
    (tmp_path / "mine.tsv").write_text("id\tspeaker\tpath\ttext\n" + "\t".join(silent[0].values()) + "\n")
    (corpus / "data/text").unlink()  # which a classifier does not need
    options = {"classifier_dir": corpus / "data", "test_dirs": str(tmp_path / "mine.tsv"), "accents_for": "gradcam"}
    assert prepare(tmp_path / "out", **options) == ""
    parts = [people(tmp_path / "out" / f"cls_{part}") for part in ("train", "dev", "test")]
    assert sorted(name for own in parts for name in own) == sorted(people(corpus / "data"))
    assert not (tmp_path / "out/asr_train").exists()
    assert (tmp_path / "out/test_sets").read_text() == "mine\n"


FAULTS = {
    "no accents": (
        "own.csv", ",accent,", ",dialect,", {"accents_for": "gradcam"},
        r"own.csv says no accents .*--classifier-dir",
    ),
    "too few speakers": (
        "own.csv", "", "", {"accents_for": "gradcam", "min_speakers": 5},
        r"american 4, indian 4; .*5 or more",
    ),
    "no column": (
        "own.csv", ",path,", ",file,", {},
        r"own.csv:1 has no column path; the columns are path, separated by commas",
    ),
    "no path": (
        "own.tsv", "audio/a1-1.wav", "", {},
        r"own.tsv:3 has no path; name an audio file",
    ),
    "twice": (
        "own.csv", "a1-1,", "a1-0,", {},
        r"own.csv:3 is a second utterance a1-0; .*column id",
    ),
    "a field too many": (
        "own.csv", "a1-1,", "a1-1,,", {},
        r"own.csv:3 has 9 fields instead of 8",
    ),
    "times": (
        "own.csv", "american,m,,", "american,m,1,0.5", {},
        r"own.csv:2 has start '1' and end '0.5'; correct them",
    ),
    "no audio": (
        "own.csv", "audio/a2-0.wav", "audio/none.wav", {},
        r"none.wav does not exist.*own.csv:4 names it.*--skip-bad-clips",
    ),
    "no audio of a directory": (
        "data/wav.scp", "audio/a2-0.wav", "none.wav", {},
        r"none.wav does not exist.*data/wav.scp:3 names it",
    ),
    "a command": (
        "data/wav.scp", "audio/a2-0.wav", "sox a.mp3 -t wav - |", {},
        r"wav.scp:3 has a command for a2-0.*run_wav_commands.py --source \S+data ",
    ),
    "no line": (
        "data/utt2spk", "a1-0 a1\n", "a1-0 a1\na1-x a1\n", {},
        r"has no line for a1-x",
    ),
    "a key twice": (
        "data/text", "a1-1 ", "a1-0 ", {},
        r"data/text:2 repeats the key a1-0",
    ),
    "no object": (
        "supervisions.jsonl", '{"id": "a1-1"', "[", {},
        r"supervisions.jsonl:2 is no object of JSON",
    ),
    "no recording": (
        "supervisions.jsonl", '"recording_id": "a1-1"', '"recording_id": "b"', {},
        r"supervisions.jsonl:2 is of the recording b",
    ),
    "no duration": (
        "supervisions.jsonl", '"duration": 0.5', '"duration": "x"', {},
        r"supervisions.jsonl:1 has no duration as lhotse",
    ),
    "a URL": (
        "recordings.jsonl", '"type": "file"', '"type": "url"', {},
        r"supervisions.jsonl:1: the audio of a1-0 is a url",
    ),
    "a channel of two": (
        "recordings.jsonl", '"channels": [0]', '"channels": [0, 1]', {},
        r"no file of the recording a1-0 holds channel 0 alone",
    ),
}  # fmt: skip
"""What is wrong: file, what in it is replaced by what, options, and what is said."""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_sentence_with_file_line_and_remedy_and_nothing_is_written(fault, tmp_path):
    name, old, new, options, sentence = FAULTS[fault]
    corpus = write_corpus(tmp_path, "files")
    text = (corpus / name).read_text()
    assert old in text
    (corpus / name).write_text(text.replace(old, new))
    path = corpus / name.replace("recordings", "supervisions").split("/")[0]
    said = prepare(tmp_path / "out", train_dir=path, **options)
    assert re.search(sentence, said), said
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.name != "bad_clips.tsv"]
    assert written == []


def test_clips_that_are_missing_can_be_left_out(tmp_path):
    corpus = write_corpus(tmp_path, "files")
    (tmp_path / "audio/a2-0.wav").unlink()
    assert prepare(tmp_path / "out", test_dirs=str(corpus / "cuts.jsonl.gz"), skip_bad_clips=True) == ""
    assert len(read_data_dir(tmp_path / "out/cuts")) == 15
    assert "cuts.jsonl.gz:3 names it" in (tmp_path / "out/bad_clips.tsv").read_text()


def test_relative_paths_count_from_a_folder_above_the_tables(tmp_path):
    corpus = write_corpus(tmp_path, "files")
    shutil.move(tmp_path / "audio", tmp_path / "elsewhere/audio")
    for path in (corpus / "data/wav.scp", corpus / "own.csv"):
        given = custom.read(path.parent if path.suffix == ".scp" else path, tmp_path / "elsewhere")
        assert all(utterance.audio.is_file() for utterance in given.utterances)
    shutil.move(tmp_path / "elsewhere/audio", tmp_path / "audio")
    assert custom.read(corpus / "data", Path("/")).utterances[0].audio == tmp_path / "audio/a1-0.wav"


def test_ids_of_a_published_corpus_are_made_fit(tmp_path):
    """speechocean762's ids do not begin with its speakers, and it separates fields by tabs."""
    folder = tmp_path / "test"
    folder.mkdir()
    lines = {"utt2spk": ["000030012 0003", "000240001 0024"], "text": ["000030012\tMARK IS", "000240001\tKATE"]}
    lines["wav.scp"] = ["000030012\tWAVE/a.WAV", "000240001\tWAVE/b.WAV"]
    for name, rows in lines.items():
        (folder / name).write_text("".join(f"{row}\n" for row in rows))
    given = custom.read(folder, tmp_path)
    assert custom.name_alike([given]) != []
    assert [utterance.id for utterance in given.utterances] == ["0003-000030012", "0024-000240001"]


def whole(key: str, speaker: str) -> Utterance:
    return Utterance.file(key, speaker, Path("/a.wav"), "one")


names = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(names, names), min_size=1, max_size=6, unique_by=lambda pair: pair[1]))
def test_any_ids_become_such_as_kaldi_sorts(pairs):
    part = Given(Path("own"), "a table", [whole(key, speaker) for speaker, key in pairs], {}, [])
    try:
        custom.name_alike([part])
    except InputError as error:
        assert "would all be called" in str(error) or "would be called" in str(error)
        return
    new = {(pair[0], utterance.speaker) for pair, utterance in zip(pairs, part.utterances, strict=True)}
    assert len(new) == len({old for old, _ in new}) == len({own for _, own in new})
    with tempfile.TemporaryDirectory() as folder:
        assert write_data_dir(Path(folder), part.utterances) == len(pairs)
        assert {u.id for u in read_data_dir(Path(folder))} == {u.id for u in part.utterances}


fields = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(fields, fields, fields), min_size=1, max_size=5), st.sampled_from([".csv", ".tsv"]))
def test_a_table_is_read_as_it_was_written(rows, suffix):
    """Quotes, commas and line breaks within a field of a .csv, and anything but tabs and line breaks in a .tsv."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"own{suffix}"
        table = [("id", "path", "text", "speaker", "accent")]
        table += [
            (f"u{n}", f"{n}.wav", *(f.replace("\r", "").replace("\0", "") for f in row)) for n, row in enumerate(rows)
        ]
        if suffix == ".csv":
            with open(path, "w", encoding="utf-8", newline="") as handle:
                csv.writer(handle).writerows(table)
        else:
            table = [tuple(field.replace("\t", " ").replace("\n", " ") for field in row) for row in table]
            path.write_text("".join("\t".join(row) + "\n" for row in table), encoding="utf-8")
        found = custom.read(path, Path(folder)).utterances
    wanted = [(key, clean(text), clean(who) or key, clean(accent) or None) for key, _, text, who, accent in table[1:]]
    assert [(u.id, u.text, u.speaker, u.accent) for u in found] == wanted


speakers = st.lists(st.sampled_from(["us", "india", None]), min_size=3, max_size=14)


@settings(max_examples=60, deadline=None)
@given(speakers, st.booleans(), st.booleans(), st.integers(0, 3))
def test_sets_made_by_speaker_share_none(accents, with_dev, with_tests, seed):
    def spoken(name: str, accents: list[str | None]) -> list[Utterance]:
        return [
            Utterance.file(f"{name}{n}-{k}", f"{name}{n}", Path(f"/{name}{n}{k}"), "one", accent=accent)
            for n, accent in enumerate(accents) for k in range(2)
        ]  # fmt: skip

    sets = Sets(BadClips(), {custom_sets.TRAIN: spoken("s", accents)})
    if with_dev:
        sets.found[custom_sets.DEV] = spoken("d", ["us"])
    if with_tests:
        sets.found["mine"] = spoken("t", [None, None])
    try:
        tests = custom_sets.add_sets(sets, custom_sets.Limits(3, None, None, seed))
    except InputError as error:
        assert "too few speakers" in str(error)
        return
    assert tests == (["mine"] if with_tests else ["test"])
    who = {name: {u.speaker for u in utterances} for name, utterances in sets.found.items()}
    kinds = [
        set().union(*(who.get(name, set()) for name in own))
        for own in (("asr_train", "cls_train"), ("asr_dev", "cls_dev"), ("cls_test", *tests))
    ]
    assert all(not kinds[a] & kinds[b] for a, b in ((0, 1), (0, 2), (1, 2)))
    assert all(who.values()), "no set is empty"
    classes = {accent for accent in ("us", "india") if accents.count(accent) >= 3}
    assert ("cls_train" in who) == (len(classes) == 2)
    if "cls_train" in who:
        assert all({u.accent for u in sets.found[f"cls_{part}"]} <= classes for part in ("train", "dev", "test"))
        # Nobody is lost to the recogniser but those who are held out for something.
        if with_dev and with_tests:
            lost = {f"s{n}" for n, _ in enumerate(accents)} - who["asr_train"]
            assert lost == who["cls_test"]


def test_a_gzip_that_was_cut_off_and_mixed_cuts_are_refused(tmp_path):
    corpus = write_corpus(tmp_path, "files")
    whole_bytes = (corpus / "cuts.jsonl.gz").read_bytes()
    (corpus / "cuts.jsonl.gz").write_bytes(whole_bytes[: len(whole_bytes) // 2])
    with pytest.raises(InputError, match=r"cuts.jsonl.gz is not lines of JSON"):
        list(lhotse_manifests.utterances(corpus / "cuts.jsonl.gz"))
    first = json.loads(gzip.decompress(whole_bytes).splitlines()[0]) | {"type": "MixedCut"}
    (corpus / "cuts.jsonl").write_text(json.dumps(first) + "\n")
    with pytest.raises(InputError, match=r"cuts.jsonl:1 is a MixedCut, whose audio is in no file"):
        list(lhotse_manifests.utterances(corpus / "cuts.jsonl"))
