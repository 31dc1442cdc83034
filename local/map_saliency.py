#!/usr/bin/env python3
"""Stage 4: Grad-CAM, Grad-CAM++ and control maps of one job's share of each set."""

import logging
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from more_itertools import chunked

from salience import program
from salience.data.directories import read_data_dir
from salience.data.tables import read_table
from salience.errors import InputError
from salience.features.archives import Archive, ArchiveWriter, archive_bytes
from salience.features.logmel import floor_of, pad_frames
from salience.files import require_space, write_json
from salience.models.accent_cnn import load_classifier
from salience.progress import bar
from salience.randomness import generator
from salience.saliency.gradcam import cam_maps
from salience.saliency.maps import STRIDE, columns_for
from salience.steps import Step, fingerprint

logger = logging.getLogger("map_saliency")

KINDS = ("gradcam", "gradcam++", "random")


def map_saliency(
    data: Path,
    features: Path,
    sets: str,
    classifier: Path,
    out: Path,
    job: int = 1,
    jobs: int = 1,
    target: Literal["predicted", "true"] = "predicted",
    compress: bool = True,
    batch_size: int = 8,
    seed: int = 1,
    device: str = "cpu",
    check_space: bool = True,
) -> None:
    """Write out/KIND/SET/saliency.JOB.{ark,scp} and saliency.json for gradcam, gradcam++ and random.

    A map is the signed weighted sum of the last convolution's activations at
    its own resolution, (columns, rows): 8 frames by 8 bins a point, columns up
    to one beyond the last real frame.  `random` is uniform noise of that size,
    the control.  All three come from one pass.

    Args:
        data: Folder of the data directories (accents, for --target true).
        features: Folder of the features.
        sets: Names of the sets, separated by spaces.
        classifier: Folder of the accent classifier.
        out: Folder for the maps.
        job: This job's number.
        jobs: How many jobs share the work.
        target: The class to explain: what the classifier says, or the label.
        compress: Store one byte a value; float32 otherwise.
        batch_size: Utterances explained at a time.
        seed: Of the random control.
        device: cpu or cuda.
        check_space: Refuse to start where the disk has no room for what all jobs will write.
    """
    model = load_classifier(classifier, device)
    if check_space:
        columns = [
            columns_for(int(frames))
            for name in sets.split()
            for frames in read_table(features / name / "utt2num_frames").values()
        ]
        needed = len(KINDS) * archive_bytes(columns, model.settings.bins // STRIDE, compress)
        require_space(out, (out / kind / name for kind in KINDS for name in sets.split()), needed, "the maps")
    for name in sets.split():
        share = data / name / f"split{jobs}" / str(job)
        step = Step(
            out / "gradcam" / name / f"saliency.{job}.step.json",
            {"jobs": jobs, "target": target, "compress": compress, "seed": seed},
            inputs=[share, features / name / "feats.scp", classifier / "model.safetensors"],
            outputs=[out / kind / name / f"saliency.{job}.scp" for kind in KINDS],
        )
        if step.is_done():
            continue
        archive = Archive(features / name / "feats.scp")
        labels = _labels(share, model.settings.classes, name) if target == "true" else {}
        frames = read_table(features / name / "utt2num_frames")
        # Similar lengths together: a batch costs what its longest utterance costs.
        utterances = sorted((u.id for u in read_data_dir(share)), key=lambda u: (int(frames[u]), u))
        with step, ExitStack() as stack:
            writers = {
                kind: stack.enter_context(ArchiveWriter(out / kind / name / f"saliency.{job}", compress))
                for kind in KINDS
            }
            for batch in bar(chunked(utterances, batch_size), f"maps of {name}", -(-len(utterances) // batch_size)):
                matrices = [archive[utterance] for utterance in batch]
                # One frame beyond the longest if there is room, so that every row ends in its own padding.
                longest = max(map(len, matrices))
                length = longest + (longest < model.settings.frames)
                padded = torch.from_numpy(np.stack([pad_frames(m, length, floor_of(m)) for m in matrices])).to(device)
                classes = torch.tensor([labels[u] for u in batch], device=device) if labels else None
                with torch.no_grad():
                    maps = model.feature_maps(padded)
                gradcam, gradcam_plus, _ = cam_maps(maps, model.head, classes)
                for utterance, matrix, *pair in zip(
                    batch, matrices, gradcam.cpu().numpy(), gradcam_plus.cpu().numpy(), strict=True
                ):
                    columns = min(columns_for(len(matrix)), pair[0].shape[1])
                    for kind, native in zip(KINDS, pair, strict=False):
                        writers[kind].write(utterance, native[:, :columns].T)
                    noise = generator(seed, utterance, "random map").random((columns, pair[0].shape[0]))
                    writers["random"].write(utterance, noise)
            if job == 1:
                for kind in KINDS:
                    write_json(
                        out / kind / name / "saliency.json",
                        {
                            "method": kind,
                            "layer": f"convolutions.{len(model.convolutions) - 1}",
                            "class": target if kind != "random" else None,
                            "classes": list(model.settings.classes),
                            "frames_per_column": STRIDE,
                            "bins_per_row": STRIDE,
                            "frames": model.settings.frames,
                            "bins": model.settings.bins,
                            "signed": kind != "random",
                            "checkpoint": fingerprint(classifier / "model.safetensors"),
                        },
                    )
        logger.info("wrote %d maps of each kind to %s/*/%s", len(utterances), out, name)


def _labels(share: Path, classes: tuple[str, ...], name: str) -> dict[str, int]:
    labels = {}
    for utterance in read_data_dir(share):
        if utterance.accent not in classes:
            raise InputError(
                f"{share}: {utterance.id} has the accent {utterance.accent!r}, which the classifier never saw"
                f" ({', '.join(classes)}); use --target predicted for the set {name}"
            )
        labels[utterance.id] = classes.index(utterance.accent)
    return labels


if __name__ == "__main__":
    program.main(map_saliency)
