"""The data-directory tools and the leakage check, run as a user runs them; and their rules on random directories."""

import errno
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "local"), str(TOP / "utils")]

from data_dir import TOOLS  # noqa: E402

from salience.data import transforms  # noqa: E402
from salience.data.validation import validate  # noqa: E402

ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def tool(name, *args, code=0, cwd=None, stdin=None, folder=TOP / "utils", said=False):
    """Run a tool of utils/; its output, or when it fails (or with `said`) what it said."""
    done = subprocess.run(
        [str(folder / name), *map(str, args)],
        capture_output=True, text=True, cwd=cwd, input=stdin, timeout=60, env=ENVIRONMENT,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr if code or said else done.stdout


def make(folder, keys=("a-1", "a-2", "b-1", "c-1", "c-2", "c-3"), segments=False, **tables):
    """Write a valid data directory; `tables` replace or (None) remove files, as a text of `segments` does."""
    folder.mkdir(parents=True, exist_ok=True)
    spk = {key: key.split("-")[0] for key in keys}
    groups = {}
    for key in keys:
        groups.setdefault(spk[key], []).append(key)
    recordings = [f"rec-{s}" for s in groups] if segments is True else keys
    if segments is True:
        segments = "".join(f"{k} rec-{s} {i}.00 {i + 0.5}\n" for i, (k, s) in enumerate(spk.items()))
    files = {
        "utt2spk": "".join(f"{k} {s}\n" for k, s in spk.items()),
        "spk2utt": "".join(f"{s} {' '.join(g)}\n" for s, g in groups.items()),
        "text": "".join(f"{k} words of {k}\n" for k in keys),
        "utt2dur": "".join(f"{k} {i + 1}.5\n" for i, k in enumerate(keys)),
        "utt2accent": "".join(f"{k} scottish\n" for k in keys),
        "utt2split": "".join(f"{k} test\n" for k in keys),
        "utt2lang": "".join(f"{k} en\n" for k in keys),
        "spk2gender": "".join(f"{s} f\n" for s in groups),
        "wav.scp": "".join(f"{r} /audio/{r}.wav\n" for r in recordings),
        "segments": segments or None,
        "reco2dur": "".join(f"{r} 100\n" for r in recordings),
    } | {name.replace("_scp", ".scp"): text for name, text in tables.items()}
    for name, text in files.items():
        if text is not None:
            (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        else:
            (folder / name).unlink(missing_ok=True)
    return folder


def keys_of(path):
    return [line.split()[0] for line in Path(path).read_text().splitlines()]


# -- validation --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("segments", [False, True])
def test_a_good_directory_is_accepted(segments, tmp_path):
    make(tmp_path / "d", segments=segments)
    for name in ("validate_data_dir", "validate_data_dir.sh"):
        assert "Successfully validated data-directory d" in tool(name, "--no-feats", "d", cwd=tmp_path)


T = "words of"
FAULTS = {
    "no utt2spk": (dict(utt2spk=None), "utt2spk: there is no such file, or it is empty"),
    "empty utt2spk": (dict(utt2spk=""), "utt2spk: there is no such file, or it is empty"),
    "no spk2utt": (dict(spk2utt=None), "spk2utt: there is no such file"),
    "no text": (dict(text=None), "text: there is no such file (if that is by design, give --no-text)"),
    "no wav.scp": (dict(wav_scp=None), "wav.scp: there is no such file (if that is by design, give --no-wav)"),
    "three fields": (dict(utt2spk="a-1 a x\na-2 a\n"), "not an utterance and a speaker: line 1 (a-1)"),
    "one field": (dict(utt2spk="a-1\na-2 a\n"), "not an utterance and a speaker: line 1 (a-1)"),
    "unsorted": (dict(text="a-2 x\na-1 x\n"), "text: is not sorted as LC_ALL=C sorts"),
    "locale sort": (dict(keys=("a-1", "B-1")), "utt2spk: is not sorted as LC_ALL=C sorts"),
    "repeated": (dict(text="a-1 x\na-1 y\n"), "text: repeats keys: line 2 (a-1)"),
    "empty line": (dict(text="a-1 x\n\na-2 x\n"), "text: has empty lines: line 2"),
    "no newline": (dict(text="a-1 x\na-2 x"), "text: does not end with a newline: line 2"),
    "speaker order": (dict(utt2spk="a-1 z\na-2 a\n"), "utt2spk: is not sorted by speaker as well"),
    "spk2utt differs": (dict(spk2utt="a a-1\n"), "spk2utt: does not say the same as utt2spk"),
    "spk2utt has more": (dict(spk2utt="a a-1 a-2\nb b-1\n"), "spk2utt: does not say the same as utt2spk"),
    "text lacks": (dict(text="a-1 x\n"), "text: lacks utterances"),
    "text has more": (
        dict(text="a-1 x\na-2 x\na-3 x\n"), "text: has keys that are not utterances of this directory: line 3 (a-3)"
    ),
    "utt2accent lacks": (dict(utt2accent="a-1 x\n"), "utt2accent: lacks utterances"),
    "utt2accent empty": (dict(utt2accent="a-1 x\na-2\n"), "utt2accent: has keys without a value: line 2 (a-2)"),
    "utt2split lacks": (dict(utt2split="a-2 x\n"), "utt2split: lacks utterances"),
    "utt2lang lacks": (dict(utt2lang="a-2 x\n"), "utt2lang: lacks utterances"),
    "gender": (dict(spk2gender="a male\n"), "spk2gender: has values other than m and f: line 1 (a)"),
    "gender lacks": (dict(spk2gender=""), "spk2gender: lacks speakers"),
    "duration": (
        dict(utt2dur="a-1 0\na-2 x\n"), "utt2dur: has values that are not lengths above 0: line 1 (a-1), line 2 (a-2)"
    ),
    "wav.scp lacks": (dict(wav_scp="a-1 x.wav\n"), "wav.scp: lacks recordings"),
    "tilde": (
        dict(wav_scp="a-1 ~/x.wav\na-2 sox ~me/x.wav |\n"),
        "begin with ~, which only a shell expands: line 1 (a-1), line 2",
    ),
    "recording segments": (
        dict(segments="a-1 r 0 1\na-2 r 1 2\n"),
        "wav.scp: has keys that are not recordings of this directory: line 1 (a-1)",
    ),
    "segment fields": (dict(segments="a-1 r 0\na-2 r 1 2\n"), "not utterance, recording, start and end: line 1 (a-1)"),
    "segment times": (
        dict(segments="a-1 r 1 1\na-2 r x 2\n"), "do not end after they start, or start before 0: line 1 (a-1)"
    ),
    "no-break space": (dict(text="a-1 x\u00a0y\na-2 x\n"), "U+00A0 NO-BREAK SPACE in it: line 1 (a-1)"),
    "carriage return": (dict(text="a-1 x\r\na-2 x\r\n"), "U+000D CARRIAGE RETURN in it: line 1 (a-1), line 2 (a-2)"),
    "tab": (dict(text="a-1 x\ty\na-2 x\n"), "U+0009 TAB in it: line 1"),
    "ideographic space": (dict(text="a-1 x\na-2 x\u3000y\n"), "U+3000 IDEOGRAPHIC SPACE in it: line 2"),
    "line separator": (dict(text="a-1 x\u2028y\na-2 x\n"), "U+2028 LINE SEPARATOR in it: line 1"),
    "byte order mark": (dict(text="a-1 \ufeffx\na-2 x\n"), "U+FEFF ZERO WIDTH NO-BREAK SPACE in it: line 1"),
    "<s>": (dict(text="a-1 <s> x\na-2 x\n"), "text: has <s> as a word: line 1 (a-1)"),
    "</s>": (dict(text="a-1 x\na-2 x </s>\n"), "text: has </s> as a word: line 2 (a-2)"),
    "#0": (dict(text="a-1 #0\na-2 x\n"), "text: has #0 as a word: line 1 (a-1)"),
    "empty transcript": (
        dict(text="a-1 x\na-2\n"), "text: has empty transcripts (utils/fix_data_dir.sh drops them): line 2 (a-2)"
    ),
    "blank transcript": (dict(text="a-1 x\na-2   \n"), "text: has empty transcripts"),
    "not UTF-8": (dict(text=b"a-1 x\na-2 caf\xe9\n"), "text: is not UTF-8 (iconv converts it): line 2"),
}  # fmt: skip


@pytest.mark.parametrize(("tables", "said"), FAULTS.values(), ids=FAULTS.keys())
def test_faults(tables, said, tmp_path):
    faults = validate(make(tmp_path / "d", **{"keys": ("a-1", "a-2"), **tables}), feats=False)
    assert any(said in fault for fault in faults), faults
    assert all(str(tmp_path / "d") in fault and "\n" not in fault for fault in faults)


def test_zero_width_joiner_and_direction_marks_are_legal(tmp_path):
    make(tmp_path / "d", keys=("a-1",), text="a-1 می\u200cشود \u200fcafé ŀ\n")
    assert validate(tmp_path / "d", feats=False) == []


def test_feats_text_and_wav_are_asked_for_unless_told(tmp_path):
    folder = make(tmp_path / "d")
    assert "feats.scp: there is no such file (if that is by design, give --no-feats)" in tool(
        "validate_data_dir", folder, code=1
    )
    (folder / "feats.scp").write_text("a-1 x.ark:4\n")
    assert "feats.scp: lacks utterances" in tool("validate_data_dir", folder, code=1)
    make(folder, text=None, wav_scp=None)
    (folder / "feats.scp").unlink()
    tool("validate_data_dir", "--no-feats", "--no-text", "--no-wav", folder)


def test_many_offending_lines_are_one_sentence(tmp_path):
    keys = tuple(f"a-{i:03}" for i in range(200))
    (fault,) = validate(make(tmp_path / "d", keys=keys, text="".join(f"{k}\n" for k in keys)), feats=False)
    assert fault.endswith("line 1 (a-000), line 2 (a-001), line 3 (a-002), line 4 (a-003), line 5 (a-004) and 195 more")


def test_maximal_duration(tmp_path):
    folder = make(tmp_path / "d")
    assert "utt2dur: has utterances over 4 s: c-1, 4.5 s, c-2, 5.5 s" in tool(
        "validate_data_dir", "--no-feats", "--max-duration", "4", folder, code=1
    )
    tool("validate_data_dir", "--no-feats", "--max-duration=7", folder)
    make(folder, segments=True, utt2dur=None)
    assert validate(folder, feats=False, max_duration=0.4)[0].count(" s") > 2
    assert validate(folder, feats=False, max_duration=0.6) == []


def test_segments_past_the_end(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    folder = make(tmp_path / "d", segments=True)
    (folder / "reco2dur").write_text("rec-a 1.5\nrec-b 2.5\nrec-c 3.4\n")
    begins, ends = validate(folder, feats=False)
    assert (
        "segments: has segments that begin behind the end of their recording: line 6 (c-3 begins at 5 s, rec-c ends at"
        " 3.40 s)" in begins
    )
    assert "segments: has segments past the end of their recording: line 6 (c-3 ends at 5.5 s, rec-c at 3.40 s)" in ends
    (folder / "reco2dur").unlink()
    for name, seconds in (("a", 1.5), ("b", 1)):
        soundfile.write(tmp_path / f"{name}.wav", [0.0] * int(8000 * seconds), 8000)
    (folder / "wav.scp").write_text(f"rec-a {tmp_path}/a.wav\nrec-b {tmp_path}/b.wav\nrec-c {tmp_path}/c.wav\n")
    faults = " ".join(validate(folder, feats=False))
    assert "line 3 (rec-c," in faults and "line 3 (b-1 ends at 2.5 s, rec-b at 1.00 s)" in faults
    (folder / "wav.scp").write_text("rec-a sox x.wav - |\nrec-b sox x.wav - |\nrec-c sox x.wav - |\n")
    assert validate(folder, feats=False) == []


def test_targets_over_the_decoders_limit(tmp_path):
    tokenizer = pytest.importorskip("whisper.tokenizer").get_tokenizer(True, language="en", task="transcribe")
    # One token for each word, and four before them: 444 words fit.
    assert len(tokenizer.encode(" the" * 444)) == 444
    folder = make(tmp_path / "d", keys=("a-1", "a-2"), text=f"a-1{' the' * 444}\na-2{' the' * 445}\n")
    said = tool("validate_data_dir", "--no-feats", "--tokenizer", "multilingual", folder, code=1)
    assert "text: has transcripts over 448 tokens: line 2 (a-2, 449 tokens)" in said and "line 1" not in said
    # A special token is text to be counted here; training refuses it.
    make(tmp_path / "s", keys=("a-1",), text=f"a-1 <|en|>{' the' * 444}\n")
    said = tool("validate_data_dir", "--no-feats", "--tokenizer", "multilingual", tmp_path / "s", code=1)
    assert "text: has transcripts over 448 tokens: line 1" in said and "Traceback" not in said
    assert validate(folder, feats=False, count_tokens=lambda text: 449, max_tokens=449) == []
    assert len(validate(folder, feats=False, count_tokens=lambda text: 450, max_tokens=449)) == 1
    assert validate(folder, feats=False) == []


def test_sets_that_must_be_disjoint(tmp_path):
    a = make(tmp_path / "a", keys=("a-1", "b-1"), text="a-1 Good morning.\nb-1 new\n")
    b = make(tmp_path / "b", keys=("b-1", "d-1"), text="b-1 old\nd-1 good MORNING\n")
    said = tool("validate_data_dir", "--no-feats", "--disjoint-speakers", b, "--disjoint-sentences", b, a, code=1)
    assert re.search(r"shares speakers with .*/b, which must be disjoint: b\n", said)
    assert re.search(r"shares sentences with .*/b, which must be disjoint: line 1 \(a-1\)\n", said)
    tool("validate_data_dir", "--no-feats", "--disjoint-speakers", make(tmp_path / "e", keys=("e-1",)), a)


def test_disk_for_the_next_stage(tmp_path):
    folder = make(tmp_path / "d")
    said = tool("validate_data_dir", "--no-feats", "--need-gb", "1e9", folder, code=1)
    assert "the next stage needs 1e+09 GB on this disk, and " in said
    tool("validate_data_dir", "--no-feats", "--need-gb", "0.000001", folder)


@pytest.mark.parametrize("name", ["validate_data_dir", "fix_data_dir.sh", "split_data.sh", "combine_data.sh"])
def test_a_wrong_command_line_is_one_sentence(name):
    said = tool(name, "--nonsense", code=1)
    assert said.startswith(f"{name}: ") and said.count("\n") == 1


# -- fixing ------------------------------------------------------------------------------------------------------


def test_fix_sorts_drops_and_keeps_a_copy(tmp_path):
    folder = make(
        tmp_path / "d",
        text="c-3 x\na-1 one\n\nb-1\na-1 two\nc-1 x\nc-2 x\nz-9 x\n",
        utt2spk="b-1 b\nc-1 c\nc-2 c\nc-3 c\na-1 a\na-1 a\na-2 a\n",
        spk2utt="nonsense\n",
        utt2accent="a-1 x\na-2 x\nb-1 x\nc-1 x\nc-3 x\n",
    )
    assert "kept 3 utterances out of 6" in tool("fix_data_dir.sh", folder)
    for name in ("utt2spk", "text", "utt2dur", "utt2accent", "utt2split", "utt2lang", "wav.scp", "reco2dur"):
        assert keys_of(folder / name) == ["a-1", "c-1", "c-3"], name
    assert (folder / "spk2utt").read_text() == "a a-1\nc c-1 c-3\n"
    assert (folder / "spk2gender").read_text() == "a f\nc f\n"
    assert (folder / "text").read_text() == "a-1 one\nc-1 x\nc-3 x\n"
    assert "z-9" in (folder / ".backup" / "text").read_text()
    assert validate(folder, feats=False) == []


def test_fix_follows_segments_and_genders(tmp_path):
    folder = make(tmp_path / "d", segments=True, wav_scp="rec-a x\nrec-c x\nrec-z x\n", spk2gender="b m\nc f\n")
    tool("fix_data_dir.sh", folder)
    assert keys_of(folder / "utt2spk") == keys_of(folder / "segments") == ["c-1", "c-2", "c-3"]
    assert keys_of(folder / "wav.scp") == keys_of(folder / "reco2dur") == ["rec-c"]
    assert validate(folder, feats=False) == []


@pytest.mark.parametrize("spelling", ["--utt-extra-files", "--utt_extra_files"])
def test_fix_takes_more_tables(spelling, tmp_path):
    folder = make(tmp_path / "d", utt2mood="c-1 gay\na-1 sad\n")
    tool("fix_data_dir.sh", spelling, "utt2mood", folder)
    assert keys_of(folder / "text") == keys_of(folder / "utt2mood") == ["a-1", "c-1"]


@pytest.mark.parametrize("tables", [dict(utt2spk="a-1 a b\n"), dict(text="x y\n"), dict(utt2spk="")])
def test_fix_that_cannot_leaves_all_as_it_was(tables, tmp_path):
    folder = make(tmp_path / "d", **tables)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert tool("fix_data_dir.sh", folder, code=1).count("\n") == 1
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


# -- subsets -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "number", "expected"),
    [
        (["--first"], 2, "a-1 a-2"),
        (["--last"], 2, "c-2 c-3"),
        (["--shortest"], 2, "a-1 a-2"),
        ([], 3, "a-1 b-1 c-2"),
        (["--per-spk"], 1, "a-1 b-1 c-1"),
        (["--per-spk"], 2, "a-1 a-2 b-1 c-1 c-2"),
    ],
)
def test_subset(options, number, expected, tmp_path):
    source = make(tmp_path / "d")
    assert f"{len(expected.split())} utterances" in tool("subset_data_dir.sh", *options, source, number, tmp_path / "e")
    assert keys_of(tmp_path / "e" / "utt2spk") == keys_of(tmp_path / "e" / "utt2accent") == expected.split()
    assert validate(tmp_path / "e", feats=False) == []


def test_shortest_by_what_there_is(tmp_path):
    source = make(tmp_path / "d", utt2dur="a-1 9\na-2 1\nb-1 3\nc-1 2\nc-2 9\nc-3 9\n")
    assert transforms.choose(source, "shortest", 2) == [b"a-2", b"c-1"]
    (source / "utt2num_frames").write_text("a-1 9\na-2 5\nb-1 3\nc-1 2\nc-2 9\nc-3 9\n")
    assert transforms.choose(source, "shortest", 2) == [b"c-1", b"b-1"]


def test_whole_speakers_until_enough(tmp_path):
    source = make(tmp_path / "d", keys=tuple(f"s{s}-{i}" for s in range(9) for i in range(3)))
    tool("subset_data_dir.sh", "--speakers", source, 7, tmp_path / "e")
    chosen = transforms.utterance_speakers(tmp_path / "e")
    assert len(chosen) == 9 and len(set(chosen.values())) == 3
    assert transforms.choose(source, "speakers", 7) == transforms.choose(source, "speakers", 8)
    assert sorted(set(chosen.values())) != [b"s0", b"s1", b"s2"]


@pytest.mark.parametrize(
    ("option", "listed", "expected"),
    [("--spk-list", "a x\nc\n", "a-1 a-2 c-1 c-2 c-3"), ("--utt-list", "c-2\na-1 y\n", "a-1 c-2")],
)
def test_subset_from_a_list(option, listed, expected, tmp_path):
    (tmp_path / "list").write_text(listed)
    tool("subset_data_dir.sh", option, tmp_path / "list", make(tmp_path / "d", segments=True), tmp_path / "e")
    assert keys_of(tmp_path / "e" / "segments") == expected.split()
    assert validate(tmp_path / "e", feats=False) == []


@pytest.mark.parametrize(
    "args", [["--first", "7"], ["0"], ["--utt-list", "/dev/null"], ["--last", "x"], ["--first", "--last", "1"]]
)
def test_subset_that_cannot_leaves_the_target(args, tmp_path):
    make(tmp_path / "d")
    make(tmp_path / "e", keys=("q-1",))
    place = 2 if "--utt-list" in args else len(args) - 1
    words = [*args[:place], "d", *args[place:], "e"]
    assert tool("subset_data_dir.sh", *words, cwd=tmp_path, code=1).count("\n") == 1
    assert validate(tmp_path / "e", feats=False) == []


def test_a_target_keeps_no_table_of_its_past(tmp_path):
    make(tmp_path / "e", keys=("q-1",), segments=True)
    (tmp_path / "e" / "keep").touch()
    tool("subset_data_dir.sh", "--first", make(tmp_path / "d"), 1, tmp_path / "e")
    assert not (tmp_path / "e" / "segments").exists() and (tmp_path / "e" / "keep").exists()
    assert "itself" in tool("subset_data_dir.sh", "--first", tmp_path / "e", 1, tmp_path / "e", code=1)


# -- splitting, combining, copying -------------------------------------------------------------------------------


@pytest.mark.parametrize("segments", [False, True])
def test_split_keeps_speakers_whole(segments, tmp_path):
    folder = make(tmp_path / "d", segments=segments)
    tool("split_data.sh", folder, 2)
    assert [keys_of(folder / "split2" / n / "utt2spk") for n in "12"] == [["a-1", "a-2", "b-1"], ["c-1", "c-2", "c-3"]]
    for n in "12":
        assert validate(folder / "split2" / n, feats=False) == []
        assert (folder / "split2" / n / "utt2accent").exists()
    assert validate(folder, feats=False) == []


def test_split_within_speakers(tmp_path):
    folder = make(tmp_path / "d", segments=True)
    tool("split_data.sh", "--per-utt", folder, 3)
    assert [keys_of(folder / "split3utt" / n / "text") for n in "123"] == [
        ["a-1", "a-2"],
        ["b-1", "c-1"],
        ["c-2", "c-3"],
    ]
    assert keys_of(folder / "split3utt" / "3" / "wav.scp") == ["rec-c"]
    tool("split_data.sh", folder, 5)
    assert sorted(len(keys_of(folder / "split5" / n / "text")) for n in "12345") == [1, 1, 1, 1, 2]
    assert "too few for 7 parts" in tool("split_data.sh", folder, 7, code=1)


def test_split_wants_sorted_tables(tmp_path):
    assert "fix_data_dir.sh" in tool("split_data.sh", make(tmp_path / "d", keys=("b-1", "a-1")), 2, code=1)


def test_combine(tmp_path):
    a = make(tmp_path / "a", keys=("a-1", "c-1"))
    b = make(tmp_path / "b", keys=("b-1", "c-2"), utt2lang=None)
    tool("combine_data.sh", tmp_path / "all", a, b)
    assert keys_of(tmp_path / "all" / "text") == ["a-1", "b-1", "c-1", "c-2"]
    assert (tmp_path / "all" / "spk2utt").read_text() == "a a-1\nb b-1\nc c-1 c-2\n"
    assert not (tmp_path / "all" / "utt2lang").exists() and (tmp_path / "all" / "utt2accent").exists()
    assert validate(tmp_path / "all", feats=False) == []


def test_combine_with_and_without_segments(tmp_path):
    a = make(tmp_path / "a", keys=("a-1",), segments=True)
    tool("combine_data.sh", tmp_path / "all", a, make(tmp_path / "b", keys=("b-1",)))
    assert (tmp_path / "all" / "segments").read_text() == "a-1 rec-a 0.00 0.5\nb-1 b-1 0 1.5\n"
    assert validate(tmp_path / "all", feats=False) == []


def test_combine_refuses_contradictions(tmp_path):
    make(tmp_path / "all", keys=("q-1",))
    a, b = make(tmp_path / "a", keys=("a-1",)), make(tmp_path / "b", keys=("a-1",))
    said = tool("combine_data.sh", tmp_path / "all", a, b, code=1)
    assert "a-1 is in" in said and "copy_data_dir.sh" in said
    c = make(tmp_path / "c", keys=("a-2",), spk2gender="a m\n")
    assert "spk2gender" in tool("combine_data.sh", tmp_path / "all", a, c, code=1)
    assert validate(tmp_path / "all", feats=False) == [] and sorted(tmp_path.glob(".*")) == []


def test_copy_with_new_names(tmp_path):
    source = make(tmp_path / "d")
    tool("copy_data_dir.sh", "--utt-prefix", "sp0.9-", "--spk-prefix", "sp0.9-", source, tmp_path / "e")
    assert (tmp_path / "e" / "utt2spk").read_text().startswith("sp0.9-a-1 sp0.9-a\nsp0.9-a-2 sp0.9-a\n")
    assert (tmp_path / "e" / "utt2uniq").read_text().startswith("sp0.9-a-1 a-1\n")
    assert (tmp_path / "e" / "wav.scp").read_text().startswith("sp0.9-a-1 /audio/a-1.wav\n")
    assert validate(tmp_path / "e", feats=False) == []
    tool("copy_data_dir.sh", source, tmp_path / "f")
    for file in source.iterdir():
        assert (tmp_path / "f" / file.name).read_bytes() == file.read_bytes()


def test_a_suffix_may_change_the_order(tmp_path):
    source = make(tmp_path / "d", keys=("a-1", "a-1-x"))
    transforms.copy(source, tmp_path / "e", utt_suffix="_s")
    assert keys_of(tmp_path / "e" / "text") == ["a-1-x_s", "a-1_s"]


def test_a_copy_is_validated_as_kaldis_is(tmp_path):
    source = make(tmp_path / "d", keys=("a-1", "a-2"), text="a-1 x\u00ad\x01y\na-2 x\n", wav_scp=None)
    assert "U+0001 (control character) in it: line 1" in tool("copy_data_dir.sh", source, tmp_path / "e", code=1)
    # A value that begins with dashes, as ESPnet's recipes write it; what the source lacks by design is not asked for.
    tool("copy_data_dir.sh", "--validate_opts", "--non-print", source, tmp_path / "e")
    tool("copy_data_dir.sh", "--validate-opts", "--non-print --no-wav", source, tmp_path / "f")
    assert (tmp_path / "f" / "text").read_bytes() == (source / "text").read_bytes()
    said = tool("copy_data_dir.sh", "--validate-opts", "--no-such", source, tmp_path / "g", code=1)
    assert "--validate-opts: unrecognized arguments: --no-such" in said and not (tmp_path / "g").exists()


def test_prefixes_and_suffixes_may_begin_with_a_dash(tmp_path):
    source = make(tmp_path / "d", keys=("a-1", "b-1"))
    tool("copy_data_dir.sh", "--utt_suffix", "-reverb", "--spk-suffix", "-reverb", source, tmp_path / "e")
    assert (tmp_path / "e" / "utt2spk").read_text() == "a-1-reverb a-reverb\nb-1-reverb b-reverb\n"
    tool("copy_data_dir.sh", "--utt-prefix", "--x-", "--spk_prefix=--x-", source, tmp_path / "f")
    assert keys_of(tmp_path / "f" / "spk2utt") == ["--x-a", "--x-b"]


def test_validation_may_allow_unprintable_characters_but_no_odd_white_space(tmp_path):
    folder = make(tmp_path / "d", keys=("a-1", "a-2"), text="a-1 \x01\ue000\na-2 x\u00a0y\n")
    said = tool("validate_data_dir.sh", "--no-feats", "--non-print", folder, code=1)
    assert "U+00A0" in said and "U+0001" not in said and said.count("\n") == 1


def test_validation_may_pass_over_the_order_of_speakers(tmp_path):
    folder = make(
        tmp_path / "d", keys=("a-1", "a-2"), utt2spk="a-1 z\na-2 a\n", spk2utt="a a-2\nz a-1\n", spk2gender="a f\nz m\n"
    )
    assert "sorted by speaker" in tool("validate_data_dir.sh", "--no-feats", folder, code=1)
    tool("validate_data_dir.sh", "--no-feats", "--non-print", "--no-spk-sort", folder)


def test_combine_fills_utt2uniq(tmp_path):
    a = make(tmp_path / "a", keys=("a-1",))
    b = make(tmp_path / "b", keys=("sp-a-1",), utt2uniq="sp-a-1 a-1\n")
    tool("combine_data.sh", tmp_path / "all", a, b)
    assert (tmp_path / "all" / "utt2uniq").read_text() == "a-1 a-1\nsp-a-1 a-1\n"


def test_combine_takes_more_tables_and_says_what_it_leaves_out(tmp_path):
    a = make(tmp_path / "a", keys=("a-1",), utt2mood="a-1 gay\n", text_ctc="a-1 ab\n", utt2lang=None, other="a-1 x\n")
    b = make(tmp_path / "b", keys=("b-1",), utt2mood="b-1 sad\n", text_ctc="b-1 cd\n", notes="x\n", other="b-1 x\n")
    words = ["--extra-files", "utt2mood", "--extra_files", "text_ctc utt2dur", tmp_path / "all", a, b]
    said = tool("combine_data.sh", *words, said=True)
    assert said.startswith("combine_data.sh: warning: left out notes other utt2lang: ") and said.count("\n") == 1
    assert (tmp_path / "all" / "text_ctc").read_text() == "a-1 ab\nb-1 cd\n"
    assert keys_of(tmp_path / "all" / "utt2mood") == ["a-1", "b-1"] and not (tmp_path / "all" / "utt2lang").exists()


def test_combine_fixes_unless_told(tmp_path):
    """Kaldi sorts what is not sorted, and drops what not every table has."""
    a = make(tmp_path / "a", keys=("a-1", "a-2"), text="a-1 x\n", utt2dur="a-2 1\na-1 1\n")
    b = make(tmp_path / "b", keys=("b-1",))
    assert "dropped 1 utterances" in tool("combine_data.sh", tmp_path / "all", a, b, said=True)
    assert keys_of(tmp_path / "all" / "utt2spk") == keys_of(tmp_path / "all" / "utt2dur") == ["a-1", "b-1"]
    assert validate(tmp_path / "all", feats=False) == []
    tool("combine_data.sh", "--skip_fix", "true", tmp_path / "all", a, b)
    assert keys_of(tmp_path / "all" / "utt2dur") == ["a-1", "a-2", "b-1"] and keys_of(tmp_path / "all" / "text") == [
        "a-1",
        "b-1",
    ]


def test_every_extra_files_option_counts(tmp_path):
    folder = make(tmp_path / "d", keys=("a-1", "b-1", "c-1"), utt2mood="a-1 sad\nb-1 gay\n", utt2age="b-1 9\nc-1 8\n")
    tool("fix_data_dir.sh", "--utt-extra-files", "utt2mood", "--utt-extra-files", "utt2age", folder)
    assert keys_of(folder / "text") == keys_of(folder / "utt2mood") == keys_of(folder / "utt2age") == ["b-1"]


# -- where things lie --------------------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(tmp_path):
    """A folder on another disk, where there is one."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.mark.parametrize("exists", [True, False], ids=["there", "yet to be made"])
def test_a_target_may_be_a_link_to_another_disk(exists, elsewhere, tmp_path):
    source = make(tmp_path / "d")
    target = tmp_path / "e"
    target.symlink_to(elsewhere / "e")
    if exists:
        make(elsewhere / "e", keys=("q-1",), segments=True)
    for words in (
        ("copy_data_dir.sh", source, target),
        ("subset_data_dir.sh", "--first", source, 2, target),
        ("combine_data.sh", target, make(tmp_path / "f", keys=("e-1", "f-1")), source),
        ("fix_data_dir.sh", target),
        ("split_data.sh", target, 2),
    ):
        tool(*words)
        assert target.is_symlink() and validate(elsewhere / "e", feats=False) == []
    assert len(keys_of(elsewhere / "e" / "text")) == 8 and sorted(p.name for p in elsewhere.iterdir()) == ["e"]
    assert sorted(p.name for p in (elsewhere / "e").glob(".*")) == [".backup"]


def test_the_parts_may_be_a_link_to_another_disk(elsewhere, tmp_path):
    folder = make(tmp_path / "d")
    (elsewhere / "parts").mkdir()
    (folder / "split2").symlink_to(elsewhere / "parts")
    for _ in range(2):
        tool("split_data.sh", folder, 2)
        assert validate(elsewhere / "parts" / "1", feats=False) == [] and (folder / "split2").is_symlink()
    assert sorted(p.name for p in elsewhere.iterdir()) == ["parts"]


@pytest.mark.parametrize("work", ["fix", "copy", "subset", "combine"])
def test_old_tables_survive_a_failure(work, tmp_path, monkeypatch):
    source, target = make(tmp_path / "d", utt2mood="x\n"), make(tmp_path / "e", keys=("q-2", "q-1"), segments=True)
    old = {file.name: file.read_bytes() for file in target.iterdir()}
    real, written = transforms._write_rows, []

    def full_disk(path, table):
        written.append(path)
        if len(written) == 4:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(path, table)

    monkeypatch.setattr(transforms, "_write_rows", full_disk)
    steps = {
        "fix": lambda: transforms.fix(target),
        "copy": lambda: transforms.copy(source, target),
        "subset": lambda: transforms.subset(source, target, [b"a-1"]),
        "combine": lambda: transforms.combine(target, [source]),
    }
    with pytest.raises(OSError):
        steps[work]()
    assert {file.name: file.read_bytes() for file in target.iterdir()} == old


def test_a_failure_leaves_no_new_folder(tmp_path):
    source = make(tmp_path / "d", utt2spk="a-1 a b\n")
    assert tool("copy_data_dir.sh", source, tmp_path / "e", code=1).count("\n") == 1
    assert not (tmp_path / "e").exists()


def test_a_table_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "e").write_text("a file\n")
    said = tool("copy_data_dir.sh", make(tmp_path / "d"), tmp_path / "e", code=1)
    assert said.count("\n") == 1 and str(tmp_path / "e") in said


@pytest.mark.parametrize("name", sorted(p.name for p in (TOP / "utils").iterdir() if p.name.partition(".")[0] in TOOLS))
def test_a_single_tool_may_be_linked_into_another_recipe(name, tmp_path):
    """Under its own name or another; what it needs lies beside what it is a link to."""
    utils = tmp_path / "my recipe" / "utils"
    utils.mkdir(parents=True)
    (utils / name).symlink_to(TOP / "utils" / name)
    (utils / "other").symlink_to(name)
    for called in (name, "other"):
        assert f"usage: {called}" in tool(called, "--help", folder=utils, cwd=utils.parent)


# -- the small filters -------------------------------------------------------------------------------------------


def test_utt2spk_and_back():
    utt2spk, spk2utt = "b-1 b\na-1 a\nb-2 b\n", "b b-1 b-2\na a-1\n"
    assert tool("utt2spk_to_spk2utt.pl", stdin=utt2spk) == spk2utt
    assert tool("spk2utt_to_utt2spk.pl", stdin=spk2utt) == "b-1 b\nb-2 b\na-1 a\n"


def test_filters_read_several_files_and_a_dash(tmp_path):
    (tmp_path / "1").write_text("a-1 a\nb-1 b\n")
    assert tool("utt2spk_to_spk2utt.pl", "1", "-", cwd=tmp_path, stdin="a-2 a\n") == "a a-1 a-2\nb b-1\n"
    assert tool("spk2utt_to_utt2spk.pl", "-", "1", cwd=tmp_path, stdin="c c-1\n") == "c-1 c\na a-1\nb b-1\n"
    assert tool("split_scp.pl", "-j", 2, 1, "-", cwd=tmp_path, stdin="a x\nb x\n") == "b x\n"


@pytest.mark.parametrize("text", ["a-1\n", "a-1 a b\n"])
def test_malformed_utt2spk_is_an_error(text):
    tool("utt2spk_to_spk2utt.pl", stdin=text, code=1)


def test_malformed_spk2utt_is_an_error():
    tool("spk2utt_to_utt2spk.pl", stdin="a\n", code=1)


def test_split_scp(tmp_path):
    (tmp_path / "in").write_text("a-1 x\na-2 x\nb-1 x\nb-2 x\nb-3 x\n")
    (tmp_path / "utt2spk").write_text("a-1 a\na-2 a\nb-1 b\nb-2 b\nb-3 b\n")
    tool("split_scp.pl", "in", "o1", "o2", cwd=tmp_path)
    parts = [(tmp_path / f"o{n}").read_text() for n in (1, 2)]
    assert "".join(parts) == (tmp_path / "in").read_text() and abs(parts[0].count("\n") - parts[1].count("\n")) == 1
    tool("split_scp.pl", "--utt2spk=utt2spk", "in", "o1", "o2", cwd=tmp_path)
    assert (tmp_path / "o1").read_text() == "a-1 x\na-2 x\n"
    assert tool("split_scp.pl", "-j", 5, 1, "in", cwd=tmp_path) == "a-2 x\n"
    assert tool("split_scp.pl", "-j", 5, 1, "--one-based", "in", cwd=tmp_path) == "a-1 x\n"
    # A line without a key belongs to no speaker.
    (tmp_path / "odd").write_text("a-1\tx\na-2\tx\n\nb-1 x\n")
    tool("split_scp.pl", "--utt2spk=utt2spk", "odd", "o1", "o2", cwd=tmp_path)
    assert (tmp_path / "o1").read_text() == "a-1\tx\na-2\tx\n"
    assert "cannot be split into 6 parts" in tool("split_scp.pl", "-j", 6, 1, "in", cwd=tmp_path, code=1)
    tool("split_scp.pl", "-j", 5, 5, "in", cwd=tmp_path, code=1)


def test_filter_scp(tmp_path):
    (tmp_path / "list").write_text("b-1 whatever\na-1\n")
    (tmp_path / "in").write_text("a-1 x\nb-1 y\nc-1 a-1\n")
    assert tool("filter_scp.pl", "list", "in", cwd=tmp_path) == "a-1 x\nb-1 y\n"
    assert tool("filter_scp.pl", "--exclude", "list", cwd=tmp_path, stdin="a-1 x\nc-1 a-1\n") == "c-1 a-1\n"
    assert tool("filter_scp.pl", "-f", "2", "list", "in", cwd=tmp_path) == "c-1 a-1\n"
    assert tool("filter_scp.pl", "-", "in", cwd=tmp_path, stdin="c-1\n") == "c-1 a-1\n"
    assert tool("filter_scp.pl", "-f", "1", "list", "-", cwd=tmp_path, stdin="b-1 z\nc-1 z\n") == "b-1 z\n"
    assert (
        tool("filter_scp.pl", "list", "in", "-", "in", cwd=tmp_path, stdin="b-1 z\n")
        == "a-1 x\nb-1 y\nb-1 z\na-1 x\nb-1 y\n"
    )
    assert "counted from 1" in tool("filter_scp.pl", "-f", "0", "list", "in", cwd=tmp_path, code=1)


# -- any directory -----------------------------------------------------------------------------------------------

KEYS = st.lists(
    st.tuples(st.sampled_from("aBcé"), st.text("x-_Yß0", min_size=1, max_size=3)), min_size=1, max_size=30, unique=True
).map(lambda pairs: sorted({f"{s}~{u}" for s, u in pairs}, key=str.encode))


@settings(max_examples=25, deadline=None)
@given(KEYS, st.data())
def test_fix_split_and_combine_agree_on_any_directory(keys, data):
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "d"
        folder.mkdir()
        shuffled = data.draw(st.permutations(keys))
        for name, value in (("utt2spk", None), ("text", "words"), ("wav.scp", "x.wav"), ("utt2accent", "y")):
            (folder / name).write_text("".join(f"{k} {value or k.split('~')[0]}\n" for k in shuffled))
        assert transforms.fix(folder) == (len(keys), len(keys))
        assert validate(folder, feats=False) == []
        speakers = len({k.split("~")[0] for k in keys})
        parts = data.draw(st.integers(1, len(keys)))
        split = transforms.split(folder, parts)
        folders = [split / str(n + 1) for n in range(parts)]
        owners = [set(transforms.utterance_speakers(f).values()) for f in folders]
        assert all(validate(f, feats=False) == [] for f in folders)
        if parts <= speakers:
            assert sum(map(len, owners)) == speakers
        transforms.combine(Path(place) / "all", folders)
        for name in ("utt2spk", "spk2utt", "text", "wav.scp", "utt2accent"):
            assert (Path(place) / "all" / name).read_bytes() == (folder / name).read_bytes()


def test_many_utterances_take_seconds(tmp_path):
    keys = tuple(f"s{s:04}-{i:03}" for s in range(500) for i in range(100))
    folder = make(tmp_path / "d", keys=keys)
    assert validate(folder, feats=False, disjoint_sentences=[make(tmp_path / "e", keys=("t-1",))]) == []
    transforms.split(folder, 100)
    assert len(list((folder / "split100").iterdir())) == 100


# -- leakage -----------------------------------------------------------------------------------------------------


def leakage(folder, *args, code=0):
    done = subprocess.run(
        [sys.executable, str(TOP / "local" / "check_leakage.py"), "--report", "out/leakage.md", *args],
        cwd=folder, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(TOP / "local")},
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    report = (folder / "out" / "leakage.md").read_text() if (folder / "out").exists() else ""
    return report, done.stderr


def test_leakage_of_disjoint_sets(tmp_path):
    pytest.importorskip("jsonargparse")
    make(tmp_path / "train", keys=("a-1",))
    make(tmp_path / "dev", keys=("b-1",))
    make(tmp_path / "test", keys=("c-1",))
    report, _ = leakage(tmp_path, "--train", "train", "--dev", "dev", "--test", "test")
    assert "| train and test | 0 | 0 | 0 | disjoint speakers |" in report and "Nothing is shared." in report


def test_leakage_that_cannot_be_found_is_not_denied(tmp_path):
    pytest.importorskip("jsonargparse")
    make(tmp_path / "train", keys=("a-1",))
    make(tmp_path / "dev", keys=("b-1",))
    make(tmp_path / "test", keys=("c-1", "d-1"), utt2spk="c-1 c-1\nd-1 d\n")
    report, _ = leakage(tmp_path, "--train", "train", "--dev", "dev", "--test", "test")
    assert "**test: 1 of 2 utterances do not say who speaks; each counts as a speaker of its own" in report
    assert "| train and test | 0 | 0 | 0 | no shared speakers known |" in report
    assert "| train and dev | 0 | 0 | 0 | disjoint speakers |" in report


def test_leakage_is_found_named_and_allowed(tmp_path):
    pytest.importorskip("jsonargparse")
    make(tmp_path / "train", keys=("a-1", "b-1"), text="a-1 Good morning!\nb-1 x\n")
    make(tmp_path / "test", keys=("b-1", "c-1", "c-2"), text="b-1 y\nc-1 good morning\nc-2 GOOD MORNING\n")
    sets = ["--train", "train", "--test", "test"]
    report, said = leakage(tmp_path, *sets, code=1)
    assert "| train and test | 1 | 1 (2 of 3 utterances) | 1 | SHARED SPEAKERS, an error |" in report
    assert "- sentences of train and test: 'good morning' (2)\n" in report
    assert "- recordings of train and test: /audio/b-1.wav\n" in report
    assert said.count("\n") == 1 and "train and test share the speakers b; " in said
    report, _ = leakage(tmp_path, *sets, "--allow-shared-speakers", "test")
    assert "SHARED SPEAKERS, allowed for test" in report and "**Shared speakers were allowed for test**" in report
    assert "no set of" in leakage(tmp_path, *sets, "--allow-shared-speakers", "tset", code=1)[1]
    _, said = leakage(tmp_path, *sets, "--allow-shared-speakers", "test", "--forbid-shared-sentences", "train", code=1)
    assert "share 1 sentences, such as 'good morning'" in said
    leakage(tmp_path, *sets, "--allow-shared-speakers", "test", "--forbid-shared-sentences", "dev")
    make(tmp_path / "dev", keys=("d-1",), text="d-1 Good evening\n")
    report, _ = leakage(tmp_path, "--train", "train", "--test", "dev", "--forbid-shared-sentences", "train")
    assert "| train and dev | 0 | 0 | 0 | disjoint speakers, disjoint sentences |" in report


def test_sets_of_one_kind_may_share_speakers(tmp_path):
    pytest.importorskip("jsonargparse")
    make(tmp_path / "train", keys=("a-1",))
    make(tmp_path / "t1", keys=("b-1",))
    make(tmp_path / "t2", keys=("b-2",))
    report, _ = leakage(tmp_path, "--train", "train", "--test", "t1 t2")
    assert "| t1 and t2 | 1 | 0 | 0 | both are test sets |" in report
