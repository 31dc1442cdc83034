"""From hypotheses to RESULTS.md: programs, rows and pages."""

import dataclasses
import json
import random
import re
from pathlib import Path

import numpy as np
import pytest
from page_helpers import data_of
from program_helpers import program

from salience.data.tables import write_table
from salience.errors import InputError
from salience.report import render
from salience.report.page import html
from salience.report.sections import Report, report
from salience.scoring.classification import classification_scores, classifier_rows
from salience.scoring.patterns import find
from salience.scoring.rates import comparisons, rate_rows, read_scores
from salience.scoring.results import new_row, read_results, replace, write_results
from salience.scoring.specification import read_specification

TOP = Path(__file__).resolve().parents[2]
COMMON = {
    "corpus": "toy",
    "synthetic": True,
    "recogniser": "mini",
    "command": "./run.sh",
    "commit": "abc",
    "date": "2026-01-31",
}
REPORT = TOP / "conf/report_accents.yaml"
HOSTILE = "<script>alert(1)</script>|`*x*`"


def counts_file(
    folder: Path, seed: int, share: float, speakers: int = 12, accents=("Dutch", HOSTILE), per: int = 4
) -> None:
    """A counts.json as score_words.py writes it, with random errors."""
    rng = np.random.default_rng(seed)
    ids = [f"s{s:02}-{u}" for s in range(speakers) for u in range(per)]
    folder.mkdir(parents=True)
    value = {
        "normalisers": {"raw": "raw 1", "normalised": "whisper-english 20250625"},
        "ids": ids,
        "speakers": [key.split("-")[0] for key in ids],
        "accents": [accents[i % len(accents)] for i in range(len(ids))],
        "missing": [],
    }
    for kind in ("raw", "normalised"):
        value[kind] = {"words": [10] * len(ids), "characters": [50] * len(ids)}
        value[kind]["word_errors"] = rng.binomial(10, share, len(ids)).tolist()
        value[kind]["character_errors"] = rng.binomial(50, share, len(ids)).tolist()
    (folder / "counts.json").write_text(json.dumps(value))


def collect(folder: Path, only: str, pattern: str, options: tuple[str, ...] = ()) -> None:
    (folder / "report.yaml").write_text(
        f"include: {REPORT}\nscores:\n- kind: error-rates\n  scores: '{pattern}'\n  sets: $sets\n  required: true\n"
        "  pairs: [['{system}', plain]]\n  untrained: [zero-shot]\n"
    )
    fixed = "--report report.yaml --out results.json --corpus toy --synthetic true --command ./run.sh --recogniser mini"
    done = program("collect_results.py", *fixed.split(), "--only", only, *options, cwd=folder)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def pattern(tmp_path: Path) -> str:
    for number, (system, share) in enumerate((("zero-shot", 0.5), ("plain", 0.3), ("gradcam++", 0.1))):
        for seed in (1,) if system == "zero-shot" else (1, 2, 3):
            for place, name in enumerate(("ls", "unseen")):
                counts_file(tmp_path / system / f"seed{seed}" / name, 100 * number + 10 * seed + place, share)
    return f"{tmp_path}/{{system}}/seed{{seed}}/{{set}}"


def everything(pattern: str) -> dict:
    rows, compared = [], []
    for name, systems in read_scores(pattern, ["zero-shot", "plain", "gradcam++"], ["ls", "unseen"]).items():
        rows += rate_rows(name, systems, COMMON, {"plain": {"ls": {"wer": 7.0, "cer": 2.7}}})
        compared += comparisons(name, systems, [("gradcam++", "plain"), ("gradcam++", "specaugment")], COMMON)
    truth = ["a", "b"] * 15
    wrong = ["a"] * 10 + truth[10:]
    scores = classification_scores(
        [f"u{i}" for i in range(30)], truth, wrong, [f"s{i % 3}" for i in range(30)], ["a", "b"]
    )
    rows += classifier_rows([({"system": "accent-cnn"}, scores)], COMMON)
    rows.append(new_row(COMMON, set="train", system="gradcam++", metric="masked_share", value=25.0, n=2, seeds=[]))
    run = {**COMMON, "versions": {"python": "3.11"}, "seeds": [1, 2, 3], "settings": {"epochs": 2}}
    return {"rows": rows, "comparisons": compared, "runs": [run]}


def shown(results: dict) -> Report:
    return report(results, read_specification(REPORT))


def test_patterns_name_their_parts(tmp_path: Path):
    for name in ("a/seed1/x", "b++/seed2/x", "b++/other/x"):
        (tmp_path / name).mkdir(parents=True)
    found = [fields for fields, _ in find(f"{tmp_path}/{{system}}/seed{{seed}}/{{set}}")]
    assert found == [{"system": "a", "seed": "1", "set": "x"}, {"system": "b++", "seed": "2", "set": "x"}]
    with pytest.raises(InputError, match="nothing matches"):
        find(f"{tmp_path}/{{system}}/nothing")


def test_only_what_is_asked_for_is_collected(pattern: str, tmp_path: Path):
    counts_file(tmp_path / "plain/seed0/ls", 1, 0.9)  # the seed of zero-shot, of another run
    counts_file(tmp_path / "gradcam/seed1/ls", 2, 0.9)
    (tmp_path / "zero-shot/seed1").rename(tmp_path / "zero-shot/seed0")
    collect(tmp_path, "zero-shot/0 plain/1 plain/3", "{system}/seed{seed}/{set}", ("--values.sets", "ls unseen"))
    rows = read_results(tmp_path / "results.json")["rows"]
    assert {(row["system"], tuple(row["seeds"])) for row in rows} == {("zero-shot", (0,)), ("plain", (1, 3))}


def test_a_value_is_the_mean_over_seeds_of_corpus_rates(pattern: str):
    row = next(
        r
        for r in everything(pattern)["rows"]
        if (r["system"], r["set"], r["metric"], r["normaliser"], r["accent"])
        == ("gradcam++", "ls", "wer", "raw 1", None)
    )
    folder = Path(pattern.replace("{system}", "gradcam++").replace("{set}", "ls"))
    rates = []
    for seed in (1, 2, 3):
        counts = json.loads(Path(str(folder).replace("{seed}", str(seed)), "counts.json").read_text())["raw"]
        rates.append(100 * sum(counts["word_errors"]) / sum(counts["words"]))
    assert row["value"] == pytest.approx(np.mean(rates), abs=1e-3)
    assert row["values"] == pytest.approx(rates, abs=1e-3)
    assert row["low"] < row["value"] < row["high"]
    assert (row["seeds"], row["n"], row["resampled"]) == ([1, 2, 3], 48, "speaker")


def test_comparisons_have_the_right_sign_and_leave_out_the_untrained(pattern: str):
    compared = everything(pattern)["comparisons"]
    assert {(c["system"], c["against"]) for c in compared} == {("gradcam++", "plain")}
    for item in compared:
        assert item["low"] < item["difference"] < item["high"] < 0
        assert item["p"] < 0.01
        assert np.mean(item["differences"]) == pytest.approx(item["difference"], abs=2e-3)


def test_folds_are_pooled(tmp_path: Path):
    counts_file(tmp_path / "f1/plain/ls", 1, 0.2)
    counts_file(tmp_path / "f2/plain/ls", 2, 0.4, speakers=6)
    scores = read_scores(f"{tmp_path}/{{fold}}/{{system}}/{{set}}")["ls"]["plain"]
    assert scores.errors["raw", "wer"].shape == (1, 12 * 4 + 6 * 4)
    assert len(set(scores.ids)) == 72


def test_a_missing_seed_or_another_test_set_is_an_error(pattern: str, tmp_path: Path):
    (tmp_path / "plain/seed2/unseen/counts.json").unlink()
    with pytest.raises(InputError, match="plain is not scored with the same seeds"):
        read_scores(pattern)
    (tmp_path / "plain/seed2/unseen").rmdir()
    counts_file(tmp_path / "plain/seed2/unseen", 5, 0.3, speakers=11)
    with pytest.raises(InputError, match="does not score the same ids"):
        read_scores(pattern)
    with pytest.raises(InputError, match="specaugment has no score of ls"):
        read_scores(pattern, ["specaugment"], ["ls"])


def test_only_rows_of_the_same_corpus_and_kind_are_replaced(pattern: str, tmp_path: Path):
    first = everything(pattern)
    path = tmp_path / "results.json"
    write_results(path, first)
    assert read_results(path) == first
    real = {name: [{**item, "synthetic": False} for item in items[:1]] for name, items in first.items()}
    both = replace(first, real)
    assert [len(both[name]) for name in both] == [len(first[name]) + 1 for name in first]
    again = replace(both, {name: [{**item, "date": "later"} for item in items] for name, items in first.items()})
    assert len(again["rows"]) == len(both["rows"])
    assert {row["date"] for row in again["rows"] if row["synthetic"]} == {"later"}
    assert {row["date"] for row in again["rows"] if not row["synthetic"]} == {"2026-01-31"}


def test_hostile_names_and_transcripts_stay_text(pattern: str):
    results = everything(pattern)
    found = dataclasses.replace(shown(results), title=HOSTILE)
    page = html(found, results["rows"], "wer", utterances=[{"id": HOSTILE}])
    assert page.count("<script") == 3  # data, library and our script
    assert page.count("&lt;script&gt;alert(1)") >= 3
    markdown = render.markdown(found) + render.details(found)
    assert "<script" not in markdown
    line = next(line for line in markdown.splitlines() if "script" in line and line.startswith("|"))
    assert len(re.findall(r"(?<!\\)\|", line)) == 6  # accent, utterances and three systems


def test_programs_from_text_to_page(tmp_path: Path):
    random.seed(3)
    text = {f"s{s:02}-{u}": " ".join(random.choices(["ONE", "TWO", "SIX"], k=5)) for s in range(11) for u in range(3)}
    write_table(tmp_path / "data/ls/text", text)
    write_table(tmp_path / "data/ls/utt2spk", {key: key.split("-")[0] for key in text})
    for system in ("plain", "gradcam"):
        heard = {key: value.lower().replace("six", "" if system == "plain" else "six") for key, value in text.items()}
        heard.pop("s00-0")
        if system == "gradcam":
            # As decode.py leaves it.
            write_table(tmp_path / f"exp/{system}/seed1/ls/truncated", {"s00-1": "", "s01-0": ""})
        write_table(tmp_path / f"exp/{system}/seed1/ls/text", heard)
        score = [
            "--ref",
            "data/{set}/text",
            "--hyp",
            f"exp/{system}/seed1/{{set}}/text",
            "--utt2spk",
            "data/{set}/utt2spk",
            "--out",
            f"exp/{system}/seed1/score/{{set}}",
            "--sets",
            "ls",
            "--normaliser",
            "digit-words",
            "--lowercase",
            "true",
        ]
        assert program("score_words.py", *score, cwd=tmp_path).returncode == 0
    again = program("score_words.py", *score, cwd=tmp_path)
    assert "up to date, skipped" in again.stderr
    assert (
        (tmp_path / "exp/gradcam/seed1/score/ls/wer")
        .read_text()
        .startswith(
            "# raw 1, lower-cased: all\n%WER 3.03 [ 5 / 165, 0 ins, 5 del, 0 sub ]\n%SER 3.03 [ 1 / 33 ]\n"
            "Scored 33 sentences, 1 not present in hyp.\n"
        )
    )
    collect(tmp_path, "plain/1 gradcam/1", "exp/{system}/seed{seed}/score/{set}")
    reported = program(
        "report_results.py",
        "--report",
        "report.yaml",
        "--results",
        "results.json",
        "--out",
        "RESULTS.md",
        "--html",
        "report.html",
        cwd=tmp_path,
    )
    assert reported.returncode == 0, reported.stderr
    assert (
        "**Hypotheses cut off at the limit of their length: gradcam on ls 2.**"
        in (tmp_path / "RESULTS_details.md").read_text()
    )
    details = (tmp_path / "RESULTS_details.md").read_text()
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert {row["system"]: row.get("truncated") for row in rows if row["metric"] == "wer"} == {
        "plain": None,
        "gradcam": 2,
    }
    assert re.search(r"^gradcam, .* 3\.0 / ", reported.stdout, re.M)
    assert "missing hypotheses, counted as deletions: 1." in details
    assert len(data_of(tmp_path / "report.html")["sections"][0]["rows"]) == 8
    write_table(tmp_path / "exp/plain/seed1/ls/text", {"nobody": "one"})
    score[3] = "exp/plain/seed1/{set}/text"
    before = (tmp_path / "exp/gradcam/seed1/score/ls/wer").read_text()
    failed = program("score_words.py", *score, cwd=tmp_path)
    assert failed.returncode == 1
    assert (
        failed.stderr.strip().splitlines()[-1].startswith("score_words.py: exp/plain/seed1/ls/text has nobody, unknown")
    )
    assert (tmp_path / "exp/gradcam/seed1/score/ls/wer").read_text() == before
