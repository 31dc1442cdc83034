"""The report of a bubble cooperative network, from scores, proportions and masks to pages and pictures."""

import contextlib
import importlib
import io
import json
import re
import shlex
import shutil
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import soundfile
from page_helpers import charts_of, data_of

from salience.data.tables import write_table
from salience.errors import InputError
from salience.features.archives import ArchiveWriter
from salience.program import main
from salience.randomness import generator
from salience.scoring.noise_masks import frequency_importance, importance_rows, peaks, proportion_rows, read_proportions
from salience.scoring.patterns import matches, split
from salience.scoring.rates import read_scores
from salience.scoring.results import read_results

TOP = Path(__file__).resolve().parents[2]
COMMON = {
    "corpus": "AN4",
    "synthetic": True,
    "recogniser": "listener",
    "command": "./run.sh",
    "commit": "a",
    "date": "d",
}
IDS = [f"s{speaker:02}-an{utterance}-b" for speaker in range(12) for utterance in range(3)]
SNRS = ("clean", "20", "10", "0")
SWEEPS = {"asr": (0.1, 0.5, 2), "mask": (0.04, 0.7, 11.37), "entropy": (1, 5, 25.71), "smoothness": (1, 100, 10000)}


def program(name: str, *options: object, cwd: Path) -> tuple[str, str]:
    """What a program prints, command line and all, and its last words if it fails."""
    stem = name.removesuffix(".py")
    words = [f"local/{name}", *map(str, options)]
    with (
        contextlib.chdir(cwd),
        mock.patch.object(sys, "argv", words),
        contextlib.redirect_stdout(io.StringIO()) as output,
    ):
        try:
            main(getattr(importlib.import_module(stem), stem))
        except SystemExit as end:
            return output.getvalue(), str(end.code)
    return output.getvalue(), ""


def scored(folder: Path, name: str, share: float, ids: list[str] = IDS) -> Path:
    """A counts.json as score_words.py writes it where both normalisers are raw, with random errors."""
    rng = generator(*folder.parts[-4:], name)
    of_kind = {
        "words": [4] * len(ids),
        "word_errors": rng.binomial(4, min(share * 1.5, 1), len(ids)).tolist(),
        "characters": [20] * len(ids),
        "character_errors": rng.binomial(40, share / 2, len(ids)).tolist(),
    }
    value = {
        "normalisers": {"raw": "raw 1", "normalised": "raw 1"},
        "ids": ids,
        "speakers": [key.split("-")[0] for key in ids],
        "accents": None,
        "missing": [],
        "raw": of_kind,
        "normalised": of_kind,
    }
    (folder / name).mkdir(parents=True)
    (folder / name / "counts.json").write_text(json.dumps(value))
    return folder / name / "counts.json"


def errors_of(path: Path) -> np.ndarray:
    return np.array(json.loads(path.read_text())["raw"]["character_errors"])


def proportions(path: Path, share: float) -> None:
    write_table(path, {key: f"{share + 0.001 * place:.6f} {min(1, share + 0.03):.6f}" for place, key in enumerate(IDS)})


def band_mask(frames: int, bins: int = 513) -> np.ndarray:
    """Spares 300 to 700 Hz wholly and 1,600 to 1,800 Hz for the most part; noise elsewhere."""
    hertz = np.linspace(0, 8000, bins)
    mask = np.full((frames, bins), 0.95, np.float32)
    mask[:, (hertz > 300) & (hertz < 700)] = 0.05
    mask[:, (hertz > 1600) & (hertz < 1800)] = 0.4
    return mask


def conditions(top: Path) -> None:
    for name in ("dev", "test"):
        for seed in (1, 2, 3):
            scored(top / f"score/clean/seed{seed}/noise0", name, 0.1)
            for draw in (1, 2):
                scored(top / f"score/masked-noise/seed{seed}/noise{draw}", name, 0.13)
                scored(top / f"score/noise-alone/seed{seed}/noise{draw}", name, 0.8)
                scored(top / f"score/full-noise/seed{seed}/noise{draw}", name, 1.2)
                proportions(
                    top / f"noisy/masked-noise/seed{seed}/noise{draw}/{name}/noise_proportion", 0.9 + 0.01 * draw
                )


def everything(top: Path) -> None:
    conditions(top)
    for number, system in enumerate(("baseline", "retrain-clean", "retrain-everywhere", "retrain-spared")):
        for seed in (1, 2, 3):
            for place, snr in enumerate(SNRS):
                scored(top / f"score/snr/{system}/seed{seed}/{snr}", "test", 0.1 + (0.2 - 0.05 * number) * place)
    for weight, values in SWEEPS.items():
        for place, value in enumerate(values):
            for name in ("dev", "test"):
                scored(top / f"score/sweeps/{weight}/{value}/seed1", name, 0.1 + 0.05 * place)
                proportions(top / f"sweeps/{weight}/{value}/seed1/masks/{name}/noise_proportion", 0.8 + 0.05 * place)
    for seed in (1, 2):
        with ArchiveWriter(top / f"masks/seed{seed}/test/mask") as archive:
            for key in IDS[:4]:
                archive.write(key, band_mask(94))
        folder = top / f"estimator/seed{seed}"
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({"window": 1024, "hop": 256}))
        history = [
            {
                "step": step,
                "eval_dev_cer": 11 + 100 / step,
                "eval_dev_clean_cer": 10.0,
                "eval_dev_noise_proportion": 90 - 40 / step,
            }
            for step in range(1, 12)
        ]
        (folder / "history.json").write_text(json.dumps([{"step": 1, "loss": 3.0}, *history]))
    rng = np.random.default_rng(4)
    for key in IDS[:4]:
        seconds = np.arange(94 * 256 - 256) / 16000
        tone = 0.2 * np.sin(2 * np.pi * (500 + 200 * np.sin(5 * seconds)) * seconds) * (np.sin(9 * seconds) > -0.5)
        (top / "wav").mkdir(exist_ok=True)
        soundfile.write(top / f"wav/{key}.wav", tone + 0.001 * rng.standard_normal(len(tone)), 16000)
    tables = {
        "wav.scp": lambda key: f"{top}/wav/{key}.wav",
        "text": lambda key: "ENTER SIX TWO",
        "utt2spk": lambda key: key[:3],
        "utt2dur": lambda key: "1.488",
    }
    for table, value in tables.items():
        write_table(top / "data/test" / table, {key: value(key) for key in IDS[:4]})


WANTED = TOP / "egs/an4/conf/report.yaml"
COLLECT = shlex.split(
    f"--report {WANTED} --out results.json --corpus AN4 --synthetic false --command ./run.sh --values.scores score "
    "--values.noisy noisy --values.masks masks --values.sweep sweeps --values.dump dump --values.seed '1 2 3' "
    "--values.retrained 'baseline retrain-clean retrain-everywhere retrain-spared' --values.first_seed 1 "
    f"--values.sweeps '{' '.join(SWEEPS)}'"
)
REPORT = f"--report {WANTED} --results results.json --out RESULTS.md --html report.html --corpus AN4".split()
REPORT += [*COLLECT[COLLECT.index("--values.scores") :], "--values.data", "data", "--values.estimators", "estimator"]


def run(top: Path, *steps: tuple[str, list[str]]) -> str:
    for name, options in steps:
        printed, failure = program(name, *options, cwd=top)
        assert not failure
    return printed


def test_draws_are_averaged_within_their_seed(tmp_path: Path):
    pattern = f"{tmp_path}/{{system}}/seed{{seed}}/noise{{draw}}/{{set}}"
    files = [
        scored(tmp_path / f"masked/seed{seed}/noise{draw}", "test", 0.1 * draw) for seed in (1, 2) for draw in (1, 2, 3)
    ]
    scored(tmp_path / "clean/seed1/noise0", "test", 0.1)
    scores = read_scores(pattern)["test"]
    assert scores["masked"].seeds == [1, 2]
    expected = np.array([errors_of(path) for path in files]).reshape(2, 3, len(IDS)).mean(axis=1)
    np.testing.assert_allclose(scores["masked"].errors["raw", "cer"], expected)
    assert len(scores["masked"].ids) == len(IDS)
    # Both normalisers are the same one, which is scored once.
    assert {kind for kind, _ in scores["clean"].lengths} == {"raw"}
    files[4].unlink()
    with pytest.raises(InputError, match="masked is not scored with the same seeds, folds and draws"):
        read_scores(pattern)


def test_a_pattern_is_split_by_what_it_names(tmp_path: Path):
    for snr in ("10", "clean", "5", "20"):
        (tmp_path / "a" / snr / "test").mkdir(parents=True)
    parts = split(f"{tmp_path}/{{system}}/{{snr}}/{{set}}", "snr")
    assert parts == [({"snr": snr}, f"{tmp_path}/{{system}}/{snr}/{{set}}") for snr in ("clean", 20, 10, 5)]
    assert split(f"{tmp_path}/{{system}}/{{set}}", "snr") == [({}, f"{tmp_path}/{{system}}/{{set}}")]
    for value in ("0.5", "10", "2"):
        (tmp_path / "sweeps/mask" / value).mkdir(parents=True)
    assert [p["value"] for p, _ in split(f"{tmp_path}/sweeps/{{weight}}/{{value}}", "weight", "value")] == [0.5, 2, 10]


def test_a_pattern_may_name_what_it_stands_for(tmp_path: Path):
    for seed in (1, 2, 12):
        for snr in ("clean", "0", "10"):
            (tmp_path / f"seed{seed}/{snr}").mkdir(parents=True)
    pattern = f"{tmp_path}/seed{{seed:1|2}}/{{snr:clean|10}}"
    assert {(fields["seed"], fields["snr"]) for fields, _ in matches(pattern)} == {
        ("1", "clean"),
        ("1", "10"),
        ("2", "clean"),
        ("2", "10"),
    }
    parts = split(pattern, "snr")
    assert [fields for fields, _ in parts] == [{"snr": "clean"}, {"snr": 10}]
    assert [fields for fields, _ in matches(parts[0][1])] == [{"seed": "1"}, {"seed": "2"}]
    assert matches(f"{tmp_path}/seed{{seed:1.}}/{{snr}}") == []  # no pattern within a value


def test_what_other_runs_left_changes_nothing(tmp_path: Path):
    """Seeds, draws, ratios and values that the patterns do not name."""
    values = {"seed": "1 2", "draw": "0 1", "snr": "clean 10", "weight_value": "0.1 2 1 5"}
    named = [*COLLECT, *(word for name, value in values.items() for word in (f"--values.{name}", value))]
    everything(tmp_path)
    run(tmp_path, ("collect_results.py", named))
    rows = read_results(tmp_path / "results.json")["rows"]
    for left in (
        "score/*/seed3",
        "score/*/*/noise2",
        "noisy/*/seed3",
        "noisy/*/*/noise2",
        "score/snr/*/seed3",
        "score/snr/*/*/20",
        "score/snr/*/*/0",
    ):
        for folder in tmp_path.glob(left):
            shutil.rmtree(folder)
    for folder in (*tmp_path.glob("sweeps/*/*"), *tmp_path.glob("score/sweeps/*/*")):
        if folder.name not in ("0.1", "2", "1", "5"):
            shutil.rmtree(folder)
    (tmp_path / "results.json").unlink()
    run(tmp_path, ("collect_results.py", COLLECT))
    assert strip_dates(read_results(tmp_path / "results.json")["rows"]) == strip_dates(rows)
    assert {row["snr"] for row in rows} == {None, "clean", 10}


def strip_dates(rows: list[dict]) -> list[dict]:
    return [{key: value for key, value in row.items() if key not in ("date", "commit")} for row in rows]


def test_proportions_count_points_on_real_frames_and_utterances_when_padded(tmp_path: Path):
    for draw, shares in ((1, ("0.8 0.9", "0.5 0.6")), (2, ("1 1", "0.5 0.6"))):
        write_table(tmp_path / f"draw{draw}/test", dict(zip(("a-1", "b-1"), shares)))
    found = read_proportions(f"{tmp_path}/draw{{draw}}/{{set}}")["test"][""]
    real, padded = proportion_rows("test", {"masked-noise": found}, COMMON, {"a-1": 300, "b-1": 100})
    assert (real["metric"], real["value"], real["n"]) == ("noise_proportion", 80.0, 2)  # (0.9 * 300 + 0.5 * 100) / 400
    assert (padded["metric"], padded["value"]) == ("noise_proportion_padded", 77.5)  # (0.95 + 0.6) / 2
    assert proportion_rows("test", {"masked-noise": found}, COMMON)[0]["value"] == 70.0
    with pytest.raises(InputError, match="frames of b-1 is not known"):
        proportion_rows("test", {"masked-noise": found}, COMMON, {"a-1": 300})
    for wrong in ("0.8", "80 90", "nan 0.5", "a b"):
        write_table(tmp_path / "draw2/test", {"a-1": "1 1", "b-1": wrong})
        with pytest.raises(InputError, match="draw2/test:2: b-1 needs two shares"):
            read_proportions(f"{tmp_path}/draw{{draw}}/{{set}}")


def test_bands_and_peaks_are_where_the_mask_is_open():
    curve = frequency_importance([band_mask(10), band_mask(30)])
    assert [round(hertz, -2) for hertz, _ in peaks(curve)] == [500, 1700]
    rows = {
        (tuple(r["band"]), r["metric"]): r["value"]
        for r in importance_rows("test", "m", {1: curve}, COMMON)
        if "band" in r
    }
    open_bins = (np.sum((curve.hertz > 300) & (curve.hertz < 700)), np.sum((curve.hertz > 1600) & (curve.hertz < 1800)))
    assert rows[(0, 1000), "important_points"] == pytest.approx(100 * open_bins[0] / sum(open_bins), abs=0.01)
    assert rows[(1500, 2000), "important_points"] == pytest.approx(100 * open_bins[1] / sum(open_bins), abs=0.01)
    assert rows[(1000, 1500), "important_share"] == 0
    assert rows[(2000, 4000), "mean_importance"] == pytest.approx(5, abs=0.01)
    assert sum(value for (_, metric), value in rows.items() if metric == "band_points") == pytest.approx(100, abs=0.01)
    # Frames count alike, whichever utterance they are of.
    mixed = frequency_importance([np.zeros((30, 5)), np.ones((10, 5))])
    assert mixed.importance.tolist() == [0.75] * 5
    flat = frequency_importance([np.ones((10, 513))])
    assert peaks(flat) == []
    assert not any(row["metric"] == "important_points" for row in importance_rows("test", "m", {1: flat}, COMMON))
    low = np.ones((10, 513))
    low[:, :20] = 0
    assert peaks(frequency_importance([low]))[0][0] < 300


def test_programs_from_scores_to_page_and_pictures(tmp_path: Path):
    everything(tmp_path)
    printed = run(tmp_path, ("collect_results.py", COLLECT), ("report_results.py", REPORT))
    results = read_results(tmp_path / "results.json")
    rows = results["rows"]

    def value(**wanted: object) -> float:
        (found,) = (r for r in rows if all(r.get(key) == wanted.get(key) for key in (*wanted, "snr", "weight")))
        return found["value"]

    clean = (
        np.mean([errors_of(p).sum() for p in tmp_path.glob("score/clean/*/*/test/counts.json")]) / (20 * len(IDS)) * 100
    )
    assert value(system="clean", set="test", metric="cer") == pytest.approx(clean, abs=1e-3)
    assert value(system="clean", set="dev", metric="noise_proportion") == 0
    assert value(system="full-noise", set="dev", metric="noise_proportion_padded") == 100
    noisy = [errors_of(p).sum() for p in tmp_path.glob("score/snr/retrain-spared/*/0/test/counts.json")]
    assert value(system="retrain-spared", set="test", metric="cer", snr=0) == pytest.approx(
        np.mean(noisy) / 7.2, abs=1e-3
    )
    assert value(system="masked-noise", set="test", metric="cer", weight="mask", weight_value=0.04) > 0

    weights = [row["weight"] for row in rows if row.get("weight") is not None and row["metric"] == "cer"]
    assert list(dict.fromkeys(weights)) == list(SWEEPS)
    compared = {
        (c["system"], c["against"], c.get("snr"))
        for c in results["comparisons"]
        if c["metric"] == "cer" and c["set"] == "test"
    }
    against = {
        ("retrain-spared", other, s)
        for other in ("baseline", "retrain-clean", "retrain-everywhere")
        for s in ("clean", 20, 10, 0)
    }
    conditions = {(name, "clean", None) for name in ("masked-noise", "noise-alone", "full-noise")}
    assert compared == against | conditions | {("noise-alone", "masked-noise", None)}
    assert all(c["resampled"] == "speaker" for c in results["comparisons"])

    page = (tmp_path / "RESULTS_details.md").read_text()
    for shown in (
        r"^\| condition \| CER dev \| CER dev, paper \|",
        r"^\| masked-noise \| [\d.]+ \| 19\.7 \| [\d.]+ \| 13\.9 \| [\d.]+ \| [\d.]+ \| 90\.6 \|",
        r"^\| recogniser \| clean \| 20 dB \| 10 dB \| 0 dB \| seeds \|",
        r"^\| weight \| CER \| noise \| seeds \|",
        r"^\| below 1,000 Hz \| 12\.5 \|",
        r"^### CER of a system minus that of another on test in noise of 0 dB, raw 1, in points",
        r"^\| retrain-spared \| baseline \| -[\d.]+ \(-[\d.]+ to -[\d.]+\) \| .*\| 3 of 3 \| < 0.001 \| 36 \|",
        r"Peaks of the mean importance, the highest first: 500 Hz",
    ):
        assert re.search(shown, page, re.M), shown
    assert re.findall(r"Not in this run: (.*)\.", page) == [
        "the band control, faithfulness of masks"
    ]  # test_writing.py and test_in_noise.py have them
    assert re.search(r"^clean speech +\d", printed, re.M) and "Noise over 9" in printed
    assert "Without the speech the same noise gives" in (tmp_path / "RESULTS.md").read_text()

    assert charts_of(tmp_path / "report.html") == [
        *(f"Weight of the {weight} term varied, {name}" for name in ("dev", "test") for weight in SWEEPS),
        "White noise, test, with 95 % intervals",
        "Which frequencies the masks spare, 4 utterances",
        "Training of the mask estimator: dev CER above clean speech (points)",
        "Training of the mask estimator: dev noise proportion (%)",
    ]
    assert all("picture" in utterance for utterance in data_of(tmp_path / "report.html")["utterances"])


def test_what_a_run_did_not_make_is_left_out_and_said(tmp_path: Path):
    conditions(tmp_path)
    run(tmp_path, ("collect_results.py", COLLECT), ("report_results.py", REPORT))
    page = (tmp_path / "RESULTS_details.md").read_text()
    absent = "retrained recognisers, sweeps of the weights, the band control, masks, faithfulness of masks"
    assert f"**Not in this run: {absent}.**" in page
    assert "| masked-noise |" in page and "recogniser |" not in page and "Weight of the loss" not in page
    assert charts_of(tmp_path / "report.html") == []


def test_no_scores_at_all_is_one_sentence(tmp_path: Path):
    _, failure = program("collect_results.py", *COLLECT, cwd=tmp_path)
    assert failure.startswith("collect_results.py: no scores match score/") and "\n" not in failure


def test_an_utterance_that_is_not_there_cannot_be_drawn(tmp_path: Path):
    everything(tmp_path)
    run(tmp_path, ("collect_results.py", COLLECT))
    _, failure = program("report_results.py", *REPORT, "--values.examples", "nobody", cwd=tmp_path)
    assert failure == "report_results.py: data/test has no utterance nobody; correct --examples"
