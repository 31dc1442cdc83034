"""What the tests of Speech Commands and of its noise share."""

import hashlib
import os
import subprocess
from pathlib import Path

import numpy as np
import soundfile
from corpora_helpers import TOP, program

RECIPE = "egs/gsc_v2/local/prepare_sets.py"
RATE = 16000


def write(path: Path, samples: int = 8000, rate: int = RATE, channels: int = 1) -> Path:
    """A file of faint noise that depends on its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = int(hashlib.sha256(path.name.encode()).hexdigest()[:8], 16)
    sound = np.random.default_rng(seed).normal(0, 300, (samples, channels)).astype(np.int16)
    soundfile.write(path, np.squeeze(sound), rate, subtype="PCM_16")
    return path


def tiny_corpus(root: Path) -> Path:
    """Two words, two clips each for training, one for dev, one for test."""
    for word in ("no", "yes"):
        for name in ("aaaa0000_nohash_0", "aaaa0000_nohash_1", "bbbb0000_nohash_0", "cccc0000_nohash_0"):
            write(root / word / f"{name}.wav")
    (root / "validation_list.txt").write_text("no/bbbb0000_nohash_0.wav\nyes/bbbb0000_nohash_0.wav\n")
    (root / "testing_list.txt").write_text("yes/cccc0000_nohash_0.wav\nno/cccc0000_nohash_0.wav\n")
    write(root / "_background_noise_" / "tap.wav", 10 * RATE + 300)
    write(root / "_background_noise_" / "wind.wav", 5 * RATE)
    return root


def living_room(folder: Path) -> Path:
    """A folder of out-of-domain noise: one recording of three seconds, stereo, 48 kHz."""
    write(folder / "HOME-LIVINGB-1.wav", 3 * 48000, 48000, channels=2)
    return folder


def roots(folder: Path, **corpora: Path) -> Path:
    """What stage 0 leaves: a folder with <corpus>/root.txt."""
    for name, root in corpora.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "root.txt").write_text(f"{root}\n")
    return folder


def prepare(out: Path, root: Path, room: Path, musan: Path | None = None, **options: object) -> None:
    """Stage 1 with the corpus' own noise and `room` as QUT-NOISE, unless `options` say otherwise."""
    corpora = roots(
        out.parent / "downloads", speech_commands=root, qut_noise=room, **({"musan": musan} if musan else {})
    )
    program(RECIPE).main(out, corpora, **({"noise": "background"} | options))


def validate(folder: Path, *options: str) -> None:
    """Kaldi's rules for a data directory."""
    environment = os.environ | {
        "PATH": f"{TOP / '.venv/bin'}:{TOP / 'local'}:{TOP / 'utils'}:{os.environ['PATH']}",
        "PYTHONPATH": str(TOP / "local"),
        "LC_ALL": "C",
    }
    command = [str(TOP / "utils/validate_data_dir.sh"), "--no-feats", *options, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
