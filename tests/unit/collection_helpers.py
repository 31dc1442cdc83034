"""What the tests of the collection share: a loudness meter, short sounds, and the two programs, run in-process."""

from pathlib import Path

import numpy as np
import soundfile
from corpora_helpers import program
from scipy.signal import lfilter, resample_poly

from salience.collection.recording import Settings

RATE = 16000
COLLECT = "egs/cv_fa_pdid/local/collect_recordings.py"
MERGE = "egs/cv_fa_pdid/local/merge_collection.py"


def lufs(samples: np.ndarray) -> float:
    """Integrated loudness of 16 kHz mono samples, by the filters that ITU-R BS.1770-4 tabulates for 48 kHz."""
    sound = resample_poly(samples.astype(np.float64), 3, 1)
    shelf = [1.53512485958697, -2.69169618940638, 1.19839281085285], [1, -1.69065929318241, 0.73248077421585]
    high_pass = [1, -2, 1], [1, -1.99004745483398, 0.99007225036621]
    for b, a in (shelf, high_pass):
        sound = lfilter(b, a, sound)
    block, step = 19200, 4800
    starts = range(0, len(sound) - block + 1, step)
    power = np.array([np.mean(sound[start : start + block] ** 2) for start in starts])
    level = -0.691 + 10 * np.log10(np.maximum(power, 1e-20))
    loud = power[level > -70]
    relative = -0.691 + 10 * np.log10(loud.mean()) - 10
    return float(-0.691 + 10 * np.log10(power[(level > -70) & (level > relative)].mean()))


def tone(seconds: float, frequency: float = 997.0, level: float = 0.1, rate: int = RATE) -> np.ndarray:
    """A sine, float64 (samples,)."""
    return level * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def write(path: Path, sound: np.ndarray, rate: int = RATE) -> Path:
    """A sound file in a folder that is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, rate)
    return path


def run(
    out: Path, jobs: int = 1, reference: Path | None = None, settings: Settings | None = None, **recordings: Path
) -> Path:
    """Both programs of the collection, the jobs one after the other; returns the folder of the result."""
    settings = settings or Settings()
    for job in range(1, jobs + 1):
        program(COLLECT).collect_recordings(out / "recordings", settings, job=job, jobs=jobs, **recordings)
    program(MERGE).merge_collection(
        out / "recordings", out / "pdid", settings, reference=reference, synthetic=True, **recordings
    )
    return out / "pdid"
