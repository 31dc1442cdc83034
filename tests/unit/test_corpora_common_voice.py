"""Common Voice and the CommonAccent draw: exact labels, disjoint speakers, the same draw every time."""

import shutil
from pathlib import Path

import pytest
import soundfile
from corpora_helpers import contents, listing
from hypothesis import given
from hypothesis import strategies as st

from salience.corpora import common_voice as cv
from salience.corpora.labels import read_labels
from salience.errors import InputError

LABELS = {
    "us", "england", "australia", "indian", "canada", "scotland", "african", "ireland", "newzealand",
    "philippines", "wales", "bermuda", "malaysia", "singapore", "hongkong", "southatlandtic",
}  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("espeakng_loader")
    root = tmp_path_factory.mktemp("cv") / "cv-corpus-0.0-mini" / "en"
    cv.synthesise(root, seed=3, speakers=2, each=2)
    return root


@pytest.fixture
def copy(corpus: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(corpus, tmp_path / "en"))


def test_mini_round_trip(corpus: Path) -> None:
    before = listing(corpus)
    found = list(cv.utterances(corpus.parents[1], labels=read_labels(cv.COMMON_ACCENT_TABLE)))
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
    assert (
        not parts["train"] & parts["dev"]
        and not parts["dev"] & parts["test"]
        and not parts["train"] & parts["test"]
    )


def test_mini_is_the_same_again(corpus: Path, tmp_path: Path) -> None:
    cv.synthesise(tmp_path / "again", seed=3, speakers=2, each=2)
    assert contents(tmp_path / "again") == contents(corpus)


def test_table_has_sixteen_labels_each_in_two_spellings() -> None:
    table = read_labels(cv.COMMON_ACCENT_TABLE)
    assert (
        set(table.values()) == LABELS and len(table) == 32 and all(table[label] == label for label in LABELS)
    )


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
    path.write_text(
        path.read_text().replace("\taccents\t", "\taccent\t", 1).replace("United States English\t", "us\t")
    )
    drawn = cv.common_accent(copy)
    assert {u.accent for u in drawn["test"]} == LABELS


def test_without_clip_durations_the_files_tell(copy: Path) -> None:
    (copy / "clip_durations.tsv").unlink()
    for utterance in cv.utterances(copy):
        assert 0.3 < utterance.duration < 6


field = st.text(
    st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\u2028\u2029\x85"), max_size=12
)


@given(st.lists(st.tuples(field, field, field), max_size=5))
def test_any_fields_come_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]]
) -> None:
    path = tmp_path_factory.mktemp("table") / "validated.tsv"
    # The accent comes last: an empty field at the end of a line is still a field.
    lines = ["client_id\tpath\tsentence\taccents", *("\t".join(("c", *row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert [(clip.path, clip.sentence, clip.accent) for clip in cv.clips(path)] == rows


@pytest.mark.parametrize(
    ("line", "message"),
    [("too\tfew", ":2 has 2 fields instead of 13"), ("caf\udce9" + "\t" * 12, ":2 is not UTF-8")],
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
    with pytest.raises(InputError, match=f"{clip.name} is missing"):
        list(cv.utterances(copy))
    clip.write_bytes(data[:10])
    (copy / "clip_durations.tsv").unlink()
    with pytest.raises(InputError, match=f"{clip.name} is truncated or not audio"):
        list(cv.utterances(copy))


def test_empty_sentence(copy: Path) -> None:
    path = copy / "validated.tsv"
    lines = path.read_text().splitlines(keepends=True)
    fields = lines[1].split("\t")
    fields[3] = " "
    lines[1] = "\t".join(fields)
    path.write_text("".join(lines))
    with pytest.raises(InputError, match="has no sentence"):
        list(cv.utterances(copy))


def test_it_cannot_be_downloaded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--common-voice-archive"):
        cv.fetch(tmp_path)
