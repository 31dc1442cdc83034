"""A whole mini recipe on each scheduler, moved there as a user moves it.

SALIENCE_CLUSTER_RECIPES="an4 gsc_v2 cv_ca" names other recipes than the one that continuous integration has time for.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from engines import wait_for

sys.path.append(str(Path(__file__).parents[1] / "faults"))
from harness import copy_of_the_project, environment, hasten

RECIPES = os.environ.get("SALIENCE_CLUSTER_RECIPES", "fsdd").split()
FEWER = {"fsdd": ["--systems", "zero-shot gradcam"]}
"""Options that make a run shorter."""


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize(("how", "engine"), [("option", "slurm"), ("word", "grid_engine")], indirect=["engine"])
def test_a_mini_recipe(how, engine, recipe, tmp_path):
    """Slurm by --cmd-backend slurm, Grid Engine by the word in conf/cmd.sh; every array goes through the scheduler."""
    project = copy_of_the_project(tmp_path / "with space and JOB")
    # What they learn is looked at in tests/recipes.
    hasten(project)
    if how == "word":
        settings = project / "conf" / "cmd.sh"
        settings.write_text(settings.read_text().replace("cmd_backend:-local", f"cmd_backend:-{engine.backend}"))
    # A site of its own: what this machine has of memory and processors is less than a training asks for.
    small = project / "egs" / recipe / "conf"
    (small / "slurm.conf").write_text(
        "command sbatch --export=ALL\noption mem=*\noption num_threads=* --cpus-per-task=2\noption gpu=0\ndefault"
        " gpu=0\n"
    )
    (small / "queue.conf").write_text(
        "command qsub -V -cwd -S /bin/bash -j y\noption mem=*\noption num_threads=* -pe smp 2\noption gpu=0\ndefault"
        " gpu=0\n"
    )
    options = ["--cmd-backend", engine.backend] if how == "option" else []
    done = subprocess.run(
        ["./run.sh", "--egs", recipe, "--mini", "true", *FEWER.get(recipe, []), *options],
        cwd=project,
        env=engine.environment | environment() | own_words(engine),
        capture_output=True,
        text=True,
        timeout=1500,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    folder = project / "egs" / recipe
    logs = [p for p in folder.rglob("log/*.log") if p.parent.parent.name != "q"]
    assert len(logs) > 10 and all(
        p.read_text().startswith("# Running on ")
        for p in logs
        if p.name.split(".")[0] in ("train", "finetune", "decode", "score", "map", "mask")
    )
    rows = json.loads((folder / "exp/mini/results.json").read_text())["rows"]
    assert rows and (
        recipe != "fsdd" or {r["system"] for r in rows if r["metric"] == "wer"} >= {"zero-shot", "gradcam"}
    )
    wait_for("an empty queue", lambda: not engine.jobs())


def own_words(engine):
    """The variables by which a scheduler is found; environment() has those of this machine."""
    return {name: value for name, value in engine.environment.items() if name.startswith(("SLURM_", "SGE_"))}
