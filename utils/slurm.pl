#!/usr/bin/env python3
"""Run a command, or an array of them, on Slurm: slurm.pl [options] [JOB=1:n] <log> <command> [args...].

Python under its traditional name, so that scripts written for Kaldi call it unchanged.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import cluster
import submit

BUILT_IN = """
command sbatch --export=ALL
option mem=* --mem=$0
option mem=0
option num_threads=* --cpus-per-task=$0
option num_threads=1
option time=* --time=$0
option nodes=* --nodes=$0 --ntasks-per-node=1
default gpu=0
option gpu=0
option gpu=* --gres=gpu:$0
"""


def log_options(path: Path) -> list[str]:
    """Where Slurm writes what the job prints outside its log; `%` begins a pattern there."""
    return ["--output", str(path).replace("%", "%%"), "--open-mode=append"]


def array_options(tasks: list[int], limit: int | None) -> list[str]:
    """A range when the tasks are one, else a list."""
    whole = len(tasks) == tasks[-1] - tasks[0] + 1
    wanted = f"{tasks[0]}-{tasks[-1]}" if whole else ",".join(map(str, tasks))
    return ["--array", wanted + (f"%{limit}" if limit else "")]


# squeue goes on listing tasks that ended, for minutes.
OVER = r"(COMPLETED|CANCELLED|FAILED|TIMEOUT|NODE_FAIL|OUT_OF_MEMORY|DEADLINE|BOOT_FAIL|PREEMPTED|REVOKED)\b"


def known(answer: str, job: str) -> dict[int, str]:
    """From lines of `<task> <state> <reason>`; a job that is no array has no number there."""
    lines = [line.split(None, 1) for line in answer.splitlines() if line.strip()]
    return {int(task) if task.isdecimal() else 1: state for task, state in lines if not re.match(OVER, state)}


SCHEDULER = cluster.Scheduler(
    config="conf/slurm.conf",
    built_in=BUILT_IN,
    task_variable="SLURM_ARRAY_TASK_ID",
    # Grid Engine's: -V would make sbatch print its version, -sync and -pe mean nothing to it.
    ignored=("-V", "-sync", "-pe"),
    log_options=log_options,
    array_options=array_options,
    job_number="$SLURM_JOB_ID",
    array_number="$SLURM_ARRAY_JOB_ID",
    job_id=r"(?:Submitted batch job |^)(\d+)",
    # -r: each task of an array has a line.
    query=["squeue", "-r", "-h", "-j", "", "-o", "%K %T %r"],
    known=known,
    gone="Invalid job id specified",
    stuck="launch failed",
    details=[],
    cancel="scancel",
)


def run(request: submit.Request) -> int:
    """Run a parsed command line on Slurm."""
    return cluster.run(request, SCHEDULER)


if __name__ == "__main__":
    sys.exit(submit.main("slurm.pl", run))
