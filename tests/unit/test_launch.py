"""launch.sh: which torchrun, on which nodes, becomes of a training; srun and torchrun being small scripts."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

LAUNCH = Path(__file__).resolve().parents[2] / "local" / "launch.sh"
WORKER = f"{LAUNCH.parent}/../utils/die_with_parent.py"
TORCHRUN = """#!/bin/sh
printf '%s|' torchrun "$@"
"""
SRUN = """#!/bin/sh
# Runs the command after its own options as the second of the nodes would.
printf '%s|' srun
while [ "${1#--}" != "$1" ]; do printf '%s|' "$1"; shift; done
SLURM_NODEID=1 exec "$@"
"""


@pytest.fixture
def launched(tmp_path):
    """Run launch.sh; what was run in the end, as words."""
    for name, text in (("torchrun", TORCHRUN), ("srun", SRUN)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(stat.S_IRWXU)

    def launch(*words, code=0, **environment):
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_")}
        kept["PATH"] = f"{tmp_path}:{kept['PATH']}"
        done = subprocess.run([LAUNCH, *words], capture_output=True, text=True, env=kept | environment)
        assert done.returncode == code, done.stderr
        return done.stdout.rstrip("|").split("|") if code == 0 else done.stderr

    return launch


def test_one_process_is_the_program_itself(launched):
    assert launched("1", "printf", "%s|", "a b", SLURM_JOB_NUM_NODES="1") == ["a b"]


def test_several_processes_on_one_machine(launched):
    assert launched("4", "train.py", "--out", "a b") == [
        "torchrun", "--standalone", "--nproc-per-node", "4", "--no-python", WORKER, "train.py", "--out", "a b",
    ]  # fmt: skip


def test_several_nodes_meet_on_the_first(launched):
    words = launched(
        "2", "train.py", "--out", "a b", SLURM_JOB_NUM_NODES="3", SLURM_JOB_ID="40007", SLURM_CPUS_PER_TASK="5"
    )
    host = subprocess.run(["hostname"], capture_output=True, text=True).stdout.strip()
    assert words == [
        "srun", "--nodes=3", "--ntasks-per-node=1", "--ntasks=3", "--kill-on-bad-exit=1", "--cpus-per-task=5",
        "torchrun", "--node-rank", "1", "--nnodes", "3", "--nproc-per-node", "2",
        "--master-addr", host, "--master-port", "20007",
        "--no-python", WORKER, "train.py", "--out", "a b",
    ]  # fmt: skip


@pytest.mark.parametrize("given", [[], ["2"], ["none", "true"], ["0", "true"]])
def test_bad_use_is_one_sentence(launched, given):
    said = launched(*given, code=1)
    assert "launch.sh" in said and said.count("\n") == 1
