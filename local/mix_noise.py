#!/usr/bin/env python3
"""Stage 5: features of speech with noise, everywhere or where a mask lets it through."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch

from salience import program
from salience.audio import write_audio
from salience.data.directories import read_data_dir
from salience.data.records import Utterance
from salience.data.signals import read_utterance
from salience.data.tables import read_table, write_table
from salience.errors import InputError
from salience.features.archives import Archive, ArchiveWriter, archive_bytes
from salience.features.fbank import BINS, INT16, RATE, fbank, num_frames
from salience.files import read_json, require_space, temporary_name
from salience.masking.noise import gain_for, masked_noise, white_noise
from salience.progress import bar
from salience.randomness import generator
from salience.steps import Step, audio_fingerprint
from salience.training.bubbles import BubbleNoise, dithered

logger = logging.getLogger("mix_noise")

PEAK = 0.9
"""Of the audio to listen to: 50,000 times unit noise is beyond full scale."""

SAMPLE = 3
"""Bytes of a sample of that audio, which is noise and hardly gets smaller as FLAC."""


def mix_noise(
    data: Path,
    sets: str,
    out: str,
    masks: Path | None = None,
    mask_set: str = "",
    estimator: Path | None = None,
    noise: BubbleNoise = BubbleNoise(),
    snr: str = "",
    draws: str = "1",
    speech: bool = True,
    audio: bool = False,
    check_space: bool = True,
) -> None:
    """Write OUT/SET/feats.{ark,scp}, utt2num_frames and noise_proportion.

    The mixture is that of equation 2, in floating point throughout; its fbank
    is computed from the signal.  Noise is drawn by utterance and draw, and is
    the same for every mask.  An utterance that is a copy of another takes the
    mask of its original (the table utt2uniq).

    Args:
        data: Folder of the data directories.
        sets: Names of the sets, separated by spaces.
        out: Folder for the features; {draw} in it stands for the draw.
        masks: Folder of the masks; without it noise is everywhere.
        mask_set: The set whose masks are taken, when the given ones are copies of it.
        estimator: Folder of the estimator that made them, for window and hop.
        noise: Gains of noise and dither, as in training.
        snr: Instead of the gain, a signal-to-noise ratio in dB, or the two ends of a range from which each
            utterance draws its own; that of the noise before the mask.
        draws: Numbers of the draws, separated by spaces.
        speech: False for the noise alone: what a recogniser hears then, the shape of the noise has told it.
        audio: Write SET/audio/UTTERANCE.flac of the first draw too, scaled to be listened to.
        check_space: Refuse to start where the disk has no room for what will be written.
    """
    if (masks is None) != (estimator is None):
        raise InputError("--masks and --estimator go together; give both or none")
    if len(draws.split()) > 1 and "{draw}" not in out:
        raise InputError("with several draws --out needs {draw} in it")
    ratios = _numbers(snr)
    sizes = read_json(estimator / "config.json") if estimator else None
    places = {draw: Path(out.replace("{draw}", draw)) for draw in draws.split()}
    if check_space and places:
        samples = [round(u.duration * RATE) for name in sets.split() for u in read_data_dir(data / name)]
        needed = len(places) * archive_bytes(map(num_frames, samples), BINS, compress=False) + (
            SAMPLE * sum(samples) if audio else 0
        )
        require_space(
            places[draws.split()[0]],
            (place / name for place in places.values() for name in sets.split()),
            needed,
            "the noisy features",
        )
    for draw, folder in places.items():
        for name in sets.split():
            place = folder / name
            utterances = read_data_dir(data / name)
            from_masks = masks / (mask_set or name) if masks else None
            with_audio = audio and draw == draws.split()[0]
            step = Step(
                place / "step.json",
                {
                    "gain": noise.gain,
                    "snr": snr,
                    "dither": noise.dither,
                    "draw": draw,
                    "sizes": sizes,
                    "audio": with_audio,
                    "recordings": audio_fingerprint(u.audio for u in utterances),
                    **({} if speech else {"speech": False}),
                },
                inputs=[data / name, *([from_masks / "mask.scp"] if from_masks else [])],
                outputs=[place / "feats.scp", place / "utt2num_frames", place / "noise_proportion"],
            )
            if step.is_done():
                continue
            uniq = read_table(data / name / "utt2uniq") if (data / name / "utt2uniq").exists() else {}
            archive = Archive(from_masks / "mask.scp") if from_masks else None
            shares = read_table(from_masks / "noise_proportion") if from_masks else {}
            counts = {}
            with step, ArchiveWriter(place / "feats") as writer:
                for utterance in bar(utterances, f"noise on {name}"):
                    original = uniq.get(utterance.id, utterance.id)
                    signal = _speech(utterance, noise.dither)
                    white = white_noise(len(signal), "evaluation", utterance.id, draw)
                    mask = archive[original] if archive is not None else None
                    loudness = gain_for(signal, white, _ratio(ratios, utterance.id, draw)) if ratios else noise.gain
                    heard = (
                        signal if speech else dithered(np.zeros_like(signal), noise.dither, "evaluation", utterance.id)
                    )
                    noisy = heard + loudness * _through(white, mask, sizes, utterance.id)
                    matrix = fbank(torch.from_numpy(noisy)[None])[0].numpy()
                    writer.write(utterance.id, matrix)
                    counts[utterance.id] = str(len(matrix))
                    if with_audio:
                        _write_audio(place / "audio" / f"{utterance.id}.flac", noisy)
                write_table(place / "utt2num_frames", counts)
                write_table(
                    place / "noise_proportion",
                    {u.id: _share(shares, uniq.get(u.id, u.id), from_masks) for u in utterances},
                )
            logger.info("wrote %d noisy utterances to %s", len(counts), place)


def _numbers(text: str) -> list[float]:
    try:
        numbers = [float(word) for word in text.split()]
    except ValueError:
        numbers = [0.0] * 3
    if len(numbers) > 2:
        raise InputError(f"--snr takes one number or the two ends of a range, not {text!r}")
    return sorted(numbers)


def _ratio(ends: list[float], *names: object) -> float:
    return float(generator("snr", *names).uniform(ends[0], ends[-1]))


def _share(shares: dict[str, str], utterance: str, masks: Path | None) -> str:
    if masks is None:
        return "1 1"
    if utterance not in shares:
        raise InputError(f"{masks / 'noise_proportion'} has no line for {utterance}; run stage 4 again")
    return shares[utterance]


def _speech(utterance: Utterance, dither: float) -> np.ndarray:
    signal = INT16 * read_utterance(utterance, RATE)
    return dithered(signal, dither, "evaluation", utterance.id)


def _through(noise: np.ndarray, mask: np.ndarray | None, sizes: dict[str, Any] | None, utterance: str) -> np.ndarray:
    if mask is None or sizes is None:
        return noise
    if mask.shape[0] != 1 + len(noise) // sizes["hop"]:
        raise InputError(
            f"the mask of {utterance} has {mask.shape[0]} frames, and its audio {1 + len(noise) // sizes['hop']}; run"
            " stage 4 again"
        )
    return masked_noise(
        torch.from_numpy(noise)[None], torch.tensor(mask)[None], sizes["window"], sizes["hop"], sizes.get("depth", 0.0)
    )[0].numpy()


def _write_audio(path: Path, signal: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    try:
        write_audio(temporary, PEAK * signal / np.abs(signal).max(), RATE, format="FLAC", subtype="PCM_24")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


if __name__ == "__main__":
    program.main(mix_noise)
