#!/usr/bin/env python3
"""Run a command, or an array of them, on Grid Engine: queue.pl [options] [JOB=1:n] <log> <command> [args...].

Python under its traditional name, so that scripts written for Kaldi call it unchanged.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cluster
import submit

BUILT_IN = """
command qsub -V -v PATH -cwd -S /bin/bash -j y
option mem=* -l mem_free=$0,ram_free=$0
option mem=0
option num_threads=* -pe smp $0
option num_threads=1
option time=* -l h_rt=$0
default gpu=0
option gpu=0
option gpu=* -l gpu=$0
"""


def log_options(path: Path) -> list[str]:
    """Where Grid Engine writes what the job prints outside its log."""
    return ["-o", str(path)]


def array_options(tasks: list[int], limit: int | None) -> list[str]:
    """Grid Engine arrays have no gaps: the script skips the tasks between that are not wanted."""
    return ["-t", f"{tasks[0]}:{tasks[-1]}", *(["-tc", str(limit)] if limit else [])]


SCHEDULER = cluster.Scheduler(
    config="conf/queue.conf",
    built_in=BUILT_IN,
    task_variable="SGE_TASK_ID",
    ignored=("-sync",),
    log_options=log_options,
    array_options=array_options,
    job_id=r"(?:[Yy]our job(?:-array)? |^)(\d+)",
    query=["qstat", "-j", ""],
    over=r"(?!)",  # it lists no job that ended
    stuck=r"error reason.*",
    cancel="qdel",
)


def run(request: submit.Request) -> int:
    """Run a parsed command line on Grid Engine."""
    return cluster.run(request, SCHEDULER)


if __name__ == "__main__":
    sys.exit(submit.main("queue.pl", run))
