#!/usr/bin/env python3
"""Peak memory of the programs that dump, on a corpus and on one ten times as long."""

# torch stays out of this process: a child starts with its parent's peak on its account.
import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from material import RATE, write_set
from measure import Row, write_rows

from salience import program

LOCAL = Path(__file__).parents[2] / "local"
SYSTEMS = LOCAL.parent / "egs/fsdd/conf/systems.yaml"
TIMES = 10


def bench_memory(per_length: int = 32, out: Path | None = None) -> None:
    """A row for each program: its peak on the long corpus in units of its peak on the short one.

    The short corpus has enough utterances of each length (2, 3 and 4 s) to
    fill the programs' batches; the long one has ten times as many of each.

    Args:
        per_length: Utterances of each length in the short corpus.
        out: File to append the rows to; they are printed if there is none.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rng = np.random.default_rng(1)
        files = []
        for index in range(3 * per_length):
            files.append(folder / f"noise{index:03d}.wav")
            soundfile.write(files[-1], 0.1 * rng.standard_normal((2 + index % 3) * RATE), RATE)
        models = multiprocessing.get_context("spawn").Process(target=_make_models, args=(folder,))
        models.start()
        models.join()
        peaks = [_dump(folder / str(times), folder, files, times) for times in (1, TIMES)]
    rows = [
        Row(
            f"peak memory of {verb}, {TIMES} times {len(files)} utterances",
            f"{peaks[1][verb]:.0f} MB",
            f"{peaks[0][verb]:.0f} MB for {len(files)}",
            peaks[1][verb] / peaks[0][verb],
            aim=1.1,
            at_most=True,
        )
        for verb in peaks[0]
    ]
    write_rows(rows, out)


def _make_models(folder: Path) -> None:
    """An accent classifier and a Whisper, both with random weights."""
    from salience.models.accent_classifier import save_classifier
    from salience.models.accent_cnn import AccentCNN, AccentCNNConfig
    from salience.models.whisper import MINI, new_model, save_model

    save_classifier(AccentCNN(AccentCNNConfig(classes=("a", "b"))), folder / "classifier")
    save_model(new_model(MINI, 1), folder / "whisper.pt")


def _dump(work: Path, models: Path, files: list[Path], copies: int) -> dict[str, float]:
    """Peak memory in MB of each program on one corpus."""
    write_set(work / "data", "set", files, copies)
    data, features, maps = f"--data={work}/data", f"--features={work}/features", f"{work}/maps"
    methods = "--methods=gradcam gradcam++ random"
    peaks = {"extract_features": _run("extract_features", data, "--sets=set", f"--out={work}/features")}
    _run(
        "merge_archives",
        f"--folder={work}/features",
        "--sets=set",
        "--name=feats",
        "--jobs=1",
        "--tables=utt2num_frames",
    )
    peaks["map_saliency"] = _run(
        "map_saliency", data, features, "--sets=set", f"--model={models}/classifier", f"--out={maps}", methods
    )
    peaks["mask_features"] = _run(
        "mask_features",
        data,
        features,
        f"--maps={maps}",
        "--sets=set",
        f"--systems={SYSTEMS}",
        "--only=gradcam++ random-mask",
        f"--out={work}/masked",
    )
    peaks["decode"] = _run(
        "decode",
        "--recogniser=whisper",
        f"--models={models}/whisper.pt",
        features,
        "--sets=set",
        f"--out={work}/hypotheses",
        "--max-tokens=10",
    )
    return peaks


def _run(name: str, *options: str) -> float:
    process = subprocess.Popen([sys.executable, str(LOCAL / f"{name}.py"), *options], stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"bench_memory.py: {name} failed: {said}")
    return usage.ru_maxrss / 1024


if __name__ == "__main__":
    program.main(bench_memory)
