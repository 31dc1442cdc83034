"""Scores of recognised commands, from texts to rates and comparisons whose values are worked out by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_helpers import IDS, SPEAKERS, data_dir, heard, scored, spread
from score_keywords import score_keywords

from salience.errors import InputError
from salience.scoring.rates import comparisons, mean_over, rate_rows, read_scores

COMMON = {"corpus": "toy", "synthetic": True, "recogniser": "paper", "command": "c", "commit": "a", "date": "d"}
HYP = "decode/{system}/seed{seed}/{set}/text"
OUT = "score/{system}/seed{seed}/{set}"


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def counts(folder: str) -> dict:
    return json.loads(Path(folder, "counts.json").read_text())


def test_one_call_scores_all_systems_seeds_and_sets(caplog: pytest.LogCaptureFixture):
    for name in ("dev", "test"):
        data_dir(Path("data", name))
        for system in ("null", "importantaug"):
            for seed in (1, 2):
                heard(Path(HYP.format(system=system, seed=seed, set=name)), IDS[: 10 * seed])
    score_keywords(Path("data"), HYP, OUT)
    assert Path("score/null/seed2/test/error").read_text() == "%ERROR 10.00 [ 20 / 200 ] exact\n"
    found = counts("score/importantaug/seed1/dev")
    assert found["ids"] == sorted(IDS) and found["speakers"] == [key[:3] for key in sorted(IDS)]
    assert found["raw"] == {"utterances": [1] * 200, "utterance_errors": [1] * 10 + [0] * 190}
    assert found["missing"] == [] and found["accents"] is None
    rows = rate_rows("test", read_scores(OUT)["test"], COMMON)
    assert {(r["system"], r["metric"], r["normaliser"], r["value"]) for r in rows} == {
        (system, "error", "exact", 7.5) for system in ("null", "importantaug")
    }
    assert rows[0]["values"] == [5.0, 10.0] and rows[0]["resampled"] == "speaker" and rows[0]["n"] == 200


def test_what_nobody_asks_for_is_not_scored():
    """What an earlier run left may be of other utterances."""
    data_dir(Path("data/test"))
    noisy = "noisy/{system}/seed{seed}/{snr}/{set}"
    for system, seed, snr, name in (
        ("null", 1, 0, "test"),
        ("null", 2, 0, "test"),
        ("old", 1, 0, "test"),
        ("null", 1, 5, "test"),
        ("null", 1, 0, "gone"),
    ):
        heard(Path(noisy.format(system=system, seed=seed, snr=snr, set=name)) / "text")
    score_keywords(
        Path("data"),
        noisy.replace("{snr}/{set}", "{snr:-5|0}/{set:dev|test}/text"),
        f"of_{noisy}",
        only="null/1 baseline/2",
    )
    assert [str(path) for path in Path("of_noisy").rglob("error")] == ["of_noisy/null/seed1/0/test/error"]


def test_what_is_missing_is_wrong_and_counted():
    data_dir(Path("data/test"))
    heard(Path(HYP.format(system="a", seed=1, set="test")), IDS[:3], missing=IDS[2:6])
    score_keywords(Path("data"), HYP, OUT)
    assert sum(counts("score/a/seed1/test")["raw"]["utterance_errors"]) == 6
    assert counts("score/a/seed1/test")["missing"] == IDS[2:6]
    assert rate_rows("test", read_scores(OUT)["test"], COMMON)[0]["missing"] == 4


def test_the_order_of_lines_and_empty_answers_do_not_matter():
    data_dir(Path("data/test"))
    text = Path(HYP.format(system="a", seed=1, set="test"))
    text.parent.mkdir(parents=True)
    text.write_text("".join(f"{key} {key.split('-')[1]}\n" for key in reversed(IDS[1:])) + f"{IDS[0]}\n")
    score_keywords(Path("data"), HYP, OUT)
    assert counts("score/a/seed1/test")["raw"]["utterance_errors"] == [1] + [0] * 199


def test_only_what_changed_is_scored_again():
    data_dir(Path("data/test"))
    texts = [heard(Path(HYP.format(system=system, seed=1, set="test"))) for system in "ab"]
    score_keywords(Path("data"), HYP, OUT)
    records = [Path(f"score/{system}/seed1/test/step.json") for system in "ab"]
    before = [record.stat().st_mtime_ns for record in records]
    heard(texts[1], IDS[:1])
    score_keywords(Path("data"), HYP, OUT)
    after = [record.stat().st_mtime_ns for record in records]
    assert after[0] == before[0] and after[1] > before[1]
    assert Path("score/b/seed1/test/error").read_text() == "%ERROR 0.50 [ 1 / 200 ] exact\n"
    # Other references are other scores.
    (Path("data/test/text")).write_text("".join(f"{key} bird\n" for key in sorted(IDS)))
    score_keywords(Path("data"), HYP, OUT)
    assert Path("score/a/seed1/test/error").read_text() == "%ERROR 100.00 [ 200 / 200 ] exact\n"


def test_ready_made_noisy_sets_have_a_data_directory_for_each_snr():
    data_dir(Path("data/test_qut"))
    data_dir(Path("data/test_musan/-12.5"), IDS[:50])
    for name in ("test_qut", "test_musan"):
        ids = IDS[:50] if name == "test_musan" else IDS
        heard(Path(f"noisy/a/seed1/-12.5/{name}/text"), ids[:1], ids=ids)
    score_keywords(Path("data"), "noisy/{system}/seed{seed}/{snr}/{set}/text", "out/{system}/seed{seed}/{snr}/{set}")
    assert Path("out/a/seed1/-12.5/test_musan/error").read_text() == "%ERROR 2.00 [ 1 / 50 ] exact\n"
    assert Path("out/a/seed1/-12.5/test_qut/error").read_text() == "%ERROR 0.50 [ 1 / 200 ] exact\n"


@pytest.mark.parametrize(
    "hyp, out, message",
    [
        ("nowhere/{set}/text", "out/{set}", "nothing matches nowhere"),
        ("decode/{system}/seed1/test/text", "out/{system}", "needs the placeholder {set}"),
        (HYP, "out/{system}/{snr}", "and no others"),
        (HYP, "out/{system}", "needs every placeholder of --hyp"),
    ],
)
def test_patterns_that_cannot_be(hyp: str, out: str, message: str):
    data_dir(Path("data/test"))
    for seed in (1, 2):
        heard(Path(HYP.format(system="a", seed=seed, set="test")))
    with pytest.raises(InputError, match=message):
        score_keywords(Path("data"), hyp, out)


def test_bad_tables_are_one_sentence_and_leave_no_score():
    text = heard(Path(HYP.format(system="a", seed=1, set="test")))
    data_dir(Path("data/test"), IDS[1:])
    with pytest.raises(InputError, match=f"has {IDS[0]}, unknown to the references; decode their set again"):
        score_keywords(Path("data"), HYP, OUT)
    Path("data/test/text").write_text("a-1 stop it\n")
    with pytest.raises(InputError, match="a-1 has the text 'stop it', which is not one word"):
        score_keywords(Path("data"), HYP, OUT)
    Path("data/test/text").write_text("a-1 stop\n")
    with pytest.raises(InputError, match="utt2spk has no line for a-1"):
        score_keywords(Path("data"), HYP, OUT)
    assert not Path("score").exists() and text.exists()


def test_planted_differences_are_found_and_their_sign_counted_by_seed():
    for seed in (1, 2, 3):
        scored(Path(f"score/null/seed{seed}/test"), spread(20))
        # Half a percent an utterance: 5 points better twice, 1 point worse once.
        scored(Path(f"score/importantaug/seed{seed}/test"), spread(22 if seed == 3 else 10))
    (item,) = [
        item
        for item in comparisons("test", read_scores(OUT)["test"], [("importantaug", "null")], COMMON)
        if item["system"] == "importantaug"
    ]
    assert item["differences"] == [-5.0, -5.0, 1.0] and item["difference"] == -3.0
    assert item["low"] <= -3 <= item["high"] and item["metric"] == "error" and item["resampled"] == "speaker"


def test_an_interval_is_of_whole_speakers():
    # All errors are of four speakers: drawing 20 speakers gives 0 to 9 of them or so, not the 20 +- 5 % of utterances.
    wrong = [key for key in IDS if int(key[1:3]) < 4]
    scored(Path("score/a/seed1/test"), wrong)
    (row,) = rate_rows("test", read_scores(OUT)["test"], COMMON)
    draws = np.random.default_rng(1).binomial(SPEAKERS, 4 / SPEAKERS, 100_000) * 100 / SPEAKERS
    low, high = np.percentile(draws, (2.5, 97.5))
    assert row["value"] == 20 and (row["low"], row["high"]) == (pytest.approx(low, abs=5), pytest.approx(high, abs=5))
    assert row["high"] - row["low"] > 25


def test_the_mean_over_snrs_is_bootstrapped_as_one():
    for snr, errors in ((0, 40), (10, 20), (20, 0)):
        for seed in (1, 2):
            scored(Path(f"score/{snr}/a/seed{seed}/test"), spread(errors + 2 * seed))
    parts = [read_scores(f"score/{snr}/{{system}}/seed{{seed}}/{{set}}")["test"]["a"] for snr in (0, 10, 20)]
    mean = mean_over("a", parts)
    (row,) = rate_rows("test", {"a": mean}, COMMON)
    assert row["values"] == [11.0, 12.0]  # (42 + 22 + 2) / 3 / 2, (44 + 24 + 4) / 3 / 2
    other = read_scores("score/0/{system}/seed{seed}/{set}", seeds=[1])["test"]["a"]
    with pytest.raises(InputError, match="a is not scored with the same seeds and utterances at every SNR"):
        mean_over("a", [parts[0], other])


def test_systems_scored_by_different_metrics_are_no_same_test():
    scored(Path("score/a/seed1/test"), spread(3))
    scored(Path("score/b/seed1/test"), spread(3))
    value = counts("score/b/seed1/test")
    value["raw"] = {
        "words": [1] * 200,
        "word_errors": [0] * 200,
        "characters": [2] * 200,
        "character_errors": [0] * 200,
    }
    Path("score/b/seed1/test/counts.json").write_text(json.dumps(value))
    with pytest.raises(InputError, match="b and a are not scored on the same references of test"):
        read_scores(OUT)
