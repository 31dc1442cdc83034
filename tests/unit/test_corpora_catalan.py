"""Common Voice Catalan: generations of columns, labels, sets that are apart, decoding in chunks, bad input."""

import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from corpora_helpers import contents, listing, program

from salience.audio import read_audio
from salience.corpora import common_voice as cv
from salience.corpora import common_voice_catalan as catalan
from salience.corpora.labels import read_labels
from salience.corpora.synthetic import common_voice as mini_common_voice
from salience.corpora.synthetic import common_voice_catalan as mini_catalan
from salience.corpora.synthetic import espeak
from salience.data import packed
from salience.data.directories import read_data_dir, write_data_dir
from salience.data.normalisers import normaliser
from salience.data.packed import read_packed
from salience.data.records import Utterance
from salience.data.tables import read_table
from salience.data.vocabulary import CATALAN
from salience.errors import InputError
from salience.files import used_bytes

prepare = program("egs/cv_ca/local/prepare_sets.py").main
decode = program("local/pack_waveforms.py").pack_waveforms

GENERATIONS = {
    # Columns, and how a man from Lleida and a woman from Palma fill them.
    "oldest": (("client_id", "path", "sentence", "up_votes", "down_votes", "age", "gender", "accent"),
               {"gender": "male", "accent": "northwestern"}, {"gender": "female", "accent": "balearic"}),
    "accents": (mini_catalan.OLD_COLUMNS,
                {"gender": "male", "accents": "nord-occidental"}, {"gender": "female", "accents": "balear"}),
    "variant": ((*mini_catalan.OLD_COLUMNS, "variant"),
                {"gender": "male", "variant": "Nord-Occidental"},
                {"gender": "female", "accents": "balear", "variant": "Balear"}),
    "newest": (mini_common_voice.COLUMNS,
               {"gender": "male_masculine", "variant": "ca-nwestern"},
               {"gender": "female_feminine", "variant": "ca-balear"}),
}  # fmt: skip


def release(
    root: Path, rows: dict[str, list[dict[str, str]]], columns: tuple[str, ...] = mini_common_voice.COLUMNS
) -> Path:
    """A release whose clips are half a second and more of noise; a row may lack its path."""
    (root / "clips").mkdir(parents=True)
    number = 0
    for table, members in {"validated": [], "other": [], "invalidated": [], **rows}.items():
        lines = ["\t".join(columns)]
        for row in members:
            number += 1
            row = {"path": f"common_voice_ca_{number}.mp3", "sentence": f"Frase dita {chr(96 + number % 26)}.", **row}
            if not (root / "clips" / row["path"]).exists():
                noise = 0.1 * np.random.default_rng(number).standard_normal(9600 + 100 * number)
                soundfile.write(root / "clips" / row["path"], noise, 16000, format="MP3")
            lines.append("\t".join(row.get(column, "") for column in columns))
        (root / f"{table}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def person(number: int) -> str:
    return f"{number:0128x}"[::-1]


def murmur(jobs: list, rate: int) -> Iterator[np.ndarray]:
    """In the place of espeak.speak: a bit over half a second for each job."""
    for number, _ in enumerate(jobs):
        random = np.random.default_rng(number)
        yield 0.1 * random.standard_normal(round(rate * (0.6 + 0.2 * random.random())))


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("catalan") / "releases"
    with pytest.MonkeyPatch.context() as patch:
        # Noise is made in no time; the voices have a test of their own.
        patch.setattr(mini_common_voice, "speak", murmur)
        mini_catalan.synthesise(root, seed=2, clips=2)
    return root


@pytest.fixture(scope="module")
def sets(mini: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sets") / "data"
    prepare(out, mini, min_per_accent=1, random_share=0.3, seed=5)
    return out


@pytest.mark.parametrize("generation", GENERATIONS)
def test_columns_of_each_generation(tmp_path: Path, generation: str) -> None:
    columns, man, woman = GENERATIONS[generation]
    rows = [{"client_id": person(1), **man}, {"client_id": person(2), **woman}]
    root = release(tmp_path / "cv-corpus-1.0-x" / "ca", {"validated": rows}, columns)
    labels = read_labels(catalan.ACCENT_TABLE)
    found = list(cv.clips(root / "validated.tsv", cv.KNOWN_COLUMNS))
    assert [catalan.accent_label(clip, labels)[0] for clip in found] == ["nord-occidental", "balear"]
    assert [cv.GENDERS[clip.gender] for clip in found] == ["m", "f"]


def clip(accent: str = "", variant: str = "") -> cv.Clip:
    return cv.Clip("c", "p", "s", accent, "", variant, "ca")


@pytest.mark.parametrize(
    ("accent", "variant", "expected"),
    [
        ("valencià", "", "valencià"),
        ("", "ca-valencia-alacant", "valencià"),
        ("septentrional", "Septentrional", "septentrional"),
        (" central ", "", "central"),
        ("", "", "no accent stated"),
        ("valencià,La Vall d'Albaida", "", "lacks"),
        ("nord-occidental,Tortosí", "", "lacks"),
        ("central,balear", "", "lacks"),
        ("Barcelonès", "ca-central", "lacks"),
        ("valencia", "", "lacks"),
        ("", "ca-algueres", "lacks"),
        ("", "ca-valencia-tortosi", "lacks"),
        ("central", "ca-balear", "disagree"),
    ],
)
def test_accent_table_is_exact(accent: str, variant: str, expected: str) -> None:
    label, reason = catalan.accent_label(clip(accent, variant), read_labels(catalan.ACCENT_TABLE))
    assert label == expected if expected in catalan.ACCENTS else label is None and expected in reason


def test_tables_know_the_five_accents() -> None:
    assert set(read_labels(catalan.ACCENT_TABLE).values()) == set(catalan.ACCENTS)
    legacy = read_labels(catalan.LEGACY_ACCENT_TABLE)
    assert sorted(legacy.values()) == sorted(catalan.ACCENTS) and len(legacy) == 5
    assert catalan.accent_label(clip("nord-occidental,Tortosí"), legacy, variants=False)[0] == "nord-occidental"
    assert catalan.accent_label(clip("", "central"), legacy, variants=False)[0] is None


def test_mini_has_two_releases_of_two_generations(mini: Path) -> None:
    full, delta = cv.find_releases(mini, "ca")
    assert [cv.release_name(root) for root in (full, delta)] == [mini_catalan.MINI_FULL, mini_catalan.MINI_DELTA]
    assert (full / "train.tsv").exists() and not (delta / "train.tsv").exists()
    assert not (full / "clip_durations.tsv").exists() and (delta / "clip_durations.tsv").exists()
    assert "variant" in (delta / "other.tsv").read_text() and "variant" not in (full / "other.tsv").read_text()
    voices_of = {clip.accent for clip in cv.clips(full / "validated.tsv")}
    assert voices_of == {*mini_catalan.MINI_VOICES, *mini_catalan.MINI_OWN_WORDS.values()}
    rates = [soundfile.info(next((root / "clips").iterdir())).samplerate for root in (full, delta)]
    assert rates == [48000, 32000] and (mini / "SYNTHETIC.txt").exists()
    assert any(clip.sentence.count('"') % 2 for clip in cv.clips(full / "validated.tsv"))


def test_four_voices_differ_and_say_a_second_or_two() -> None:
    pytest.importorskip("espeakng_loader")
    text = max(mini_catalan.sentences(1), key=len)
    spoken = list(
        espeak.speak([(text, espeak.Voice(f"{v.name}+m1")) for v in mini_catalan.MINI_VOICES.values()], 16000)
    )
    assert len({samples.tobytes() for samples in spoken}) == 4
    assert all(0.8 < len(samples) / 16000 < 3 for samples in spoken)


def test_what_is_written_is_what_is_said() -> None:
    normalise, _ = normaliser("catalan")
    for text in mini_catalan.sentences(1):
        assert {normalise(mini_catalan._as_in_print(text, number)) for number in range(5)} == {text}


def test_mini_sentences_need_the_whole_alphabet() -> None:
    said = list(mini_catalan.sentences(1))
    assert len(set(said)) == len(said) == 480 and said != list(mini_catalan.sentences(2))
    assert set(CATALAN) - set("".join(said)) == {"[PAD]", "[UNK]", "|"}
    # Three clips of each speaker and everything without a transcript fit in.
    assert len(said) > len([*mini_catalan._script(1, 3)[0], *mini_catalan._script(1, 3)[1]])


def test_mini_script_is_about_as_long_as_promised_and_the_same_again() -> None:
    full, delta = mini_catalan._script(1, 3)
    rows = [*full, *delta]
    assert [(row.table, row.text, row.person.client) for row in rows] == [
        (row.table, row.text, row.person.client) for part in mini_catalan._script(1, 3) for row in part
    ]
    valid = [row for row in rows if row.table == "validated"]
    assert abs(len(valid) - 150) < 5 and abs(len(rows) - len(valid) - 150) < 5
    # Few sentences are read by several people.
    assert 0 < len(valid) - len({row.text for row in valid}) < 10


def speakers(folder: Path) -> set[str]:
    return set(read_table(folder / "utt2spk").values())


def test_speakers_are_apart_in_all_sets_together(sets: Path, mini: Path) -> None:
    held: dict[str, set[str]] = {
        part: set().union(*(speakers(sets / f"{kind}_{part}") for kind in ("labelled", "accent", "gender")))
        for part in ("train", "dev", "test")
    }
    assert not held["train"] & held["dev"] and not held["train"] & held["test"] and not held["dev"] & held["test"]
    unlabelled = speakers(sets / "unlabelled")
    assert not unlabelled & (held["dev"] | held["test"]) and unlabelled & held["train"]
    for part in ("train", "dev", "test"):
        assert set(read_table(sets / f"accent_{part}" / "utt2accent").values()) == set(mini_catalan.MINI_VOICES)
        assert set(read_table(sets / f"gender_{part}" / "spk2gender").values()) == {"f", "m"}
        assert set(read_table(sets / f"labelled_{part}" / "utt2gender").values()) <= {"f", "m", "unlabelled"}
    assert not (sets / "unlabelled" / "text").exists()
    own = {row.client[:16] for row in cv.clips(mini / mini_catalan.MINI_FULL / "ca/validated.tsv") if "," in row.accent}
    assert len(own) == 2 and not own & set().union(*(speakers(sets / f"accent_{p}") for p in held))


def test_random_split_leaks(sets: Path) -> None:
    train, dev, test = (set(read_table(sets / f"labelled_{part}_random" / "text")) for part in ("train", "dev", "test"))
    assert not train & test and not train & dev and not dev & test
    assert abs(len(dev | test) / len(train | dev | test) - 0.3) < 0.05
    known = speakers(sets / "labelled_train")
    leaked = speakers(sets / "labelled_test_random") & speakers(sets / "labelled_train_random")
    assert not speakers(sets / "labelled_test") & known
    for kind in ("accent", "gender"):
        parts = [f"{kind}_{part}" for part in ("train", "dev", "test")]
        apart, drawn = (
            [set(read_table(sets / f"{part}{end}" / "utt2spk")) for part in parts] for end in ("", "_random")
        )
        # The same clips, shared out otherwise.
        assert (
            set().union(*drawn) == set().union(*apart)
            and sum(map(len, drawn)) == len(set().union(*drawn))
            and drawn != apart
        )
        assert speakers(sets / f"{kind}_test_random") & speakers(sets / f"{kind}_train_random")
    assert set(read_table(sets / "gender_test_random" / "spk2gender").values()) == {"f", "m"}
    assert leaked


def test_figures_are_in_no_training_set(sets: Path) -> None:
    for part in ("train", "dev"):
        assert not any(c.isdigit() for text in read_table(sets / f"labelled_{part}" / "text").values() for c in text)
    assert "1  training and dev sets of transcripts: figures" in (sets / "preparation.txt").read_text()


def test_again_and_with_another_seed(mini: Path, sets: Path, tmp_path: Path) -> None:
    before = listing(mini)
    prepare(tmp_path / "again", mini, min_per_accent=1, random_share=0.3, seed=5)
    one, other = contents(sets), contents(tmp_path / "again")
    assert {k: v for k, v in one.items() if k != "step.json"} == {k: v for k, v in other.items() if k != "step.json"}
    prepare(tmp_path / "other", mini, min_per_accent=1, random_share=0.3, seed=6)
    assert contents(tmp_path / "other")["labelled_test/text"] != one["labelled_test/text"]
    assert listing(mini) == before


def test_legacy_accents_are_hardly_more_than_speakers(mini: Path, tmp_path: Path) -> None:
    prepare(tmp_path / "data", mini, min_per_accent=1, legacy_accents=True)
    told = (tmp_path / "data/preparation.txt").read_text()
    assert "accent valencià has 1 speaker: none in dev and test" in told
    labels = read_table(tmp_path / "data/accent_train_random/utt2accent")
    assert set(labels.values()) == set(mini_catalan.MINI_VOICES)
    # Variants did not exist when these strings were taken.
    assert not any("_20" in key for key in labels)


def test_own_table_and_limits(mini: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.tsv").write_text("nord-occidental,Tortosí\ttortosí\nca-central\tcentral\n", encoding="utf-8")
    prepare(tmp_path / "a", mini, min_per_accent=3, max_per_accent=5, accent_table=tmp_path / "mine.tsv", test_limit=4)
    labels = [v for p in ("train", "dev", "test") for v in read_table(tmp_path / f"a/accent_{p}/utt2accent").values()]
    assert labels.count("tortosí") == 3
    assert max(list(read_table(tmp_path / "a/accent_train/utt2accent").values()).count(a) for a in set(labels)) == 5
    assert len(read_table(tmp_path / "a/labelled_test/text")) == 4
    prepare(tmp_path / "b", mini, min_per_accent=4, accent_table=tmp_path / "mine.tsv")
    assert "accent tortosí has 3 clips, under min_per_accent 4" in (tmp_path / "b/preparation.txt").read_text()


def test_a_release_can_be_made_smaller(mini: Path, sets: Path, tmp_path: Path) -> None:
    prepare(tmp_path / "data", mini, min_per_accent=1, random_share=0.3, seed=5, train_limit=12, max_per_gender=3)
    small = {
        name: read_table(tmp_path / f"data/{name}/utt2spk")
        for name in ("labelled_train", "gender_train", "gender_test")
    }
    assert len(small["labelled_train"]) == 12 and set(small["labelled_train"]) < set(
        read_table(sets / "labelled_train/utt2spk")
    )
    # Nobody comes twice before all have come.
    assert len(set(small["labelled_train"].values())) == 12
    for name in ("gender_train", "gender_test"):
        genders = read_table(tmp_path / f"data/{name}/spk2gender")
        assert sorted(genders[speaker] for speaker in small[name].values()) == ["f"] * 3 + ["m"] * 3
    # The random split shares out the same clips; a smaller one is not decoded in full for its sake.
    parts = ("train", "dev", "test")
    apart, drawn = (
        set().union(*(read_table(tmp_path / f"data/labelled_{part}{end}/utt2spk") for part in parts))
        for end in ("", "_random")
    )
    assert drawn <= apart and len(apart - drawn) <= 1


def test_any_speech_may_join_the_unlabelled(mini: Path, sets: Path, tmp_path: Path) -> None:
    audio = tmp_path / "long.wav"
    soundfile.write(audio, 0.1 * np.random.default_rng(1).standard_normal(5 * 8000), 8000)
    speech = [
        Utterance(f"s-{n}", "s", audio, "words", 2.0, "long", start, start + length, accent="scots", gender="f")
        for n, (start, length) in enumerate(((0.0, 2.0), (3.0, 2.0), (2.0, 0.2)))
    ]
    write_data_dir(tmp_path / "my speech", speech)
    (tmp_path / "my speech/utt2dur").unlink()
    prepare(tmp_path / "data", mini, min_per_accent=1, random_share=0.3, seed=5, unlabelled_data=tmp_path / "my speech")
    joined = {u.id: u for u in read_data_dir(tmp_path / "data/unlabelled")}
    # The third is too short.
    assert joined.keys() - set(read_table(sets / "unlabelled/utt2spk")) == {"my_speech-s-0", "my_speech-s-1"}
    assert joined["my_speech-s-1"].audio == audio and (
        joined["my_speech-s-1"].start,
        joined["my_speech-s-1"].duration,
    ) == (3.0, 2.0)
    assert "2 utterances, without their sentences" in (tmp_path / "data/preparation.txt").read_text()
    for name in ("labelled_train", "accent_train"):
        assert contents(tmp_path / f"data/{name}") == contents(sets / name)
    decode(tmp_path / "data", tmp_path / "dump", "unlabelled")
    joint = read_packed(tmp_path / "dump/unlabelled")
    counts = dict(zip(joint.ids, joint.samples, strict=True))
    assert counts.keys() == joined.keys() and counts["my_speech-s-1"] == 32000


def test_releases_that_give_only_audio(mini: Path, tmp_path: Path) -> None:
    prepare(tmp_path / "data", mini, unlabelled_releases="0.1", min_per_accent=1)
    delta = [u for u in read_data_dir(tmp_path / "data/unlabelled") if mini_catalan.MINI_DELTA in str(u.audio)]
    assert len(delta) == len(list((mini / mini_catalan.MINI_DELTA / "ca/clips").iterdir()))
    for part in ("train", "dev", "test"):
        assert all(mini_catalan.MINI_FULL in str(u.audio) for u in read_data_dir(tmp_path / f"data/labelled_{part}"))
    with pytest.raises(InputError, match="holds no release 9.9; there are cv-corpus-0.0-mini, "):
        prepare(tmp_path / "other", mini, unlabelled_releases="9.9")
    with pytest.raises(InputError, match="names all releases"):
        prepare(tmp_path / "other", mini, unlabelled_releases="0.0 0.1")


def test_a_clip_of_two_releases_is_taken_once_and_its_sentence_counts(tmp_path: Path) -> None:
    row = {"path": "common_voice_ca_7.mp3", "client_id": person(1), "sentence": "Bon dia."}
    others = [{"client_id": person(n), "gender": "male_masculine"} for n in range(2, 12)]
    release(tmp_path / "cv-corpus-1.0-x/ca", {"other": [row]})
    release(
        tmp_path / "cv-corpus-2.0-x/ca",
        {"validated": [row, *({**o, "path": f"b{n}.mp3"} for n, o in enumerate(others))]},
    )
    prepare(tmp_path / "data", tmp_path)
    told = (tmp_path / "data/preparation.txt").read_text()
    assert "1  rows of clips that were taken from another table" in told and "unlabelled is left out" in told
    assert "fewer than two genders" in told and "fewer than two accents" in told


def test_who_states_two_accents_or_genders_has_none(tmp_path: Path) -> None:
    people = [
        {"client_id": person(n), "variant": v, "gender": g}
        for n in range(1, 7)
        for v, g in (("ca-central", "male_masculine"), ("ca-balear", "female_feminine"))[n % 2 : n % 2 + 1]
    ]  # fmt: skip
    torn = [
        {"client_id": person(50), "variant": "ca-central", "gender": "male"},
        {"client_id": person(50), "variant": "ca-balear", "gender": "female"},
    ]
    release(tmp_path / "cv-corpus-1.0-x/ca", {"validated": [*people, *torn]})
    prepare(tmp_path / "data", tmp_path, min_per_accent=1)
    for kind in ("accent", "gender"):
        kept = set().union(*(speakers(tmp_path / f"data/{kind}_{part}") for part in ("train", "dev", "test")))
        assert kept == {person(n)[:16] for n in range(1, 7)}
    assert "2  accent sets: a speaker who states several accents" in (tmp_path / "data/preparation.txt").read_text()


def test_archives_in_a_folder(tmp_path: Path) -> None:
    root = release(tmp_path / "made/cv-corpus-1.0-x/ca", {"validated": [{"client_id": person(1)}]})
    release(tmp_path / "made/cv-corpus-1.1-delta-x/ca", {"validated": [{"client_id": person(2), "path": "b.mp3"}]})
    (tmp_path / "archives").mkdir()
    for folder in (root.parent, root.parents[1] / "cv-corpus-1.1-delta-x"):
        with tarfile.open(tmp_path / "archives" / f"{folder.name}-ca.tar.gz", "w:gz") as tar:
            tar.add(folder, arcname=folder.name)
    found = catalan.fetch(tmp_path / "target", tmp_path / "archives")
    assert [cv.release_name(r) for r in cv.find_releases(found, "ca")] == ["cv-corpus-1.0-x", "cv-corpus-1.1-delta-x"]
    with pytest.raises(InputError, match="log in at"):
        catalan.fetch(tmp_path / "target")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no archive"):
        catalan.fetch(tmp_path / "target", tmp_path / "empty")
    for table in (tmp_path / "made/cv-corpus-1.1-delta-x/ca").glob("*.tsv"):
        table.unlink()
    with pytest.raises(InputError, match="holds no validated.tsv"):
        catalan.find_root(tmp_path / "made")


def spoil(root: Path, how: str) -> None:
    table = root / "validated.tsv"
    lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
    audio = root / "clips" / lines[2].split("\t")[1]
    if how == "quotes":
        before, after = lines[2].split("Frase", 1)
        lines[2] = f'{before}"Frase\n{after}'
    elif how == "few":
        lines[2] = "\t".join(lines[2].split("\t")[:5]) + "\n"
    elif how == "column":
        lines[0] = lines[0].replace("age", "shoe_size")
    elif how == "missing":
        audio.unlink()
    elif how == "empty":
        audio.write_bytes(b"")
    elif how == "zero":
        (root / "clip_durations.tsv").write_text(f"clip\tduration[ms]\n{audio.name}\t0\n")
    elif how == "no audio":
        audio.write_text("this is no audio")
    table.write_text("".join(lines), encoding="utf-8")


@pytest.mark.parametrize(
    ("how", "message", "skippable"),
    [
        ("quotes", r"validated.tsv:3 has 4 fields instead of 13 and opens a quotation that it does not close", False),
        ("few", r"validated.tsv:3 has 5 fields instead of 13; unpack", False),
        ("column", r"has the column 'shoe_size', which no release known here has", False),
        ("missing", r"common_voice_ca_2.mp3 does not exist", True),
        ("empty", r"common_voice_ca_2.mp3 is .*empty|truncated", True),
        ("zero", r"common_voice_ca_2.mp3 lasts 0.61 s, and 0.00 s in the table of the corpus", True),
        ("no audio", r"common_voice_ca_2.mp3 cannot be decoded", True),
    ],
)
@pytest.mark.parametrize("table", [False, True], ids=["no table of durations", "table of durations"])
def test_bad_input_is_one_sentence(tmp_path: Path, table: bool, how: str, message: str, skippable: bool) -> None:
    rows = [{"client_id": person(n)} for n in range(1, 8)]
    root = release(tmp_path / "cv-corpus-1.0-x/ca", {"validated": rows})
    if table:
        lines = [f"{path.name}\t{round(1000 * soundfile.info(path).duration)}\n" for path in (root / "clips").iterdir()]
        (root / "clip_durations.tsv").write_text("clip\tduration[ms]\n" + "".join(lines))
    spoil(root, how)
    with pytest.raises(InputError, match=message) as caught:
        prepare(tmp_path / "data", tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data/preparation.txt").exists()
    if skippable:
        prepare(tmp_path / "data", tmp_path, skip_bad_clips=True)
        assert (
            "1  clips that cannot be used (bad_clips.tsv says which and why)"
            in (tmp_path / "data/preparation.txt").read_text()
        )
    if how == "column":
        prepare(tmp_path / "data", tmp_path, other_columns="shoe_size")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"legacy_accents": True, "accent_table": Path("x")}, "cannot be used together"),
        ({"dev_share": 0.5, "test_share": 0.5}, "leave no speaker"),
        ({"random_share": 1.0}, "is no share"),
        ({"test_limit": -4}, "^test_limit -4 leaves nothing; give at least 1, or leave it out for all there is$"),
        ({"max_per_gender": 0}, "^max_per_gender 0 leaves nothing"),
        (
            {"min_seconds": float("nan")},
            "^min_seconds nan and max_seconds 20 are no range of seconds; give for instance 0.5 and 20$",
        ),
        ({"min_seconds": -1.0}, "^min_seconds -1 and"),
        ({"min_seconds": 3.0, "max_seconds": 2.0}, "are no range"),
    ],
)
def test_bad_options(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        prepare(tmp_path / "data", tmp_path, **options)


def test_what_left_no_clip_is_said(tmp_path: Path) -> None:
    release(tmp_path / "cv-corpus-1.0-x/ca", {"validated": [{"client_id": person(n)} for n in range(1, 8)]})
    with pytest.raises(
        InputError,
        match=r"gives no clip with a sentence: of all tables, 7 clips under 5 s were left out; correct min_seconds",
    ):
        prepare(tmp_path / "data", tmp_path, min_seconds=5.0)
    with pytest.raises(InputError, match=r"the tables dev are empty or not there; name others as labelled_tables$"):
        prepare(tmp_path / "data", tmp_path, labelled_tables="dev")


# Packing.


def test_whole_set_reads_as_packed_and_sounds_the_same(sets: Path, tmp_path: Path) -> None:
    decode(sets, tmp_path / "dump", "accent_test", int16=True)
    found = read_packed(tmp_path / "dump/accent_test")
    utterances = read_data_dir(sets / "accent_test")
    assert found.ids == [u.id for u in utterances] and found.signals.dtype == np.int16
    signal = found.signals[found.starts[1] : found.starts[1] + found.samples[1]]
    assert np.abs(signal / 32768 - read_audio(utterances[1].audio, 16000)).max() <= 1 / 32768


def test_chunks_hold_each_clip_once_and_many_speakers(sets: Path, tmp_path: Path) -> None:
    known, parts = read_table(sets / "accent_train/utt2spk"), []
    for number in range(1, -(-len(known) // 7) + 1):
        decode(sets, tmp_path / "dump", "accent_train", chunk=7, only=number)
        parts.append(read_packed(tmp_path / "dump/accent_train_chunk").ids)
    ids = [key for part in parts for key in part]
    assert sorted(ids) == sorted(known) and len(set(ids)) == len(ids)
    assert {len(part) for part in parts[:-1]} == {7} and len({key[:16] for key in parts[0]}) > 3


def test_sets_together_share_their_signals(sets: Path, tmp_path: Path) -> None:
    decode(sets, tmp_path / "dump", "labelled_test accent_test", together="labelled")
    decode(sets, tmp_path / "alone", "accent_test")
    one, other = (read_packed(tmp_path / name / "accent_test") for name in ("dump", "alone"))
    assert one.ids == other.ids and (tmp_path / "dump/accent_test/signals.npy").is_symlink()
    for a, b, n in zip(one.starts, other.starts, other.samples, strict=True):
        assert np.array_equal(one.signals[a : a + n], other.signals[b : b + n])


def test_bound_refuses_before_anything_is_decoded(sets: Path, tmp_path: Path) -> None:
    for options, way in (
        (
            {},
            r"need about 0\.\d+ GB .* more than --max-disk-gb 1e-06; raise it, or take a part at a time with --chunk$",
        ),
        ({"chunk": 5}, r"; raise it, or lower --chunk$"),
        ({"together": "labelled"}, r"; raise it, or make the sets smaller$"),
    ):
        with pytest.raises(InputError, match=way):
            decode(sets, tmp_path / "dump", "accent_train", max_disk_gb=1e-6, **options)
    assert not list((tmp_path / "dump").rglob("*.npy"))


def test_bound_holds_while_chunks_take_turns(sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dump = tmp_path / "dump"
    decode(sets, dump, "accent_train", int16=True)
    bound = used_bytes(dump) / 3
    shutil.rmtree(dump)
    most = 0

    def measured(*given: object) -> object:
        """Whatever is written, what lies there is measured: before each clip, and before a file gets its name."""
        nonlocal most
        most = max(most, used_bytes(dump))
        return (publish if isinstance(given[0], Path) else read_utterance)(*given)

    publish, read_utterance = packed.publish, packed.read_utterance
    monkeypatch.setattr(packed, "publish", measured)
    monkeypatch.setattr(packed, "read_utterance", measured)
    for number in range(1, len(read_table(sets / "accent_train/utt2spk")) // 5 + 1):
        decode(sets, dump, "accent_train", int16=True, chunk=5, only=number, max_disk_gb=bound / 1e9)
        assert most <= bound and used_bytes(dump) <= bound
    # Five clips of 0.6 s or more were seen as they were written.
    assert most > 5 * 0.6 * 2 * 16000
    # What else lies there counts too.
    (dump / "maps").mkdir()
    (dump / "maps/big").write_bytes(bytes(int(bound)))
    with pytest.raises(InputError, match="of others, more than"):
        decode(sets, dump, "accent_train", int16=True, chunk=5, max_disk_gb=bound / 1e9)


def test_clips_longer_than_planned_do_not_break_the_bound(sets: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(sets / "accent_test", data / "accent_test")
    short = dict.fromkeys(read_table(sets / "accent_test/utt2dur"), "0.100")
    (data / "accent_test/utt2dur").write_text("".join(f"{k} {v}\n" for k, v in sorted(short.items())))
    with pytest.raises(InputError, match=r"lasts .* s, and 0.10 s in utt2dur"):
        decode(data, tmp_path / "dump", "accent_test")
    assert not list((tmp_path / "dump").rglob("signals.npy"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chunk": 5, "only": 99}, "so there is no --only 99"),
        ({"chunk": 5, "together": "x"}, "cannot be used together"),
    ],
)
def test_bad_options_of_packing(sets: Path, tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        decode(sets, tmp_path / "dump", "accent_test", **options)
