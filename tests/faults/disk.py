"""Fill the disk in each stage of a mini recipe, free it, and go on: as root, on a small disk in memory.

Each stage is tried with room for hardly more than a run's lock, then with a random part of what it needs, then with
enough.  A try that fails must say so in one sentence, exit 1, and leave nothing half written.
"""

import argparse
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import QUICK, copy_of_the_project, differences, hasten, left_by, run, work_folder
from kills import STAGES, remove_results

LARGE = 4 * 1024**3
LEAST = 8192
SENTENCE = re.compile(
    r"no space left on the disk for \S.*; free some and run the same command again|No space left on device|need \S+ GB"
    r" in .* are free; free some",
    re.I,
)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system in memory at `folder`, as long as the block lasts."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={LARGE}", "salience-faults", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def used(disk: Path) -> int:
    """Bytes that its files take."""
    status = os.statvfs(disk)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def leave_room(disk: Path, room: int) -> None:
    """Shrink the disk until this many bytes are free, or none."""
    subprocess.run(["mount", "-o", f"remount,size={used(disk) + max(room, 1)}", str(disk)], check=True)


def enlarge(disk: Path) -> None:
    """Give it as much room as at first."""
    subprocess.run(["mount", "-o", f"remount,size={LARGE}", str(disk)], check=True)


def faults_of(
    disk: Path, project: Path, recipe: str, expected: dict[str, str], seed: int, stages: range = STAGES
) -> Iterator[str]:
    """Try these stages; what went wrong, a line each."""
    draw = random.Random(seed)
    folder = project / "egs" / recipe
    needed = {}
    for stage in stages:
        before = used(disk)
        done = run(project, *options(recipe, stage))
        if done.returncode != 0:
            yield f"stage {stage} failed on a large disk: {done.stderr[-1000:]}"
            return
        needed[stage] = used(disk) - before
    # Of stages that the caller leaves out nothing is known; they are not compared.
    expected = expected or left_by(folder)
    remove_results(project, recipe)
    for stage in stages:
        for room in (LEAST, draw.randrange(LEAST, max(needed[stage], 2 * LEAST))):
            before_it = left_by(folder)
            leave_room(disk, room)
            done = run(project, *options(recipe, stage))
            enlarge(disk)
            said = done.stdout + done.stderr
            print(
                f"stage {stage}, {room} of {needed[stage]} bytes free: exit {done.returncode}:"
                f" {last_line(done.stderr)}",
                flush=True,
            )
            if done.returncode == 0:
                continue  # that much was enough after all: temporary files of the first time were not needed
            if done.returncode != 1 or "Traceback" in said or not SENTENCE.search(said):
                yield f"stage {stage} with {room} bytes free: exit {done.returncode}, {said[-1500:]}"
            after = left_by(folder)
            for name in sorted(after):
                # A training goes on from those of its checkpoints that are whole; its result is compared at the end.
                if "/checkpoints/" not in name and after[name] not in (before_it.get(name), expected.get(name)):
                    yield f"stage {stage} with {room} bytes free left {name} half written"
        done = run(project, *options(recipe, stage))
        if done.returncode != 0:
            yield f"stage {stage} did not go on: {done.stderr[-1500:]}"
            return
    yield from differences(expected, left_by(folder))


def options(recipe: str, stage: int) -> list[str]:
    """Those that run one stage."""
    return [
        "--egs",
        recipe,
        "--mini",
        "true",
        *QUICK.get(recipe, []),
        "--stage",
        str(stage),
        "--stop-stage",
        str(stage),
    ]


def last_line(text: str) -> str:
    """Its last line that holds anything."""
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, help="of the room that is left (default: drawn, and printed)")
    parser.add_argument("--recipe", default="gsc_v2")
    parser.add_argument("--work", type=Path, help="an empty folder (default: a new temporary one, printed)")
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    print(f"--seed {seed} --recipe {given.recipe}", flush=True)
    if os.geteuid() != 0:
        print("skipped: mounting a small disk needs root")
        return 0
    with small_disk(work_folder(given.work) / "disk") as disk:
        project = copy_of_the_project(disk / "project")
        hasten(project)
        wrong = list(faults_of(disk, project, given.recipe, {}, seed))
    print("\n".join(wrong) if wrong else f"{len(STAGES)} stages went on after a full disk, and every file is equal")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
