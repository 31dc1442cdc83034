"""One reader of tables: white space, characters and ids mean the same to programs, tools, validation and leakage."""

import sys
import tempfile
from pathlib import Path

import pytest
from accent_helpers import run_program
from corpora_helpers import real_data
from hypothesis import given, settings
from hypothesis import strategies as st

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "local"))

from salience.data import tables, transforms  # noqa: E402
from salience.data.directories import read_data_dir, write_data_dir  # noqa: E402
from salience.data.leakage import overlaps, speakers_of  # noqa: E402
from salience.data.records import Utterance  # noqa: E402
from salience.data.symbols import Symbols  # noqa: E402
from salience.data.tables import iterate_rows, iterate_table, mend, read_table, write_table  # noqa: E402
from salience.data.text import clean  # noqa: E402
from salience.data.tokens import Tokenizer, character_tokens  # noqa: E402
from salience.data.validation import validate  # noqa: E402
from salience.data.vocabulary import CATALAN  # noqa: E402
from salience.errors import InputError  # noqa: E402
from salience.files import write_lines  # noqa: E402

TABLES = {
    "utt2spk": "a-1 a\na-2 a\nb-1 b\n",
    "spk2utt": "a a-1 a-2\nb b-1\n",
    "text": "a-1 one two\na-2 three\nb-1 four\n",
    "wav.scp": "ra /audio/a.flac\nrb /audio/b.flac\n",
    "segments": "a-1 ra 0 1.5\na-2 ra 1.5 2\nb-1 rb 0 1\n",
    "reco2dur": "ra 2\nrb 1\n",
    "utt2dur": "a-1 1.5\na-2 0.5\nb-1 1\n",
    "utt2accent": "a-1 french\na-2 french\nb-1 french\n",
    "utt2lang": "a-1 fr\na-2 fr\nb-1 fr\n",
    "spk2gender": "a f\nb m\n",
    "feats.scp": "a-1 f.ark:4\na-2 f.ark:9\nb-1 f.ark:99\n",
    # Nothing here knows what is in these.
    "spk2age": "b 31\na 30\n",
    "utt2recording": "a-1 tape one\na-2 tape one\nb-1 tape two\n",
}


def make(folder: Path, **changed: str | bytes) -> Path:
    """A valid data directory but for the tables that are given, with _ for the dot in their names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (TABLES | {name.replace("_scp", ".scp"): text for name, text in changed.items()}).items():
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def says(*arguments: object) -> str:
    """The one sentence of an InputError."""
    with pytest.raises(InputError) as caught:
        arguments[0](*arguments[1:])  # type: ignore[operator]
    assert "\n" not in str(caught.value)
    return str(caught.value)


# White space.


def test_the_directory_is_valid(tmp_path):
    assert validate(make(tmp_path / "d")) == []
    assert len(read_data_dir(tmp_path / "d")) == 3


@pytest.mark.parametrize("between", ["\t", "  ", " \t ", "\t\t"])
def test_tabs_and_spaces_are_white_space_to_all(between, tmp_path):
    """Kaldi's own reading; `000010168<TAB>BYE` was an empty transcript."""
    lines = {
        name: "".join(f"{line.replace(' ', between, 1)}{between}\n" for line in text.splitlines())
        for name, text in TABLES.items()
    }
    make(tmp_path / "tabs")
    for name, text in lines.items():
        (tmp_path / "tabs" / name).write_text(text)
    make(tmp_path / "spaces")
    assert validate(tmp_path / "tabs") == []
    assert read_data_dir(tmp_path / "tabs") == read_data_dir(tmp_path / "spaces")
    for name in TABLES:
        assert read_table(tmp_path / "tabs" / name) == read_table(tmp_path / "spaces" / name)
    (shared,) = overlaps([tmp_path / "tabs", tmp_path / "spaces"])
    assert (
        shared.speakers == ["a", "b"] and len(shared.sentences) == 3 and shared.recordings == ["tape one", "tape two"]
    )
    # In a transcript that a recogniser is trained on, words have single spaces between them.
    (tmp_path / "tabs" / "text").write_text("a-1\tone\ttwo\na-2 three\nb-1 four\n")
    (fault,) = validate(tmp_path / "tabs")
    assert "text: has the character U+0009 TAB in it: line 1 (a-1)" in fault
    transforms.fix(tmp_path / "tabs")
    assert (tmp_path / "tabs" / "text").read_text() == TABLES["text"]


@pytest.mark.parametrize("separator", [" ", "\t"])
def test_shared_speakers_are_found_whatever_stands_before_them(separator, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keys = ("a-1", "b-1", "c-1")
    for name, between in (("train", " "), ("test", separator)):
        make(tmp_path / name, utt2spk="".join(f"{key}{between}{key[0]}\n" for key in keys))
    with pytest.raises(SystemExit, match="train and test share the speakers a, b, c;"):
        run_program(monkeypatch, "check_leakage", train="train", test="test", report="r.md")
    assert "| train and test | 3 |" in Path("r.md").read_text()


def test_speakers_with_carriage_returns_are_no_new_speakers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "train")
    make(tmp_path / "test", utt2spk=TABLES["utt2spk"].replace("\n", "\r\n"))
    with pytest.raises(
        SystemExit, match=r"test/utt2spk:1 has the character U\+000D CARRIAGE RETURN in it; run utils/fix_data_dir.sh"
    ):
        run_program(monkeypatch, "check_leakage", train="train", test="test", report="r.md")
    assert not Path("r.md").exists()
    assert "utt2spk:1" in says(speakers_of, tmp_path / "test")


def test_tokens_of_a_text_with_tabs(tmp_path, monkeypatch):
    """Every first word was lost with the id."""
    (tmp_path / "text").write_text("a-1\tWE CALL\na-2\tIT\n")
    run_program(monkeypatch, "prepare_tokens", text=tmp_path / "text", out=tmp_path / "tokens")
    assert set("WECALIT") < set((tmp_path / "tokens/tokens.txt").read_text().split("\n"))


def test_an_archive_behind_a_tab_counts(tmp_path):
    from salience.steps import fingerprint

    (tmp_path / "a.scp").write_text(f"a-1\t{tmp_path}/a.ark:4\n")
    (tmp_path / "a.ark").write_bytes(b"old")
    before = fingerprint(tmp_path / "a.scp")
    (tmp_path / "a.ark").write_bytes(b"new")
    assert fingerprint(tmp_path / "a.scp") != before


# What validate names, fix mends and everybody else refuses.

FAULTS = {
    "carriage returns": (lambda line: f"{line}\r", "U+000D CARRIAGE RETURN"),
    "byte order mark": (lambda line: f"\ufeff{line}", "U+FEFF ZERO WIDTH NO-BREAK SPACE"),
    "vertical tab": (lambda line: line.replace(" ", "\v", 1), "U+000B VERTICAL TAB"),
    "form feed": (lambda line: f"{line}\f", "U+000C FORM FEED"),
    "unit separator": (lambda line: line.replace(" ", "\x1f ", 1), "U+001F (control character)"),
    "leading blank": (lambda line: f" {line}", "begin with white space"),
    "leading tab": (lambda line: f"\t{line}", "begin with white space"),
}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("fault", FAULTS)
def test_odd_white_space_in_every_table(fault, table, tmp_path):
    change, named = FAULTS[fault]
    first, *others = TABLES[table].splitlines(keepends=True)
    make(tmp_path / "d", **{table.replace(".scp", "_scp"): change(first.rstrip("\n")) + "\n" + "".join(others)})
    (told,) = validate(tmp_path / "d")
    assert told.startswith(f"{tmp_path}/d/{table}: has ") and named in told and f": line 1 ({first.split()[0]})" in told
    said = says(read_table, tmp_path / "d" / table)
    assert said.startswith(f"{tmp_path}/d/{table}:1 ") and "; run utils/fix_data_dir.sh on its folder" in said
    if table in (
        "utt2spk",
        "wav.scp",
        "segments",
        "text",
        "utt2accent",
        "utt2dur",
        "reco2dur",
        "spk2gender",
        "utt2lang",
    ):
        assert says(read_data_dir, tmp_path / "d") == said
    assert transforms.fix(tmp_path / "d") == (3, 3)
    assert validate(tmp_path / "d") == []
    for name, text in TABLES.items():
        assert read_table(tmp_path / "d" / name) == dict(line.split(" ", 1) for line in text.splitlines())
    assert change(first.rstrip("\n")).encode() in (tmp_path / "d" / ".backup" / table).read_bytes()


def test_all_lines_with_carriage_returns_are_one_sentence(tmp_path):
    make(tmp_path / "d", text=TABLES["text"].replace("\n", "\r\n"))
    (told,) = validate(tmp_path / "d")
    assert told.endswith(
        "/text: has the character U+000D CARRIAGE RETURN in it: line 1 (a-1), line 2 (a-2), line 3 (b-1)"
    )


@pytest.mark.parametrize("tool", ["subset", "split", "combine", "copy"])
def test_the_tools_refuse_what_programs_refuse(tool, tmp_path):
    folder = make(tmp_path / "d", utt2accent=TABLES["utt2accent"].replace("\n", "\r\n"))
    target = tmp_path / "e"
    work = {
        "subset": lambda: transforms.subset(folder, target, [b"a-1"]),
        "split": lambda: transforms.split(folder, 2),
        "combine": lambda: transforms.combine(target, [folder]),
        "copy": lambda: transforms.copy(folder, target),
    }
    assert says(work[tool]).startswith(
        f"{folder}/utt2accent:1 has the character U+000D CARRIAGE RETURN in it; run utils/fix"
    )
    assert not target.exists()


def test_a_class_is_not_trained_beside_itself(tmp_path):
    make(tmp_path / "d", utt2accent="a-1 french\na-2 french\r\nb-1 french\n")
    assert "utt2accent:2 has the character U+000D" in says(read_data_dir, tmp_path / "d")
    transforms.fix(tmp_path / "d")
    assert {u.accent for u in read_data_dir(tmp_path / "d")} == {"french"}
    make(tmp_path / "d", utt2accent="a-1 french\na-2 french\u00a0\nb-1 french\n")
    (told,) = validate(tmp_path / "d")
    assert "utt2accent: has the character U+00A0 NO-BREAK SPACE in it: line 2 (a-2)" in told


def test_a_key_holds_white_space_of_no_kind(tmp_path):
    make(tmp_path / "d", text="a-1 one\na-2\u2003x three\nb-1 four\n")
    assert "text: has the character U+2003 EM SPACE in an id: line 2 (a-2\u2003x)" in " ".join(validate(tmp_path / "d"))
    assert "text:2 has the character U+2003" in says(read_table, tmp_path / "d/text")
    assert "rename it" in says(transforms.fix, tmp_path / "d")


def test_a_path_may_hold_what_no_id_may(tmp_path):
    make(tmp_path / "d", wav_scp="ra ../../a\u00a0b/x y.flac\nrb /b.flac\n")
    assert validate(tmp_path / "d") == []
    assert str(read_data_dir(tmp_path / "d")[0].audio) == "../../a\u00a0b/x y.flac"


def test_lists_for_the_filters_are_read_over(tmp_path):
    (tmp_path / "list").write_bytes(b"\xef\xbb\xbfa-1\r\n\n  b-1\r\n/x\n")
    assert transforms.listed(make(tmp_path / "d"), tmp_path / "list", speakers=False) == [b"a-1", b"b-1"]


# Ids.

OUT = ["../../x", "/x", "..", "a/../../x", "a/.."]


@pytest.mark.parametrize("key", OUT)
def test_no_id_leads_out_of_a_folder(key, tmp_path):
    write = {
        "an utterance": dict(utt2spk=f"{key} a\n", text=f"{key} one\n", segments=f"{key} ra 0 1\n"),
        "a speaker": dict(utt2spk=f"a-1 {key}\n", spk2utt=f"{key} a-1\n"),
        "a recording": dict(wav_scp=f"{key} /a.wav\n", segments=f"a-1 {key} 0 1\n", reco2dur=f"{key} 9\n"),
    }
    for number, changed in enumerate(write.values()):
        folder = make(tmp_path / str(number), **changed)
        assert "has ids that lead out of a folder: line 1" in " ".join(validate(folder))
        assert "leads out of a folder; rename it" in says(read_data_dir, folder)
        assert "leads out of a folder; rename it" in says(transforms.fix, folder)
        assert "leads out of a folder; rename it" in says(transforms.copy, folder, tmp_path / "copy")


@pytest.mark.parametrize("key", OUT)
def test_no_directory_with_such_an_id_is_written(key, tmp_path):
    good = Utterance("s-1", "s", Path("/a.wav"), "one", 1.0, "s-1")
    for utterance in (
        Utterance(key, key, Path("/a.wav"), "one", 1.0, "r"),
        Utterance("s-2", "s", Path("/a.wav"), "one", 1.0, key, 0.0, 1.0),
    ):
        said = says(write_data_dir, tmp_path / "d", [good, utterance])
        assert "has an id that leads out of a folder" in said
    for option in ("utt_prefix", "spk_prefix"):
        assert "cannot be an id" in says(
            lambda option=option: transforms.copy(make(tmp_path / "e"), tmp_path / "f", **{option: f"{key}/"})
        )


def test_a_name_that_is_not_utf8_is_one_sentence(tmp_path):
    """Of a file, for instance, that a corpus' ids are made of."""
    name = "s-\udce9"
    said = says(write_data_dir, tmp_path / "d", [Utterance(name, "s", Path("/a.wav"), "one", 1.0, name)])
    assert "is not UTF-8 (byte 3)" in said


def test_ids_with_dots_and_slashes_inside_are_fine(tmp_path):
    make(tmp_path / "d", utt2recording="a-1 x\na-2..b x\nb/1.2 x\n")
    assert validate(tmp_path / "d") == []
    assert list(read_table(tmp_path / "d/utt2recording")) == ["a-1", "a-2..b", "b/1.2"]


# Segments.


@pytest.mark.parametrize("times", ["2 2.05", "2.01 2.09", "7 8"])
def test_a_segment_that_begins_behind_its_recordings_end(times, tmp_path):
    """Up to 0.1 s it passed as one that only ends there."""
    make(tmp_path / "d", segments=TABLES["segments"].replace("1.5 2\n", f"{times}\n"))
    told = validate(tmp_path / "d")[0]
    start = times.split()[0]
    assert (
        f"segments: has segments that begin behind the end of their recording: line 2 (a-2 begins at {start} s, ra ends"
        " at 2.00 s)" in told
    )
    (tmp_path / "d/wav.scp").rename(tmp_path / "wav.scp")
    assert told in validate(tmp_path / "d", wav=False)
    (tmp_path / "wav.scp").rename(tmp_path / "d/wav.scp")
    assert f"segments: a-2 begins at {start} s, where ra has ended (2 s); correct its line" in says(
        read_data_dir, tmp_path / "d"
    )


def test_the_end_of_a_segment_is_an_estimate(tmp_path):
    make(tmp_path / "d", segments=TABLES["segments"].replace("1.5 2\n", "1.99 2.09\n"))
    assert validate(tmp_path / "d") == [] and len(read_data_dir(tmp_path / "d")) == 3


def test_lengths_are_finite(tmp_path):
    (told,) = validate(make(tmp_path / "d", utt2dur=TABLES["utt2dur"].replace("0.5", "nan")))
    assert "utt2dur: has values that are not lengths above 0: line 2 (a-2)" in told


# Tokens.


def test_white_space_of_any_kind_is_one_token(tmp_path, monkeypatch):
    """Tokens were made without it and used with it: training said to make them again, which changed nothing."""
    (tmp_path / "text").write_text("a-1 ne\u00a0 dis\u3000pas\na-2 \u00a0\n")
    run_program(monkeypatch, "prepare_tokens", text=tmp_path / "text", out=tmp_path / "char")
    tokenizer = Tokenizer(tmp_path / "char")
    assert tokenizer.tokens == character_tokens(["ne dis pas"])
    tokenizer.check(read_table(tmp_path / "text"), tmp_path / "text")
    spaced = ["n", "e", "<space>", "d", "i", "s", "<space>", "p", "a", "s"]
    assert tokenizer.split("\u00a0ne\u00a0 dis\u3000pas ") == tokenizer.split("ne dis pas") == spaced
    (tmp_path / "text").write_text("".join(f"a-{n} ne\u00a0dis pas\n" for n in range(9)))
    run_program(monkeypatch, "prepare_tokens", text=tmp_path / "text", out=tmp_path / "bpe", tokens="bpe11")
    subwords = Tokenizer(tmp_path / "bpe")
    assert not any("\u00a0" in token for token in subwords.tokens)
    assert subwords.split("ne\u00a0dis pas") == subwords.split("ne dis pas")
    write_lines(tmp_path / "ctc.txt", CATALAN)
    symbols = Symbols(tmp_path / "ctc.txt")
    assert symbols.encode("ne\u00a0 dis") == symbols.encode("ne dis")


def test_what_a_recogniser_writes_fits_a_table(tmp_path):
    write_table(tmp_path / "hyp", {"a": clean("\ufeffone\r\n two\v\u00a0three \x1f")})
    assert read_table(tmp_path / "hyp") == {"a": "one two three"}


# Any table.

CHARACTERS = st.sampled_from("ab/.\u00e9\u00a0\ufeff\t\r\v\f\x1c\x1f\0\x01 \n\u2028\udc80")
TEXTS = st.text(CHARACTERS, max_size=6)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(TEXTS, TEXTS, max_size=5))
def test_what_is_written_is_read_again(table):
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "t"
        try:
            write_table(path, table)
        except InputError:
            assert list(Path(place).iterdir()) == []
            return
        assert read_table(path) == {key: value.strip(" \t") for key, value in table.items()}
        assert path.read_bytes().splitlines() == sorted(
            path.read_bytes().splitlines(), key=lambda line: line.split()[0]
        )


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.text(CHARACTERS, max_size=8).map(lambda t: t.encode("utf-8", "surrogateescape") + b"\n"), max_size=8),
    st.sampled_from([1, 9, 1 << 18]),
)
def test_blocks_and_lines_are_read_alike(lines, block):
    """A fault in one line changes nothing of how the others of its block are read; bytes are read as text is."""
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "BLOCK", block)
        whole = Path(place) / "t"
        whole.write_bytes(b"".join(lines))
        told: list[int] = []
        found = list(iterate_table(whole, lambda path, number, fault, key: told.append(number)))
        split = b"".join(lines).split(b"\n")[:-1]
        expected, faulty = [], []
        for number, line in enumerate(split, 1):
            line += b"\n"
            faulty += [number] * len(list(tables.faults(line)))
            try:
                text = tables.mended(line).decode()
            except UnicodeDecodeError:
                continue
            key, value = tables.split_row(text.rstrip("\n"))
            expected += [(number, key, value)] if key else []
        assert told == faulty and found == expected
        if faulty:
            assert f"{whole}:{faulty[0]} " in says(lambda: list(iterate_table(whole)))
        else:
            assert [(key.decode(), value.decode()) for key, value in iterate_rows(whole)] == [row[1:] for row in found]


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(sorted(TABLES)),
    st.integers(0, 60),
    st.text(CHARACTERS.filter(lambda c: c not in "/.\n\u00a0\u2028\udc80"), min_size=1, max_size=3),
)
def test_what_fix_has_mended_every_program_reads(name, place, inserted):
    with tempfile.TemporaryDirectory() as folder:
        text = TABLES[name]
        make(Path(folder), **{name.replace(".scp", "_scp"): text[:place] + inserted + text[place:]})
        try:
            transforms.fix(Path(folder))
        except InputError:
            return
        for file in TABLES:
            rows = read_table(Path(folder) / file)
            assert list(rows.items()) == [(k.decode(), v.decode()) for k, v in iterate_rows(Path(folder) / file, mend)]


# Tables that we did not write.


@pytest.mark.parametrize("name", ["train", "test"])
def test_the_tables_of_a_published_corpus_are_valid(name):
    folder = real_data("speechocean762_tables") / name
    assert validate(folder, feats=False) == []
    utterances = read_data_dir(folder)
    assert len(utterances) == 2500 and all(u.text and u.gender in ("m", "f") for u in utterances)
    assert not any(u.audio.is_absolute() for u in utterances)


def test_what_the_sets_of_a_published_corpus_share(tmp_path, monkeypatch):
    folder = real_data("speechocean762_tables")
    run_program(monkeypatch, "check_leakage", train=folder / "train", test=folder / "test", report=tmp_path / "r.md")
    assert (
        "| train and test | 0 | 52 (52 of 2500 utterances) | 0 | disjoint speakers |" in (tmp_path / "r.md").read_text()
    )


def test_a_bye_is_a_transcript():
    assert read_table(real_data("speechocean762_tables") / "train" / "text")["000010168"] == "BYE"
