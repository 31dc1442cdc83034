"""What the benchmarks work on: speech, its data directory, its features."""

import os
from pathlib import Path

import numpy as np
import soundfile

from salience.data.directories import write_data_dir
from salience.data.records import Utterance

RATE = 16_000


def speech_files(folder: Path, number: int) -> tuple[list[Path], str]:
    """`number` audio files, evenly chosen from a LibriSpeech excerpt, and what they are.

    Without the excerpt: noise in `folder`, of lengths spread as those of read
    speech are (log-normal, median 6.5 s, 2 to 25 s).
    """
    given = os.environ.get("SALIENCE_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data"
    found = sorted(Path(given).glob("LibriSpeech/*/*/*/*.flac"))
    if found:
        return [found[i * len(found) // number] for i in range(min(number, len(found)))], "LibriSpeech"
    rng = np.random.default_rng(1)
    files = []
    for index in range(number):
        files.append(folder / f"noise{index:04d}.flac")
        seconds = np.clip(6.5 * np.exp(0.6 * rng.standard_normal()), 2, 25)
        soundfile.write(files[-1], 0.1 * rng.standard_normal(int(seconds * RATE)), RATE)
    return files, "noise of the lengths of speech"


def write_set(data: Path, name: str, files: list[Path], copies: int = 1) -> None:
    """data/NAME and its one part, with each file as `copies` utterances."""
    utterances = [
        Utterance(
            id=f"{file.stem}-{copy}",
            speaker=file.stem,
            audio=file,
            text="",
            recording=f"{file.stem}-{copy}",
            duration=soundfile.info(file).duration,
        )
        for file in files
        for copy in range(copies)
    ]
    write_data_dir(data / name, utterances)
    write_data_dir(data / name / "split1" / "1", utterances)


def dump_features(data: Path, name: str, out: Path) -> None:
    """Stage 2 of one set."""
    # Here, because bench_memory.py must not load torch.
    from extract_features import extract_features
    from merge_archives import merge_archives

    extract_features(data, name, out)
    merge_archives(out, name, "feats", 1, tables="utt2num_frames")
