"""The Persian recipe's corpora and sets: mini Common Voice, splits by recording and speaker, leakage."""

import re
import shutil
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from corpora_helpers import program
from hypothesis import given, settings
from hypothesis import strategies as st

from salience.corpora import common_voice, common_voice_persian, digits, pdid
from salience.corpora.splits import groups_of
from salience.corpora.synthetic import common_voice as mini_common_voice
from salience.corpora.synthetic import common_voice_persian as mini_persian
from salience.corpora.synthetic import persian, voices
from salience.corpora.synthetic.espeak import speak
from salience.data.normalisers import normaliser
from salience.data.tables import read_table, write_table
from salience.errors import InputError

prepare = program("egs/cv_fa_pdid/local/prepare_sets.py")
check_leakage = program("local/check_leakage.py").check_leakage

SETS = ("cls_train", "cls_dev", "cls_test", "asr_train", "asr_dev", "standard", "accented")


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """A mini release, smaller than the recipe's."""
    root = tmp_path_factory.mktemp("cv") / "cv-corpus-0.0-mini" / "fa"
    patch = pytest.MonkeyPatch()
    patch.setattr(mini_persian, "MINI_SIZES", {"train": (3, 4), "dev": (2, 2), "test": (2, 9)})
    mini_persian.synthesise(root, seed=1)
    patch.undo()
    return root


def clip(accent, recording, speaker, number, text="یک دو", split=""):
    return pdid.Clip(
        utt=f"{speaker}-{number:04d}", path=f"{accent}/{speaker}-{number:04d}.wav", accent=accent, recording=recording,
        start=5.0 * number, end=5.0 * number + 4, speaker=speaker, loudness=-23.0, snr=30.0, music=0.0, text=text,
        split=split,
    )  # fmt: skip


def corpus(root, clips):
    """A PDID of short noises; returns its root."""
    for one in clips:
        (root / one.path).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / one.path, np.zeros(1600 * 4, dtype=np.int16), 16000, subtype="PCM_16")
    pdid.write_metadata(root, clips)
    return root


def dialects():
    """Three accents to learn in four recordings each, with two speakers in some; two for testing alone."""
    clips = []
    for accent in ("Isfahani", "Lori", "Yazdi"):
        for recording in range(4):
            for speaker in range(1 + recording % 2):
                name = f"{accent.lower()}_r{recording}"
                clips += [clip(accent, name, f"{name}_s{speaker}", number) for number in range(3)]
    for accent in ("Tajiki", "Balochi"):
        clips += [clip(accent, f"{accent.lower()}_r0", f"{accent.lower()}_r0_s0", number) for number in range(2)]
    return clips


def places(out, table):
    """What a table names to the kinds of sets (train, dev, test) that it is in."""
    kinds = {"cls_train": "train", "asr_train": "train", "cls_dev": "dev", "asr_dev": "dev"}
    found = defaultdict(set)
    for name in SETS:
        if (out / name).exists():
            for value in read_table(out / name / table).values():
                found[value].add(kinds.get(name, "test"))
    return found


def test_mini_release_is_what_the_reader_expects(release):
    assert common_voice_persian.find_root(release.parent.parent) == release
    sets = {name: list(common_voice.utterances(release, name)) for name in ("train", "dev", "test")}
    assert {name: len(found) for name, found in sets.items()} == {"train": 12, "dev": 4, "test": 18}
    speakers = [{u.speaker for u in found} for found in sets.values()]
    assert [len(found) for found in speakers] == [3, 2, 2] and len(set.union(*speakers)) == 7
    normalise, _ = normaliser("persian")
    said = {name: {normalise(u.text) for u in found} for name, found in sets.items()}
    assert not said["train"] & said["test"] and not said["train"] & said["dev"] and not said["dev"] & said["test"]
    assert set(" ".join(set.union(*said.values())).split()) <= set(persian.WORDS)
    for utterance in sets["test"]:
        assert utterance.language == "fa" and utterance.audio.suffix == ".mp3" and utterance.gender in ("m", "f")
        assert 0.3 < utterance.duration < 8 and abs(soundfile.info(utterance.audio).duration - utterance.duration) < 0.1
    # Other people's clips are in no list.
    others = {c.client for name in ("other", "invalidated") for c in common_voice.clips(release / f"{name}.tsv")}
    listed = {c.client for name in ("train", "dev", "test") for c in common_voice.clips(release / f"{name}.tsv")}
    assert len(others) == 2 and not others & listed
    assert "not Common Voice" in (release / "SYNTHETIC.txt").read_text()


def test_sentences_are_typed_as_people_type():
    normalise, _ = normaliser("persian")
    text = "یک سه شش چهار"
    typed = {mini_persian.as_in_print(text, number) for number in range(18)}
    assert len(typed) == 7 and {normalise(one) for one in typed} == {text}
    assert sum(mini_persian.as_in_print(text, n) == text for n in range(18)) == 12


@pytest.mark.parametrize("columns", [
    ("client_id", "path", "sentence", "up_votes", "down_votes", "age", "gender", "accent"),
    ("client_id", "path", "sentence", "up_votes", "down_votes", "age", "gender", "accents", "locale", "segment"),
    ("client_id", "path", "sentence", "up_votes", "down_votes", "age", "gender", "accents", "variant", "locale",
     "segment"),
    mini_common_voice.COLUMNS,
])  # fmt: skip
def test_all_generations_of_columns_are_read(release, tmp_path, columns):
    root = tmp_path / "fa"
    root.mkdir()
    (root / "clips").symlink_to(release / "clips")
    for name in ("validated", "train", "dev", "test"):
        header, *rows = ((line.split("\t")) for line in (release / f"{name}.tsv").read_text().splitlines())
        lines = ["\t".join(dict(zip(header, row)).get(column, "") for column in columns) for row in rows]
        (root / f"{name}.tsv").write_text("\n".join(["\t".join(columns), *lines]) + "\n")
    expected, found = list(common_voice.utterances(release, "test")), list(common_voice.utterances(root, "test"))
    assert [(u.id, u.text, u.gender) for u in found] == [(u.id, u.text, u.gender) for u in expected]
    # Without a table of durations, they come from the files.
    assert all(abs(a.duration - b.duration) < 0.1 for a, b in zip(found, expected, strict=True))


def test_a_delta_segment_is_split_by_speaker(release, tmp_path):
    delta = tmp_path / "fa"
    delta.mkdir()
    (delta / "clips").symlink_to(release / "clips")
    shutil.copy(release / "validated.tsv", delta)
    shutil.copy(release / "other.tsv", delta)
    prepare.main(tmp_path / "data", tmp_path, seed=4)
    sets = {name: read_table(tmp_path / "data" / name / "utt2spk") for name in ("asr_train", "asr_dev", "standard")}
    assert sum(map(len, sets.values())) == 34 and [len(set(s.values())) for s in sets.values()] == [5, 1, 1]
    assert len(set().union(*(s.values() for s in sets.values()))) == 7
    told = (tmp_path / "data/preparation.txt").read_text()
    assert f"{delta} has no train.tsv, dev.tsv and test.tsv, like a delta segment" in told
    assert "the clips of validated.tsv were split by speaker" in told
    assert "disjoint speakers" in leakage(tmp_path / "data")
    prepare.main(tmp_path / "more", tmp_path, labelled_tables="validated other", seed=4)
    every = {s for name in sets for s in read_table(tmp_path / "more" / name / "utt2spk").values()}
    told = (tmp_path / "more/preparation.txt").read_text()
    assert len(every) == 8 and "of validated.tsv and other.tsv were split" in told
    shutil.copy(release / "test.tsv", delta)
    with pytest.raises(InputError, match="fa has no train.tsv, but others of .*; complete them, or remove them all"):
        prepare.main(tmp_path / "data", tmp_path)


def test_a_delta_segment_teaches_no_tested_sentence_and_no_voice_too_often(release, tmp_path):
    delta = tmp_path / "fa"
    delta.mkdir()
    (delta / "clips").symlink_to(release / "clips")
    # Half of the clips are read once more, by another speaker.
    header, *lines = (release / "validated.tsv").read_text().splitlines()
    speaker = header.split("\t").index("client_id")
    speakers = sorted({line.split("\t")[speaker] for line in lines})
    again = {one: speakers[(n + 1) % len(speakers)] for n, one in enumerate(speakers)}
    clips, path = {}, header.split("\t").index("path")
    for line in lines[::2]:
        cells = line.split("\t")
        cells[speaker], clips[f"again_{cells[path]}"] = again[cells[speaker]], cells[path]
        lines.append("\t".join([*cells[:path], f"again_{cells[path]}", *cells[path + 1 :]]))
    (delta / "clips").unlink()
    (delta / "clips").mkdir()
    for one in (release / "clips").iterdir():
        (delta / "clips" / one.name).symlink_to(one)
    for new, old in clips.items():
        (delta / "clips" / new).symlink_to(release / "clips" / old)
    (delta / "validated.tsv").write_text("\n".join([header, *lines]) + "\n")
    prepare.main(tmp_path / "data", tmp_path, test_share=0.4, max_clips=2, seed=4)
    sets = {name: tmp_path / "data" / name for name in ("asr_train", "asr_dev", "standard")}
    texts = {name: set(read_table(folder / "text").values()) for name, folder in sets.items()}
    assert not texts["standard"] & (texts["asr_train"] | texts["asr_dev"]) and not texts["asr_train"] & texts["asr_dev"]
    spoken = Counter(read_table(sets["asr_train"] / "utt2spk").values())
    assert max(spoken.values()) == 2 and len(set(read_table(sets["standard"] / "utt2spk").values())) > 1
    told = (tmp_path / "data/preparation.txt").read_text()
    assert "clips of a speaker beyond 2" in told and "whose sentence is in a test set" in told
    with pytest.raises(InputError, match="--test-share 1 is not between 0 and 1"):
        prepare.main(tmp_path / "data", tmp_path, test_share=1.0)
    with pytest.raises(InputError, match="--max-clips 0 leaves no clip in training"):
        prepare.main(tmp_path / "data", tmp_path, max_clips=0)


def test_speakers_of_the_pretraining_are_in_no_mini_corpus():
    assert not voices.PRETRAINING_VARIANTS.keys() & voices.MINI_VARIANTS.keys()


def test_voices_read_every_digit():
    """No voice falls silent, or into spelling out letters, at a word."""
    cast = [
        voices.cast([voice], 1, 0, name)[0]
        for name, voice in [
            ("a", persian.STANDARD[0]),
            ("b", persian.STANDARD[1]),
            *persian.SEEN.items(),
            *persian.UNSEEN.items(),
        ]
    ]
    lengths = [len(x) / 16000 for x in speak([speaker.line(word) for speaker in cast for word in persian.WORDS])]
    assert min(lengths) > 0.15 and max(lengths) < 1.5


def test_sentences_of_the_three_kinds_differ():
    kinds = (digits.TRAIN, digits.DEV, digits.TEST)
    said = [{text for text, _ in zip(persian.sentences(kind, 1), range(200))} for kind in kinds]
    assert (
        [len(texts) for texts in said] == [200] * 3
        and not said[0] & said[1]
        and not said[0] & said[2]
        and not said[1] & said[2]
    )


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("12345678"))))
def test_groups_are_the_connected_ones(heard):
    group = groups_of(heard)
    assert group.keys() == {speaker for speaker, _ in heard}
    # Reference: grow from each speaker until nothing is added.
    for start in group:
        mine, rooms = {start}, set()
        while True:
            rooms_now = {room for speaker, room in heard if speaker in mine}
            mine_now = {speaker for speaker, room in heard if room in rooms_now}
            if (mine_now, rooms_now) == (mine, rooms):
                break
            mine, rooms = mine_now, rooms_now
        assert {speaker for speaker in group if group[speaker] == group[start]} == mine
        assert group[start] == min(mine)


def test_sets_of_both_corpora(release, tmp_path):
    root = corpus(tmp_path / "pdid", dialects())
    prepare.main(tmp_path / "data", release, root, standard_train=6, standard_dev=3, standard_test=4, seed=3)
    accents = {name: set(read_table(tmp_path / "data" / name / "utt2accent").values()) for name in SETS}
    seen = {"Isfahani", "Lori", "Yazdi"}
    assert accents["cls_train"] == accents["cls_test"] == seen | {"Standard"} and accents["cls_dev"] <= seen | {
        "Standard"
    }
    assert accents["asr_train"] == accents["asr_dev"] == accents["standard"] == {"Standard"}
    assert accents["accented"] == seen | {"Tajiki", "Balochi"}
    for table in ("utt2spk", "utt2recording"):
        assert all(len(kinds) == 1 for kinds in places(tmp_path / "data", table).values())
    # A recording with two speakers went somewhere as a whole.
    assert {"isfahani_r1", "lori_r1"} <= places(tmp_path / "data", "utt2recording").keys()
    counts = [
        list(read_table(tmp_path / "data" / name / "utt2accent").values()).count("Standard")
        for name in ("cls_train", "cls_dev", "cls_test")
    ]
    assert counts == [6, 3, 4]
    text = (tmp_path / "data/preparation.txt").read_text()
    assert "split was drawn by recording and speaker" in text and "accented" in text


def test_a_speaker_of_two_recordings_keeps_them_together(tmp_path, release):
    clips = [
        (
            replace(c, speaker="guest", utt=f"guest-{c.utt}", path=f"{c.accent}/guest-{c.utt}.wav")
            if c.utt.endswith("s0-0000") and c.accent == "Lori"
            else c
        )
        for c in dialects()
    ]
    root = corpus(tmp_path / "pdid", clips)
    prepare.main(tmp_path / "data", release, root, seed=1)
    found = places(tmp_path / "data", "utt2recording")
    assert len(set.union(*(found[f"lori_r{number}"] for number in range(4)))) == 1


def test_standard_may_be_left_out_of_the_classifier(tmp_path, release):
    prepare.main(tmp_path / "data", release, corpus(tmp_path / "pdid", dialects()), standard_train=0)
    for name in ("cls_train", "cls_dev", "cls_test"):
        assert set(read_table(tmp_path / "data" / name / "utt2accent").values()) <= {"Isfahani", "Lori", "Yazdi"}


def test_one_corpus_alone_makes_its_sets(tmp_path, release):
    prepare.main(tmp_path / "cv", release)
    assert {p.name for p in (tmp_path / "cv").iterdir() if p.is_dir()} == {"asr_train", "asr_dev", "standard"}
    prepare.main(tmp_path / "pd", pdid=corpus(tmp_path / "pdid", dialects()))
    assert {p.name for p in (tmp_path / "pd").iterdir() if p.is_dir()} == {
        "cls_train",
        "cls_dev",
        "cls_test",
        "accented",
    }
    assert "asr_train is left out" in (tmp_path / "pd/preparation.txt").read_text()


def test_clips_without_text_are_heard_by_the_classifier_alone(tmp_path, release):
    clips = [replace(c, text="" if c.utt.endswith("0") else c.text) for c in dialects()]
    prepare.main(tmp_path / "data", release, corpus(tmp_path / "pdid", clips), asr_train_accents=True)
    assert all(not key.endswith("0") for key in read_table(tmp_path / "data/accented/text"))
    learnt = [key for key, accent in read_table(tmp_path / "data/asr_train/utt2accent").items() if accent != "Standard"]
    assert learnt and all(not key.endswith("0") for key in learnt)
    assert any(key.endswith("0000") for key in read_table(tmp_path / "data/cls_train/utt2spk"))
    assert "without text, for the recogniser" in (tmp_path / "data/preparation.txt").read_text()


def test_control_characters_are_taken_out_of_texts(tmp_path, release):
    clips = [replace(c, text="\ufeffمی\u200cروم\u0007 خانه\u200f") for c in dialects()]
    prepare.main(tmp_path / "data", release, corpus(tmp_path / "pdid", clips))
    assert set(read_table(tmp_path / "data/accented/text").values()) == {"می\u200cروم خانه\u200f"}


def test_training_on_accents_needs_transcripts(tmp_path, release):
    root = corpus(tmp_path / "pdid", [replace(c, text="") for c in dialects()])
    with pytest.raises(
        InputError, match="needs PDID's transcripts, and no training clip has one; fill the column text"
    ):
        prepare.main(tmp_path / "data", release, root, asr_train_accents=True)
    assert not (tmp_path / "data/asr_train").exists()


def given_split(clips):
    return [
        replace(
            c,
            split=(
                "test" if c.accent in ("Tajiki", "Balochi") else ("train", "train", "dev", "test")[int(c.recording[-1])]
            ),
        )
        for c in clips
    ]


def test_the_split_of_the_metadata_is_kept(tmp_path, release):
    clips = given_split(dialects())
    prepare.main(tmp_path / "data", release, corpus(tmp_path / "pdid", clips))
    assert {c.utt for c in clips if c.split == "test"} == read_table(tmp_path / "data/accented/utt2spk").keys()
    assert "the split is that of metadata.tsv" in (tmp_path / "data/preparation.txt").read_text()


@pytest.mark.parametrize(("change", "words"), [
    (lambda clips: [replace(clips[0], split=""), *clips[1:]],
     "has a split for .* and none for isfahani_r0_s0-0000; give one for all clips or for none"),
    (lambda clips: [replace(c, split="train") if c.accent == "Tajiki" else c for c in clips],
     "has tajiki_r0_s0-0000 in train, but Tajiki is for testing alone"),
])  # fmt: skip
def test_a_split_that_cannot_be_kept_is_refused(tmp_path, release, change, words):
    root = corpus(tmp_path / "pdid", change(given_split(dialects())))
    with pytest.raises(InputError, match=words):
        prepare.main(tmp_path / "data", release, root)


def test_test_only_accents_are_found_whatever_their_case_and_missed_aloud(tmp_path, release):
    prepare.main(tmp_path / "data", release, corpus(tmp_path / "pdid", dialects()), test_only="tajiki, BALOCHI,Shirasi")
    accents = {name: set(read_table(tmp_path / "data" / name / "utt2accent").values()) for name in SETS}
    assert {"Tajiki", "Balochi"} <= accents["accented"] and not {"Tajiki", "Balochi"} & (
        accents["cls_train"] | accents["cls_dev"]
    )
    notes = (tmp_path / "data/preparation.txt").read_text()
    assert (
        "- test-only accent Shirasi is not in PDID, which has Balochi, Isfahani, Lori, Tajiki, Yazdi\n" in notes
        and "BALOCHI" not in notes
    )


def test_clips_of_unknown_recordings_are_told(tmp_path, release):
    clips = [replace(c, recording=c.utt) for c in dialects()]
    prepare.main(tmp_path / "data", release, corpus(tmp_path / "pdid", clips))
    assert f"PDID: {len(clips)} clips name no recording" in (tmp_path / "data/preparation.txt").read_text()
    assert "an error" not in leakage(tmp_path / "data")


def leakage(data, **options):
    def folders(names):
        return " ".join(str(data / name) for name in names.split() if (data / name).exists())

    check_leakage(
        folders("cls_train asr_train"), folders("cls_test standard accented"), data / "leakage.md",
        folders("cls_dev asr_dev"),
        **{"forbid_shared_recordings": True, "normaliser": "persian"} | options,
    )  # fmt: skip
    return (data / "leakage.md").read_text()


def test_what_was_drawn_leaks_nothing(tmp_path, release):
    prepare.main(tmp_path / "data", release, corpus(tmp_path / "pdid", dialects()))
    report = leakage(tmp_path / "data")
    # The dialects of this test say one sentence, so only speakers and recordings are judged.
    assert "an error" not in report


def test_a_recording_in_two_sets_is_found(tmp_path, release):
    """A planted crossing: the two speakers of one recording, one to train, one to test."""
    clips = [replace(c, split="test" if c.speaker == "lori_r1_s1" else c.split) for c in given_split(dialects())]
    prepare.main(tmp_path / "data", release, corpus(tmp_path / "pdid", clips))
    with pytest.raises(InputError, match="share the recordings lori_r1; keep all clips of each in one of them"):
        leakage(tmp_path / "data")
    assert re.search(
        r"cls_train and accented .* SHARED RECORDINGS, an error", (tmp_path / "data/leakage.md").read_text()
    )
    # Sets of the same kind may share it.
    assert "cls_test and accented | " in (tmp_path / "data/leakage.md").read_text()


def test_a_speaker_in_two_sets_is_found(tmp_path, release):
    clips = [replace(c, split="dev" if c.utt == "lori_r0_s0-0002" else c.split) for c in given_split(dialects())]
    prepare.main(tmp_path / "data", release, corpus(tmp_path / "pdid", clips))
    with pytest.raises(InputError, match="share the speakers lori_r0_s0"):
        leakage(tmp_path / "data")


def test_sentences_that_are_typed_differently_are_the_same(tmp_path, release):
    prepare.main(tmp_path / "data", release)
    texts = {name: read_table(tmp_path / "data" / name / "text") for name in ("asr_train", "standard")}
    texts["asr_train"][min(texts["asr_train"])] = "كتاب\u200cهاي يك"
    texts["standard"][min(texts["standard"])] = "کتاب هایِ یک؟"
    for name, table in texts.items():
        write_table(tmp_path / "data" / name / "text", table)
    assert "1 (1 of 18 utterances)" in leakage(tmp_path / "data")
    assert "utterances)" not in leakage(tmp_path / "data", normaliser="")
