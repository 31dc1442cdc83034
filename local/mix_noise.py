#!/usr/bin/env python3
"""Stage 5: features of speech with noise, everywhere or where a mask lets it through."""

import logging
from itertools import product
from pathlib import Path

import torch

from salience import program
from salience.data.directories import read_data_dir
from salience.data.signals import read_utterance
from salience.data.tables import read_table, write_table
from salience.errors import InputError
from salience.features.archives import ArchiveWriter, archive_bytes
from salience.features.fbank import BINS, RATE, fbank, num_frames
from salience.files import require_space
from salience.masking.bands import conditions, others
from salience.masking.noise import NoiseSettings, mixture, snr_range
from salience.masking.noise_masks import open_noise_masks
from salience.masking.sound import write_scaled
from salience.models.mask_estimator import load_sizes
from salience.progress import bar
from salience.steps import Step, audio_fingerprint

logger = logging.getLogger(Path(__file__).name)

SAMPLE = 3  # bytes of a sample of the audio to listen to, which is noise and hardly gets smaller as FLAC


def mix_noise(
    data: Path,
    sets: str,
    out: str,
    masks: Path | None = None,
    mask_set: str = "",
    estimator: Path | None = None,
    noise: NoiseSettings = NoiseSettings(),
    snr: str = "",
    realisations: str = "1",
    fill: str = "",
    bands: str = "",
    audio: bool = False,
    check_space: bool = True,
) -> None:
    """Write OUT/SET/feats.{ark,scp}, utt2num_frames and noise_proportion.

    The mixture is that of equation 2, in floating point throughout; its fbank
    is computed from the signal.  The noise depends on utterance and
    realisation only.  A copy of an utterance takes the mask of its original
    (the table utt2uniq).

    Args:
        data: folder of the data directories
        sets: names of the sets, separated by spaces
        out: folder for the features; {realisation}, {fill} and {band} in it stand for their names
        masks: folder of the masks; without it noise is everywhere
        mask_set: the set whose masks are taken, if the given ones are copies of it
        estimator: folder of the estimator that made them, for window and hop
        noise: gains of noise and dither, as in training
        snr: instead of the gain, a signal-to-noise ratio in dB, or the two ends of a range from which each
            utterance draws its own; that of the noise before the mask
        realisations: names of the noise realisations, separated by spaces
        fill: what stands in the place of the speech: silence, exchanged (another's speech) or noise (all of it, and
            no speech); several are separated by spaces
        bands: where, such as 0-1000 1000-2000 in Hz; everywhere, if empty
        audio: write SET/audio/UTTERANCE.flac of the first realisation too, scaled to be listened to
        check_space: refuse to start if the disk has no room for what will be written
    """
    if (masks is None) != (estimator is None):
        raise InputError("--masks and --estimator go together; give both or none")
    ratios, sizes = snr_range(snr), load_sizes(estimator) if estimator else None
    places = conditions(out, realisations, fill, bands)
    first = next(iter(places))
    if check_space:
        samples = [round(u.duration * RATE) for name in sets.split() for u in read_data_dir(data / name)]
        needed = len(places) * archive_bytes(map(num_frames, samples), BINS, compress=False)
        needed += SAMPLE * sum(samples) if audio else 0
        parts = (place / name for place in places for name in sets.split())
        require_space(first, parts, needed, "the noisy features")
    for (folder, condition), name in product(places.items(), sets.split()):
        place, with_audio, replaced = folder / name, audio and folder == first, condition.replaced
        utterances = read_data_dir(data / name)
        from_masks = masks / (mask_set or name) if masks else None
        step = Step(
            place / "step.json",
            {
                "noise": {"gain": noise.gain, "dither": noise.dither, "snr": snr},
                "condition": condition,
                "sizes": sizes,
                "audio": with_audio,
                "recordings": audio_fingerprint(u.audio for u in utterances),
            },
            inputs=[data / name, *([from_masks / "mask.scp"] if from_masks else [])],
            outputs=[place / "feats.scp", place / "utt2num_frames", place / "noise_proportion"],
        )
        if step.is_done():
            continue
        uniq = read_table(data / name / "utt2uniq") if (data / name / "utt2uniq").exists() else {}
        mask_of = open_noise_masks(from_masks)
        other_of = others(utterances) if replaced and replaced.filling.other else {}
        counts, proportions = {}, {}
        with step, ArchiveWriter(place / "feats") as writer:
            for utterance in bar(utterances, f"noise on {name}"):
                signal = read_utterance(utterance, RATE)
                mask, proportions[utterance.id] = mask_of(uniq.get(utterance.id, utterance.id))
                other = read_utterance(other_of[utterance.id], RATE) if other_of else None
                noisy = mixture(utterance.id, signal, condition, noise, mask, sizes, ratios, other)
                matrix = fbank(torch.from_numpy(noisy)[None])[0].numpy()
                writer.write(utterance.id, matrix)
                counts[utterance.id] = str(len(matrix))
                if with_audio:
                    write_scaled(place / "audio" / f"{utterance.id}.flac", noisy, RATE)
            write_table(place / "utt2num_frames", counts)
            write_table(place / "noise_proportion", proportions)
        logger.info("wrote %d noisy utterances to %s", len(counts), place)


if __name__ == "__main__":
    program.main(mix_noise)
