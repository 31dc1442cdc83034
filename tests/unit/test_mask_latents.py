"""Stage 5 of the wav2vec recipes: the masks that are shown are those that a training draws."""

import numpy as np
from accent_helpers import run_program

from salience.data.tables import read_table
from salience.features.archives import Archive, ArchiveWriter
from salience.masking.latents import LatentMasker, LatentMasking


def test_the_masks_are_those_of_the_trainings_first_epoch(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    with ArchiveWriter(tmp_path / "maps/saliency", compress=False) as writer:
        for key, frames in (("a", 60), ("b", 101)):
            writer.write(key, random.random((frames, 1)))
    archive = Archive(tmp_path / "maps/saliency.scp")
    found = {}
    for variant in ("gradcam", "random-mask", "specaugment"):
        run_program(
            monkeypatch,
            "mask_latents",
            maps=tmp_path / "maps/saliency.scp",
            out=tmp_path / variant,
            variant=variant,
            seed=3,
        )
        found[variant] = masks = Archive(tmp_path / variant / "mask.scp")
        masker = LatentMasker(variant, LatentMasking(), archive, 3)
        shares = read_table(tmp_path / variant / "masked_share")
        for key in archive:
            assert np.array_equal(masks[key][:, 0], masker.masked(key, len(archive[key]), 0))
            assert abs(float(shares[key]) - masks[key].mean()) < 1e-5
    for key in archive:
        # Equal share, in other places.
        assert found["gradcam"][key].sum() == found["random-mask"][key].sum() > 0
        assert (found["gradcam"][key] != found["random-mask"][key]).any()
