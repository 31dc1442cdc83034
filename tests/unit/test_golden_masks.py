"""Masks never change: for archives that an earlier version wrote, they are byte for byte those that it drew."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from accent_helpers import noise
from corpora_helpers import TOP

from salience.masking.apply import Masker, apply_mask, open_maps
from salience.masking.systems import read_systems
from salience.saliency.base import read_maps
from salience.saliency.controls import OtherUtterances

GOLDEN = Path(__file__).with_name("golden")
ABOUT = json.loads((GOLDEN / "about.json").read_text())
MASKS = np.load(GOLDEN / "masks.npz")
SYSTEMS = {name: read_systems(TOP / f"egs/{name}/conf/systems.yaml") for name in ("fsdd", "cv_ca")}


@pytest.mark.parametrize("name", MASKS.files)
def test_masks_are_those_of_earlier_versions(name, monkeypatch):
    monkeypatch.chdir(GOLDEN)  # where the paths of the archives begin
    label, seed, epoch = name.removeprefix("latents ").split()
    latent = name.startswith("latents")
    system = SYSTEMS["cv_ca" if latent else "fsdd"][label]
    frames = ABOUT["latent frames" if latent else "frames"]
    maps, _ = open_maps(Path("maps"), "accent/latents" if latent else "train", system)
    masker = Masker(system, int(seed), maps, frames)
    parts = [masker.keep(key, count, 1 if latent else 80, int(epoch)) for key, count in frames.items()]
    assert np.packbits(np.concatenate(parts)).tobytes() == MASKS[name].tobytes()


@pytest.mark.parametrize("fill", ABOUT["fills"])
def test_masked_features_are_those_of_earlier_versions(fill, monkeypatch):
    monkeypatch.chdir(GOLDEN)
    system = SYSTEMS["fsdd"]["gradcam"]
    keep = Masker(system, 1, open_maps(Path("maps"), "train", system)[0]).keep("d-2", 90, 80, 0)
    masked = apply_mask(noise(90, (90, 80)), keep, fill)
    assert hashlib.sha256(masked.tobytes()).hexdigest() == ABOUT["fills"][fill]


def test_other_utterances_are_those_of_earlier_versions(monkeypatch):
    """Which stood in an archive's table of their own."""
    monkeypatch.chdir(GOLDEN)
    own, formerly = (read_maps(Path(f"maps/{kind}/train")) for kind in ("gradcam", "other"))
    others = OtherUtterances(own, ABOUT["frames"])
    for key in own:
        np.testing.assert_array_equal(own[others.partners[key]].values, formerly[key].values)
