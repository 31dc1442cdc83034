#!/usr/bin/env python3
"""Stage 4: the second control, each utterance with another utterance's Grad-CAM map."""

import logging
from pathlib import Path

from salience import program
from salience.data.tables import read_table, write_table
from salience.files import read_json, write_json

logger = logging.getLogger("pair_maps")


def pair_maps(maps: Path, features: Path, sets: str) -> None:
    """Write maps/other/SET/saliency.scp, which points into Grad-CAM's archives at other utterances.

    The partner is the next utterance in order of length, so that its map is
    stretched as little as possible when it is used.

    Args:
        maps: Folder of the maps.
        features: Folder of the features.
        sets: Names of the sets, separated by spaces.
    """
    for name in sets.split():
        own = read_table(maps / "gradcam" / name / "saliency.scp")
        frames = read_table(features / name / "utt2num_frames")
        order = sorted(own, key=lambda utterance: (int(frames[utterance]), utterance))
        partners = dict(zip(order, order[1:] + order[:1], strict=True))
        write_table(maps / "other" / name / "saliency.scp", {u: own[partner] for u, partner in partners.items()})
        about = read_json(maps / "gradcam" / name / "saliency.json")
        write_json(maps / "other" / name / "saliency.json", {**about, "method": "other"})
        logger.info("paired %d utterances of %s", len(own), name)


if __name__ == "__main__":
    program.main(pair_maps)
