"""Trainings on Slurm: on two nodes, and taken off their machine while they learn."""

import json
import re
import sys
import textwrap
from pathlib import Path

import pytest
from engines import UTILS, wait_for

LOCAL = UTILS.parent / "local"
UNIT = UTILS.parent / "tests" / "unit"

LEARN = f"""\
    #!/usr/bin/env python3
    import json, logging, os, sys, time
    from pathlib import Path
    logging.basicConfig(level=logging.INFO)
    sys.path[:0] = [{str(LOCAL)!r}, {str(UNIT)!r}]
    import test_training as t
    out, pause = Path(sys.argv[1]), float(sys.argv[2])

    class Slow(t.Toy):
        def __getitem__(self, where):
            Path(out, f"asked.{{os.environ.get('RANK', '0')}}").open("a").write(f"{{where[0]}} {{where[1]}} {{os.environ['SLURMD_NODENAME']}}\\n")
            time.sleep(pause)
            return super().__getitem__(where)

    class Steady(t.Score):
        def __call__(self, model):
            return {{"dev_score": 1.0}}

    out.mkdir(exist_ok=True)
    weights, log = t.learn(out, data=Slow(), score=Steady(), settings=t.replace(t.SETTINGS, epochs=2))
    if os.environ.get("RANK", "0") == "0":
        Path(out, "end.json").write_text(json.dumps([{{k: v.tolist() for k, v in weights.items()}}, [e["loss"] for e in log if "loss" in e]]))
"""


@pytest.fixture
def program(place):
    """A small training; a path.sh makes it and the environment's Python known to jobs, wherever they start."""
    Path("learn.py").write_text(textwrap.dedent(LEARN))
    Path("learn.py").chmod(0o755)
    Path("path.sh").write_text(f"PATH={LOCAL}:{Path(sys.executable).parent}:$PATH\nexport OMP_NUM_THREADS=1\n")
    return place / "learn.py"


def asked(folder):
    """Which (epoch, index) each process asked for, and on which node."""
    return {path.suffix: [line.split() for line in path.read_text().splitlines()] for path in sorted(Path(folder).glob("asked.*"))}


def test_a_training_on_two_nodes_learns_what_it_does_on_one(slurm, program):
    """launch.sh finds the nodes of the job; the batches are the same, and so are the weights but for rounding."""
    slurm.run("--nodes", 2, "log/two.log", "launch.sh", 1, "./learn.py", "two", 0)
    shares = asked("two")
    assert {node for share in shares.values() for _, _, node in share} == {"node1", "node2"} and len(shares) == 2
    together = sorted((int(epoch), int(index)) for share in shares.values() for epoch, index, _ in share)
    assert together == [(epoch, index) for epoch in range(2) for index in range(12)]
    assert json.loads(Path("two/end.json").read_text())[1]


def test_a_preempted_training_goes_on(slurm, program):
    """A requeued job gets SIGTERM; it leaves a checkpoint, is started again, and nothing is learnt twice."""
    process = slurm.start("JOB=1:1", "log/p.JOB.log", "./learn.py", "cut", 0.4)
    wait_for("the second epoch", lambda: any(line[0] == "1" for line in asked("cut").get(".0", [])), 300)
    slurm.say("scontrol", "requeue", slurm.jobs()[0])
    assert process.wait(300) == 0, process.stderr.read()
    log = Path("log/p.1.log").read_text()
    assert re.search(r"going on from .*checkpoint-\d", log), log
    slurm.run("log/s.log", "./learn.py", "straight", 0)
    assert json.loads(Path("cut/end.json").read_text())[0] == json.loads(Path("straight/end.json").read_text())[0]
    (cut,) = asked("cut").values()
    # But for the batches that were being learnt and read ahead when the signal came.
    assert len(cut) <= 24 + 8
