"""Kill a mini recipe at random moments, run it again each time, and compare what it leaves with an undisturbed run.

Both runs are made in the same folder, one after the other, so that even paths must be equal.
"""

import argparse
import json
import os
import queue
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from harness import FOLDERS, alive_in, copy_of_the_project, differences, environment, left_by, work_folder

STAGES = range(10)
PATIENCE = 3600
"""Seconds without the stage that is waited for, after which a run counts as hanging."""


class Attempt:
    """One run of a recipe, in a process group of its own, whose stages are followed as it prints them."""

    def __init__(self, project: Path, recipe: str, stage: int = 0) -> None:
        self.began = time.monotonic()
        self.stages: dict[int, float] = {}
        self._errors = open(project / "errors.log", "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            ["./run.sh", "--egs", recipe, "--mini", "true", "--stage", str(max(stage, 0))],
            cwd=project, env=environment(), text=True,
            stdout=subprocess.PIPE, stderr=self._errors, start_new_session=True,
        )  # fmt: skip
        self._news: queue.Queue[int | None] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if begun := re.match(r"\S+ stage (\d+): ", line):
                self.stages[int(begun[1])] = self.seconds()
                self._news.put(int(begun[1]))
        self._news.put(None)

    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.began

    def reach(self, stage: int) -> bool:
        """Wait for this stage or a later one; False when the run ended before."""
        while (news := self._news.get(timeout=PATIENCE)) is not None:
            if news >= stage:
                return True
        return False

    def end(self) -> int:
        """Wait for the end; the exit code."""
        return self.process.wait(timeout=PATIENCE)

    def kill(self) -> int:
        """SIGKILL for all its processes; the stage it was in, -1 before the first."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        return max(self.stages, default=-1)

    def errors(self) -> str:
        """What it wrote to stderr, the last of it."""
        self._errors.flush()
        self._errors.seek(0)
        return self._errors.read()[-3000:]


def undisturbed(project: Path, recipe: str) -> tuple[dict[str, str], dict[int, float]]:
    """A run that nobody disturbs: what it leaves, and the seconds each stage took."""
    attempt = Attempt(project, recipe)
    if attempt.end() != 0:
        raise SystemExit(f"the undisturbed run failed:\n{attempt.errors()}")
    attempt.reach(len(STAGES))
    begun = [attempt.stages[stage] for stage in STAGES] + [attempt.seconds()]
    return left_by(project / "egs" / recipe), {stage: begun[stage + 1] - begun[stage] for stage in STAGES}


def remove_results(project: Path, recipe: str) -> None:
    """Everything that runs of a recipe have left."""
    for name in (*FOLDERS, "downloads"):
        shutil.rmtree(project / "egs" / recipe / name, ignore_errors=True)


def moments(kills: int, seed: int, seconds: dict[int, float]) -> list[tuple[int, float]]:
    """When to kill: (stage, seconds after it began), the stages in order and with as many kills each.

    The seconds are drawn so that the kills of a stage together take about as
    long as the stage: later ones then fall on later work of it.  Every tenth
    run is killed at any moment from its start, while it finds what is done.
    """
    draw = random.Random(seed)
    stages = sorted(STAGES[number % len(STAGES)] for number in range(kills))
    shares = Counter(stages)
    return [
        (
            (-1, draw.uniform(0, 2 + 2 * stage))
            if number % 10 == 9
            else (stage, draw.uniform(0, 2 * seconds[stage] / shares[stage]))
        )
        for number, stage in enumerate(stages)
    ]


def killed(
    project: Path, recipe: str, when: list[tuple[int, float]], again: str
) -> tuple[dict[str, str], Counter[int], list[str]]:
    """Run and kill at each of these moments, then run to the end: what is left, the stages hit, what went wrong.

    `again` is where a run begins after a kill: with the `first` stage, or with the one that was `killed`.  Every
    tenth and the last begin with the first stage anyway.
    """
    hit: Counter[int] = Counter()
    wrong = []
    reached = 0
    for number, (stage, offset) in enumerate(when, 1):
        attempt = Attempt(project, recipe, reached if again == "killed" and stage >= 0 else 0)
        if stage < 0 or attempt.reach(stage):
            time.sleep(offset)
        if attempt.process.poll() is not None:
            wrong.append(f"run {number} ended by itself with {attempt.process.returncode}: {attempt.errors()}")
            continue
        stage = attempt.kill()
        hit[stage] += 1
        reached = max(reached, stage)
        # Under load a process that was killed takes its time to go.
        end = time.monotonic() + 20
        while (left := alive_in(project)) and time.monotonic() < end:
            time.sleep(0.05)
        if left:
            wrong.append(f"after kill {number}, in stage {stage}, these processes lived on: {left}")
        print(f"kill {number}: stage {stage}, {attempt.seconds():.1f} s after the start", flush=True)
    last = Attempt(project, recipe)
    if last.end() != 0:
        wrong.append(f"the last run failed: {last.errors()}")
    return left_by(project / "egs" / recipe), hit, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, help="of the moments (default: drawn, and printed)")
    parser.add_argument("--recipe", default="gsc_v2")
    parser.add_argument(
        "--again-from", choices=("first", "killed"), default="first", help="stage that a run begins with after a kill"
    )
    parser.add_argument("--work", type=Path, help="an empty folder (default: a new temporary one, printed)")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    print(
        f"--kills {options.kills} --seed {seed} --recipe {options.recipe} --again-from {options.again_from}", flush=True
    )
    work = work_folder(options.work)
    project = copy_of_the_project(work / "project")
    expected, seconds = undisturbed(project, options.recipe)
    print(f"undisturbed: {sum(seconds.values()):.0f} s, {len(expected)} files", flush=True)
    (work / "expected.json").write_text(json.dumps(expected, indent=1))
    for name in (*FOLDERS, "downloads"):
        os.rename(project / "egs" / options.recipe / name, work / f"undisturbed.{name}")
    began = time.monotonic()
    found, hit, wrong = killed(project, options.recipe, moments(options.kills, seed, seconds), options.again_from)
    wrong += differences(expected, found)
    print("kills by stage:", ", ".join(f"{stage}: {count}" for stage, count in sorted(hit.items())))
    print(f"{sum(hit.values())} kills in {time.monotonic() - began:.0f} s; {len(found)} files compared")
    print("\n".join(wrong) if wrong else "every file is equal to the undisturbed run's")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
