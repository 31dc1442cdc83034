"""A mini QUT-NOISE: one living room."""

from pathlib import Path

import numpy as np

from salience.audio import as_int16, write_audio
from salience.corpora import download
from salience.corpora.qut_noise import LIVING_ROOM, RATE
from salience.corpora.synthetic import noise

FOLDER = "QUT-NOISE"


def synthesise(root: Path, seed: int = 0) -> None:
    """Write a mini QUT-NOISE at `root`: half a minute of a living room, 48 kHz, stereo."""
    seconds = 30
    with download.whole_folder(root) as folder:
        # Something steady, something that happens, and a little difference between the channels.
        hum, clicks, left, right = (
            noise.noise(kind, seconds, RATE, seed, "qut_noise", number)
            for number, kind in enumerate(("hum", "clicks", "coloured", "coloured"))
        )
        sound = as_int16(np.stack([hum + clicks + left, hum + clicks + right], axis=1) / 2)
        write_audio(folder / "QUT-NOISE" / LIVING_ROOM, sound, RATE, subtype="PCM_16")
        noise.write_note(folder, "QUT-NOISE")
