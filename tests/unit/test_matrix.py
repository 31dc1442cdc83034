"""A matrix of methods, policies and recognisers: what it expands to, what is wrong with one, its rows and its table."""

import json
import re
from pathlib import Path

import pytest
import yaml
from accent_helpers import run_program
from command_helpers import scored, spread
from corpora_helpers import TOP
from expand_matrix import expand_matrix
from test_scoring_report import counts_file

from salience.errors import InputError
from salience.files import read_json
from salience.masking.matrix import read_matrix
from salience.masking.policies import ProbabilisticPolicy, TopSharePolicy
from salience.masking.systems import read_systems
from salience.training.keyword_systems import read_keyword_systems

RECIPES = sorted(path.parents[1].name for path in TOP.glob("egs/*/conf/matrix.yaml"))
MATRIX = {
    "methods": {"gradcam": None, "other": {"map": "other-utterance", "of": "gradcam"}},
    "policies": {"probabilistic": None, "top": {"top-share": 0.2}},
    "recognisers": {"whisper": {"model": "tiny", "beside": ["plain"]}, "hybrid": {"kind": "espnet", "model": "h.yaml"}},
    "named": {"the paper": {"method": "gradcam", "policy": "probabilistic", "recogniser": "whisper"}},
}


def written(folder: Path, **changes: object) -> Path:
    """A matrix, and the file that its hybrid starts from, in a folder."""
    (folder / "h.yaml").write_text("input_size: 80\n")
    path = folder / "matrix.yaml"
    path.write_text(yaml.safe_dump(MATRIX | changes, sort_keys=False))
    return path


def test_each_method_with_each_policy_is_a_system(tmp_path, monkeypatch, capsys):
    (tmp_path / "systems.yaml").write_text("plain: {}\ngradcam: {map: gradcam, policy: probabilistic}")
    out = tmp_path / "exp/systems.yaml"
    run_program(monkeypatch, "expand_matrix", matrix=written(tmp_path), systems=tmp_path / "systems.yaml", out=out)
    systems = read_systems(out)
    assert list(systems)[2:] == ["gradcam.probabilistic", "gradcam.top", "other.probabilistic", "other.top"]
    assert systems["gradcam.probabilistic"].policy == ProbabilisticPolicy()
    assert systems["other.top"].policy == TopSharePolicy(0.2)
    assert systems["other.top"].borrowed and systems["other.top"].map == "gradcam"
    said = dict(line.split("=", 1) for line in capsys.readouterr().out.splitlines())
    assert (
        said["recognisers"] == "'whisper hybrid'" and said["size"] == "'methods x policies x recognisers = 2 x 2 x 2'"
    )
    cells = said["cells"].strip("'").split()
    assert len(cells) == 9 and "whisper/plain" in cells and "hybrid/plain" not in cells
    assert said["declare -A model_of"] == f"([whisper]=tiny [hybrid]={tmp_path}/h.yaml)"


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_matrix_of_a_recipe_can_be_read(recipe):
    for path in TOP.glob(f"egs/{recipe}/conf/**/matrix.yaml"):
        matrix = read_matrix(path)
        assert matrix.named and set(matrix.named) <= set(matrix.cells)
        beside = {system for one in matrix.recognisers.values() for system in one.beside}
        assert beside <= set(matrix.axes.read(TOP / "egs" / recipe / "conf/systems.yaml"))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"methods": ["gradcan"]}, "there is no saliency method 'gradcan'; there are: "),
        ({"methods": ["gradcam", "gradcam"]}, "is neither a mapping nor a list of different names"),
        ({"policies": {"a/b": "probabilistic"}}, "the name 'a/b' has a slash, a dot or a space"),
        ({"policies": ["loud"]}, "there is no masking policy 'loud'"),
        ({"recognisers": {"whisper": {"modle": "tiny"}}}, "the recogniser whisper has no model; add it"),
        ({"recognisers": {"kaldi": {"model": "x"}}}, "there is no recogniser 'kaldi'; there are: espnet, "),
        ({"recognisers": None}, "the file has no recognisers; add it"),
        ({"rows": []}, "the file has the unknown key 'rows'; it takes methods, policies, recognisers, named"),
        (
            {"named": {"mine": {"method": "gradcam", "policy": "low", "recogniser": "whisper"}}},
            "the cell 'mine' names the policy 'low', which the matrix has not; it has probabilistic, top",
        ),
    ],
)
def test_what_is_wrong_in_a_matrix_is_said(tmp_path, changes, sentence):
    path = written(tmp_path, **changes)
    with pytest.raises(InputError) as caught:
        read_matrix(path)
    assert str(caught.value).startswith(f"{path}: ") and sentence in str(caught.value)


KEYWORDS = {
    "methods": {"generator": {"generator": "own"}, "gradcam": None},
    "policies": {"graded": None, "binarised": {"everywhere": 0, "percent": 10}},
    "recognisers": {"paper": {"kind": "keyword", "model": "paper", "beside": ["null"]}},
}


def test_noise_through_masks_of_keyword_networks(tmp_path, monkeypatch):
    path, lines = written(tmp_path, **KEYWORDS, named={}), tmp_path / "systems.yaml"
    lines.write_text('"null": {augmentation: {method: noise}}\nmany: {augmentation: {snr: [0, 5]}, choose: true}\n')
    out = tmp_path / "exp/systems.yaml"
    run_program(monkeypatch, "expand_matrix", matrix=path, systems=lines, out=out)
    known = read_keyword_systems(out)
    assert list(known)[2:] == ["generator.graded", "generator.binarised", "gradcam.graded", "gradcam.binarised"]
    noise = {"method": "noise", "masks": "own"}
    assert known["generator.graded"].augmentation == noise and known["generator.graded"].masks_of("bc") == "bc"
    assert known["gradcam.binarised"].augmentation == {**noise, "everywhere": 0, "percent": 10}
    assert known["gradcam.binarised"].masks_of("paper") == "paper/gradcam"
    # A family of systems is no cell.
    recognisers = {"paper": {"kind": "keyword", "model": "paper", "beside": ["many"]}}
    path = written(tmp_path, **KEYWORDS | {"recognisers": recognisers}, named={})
    with pytest.raises(InputError, match="has the system 'many' beside, which .* does not have; it has: null"):
        expand_matrix(path, lines, out)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"methods": ["gradcan"]}, "there is no saliency method 'gradcan'; there are: "),
        ({"policies": {"loud": 0.2}}, "the policy loud is 0.2; give it settings such as {percent: 10}, or none"),
        (
            {"recognisers": {"paper": {"kind": "keyword", "model": "paper"}, "whisper": {"model": "tiny"}}},
            "recognisers of the kinds keyword, whisper take different systems; give each a matrix",
        ),
    ],
)
def test_what_is_wrong_in_a_matrix_of_keyword_networks_is_said(tmp_path, changes, sentence):
    path = written(tmp_path, **KEYWORDS | {"named": {}} | changes)
    with pytest.raises(InputError) as caught:
        read_matrix(path)
    assert str(caught.value).startswith(f"{path}: ") and sentence in str(caught.value)


def test_cells_in_noise_have_a_mean_over_its_levels(tmp_path, monkeypatch):
    """In the report of the keyword recipe; a baseline, which is no cell, stands as it is."""
    monkeypatch.chdir(tmp_path)
    path, only = written(tmp_path, **KEYWORDS, named={}), []
    for number, system in enumerate(["baseline", *(system for _, system in read_matrix(path).cells)]):
        folder = tmp_path / f"exp/recogniser/paper/{system}/seed1"
        for place in ("score/test", *(f"score_noisy/{snr}/test_{name}" for snr in (0, 10) for name in "ab")):
            scored(folder / place, spread(10 + number + 20 * ("/0/" in place) + 2 * ("_b" in place)))
        only.append(f"paper/{system}/1")
    run = {"report": TOP / "egs/gsc_v2/conf/report.yaml", "corpus": "toy", "only": " ".join(only), "values.exp": "exp"}
    run |= {
        "values.matrix": path,
        "values.recognisers": "paper",
        "values.in_domain": "test_a",
        "values.out_of_domain": "test_b",
    }
    common = {"synthetic": "true", "command": "./run.sh", "recogniser": "paper"}
    run_program(monkeypatch, "collect_results", out="results.json", **common, **run)
    results = read_json(tmp_path / "results.json")
    assert results["runs"][0]["absent"] == []  # what one kind of recogniser alone has is not asked of a matrix
    rows = {
        (row["set"], row["snr"], row["method"], row["policy"]): row
        for row in results["rows"]
        if row["metric"] == "error"
    }
    places = [("test", None), *((f"test_{name}", snr) for name in "ab" for snr in (0, 10, "mean"))]
    methods = [("baseline", None), ("null", None), *((a, b) for a in KEYWORDS["methods"] for b in KEYWORDS["policies"])]
    assert set(rows) == {(*place, *method) for place in places for method in methods}
    for method in methods:
        at = [rows["test_a", snr, *method]["value"] for snr in (0, 10)]
        assert at[0] == at[1] + 10 and rows["test_a", "mean", *method]["value"] == sum(at) / 2
    run_program(monkeypatch, "report_results", results="results.json", out="RESULTS.md", **run)
    details = (tmp_path / "RESULTS_details.md").read_text()
    for name, graded in (("test", "6.0"), ("test_a", "11.0")):
        _, table = details.split(f"Error on {name} of each method with each policy")
        assert re.search(rf"\| paper \| generator \| – \| {graded} \(", table)


@pytest.mark.parametrize("text", ["", "- a\n", "a: [\n"])
def test_a_file_that_is_no_matrix(tmp_path, text):
    (tmp_path / "matrix.yaml").write_text(text)
    with pytest.raises(InputError, match="give a file such as egs/fsdd/conf/matrix.yaml"):
        read_matrix(tmp_path / "matrix.yaml")


def test_rows_and_table_of_a_matrix(tmp_path, monkeypatch):
    """Each cell where its method and policy meet, compared within its own recogniser."""
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path)
    only = []
    for number, (recogniser, system) in enumerate(read_matrix(path).cells):
        for seed in (1, 2):
            folder = tmp_path / f"exp/recogniser/{recogniser}/{system}/seed{seed}/score/unseen"
            counts_file(folder, 10 * number + seed, 0.05 * number + 0.1)
            only.append(f"{recogniser}/{system}/{seed}")
    (tmp_path / "report.yaml").write_text(f"include: {TOP}/conf/report_accents.yaml\ntitle: A matrix\n")
    run = {"report": "report.yaml", "corpus": "toy", "only": " ".join(only), "values.exp": "exp"}
    run |= {"values.sets": "unseen", "values.matrix": path, "values.recognisers": "whisper hybrid"}
    run_program(
        monkeypatch,
        "collect_results",
        out="results.json",
        synthetic="false",
        command="./run.sh",
        recogniser="two",
        **run,
    )
    results = read_json(tmp_path / "results.json")
    rows = {row["system"]: row for row in results["rows"] if row["metric"] == "wer" and row["accent"] is None}
    assert len(rows) == 9
    cell = rows["whisper + gradcam.probabilistic"]
    assert {cell[name] for name in ("recogniser", "method", "policy", "cell")} == {
        "whisper", "gradcam", "probabilistic", "the paper",
    }  # fmt: skip
    assert rows["hybrid + other.top"]["cell"] is None and rows["whisper + plain"]["policy"] is None
    pairs = {(one["system"], one["against"]) for one in results["comparisons"]}
    assert pairs == {(name, "whisper + plain") for name in rows if name.startswith("whisper") and "plain" not in name}
    run_program(monkeypatch, "report_results", results="results.json", out="RESULTS.md", **run)
    lines = (tmp_path / "RESULTS_details.md").read_text().splitlines()
    start = next(n for n, line in enumerate(lines) if "of each method with each policy" in line)
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start:] if line.startswith("|")]
    assert table[0] == ["recogniser", "method", "as it is", "probabilistic", "top"]
    for recogniser, method, *cells in table[2:7]:
        expected = [rows.get(f"{recogniser} + {name}") for name in (method, f"{method}.probabilistic", f"{method}.top")]
        assert [cell.split()[0] for cell in cells] == [f"{row['value']:.1f}" if row else "–" for row in expected]
    assert "the paper: whisper, gradcam, probabilistic." in json.dumps("\n".join(lines[start:]))
