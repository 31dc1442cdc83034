#!/usr/bin/env python3
"""Run a command, or an array of them, on Grid Engine: queue.pl [options] [JOB=1:n] <log> <command> [args...].

Python under its traditional name, so that scripts written for Kaldi call it unchanged.
"""

from __future__ import annotations

import re
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


def known(answer: str, job: str) -> dict[int, str]:
    """From the entries of the list that are the job's: tasks that wait are there as a range."""
    found = {}
    for entry in re.findall(rf"<JB_job_number>{job}</JB_job_number>.*?</job_list>", answer, re.DOTALL):
        state = re.search(r"<state>(\w*)</state>", entry)
        tasks = re.search(r"<tasks>([\d,:-]+)</tasks>", entry)
        for task in numbers(tasks[1]) if tasks else [1]:
            found[task] = state[1] if state else ""
    return found


def numbers(ranges: str) -> list[int]:
    """Those of `1-7:2,9`."""
    parts = [re.fullmatch(r"(\d+)(?:-(\d+))?(?::(\d+))?", part) for part in ranges.split(",")]
    return [n for part in parts if part for n in range(int(part[1]), int(part[2] or part[1]) + 1, int(part[3] or 1))]


SCHEDULER = cluster.Scheduler(
    config="conf/queue.conf",
    built_in=BUILT_IN,
    task_variable="SGE_TASK_ID",
    ignored=("-sync",),
    log_options=log_options,
    array_options=array_options,
    job_number="$JOB_ID",
    array_number="$JOB_ID",
    job_id=r"(?:[Yy]our job(?:-array)? |^)(\d+)",
    # Unlike `qstat -j`, it says which tasks there still are.
    query=["qstat", "-xml"],
    known=known,
    gone=r"(?!)",  # a list that does not have it
    stuck="E",
    details=["qstat", "-j", ""],
    cancel="qdel",
)


def run(request: submit.Request) -> int:
    """Run a parsed command line on Grid Engine."""
    return cluster.run(request, SCHEDULER)


if __name__ == "__main__":
    sys.exit(submit.main("queue.pl", run))
