"""Remove or cut off what a stage of a mini recipe wrote, and run the next stages.

They must say in one sentence which stage to run again, and running from that one must end with the same files as an
undisturbed run; or they do not need the file, and end with the same files at once.
"""

import argparse
import os
import random
import re
import shutil
import sys
from collections import defaultdict
from pathlib import Path

from disk import last_line, options
from harness import FOLDERS, QUICK, copy_of_the_project, differences, hasten, left_by, run, work_folder
from kills import STAGES

ALL = (*FOLDERS, "downloads")
DAMAGES = ("removed", "cut in half", "emptied")


def files_of(recipe: Path) -> set[str]:
    """All files below a recipe's folders but logs and work in progress."""
    return {str(path.relative_to(recipe)) for folder in ALL for path in (recipe / folder).rglob("*") if path.is_file()
            and not re.search(r"(^|/)(log|logs|split[0-9]+)(/|$)|(^|/)\.", str(path.relative_to(recipe)))}  # fmt: skip


def restore(whole: Path, recipe: Path) -> None:
    """Put all files back as they were, with their times."""
    for folder in ALL:
        for path in (recipe / folder).rglob("*"):
            if path.is_file() and not (whole / path.relative_to(recipe)).exists():
                path.unlink()
        for path in (whole / folder).rglob("*"):
            target = recipe / path.relative_to(whole)
            if path.is_file() and (not target.exists() or times(path) != times(target)):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, target)


def times(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def damage(path: Path, how: str) -> None:
    if how == "removed":
        path.unlink()
    else:
        os.truncate(path, 0 if how == "emptied" else path.stat().st_size // 2)


def chosen(made: dict[int, set[str]], trials: int, seed: int) -> list[tuple[int, str, str]]:
    """(stage, file, damage): all stages and kinds of file alike, however many files there are of each."""
    draw = random.Random(seed)
    picked = []
    for number in range(trials):
        stage = sorted(made)[number % len(made)]
        kinds = defaultdict(list)
        for name in sorted(made[stage]):
            kinds[re.sub(r"\d+", "0", os.path.basename(name))].append(name)
        # Recordings have many names.
        sounds = [kind for kind in kinds if kind.endswith((".wav", ".flac", ".raw", ".sph", ".mp3"))]
        kind = draw.choice([kind for kind in sorted(kinds) if kind not in sounds] + sounds[:1])
        picked.append((stage, draw.choice(kinds[kind]), draw.choice(DAMAGES)))
    return picked


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=36)
    parser.add_argument("--seed", type=int, help="of files and damages (default: drawn, and printed)")
    parser.add_argument("--recipe", default="gsc_v2")
    parser.add_argument("--work", type=Path, help="an empty folder (default: a new temporary one, printed)")
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    print(f"--trials {given.trials} --seed {seed} --recipe {given.recipe}", flush=True)
    work = work_folder(given.work)
    project = copy_of_the_project(work / "project")
    hasten(project)
    recipe, whole = project / "egs" / given.recipe, work / "whole"
    made: dict[int, set[str]] = {}
    for stage in STAGES:
        before = files_of(recipe)
        done = run(project, *options(given.recipe, stage))
        assert done.returncode == 0, done.stderr
        made[stage] = files_of(recipe) - before
    expected = left_by(recipe)
    for folder in ALL:
        shutil.copytree(recipe / folder, whole / folder, symlinks=True)
    del made[max(made)]  # nothing reads the report
    print("files of each stage:", {stage: len(names) for stage, names in made.items()}, flush=True)
    wrong = 0
    for stage, name, how in chosen(made, given.trials, seed):
        damage(recipe / name, how)
        faults, said = trial(project, given.recipe, stage, name, expected)
        wrong += bool(faults)
        print(f"{'FAULT' if faults else 'ok'}: stage {stage}'s {name} {how}: {said}", *faults, sep="\n    ", flush=True)
        restore(whole, recipe)
    print(f"{given.trials} files damaged, {wrong} faults")
    return 1 if wrong else 0


def trial(project: Path, name: str, stage: int, damaged: str, expected: dict[str, str]) -> tuple[list[str], str]:
    """Run the stages behind this one; what went wrong, and what they said."""
    recipe = project / "egs" / name
    base = ["--egs", name, "--mini", "true", *QUICK.get(name, []), "--stage"]
    done = run(project, *base, str(stage + 1))
    if done.returncode == 0:
        left = left_by(recipe)
        return [line for line in differences(expected, left) if not line.endswith(f": {damaged}")], "nothing needs it"
    said = last_line(done.stderr)
    if "Traceback" in done.stdout + done.stderr:
        return ["a traceback: " + done.stderr[-1500:]], said
    named = [int(number) for number in re.findall(r"stage (\d)", done.stderr)]
    if not named:
        return ["no stage is named: " + done.stderr[-800:]], said
    again = run(project, *base, str(named[-1]))
    if again.returncode != 0:
        return [f"stage {named[-1]} did not help: {again.stderr[-800:]}", done.stderr[-500:]], said
    return differences(expected, left_by(recipe)), said


if __name__ == "__main__":
    sys.exit(main())
