#!/usr/bin/env python3
"""Stage 9: importance maps as pictures and as sound, and how their generators learnt."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from salience import program
from salience.audio import write_audio
from salience.data.packed import Packed, read_packed
from salience.data.tables import read_table
from salience.errors import InputError
from salience.features.archives import Archive
from salience.features.commands import BINS, FRAMES, HOP, RATE, SAMPLES, WINDOW, decibels, spectra
from salience.files import publish, read_json, temporary_name
from salience.masking.importance import batch_gain, mix, roll
from salience.randomness import generator
from salience.report.command_figures import Example, generator_training, importance_panels
from salience.scoring.patterns import matches
from salience.training.commands import as_float

logger = logging.getLogger(Path(__file__).name)

CURVES = {
    "loss (eq. 5),\ntraining dashed": {"train": "loss", "dev": "eval_dev_loss"},
    "mean M on dev (%)": {"dev": "eval_dev_mask"},
    "error on dev (%)": {"dev": "eval_dev_error"},
}


@dataclass(frozen=True)
class Mixture:
    """One utterance with noise through its map: the picture's panels, and waveforms by name."""

    example: Example
    sounds: dict[str, Tensor]


def draw_importance(
    out: Path,
    synthetic: bool,
    data: Path | None = None,
    packed: Path | None = None,
    noise: Path | None = None,
    masks: Path | None = None,
    utterances: str = "",
    audio: Path | None = None,
    snr: float = -12.5,
    shift: int = 30,
    seed: int = 1,
    histories: str | None = None,
) -> None:
    """Write PNG files into OUT: the paper's Figure 2 for each utterance, and the training of the generators.

    Without masks, or without histories, the pictures of the other are written.

    Args:
        out: Folder for the pictures.
        synthetic: Whether the audio is synthetic; the titles say so.
        data: Data directory of the utterances.
        packed: The same set, packed by stage 2.
        noise: A set of noise, packed; each utterance gets a piece by chance.
        masks: mask.scp of that set.
        utterances: Utterances to draw, separated by spaces; by default three of different words.
        audio: Folder for the sound, as WAV, all of one utterance equally loud: clean, the mixture through the rolled
            map, and the mixture with noise everywhere.
        snr: Signal-to-noise ratio in dB of the utterance and its noise before masking.
        shift: Masks are rolled by less than so many frames or bins.
        seed: Seed of the noise and the roll.
        histories: Pattern of the generators' history.json, such as 'exp/generator/seed{seed}/history.json'.
    """
    if masks is not None:
        if data is None or packed is None or noise is None:
            raise InputError("pictures of --masks need --data, --packed and --noise")
        archive, source, pieces = Archive(masks), read_packed(packed), read_packed(noise)
        text = read_table(data / "text")
        for key in utterances.split() or first_of_words(text, archive, 3):
            if key not in text or key not in source.ids:
                raise InputError(f"{data} has no utterance {key} that stage 2 has packed; correct --utterances")
            made = mixture(key, text[key], archive[key], source, pieces, snr, shift, seed)
            importance_panels(made.example, out / f"importance_{key}.png", HOP / RATE, RATE, synthetic)
            if audio is not None:
                write_sounds(audio, key, made.sounds)
    if histories is not None:
        draw_training(histories, out / "generator_training.png", synthetic)
    logger.info("the figures are in %s%s", out, f", the sound in {audio}" if audio is not None else "")


def first_of_words(text: dict[str, str], archive: Archive, number: int) -> list[str]:
    """The first utterance of each of some words that has a mask."""
    first: dict[str, str] = {}
    for key, word in text.items():
        if key in archive:
            first.setdefault(word, key)
    return list(first.values())[:number]


def mixture(
    key: str, word: str, mask: np.ndarray, source: Packed, pieces: Packed, snr: float, shift: int, seed: int
) -> Mixture:
    """Mix one utterance with a piece of noise through its rolled mask, (frames, bins), as a training batch of one."""
    if mask.shape != (FRAMES, BINS):
        raise InputError(f"the mask of {key} is {mask.shape[0]} x {mask.shape[1]}; run stage 4 again")
    random = generator(seed, "figure", key)
    piece = int(random.integers(len(pieces)))
    axis = ("frequency", "time")[int(random.integers(2))]
    moved = int(random.integers(-shift, shift)) if shift else 0
    row = source.ids.index(key)
    speech = spectra(_waveform(source, row), torch.from_numpy(source.samples[[row]]))
    # A whole second, as in training: noise goes on where a shorter clip has ended.
    noise = spectra(_waveform(pieces, piece), torch.tensor([SAMPLES]))
    masks = torch.from_numpy(np.ascontiguousarray(mask.T))[None]
    rolled = roll(masks, axis, moved)
    gain = batch_gain(speech, noise, snr)
    mixed = {
        "clean": speech,
        "importance": mix(speech, noise, rolled, gain),
        "everywhere": mix(speech, noise, None, gain),
    }

    unit = f"{moved:+d} bins ({moved * RATE / WINDOW:+,.0f} Hz)" if axis == "frequency" else f"{moved:+d} frames"
    example = Example(
        f"{key}: {word}, with {pieces.ids[piece]}",
        decibels(speech)[0].numpy(),
        1 - masks[0].numpy(),
        1 - rolled[0].numpy(),
        decibels(gain * noise)[0].numpy(),
        decibels(mixed["importance"])[0].numpy(),
        unit,
        snr,
    )
    window = torch.hann_window(WINDOW)
    sounds = {
        name: torch.istft(spectrum, WINDOW, HOP, window=window, length=SAMPLES)[0] for name, spectrum in mixed.items()
    }
    return Mixture(example, sounds)


def _waveform(source: Packed, row: int) -> Tensor:
    return as_float(torch.from_numpy(np.array(source.rows(SAMPLES)[[row]])))


def write_sounds(folder: Path, key: str, sounds: dict[str, Tensor]) -> None:
    """Write waveforms of one utterance, scaled alike so that the loudest fits."""
    loudest = max(1.0, *(float(waveform.abs().max()) for waveform in sounds.values()))
    folder.mkdir(parents=True, exist_ok=True)
    for name, waveform in sounds.items():
        path = folder / f"{key}.{name}.wav"
        write_audio(temporary_name(path), (waveform / loudest).numpy(), RATE, subtype="PCM_16", format="WAV")
        publish(temporary_name(path), path)


def draw_training(pattern: str, path: Path, synthetic: bool) -> None:
    """Draw what the generators' histories hold of the curves; nothing without any."""
    curves: dict[str, dict[str, dict[str, list[tuple[float, float]]]]] = {}
    for fields, history in matches(pattern):
        entries = read_json(history)
        for label, lines in CURVES.items():
            for of_set, value in lines.items():
                points = [(entry["epoch"], entry[value]) for entry in entries if value in entry]
                if points:
                    name = f"seed {fields.get('seed', '')}"
                    curves.setdefault(label, {}).setdefault(name, {})[of_set] = points
    if curves:
        generator_training(curves, path, "Training of the mask generators", synthetic)


if __name__ == "__main__":
    program.main(draw_importance)
