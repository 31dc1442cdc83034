"""EdAcc: exclusions counted, ids re-keyed, accents matched as a whole or not at all."""

import csv
import io
import shutil
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest
import soundfile
from corpora_helpers import contents, listing
from hypothesis import given
from hypothesis import strategies as st

from salience.corpora import edacc
from salience.corpora.labels import read_labels
from salience.corpora.synthetic import edacc as mini_edacc
from salience.errors import InputError

SEEN, UNSEEN = (3, 3), (1, 2)
PEOPLE = 5 * 3 + 5 + 1


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("espeakng_loader")
    root = tmp_path_factory.mktemp("edacc") / "edacc_v1.0"
    mini_edacc.synthesise(root, seed=3, seen=SEEN, unseen=UNSEEN)
    return root


@pytest.fixture
def copy(corpus: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(corpus, tmp_path / "edacc_v1.0"))


def test_mini_round_trip(corpus: Path) -> None:
    before = listing(corpus)
    excluded: Counter[str] = Counter()
    found = list(edacc.utterances(corpus, excluded=excluded))
    assert listing(corpus) == before
    assert len(found) == 15 * 3 + 5 * 2 + 2
    assert excluded == {edacc.CONTROL: PEOPLE, edacc.WORDLESS: PEOPLE, edacc.TOO_LONG: 1}
    accents = Counter(u.accent for u in found)
    seen = ("Southern British English", "Irish English", "Italian", "Egyptian", "Vietnamese")
    unseen = ("Scottish English", "Jamaican English", "Spanish", "Latin American", "Catalan")
    assert accents == {**dict.fromkeys(seen, 9), **dict.fromkeys(unseen, 2), None: 2}
    assert {u.split for u in found} == {"dev", "test"} and len({u.id for u in found}) == len(found)
    for utterance in found:
        assert utterance.id.startswith(f"{utterance.speaker}-EDACC"[: len(utterance.speaker) + 1])
        assert "<" not in utterance.text and 3 <= len(utterance.text.split()) <= 6
        assert utterance.start is not None and utterance.end is not None
        assert 0.4 < utterance.end - utterance.start == pytest.approx(utterance.duration, abs=1e-3)
        assert utterance.duration < 30 and utterance.gender in ("m", "f")
        info = soundfile.info(utterance.audio)
        assert (info.samplerate, info.channels, info.subtype) == (32000, 1, "PCM_16") and utterance.end <= info.duration


def test_the_turns_are_where_the_speech_is(corpus: Path) -> None:
    utterance = next(iter(edacc.utterances(corpus)))
    samples, rate = soundfile.read(utterance.audio)
    assert utterance.start is not None and utterance.end is not None
    inside = samples[int(utterance.start * rate) : int(utterance.end * rate)]
    before = samples[int((utterance.start - 0.15) * rate) : int(utterance.start * rate)]
    assert (inside**2).mean() > 100 * (before**2).mean()


def test_mini_is_the_same_again(corpus: Path, tmp_path: Path) -> None:
    mini_edacc.synthesise(tmp_path / "again", seed=3, seen=SEEN, unseen=UNSEEN)
    assert contents(tmp_path / "again") == contents(corpus)


def test_conversation_in_parts_has_unique_ids(corpus: Path) -> None:
    found = [u for u in edacc.utterances(corpus) if u.speaker.startswith("EDACC-C05-")]
    assert {u.recording for u in found} == {"EDACC-C05_P1", "EDACC-C05_P2"}
    assert all(f"-{u.recording[-2:]}-" in u.id for u in found)
    assert {u.speaker for u in found} == {"EDACC-C05-A", "EDACC-C05-B"}


@pytest.mark.parametrize(
    ("key", "recording", "speaker", "expected"),
    [
        ("EDACC-C06-000000012", "EDACC-C06", "EDACC-C06-A", "EDACC-C06-A-000000012"),
        ("EDACC-C35_P2-000000133", "EDACC-C35_P2", "EDACC-C35-B", "EDACC-C35-B-P2-000000133"),
    ],
)
def test_rekeyed(key: str, recording: str, speaker: str, expected: str) -> None:
    assert edacc.rekeyed(key, recording, speaker) == expected


def test_questionnaire_has_the_quirks(corpus: Path) -> None:
    rows = list(csv.reader(io.StringIO((corpus / "linguistic_background.csv").read_text(encoding="utf-8"))))
    assert {len(row) for row in rows} == {28} and len(rows) == PEOPLE + 1
    assert any("\u2019" in name and name.endswith(" ") for name in rows[0])


TABLE = {"Italian": "Italian", "American": "Mainstream US English", "Latin American": "Latin American"}


@pytest.mark.parametrize(
    "told",
    ["Mostly American", "american", "Italian mixed with American accent", "Latin  American", "", "Ital", "ITALIAN"],
)
def test_accent_is_matched_as_a_whole_or_not_at_all(told: str) -> None:
    labelled, unmapped = edacc.label_speakers({"EDACC-C01-A": edacc.Background(told, "Male")}, TABLE)
    assert labelled == {} and unmapped == {told: ["EDACC-C01-A"]}


def test_substring_of_another_label_is_its_own_label() -> None:
    told = {f"S{i}": edacc.Background(text, "") for i, text in enumerate(TABLE)}
    assert edacc.label_speakers(told, TABLE)[0] == {
        "S0": "Italian",
        "S1": "Mainstream US English",
        "S2": "Latin American",
    }


def test_speaker_table_comes_first() -> None:
    told = {"S1": edacc.Background("Italian", ""), "S2": edacc.Background("Fluent", "")}
    assert edacc.label_speakers(told, TABLE, {"S1": "Catalan", "S2": "Dutch", "S3": "French"}) == (
        {"S1": "Catalan", "S2": "Dutch", "S3": "French"}, {},
    )  # fmt: skip


@given(st.text(max_size=30))
def test_no_answer_is_guessed(told: str) -> None:
    labelled, unmapped = edacc.label_speakers({"S": edacc.Background(told, "")}, TABLE)
    assert (labelled == {"S": TABLE[told]}) if told in TABLE else (unmapped == {told: ["S"]})


def test_shipped_table_has_the_paper_s_accents_and_no_doubtful_word() -> None:
    table = read_labels(edacc.ACCENT_TABLE)
    assert {"Southern British English", "Irish English", "Italian", "Egyptian", "Vietnamese"} <= set(table.values())
    assert not {"British", "English", "Neutral", "Asian", "North American", "NA", "International"} & set(table)
    assert table["Latín American"] == "Latin American" and table["American"] == "Mainstream US English"


answers = st.lists(st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=15), min_size=1, max_size=5)


@given(answers)
def test_any_answer_comes_back(tmp_path_factory: pytest.TempPathFactory, told: list[str]) -> None:
    root = tmp_path_factory.mktemp("answers")
    with open(root / "linguistic_background.csv", "w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow([mini_edacc.QUESTIONS.get(column, f"Question {column}") for column in range(28)])
        for number, answer in enumerate(told):
            row = {0: f"S{number}", 5: "Female", 19: answer, 20: 'Greek, "Latin"\nand more'}
            writer.writerow([row.get(column, "") for column in range(28)])
    found = edacc.background(root)
    assert {key: value.accent for key, value in found.items()} == {f"S{n}": a.strip() for n, a in enumerate(told)}


def replace_line(path: Path, number: int, line: bytes) -> None:
    lines = path.read_bytes().splitlines()
    lines[number - 1] = line
    path.write_bytes(b"\n".join(lines) + b"\n")


def test_passage_marked_in_stm_alone_is_left_out(copy: Path) -> None:
    text, stm = copy / "dev/text", (copy / "dev/stm").read_text().splitlines()
    marked = [line.split() for line in stm if line.endswith("IGNORE_TIME_SEGMENT_IN_SCORING")]
    told = dict(line.split(" ", 1) for line in text.read_text().splitlines())
    assert any("IGNORE" not in told[f"{fields[0]}-000000000"] for fields in marked), "the mini corpus lost this quirk"
    spans = {(fields[2], float(fields[3])) for fields in marked}
    assert not spans & {(u.speaker, u.start) for u in edacc.utterances(copy, ("dev",))}


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("dev/text", b"EDACC-C02-000000001 caf\xe9", ":2 is not UTF-8"),
        ("dev/segments", b"EDACC-C02-000000001 EDACC-C02 0.5", "is not a recording, a start and an end"),
        ("dev/segments", b"EDACC-C02-999999999 EDACC-C02 0.5 1.5", "has no line for EDACC-C02-999999999"),
        ("dev/segments", b"EDACC-C02-000000000 EDACC-C02 0.5 1.5", ":2 is empty or repeats its id"),
        ("linguistic_background.csv", b"EDACC-C01-A,only,four,fields", "has 4 fields instead of 28"),
    ],
)
def test_bad_line_is_one_sentence(copy: Path, file: str, line: bytes, message: str) -> None:
    replace_line(copy / file, 2, line)
    with pytest.raises(InputError, match=message) as caught:
        list(edacc.utterances(copy))
    assert "\n" not in str(caught.value)


def test_transcript_without_words_is_left_out_and_counted(copy: Path) -> None:
    text = copy / "dev/text"
    key = next(u for u in edacc.utterances(copy, ("dev",)) if u.recording == "EDACC-C02").id.rsplit("-", 1)[1]
    lines = text.read_text().splitlines()
    text.write_text("\n".join(f"EDACC-C02-{key}" if f"EDACC-C02-{key}" in line else line for line in lines) + "\n")
    before, after = Counter(), Counter()
    list(edacc.utterances(copy, excluded=after))
    assert after[edacc.WORDLESS] == PEOPLE + 1 and before == {}


@pytest.mark.parametrize("keep", [0, 44, 0.5, 0.99])
def test_truncated_conversation(copy: Path, keep: float) -> None:
    path = copy / "data/EDACC-C02.wav"
    data = path.read_bytes()
    path.write_bytes(data[: keep if isinstance(keep, int) else int(len(data) * keep)])
    with pytest.raises(InputError, match="is empty|is cut off|cannot be decoded"):
        list(edacc.utterances(copy))


def test_missing_conversation(copy: Path) -> None:
    (copy / "data/EDACC-C02.wav").unlink()
    with pytest.raises(InputError, match="EDACC-C02.wav does not exist"):
        list(edacc.utterances(copy))


def test_turn_beyond_the_recording(copy: Path) -> None:
    lines = (copy / "dev/segments").read_text().splitlines()
    key, recording, *_ = next(line for line in lines if line.startswith("EDACC-C02-000000003")).split()
    number = 1 + next(i for i, line in enumerate(lines) if line.startswith(key))
    replace_line(copy / "dev/segments", number, f"{key} {recording} 5000.00 5001.00".encode())
    excluded: Counter[str] = Counter()
    list(edacc.utterances(copy, excluded=excluded))
    assert excluded[edacc.NO_AUDIO] == 1


def test_release_is_an_archive_in_an_archive(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "edacc_v1.0.tar.gz"
    with tarfile.open(inner, "w:gz") as tar:
        tar.add(corpus, "edacc_v1.0")
    with zipfile.ZipFile(tmp_path / "DS.zip", "w") as archive:
        archive.write(inner, inner.name)
        archive.writestr("license_text", "CC BY-SA 4.0")
    with pytest.raises(InputError, match="bytes instead of 5916732170"):
        edacc.fetch(tmp_path / "target", tmp_path / "DS.zip")
    with pytest.raises(InputError, match="edacc_v1.0.tar.gz has .* bytes instead of 5916732170"):
        edacc.fetch(tmp_path / "target", inner)
    monkeypatch.setattr(edacc, "INNER", edacc.download.Archive(inner.name, ()))
    for archive in ("DS.zip", "edacc_v1.0.tar.gz"):
        root = edacc.fetch(tmp_path / "target", tmp_path / archive)
        assert {k: v for k, v in contents(root).items() if k[0] != "."} == {
            k: v for k, v in contents(corpus).items() if k[0] != "."
        }


def test_without_the_archive_inside_only_the_users_own_copy_is_taken(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The zip around it is another at each download, so that nothing else can be compared."""
    with zipfile.ZipFile(tmp_path / "plain.zip", "w") as archive:
        for path in corpus.rglob("*"):
            archive.write(path, Path("edacc_v1.0") / path.relative_to(corpus))
    asked = []

    def give(archive: edacc.download.Archive, folder: Path, option: str) -> Path:
        asked.append(archive)
        return tmp_path / "plain.zip"

    monkeypatch.setattr(edacc.download, "download", give)
    with pytest.raises(
        InputError, match=r"plain.zip holds no edacc_v1.0.tar.gz, whose checksum is known, .* --edacc-archive$"
    ):
        edacc.fetch(tmp_path / "t")
    assert not (tmp_path / "t/edacc_v1.0").exists() and not asked[0].fixed
    caplog.set_level("INFO")
    assert len(list(edacc.utterances(edacc.fetch(tmp_path / "t", tmp_path / "plain.zip")))) > 0
    assert "plain.zip is not the published edacc_v1.0.tar.gz: there is no checksum to compare" in caplog.text
