#!/usr/bin/env python3
"""Stage 4: the noise masks of one job's share of each set, to archives."""

import logging
from pathlib import Path

import torch

from salience import program
from salience.data.directories import read_data_dir
from salience.data.signals import read_utterance
from salience.data.tables import write_table
from salience.errors import InputError
from salience.features.archives import ArchiveWriter, archive_bytes
from salience.features.fbank import INT16, RATE
from salience.files import require_space
from salience.masking.noise import noise_proportion
from salience.models.mask_estimator import MaskEstimator, load_estimator
from salience.progress import bar
from salience.steps import Step, audio_fingerprint
from salience.training.bubbles import BubbleNoise, dithered

logger = logging.getLogger("estimate_masks")


def estimate_masks(
    data: Path,
    sets: str,
    estimators: str,
    out: str,
    longest: float,
    job: int = 1,
    jobs: int = 1,
    noise: BubbleNoise = BubbleNoise(),
    compress: bool = True,
    device: str = "cpu",
    check_space: bool = True,
) -> None:
    """Write OUT/SET/mask.JOB.{ark,scp} and noise_proportion.JOB for each estimator.

    A mask M is (frames, bins of the STFT), 1 where noise may be added, so the
    importance of a point is 1 - M.  The table has, for each utterance, the
    share of its points above 0.5 and the same share when it is padded with
    silence to the longest utterance, as the paper pads.

    Args:
        data: Folder of the data directories.
        sets: Names of the sets, separated by spaces.
        estimators: Folders of mask estimators, separated by spaces.
        out: As many folders for their masks.
        longest: Seconds that the padded share pads to.
        job: This job's number.
        jobs: How many jobs share the work.
        noise: Gains of noise and dither, as in training.
        compress: Store one byte a value.
        device: cpu or cuda.
        check_space: Refuse to start where the disk has no room for what all jobs will write.
    """
    pairs = list(zip(estimators.split(), out.split(), strict=False))
    if len(estimators.split()) != len(out.split()):
        raise InputError(
            f"--estimators names {len(estimators.split())} folders and --out {len(out.split())}; give as many"
        )
    for folder, place in ((Path(a), Path(b)) for a, b in pairs):
        model = None
        if check_space:
            model = load_estimator(folder, device)
            samples = torch.tensor(
                [round(u.duration * RATE) for name in sets.split() for u in read_data_dir(data / name)]
            )
            needed = archive_bytes(model.frames(samples).tolist(), model.sizes.bins, compress)
            require_space(place, (place / name for name in sets.split()), needed, "the masks")
        for name in sets.split():
            share = data / name / f"split{jobs}" / str(job)
            utterances = read_data_dir(share)
            prefix = place / name / f"mask.{job}"
            table = place / name / f"noise_proportion.{job}"
            step = Step(
                prefix.with_name(f"mask.{job}.step.json"),
                {
                    "jobs": jobs,
                    "dither": noise.dither,
                    "compress": compress,
                    "longest": longest,
                    "audio": audio_fingerprint(u.audio for u in utterances),
                },
                inputs=[share, folder / "model.safetensors", folder / "config.json"],
                outputs=[prefix.with_name(f"mask.{job}.scp"), table],
            )
            if step.is_done():
                continue
            model = model or load_estimator(folder, device)
            shares = {}
            with step, ArchiveWriter(prefix, compress) as writer:
                for utterance in bar(utterances, f"masks of {name}"):
                    signal = INT16 * read_utterance(utterance, RATE)
                    speech = torch.from_numpy(dithered(signal, noise.dither, "evaluation", utterance.id))
                    mask = mask_of(model, speech, device)
                    silence = torch.zeros(max(int(longest * RATE) - len(signal), 0)).numpy()
                    padded = torch.cat(
                        [speech, torch.from_numpy(dithered(silence, noise.dither, "padding", utterance.id))]
                    )
                    writer.write(utterance.id, mask.numpy())
                    shares[utterance.id] = (
                        f"{noise_proportion(mask):.6f} {noise_proportion(mask_of(model, padded, device)):.6f}"
                    )
                write_table(table, shares)
            logger.info("wrote %d masks to %s", len(shares), prefix.parent)


@torch.no_grad()
def mask_of(model: MaskEstimator, speech: torch.Tensor, device: str) -> torch.Tensor:
    """The mask (frames, bins) of one signal (samples,)."""
    signal = speech[None].to(device)
    frames = model.frames(torch.tensor([len(speech)]))
    return torch.sigmoid(model(model.log_power(signal), frames.to(device)))[0].cpu()


if __name__ == "__main__":
    program.main(estimate_masks)
