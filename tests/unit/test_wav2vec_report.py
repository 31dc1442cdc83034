"""The report of the Catalan recipe: rows, tables and pictures from made-up scores with planted answers."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from collect_results import collect_results
from page_helpers import charts_of
from report_results import report_results

from salience.data.tables import write_table
from salience.errors import InputError
from salience.masking.systems import read_systems
from salience.report.sections import Section, report
from salience.report.tables import Table
from salience.scoring.classification import place_of, task_rows
from salience.scoring.pretraining import health_rows
from salience.scoring.rate_sources import pairs_of
from salience.scoring.results import read_results
from salience.scoring.specification import read_specification

TOP = Path(__file__).resolve().parents[2]
WANTED = TOP / "egs/cv_ca/conf/report.yaml"
SPEAKERS = [f"s{number:02}" for number in range(12)]
IDS = [f"{speaker}-{number}" for speaker in SPEAKERS for number in range(5)]
COMMON = {
    "corpus": "toy",
    "synthetic": True,
    "recogniser": "mini",
    "command": "./run.sh",
    "commit": "abc",
    "date": "2026-01-31",
}
ACCENTS = ("balear", "valencià")


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def accent_of(key: str) -> str:
    """The first six speakers are of the one accent, the others of the other."""
    return ACCENTS[int(key[1:3]) >= 6]


def scored(start: str, variant: str, seed: int, wrong: int, more: int = 0) -> None:
    """A counts.json of ten words an utterance, `wrong` of them wrong; of valencià `more` besides.

    Normalised, one fewer is wrong; characters are five times the words.
    """
    errors = np.array([wrong + more * (accent_of(key) == ACCENTS[1]) for key in IDS])
    value = {
        "normalisers": {"raw": "raw 1", "normalised": "catalan 1"},
        "ids": IDS,
        "speakers": [key[:3] for key in IDS],
        "accents": [accent_of(key) for key in IDS],
        "missing": [],
    }
    for kind, fewer in (("raw", 0), ("normalised", 1)):
        words = (errors - fewer).tolist()
        value[kind] = {
            "words": [10] * len(IDS),
            "word_errors": words,
            "characters": [50] * len(IDS),
            "character_errors": words,
        }
    folder = Path(f"exp/recogniser/wav2vec2/{start}/{variant}/seed{seed}/score/labelled_test")
    folder.mkdir(parents=True)
    (folder / "counts.json").write_text(json.dumps(value))


def classified(task: str, start: str, seed: int, name: str, right: float, n: int = 100) -> None:
    """Scores of a classifier of two classes, as train_wav2vec_classifier.py writes them."""
    folder = Path(f"exp/classifier/{task}/{start}/seed{seed}")
    folder.mkdir(parents=True, exist_ok=True)
    wrong = round(n * (100 - right) / 100)
    value = {
        "n": n,
        "accuracy": right,
        "low": right - 2,
        "high": right + 2,
        "resampled": "speaker",
        "macro_f1": right - 1,
        "speaker_accuracy": right,
        "per_speaker": {"s01": right - 5, "s02": right + 5},
        "chance": 60.0,
        "labels": ["a", "b"],
        "confusion": [[60 - wrong, wrong], [0, n - 60]],
    }
    (folder / f"wav2vec.{name}.json").write_text(json.dumps(value))


def history(accuracies: Iterable[float], phase: int = 1, earlier: int = 0) -> list[dict]:
    """A history of pretraining as pretrain_wav2vec.py writes it, an epoch of ten updates an accuracy."""
    records = []
    for epoch, accuracy in enumerate(accuracies, 1):
        place = {"phase": phase, "update": earlier + 10 * epoch, "step": 10 * epoch, "epoch": float(epoch)}
        records.append({**place, "loss": 5.0 - epoch / 10, "grad_norm": 1.0 + epoch, "learning_rate": 1e-4})
        records.append(
            {
                **place,
                "eval_dev_contrastive": 4.0 - accuracy,
                "eval_dev_accuracy": accuracy,
                "eval_dev_chance": 0.01,
                "eval_dev_perplexity": 20.0 + epoch,
                "eval_dev_frame_cosine": 0.3,
                "eval_dev_masked_share": 0.49,
                "eval_train_loss": 4.5 - accuracy,
                "eval_train_accuracy": accuracy - 0.01,
                "eval_train_perplexity": 18.0 + epoch,
            }
        )
    return records


def pretrained(seed: int, records: list[dict]) -> None:
    folder = Path(f"exp/pretrained/seed{seed}")
    folder.mkdir(parents=True)
    (folder / "history.json").write_text(json.dumps(records))
    config = {"num_codevector_groups": 2, "num_codevectors_per_group": 32}
    (folder / "config.json").write_text(json.dumps(config))


def everything() -> None:
    """Two seeds: own is 20 points better than random, own + gradcam 10 better than own and as good as random-mask."""
    for seed in (1, 2):
        scored("random", "plain", seed, 7)
        scored("own", "plain", seed, 5)
        scored("own", "random-mask", seed, 4)
        scored("own", "gradcam", seed, 4, more=(2 if seed == 1 else -2))
        scored("spanish", "plain", seed, 2)
        classified("accent", "own", seed, "accent_test", 70.0 + seed)
        classified("accent", "own", seed, "accent_dev", 75.0)
        classified("accent_random", "own", seed, "accent_test_random", 90.0 + 2 * seed)
        # What a classifier of the one split scores on the other's set is no leak.
        classified("accent", "own", seed, "accent_test_random", 10.0)
        pretrained(seed, history([0.1, 0.3 + seed / 100, 0.2]))
    classified("gender", "random", 1, "gender_test", 95.0)
    Path("data/labelled_test").mkdir(parents=True)
    write_table(Path("data/labelled_test/utt2gender"), {key: "f" for key in IDS if key < "s04"})


PLACES = {"exp": "exp", "models": "exp/recogniser/wav2vec2", "sets": "labelled_test", "data": "data"}
PLACES |= {"classified_starts": "own random", "classifier_seeds": "1 2", "pretrained": "1 2"}


def collect(only: str = "", synthetic: bool = False) -> dict:
    out = Path("results.json")
    collect_results(WANTED, out, "Common Voice Catalan", synthetic, "./run.sh", PLACES, only, "wav2vec2")
    return read_results(out)


def shown(results: dict) -> Section:
    (section,) = report(results, read_specification(WANTED)).sections
    return section


def table(section: Section, title: str) -> Table:
    (found,) = [one for one in section.tables if one.title == title]
    return found


def value(results: dict, **wanted: object) -> float:
    """The value of the only row that has these fields; those not given are null."""
    alone = {"accent": None, "gender": None, **wanted}
    (row,) = [row for row in results["rows"] if all(row.get(key) == this for key, this in alone.items())]
    return row["value"]


def test_error_rates_are_those_that_were_planted():
    everything()
    results = collect()
    raw = {"set": "labelled_test", "normaliser": "raw 1", "metric": "wer"}
    clean = {**raw, "normaliser": "catalan 1"}
    assert value(results, system="random", **raw) == 70 and value(results, system="random", **clean) == 60
    assert value(results, system="own", variant="plain", **raw) == 50
    assert value(results, system="own", **{**raw, "metric": "cer"}) == 10
    # Two errors more in one seed and two fewer in the other, in one accent.
    assert value(results, system="own + gradcam", start="own", variant="gradcam", **raw) == 40
    assert value(results, system="own + gradcam", **{**raw, "accent": "balear"}) == 40
    wanted = ("own + gradcam", "valencià", "wer", "raw 1")
    fields = ("system", "accent", "metric", "normaliser")
    (row,) = [row for row in results["rows"] if tuple(row[field] for field in fields) == wanted]
    assert row["values"] == [60, 20] and row["n"] == 30
    genders = {row["gender"]: row["n"] for row in results["rows"] if row.get("gender")}
    assert genders == {"f": 20, "unlabelled": 40}


def test_the_comparisons_are_those_that_the_questions_need():
    everything()
    found = {
        (item["system"], item["against"]): item
        for item in collect()["comparisons"]
        if (item["metric"], item["normaliser"]) == ("wer", "raw 1")
    }
    assert set(found) == {
        ("own", "random"),
        ("spanish", "random"),
        ("own + random-mask", "own"),
        ("own + gradcam", "own"),
        ("own + gradcam", "own + random-mask"),
    }
    own = found["own", "random"]
    assert (own["difference"], own["low"], own["high"], own["resampled"]) == (-20, -20, -20, "speaker")
    # Equal in the mean over seeds, apart in each.
    same = found["own + gradcam", "own + random-mask"]
    assert same["difference"] == 0 and same["differences"] == [10, -10]


def test_spanish_is_compared_with_english_and_other_starts_with_random():
    systems = ["random", "spanish", "english", "basque", "basque + gradcam"]
    templates = next(entry["pairs"] for entry in read_specification(WANTED).scores if "pairs" in entry)
    assert pairs_of(templates, systems) == [
        ("spanish", "random"),
        ("english", "random"),
        ("basque", "random"),
        ("spanish", "english"),
        ("basque + gradcam", "basque"),
    ]


def test_the_leak_is_the_random_split_minus_the_disjoint_one_seed_by_seed():
    everything()
    results = collect()
    disjoint = {"task": "accent", "part": "test", "split": "speaker-disjoint", "system": "own"}
    assert value(results, metric="accuracy", **disjoint) == 71.5
    assert value(results, metric="macro_f1", **disjoint) == 70.5
    assert value(results, metric="accuracy", **{**disjoint, "split": "random"}) == 93
    assert value(results, metric="accuracy", **{**disjoint, "system": "majority-class"}) == 60
    (leak,) = [row for row in results["rows"] if row["metric"] == "leak"]
    assert (leak["value"], leak["values"], leak["system"], leak["seeds"]) == (21.5, [21, 22], "own", [1, 2])
    (speakers,) = [
        row
        for row in results["rows"]
        if row["metric"] == "speaker_accuracy"
        and row["task"] == "accent"
        and (row["part"], row["split"]) == ("test", "random")
    ]
    assert (speakers["speakers"], speakers["lowest"], speakers["highest"]) == (2, 88, 98)
    assert all(row.get("speaker") is None for row in results["rows"])
    # One hundred utterances, although two seeds answered.
    assert {row["n"] for row in results["rows"] if row.get("task") == "accent" and row["metric"] == "accuracy"} == {100}
    assert place_of("accent_test_random") == ("accent", "test", "random")


def test_without_shared_seeds_there_is_no_leak():
    scores = {"n": 10, "accuracy": 50.0, "macro_f1": 40.0, "chance": 50.0, "per_speaker": {"s": 50.0}}
    found = [
        ({"start": "own", "seed": "1", "set": "accent_test"}, scores),
        ({"start": "own", "seed": "2", "set": "accent_test_random"}, scores),
    ]
    assert not [row for row in task_rows(found, COMMON) if row["metric"] == "leak"]


def test_health_is_that_of_the_end_and_of_the_kept_epoch():
    everything()
    results = collect()
    expected = {
        "contrastive_accuracy": 20,
        "contrastive_accuracy_kept": 31.5,
        "contrastive_chance": 1,
        "code_perplexity": 23,
        "masked_frames": 49,
        "pretraining_loss": 4.3,
        "updates": 30,
    }
    assert {metric: value(results, metric=metric, epoch=None) for metric in expected} == expected
    last, *_ = [row for row in results["rows"] if row["metric"] == "code_perplexity" and not row.get("epoch")]
    assert (last["least"], last["most"], last["seeds"]) == (2, 64, [1, 2])
    by_epoch = {
        row["epoch"]: row["value"] for row in results["rows"] if row["metric"] == "updates" and row.get("epoch")
    }
    assert list(by_epoch) == list(range(1, len(by_epoch) + 1)) and list(by_epoch.values())[-1] == expected["updates"]


def test_only_the_last_phase_counts_as_kept():
    records = history([0.9]) + history([0.2, 0.4, 0.3], phase=2, earlier=10)
    rows = {row["metric"]: row["value"] for row in health_rows({1: (records, {})}, COMMON)}
    assert rows["contrastive_accuracy_kept"] == 40 and rows["contrastive_accuracy"] == 30 and rows["updates"] == 40
    # The published objective does not keep the best.
    records[-1]["kept"] = True
    rows = {row["metric"]: row["value"] for row in health_rows({1: (records, {})}, COMMON)}
    assert rows["contrastive_accuracy_kept"] == 30
    with pytest.raises(InputError, match="seed 3 has no dev score"):
        health_rows({3: ([{"loss": 1.0, "step": 1}], {})}, COMMON)


def test_the_papers_figures_stand_with_what_they_were_measured_on():
    everything()
    section = shown(collect())
    rates, health = section.main, table(section, "Pretraining, at its end")
    accent, gender = (table(section, f"{task} classifier, test") for task in ("Accent", "Gender"))
    by_start = {row[0]: row[1:] for row in rates.rows}
    assert rates.headers == ["start", "raw 1", "raw 1: the paper's WER", "catalan 1", "catalan 1: the paper's WER"]
    assert by_start["spanish"] == ["20.0 / 4.0", "60.0", "10.0 / 2.0", "40.0"]
    assert by_start["own"] == ["50.0 / 10.0", "88.0", "40.0 / 8.0", "–"]
    assert by_start["own + gradcam"][1] == "–" and by_start["random"][1] == "–"
    assert "None of the paper's figures can be compared with ours" in rates.note
    own = accent.rows[0]
    assert own[:2] == ["own", "71.5 (71.0 to 72.0)"] and own[3] == "71.5 (66.5 to 76.5, 2 speakers)"
    assert own[4:6] == ["93.0 (92.0 to 94.0)", "97.68"] and own[-2:] == ["21.50 (21.00 to 22.00)", "1, 2"]
    assert accent.headers[-2:] == ["leak (points)", "seeds"]
    assert accent.headers[4] == "accuracy (%), random split (100)"
    assert gender.rows[0] == ["random", "95.0 (93.0 to 97.0)", "94.0", "95.0 (90.0 to 100.0, 2 speakers)", "1"]
    assert health.rows[0][:4] == ["1", "30", "20.00", "1.00"] and health.rows[-1][7] == "-0.80"
    titles = [table.title for table in section.tables]
    assert "By accent on labelled_test, WER / CER in %, catalan 1" in titles
    assert "By gender on labelled_test, WER / CER in %, catalan 1" in titles
    assert "Accent classifier, dev" in titles
    compared = next(one for one in section.tables if one.headers[1] == "minus")
    assert ["own", "random", "-20.00 (-20.00 to -20.00)"] in [row[:3] for row in compared.rows]
    (remark,) = section.remarks
    assert "the start english" in remark and "the variant specaugment" in remark
    assert "gender classifiers of the random split" in remark and "accent classifiers" not in remark


def test_synthetic_speech_has_no_figures_of_the_paper_and_no_empty_column():
    everything()
    section = shown(collect(synthetic=True))
    rates, gender = section.main, table(section, "Gender classifier, test")
    assert rates.headers == ["start", "raw 1", "catalan 1"]
    assert "paper" not in rates.note
    assert len(gender.headers) == 5  # Genders, which have no random split.


def test_a_run_of_pretraining_alone_has_a_report():
    pretrained(1, history([0.1, 0.2]))
    results = collect()
    assert [one.title for one in shown(results).tables] == ["Pretraining, at its end", "Pretraining, after each epoch"]
    report_results(WANTED, Path("results.json"), Path("RESULTS.md"))
    assert results["runs"][0]["absent"] == ["recognisers", "accent classifiers", "gender classifiers"]


def test_nothing_to_collect_is_one_sentence():
    with pytest.raises(InputError, match="nothing to collect: no file matches the scores of .*report.yaml"):
        collect()
    assert not Path("results.json").exists()


def page(only: str = "") -> None:
    written = (Path("results.json"), Path("RESULTS.md"), Path("page.html"))
    report_results(WANTED, *written, "Common Voice Catalan", PLACES, only)


def test_only_what_is_asked_for_is_collected_and_drawn():
    everything()
    Path("exp/recogniser/wav2vec2/own/plain/seed1/history.json").write_text(json.dumps([{"step": 1, "loss": 9.0}]))
    results = collect(only="random/plain/1 own/gradcam/2")
    rates = {(row["system"], *row["seeds"]) for row in results["rows"] if row["metric"] == "wer"}
    assert rates == {("random", 1), ("own + gradcam", 2)}
    for only, drawn in (("random/plain/1 own/plain/2", False), ("own/plain/1", True)):
        page(only)
        assert any("CTC fine-tuning" in title for title in charts_of(Path("page.html"))) == drawn


def test_pages_hold_all_tables_and_pictures(capsys: pytest.CaptureFixture):
    everything()
    for seed in (1, 2):
        for start in ("random", "own"):
            records = [{"step": 1, "loss": 9.0}, {"step": 1, "eval_dev_wer": 99.0, "eval_dev_cer": 70.0}]
            Path(f"exp/recogniser/wav2vec2/{start}/plain/seed{seed}/history.json").write_text(json.dumps(records))
    collect(synthetic=True)
    page()
    drawn = {title.partition("; ")[0].partition(":")[0] for title in charts_of(Path("page.html"))}
    assert drawn == {"Confusion", "CTC fine-tuning from each start, a line a seed", "Pretraining"}
    markdown, shown = Path("RESULTS_details.md").read_text(), Path("page.html").read_text()
    for text in ("SYNTHETIC", "Accent classifier, test", "21.50 (21.00 to 22.00)", "own + gradcam"):
        assert text in markdown and text in shown
    assert "On speakers in no training set, a recogniser from our pretrained model" in capsys.readouterr().out


def test_trainings_are_drawn_in_the_order_of_starts_and_systems():
    (order,) = {tuple(figure["order"]) for figure in read_specification(WANTED).figures if "order" in figure}
    assert set(read_systems(TOP / "egs/cv_ca/conf/systems.yaml")) <= set(order)
