"""The short form of the fuzzing: every reader some hundred damaged inputs from one seed, without a guide."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from more_itertools import divide

HERE = Path(__file__).resolve().parent
SEED = 1
INPUTS = 150

SCRIPT = """
import json, random, sys
from pathlib import Path
from guard import Guard
from mutations import mutated
from targets import TARGETS

seed, inputs, findings = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
reports = {}
for name in sys.argv[4:]:
    target, draw = TARGETS[name], random.Random(f"{seed} {name}")
    seeds = target.seeds()
    guard = Guard(name, target, findings)
    guard.warm_up(seeds)
    for data in seeds:
        guard(data)
    for _ in range(max(10, round(inputs * min(1, target.share)))):
        guard(mutated(target, seeds, draw))
    guard.close()
    reports[name] = {"counts": guard.counts, "found": guard.found}
print(json.dumps(reports))
"""
"""In a process of its own: what watches a process can not be taken off it again."""


def fuzzed(folder: Path, *names: str, inputs: int = INPUTS, script: str = SCRIPT) -> dict[str, dict]:
    environment = os.environ | {
        "PYTHONPATH": f"{HERE}:{HERE.parents[1] / 'local'}",
        "OMP_NUM_THREADS": "1",
        "TQDM_DISABLE": "1",
        "HF_HUB_OFFLINE": "1",
        "TORCHINDUCTOR_CACHE_DIR": str(folder),
    }
    command = [sys.executable, "-W", "ignore", "-c", script, str(SEED), str(inputs), str(folder), *names]
    ended = subprocess.run(
        command, capture_output=True, text=True, env=environment, errors="replace", check=False, timeout=300
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return json.loads(ended.stdout.splitlines()[-1])


def names() -> list[str]:
    sys.path.insert(0, str(HERE))
    from targets import TARGETS

    return list(TARGETS)


GROUPS = 4


@pytest.mark.parametrize("group", range(GROUPS))
def test_no_reader_does_anything_but_read_or_refuse(tmp_path, group):
    # Neighbours, so that only one process loads what reads models.
    chosen = [list(part) for part in divide(GROUPS, names())][group]
    reports = fuzzed(tmp_path, *chosen)
    for name in chosen:
        counts = reports[name]["counts"]
        assert reports[name]["found"] == {}, f"{name}, seed {SEED}"
        # Otherwise its seeds are no valid inputs, or nothing of what was damaged was refused: either proves nothing.
        assert counts.get("read", 0) or name == "wav2vec_config"
        assert counts.get("InputError", name in ("transforms", "scp", "configuration", "lists", "model_sizes"))


BAD = {
    "raises": "raise ValueError('bug')",
    "runs": "import os; os.system('true')",
    "unpickles": "import pickle; pickle.loads(b'cos\\nsystem\\n(S\"true\"\\ntR.')",
    "writes outside": "open('../escaped', 'w')",
    "links": "import os; os.symlink('/etc', '../link')",
}


def test_the_guard_notices(tmp_path):
    """A reader that does what it must not is a finding: otherwise the test above would prove nothing."""
    lines = [
        f"bad = {BAD!r}",
        "from targets import Target",
        "TARGETS = {n: Target(lambda data, folder, c=c: exec(c), lambda: [b'x']) for n, c in bad.items()}",
        "Guard.warm_up = lambda *_: None",
        "seed, inputs",
    ]
    reports = fuzzed(tmp_path, *BAD, inputs=1, script=SCRIPT.replace("seed, inputs", "\n".join(lines), 1))
    kinds = {
        "raises": "ValueError",
        "runs": "os.system",
        "unpickles": "pickle.find_class",
        "writes outside": "open ",
        "links": "os.symlink",
    }
    for bad, kind in kinds.items():
        assert any(kind in problem for problem in reports[bad]["found"].values()), (bad, reports[bad])


def test_damage_is_the_same_for_the_same_seed():
    sys.path.insert(0, str(HERE))
    from mutations import mutated
    from targets import TARGETS

    target = TARGETS["table"]
    first, again = ([mutated(target, target.seeds(), random.Random(seed)) for seed in range(50)] for _ in range(2))
    assert first == again and len(set(first)) > 25
