"""Stages out of order, two runs at once, full disks and damaged inputs, in the short form that CI runs."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from harness import TOP, alive_in, copy_of_the_project, environment, run

RECIPES = sorted(path.parent.name for path in TOP.glob("egs/*/run.sh"))
NAMED = {"fsdd": {2: [1], 3: [1], 4: [1], 5: [4], 7: [6], 8: [7]}}
"""The stages that are named, where that is known exactly."""


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_stage_out_of_order_names_the_one_that_is_missing(recipe, tmp_path):
    project = copy_of_the_project(tmp_path / "p")
    for stage in range(1, 10):
        done = run(project, "--egs", recipe, "--mini", "true", "--stage", str(stage), "--stop-stage", str(stage))
        said = done.stderr.strip().splitlines()
        assert done.returncode == 1 and len(said) == 1, (stage, done.stderr)
        named = re.findall(r"stage (\d)", said[0])
        assert named and all(int(number) < stage for number in named), (stage, said)
        assert set(NAMED.get(recipe, {}).get(stage, ())) <= set(map(int, named)), (stage, said)


ONCE = ["--egs", "fsdd", "--mini", "true", "--stop-stage", "0"]


@pytest.fixture
def busy(tmp_path):
    """A copy of the project, and a run of it that sleeps in stage 0; further runs find nothing to do there."""
    project = copy_of_the_project(tmp_path / "with space").resolve()
    (project / "local/fetch_corpus.py").write_text("#!/usr/bin/env bash\n[ -e quick ] || sleep 100\n")
    first = subprocess.Popen(
        ["./run.sh", *ONCE], cwd=project, env=environment(), stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert "stage 0" in first.stdout.readline()
    wait_for(lambda: len(alive_in(project)) >= 3)  # run.sh, the program and its sleep
    (project / "egs/fsdd/quick").touch()
    yield project, first
    for pid in alive_in(project):
        os.kill(pid, signal.SIGKILL)
    first.wait()


def wait_for(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def refused(project: Path) -> str:
    """The one sentence with which a run says that it does not begin."""
    done = run(project, *ONCE)
    assert done.returncode == 1 and done.stdout == "" and len(done.stderr.splitlines()) == 1, done
    return done.stderr


def test_a_second_run_in_the_same_folders_is_refused(busy):
    project, first = busy
    said = refused(project)
    assert (
        f"process {first.pid} on {os.uname().nodename} since 20" in said and str(project / "egs/fsdd/exp/mini") in said
    )
    # The run on the real corpus has other folders.
    assert run(project, "--egs", "fsdd", "--stop-stage", "0").returncode == 0


def test_the_lock_of_a_dead_run_does_not_block(busy):
    project, first = busy
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    wait_for(lambda: not alive_in(project))
    done = run(project, *ONCE)
    assert done.returncode == 0, done.stderr
    assert (project / "egs/fsdd/exp/mini/.lock").read_text() == ""


def test_what_a_killed_run_started_blocks_as_long_as_it_lives(busy):
    project, first = busy
    first.kill()
    first.wait()
    jobs = alive_in(project)
    said = refused(project)
    assert jobs and f"process {first.pid} " in said and "was killed" in said
    assert [int(number) for number in re.search(r"\(process ([\d ]+)\)", said)[1].split()] == sorted(jobs)
    for pid in jobs:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not alive_in(project))
    assert run(project, *ONCE).returncode == 0


STARTED = {
    "program": "trap 'kill $!; sleep 0.5; touch orderly; exit 1' TERM; touch working; sleep 100 & wait",
    "submitter": "exec run.pl JOB=1:2 log/x.JOB.log touch working \\; sleep 100",
}


@pytest.mark.parametrize("what", STARTED)
def test_sigterm_for_a_run_alone_stops_what_it_started(what, tmp_path):
    """As a service manager or another program sends it; Ctrl-C reaches all processes anyway."""
    project = copy_of_the_project(tmp_path / "p").resolve()
    (project / "local/fetch_corpus.py").write_text(f"#!/usr/bin/env bash\n{STARTED[what]}\n")
    recipe = project / "egs/fsdd"
    process = subprocess.Popen(["./run.sh", *ONCE], cwd=project, env=environment(), stderr=subprocess.PIPE, text=True)
    wait_for(lambda: (recipe / "working").exists())
    process.terminate()
    assert process.wait(20) == -signal.SIGTERM and not alive_in(project)
    assert (recipe / "orderly").exists() if what == "program" else "stopped by SIGTERM" in process.stderr.read()
    assert (recipe / "exp/mini/.lock").read_text() == ""


def test_without_locks_in_the_file_system_what_a_run_wrote_must_do(busy):
    project, first = busy
    (project / "utils/flock").write_text("#!/bin/sh\nexit 71\n")
    (project / "utils/flock").chmod(0o755)
    assert f"process {first.pid} on " in refused(project)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert run(project, *ONCE).returncode == 0
    # Of another machine's process nothing can be known from here.
    (project / "egs/fsdd/exp/mini/.lock").write_text("1 elsewhere 2026-01-31T12:00:00\n")
    assert "process 1 on elsewhere" in refused(project) and ".lock" in refused(project)
