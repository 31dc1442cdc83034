"""The plug-in of the recipes' tests through the programs of stages 4 to 7, on six utterances."""

import sys
from pathlib import Path

import numpy as np
import pytest
from accent_helpers import classifier, noise, run_program, write_features, write_set
from corpora_helpers import TOP

from salience.data.tables import read_table
from salience.features.archives import Archive
from salience.files import read_json
from salience.masking.policies import POLICIES
from salience.models.accent_classifier import save_classifier
from salience.models.recognisers import RECOGNISERS
from salience.saliency.base import METHODS, read_maps

PLUGIN = TOP / "tests/recipes/toy_plugin.py"
FRAMES = {f"s{n}-{part}": 40 + 7 * n for n in range(3) for part in "ab"}


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """Sets with features, a classifier, and systems of the plug-in's; it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SALIENCE_PLUGINS", str(PLUGIN))
    for name in ("train", "dev"):
        sound = {key: noise(n, count * 160) / 9 for n, (key, count) in enumerate(FRAMES.items())}
        write_set(tmp_path, name, sound, texts=("one two", "three", "zero nine"))
        write_features(tmp_path, name, {key: noise(count, (count, 80)) for key, count in FRAMES.items()})
    save_classifier(classifier(), tmp_path / "classifier")
    Path("systems.yaml").write_text("loud: {map: energy, policy: {above: 0.6}, fill: floor}\n")
    yield tmp_path
    for registry, name in ((METHODS, "energy"), (POLICIES, "above"), (RECOGNISERS, "toy")):
        registry.pop(name, None)
    sys.modules.pop(f"salience_plugin_{PLUGIN.stem}", None)


def test_a_plugin_reaches_every_stage(recipe, monkeypatch):
    common = {"data": "data", "features": "dump"}
    run_program(monkeypatch, "describe_systems", systems="systems.yaml", only="loud")
    run_program(monkeypatch, "map_saliency", model="classifier", methods="energy", sets="train", out="maps", **common)
    system = {"systems": "systems.yaml", "maps": "maps"}
    run_program(monkeypatch, "mask_features", sets="train", only="loud", out="masked", **common, **system)
    maps, masked, clean = read_maps(Path("maps/energy/train")), Archive(Path("masked/loud/train/feats.scp")), {}
    for key, found in maps.items():
        assert (found.frames_per_column, found.bins_per_row, found.method) == (5, 20, "energy")
        clean[key] = Archive(Path("dump/train/feats.scp"))[key]
        hidden = found.unit(*clean[key].shape) > 0.6
        assert hidden.any() and np.array_equal(masked[key][~hidden], clean[key][~hidden])
    toy = {"recogniser": "toy", "train_set": "train", "dev_set": "dev", "model": "new", "out": "toy"}
    run_program(monkeypatch, "finetune", system="loud", **toy, **common, **system, **{"training.epochs": 2})
    run_program(monkeypatch, "decode", recogniser="toy", models="toy", sets="dev", out="decode", features="dump")
    assert read_table(Path("decode/dev/text")).keys() == FRAMES.keys()
    for record in ("maps/energy/train/saliency.", "masked/loud/train/feats.", "toy/", "decode/dev/"):
        assert str(PLUGIN) in read_json(Path(f"{record}step.json"))["inputs"], record
