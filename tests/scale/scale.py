"""A synthetic data directory of any size through the tools and programs that must not care: seconds and peak memory.

Started by run.sh.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
JOBS = 32
PER_SPEAKER = 50
WORDS = "the quick brown fox jumps over a lazy dog while seven small boats sail slowly home before dark".split()


@dataclass(frozen=True)
class Measured:
    """What a step took."""

    step: str
    seconds: float
    processor_seconds: float
    peak_mb: float


def write_directory(folder: Path, utterances: int, seed: int) -> None:
    """data/train, hypotheses and the parts of an array of jobs, `utterances` of each."""
    draw = random.Random(seed)
    data, dump = folder / "data" / "train", folder / "dump" / "train"
    data.mkdir(parents=True)
    dump.mkdir(parents=True)
    names = ("utt2spk", "spk2utt", "text", "wav.scp", "utt2dur", "utt2accent", "utt2num_frames")
    files = {name: open(data / name, "w") for name in names}
    hyp = open(folder / "hyp", "w")
    parts = [
        (open(dump / f"feats.{job}.scp", "w"), open(dump / f"utt2num_frames.{job}", "w")) for job in range(1, JOBS + 1)
    ]
    for first in range(0, utterances, PER_SPEAKER):
        speaker = f"s{first // PER_SPEAKER:07d}"
        keys = [f"{speaker}-{number:07d}" for number in range(first, min(first + PER_SPEAKER, utterances))]
        files["spk2utt"].write(f"{speaker} {' '.join(keys)}\n")
        for number, key in enumerate(keys, first):
            words = draw.choices(WORDS, k=10)
            frames = draw.randint(100, 1500)
            files["utt2spk"].write(f"{key} {speaker}\n")
            files["text"].write(f"{key} {' '.join(words)}\n")
            files["wav.scp"].write(f"{key} /corpora/big/{speaker}/{key}.flac\n")
            files["utt2dur"].write(f"{key} {frames / 100:.3f}\n")
            files["utt2accent"].write(f"{key} accent{number % 6}\n")
            files["utt2num_frames"].write(f"{key} {frames}\n")
            words[draw.randrange(10)] = draw.choice(WORDS)
            hyp.write(f"{key} {' '.join(words)}\n")
            scp, lengths = parts[number * JOBS // utterances]
            scp.write(f"{key} dump/train/feats.{number * JOBS // utterances + 1}.ark:{number * 1000}\n")
            lengths.write(f"{key} {frames}\n")
    for file in (*files.values(), hyp, *(file for pair in parts for file in pair)):
        file.close()


def commands() -> Iterator[tuple[str, list[str]]]:
    """The steps and their command lines, to be run in the folder."""
    tool = [sys.executable, str(TOP / "utils/data_dir.py")]
    yield "validate", [*tool, "validate_data_dir", "--no-feats", "--max-duration", "30", "data/train"]
    yield f"split into {JOBS}", [*tool, "split_data", "data/train", str(JOBS)]
    yield (
        f"merge {JOBS} parts",
        [
            sys.executable,
            str(TOP / "local/merge_archives.py"),
            "--folder",
            "dump",
            "--sets",
            "train",
            "--name",
            "feats",
            "--jobs",
            str(JOBS),
            "--data",
            "data",
            "--tables",
            "utt2num_frames",
        ],
    )
    yield (
        "score (WER, CER)",
        [
            sys.executable,
            str(TOP / "local/score_words.py"),
            "--ref",
            "data/train/text",
            "--hyp",
            "hyp",
            "--utt2spk",
            "data/train/utt2spk",
            "--utt2accent",
            "data/train/utt2accent",
            "--out",
            "score",
        ],
    )


# Peak memory of a started process begins with that of the process that starts it, and the one that runs the tests is
# large: in between stands one as small as can be.
START = """
import os, sys
if (pid := os.fork()) == 0:
    os.dup2(2, 1)
    os.execv(sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(pid, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
"""


def measured(step: str, command: list[str], folder: Path) -> Measured:
    """Run a command and wait for it; one that fails ends everything."""
    start = time.monotonic()
    environment = os.environ | {"PYTHONPATH": str(TOP / "local"), "OMP_NUM_THREADS": "1"}
    with open(folder / "log", "ab") as log:
        said = subprocess.run(
            [sys.executable, "-S", "-c", START, *command],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            check=True,
        )
    code, processor_seconds, peak = said.stdout.split()
    if int(code):
        sys.exit(f"{step} ended with {int(code)}: {(folder / 'log').read_text()[-2000:]}")
    return Measured(step, time.monotonic() - start, float(processor_seconds), int(peak) / 1024)


def run(folder: Path, utterances: int, seed: int) -> Iterator[Measured]:
    """All steps on a new directory in `folder`, which must be empty."""
    write_directory(folder, utterances, seed)
    for step, command in commands():
        yield measured(step, command, folder)
    check(folder, utterances)


def check(folder: Path, utterances: int) -> None:
    """The steps did what they say."""

    def lines(path: Path) -> int:
        with open(path, "rb") as handle:
            return sum(1 for _ in handle)

    split = folder / "data" / "train" / f"split{JOBS}"
    sizes = [lines(split / str(part) / "text") for part in range(1, JOBS + 1)]
    assert sum(sizes) == utterances and max(sizes) - min(sizes) <= 2 * PER_SPEAKER, sizes
    assert lines(folder / "dump/train/feats.scp") == lines(folder / "dump/train/utt2num_frames") == utterances
    assert f"Scored {utterances} sentences, 0 not present" in (folder / "score/wer").read_text()


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests/scale/run.sh", description=__doc__.partition("\n")[0])
    parser.add_argument("--utterances", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="an empty folder to work in, kept afterwards (a temporary one)")
    args = parser.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp(prefix="scale."))
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{args.utterances} utterances, seed {args.seed}, in {folder}", flush=True)
    try:
        for row in run(folder.resolve(), args.utterances, args.seed):
            print(
                f"{row.step:20} {row.seconds:7.1f} s {row.processor_seconds:7.1f} s of CPU time {row.peak_mb:7.0f} MB",
                flush=True,
            )
    finally:
        if args.folder is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
