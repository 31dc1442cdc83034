"""Stages of egs/cv_ca: which programs they call with which options, and what is said of bad input."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]

STUB = """#!/usr/bin/env bash
# Notes its options, and leaves what the program would.
{ printf '%s|' "${0##*/}" "$@"; echo; } >> "$CALLS"
while [ $# -gt 0 ]; do
    case $1 in --start) start=$2 ;; --out) out=$2 ;; --chunk) size=$2 ;; --only) only=$2 ;; esac
    shift
done
"""
MODEL = """mkdir -p "$out"
echo "after ${start:-settings}" | tee "$out/model.safetensors" "$out/step.json" "$out/history.json" > "$out/config.json"
"""
PROGRAMS = {
    "check_start.py": 'case $start in *absent*) echo "check_start.py: $start is no folder here" >&2; exit 1 ;; esac\n',
    "pretrain_wav2vec.py": MODEL, "train_wav2vec_classifier.py": MODEL, "finetune.py": MODEL,
    "../egs/cv_ca/local/prepare_sets.py": "", "../utils/validate_data_dir.sh": "", "check_leakage.py": "",
    "prepare_vocabulary.py": "", "decode.py": "", "map_saliency.py": "", "mask_features.py": "",
    "score_words.py": "", "collect_results.py": "", "report_results.py": "",
    # Two chunks of three clips.
    "pack_waveforms.py": """[ -n "${only:-}" ] || exit 0
mkdir -p dump/mini/unlabelled_chunk
sed -n "$((3 * only - 2)),$((3 * only))p" data/mini/unlabelled/utt2spk > dump/mini/unlabelled_chunk/utterances
""",
}  # fmt: skip
KINDS = [f"{kind}_{part}" for kind in ("labelled", "accent", "gender") for part in ("train", "dev", "test")]


class Recipe:
    """A copy of the recipe whose programs are stubs, with a mini corpus of six clips in each set."""

    def __init__(self, top: Path) -> None:
        self.top, self.folder, self.calls = top, top / "egs" / "cv_ca", top / "calls"
        left = ("data", "dump", "exp", "downloads")
        for name, without in {"conf": (), "utils": (), "local": (), "egs/cv_ca": left}.items():
            shutil.copytree(
                TOP / name, top / name, ignore=shutil.ignore_patterns("__pycache__", *without), symlinks=True
            )
        for name in ("path.sh", "run.sh", "requirements.txt"):
            shutil.copy2(TOP / name, top / name)
        (top / ".venv").symlink_to((TOP / ".venv").resolve())
        for name, text in PROGRAMS.items():
            (top / "local" / name).write_text(STUB + text)
        for name in [*KINDS, "unlabelled"]:
            place = self.folder / "data/mini" / name
            place.mkdir(parents=True)
            for table, value in {"utt2spk": "s", "spk2utt": "s", "wav.scp": "/a.wav", "utt2dur": "1.000"}.items():
                keys = [f"s-{name}{n}" for n in range(6)]
                lines = [f"s {' '.join(keys)}"] if table == "spk2utt" else [f"{key} {value}" for key in keys]
                (place / table).write_text("\n".join(lines) + "\n")
        self.has(
            "dump/mini/labelled_train/utterances",
            "data/mini/vocabulary/tokens.txt",
            "exp/mini/saliency/gradcam/accent/labelled_train/saliency.scp",
        )

    def has(self, *names: str) -> None:
        for name in names:
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).touch()

    def starts(self, line: str) -> None:
        (self.folder / "conf/starts.yaml").write_text(f"{line}\n")

    def run(self, stages: str, *words: str, code: int = 0) -> list[list[str]]:
        """What was called, as words; with another exit code, what was said."""
        self.calls.unlink(missing_ok=True)
        kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "OMP_NUM_THREADS", "SALIENCE_ROOT")}
        done = subprocess.run(
            [self.top / "run.sh", "--egs", "cv_ca", "--mini", "true",
             "--stage", stages[0], "--stop-stage", stages[-1], *words],
            cwd=self.top, env=kept | {"CALLS": str(self.calls)}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        self.said = done.stdout + done.stderr
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        return [line.rstrip("|").split("|") for line in lines]

    def called(self, program: str, stages: str, *words: str) -> list[dict[str, str]]:
        """The options of each call of this program."""
        calls = [words[1:] for words in self.run(stages, *words) if words[0] == program]
        return [dict(zip(words[::2], words[1::2], strict=False)) for words in calls]


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return Recipe(tmp_path / "with space")


def test_settings_reach_the_preparation(recipe: Recipe) -> None:
    recipe.has("downloads/mini/common_voice_catalan/root.txt")
    (call,) = recipe.called("prepare_sets.py", "1", "--unlabelled-data", "some speech", "--seed", "4")
    expected = {"--config": "conf/mini/data.yaml", "--seed": "4", "--unlabelled-data": f"{recipe.top}/some speech"}
    assert call | expected == call
    # Both reports then count the sentences that preparation.txt counts.
    assert [call["--normaliser"] for call in recipe.called("check_leakage.py", "1")] == ["catalan", "catalan"]
    assert recipe.run("1", "--train-limit", "5", code=1) == []
    assert recipe.said == "cv_ca/run.sh: --train-limit is now set in conf/data.yaml\n"
    recipe.run("1", "--side-seeds", "1", code=1)
    assert recipe.said == "cv_ca/run.sh: --side-seeds is now called --classifier-seeds\n"


def test_a_start_that_is_none_stops_the_run(recipe: Recipe) -> None:
    assert recipe.run("6", "--starts", "random catalan", code=1) == []
    assert (
        "'catalan' is not a start; conf/starts.yaml and --starts know: random, own, spanish, english, multi"
        in recipe.said
    )
    assert recipe.run("6", "--variants", "plain gradcam+", code=1) == []
    assert "'gradcam+' is not a variant; conf/systems.yaml has: plain, specaugment, random-mask, gradcam" in recipe.said
    assert recipe.run("6", code=1) == []
    assert "exp/mini/pretrained/seed1/model.safetensors does not exist; stage 3 writes it" in recipe.said


def test_starts_from_a_folder_variants_vocabulary_and_beam(recipe: Recipe) -> None:
    recipe.has(
        "mine/config.json", "data/mini/vocabulary/legacy/tokens.txt", "exp/mini/pretrained/seed1/model.safetensors"
    )
    recipe.starts("spanish: mine")
    options = ["--starts", "own spanish", "--variants", "plain specaugment random-mask", "--seeds", "1 2"]
    options += ["--legacy-vocabulary", "true"]
    (masks,) = recipe.called("mask_features.py", "5", *options)
    assert masks["--only"] == "specaugment random-mask"
    calls = recipe.called("finetune.py", "6", *options)
    mine, own = "mine", "exp/mini/pretrained/seed1"
    found = sorted((call["--model"], call["--system"], call["--seed"]) for call in calls)
    assert found == sorted(
        [
            (own, "plain", "1"),
            (own, "specaugment", "1"),
            (own, "random-mask", "1"),
            (mine, "plain", "1"),
            (own, "plain", "2"),
            (mine, "plain", "2"),
        ]
    )
    assert {call["--tokens"] for call in calls} == {"data/mini/vocabulary/legacy/tokens.txt"}
    decoded = recipe.called("decode.py", "7", *options)
    # Two jobs, as --nj says by itself; each model once.
    assert len(decoded) == 2 and {call["--config"] for call in decoded} == {"conf/decode.yaml"}
    assert sorted(" ".join(call["--models"] for call in decoded).split()) == sorted(call["--out"] for call in calls)
    for call in decoded:
        assert call["--out"].split() == [f"{model}/decode" for model in call["--models"].split()]


def test_starts_are_looked_for_before_anything_is_learnt(recipe: Recipe) -> None:
    recipe.starts("english: somebody/absent")
    words = ["--starts", "own english"]
    assert [call[0] for call in recipe.run("36", *words, code=1)] == ["check_start.py"]
    assert "somebody/absent is no folder here" in recipe.said
    # What no stage of this run needs is not asked for.
    assert {call[0] for call in recipe.run("3", *words)} == {"pretrain_wav2vec.py", "train_wav2vec_classifier.py"}


def test_what_other_runs_left_is_neither_scored_nor_reported(recipe: Recipe) -> None:
    asked = ["own/plain/1", "own/gradcam/1", "own/plain/2"]
    options = ["--starts", "own", "--seeds", "1 2"]
    recipe.has(
        "exp/mini/pretrained/seed1/model.safetensors",
        "exp/mini/recogniser/wav2vec2/spanish/plain/seed1/decode/labelled_test/text",
        "exp/mini/recogniser/wav2vec2/own/gradcam/seed9/decode/old/text",
    )
    assert (
        "exp/mini/recogniser/wav2vec2/own/plain/seed1/decode/labelled_test/text does not exist; stage 7 writes it"
        in (recipe.run("8", *options, code=1), recipe.said)[1]
    )
    places = [
        f"exp/mini/recogniser/wav2vec2/{start}/{variant}/seed{seed}"
        for start, variant, seed in (one.split("/") for one in asked)
    ]
    assert [call["--out"] for call in recipe.called("finetune.py", "6", *options, "--nj", "1")] == places
    recipe.has(*(f"{place}/decode/labelled_test/text" for place in places))
    assert sorted(call["--out"] for call in recipe.called("score_words.py", "78", *options)) == sorted(
        f"{place}/score/{{set}}" for place in places
    )
    calls = {call[0]: dict(zip(call[1::2], call[2::2], strict=False)) for call in recipe.run("9", *options)}
    assert calls["collect_results.py"]["--only"] == calls["report_results.py"]["--only"] == " ".join(asked)
    values = {"exp": "exp/mini", "classified_starts": "own", "classifier_seeds": "1", "pretrained": "1"}
    for name, value in values.items():
        assert calls["collect_results.py"][f"--values.{name}"] == value
    assert calls["report_results.py"]["--values.mask_seed"] == "1"


def test_what_no_start_and_no_variant_needs_is_passed(recipe: Recipe) -> None:
    recipe.starts("spanish: mine")
    options = ["--starts", "random spanish", "--variant-start", "spanish", "--variants", "plain specaugment"]
    assert [
        call["--sets"] for call in recipe.called("pack_waveforms.py", "2", *options) if "--together" not in call
    ] == []
    assert {call[0] for call in recipe.run("3", *options)} == {"check_start.py", "train_wav2vec_classifier.py"}
    assert "nothing is pretrained: neither --starts nor --variant-start names own" in recipe.said
    for name in ("accent_train", "gender_train"):
        shutil.rmtree(recipe.folder / "data/mini" / name)
    (recipe.folder / "exp/mini/saliency/gradcam/accent/labelled_train/saliency.scp").unlink()
    # SpecAugment needs no maps.
    assert [call[0] for call in recipe.run("35", *options)] == ["check_start.py", "mask_features.py"]
    assert re.findall(r"stage (\d) is passed: ", recipe.said) == ["3", "4"]
    trained = recipe.called("finetune.py", "6", *options, "--seeds", "1", "--nj", "1")
    assert [call["--system"] for call in trained] == ["plain", "plain", "specaugment"]
    assert recipe.run("5", "--variants", "plain") == [] and "stage 5 is passed: no masks are needed" in recipe.said


def pretrained(recipe: Recipe) -> dict[str, str]:
    """What each model of the pretraining says that it was learnt from."""
    return {
        str(path.parent.relative_to(recipe.folder / "exp/mini/pretrained")): path.read_text().strip()
        for path in recipe.folder.glob("exp/mini/pretrained/**/config.json")
    }


def test_chunks_are_learnt_from_once_until_an_option_changes(recipe: Recipe) -> None:
    chunks = "exp/mini/pretrained/chunks/seed1"
    conf = recipe.folder / "conf/mini/pretraining.yaml"
    conf.write_text("phases: [{sets: unlabelled, epochs: 1}, {sets: labelled_train unlabelled, epochs: 1}]\n")
    words = ["--chunk", "3"]
    calls = recipe.called("pretrain_wav2vec.py", "23", *words)
    assert [(call.get("--start"), call.get("--continued")) for call in calls] == [
        (None, None), (f"{chunks}/chunk1", "true")
    ]  # fmt: skip
    link = recipe.folder / "exp/mini/pretrained/seed1"
    assert link.is_symlink() and (link / "config.json").read_text() == f"after {chunks}/chunk1\n"
    expected = "phases: [{sets: unlabelled_chunk, epochs: 1}, {sets: labelled_train unlabelled_chunk, epochs: 1}]\n"
    assert Path(recipe.folder / calls[0]["--config"]).read_text() == expected
    again = recipe.run("23", *words)
    assert f"done before: {chunks}/chunk2" in recipe.said
    assert not any("--only" in call or call[0] == "pretrain_wav2vec.py" for call in again)

    # Another size of the model, then other clips: all again, and why.
    conf.write_text(conf.read_text() + "size: base\n")
    assert recipe.called("pack_waveforms.py", "2", *words)[0]["--together"] == "labelled"
    assert len(recipe.called("pretrain_wav2vec.py", "3", *words)) == 2
    assert f"done again, because what it comes from changed: {chunks}" in recipe.said
    assert re.search("^> size: base", recipe.said, re.MULTILINE)
    with open(recipe.folder / "data/mini/unlabelled/utt2dur", "a") as table:
        table.write("s-unlabelled6 1.000\n")
    assert len(recipe.called("pretrain_wav2vec.py", "3", *words)) == 2
    # Another seed beside it.
    assert len(recipe.called("pretrain_wav2vec.py", "3", *words, "--seeds", "2")) == 2
    assert len(pretrained(recipe)) == 4


def test_chunks_and_none_do_not_write_into_each_other(recipe: Recipe) -> None:
    recipe.run("23", "--chunk", "3")
    before = pretrained(recipe)
    (call,) = recipe.called("pretrain_wav2vec.py", "23", "--chunk", "0")
    assert call["--out"] == "exp/mini/pretrained/seed1" and "--continued" not in call
    real = recipe.folder / "exp/mini/pretrained/seed1"
    assert real.is_dir() and not real.is_symlink() and pretrained(recipe) == before | {"seed1": "after settings"}
    assert recipe.called("pretrain_wav2vec.py", "23", "--chunk", "3") == []
    assert real.is_symlink() and pretrained(recipe) == before and (real / "config.json").exists()


def test_corpora_that_lack_accents_genders_or_a_part(recipe: Recipe) -> None:
    data = recipe.folder / "data/mini"
    for name in ("accent_dev", "gender_train", "gender_dev", "gender_test"):
        shutil.rmtree(data / name)
    assert recipe.run("3", code=1) == recipe.run("4", code=1) == []
    assert (
        "data/mini: run stage 1, or, if data/mini/preparation.txt says why it made none, give --variants plain"
        in recipe.said
    )
    recipe.run("35", "--variants", "plain")
    assert [line for line in recipe.said.splitlines() if "there is no classifier" in line] == [
        f"there is no classifier {name}: not all of its sets have clips (data/mini/preparation.txt says why)"
        for name in ("accent", "accent_random", "gender", "gender_random")
    ]
    assert "there are no accents, so there is nothing to map" in recipe.said and "pretrain" in recipe.calls.read_text()
    for name in ("unlabelled", "labelled_dev"):
        shutil.rmtree(data / name)
        assert recipe.run("3" if name == "unlabelled" else "2", "--variants", "plain", code=1) == []
        assert f"there is no {data / name}: run stage 1, or give the corpora it is made of" in recipe.said


def test_settings_are_found_by_name_and_from_the_caller(recipe: Recipe) -> None:
    recipe.has("mine/pretraining.yaml")
    for words, expected in (
        ([], ["conf/mini/pretraining.yaml", "conf/mini/classifier.yaml"]),
        (["--conf", "conf/legacy"], ["conf/legacy/pretraining.yaml", "conf/mini/classifier.yaml"]),
        (["--conf", "egs/cv_ca/mine"], [f"{recipe.folder}/mine/pretraining.yaml", "conf/mini/classifier.yaml"]),
    ):
        calls = [dict(zip(call[1::2], call[2::2], strict=False)) for call in recipe.run("3", *words)]
        assert list(dict.fromkeys(call["--config"] for call in calls)) == expected
