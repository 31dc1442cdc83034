"""Common Voice and the CommonAccent draw: exact labels, disjoint speakers, the same draw every time."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from corpora_helpers import contents, listing
from hypothesis import given, settings
from hypothesis import strategies as st
from whisper.tokenizer import get_tokenizer

from salience.corpora import common_voice as cv
from salience.corpora.clips import BadClips
from salience.corpora.labels import read_labels
from salience.corpora.synthetic import common_voice as mini_common_voice
from salience.data.text import clean, is_printable
from salience.errors import InputError

LABELS = {
    "us", "england", "australia", "indian", "canada", "scotland", "african", "ireland", "newzealand",
    "philippines", "wales", "bermuda", "malaysia", "singapore", "hongkong", "southatlandtic",
}  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("espeakng_loader")
    root = tmp_path_factory.mktemp("cv") / "cv-corpus-0.0-mini" / "en"
    mini_common_voice.synthesise(root, seed=3, speakers=2, each=2)
    return root


@pytest.fixture
def copy(corpus: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(corpus, tmp_path / "en"))


def test_mini_round_trip(corpus: Path) -> None:
    before = listing(corpus)
    found = list(cv.utterances(cv.find_root(corpus.parents[1]), labels=read_labels(cv.COMMON_ACCENT_TABLE)))
    assert listing(corpus) == before
    assert len(found) == 16 * 2 * 2 + 2 * 2 and {u.accent for u in found} == LABELS | {None}
    assert sum(u.accent is None for u in found) == 4
    assert [u.id for u in found] == sorted(u.id for u in found)
    for utterance in found:
        info = soundfile.info(utterance.audio)
        assert (info.format, info.samplerate, info.channels) == ("MP3", 32000, 1)
        # An MP3 is padded to whole frames.
        assert 0 <= info.duration - utterance.duration < 0.1 or abs(info.duration - utterance.duration) < 0.1
        assert utterance.id.startswith(f"{utterance.speaker}-common_voice_en_") and utterance.language == "en"
        assert utterance.gender in ("m", "f") and utterance.text.endswith(".")
    assert any(u.text.startswith('"') for u in found), "the unbalanced quotation mark is gone"
    parts = {name: {u.speaker for u in cv.utterances(corpus, name)} for name in ("train", "dev", "test")}
    assert not parts["train"] & parts["dev"] and not parts["dev"] & parts["test"] and not parts["train"] & parts["test"]


def test_mini_is_the_same_again(corpus: Path, tmp_path: Path) -> None:
    mini_common_voice.synthesise(tmp_path / "again", seed=3, speakers=2, each=2)
    assert contents(tmp_path / "again") == contents(corpus)


def test_table_has_sixteen_labels_each_in_two_spellings() -> None:
    table = read_labels(cv.COMMON_ACCENT_TABLE)
    assert set(table.values()) == LABELS and len(table) == 32 and all(table[label] == label for label in LABELS)


def test_common_accent_is_balanced_disjoint_and_repeatable(corpus: Path) -> None:
    drawn = cv.common_accent(corpus, seed=1)
    assert {name: len(found) for name, found in drawn.items()} == {"test": 32, "dev": 32}
    for found in drawn.values():
        assert {u.accent for u in found} == LABELS
    assert not {u.speaker for u in drawn["dev"]} & {u.speaker for u in drawn["test"]}
    assert drawn == cv.common_accent(corpus, seed=1) != cv.common_accent(corpus, seed=2)
    only = cv.common_accent(corpus, per_accent=1, sets=("test",))
    assert list(only) == ["test"] and len(only["test"]) == 16


def test_draw_does_not_depend_on_the_order_of_rows(corpus: Path, copy: Path) -> None:
    header, *rows = (copy / "validated.tsv").read_text().splitlines(keepends=True)
    (copy / "validated.tsv").write_text(header + "".join(rows[::-1]))
    one, other = cv.common_accent(corpus), cv.common_accent(copy)
    assert [u.id for u in one["test"]] == [u.id for u in other["test"]]


def test_speaker_with_two_accents_has_none(copy: Path) -> None:
    path = copy / "validated.tsv"
    client = path.read_text().splitlines()[1].split("\t")[0]
    lines = path.read_text().splitlines(keepends=True)
    lines[1] = lines[1].replace("United States English", "Filipino")
    path.write_text("".join(lines))
    drawn = cv.common_accent(copy)
    assert client[:16] not in {u.speaker for found in drawn.values() for u in found}


def test_old_releases_call_the_column_accent(copy: Path) -> None:
    path = copy / "validated.tsv"
    path.write_text(path.read_text().replace("\taccents\t", "\taccent\t", 1).replace("United States English\t", "us\t"))
    drawn = cv.common_accent(copy)
    assert {u.accent for u in drawn["test"]} == LABELS


def test_without_clip_durations_the_files_tell(copy: Path) -> None:
    (copy / "clip_durations.tsv").unlink()
    for utterance in cv.utterances(copy):
        assert 0.3 < utterance.duration < 6


field = st.text(st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\u2028\u2029\x85"), max_size=12)


@given(st.lists(st.tuples(field, field, field), max_size=5))
def test_any_fields_come_back(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]]) -> None:
    path = tmp_path_factory.mktemp("table") / "validated.tsv"
    # The accent comes last: an empty field at the end of a line is still a field.
    lines = ["client_id\tpath\tsentence\taccents", *("\t".join(("c", *row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert [(clip.path, clip.sentence, clip.accent) for clip in cv.clips(path)] == rows


@pytest.mark.parametrize(
    ("line", "message"), [("too\tfew", ":2 has 2 fields instead of 13"), ("caf\udce9" + "\t" * 12, ":2 is not UTF-8")]
)
def test_bad_row_is_one_sentence(copy: Path, line: str, message: str) -> None:
    path = copy / "validated.tsv"
    lines = path.read_bytes().splitlines()
    lines[1] = line.encode("utf-8", "surrogateescape")
    path.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(InputError, match=message):
        list(cv.utterances(copy))


def test_missing_and_truncated_clips(copy: Path) -> None:
    clip = sorted((copy / "clips").iterdir())[0]
    data = clip.read_bytes()
    clip.unlink()
    with pytest.raises(InputError, match=f"{clip.name} does not exist"):
        list(cv.utterances(copy))
    clip.write_bytes(data[:10])
    (copy / "clip_durations.tsv").unlink()
    with pytest.raises(InputError, match=f"{clip.name} cannot be decoded"):
        list(cv.utterances(copy))


@pytest.mark.parametrize("sentence", [" ", "<|en|>", "\ufeff\u0007"])
def test_clips_without_a_sentence_are_counted(copy: Path, sentence: str) -> None:
    path = copy / "validated.tsv"
    lines = path.read_text().splitlines(keepends=True)
    fields = lines[1].split("\t")
    fields[3] = sentence
    lines[1] = "\t".join(fields)
    path.write_text("".join(lines))
    excluded: Counter[str] = Counter()
    assert fields[1] not in {u.audio.name for u in cv.utterances(copy, excluded=excluded)}
    assert excluded == {"Common Voice clips without a sentence": 1}


def noise(path: Path, number: int = 0, seconds: float = 0.5) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.1 * np.random.default_rng(number).standard_normal(round(16000 * seconds))
    soundfile.write(path, samples, 16000, format="MP3")


FIRST_HEADER = "filename,text,up_votes,down_votes,age,gender,accent,duration"


def first_release(root: Path, rows: dict[str, list[str]], header: str = FIRST_HEADER) -> Path:
    """Release 1: csv tables, and the clips of each in a folder of its name."""
    for table, lines in rows.items():
        for number, line in enumerate(lines):
            noise(root / line.split(",")[0], number)
        (root / f"{table}.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return root


FIRST_ROWS = {
    "cv-valid-train": ['cv-valid-train/sample-000000.mp3,"he said, ""no""",1,0,,male,us,'],
    "cv-valid-dev": [
        "cv-valid-dev/sample-000000.mp3,be careful,1,0,,,,5.1",
        "cv-valid-dev/sample-000001.mp3,then why,2,0,twenties,female,england,0.5",
        "cv-valid-dev/sample-000002.mp3,then why not,2,0,,other,england,",
    ],
    "cv-other-train": ["cv-other-train/sample-000000.mp3,nobody checked this,0,0,,,us,"],
}


def test_first_release(tmp_path: Path) -> None:
    root = first_release(tmp_path / "data" / "cv_corpus_v1", FIRST_ROWS)
    assert cv.find_root(tmp_path / "data") == cv.find_root(root) == root
    found = list(cv.utterances(root, labels=read_labels(cv.COMMON_ACCENT_TABLE)))
    assert [(u.id, u.text, u.accent, u.gender) for u in found] == [
        ("cv-valid-dev-sample-000000", "be careful", None, None),
        ("cv-valid-dev-sample-000001", "then why", "england", "f"),
        ("cv-valid-dev-sample-000002", "then why not", "england", None),
        ("cv-valid-train-sample-000000", 'he said, "no"', "us", "m"),
    ]
    assert all(u.speaker == u.id and 0.4 < u.duration < 0.7 for u in found)
    assert found[1].audio == root / "cv-valid-dev/sample-000001.mp3"
    assert [u.text for u in cv.utterances(root, "other")] == ["nobody checked this"]
    assert sum(map(len, cv.common_accent(root, sets=("test",)).values())) == 3
    with pytest.raises(InputError, match=f"{root} is in the language 'en', not in 'fa'"):
        cv.find_root(root, "fa")


def test_first_release_in_copies(tmp_path: Path) -> None:
    """Other columns, paths without a folder, one table alone."""
    root = first_release(
        tmp_path, {"cv-valid-dev": ["sample-1.mp3,so be it,1,0,,,us,SO BE IT,0.5"]},
        FIRST_HEADER.replace("duration", "generated_text,duration"),
    )  # fmt: skip
    noise(root / "cv-valid-dev/sample-1.mp3")
    assert [(u.id, u.text) for u in cv.utterances(root)] == [("cv-valid-dev-sample-1", "so be it")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("cv-valid-dev/a.mp3,hello", r"cv-valid-dev.csv:2 has 2 fields instead of 8; unpack"),
        ('cv-valid-dev/a.mp3,"hello,1,0,,,us,', r":2 is not separated by commas \(unexpected end of data\)"),
        ("../a.mp3,hello,1,0,,,us,", r"the clip ../a.mp3, which is outside the corpus"),
        ("/a.mp3,hello,1,0,,,us,", r"the clip /a.mp3, which is outside the corpus"),
    ],
)
def test_bad_row_of_the_first_release(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "cv-valid-dev.csv").write_text(f"{FIRST_HEADER}\n{line}\n")
    with pytest.raises(InputError, match=message):
        list(cv.utterances(tmp_path))


def tables(root: Path, locale: str, *names: str) -> Path:
    """A release of one clip, of release 6.1's columns."""
    noise(root / "clips" / "a.mp3")
    for name in names:
        header = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccent\tlocale\tsegment\n"
        (root / f"{name}.tsv").write_text(f"{header}{'c' * 128}\ta.mp3\tHello.\t2\t0\t\tmale\tus\t{locale}\t\n")
    return root


def test_forms_are_found_wherever_they_lie(tmp_path: Path) -> None:
    delta = tables(tmp_path / "delta" / "dataset", "en", "validated", "invalidated")
    assert cv.find_root(delta) == cv.find_root(delta.parent) == delta
    alone = tables(tmp_path / "alone" / "my copy", "ca", "other")
    assert cv.find_root(alone, "ca") == cv.find_root(alone.parent, "ca") == alone
    for language in ("ca", "en"):
        tables(tmp_path / "sample" / language, language, "validated")
    assert cv.find_root(tmp_path / "sample", "ca") == tmp_path / "sample/ca"
    (delta.parent / ".hidden").symlink_to(delta)
    assert cv.find_releases(delta.parent, "en") == [delta]


def test_another_language_or_several_releases_are_told(tmp_path: Path) -> None:
    root = tables(tmp_path / "cv-corpus-6.1" / "ca", "ca", "validated")
    with pytest.raises(InputError, match=f"{root} is in the language 'ca', not in 'en'; give the folder"):
        cv.find_root(root)
    with pytest.raises(InputError, match="holds no validated.tsv beside clips/, in the language 'en'"):
        cv.find_root(tmp_path)
    tables(tmp_path / "cv-corpus-7.0" / "ca", "ca", "validated")
    assert cv.find_root(tmp_path, "ca", several=True) == tmp_path
    with pytest.raises(InputError, match=r"2 releases \(cv-corpus-6.1/ca, cv-corpus-7.0/ca\); give the folder of one"):
        cv.find_root(tmp_path, "ca", several=False)
    with pytest.raises(InputError, match="has no train.tsv; unpack the corpus again, or give another release"):
        list(cv.utterances(root, "train"))


@pytest.mark.parametrize(
    ("typed", "cleaned"),
    [
        ("\ufeffWhat\u0000  is\tthis?\x0b", "What is this?"),
        ("one\u00a0two\u2028three\u3000", "one two three"),
        ("می\u200cروم\u0007 خانه\u200f", "می\u200cروم خانه\u200f"),
        ("<|startoftranscript|><|en|>Hello<|0.00|> there<|endoftext|>", "Hello there"),
        ("<|e\u0007n|> so", "so"),
        ('a < b | c > d, "no', 'a < b | c > d, "no'),
    ],
)
def test_sentences_are_cleaned(typed: str, cleaned: str) -> None:
    assert clean(typed) == cleaned == clean(cleaned)


@settings(deadline=None)  # the first text waits for the tokenizer's table
@given(st.text(st.characters(blacklist_categories=("Cs",)) | st.sampled_from("<|>\u0007 ae"), max_size=30))
def test_what_is_clean_is_taken_by_validate_and_by_whisper(typed: str) -> None:
    cleaned = clean(typed)
    assert clean(cleaned) == cleaned == " ".join(cleaned.split()) and all(map(is_printable, cleaned))
    tokenizer.encode(cleaned)


tokenizer = get_tokenizer(True, language="en", task="transcribe")

LABELLED = {"us": "us", "England English": "england", "Indian (India, Pakistan)": "indian", "Filipino": "philippines"}


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("us", "us"),
        (" Filipino ", "philippines"),
        ("Indian (India, Pakistan)", "indian"),
        ("England English,us", None),
        ("England English,Northern", None),
        ("England English|us", None),
        ("England English|Northern", None),
        ("us|us", "us"),
        ("us|", "us"),
        ("", None),
        ("|", None),
    ],
)
def test_accents_are_exact(answer: str, label: str | None) -> None:
    assert cv.accent_label(answer, LABELLED) == label


def test_what_has_no_accent_is_counted(copy: Path) -> None:
    excluded: Counter[str] = Counter()
    path = copy / "validated.tsv"
    path.write_text(path.read_text().replace("Filipino", "Scottish English", 1))
    cv.common_accent(copy, excluded=excluded)
    assert excluded == {
        "Common Voice clips with an accent that has no label": 2,
        "Common Voice clips without an accent": 2,
        "Common Voice clips of a speaker who states several accents": 2,
    }


def test_others_are_drawn_in_the_place_of_bad_clips(copy: Path, tmp_path: Path) -> None:
    """Copies of a release often have a part of its clips: the set is as large as these allow."""
    of_each = {u.accent: u for u in cv.common_accent(copy, per_accent=1, sets=("test",))["test"]}
    for utterance in of_each.values():
        utterance.audio.unlink()
    bad = BadClips(tmp_path, skip=True)
    drawn = cv.common_accent(copy, per_accent=1, sets=("test",), bad=bad)["test"]
    assert [u.accent for u in sorted(drawn, key=lambda u: u.accent)] == sorted(LABELS)
    assert set(bad.reasons) == {u.audio for u in of_each.values()} and bad.count == 2 * len(LABELS)
    strict = BadClips(tmp_path)
    assert cv.common_accent(copy, per_accent=1, sets=("test",), bad=strict) == {"test": []}
    with pytest.raises(InputError, match="16 of 16 clips cannot be used"):
        strict.report()


def test_it_cannot_be_downloaded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--common-voice-archive"):
        cv.fetch(tmp_path)


def test_a_folder_with_a_release_and_release_1_is_one_corpus(corpus, tmp_path):
    both = tmp_path / "both"
    (both / "first/cv-valid-dev").mkdir(parents=True)
    (both / "cv").symlink_to(corpus)
    (both / "again").symlink_to(corpus)
    clip = next(corpus.glob("clips/*.mp3"))
    shutil.copy(clip, both / "first/cv-valid-dev/sample-000001.mp3")
    (both / "first/cv-valid-dev.csv").write_text(
        "filename,text,up_votes,down_votes,age,gender,accent,duration\n"
        "cv-valid-dev/sample-000001.mp3,a sentence of old,1,0,,,scotland,\n"
    )
    assert cv.find_root(both) == both
    alone, drawn = (cv.common_accent(root, sets=("test",))["test"] for root in (corpus, both))
    (new,) = [u for u in drawn if u.text == "a sentence of old"]
    assert (new.id, new.speaker, new.accent) == ("first-cv-valid-dev-sample-000001",) * 2 + ("scotland",)
    assert sorted(u.text for u in drawn if u is not new) == sorted(u.text for u in alone)  # none twice
    assert {path.parent.name for path in cv.all_tables(both)} == {"first", "cv", "again"}
