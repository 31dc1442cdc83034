"""The Speech Accent Archive and speechocean762 in every form that they come in, and the sets of egs/cv_en_saa."""

import dataclasses
import json
import os
import shutil
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import soxr
from accent_helpers import write_set
from corpora_helpers import program, real_data
from scipy.signal import lfilter

from salience.audio import limit_band, write_audio
from salience.corpora import common_voice, speech_accent_archive, speechocean762
from salience.corpora.clips import BadClips
from salience.corpora.labels import read_labels
from salience.corpora.sets import Sets
from salience.corpora.synthetic import speech_accent_archive as mini_archive
from salience.corpora.synthetic import speechocean762 as mini_speechocean
from salience.data.leakage import sentence_key
from salience.errors import InputError

HEADER = "age,age_onset,birthplace,filename,native_language,sex,speakerid,country,file_missing?,,,\n"
PEOPLE = {"arabic": 12, "english": 30, "korean": 5, "swiss german": 3}


def write_clip(path: Path, seconds: float = 0.6) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(1).normal(0, 0.1, round(seconds * 8000))
    write_audio(path, samples, 8000)


@pytest.fixture(scope="module")
def layouts(tmp_path_factory):
    """The same people as folders of wav, and as mp3 with the table of speakers."""
    root = tmp_path_factory.mktemp("archive")
    folders, table = root / "folders", root / "table"
    for place, name in ((folders, "transcript.txt"), (table, "reading-passage.txt")):
        place.mkdir()
        (place / name).write_text("Please call Stella.  Ask her\nto bring these things.\n")
    rows = ['24,12,"koussi, senegal",balanta,balanta,male,788,senegal,TRUE,,,\n'] * 2
    for language, count in PEOPLE.items():
        stem = language.split()[0]
        for number in range(1, count + 1):
            write_clip(folders / f"recordings/{language}/{stem}_{number:03d}.wav")
            write_clip(table / f"recordings/recordings/{stem}{number}.mp3")
            rows.append(f'38,12,"riyadh, saudi arabia",{stem}{number},{language},famale,11,x,FALSE,,,\n')
    (table / "speakers_all.csv").write_text(HEADER + "".join(rows) + ",,,,,,,,,,,\n")
    return folders, table


def sets_of(root: Path) -> Sets:
    sets = Sets(BadClips())
    speech_accent_archive.add_sets(sets, root, "english", ["korean"], 10, 20, 3)
    return sets


def test_both_layouts_of_the_archive_give_the_same_sets(layouts):
    first, second = map(sets_of, layouts)
    members = [{name: [(u.id, u.speaker, u.text, u.accent) for u in own] for name, own in sets.found.items()}
               for sets in (first, second)]  # fmt: skip
    assert members[0] == members[1]
    assert ("arabic001-passage", "arabic001") in {row[:2] for own in members[0].values() for row in own}
    sizes = {name: Counter(u.accent for u in own) for name, own in first.found.items()}
    assert sizes["cls_test"] == {"arabic": 3, "english": 5} and sizes["cls_dev"] == {"arabic": 2, "english": 3}
    assert sizes["cls_train"] == {"arabic": 7, "english": 12} and sizes["saa_unseen"] == {"korean": 5}
    assert first.excluded["speakers of english in the Speech Accent Archive beyond 20"] == 10
    assert first.excluded["speakers of first languages with fewer than 10 in the Speech Accent Archive"] == 3
    assert second.excluded["rows of speakers_all.csv whose recording is missing"] == 2


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('1,2,"x, y",arabic1,arabic,male,1,x,FALSE,,,\n', "speakers_all.csv:55 names arabic1 a second time"),
        ('1,2,"x, y",arabic99,arabic,male,1,x,maybe,,,\n', "speakers_all.csv:55 has 'MAYBE' for file_missing?"),
        ('1,2,"x, y",arabic99,arabic,male,1,x,FALSE\n', "speakers_all.csv:55 has 9 fields instead of 12"),
        ('1,2,"x, y",arabic,arabic,male,1,x,FALSE,,,\n', "is not named <language><number>.mp3"),
        ('1,2,"x, y",arabic99,arabic,male,1,x,FALSE,,,\n', "arabic99.mp3 does not exist"),
    ],
)
def test_odd_rows_of_the_table_of_speakers(layouts, tmp_path, row, said):
    root = tmp_path / "table"
    shutil.copytree(layouts[1], root, copy_function=os.link)
    text = (root / "speakers_all.csv").read_text()
    (root / "speakers_all.csv").unlink()
    (root / "speakers_all.csv").write_text(text + row)
    with pytest.raises(InputError) as error:
        list(speech_accent_archive.utterances(root))
    assert said in str(error.value)


def test_who_is_not_in_the_table_is_left_out_and_counted(layouts, tmp_path):
    root = tmp_path / "table"
    shutil.copytree(layouts[1], root, copy_function=os.link)
    write_clip(root / "recordings/arabic77.mp3")
    excluded: Counter[str] = Counter()
    assert len(list(speech_accent_archive.utterances(root, excluded))) == sum(PEOPLE.values())
    assert excluded["recordings of the Speech Accent Archive that speakers_all.csv does not name"] == 1


def test_the_published_tables_of_speechocean762(tmp_path):
    tables = real_data("speechocean762_tables")
    for part in ("train", "test"):
        shutil.copytree(tables / part, tmp_path / part)
    (tmp_path / "WAVE").mkdir()

    class Unmeasured(BadClips):
        def usable(self, utterances, told=None, measure=None):
            return list(utterances)

    found = list(speechocean762.utterances(tmp_path, bad=Unmeasured()))
    assert len(found) == 5000 and len({u.speaker for u in found}) == 250
    one = next(u for u in found if u.id == "so0003-000030012")
    assert (one.text, one.gender, one.accent, one.split) == ("MARK IS GOING TO SEE ELEPHANT", "m", "child", "test")
    assert one.audio == tmp_path / "WAVE/SPEAKER0003/000030012.WAV"
    people = {u.speaker: u.accent for u in found if u.split == "test"}
    assert Counter(people.values()) == {"child": 64, "adult": 61}
    assert not {u.speaker for u in found if u.split == "train"} & people.keys()


def test_the_filter_leaves_nothing_above_the_band_and_all_below():
    time = np.arange(32000) / 16000
    tones = {hertz: np.sin(2 * np.pi * hertz * time) for hertz in (100, 1000, 3390, 3610, 3900, 5000)}
    left = {hertz: np.std(limit_band(tone, 16000, 4000)[2000:-2000]) / np.std(tone) for hertz, tone in tones.items()}
    assert all(abs(left[hertz] - 1) < 1e-3 for hertz in (100, 1000, 3390)), left
    assert all(left[hertz] < 2e-5 for hertz in (3610, 3900, 5000)), left
    # Without delay: what comes out lies on what went in.
    assert np.abs(limit_band(tones[1000], 16000, 4000) - tones[1000])[2000:-2000].max() < 1e-3


def corpora_told_apart(tmp_path: Path, bandwidth: float | None) -> dict[str, float]:
    """Two corpora of the same noise, of which one is a copy at 8 kHz; what the control makes of them, in percent."""
    for name, rate in (("wide", 16000), ("copy", 8000)):
        audio = {}
        for number in range(40):
            random = np.random.default_rng([number, rate])
            samples = lfilter([1], [1, -0.9], random.normal(0, 0.02, 16000)) * random.uniform(0.3, 1)
            audio[f"{name}{number // 4:02d}-{number:02d}"] = soxr.resample(samples, 16000, rate)
        write_set(tmp_path, name, audio, accents=["none"], rate=rate)
    data, dump = tmp_path / "data", tmp_path / "dump"
    program("local/extract_features.py").extract_features(data, "wide copy", dump, bandwidth=bandwidth)
    for name in ("wide", "copy"):
        shutil.copy(dump / name / "feats.1.scp", dump / name / "feats.scp")
    program("local/compare_corpora.py").compare_corpora(data, dump, "wide:none copy", tmp_path / "out")
    return {
        measure: json.loads((tmp_path / f"out/{measure}-of-utterances.corpora.json").read_text())["accuracy"]
        for measure in ("spectrum", "statistics")
    }


def test_the_control_finds_a_planted_shortcut_of_bandwidth_and_the_option_removes_it(tmp_path):
    without = corpora_told_apart(tmp_path / "without", None)
    limited = corpora_told_apart(tmp_path / "limited", 4000)
    assert min(without.values()) > 95, without
    assert max(limited.values()) < 70, limited


def test_no_speaker_and_no_sentence_of_a_test_is_in_training_on_real_tables():
    root = common_voice.find_root(real_data("common_voice_6.1_sample") / "en")
    labels = read_labels(common_voice.COMMON_ACCENT_TABLE)
    of = {}
    for asked in (["us", "canada"], ["us", "canada", "england", "unlabelled"]):
        sets = Sets(BadClips())
        common_voice.add_accent_sets(sets, root, labels, ("us", "canada"), asked, 40, 1)
        # A sentence of a test, planted in the training set.
        sets.found["asr_train"].append(
            dataclasses.replace(sets.found["asr_train"][0], text=f"  {sets.found['standard'][0].text.upper()}!")
        )
        sets.keep_sentences_apart(("asr_train", "asr_dev"), ("standard", "accented"))
        assert sum(count for why, count in sets.excluded.items() if "whose sentence is in a test" in why) >= 1
        for first, second in combinations(("asr_train", "asr_dev", "standard", "accented"), 2):
            speakers, texts = (
                [{key(u) for u in sets.found[name]} for name in (first, second)]
                for key in (lambda u: u.speaker, lambda u: sentence_key(u.text))
            )
            assert not speakers[0] & speakers[1], (first, second)
            assert "asr" not in first or not texts[0] & texts[1], (first, second)
        of[len(asked)] = {name: {u.id for u in found} for name, found in sets.found.items()}
    assert len(of[4]["asr_train"]) > len(of[2]["asr_train"])
    assert of[2]["standard"] == of[4]["standard"] and of[2]["accented"] > of[4]["accented"]
    with pytest.raises(InputError, match="can have the accent 'texan'; choose from "):
        common_voice.add_accent_sets(Sets(BadClips()), root, labels, ("us",), ["texan"], 40, 1)


def test_the_mini_corpora_are_read_and_reproduced(tmp_path):
    for name, options in (("folders", {}), ("again", {}), ("table", {"with_table": True})):
        mini_archive.synthesise(tmp_path / name, seed=3, numbers={"arabic": 2, "english": 1}, **options)
    read = {name: list(speech_accent_archive.utterances(tmp_path / name)) for name in ("folders", "again", "table")}
    assert [u.id for u in read["folders"]] == ["arabic001-passage", "arabic002-passage", "english001-passage"]
    assert [(u.id, u.text) for u in read["table"]] == [(u.id, u.text) for u in read["folders"]]
    assert {u.gender for u in read["table"]} <= {"m", "f"} and read["folders"][0].gender is None
    for first, second in zip(read["folders"], read["again"], strict=True):
        assert first.audio.read_bytes() == second.audio.read_bytes()
    mini_speechocean.synthesise(tmp_path / "ocean", seed=3)
    found = list(speechocean762.utterances(tmp_path / "ocean"))
    judged = speechocean762.scores(tmp_path / "ocean")
    assert {u.id.partition("-")[2] for u in found} == judged.keys()
    assert {(u.split, u.accent) for u in found} == {
        (part, age) for part in ("train", "test") for age in ("adult", "child")
    }
