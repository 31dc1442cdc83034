"""The words with which every recipe's stages submit their programs, the programs being scripts that only note them."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from corpora_helpers import TOP
from more_itertools import consecutive_groups

from salience.files import read_yaml

NOTE = """#!/bin/bash
line=$(printf '%q ' "${0##*/}" "$@")
echo "$line" >> "$NOTES"  # at once: jobs of an array run side by side
"""
STAGES = {
    "local/stages.sh": "needs() { :; }\nneeds_set() { :; }\nsplit_sets() { :; }\npresent() { echo $1; }\n",
    "egs/an4/local/functions.sh": "max_seconds() { echo 1; }\n",
    "egs/an4/local/run_rounds.sh": "noisy_data() { :; }\nwith_copies() { :; }\n",
    "egs/an4/local/run_retraining.sh": "unchanged_copy() { :; }\n",
}
"""What reads the files of earlier stages, which are not there."""
CMD = "train_cmd=$SUBMITTER decode_cmd=$SUBMITTER cuda_cmd=$SUBMITTER train_threads=1\n"
TRAINED = {
    "librispeech_edacc": {"train_classifier.py", "finetune.py"},
    "fsdd": {"train_classifier.py", "finetune.py"},
    "cv_fa_pdid": {"train_classifier.py", "finetune.py"},
    "cv_en_saa": {"train_classifier.py", "finetune.py"},
    "custom": {"train_classifier.py", "finetune.py"},
    "an4": {"train_espnet.py", "train_mask_estimator.py"},
    "gsc_v2": {"finetune.py", "train_generator.py"},
    "cv_ca": {"pretrain_wav2vec.py", "train_wav2vec_classifier.py", "finetune.py"},
}
"""Programs of each recipe that learn, each GPU with a process of its own."""
ON_A_GPU = {
    **{
        key: {"align_words.py", "locate_saliency.py", "map_saliency.py", "measure_saliency.py", "decode.py"}
        for key in ("librispeech_edacc", "fsdd", "cv_fa_pdid", "cv_en_saa", "custom")
    },
    "an4": {"estimate_noise_masks.py", "measure_noise_masks.py"},
    "gsc_v2": {"estimate_noise_masks.py", "measure_noise_masks.py", "measure_saliency.py", "decode.py"},
    "cv_ca": {"map_saliency.py", "measure_saliency.py", "decode.py"},
}
"""Programs that a GPU makes faster: maps and hypotheses."""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project with scripts in place of its programs, in a folder whose name careless jobs would change."""
    folder = tmp_path_factory.mktemp("stages") / "a JOB place"
    ignored = shutil.ignore_patterns("data", "dump", "exp", "downloads", "__pycache__", "salience")
    for name in ("conf", "utils", "egs", "local"):
        shutil.copytree(TOP / name, folder / name, ignore=ignored)
    for name in ("path.sh", "run.sh", "requirements.txt"):
        shutil.copy2(TOP / name, folder / name)
    (folder / ".venv").symlink_to((TOP / ".venv").resolve())
    # What says which recognisers are asked for is no stub.
    (folder / "local/salience").symlink_to(TOP / "local/salience")
    for path in [
        *folder.glob("local/*.py"),
        *folder.glob("egs/*/local/[!l]*.py"),
        folder / "local/make_mini_whisper.sh",
        folder / "submit",
    ]:
        if path.name != "describe_systems.py":  # which says what stages need
            path.write_text(NOTE)
            path.chmod(0o755)
    (folder / "conf/cmd.sh").write_text(CMD)
    for name, functions in STAGES.items():
        with open(folder / name, "a") as handle:
            handle.write(functions)
    for path in (script.parent for script in folder.glob("egs/*/run.sh")):
        # What is decoded, and from which models: files of earlier stages whose contents are read.
        (path / "data/mini/labelled_train").mkdir(parents=True)
        for name in ("accent_train", "gender_train", "unlabelled"):
            (path / "data/mini" / name).mkdir()
            (path / "data/mini" / name / "utt2spk").touch()
    return folder


def words_of(
    project: Path, recipe: str, submitter: str, *options: str, stages: tuple[int, ...], **own: str
) -> list[list[str]]:
    """The words of everything that was submitted or run by these stages, with `own` in the environment."""
    runs = []
    for some in consecutive_groups(stages):
        first, *_, last = [*some] * 2
        runs.append(["./run.sh", "--egs", recipe, "--stage", str(first), "--stop-stage", str(last), *options])
    return words_of_commands(project, project, submitter, runs, **own)


def words_of_commands(
    project: Path, folder: Path, submitter: str, commands: list[list[str]], /, **own: str
) -> list[list[str]]:
    """The words of everything that was submitted or run by these commands, each with --mini true, in the folder."""
    notes = project / "notes"
    notes.unlink(missing_ok=True)
    environment = {
        k: v
        for k, v in os.environ.items()
        if k not in ("PYTHONPATH", "OMP_NUM_THREADS", "SALIENCE_ROOT", "SALIENCE_CALLER")
    }
    environment |= {"SUBMITTER": submitter, "NOTES": str(notes)} | own
    environment["PATH"] = f"{project}:{environment['PATH']}"
    for command in commands:
        done = subprocess.run([*command, "--mini", "true"], cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return [shlex.split(line) for line in notes.read_text().splitlines()]


def test_the_search_trains_all_candidates_and_decodes_dev_sets_alone(project):
    egs = project / "egs/cv_en_saa"
    found = words_of_commands(project, egs, "run.pl", [["local/run_search.sh"]])
    candidates = read_yaml(egs / "conf/search.yaml", "").keys() - {"zero-shot"}
    trained = {
        words[words.index("--system") + 1]: words[words.index("--masks") + 1]
        for words in found
        if words[0] == "finetune.py"
    }
    assert trained == dict.fromkeys(candidates, "redrawn") | {"drawn-once": "fixed"}
    assert all(
        words[words.index("--systems") + 1].endswith("conf/search.yaml") for words in found if "--system" in words
    )
    decoded = [words for words in found if words[0] == "decode.py"]
    assert len(decoded) == len(candidates) + 1
    assert {words[words.index("--sets") + 1] for words in decoded} == {"asr_dev dev_accents"}
    (collected,) = [words for words in found if words[0] == "collect_results.py"]
    assert collected[collected.index("--corpus") + 1].endswith("Archive, asr_dev dev_accents")


@pytest.mark.parametrize(
    ("ngpu", "nodes", "launcher"), [(1, 1, []), (2, 1, ["launch.sh", "2"]), (1, 2, ["launch.sh", "1"])]
)
@pytest.mark.parametrize("recipe", TRAINED)
def test_gpus_are_asked_for_and_used(project, recipe, ngpu, nodes, launcher):
    options = ["--ngpu", str(ngpu), *(["--nodes", str(nodes), "--cmd-backend", "slurm"] if nodes > 1 else [])]
    if recipe == "an4":
        options += ["--use-lm", "true"]
    submitted = [
        words[1:]
        for words in words_of(project, recipe, "submit", *options, stages=(3, 4, 6, 7))
        if words[0] == "submit"
    ]
    seen = set()
    for words in submitted:
        program = next(word for word in words if word.endswith(".py"))
        before, after = words[: words.index(program)], words[words.index(program) :]
        asked = before[before.index("--gpu") + 1] if "--gpu" in before else "0"
        if program in TRAINED[recipe]:
            assert asked == after[after.index("--ngpu") + 1] == str(ngpu), words
            assert before[-2:] == launcher if launcher else "launch.sh" not in before
            assert before[before.index("--nodes") + 1] == str(nodes) if nodes > 1 else "--nodes" not in before
        elif program in ON_A_GPU[recipe]:
            assert asked == str(ngpu) and after[after.index("--device") + 1] == "cuda", words
        else:
            assert asked == "0" and "--device" not in after and "--nodes" not in before, words
        seen.add(program)
    assert seen >= TRAINED[recipe] | ON_A_GPU[recipe]


@pytest.mark.parametrize("recipe", TRAINED)
def test_variables_of_the_environment_are_no_options(project, recipe):
    """Neither what a recipe sets itself nor what only others have comes from there."""
    names = set()
    for script in [*TOP.glob("egs/*/run.sh"), *TOP.glob("egs/*/local/*.sh"), *TOP.glob("local/*stages.sh")]:
        names |= set(re.findall(r"^([a-z]\w*)=", script.read_text(), re.MULTILINE)) | set(
            re.findall(r"\$\{?([a-z]\w*)", script.read_text())
        )
    # Where jobs run may be said so, and comes into no words here.
    own = dict.fromkeys(names - {"cmd_backend"}, "JOB x")
    stages = (6,) if recipe == "cv_ca" else (3, 6)
    assert words_of(project, recipe, "submit", stages=stages, **own) == words_of(
        project, recipe, "submit", stages=stages
    )


def test_the_programs_above_are_all_there_are():
    """Every program that takes --ngpu or --device is among them, but for features and beam searches, left to CPUs."""
    for option, known in (("ngpu: int", TRAINED), ("device: str", ON_A_GPU)):
        having = {path.name for path in (TOP / "local").glob("*.py") if option in path.read_text()}
        assert having - {"extract_features.py"} == set().union(*known.values())


MODELS = {
    "fsdd": (("--model",), (6, 7), {"finetune.py": "--model", "decode.py": "--models"}),
    "an4": (("--whisper",), (4, 6), {"train_mask_estimator.py": "--recogniser.model"}),
    "cv_ca": (
        ("--starts", "spanish", "--variant-start", "spanish"),
        (3, 6),
        {"train_wav2vec_classifier.py": "--start", "finetune.py": "--model"},
    ),
}

"""Options before the path of a model, stages that use it, and the programs that get it, by which option."""


@pytest.mark.parametrize("recipe", MODELS)
def test_a_model_with_any_path_arrives(project, recipe):
    options, stages, readers = MODELS[recipe]
    model = project / "it's my JOB"
    model.mkdir(exist_ok=True)
    if recipe == "cv_ca":
        (project / "egs/cv_ca/conf/starts.yaml").write_text(f'spanish: "{model}"\n')
    else:
        options += (model.name,)
    found = words_of(project, recipe, "run.pl", *options, stages=stages)
    for program, option in readers.items():
        given = [words[words.index(option) + 1] for words in found if words[0] == program]
        if option == "--models":  # several, each of which may be in quotes
            given = [model for word in given for model in shlex.split(word)]
        assert str(model) in given and all("JOB" not in one or one == str(model) for one in given), given


@pytest.fixture
def recipe_with_bins(project):
    """The project with a check_whisper.py that knows one model, of 128 bins."""
    path = project / "local/check_whisper.py"
    before = path.read_text()
    path.write_text(
        NOTE + 'case $* in *none.pt*) echo "check_whisper.py: none.pt is neither" >&2; exit 1 ;; esac; echo 128\n'
    )
    yield project
    path.write_text(before)


@pytest.mark.parametrize("recipe", ["librispeech_edacc", "fsdd", "cv_fa_pdid"])
def test_features_have_the_bins_that_the_model_reads(recipe_with_bins, recipe):
    (recipe_with_bins / "large.pt").touch()
    for model, bins in (("large.pt", "128"), ("mini", "80")):
        found = words_of(recipe_with_bins, recipe, "run.pl", "--model", model, stages=(2,))
        extracted = [words for words in found if words[0] == "extract_features.py"]
        assert {words[words.index("--bins") + 1] for words in extracted} == {bins}


@pytest.mark.parametrize("recipe", ["librispeech_edacc", "fsdd", "cv_fa_pdid"])
def test_a_model_that_cannot_be_opened_is_told_before_the_first_stage(recipe_with_bins, recipe):
    command = ["./run.sh", "--egs", recipe, "--mini", "true", "--model", "none.pt", "--stop-stage"]
    environment = os.environ | {"NOTES": str(recipe_with_bins / "notes"), "SUBMITTER": "run.pl"}
    environment = {
        k: v
        for k, v in environment.items()
        if k not in ("PYTHONPATH", "OMP_NUM_THREADS", "SALIENCE_ROOT", "SALIENCE_CALLER")
    }
    (recipe_with_bins / "notes").write_text("")
    done = subprocess.run([*command, "9"], cwd=recipe_with_bins, env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and "none.pt is neither" in done.stderr and "stage 0" not in done.stdout
    (checked,) = [shlex.split(line) for line in (recipe_with_bins / "notes").read_text().splitlines()]
    # Zero-shot, it is to be decoded as it is: its settings are looked at as well.
    assert (
        checked[0] == "check_whisper.py"
        and checked[-2] == "--decoding"
        and checked[-1].endswith("conf/mini/decode.yaml")
    )
    # Data can be prepared without.
    done = subprocess.run([*command, "0"], cwd=recipe_with_bins, env=environment, capture_output=True, text=True)
    assert "stage 0" in done.stdout and "none.pt" not in done.stderr


def test_collection_models_with_any_path_arrive(project):
    words_of(
        project, "cv_fa_pdid", "run.pl", "--recordings-root", "my JOB", "--vad", "pyannote:/a b/JOB's", stages=(0,)
    )
    written = (project / "egs/cv_fa_pdid/downloads/mini/collection/sources.yaml").read_text()
    assert f"root: '{project}/my JOB'\n" in written and "  vad: 'pyannote:/a b/JOB''s'\n" in written


def test_every_estimate_of_disk_can_be_left_out():
    programs = {path.name for path in TOP.glob("local/*.py") if "check_space: bool" in path.read_text()}
    seen = set()
    for script in [TOP / "local/accent_stages.sh", *TOP.glob("egs/*/run.sh"), *TOP.glob("egs/*/local/*.sh")]:
        text = re.sub(r"(?m)(^|\s)# .*", "", script.read_text())
        for command in text.replace("\\\n", "").splitlines():
            if found := programs.intersection(command.split()):
                assert '--check-space "$check_space"' in command, command
                seen |= found
    assert seen == programs and len(programs) == 6
