"""Trainings on Slurm: on two nodes, and taken off their machine while they learn."""

import json
import re
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from engines import UTILS, submitted, wait_for

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
            with Path(out, f"asked.{{os.environ.get('RANK', '0')}}").open("a") as asked:
                asked.write(f"{{where[0]}} {{where[1]}} {{os.environ['SLURMD_NODENAME']}}\\n")
            time.sleep(pause)
            return super().__getitem__(where)

    class Steady(t.Score):
        def __call__(self, model):
            return {{"dev_score": 1.0}}

    if "still" in sys.argv:
        # Each process draws its own dropout.
        still = t.still_model()
        t.toy_model = lambda: still
    out.mkdir(exist_ok=True)
    weights, log = t.learn(out, data=Slow(), score=Steady(), settings=t.replace(t.SETTINGS, epochs=2))
    if os.environ.get("RANK", "0") == "0":
        losses = [e["loss"] for e in log if "loss" in e]
        Path(out, "end.json").write_text(json.dumps([{{k: v.tolist() for k, v in weights.items()}}, losses]))
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
    return {
        path.suffix: [line.split() for line in path.read_text().splitlines()]
        for path in sorted(Path(folder).glob("asked.*"))
    }


def learnt(folder):
    """The final weights and the losses of the epochs."""
    return json.loads(Path(folder, "end.json").read_text())


def test_a_training_on_two_nodes_learns_what_it_does_on_one(slurm, program):
    """launch.sh finds the nodes of the job; the batches are the same, and so are the weights but for rounding."""
    one = slurm.start("log/one.log", "launch.sh", 1, "./learn.py", "one", 0, "still")
    slurm.run("--nodes", 2, "log/two.log", "launch.sh", 1, "./learn.py", "two", 0, "still")
    assert one.wait(120) == 0, one.stderr.read()
    shares = asked("two")
    assert {node for share in shares.values() for _, _, node in share} == {"node1", "node2"} and len(shares) == 2
    together = sorted((int(epoch), int(index)) for share in shares.values() for epoch, index, _ in share)
    assert together == [(epoch, index) for epoch in range(2) for index in range(12)]
    (weights, losses), (weights_of_two, losses_of_two) = learnt("one"), learnt("two")
    assert len(losses) == 2 and np.allclose(losses, losses_of_two, rtol=1e-5), (losses, losses_of_two)
    assert weights.keys() == weights_of_two.keys()
    for name, values in weights.items():
        assert np.allclose(values, weights_of_two[name], rtol=1e-3, atol=1e-5), name


def test_a_preempted_training_goes_on(slurm, program):
    """A requeued job gets SIGTERM; it leaves a checkpoint, is started again, and nothing is learnt twice."""
    straight = slurm.start("log/s.log", "./learn.py", "straight", 0)
    process = slurm.start("JOB=1:1", "log/p.JOB.log", "./learn.py", "cut", 0.4)
    log = Path("log/p.1.log")
    wait_for(
        "the middle of the second epoch", lambda: sum(line[0] == "1" for line in asked("cut").get(".0", [])) >= 5, 300
    )
    slurm.say("scontrol", "requeue", submitted("log/q/p.log"))
    # The log of the first try is there until the second one begins.
    ended = wait_for(
        "the end of the first try", lambda: re.search(r"ended by SIGTERM after update (\d+)", log.read_text()), 60
    )
    assert int(ended[1]) in (4, 5)  # of three in each epoch
    assert process.wait(300) == 0, process.stderr.read()
    assert re.search(rf"going on from .*checkpoint-{ended[1]}\n", log.read_text()), log.read_text()
    assert straight.wait(300) == 0, straight.stderr.read()
    assert learnt("cut")[0] == learnt("straight")[0]
    (cut,) = asked("cut").values()
    # But for the batches that were being learnt and read ahead when the signal came.
    assert len(cut) <= 24 + 8
