"""Masks never change: for archives that an earlier version wrote, they are byte for byte those that it drew."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from accent_helpers import noise

from salience.features.archives import Archive
from salience.masking.apply import Masker, apply_mask, open_maps
from salience.masking.latents import LatentMasker, LatentMasking
from salience.masking.policies import Masking

GOLDEN = Path(__file__).with_name("golden")
ABOUT = json.loads((GOLDEN / "about.json").read_text())
MASKS = np.load(GOLDEN / "masks.npz")


@pytest.mark.parametrize("name", MASKS.files)
def test_masks_are_those_of_earlier_versions(name, monkeypatch):
    monkeypatch.chdir(GOLDEN)  # where the paths of the archives begin
    system, seed, epoch = name.removeprefix("latents ").split()
    if name.startswith("latents"):
        maps = Archive(Path("maps/gradcam/accent/latents/saliency.scp"))
        masker = LatentMasker(system, LatentMasking(), maps, int(seed))
        parts = [~masker.masked(key, frames, int(epoch)) for key, frames in ABOUT["latent frames"].items()]
    else:
        masker = Masker(system, Masking(), open_maps(Path("maps"), "train", system)[0], int(seed))
        parts = [masker.mask(key, frames, 80, int(epoch)) for key, frames in ABOUT["frames"].items()]
    assert np.packbits(np.concatenate(parts)).tobytes() == MASKS[name].tobytes()


@pytest.mark.parametrize("fill", ABOUT["fills"])
def test_masked_features_are_those_of_earlier_versions(fill, monkeypatch):
    monkeypatch.chdir(GOLDEN)
    keep = Masker("gradcam", Masking(), open_maps(Path("maps"), "train", "gradcam")[0], 1).mask("d-2", 90, 80, 0)
    masked = apply_mask(noise(90, (90, 80)), keep, fill)
    assert hashlib.sha256(masked.tobytes()).hexdigest() == ABOUT["fills"][fill]
