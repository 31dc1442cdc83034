"""Where maps point: one on a single word gives it all, pauses and padding take their share, rows tell accents apart."""

from pathlib import Path

import numpy as np
import pytest
import torch
from accent_helpers import TINY, classifier, noise, run_program, write_features, write_set

from salience.data.ctm import Word, read_ctm, write_ctm
from salience.data.lexicon import PHONES, read_lexicon
from salience.errors import InputError
from salience.features.logmel import FRAME_SHIFT, bin_centres, frame_levels, log_mel
from salience.files import read_json
from salience.models.accent_classifier import save_classifier
from salience.models.whisper import new_model, save_model
from salience.report.frames import Part
from salience.report.tables import tables
from salience.saliency.accents import ExplainedAccents
from salience.saliency.base import SaliencyMap
from salience.saliency.explained import Batch, maps_of
from salience.saliency.location import frequency_shares, locate, phone_frames, silence
from salience.saliency.word_times import WordAligner
from salience.scoring.location import location_rows
from salience.scoring.results import new_row
from salience.scoring.specification import read_specification

RATE = 16_000
TOP = Path(__file__).parents[2]
COMMON = {"corpus": "toy", "synthetic": True, "command": "c", "commit": "a", "date": "d"}
LEXICON = b""";;; # CMUdict  --  Major Version: 0.07\r
'CAUSE  K AH0 Z\r
D\xc9J\xc0  D EY1 JH AA2\r
READ  R EH1 D\r
READ(1)  R IY1 D\r
"""


def bursts(*spans: tuple[float, float], seconds: float) -> np.ndarray:
    """Loud noise in these spans of seconds, and noise 60 dB below it elsewhere."""
    signal = 1e-4 * noise(1, round(seconds * RATE))
    for start, end in spans:
        signal[round(start * RATE) : round(end * RATE)] *= 1e3
    return signal


def flat(frames: int, **where: slice) -> SaliencyMap:
    """A map of one in some frames, or in all, with a row of 80 bins."""
    values = np.zeros((frames, 1), np.float32)
    values[where.get("columns", slice(None))] = 1
    return SaliencyMap(values, 1, 80)


def test_a_lexicon_as_cmudict_is_published(tmp_path):
    (tmp_path / "cmudict-0.7b").write_bytes(LEXICON)
    found = read_lexicon(tmp_path / "cmudict-0.7b")
    assert found == {"'cause": ("K", "AH", "Z"), "déjà": ("D", "EY", "JH", "AA"), "read": ("R", "EH", "D")}
    # The newer cmudict.dict, in lower case and with comments behind.
    (tmp_path / "cmudict.dict").write_text("aalborg AO1 L B AO0 R G # place, danish\naalborg(2) AA1 L B AO0 R G\n")
    assert read_lexicon(tmp_path / "cmudict.dict") == {"aalborg": ("AO", "L", "B", "AO", "R", "G")}
    (tmp_path / "ipa").write_text("ONE  W AH1 N\nTWO  t u:\n")
    with pytest.raises(InputError, match=r"ipa:2: TWO has 'U:', which is no phone of CMUdict"):
        read_lexicon(tmp_path / "ipa")
    (tmp_path / "none").write_text(";;; nothing\n\n")
    with pytest.raises(InputError, match="has no word in it"):
        read_lexicon(tmp_path / "none")


def test_the_phones_are_those_of_cmudict():
    vowels = {name for name in PHONES if name[0] in "AEIOU"}
    assert len(PHONES) == 39 and len(vowels) == 15
    assert {PHONES[name].kind for name in vowels} == {"monophthongs", "diphthongs", "rhotics"}
    assert {name for name, phone in PHONES.items() if phone.kind == "dental fricatives"} == {"TH", "DH"}


def test_pauses_are_found_where_they_are_and_closures_are_none():
    signal = bursts((0.3, 1.0), (1.06, 2.0), (2.5, 3.0), seconds=3.2)
    (features,) = log_mel([signal])
    quiet = silence(frame_levels(features), FRAME_SHIFT)
    truth = np.zeros(320, bool)
    truth[:30] = truth[200:250] = truth[300:] = True
    assert np.count_nonzero(quiet != truth) <= 8 and not quiet[100:106].any()
    regions = locate(flat(320), frame_levels(features), FRAME_SHIFT, 400, 80)["regions"]
    # A map that knows nothing: all places have as much importance as time, the padding of a cut map none.
    for name, (importance, time) in regions.items():
        assert importance == pytest.approx(0 if name == "padding" else time * 400 / 320)
    assert regions["silence"][1] == pytest.approx(quiet.sum() / 400) and regions["padding"][1] == pytest.approx(0.2)
    assert sum(regions[name][1] for name in ("silence", "speech", "padding")) == pytest.approx(1)
    assert regions["start"][1] == regions["end"][1] == 25 / 400


def test_a_map_on_one_word_gives_it_all():
    (features,) = log_mel([bursts((0.0, 1.0), (1.5, 3.0), seconds=3.0)])
    words = [Word("red", 0.0, 0.5), Word("snake", 0.5, 1.5), Word("six", 1.5, 2.1), Word("bob", 2.1, 3.0)]
    lexicon = {"red": ("R", "EH", "D"), "snake": ("S", "N", "EY", "K"), "six": ("S", "IH", "K", "S")}
    level = frame_levels(features)
    found = locate(flat(300, columns=slice(150, 210)), level, FRAME_SHIFT, 300, 80, words, lexicon)
    importance = {word: own for word, own, _ in found["words"]}
    assert importance == {"red": 0, "snake": 0, "six": 1, "bob": 0}
    # Without the pause: of `snake`, the half that is silent is not its own.
    time = {word: own for word, _, own in found["words"]}
    assert [round(250 * own) for own in time.values()] == [50, pytest.approx(50, abs=3), 60, 90]
    assert set(found["phones"]) >= {"sibilants", "nasals"} and found["phones"]["nasals"][0] == 0
    # 105 + 105 of 105 + 135 + 80 + 105 ms are sibilants.
    assert found["phones"]["sibilants"][0] == pytest.approx(210 / 425, abs=0.03)
    assert sum(own for own, _ in found["phones"].values()) == pytest.approx(1)
    assert locate(flat(300, columns=slice(0)), level, FRAME_SHIFT, 300, 80) is None


def test_phones_follow_each_other_for_as_long_as_they_usually_last():
    assert phone_frames(("S", "IY"), 26).tolist() == [0] * 11 + [1] * 15  # 105 and 155 ms
    assert phone_frames(("T", "UW"), 1).tolist() == [1]


def test_frequencies():
    values = np.zeros((4, 10), np.float32)
    values[:, 2], values[:, 3] = 3, -5
    shares = frequency_shares(SaliencyMap(values, 8, 8), 80)
    assert shares[16:24] == [0.125] * 8 and sum(shares) == 1
    assert frequency_shares(flat(5), 80) is None
    centres = bin_centres()
    assert len(centres) == 80 and (np.diff(centres) > 0).all() and 20 < centres[0] < 60 and 7600 < centres[-1] < 8000


def test_padding_is_seen_in_full():
    """The gradient at the padding, by hand on the input as long as the network reads it."""
    model = classifier()
    explained = ExplainedAccents(model)
    explained.padded = True
    features = noise(3, (90, 80))
    padded, lengths = model.padded([features], explained.padded)
    batch = Batch(["u"], padded, lengths, torch.tensor([1]))
    (found,) = maps_of(explained, batch, ["gradient-input"])["gradient-input"]
    leaf = padded.clone().requires_grad_(True)
    model.head(model.feature_maps(leaf), lengths)[0, 1].backward()
    expected = (leaf.grad * (padded - model.mean))[0].clamp(min=0).detach().numpy()
    assert padded.shape[1] == explained.heard(90) == 304 and found.values.shape == (304, 80)
    regions = locate(found, frame_levels(features), FRAME_SHIFT, 304, 80)["regions"]
    assert regions["padding"] == pytest.approx([expected[90:].sum() / expected.sum(), 214 / 304])
    assert 0.05 < regions["padding"][0] < 0.95
    explained.padded = False
    (cut,) = maps_of(explained, batch, ["gradient-input"])["gradient-input"]
    assert np.array_equal(cut.values, found.values[:90])


def test_words_are_where_the_attention_is(tmp_path, monkeypatch):
    """Attention is planted: word by word over known frames, punctuation in the pauses."""
    save_model(new_model(TINY, 1), tmp_path / "model.pt")
    aligner = WordAligner(str(tmp_path / "model.pt"))
    text = "Please call Stella, six times."
    _, spans = aligner.tokenizer.split_to_word_tokens([*aligner.tokenizer.encode(f" {text}"), aligner.tokenizer.eot])
    edges = np.cumsum([10, 30, 25, 40, 15, 20, 35, 5])  # states of 20 ms at which each of these begins
    peaks = [
        (start + part * (end - start) // len(tokens), start + (part + 1) * (end - start) // len(tokens))
        for tokens, start, end in zip(spans[:-1], edges, edges[1:])
        for part in range(len(tokens))
    ]
    prompt = len(aligner.tokenizer.sot_sequence)
    scores = torch.full((1, TINY.n_text_head, prompt + 1 + len(peaks) + 1, TINY.n_audio_ctx), -20.0)
    for row, (start, end) in enumerate(peaks, prompt):
        scores[..., row, (0 if row == prompt else start) : end] = 20
    scores[..., prompt + len(peaks), edges[-2] :] = 20

    def attention(x, xa, mask=None, kv_cache=None):
        return torch.zeros_like(x), scores

    monkeypatch.setattr(aligner.model.decoder.blocks[0].cross_attn, "forward", attention)
    words = aligner.align(noise(1, (401, 80)), text)
    assert [word.text for word in words] == ["please", "call", "stella", "six", "times"]
    ends = [(edges[place], edges[place + 1]) for place in (0, 1, 2, 4, 5)]
    for word, (start, end) in zip(words, ends):
        assert word.end == pytest.approx(end / 50, abs=0.05)
        assert word is words[0] or word.start == pytest.approx(start / 50, abs=0.05)
    write_ctm(tmp_path / "ctm", {"a-1": words})
    again = read_ctm(tmp_path / "ctm")["a-1"]
    assert [word.text for word in again] == [word.text for word in words] and again[-1].end == words[-1].end
    (tmp_path / "bad").write_text("a-1 1 0.5 x\n")
    with pytest.raises(InputError, match="bad:1: the line of a-1 needs utterance, channel"):
        read_ctm(tmp_path / "bad")


def located(accent: str, speaker: str, things: float) -> dict:
    """An utterance of ten words of the same length, of which `things` has this share of importance."""
    words = [[f"w{number}", (1 - things) / 9, 0.1] for number in range(9)] + [["things", things, 0.1]]
    phones = {"dental fricatives": [things, 0.1], "nasals": [1 - things, 0.9]}
    regions = {"speech": [0.7, 0.5], "silence": [0.1, 0.25], "padding": [0.2, 0.25]}
    about = {"speaker": speaker, "accent": accent, "regions": regions, "words": words, "phones": phones}
    return about | {"frequencies": [0.25, 0.75]}


def test_rows_tell_what_an_accent_is_recognised_by():
    utterances = {f"m{n}": located("mandarin", f"m{n}", 0.4 + 0.02 * (n % 3)) for n in range(12)}
    utterances |= {f"e{n}": located("english", f"e{n}", 0.1 + 0.02 * (n % 3)) for n in range(12)}
    utterances |= {f"d{n}": located("dutch", f"d{n}", 0.9) for n in range(3)}
    rows = list(location_rows({"utterances": utterances, "hertz": [100.0, 200.0]}, min_speakers=5, words=3))

    def row(**wanted) -> dict:
        (found,) = [each for each in rows if wanted.items() <= each.items()]
        return found

    assert {each["accent"] for each in rows} == {None, "mandarin", "english"}
    silent = row(region="silence", accent=None)
    assert (silent["value"], silent["time"], silent["n"]) == (10, 25, 27) and silent["resampled"] == "speaker"
    things = row(word="things", accent="mandarin")
    assert things["value"] == 4.2 and things["low"] < 4.2 < things["high"] and things["rank"] == 1
    assert things["control"] == pytest.approx((12 * 1.2 + 3 * 9) / 15, abs=0.001) and things["time"] == 10
    assert row(phone_class="dental fricatives", accent="english")["above_high"] < 0
    assert not any(each.get("word") == "things" for each in rows if each["accent"] == "english")
    assert sum("word" in each for each in rows) == 9
    read = read_specification(TOP / "conf/report_accents.yaml")
    told = Part(
        [new_row(COMMON, set="cls_test", system="gradcam", classifier="cnn", **each) for each in rows], [], {}, "wer"
    )
    regions, phones, words = (
        table
        for name in ("importance_regions", "phone_classes", "top_words")
        for table in tables(read.shared[name], told, "report_accents.yaml")
    )
    assert regions.headers == ["classifier", "map", "speech", "of time", "silence", "of time", "padding", "of time"]
    assert regions.rows[0][5:] == ["25", "20.0 (20.0 to 20.0)", "25"]
    assert phones.headers == ["phones", "% of time", "all", "english", "mandarin"]
    assert [line[:2] for line in phones.rows] == [["dental fricatives", "10"], ["nasals", "90"]]
    assert [line[0] for line in words.rows] == ["all", "english", "mandarin"] and words.rows[2][1] == "things"
    assert row(metric="frequency_importance", accent="english")["curve"] == [[100.0, 25.0], [200.0, 75.0]]


def test_the_program(tmp_path, monkeypatch):
    """All of a set with words and a lexicon: shares add up to one, controls are left out, a second run does nothing."""
    monkeypatch.chdir(tmp_path)
    signals = {f"{name}-1": bursts((0.2, 1.2), seconds=1.5) for name in "ab"}
    utterances = write_set(tmp_path, "test", signals)
    write_features(tmp_path, "test", dict(zip(signals, log_mel(list(signals.values())))))
    write_ctm(
        tmp_path / "words" / "test" / "ctm", {u.id: [Word("one", 0.2, 0.7), Word("ja", 0.7, 1.2)] for u in utterances}
    )
    (tmp_path / "lexicon").write_text("ONE  W AH1 N\n")
    save_classifier(classifier(2), tmp_path / "cnn")
    options = {"model": "cnn", "methods": "gradcam random gradient-input", "data": "data", "features": "dump"}
    options |= {"sets": "test", "out": "located", "words": "words", "lexicon": "lexicon"}
    run_program(monkeypatch, "locate_saliency", **options)
    assert not (tmp_path / "located" / "random").exists()
    told = read_json(tmp_path / "located" / "gradient-input" / "test" / "located.json")
    assert told["unknown_words"] == {"ja": 2} and len(told["hertz"]) == 80
    for each in told["utterances"].values():
        assert sum(each["regions"][name][0] for name in ("speech", "silence", "padding")) == pytest.approx(1)
        assert each["regions"]["padding"][1] == pytest.approx(1 - 150 / 304)
        assert sum(own for _, own, _ in each["words"]) == pytest.approx(1) and set(each["phones"]) <= {
            "glides", "monophthongs", "nasals",
        }  # fmt: skip
    written = (tmp_path / "located" / "test.step.json").read_text()
    run_program(monkeypatch, "locate_saliency", **options)
    assert (tmp_path / "located" / "test.step.json").read_text() == written
