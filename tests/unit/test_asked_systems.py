"""Which stages, programs and folders the asked systems need: others are passed, what other runs left is left alone."""

import json
import os
import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from corpora_helpers import TOP

STUB = r"""#!/usr/bin/env bash
line=$(printf '%s\037' "${0##*/}" "$@")
echo "$line" >> "$CALLS"
"""
ACCENTS = {"librispeech_edacc": ("ls", ""), "cv_fa_pdid": ("standard", ""), "fsdd": ("seen unseen", "/german"),
           "cv_en_saa": ("standard", "")}  # fmt: skip
"""Test sets of the accent recipes, and the folder of a fold."""


class Project:
    """A copy of the project whose programs only note how they are called; a corpus is not there."""

    def __init__(self, top: Path) -> None:
        self.top, self.calls = top, top / "calls"
        ignored = shutil.ignore_patterns("data", "dump", "exp", "downloads", "__pycache__", "salience")
        for name in ("conf", "utils", "egs", "local"):
            shutil.copytree(TOP / name, top / name, ignore=ignored, symlinks=True)
        for name in ("path.sh", "run.sh", "requirements.txt"):
            shutil.copy2(TOP / name, top / name)
        (top / ".venv").symlink_to((TOP / ".venv").resolve())
        # What says which recognisers are asked for, and what they need, is no stub.
        (top / "local/salience").symlink_to(TOP / "local/salience")
        for path in [*top.glob("local/*.py"), *top.glob("egs/*/local/[!l]*.py"), top / "local/make_mini_whisper.sh"]:
            if path.name not in ("describe_systems.py", "expand_matrix.py"):
                path.write_text(STUB)
                path.chmod(0o755)
        (top / "utils/split_data.sh").write_text("#!/bin/sh\n")  # there is no data to split

    def has(self, recipe: str, *names: str) -> None:
        for name in names:
            path = self.top / "egs" / recipe / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    def run(self, recipe: str, stages: str, *words: str, code: int = 0) -> list[list[str]]:
        """The programs that these stages call, with their options; `said` is what the recipe says."""
        self.calls.unlink(missing_ok=True)
        kept = {
            k: v
            for k, v in os.environ.items()
            if k not in ("PYTHONPATH", "OMP_NUM_THREADS", "SALIENCE_ROOT", "SALIENCE_CALLER")
        }
        command = [
            self.top / "run.sh",
            "--egs",
            recipe,
            "--mini",
            "true",
            "--stage",
            stages[0],
            "--stop-stage",
            stages[-1],
            *words,
        ]
        done = subprocess.run(
            command, cwd=self.top, env=kept | {"CALLS": str(self.calls)}, capture_output=True, text=True
        )
        assert done.returncode == code, done.stdout + done.stderr
        self.said = done.stdout + done.stderr
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        return [line.removesuffix("\x1f").split("\x1f") for line in lines]

    def passed(self) -> list[str]:
        return re.findall(r"stage (\d) is passed: \S", self.said)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "with space")


def option(call: list[str], name: str) -> str:
    return call[call.index(name) + 1]


@pytest.mark.parametrize("recipe", ACCENTS)
def test_zero_shot_needs_test_sets_and_a_model(project: Project, recipe: str) -> None:
    sets, fold = ACCENTS[recipe]
    project.has(recipe, *(f"data/mini{fold}/{name}/utt2spk" for name in sets.split()))
    project.has(
        recipe,
        *(f"exp/mini{fold}/recogniser/whisper/zero-shot/seed0/score/{name}/counts.json" for name in sets.split()),
    )
    calls = project.run(recipe, "39", "--systems", "zero-shot")
    assert project.passed() == ["3", "4", "5", "6"]
    assert [call[0] for call in calls] == [
        "make_mini_whisper.sh",
        "decode.py",
        "score_words.py",
        "collect_results.py",
        "report_results.py",
    ]
    decode, score, collect, report = calls[1:]
    assert (
        option(score, "--hyp")
        == f"{option(decode, '--out')}/{{set}}/text"
        == f"exp/mini{fold}/recogniser/whisper/zero-shot/seed0/decode/{{set}}/text"
    )
    assert option(collect, "--only") == "zero-shot/0" and option(collect, "--values.sets") == sets
    assert option(collect, "--values.masked") == "" and "--values.classified" not in collect
    assert option(report, "--values.example") == f"/mini{fold}" and option(report, "--values.masked") == ""


def test_recognisers_of_another_recipe_are_decoded_as_they_are(project: Project) -> None:
    """Nothing is mapped, masked or trained for them; where they are counts from the caller."""
    own, exp = "librispeech_edacc", "exp/mini/recogniser/whisper"
    sets = ACCENTS[own][0].split()
    places = [f"{exp}/{place}" for place in ("zero-shot/seed0", "gradcam/seed1", "gradcam/seed2")]
    project.has(own, *(f"{place}/score/{name}/counts.json" for place in places for name in sets))
    there = project.top / "egs/cv_en_saa/exp/of others"
    there.mkdir(parents=True)
    learnt = ["--learnt-dirs", "egs/cv_en_saa/data/asr_train"]
    words = ["--systems", "zero-shot gradcam", "--seeds", "1 2", *learnt, "--trained-dir"]
    project.has(own, "downloads/mini/edacc/root.txt")
    prepare, check = project.run(own, "11", *words, "egs/cv_en_saa/exp/of others")
    assert option(prepare, "--learnt") == "../cv_en_saa/data/asr_train"
    assert "../cv_en_saa/data/asr_train" in option(check, "--train").split()
    project.has(own, *(f"data/mini/{name}/utt2spk" for name in sets))
    calls = project.run(own, "39", *words, "egs/cv_en_saa/exp/of others")
    assert project.passed() == ["3", "4", "5", "6"]
    decodings = sorted(
        (call for call in calls if call[0] == "decode.py"), key=lambda call: places.index(option(call, "--out")[:-7])
    )
    assert [option(call, "--out") for call in decodings] == [f"{place}/decode" for place in places]
    assert [option(call, "--models") for call in decodings[1:]] == [
        f"'{there}/whisper/gradcam/seed1'",
        f"'{there}/whisper/gradcam/seed2'",
    ]
    (collect,) = (call for call in calls if call[0] == "collect_results.py")
    assert option(collect, "--values.trained") == "" == option(collect, "--values.masked")
    project.has(own, "data/mini/cls_train/utt2spk", "dump/mini/cls_train/feats.scp")
    project.has(own, "exp/mini/classifier/cnn/model.safetensors")
    further = ["--methods", "gradcam", "--faithfulness-limit", "0", "--location-limit", "0"]
    calls = project.run(own, "44", *words, "egs/cv_en_saa/exp/of others", *further)
    assert {option(call, "--methods") for call in calls if call[0] == "map_saliency.py"} == {"gradcam"}
    project.run(own, "39", *words, "nowhere", code=1)
    assert "nowhere is no folder; give the exp/recogniser of a recipe that ran to stage 6" in project.said
    project.run(own, "39", *words[:4], "--trained-dir", "egs/cv_en_saa/exp/of others", code=1)
    assert "--trained-dir needs --learnt-dirs" in project.said


@pytest.mark.parametrize(
    ("systems", "passed", "programs"),
    [("zero-shot plain", "345", ["finetune.py"]), ("plain specaugment", "34", ["mask_features.py", "finetune.py"]),
     ("plain gradcam++", "", ["train_classifier.py", "map_saliency.py", "mask_features.py", "finetune.py"])],
)  # fmt: skip
def test_a_stage_that_no_system_needs_is_passed(
    project: Project, systems: str, passed: str, programs: list[str]
) -> None:
    recipe = "librispeech_edacc"
    project.has(recipe, "data/mini/asr_train/utt2spk", "dump/mini/asr_train/feats.scp", "data/mini/ls/utt2spk")
    if "gradcam++" in systems:
        assert project.run(recipe, "3", "--systems", systems, code=1) == []
        assert (
            "there is no " in project.said
            and "leave out the systems whose masks come from its classifier (gradcam++) with --systems" in project.said
        )
        project.has(
            recipe,
            "data/mini/cls_train/utt2spk",
            "dump/mini/cls_train/feats.scp",
            "exp/mini/classifier/cnn/model.safetensors",
        )
        project.has(recipe, "exp/mini/saliency/cnn/gradcam++/asr_train/saliency.scp")
    calls = project.run(recipe, "36", "--systems", systems, "--nj", "1")
    assert project.passed() == list(passed)
    called = dict.fromkeys(call[0] for call in calls)
    assert [
        name for name in called if name in {"train_classifier.py", "map_saliency.py", "mask_features.py", "finetune.py"}
    ] == programs
    variants = [option(call, "--system") for call in calls if call[0] == "finetune.py"]
    assert sorted(variants) == sorted(set(systems.split()) - {"zero-shot"})
    mapped = [option(call, "--methods") for call in calls if call[0] == "map_saliency.py"]
    assert mapped == (["gradcam++"] if "gradcam++" in systems else [])
    # Nor are sets made ready that only other systems need.
    (extract,) = [
        call for call in project.run(recipe, "2", "--systems", systems, "--nj", "1") if call[0] == "extract_features.py"
    ]
    assert option(extract, "--sets").split() == [*(["cls_train"] if "gradcam++" in systems else []), "asr_train", "ls"]


def test_a_matrix_trains_and_reports_each_recogniser(project: Project) -> None:
    recipe, exp = "fsdd", "exp/mini/german"
    data = [f"data/mini/german/{name}/utt2spk" for name in ("cls_train", "asr_train", "seen", "unseen")]
    archives = [f"dump/mini/german/{name}/feats.scp" for name in ("cls_train", "asr_train")]
    maps = [f"{exp}/saliency/cnn/{name}/asr_train/saliency.scp" for name in ("gradcam", "random")]
    project.has(recipe, *data, *archives, *maps, f"{exp}/classifier/cnn/model.safetensors")
    options = ["--matrix", "conf/mini/matrix.yaml", "--seeds", "1 2"]
    calls = project.run(recipe, "36", *options)
    assert "matrix.yaml: methods x policies x recognisers = 2 x 2 x 2; " in project.said
    assert "cells: 11, trainings of recognisers: 20, in each fold of: german" in project.said
    (mapping,) = {option(call, "--methods") for call in calls if call[0] == "map_saliency.py"}
    assert mapping == "gradcam random"
    trainings = [call for call in calls if call[0] == "finetune.py"]
    cells = [f"{method}.{policy}" for method in ("gradcam", "random") for policy in ("probabilistic", "top-share")]
    trained = [f"{of}/{system}/seed{s}" for of in ("whisper", "hybrid") for system in ["plain", *cells] for s in (1, 2)]
    assert sorted(option(call, "--out") for call in trainings) == sorted(f"{exp}/recogniser/{one}" for one in trained)
    for call in trainings:
        hybrid = "/hybrid/" in option(call, "--out")
        assert option(call, "--recogniser") == ("espnet" if hybrid else "whisper")
        assert option(call, "--config") == f"conf/mini/finetune{'_espnet' if hybrid else ''}.yaml"
        assert option(call, "--model").endswith("conf/mini/hybrid.yaml" if hybrid else "whisper-mini/mini.pt")
        assert option(call, "--out").endswith(f"{option(call, '--system')}/seed{option(call, '--seed')}")
        assert ("--language" in call) != hybrid
    scores = ["whisper/zero-shot/seed0", *trained]
    project.has(recipe, *(f"{exp}/recogniser/{one}/history.json" for one in trained))
    calls = project.run(recipe, "78", *options)
    assert sorted(option(call, "--out") for call in calls if call[0] == "decode.py") == sorted(
        f"{exp}/recogniser/{one}/decode" for one in scores
    )
    counts = [f"{exp}/recogniser/{one}/score/{name}/counts.json" for one in scores for name in ("seen", "unseen")]
    project.has(recipe, *counts)
    collect, report = project.run(recipe, "9", *options, "--label", "my own")
    assert option(collect, "--only").split() == [one.replace("seed", "") for one in scores]
    assert option(collect, "--corpus") == option(report, "--corpus") == "Free Spoken Digit Dataset, matrix, my own"
    assert "--values.recogniser" not in collect and option(collect, "--values.recognisers") == "whisper hybrid"
    project.run(recipe, "6", *options, "--systems", "plain", code=1)
    assert "matrix.yaml says what --systems does; leave that out, or --matrix" in project.said


@pytest.mark.parametrize("recipe", ACCENTS)
def test_what_other_systems_seeds_and_folds_left_is_not_scored(project: Project, recipe: str) -> None:
    sets, fold = ACCENTS[recipe]
    name = sets.split()[0]
    whisper = f"exp/mini{fold}/recogniser/whisper"
    project.has(
        recipe,
        *(f"data/mini{fold}/{name}/utt2spk" for name in sets.split()),
        f"{whisper}/plain/seed1/history.json",
        f"{whisper}/plain/seed2/history.json",
    )
    # Without hypotheses of the set, and with.
    project.has(
        recipe,
        f"{whisper}/gradcam/seed1/decode/old/text",
        f"{whisper}/plain/seed3/decode/{name}/text",
        f"{whisper}/plain/seed0/score/{name}/counts.json",
    )
    options = ["--systems", "zero-shot plain", "--seeds", "1 2"]
    calls = project.run(recipe, "78", *options)
    scored = [option(call, "--out") for call in calls if call[0] == "score_words.py"]
    asked = ["zero-shot/seed0", "plain/seed1", "plain/seed2"]
    assert sorted(scored) == sorted(f"{whisper}/{one}/score/{{set}}" for one in asked)
    project.run(recipe, "9", *options, code=1)
    assert (
        f"{whisper}/zero-shot/seed0/score/{name}/counts.json does not exist; stage 8, after stage 7, writes it"
        in project.said
    )
    project.has(recipe, *(f"{whisper}/{one}/score/{each}/counts.json" for one in asked for each in sets.split()))
    calls = {call[0]: call for call in project.run(recipe, "9", *options)}
    assert option(calls["collect_results.py"], "--only") == "zero-shot/0 plain/1 plain/2"
    page = calls["report_results.py"]
    assert option(page, "--only") == option(calls["collect_results.py"], "--only")
    assert [option(page, f"--values.{name}") for name in ("trained", "seeds", "masked")] == ["plain", "1 2", ""]
    if fold:
        assert option(calls["collect_results.py"], "--values.exp") == "exp/mini/{fold}"
        assert option(calls["collect_results.py"], "--values.fold") == "german"


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--systems", "plain gradcam+"],
      "there is no system 'gradcam+' in conf/systems.yaml; there are: zero-shot, plain, "),
     (["--systems", "plain plain"], "the system plain is asked for twice; leave one out"),
     (["--systems", ""], "--systems needs at least one of those in conf/systems.yaml: zero-shot, "),
     (["--methods", "cam"], "there is no saliency method 'cam'; there are: gradcam, gradcam++, "),
     (["--plugins", "mine.py"], "mine.py does not exist; correct --plugins"),
     (["--finetune-config", "mine.yaml"], "--finetune-config: there is no /"),
     (["--systems-config", "mine.yaml"], "--systems-config: there is no /"),
     (["--matrix", "mine.yaml"], "--matrix: there is no /"),
     (["--conf", "conf/smal"], "/conf/smal; a relative path counts from /"),
     (["--conf", "own"], "own/masking.yaml is no longer read; write its settings into systems.yaml, ")],
)  # fmt: skip
def test_systems_are_checked_before_anything_is_computed(project: Project, options: list[str], words: str) -> None:
    project.has("fsdd", "own/masking.yaml")
    assert project.run("fsdd", "09", *options, code=1) == [] and words in project.said


def _pairs(call: list[str]) -> set[str]:
    return {f"{name}={value}" for name, value in pairwise(call)}


def test_classifiers_side_by_side_and_their_maps(project: Project) -> None:
    """No system needs these: --methods takes maps of the first classifier, or of the one that it names."""
    exp = "exp/mini/german"
    project.has("fsdd", *(f"data/mini/german/{name}/utt2spk" for name in ("cls_train", "asr_train", "seen", "unseen")))
    project.has("fsdd", "dump/mini/german/cls_train/feats.scp")
    project.has("fsdd", *(f"{exp}/classifier/{kind}/model.safetensors" for kind in ("cnn", "whisper-encoder")))
    methods = "gradcam random whisper-encoder/gradient-input"
    words = ["--systems", "zero-shot", "--methods", methods, "--classifiers", "cnn whisper-encoder", "--nj", "1"]
    trained = [call for call in project.run("fsdd", "3", *words) if call[0] == "train_classifier.py"]
    assert [(option(call, "--classifier"), option(call, "--out").removeprefix(exp)) for call in trained] == [
        (kind, f"/classifier/{kind}") for kind in ("cnn", "whisper-encoder", "durations")
    ]
    assert option(trained[0], "--config") == "conf/mini/classifier_cnn.yaml" and "--config" not in trained[1]
    assert option(trained[1], "--model").endswith("whisper-mini/mini.pt")
    trained = [call for call in project.run("fsdd", "3", *words, "--controls", "quietest") if "--quietest" in call]
    assert [option(call, "--out") for call in trained] == [
        f"{exp}/classifier/{kind}-quietest" for kind in ("cnn", "whisper-encoder")
    ]
    seeds = [
        call for call in project.run("fsdd", "3", *words, "--faithfulness-seeds", "2") if "--seed=2" in _pairs(call)
    ]
    assert [option(call, "--out") for call in seeds] == [
        f"{exp}/classifier/{kind}-seed2" for kind in ("cnn", "whisper-encoder")
    ]
    calls = project.run("fsdd", "4", *words, "--faithfulness-seeds", "2")
    explained = [("cnn", "gradcam random"), ("whisper-encoder", "gradient-input")]
    for program, folder in (("map_saliency.py", "saliency"), ("measure_saliency.py", "faithfulness")):
        own = [call for call in calls if program in call]
        assert [(option(c, "--model"), option(c, "--methods"), option(c, "--out")) for c in own] == [
            (f"{exp}/classifier/{kind}", methods, f"{exp}/{folder}/{kind}") for kind, methods in explained
        ]
    assert [(option(c, "--others"), option(c, "--sets"), option(c, "--limit")) for c in own] == [
        (f"{exp}/classifier/{kind}-seed2", "cls_test", "3") for kind in ("cnn", "whisper-encoder")
    ]
    without = project.run("fsdd", "4", *words, "--faithfulness-limit", "0")
    assert not [call for call in without if "measure_saliency.py" in call]
    assert [option(call, "--folder") for call in calls if call[0] == "merge_archives.py"] == [
        f"{exp}/saliency/{method}" for method in ("cnn/gradcam", "cnn/random", "whisper-encoder/gradient-input")
    ]


def test_what_a_systems_file_says_of_classifiers(project: Project) -> None:
    """A system that names a classifier has it trained; a control of equal area takes the other's maps too."""
    systems = project.top / "mine.yaml"
    systems.write_text(
        "encoder: {map: gradient-input, classifier: whisper-encoder, policy: probabilistic}\n"
        "control: {map: random, policy: {equal-area: encoder}}\n"
        "unknown: {map: random, classifier: ears, policy: probabilistic}\n"
    )
    project.has("fsdd", "data/mini/german/asr_train/utt2spk")
    place = "exp/mini/german/saliency/{}/asr_train/saliency.scp"
    project.has("fsdd", *(place.format(name) for name in ("cnn/random", "whisper-encoder/gradient-input")))
    words = ["--systems-config", str(systems), "--nj", "1", "--systems"]
    (call,) = [c for c in project.run("fsdd", "5", *words, "control") if c[0] == "mask_features.py"]
    assert option(call, "--classifier") == "cnn" and option(call, "--maps") == "exp/mini/german/saliency"
    (project.top / "egs/fsdd" / place.format("whisper-encoder/gradient-input")).unlink()
    project.run("fsdd", "5", *words, "control", code=1)
    assert "whisper-encoder/gradient-input/asr_train/saliency.scp does not exist; stage 4 writes it" in project.said
    project.run("fsdd", "5", *words, "unknown", code=1)
    assert "there is no accent classifier 'ears'; there are: cnn, durations, whisper-encoder" in project.said


def test_an4_without_sweeps_and_retraining(project: Project) -> None:
    scores = "exp/mini/score/round2"
    bands = [f"bands/0-1000/{fill}" for fill in ("exchanged", "noise")]
    noisy = [f"{c}/seed1/noise1" for c in ("masked-noise", "noise-alone", "full-noise", *bands)]
    for name in ("clean/seed1/noise0", *noisy):
        project.has("an4", f"{scores}/{name}/test/counts.json")
    options = ["--sweeps", "", "--retrained", ""]
    assert project.run("an4", "6", *options) == [] and project.passed() == ["6"]
    collect = project.run("an4", "9", *options)[0]
    assert collect[0] == "collect_results.py"
    assert option(collect, "--values.sweeps") == option(collect, "--values.retrained") == ""
    project.run("an4", "9", "--sweeps", "asr", "--retrained", "", code=1)
    missing = f"{scores}/sweeps/asr/0.1/seed1/test/counts.json does not exist; stage 8, after stage 7, writes it"
    assert missing in project.said


def test_each_sweep_of_an4_has_logs_of_its_own(project: Project) -> None:
    project.has("an4", "exp/mini/recogniser/espnet/robust/seed1/model.pth")
    for name in ("train", "dev", "test"):
        project.has("an4", *(f"data/mini/{name}/{table}" for table in ("utt2spk", "spk2utt", "wav.scp", "text")))
        (project.top / f"egs/an4/data/mini/{name}/utt2dur").write_text("a 1.000\n")
    exp = project.top / "egs/an4/exp/mini"
    options = ("--rounds", "1", "--nj", "1")
    project.run("an4", "4", *options)
    main = {path: path.read_text() for path in exp.rglob("*.log")}
    assert {str(path.relative_to(exp)) for path in main} == {
        "estimator/round1/log/train.1.log",
        "masks/round1/log/estimate.1.log",
        "faithfulness/round1/log/measure.1.log",
    }
    seen = dict(main)
    for sweeps in ("asr", "asr mask"):
        project.run("an4", "6", *options, "--sweeps", sweeps, "--retrained", "")
        logs = {path: path.read_text() for path in exp.rglob("*.log")}
        assert seen.items() <= logs.items()
        new = {path.relative_to(exp) for path in logs.keys() - seen.keys()}
        assert {path.name.partition(".")[0] for path in new} == {"train", "estimate", "mix"}
        assert all(path.parts[0] == "sweeps" for path in new)
        seen = logs


def test_an4_decodes_and_scores_the_same(project: Project) -> None:
    """Of what other runs left nothing is scored, and jobs share what is decoded."""
    project.has("an4", "exp/mini/decode/round1/clean/seed9/noise0/dev/text")
    project.has("an4", "exp/mini/noisy/round1/masked-noise/seed1/noise1/test/feats.scp")
    project.has("an4", "exp/mini/recogniser/espnet/round1-retrain-clean/seed1/model.pth")
    options = ["--rounds", "1", "--sweeps", "asr", "--retrained", "retrain-clean", "--snrs", "5", "--nj", "4"]
    calls = project.run("an4", "7", *options)
    places = [place for call in calls for place in option(call, "--out").split()]
    # Each recogniser is loaded once for each list of sets.
    models = [(option(call, "--models"), option(call, "--sets")) for call in calls]
    assert len(models) == len(set(models)) == 3
    assert all(len(option(call, "--features").split()) == len(option(call, "--out").split()) for call in calls)
    scored = project.run("an4", "8", *options)
    assert [option(call, "--sets") for call in scored] == ["dev test", "test"]
    assert all(option(call, "--hyp") == "exp/mini/decode/round1/{of}/{set}/text" for call in scored)
    names = [name for call in scored for name in option(call, "--of").split()]
    assert sorted(places) == sorted(f"exp/mini/decode/round1/{name}" for name in names)
    assert {
        "clean/seed1/noise0",
        "noise-alone/seed1/noise1",
        "bands/0-1000/exchanged/seed1/noise1",
        "bands/0-1000/noise/seed1/noise1",
        "sweeps/asr/0.1/seed1",
        "snr/retrain-clean/seed1/5",
    } <= set(names)


def test_options_of_the_estimator_are_settings_on_top(project: Project) -> None:
    project.has("an4", "exp/mini/recogniser/espnet/robust/seed1/model.pth")
    for name in ("train", "dev", "test"):
        project.has("an4", *(f"data/mini/{name}/{table}" for table in ("utt2spk", "spk2utt", "wav.scp", "text")))
        (project.top / f"egs/an4/data/mini/{name}/utt2dur").write_text("a 1.000\n")
    words = ["--rounds", "1", "--nj", "1", "--estimator-config", "conf/no_leak.yaml", "--estimator-options"]
    train = project.run("an4", "4", *words, "bounded exchange")[0]
    configs = [train[place + 1] for place, word in enumerate(train) if word == "--config"]
    names = ["conf/mini/noise.yaml", "conf/no_leak.yaml", "conf/bounded.yaml", "conf/exchange.yaml"]
    assert train[0] == "train_mask_estimator.py" and configs == names
    assert option(train, "--out") == "exp/mini/estimator/no_leak-bounded-exchange-round1/seed1"
    project.run("an4", "4", *words, "small", code=1)
    assert "--estimator-options takes some of bounded, levels and exchange, not 'small'" in project.said


def test_the_bands_of_an4_are_those_of_its_settings_or_the_users(project: Project) -> None:
    project.has("an4", "exp/masks/round1/seed1/test/mask.scp")
    edges = ["0-1000", "1000-2000", "2000-4000", "4000-8000"]
    for words, expected in (([], edges), (["--bands", "0-500 700-800"], ["0-500", "700-800"])):
        options = ["--mini", "false", "--rounds", "1", "--seeds", "1", "--retrained", "", "--nj", "2", *words]
        mixed = [c for c in project.run("an4", "5", *options) if c[0] == "mix_noise.py" and "--bands" in c]
        assert [option(c, "--bands").split() for c in mixed] == [expected]
        assert option(mixed[0], "--fill") == "exchanged noise" and option(mixed[0], "--realisations") == "1"
    assert not [c for c in project.run("an4", "5", *options, "--bands", "") if "--bands" in c]
    project.run("an4", "5", "--bands", "0-1k", code=1)
    assert "--bands takes bands in Hz such as 0-1000 1000-2000, not '0-1k'" in project.said


@pytest.mark.parametrize(
    ("option", "value", "new"),
    [("--draws", "1", "--realisations"), ("--listener", "whisper", "--whisper"), ("--nbpe", "30", "--tokens")],
)
def test_renamed_options_are_told(project: Project, option: str, value: str, new: str) -> None:
    assert project.run("an4", "0", option, value, code=1) == []
    assert project.said == f"an4/run.sh: {option} is now called {new}\n"


def test_folders_of_earlier_versions_are_told(project: Project) -> None:
    project.has("an4", "exp/mini/listener/seed1/model.pth")
    assert project.run("an4", "4", code=1) == []
    assert (
        "exp/mini/listener was made by an earlier version; it is now called exp/mini/recogniser/espnet/clean"
        in project.said
    )
    assert len(project.said.splitlines()) == 1


def test_keywords_without_masks_or_training(project: Project) -> None:
    project.has(
        "gsc_v2", *(f"exp/mini/recogniser/paper/baseline/seed1/{name}" for name in ("model.safetensors", "step.json"))
    )
    calls = project.run("gsc_v2", "46", "--systems", "continue-clean null", "--nj", "1")
    assert project.passed() == ["4", "5"] and [call[0] for call in calls] == ["finetune.py"] * 2
    assert project.run("gsc_v2", "46", "--systems", "") == [] and project.passed() == ["4", "5", "6"]
    project.run("gsc_v2", "6", "--systems", "importantaug", code=1)
    assert "exp/mini/masks/paper/seed1/train/mask.scp does not exist; stage 4 writes it" in project.said
    project.has("gsc_v2", "exp/mini/masks/paper/seed1/train/mask.scp")
    assert project.run("gsc_v2", "4", "--kind", "bc-resnet-1") == [] and project.passed() == ["4"]


def test_masks_are_measured_with_the_recogniser_of_their_own_seed(project: Project) -> None:
    models = "exp/mini/recogniser/paper"
    project.has("gsc_v2", *(f"{models}/baseline/seed{seed}/model.safetensors" for seed in (1, 2)), "authors.pt")
    file = str(project.top / "egs/gsc_v2/authors.pt")
    options = ("--systems", "importantaug", "--seeds", "1 2", "--nj", "1", "--published-checkpoint", file)
    calls = project.run("gsc_v2", "4", *options)
    (maps,) = [call for call in calls if call[0] == "measure_saliency.py"]
    assert option(maps, "--model") == f"{models}/baseline/seed1" and option(maps, "--limit") == "2"
    assert option(maps, "--others") == f"{models}/baseline/seed2"
    measured = [call for call in calls if call[0] == "measure_noise_masks.py"]
    assert [(option(call, "--model"), option(call, "--recogniser"), option(call, "--out")) for call in measured] == [
        ("exp/mini/generator/paper/seed1", f"{models}/baseline/seed1", "exp/mini/faithfulness/paper/seed1"),
        ("exp/mini/generator/paper/seed2", f"{models}/baseline/seed2", "exp/mini/faithfulness/paper/seed2"),
        ("exp/mini/published/generator", f"{models}/published/seed0", "exp/mini/faithfulness/paper/seed0"),
    ]
    assert option(measured[0], "--others") == "exp/mini/generator/paper/seed1 exp/mini/generator/paper/seed2"
    assert "--snr=-12.5" in measured[2] and "--others" not in measured[2]
    calls = project.run("gsc_v2", "4", *options, "--faithfulness-limit", "0")
    assert not {"measure_noise_masks.py", "measure_saliency.py"} & {call[0] for call in calls}


def test_saliency_maps_make_masks_without_a_generator(project: Project) -> None:
    models, options = "exp/mini/recogniser/paper", ("--systems", "gradcam", "--nj", "1")
    project.has("gsc_v2", f"{models}/baseline/seed1/model.safetensors")
    (call,) = project.run("gsc_v2", "4", *options)
    assert call[0] == "estimate_noise_masks.py" and option(call, "--kind") == "gradcam"
    assert option(call, "--models") == f"{models}/baseline/seed1"
    masks = f"{option(call, '--out')}/train/mask.scp"
    assert masks == "exp/mini/masks/paper/gradcam/seed1/train/mask.scp"
    project.run("gsc_v2", "6", *options, code=1)
    assert f"{masks} does not exist; stage 4 writes it" in project.said
    project.has("gsc_v2", masks)
    (training,) = project.run("gsc_v2", "6", *options)
    assert option(training, "--masks") == masks


def test_keyword_systems_and_what_they_are_trained_with(project: Project) -> None:
    models, own = "exp/mini/recogniser/bc-resnet-1", "exp/mini/masks/bc-resnet-1/seed1/train/mask.scp"
    project.has(
        "gsc_v2", f"{models}/baseline/seed1/model.safetensors", own, "exp/mini/masks/paper/seed1/train/mask.scp"
    )
    for snr, error in ((0, 9.0), (15, 7.5)):
        project.has("gsc_v2", history := f"{models}/conventional-{snr}/seed1/history.json")
        scores = [{"eval_dev_loss": 1.0, "eval_dev_error": error}]
        (project.top / "egs/gsc_v2" / history).write_text(json.dumps(scores))
    options = [
        "--kind",
        "bc-resnet-1",
        "--systems",
        "conventional binarised importantaug importantaug-own-maps",
        "--nj",
        "1",
    ]
    calls = [call for call in project.run("gsc_v2", "56", *options) if call[0] == "finetune.py"]
    assert {option(call, "--model") for call in calls} == {f"{models}/baseline/seed1"}
    trained = {Path(option(call, "--out")).parent.name: call for call in calls}
    assert list(trained) == [
        "conventional-0", "conventional-15", "binarised-10", "importantaug", "importantaug-own-maps"
    ]  # fmt: skip
    assert option(trained["conventional-0"], "--augmentation") == '{"method": "noise", "snr": 0}'
    assert "--masks" not in trained["conventional-15"]
    assert option(trained["importantaug"], "--masks") == "exp/mini/masks/paper/seed1/train/mask.scp"
    assert option(trained["importantaug-own-maps"], "--masks") == own
    for name in ("baseline", *trained):
        project.has("gsc_v2", f"{models}/{name}/seed1/model.safetensors")
    calls = project.run("gsc_v2", "7", *options)
    # Of a family, what was not chosen is decoded on dev alone.
    on_dev = [Path(option(call, "--models")).parent.name for call in calls if call[-2:] == ["--sets", "dev"]]
    assert len(calls) == 6 and on_dev == ["conventional-0"]


def test_a_matrix_of_keyword_networks_crosses_maps_noise_and_kinds(project: Project) -> None:
    matrix = {"methods": {"generator": {"generator": "own"}, "gradcam": None}, "policies": {"top": {"percent": 10}}}
    kinds, exp = ("paper", "bc-resnet-1"), "exp/mini"
    matrix["recognisers"] = {kind: {"kind": "keyword", "model": kind, "beside": ["null"]} for kind in kinds}
    (project.top / "crossed.yaml").write_text(json.dumps(matrix))
    options = ("--matrix", "crossed.yaml", "--nj", "1")
    project.has("gsc_v2", "dump/mini/noise_train/signals.npy", "data/mini/words")
    trained = [call for call in project.run("gsc_v2", "3", *options) if call[0] == "finetune.py"]
    assert "methods x policies x recognisers = 2 x 1 x 2; with the systems beside them, cells: 6" in project.said
    baselines = [f"{exp}/recogniser/{kind}/baseline/seed1" for kind in kinds]
    assert [option(call, "--out") for call in trained] == baselines
    assert [option(call, "--model") for call in trained] == list(kinds)
    project.has("gsc_v2", *(f"{one}/model.safetensors" for one in baselines))
    calls = project.run("gsc_v2", "4", *options)
    generators = [option(call, "--out") for call in calls if call[0] == "train_generator.py"]
    assert generators == [f"{exp}/generator/{kind}/seed1" for kind in kinds]
    masks = {option(call, "--out"): option(call, "--models") for call in calls if call[0] == "estimate_noise_masks.py"}
    assert set(masks) == {f"{exp}/masks/{kind}{method}/seed1" for kind in kinds for method in ("", "/gradcam")}
    assert masks[f"{exp}/masks/bc-resnet-1/gradcam/seed1"] == f"{exp}/recogniser/bc-resnet-1/baseline/seed1"
    assert [option(call, "--model") for call in calls if call[0] == "measure_saliency.py"] == baselines
    project.has("gsc_v2", *(f"{one}/train/mask.scp" for one in masks))
    made = {option(call, "--out"): call for call in project.run("gsc_v2", "56", *options)}
    cells = [f"{kind}/{name}" for kind in kinds for name in ("generator.top", "gradcam.top", "null")]
    assert project.passed() == ["5", "5"] and set(made) == {f"{exp}/recogniser/{cell}/seed1" for cell in cells}
    masked = made[f"{exp}/recogniser/bc-resnet-1/generator.top/seed1"]
    assert option(masked, "--masks") == f"{exp}/masks/bc-resnet-1/seed1/train/mask.scp"
    assert json.loads(option(masked, "--augmentation"))["percent"] == 10
    everything = [*baselines, *made]
    files = ("model.safetensors", "decode/dev/text", "score/dev/counts.json")
    project.has("gsc_v2", *(f"{one}/{file}" for one in everything for file in files))
    calls = project.run("gsc_v2", "78", *options)
    assert {option(call, "--models") for call in calls if call[0] == "decode.py"} == set(everything)
    scored = [call for call in calls if call[0] == "score_keywords.py"]
    assert len(scored) == 4 and "generator.top/1" in option(scored[0], "--only").split()
    collect, report = project.run("gsc_v2", "9", *options)
    named = {f"{cell}/1" for cell in [*cells, *(f"{kind}/baseline" for kind in kinds)]}
    assert set(option(collect, "--only").split()) == set(option(report, "--only").split()) == named
    assert option(collect, "--values.recognisers") == "paper bc-resnet-1" and "--values.models" not in collect
    assert option(collect, "--corpus") == "Speech Commands, 0 words, crossed"
    project.run("gsc_v2", "6", *options, "--kind", "paper", code=1)
    assert "crossed.yaml and --kind do not go together; leave one out" in project.said


def test_keyword_systems_that_another_run_left_are_left_alone(project: Project) -> None:
    models = "exp/mini/recogniser/paper"
    options = ["--systems", "null"]
    project.run("gsc_v2", "8", *options, code=1)
    assert f"{models}/baseline/seed1/decode/dev/text does not exist; stage 7 writes it" in project.said
    files = ("model.safetensors", "decode/dev/text", "score/dev/counts.json")
    project.has("gsc_v2", *(f"{models}/{name}/seed1/{file}" for name in ("baseline", "null") for file in files))
    project.has("gsc_v2", f"{models}/importantaug/seed1/decode/dev/text", f"{models}/null/seed7/decode/dev/text")
    project.has("gsc_v2", "data/mini/words")
    calls = project.run("gsc_v2", "78", *options)
    assert [option(call, "--only") for call in calls if call[0] == "score_keywords.py"] == ["baseline/1 null/1"] * 2
    project.run("gsc_v2", "9", "--systems", "importantaug", code=1)
    assert (
        f"{models}/importantaug/seed1/score/dev/counts.json does not exist; stage 8, after stage 7, writes it"
        in project.said
    )
    calls = project.run("gsc_v2", "9", *options)
    assert [call[0] for call in calls] == ["collect_results.py", "report_results.py"]
    assert option(calls[0], "--only") == "baseline/1 null/1" and "--values.generators" not in calls[0]
