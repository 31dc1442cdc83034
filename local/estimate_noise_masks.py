#!/usr/bin/env python3
"""Stage 4: the noise masks of whole sets, or of one job's share of each, to archives."""

import logging
from pathlib import Path

from more_itertools import chunked

from salience import program
from salience.data.packed import open_signals
from salience.data.tables import write_table
from salience.errors import InputError
from salience.features.archives import ArchiveWriter, archive_bytes
from salience.features.fbank import RATE
from salience.files import require_space
from salience.masking.noise import NoiseSettings, noise_proportion
from salience.masking.noise_masks import noise_mask_model, plugins_of_masks
from salience.progress import bar
from salience.steps import Step

logger = logging.getLogger(Path(__file__).name)


def estimate_noise_masks(
    data: Path,
    sets: str,
    models: str,
    out: str,
    kind: str = "estimator",
    job: int = 0,
    jobs: int = 1,
    max_seconds: float = 0.0,
    noise: NoiseSettings = NoiseSettings(),
    compress: bool = True,
    device: str = "cpu",
    check_space: bool = True,
) -> None:
    """Write OUT/SET/mask.{ark,scp} and noise_proportion for each model; with --job, mask.JOB.{ark,scp} and so on.

    A mask M is (frames, bins of the STFT), 1 where noise may be added, so the
    importance of a point is 1 - M.  The table has, for each utterance, the
    share of its points above 0.5, and the same share when it is padded with
    silence to --max-seconds.

    Args:
        data: folder of the sets: data directories, or what pack_waveforms.py wrote
        sets: names of the sets, separated by spaces
        models: folders of mask estimators or generators, separated by spaces
        out: folder of the masks of each, separated by spaces
        kind: what they are: estimator (train_mask_estimator.py), generator (train_generator.py), or keyword networks of
            which this saliency method makes maps
        job: number of this job, which takes the utterances of split<jobs>/<job>; 0: all utterances
        jobs: number of jobs that share the work
        max_seconds: length to which utterances are padded for the second share
        noise: gains of noise and dither, as in training
        compress: store one byte a value
        device: cpu or cuda
        check_space: refuse to start if the disk has no room for what all jobs will write
    """
    folders, places = [list(map(Path, words.split())) for words in (models, out)]
    if len(folders) != len(places):
        raise InputError(f"--models names {len(folders)} folders but --out {len(places)}; give one for each")
    number = f".{job}" if job else ""
    for folder, place in zip(folders, places, strict=True):
        model = None
        if check_space:
            model = noise_mask_model(kind, folder, device, noise.dither)
            frames = [model.frames(n) for name in sets.split() for n in open_signals(data / name, RATE).samples]
            needed = archive_bytes(frames, model.bins, compress)
            require_space(place, (place / name for name in sets.split()), needed, "the masks")
        for name in sets.split():
            share = data / name / f"split{jobs}" / str(job) if job else data / name
            source = open_signals(share, RATE)
            prefix, table = place / name / f"mask{number}", place / name / f"noise_proportion{number}"
            step = Step(
                prefix.with_name(f"mask{number}.step.json"),
                {
                    "kind": kind,
                    "jobs": jobs,
                    "dither": noise.dither,
                    "compress": compress,
                    "max_seconds": max_seconds,
                    "audio": source.fingerprint,
                },
                inputs=[*source.files, folder / "model.safetensors", folder / "config.json", *plugins_of_masks(kind)],
                outputs=[prefix.with_name(f"mask{number}.scp"), table],
            )
            if step.is_done():
                continue
            model = model or noise_mask_model(kind, folder, device, noise.dither)
            shares = {}
            with step, ArchiveWriter(prefix, compress) as writer:
                for rows in chunked(bar(range(len(source.ids)), f"masks of {name}"), model.batch):
                    ids, signals = [source.ids[row] for row in rows], [source.read(row) for row in rows]
                    masks = model.masks(ids, signals)
                    padded = model.masks(ids, signals, int(max_seconds * RATE)) if max_seconds else masks
                    for key, mask, longer in zip(ids, masks, padded, strict=True):
                        writer.write(key, mask)
                        shares[key] = f"{noise_proportion(mask):.6f} {noise_proportion(longer):.6f}"
                write_table(table, shares)
            logger.info("wrote %d masks to %s", len(shares), prefix.parent)


if __name__ == "__main__":
    program.main(estimate_noise_masks)
