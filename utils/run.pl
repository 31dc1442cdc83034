#!/usr/bin/env python3
"""Run a command, or an array of them, on this machine: run.pl [options] [JOB=1:n] <log> <command> [args...].

Python under its traditional name, so that scripts written for Kaldi call it
unchanged and a machine without perl runs it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import IO

import submit
from die_with_parent import die_with_parent

MAX_ARGUMENT = 128 * 1024
"""Bytes that one argument of a program may have, with the zero at its end."""


@dataclass
class Job:
    """One running member of the array."""

    task: int
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    started: float
    devices: list[str]


def run(request: submit.Request) -> int:
    """Run all tasks, as many at once as --max-jobs-run, GPUs or CPUs allow."""
    waiting, codes = request.to_run()
    submit.make_log_dirs(request, waiting)
    load = visible_gpus()
    gpus = wanted_gpus(request, load)
    parallel = request.limit() or (max(1, len(load) // gpus) if gpus else len(os.sched_getaffinity(0)))
    environment = dict(os.environ)
    if min(parallel, len(waiting)) > 1:
        # Otherwise every job of the array starts as many threads as there are CPUs.
        environment.setdefault("OMP_NUM_THREADS", "1")
    stop = submit.StopSignal()
    stop.catch()
    running: list[Job] = []
    pause = 0.005
    while (waiting or running) and not stop.is_set():
        while waiting and len(running) < parallel and not stop.is_set():
            devices = sorted(load, key=lambda device: load[device])[:gpus]
            for device in devices:
                load[device] += 1
            running.append(start(request, waiting.pop(0), environment, devices))
            pause = 0.005
        ended = [job for job in running if job.process.poll() is not None]
        for job in ended:
            running.remove(job)
            codes[job.task] = finish(job)
            for device in job.devices:
                load[device] -= 1
        if not ended:
            stop.wait(pause)
            pause = min(pause * 1.5, 0.2)
    if stop.is_set():
        kill(running)
        name, logs = signal.Signals(stop.number).name, request.with_task(request.log, "*")
        request.say(f"stopped by {name}, its jobs were killed, log is in {logs}")
        return 1
    return submit.conclude(request, codes)


def visible_gpus() -> dict[str, int]:
    """The GPUs this process may use, each with the number of jobs on it (0)."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return {device.strip(): 0 for device in chosen.split(",") if device.strip()}
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    except OSError:
        return {}
    lines = listed.stdout.splitlines() if listed.returncode == 0 else []
    return {str(number): 0 for number in range(sum(line.startswith("GPU ") for line in lines))}


def wanted_gpus(request: submit.Request, visible: dict[str, int]) -> int:
    """The number of GPUs for each job."""
    value = request.options.get("gpu", "0")
    if not value.isdecimal():
        raise submit.UsageError(f"invalid option --gpu {value}: it takes a number")
    if int(value) and not visible:
        request.say(f"warning: --gpu {value}, but no GPU is visible here")
    elif int(value) > len(visible):
        raise submit.UsageError(f"--gpu {value} asks for more GPUs than the {len(visible)} visible here")
    return int(value)


def start(request: submit.Request, task: int, environment: dict[str, str], devices: list[str]) -> Job:
    """Write the head of the log and start the task's shell."""
    if devices:
        environment = {**environment, "CUDA_VISIBLE_DEVICES": ",".join(devices)}
    command = submit.quoted([request.with_task(word, task) for word in request.words])
    path = request.log_of(task)
    shown = command.replace("\n", "\n# ")
    try:
        with open(path, "wb") as log:
            log.write(f"# {shown}\n# Started at {now()}\n#\n".encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise submit.UsageError(submit.unwritable(f"the log {path}", error)) from None
    # Appending, as the job may append to its own log.
    log = open(path, "ab")
    text = os.fsencode(command)
    stdin: int | IO[bytes]
    if len(text) < MAX_ARGUMENT:
        # A single program takes the place of this shell, and so dies with us.
        words, stdin = ["bash", "-c", command], subprocess.DEVNULL
    else:
        words, stdin = ["bash", "-c", 'eval "$(cat)" < /dev/null'], unnamed_file(text)
    process = subprocess.Popen(words, stdin=stdin, stdout=log, stderr=log, env=environment, preexec_fn=die_with_parent)
    return Job(task, process, log, time.time(), devices)


def unnamed_file(text: bytes) -> IO[bytes]:
    """A file with this text, to be read from its start, that vanishes when nobody has it open."""
    try:
        file = tempfile.TemporaryFile()
        file.write(text)
        file.seek(0)
    except OSError as error:
        raise submit.UsageError(submit.unwritable(f"a temporary file in {tempfile.gettempdir()}", error)) from None
    return file


def finish(job: Job) -> int:
    """Write the tail of the log; returns the exit code."""
    code, result = submit.result_of(job.process.returncode)
    seconds = round(time.time() - job.started)
    newline = "" if ends_with_newline(job.log.name) else "\n"
    tail = (
        f"{newline}# Accounting: time={seconds} threads=1\n"
        f"# Ended ({result}) at {now()}, elapsed time {seconds} seconds\n"
    )
    try:
        with job.log:
            job.log.write(tail.encode())
    except OSError as error:
        # On a full disk the job's own words found no room either.
        print(f"run.pl: {submit.unwritable(f'the log {job.log.name}', error)}", file=sys.stderr)
    return code


def ends_with_newline(path: str | bytes) -> bool:
    """Whether a tail can be appended as a line of its own."""
    with open(path, "rb") as written:
        if not written.seekable() or written.seek(0, os.SEEK_END) == 0:
            return True
        written.seek(-1, os.SEEK_END)
        return written.read(1) == b"\n"


def now() -> str:
    """The time as `date` prints it."""
    return time.strftime("%a %b %e %H:%M:%S %Z %Y")


def kill(jobs: list[Job]) -> None:
    """Ask all processes of the jobs to end, and kill those that have not after three seconds."""
    alive = {pid for job in jobs for pid in family(job.process.pid)}
    for number, patience in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 1.0)):
        for pid in alive:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
        deadline = time.monotonic() + patience
        while alive and time.monotonic() < deadline:
            for job in jobs:
                job.process.poll()
            alive = {pid for pid in alive if state(pid)[0] not in ("", "Z")}
            time.sleep(0.02)


def family(root: int) -> list[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc") if os.path.isdir("/proc") else []:
        if entry.isdecimal():
            children.setdefault(state(int(entry))[1], []).append(int(entry))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def state(pid: int) -> tuple[str, int]:
    """A process's state letter and its parent; ("", 0) when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as handle:
            fields = handle.read().rpartition(")")[2].split()
    except OSError:
        return "", 0
    return fields[0], int(fields[1])


if __name__ == "__main__":
    sys.exit(submit.main("run.pl", run))
