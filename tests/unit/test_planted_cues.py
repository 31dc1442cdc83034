"""Spectrograms whose class is carried by one known patch: the map finds it, its mask hides it, other masks do not.

Three textures at random places in noise.  Everything between training and
accuracy is the library's own: trainer, network, maps, masks.
"""

import numpy as np
import pytest
import torch
from accent_helpers import noise
from corpora_helpers import TOP
from scipy.ndimage import binary_dilation
from torch.utils.data import Dataset

from salience.masking.apply import Masker
from salience.masking.systems import read_systems
from salience.models.accent_cnn import AccentCNN, AccentCNNConfig
from salience.randomness import generator
from salience.saliency.accents import ExplainedAccents
from salience.saliency.explained import Batch, maps_of
from salience.training.settings import TrainingSettings
from salience.training.trainer import train

FRAMES, BINS = 200, 80
HEIGHT, WIDTH = 32, 16
TRAIN, TEST = 512, 120
CHANCE = 1 / 3
SYSTEMS = read_systems(TOP / "egs/fsdd/conf/systems.yaml")

frame, bin_ = np.meshgrid(np.arange(HEIGHT), np.arange(WIDTH), indexing="ij")
TEXTURES = [np.where(line % 2, 1.0, -1.0) for line in (bin_ // 3, frame // 3, (frame + bin_) // 4)]


def spectrogram(*names: object) -> tuple[np.ndarray, int, np.ndarray]:
    """Features (200, 80), the class, and where its texture lies."""
    rng = generator(*names)
    features = 0.3 * noise(int(rng.integers(1 << 30)), (FRAMES, BINS))
    label = int(rng.integers(3))
    top, left = rng.integers(FRAMES - HEIGHT + 1), rng.integers(BINS - WIDTH + 1)
    patch = np.zeros((FRAMES, BINS), dtype=bool)
    patch[top : top + HEIGHT, left : left + WIDTH] = True
    features[patch] += TEXTURES[label].ravel().astype(np.float32)
    return features, label, patch


class Planted(Dataset):
    """New spectrograms in each epoch."""

    def __len__(self) -> int:
        return TRAIN

    def __getitem__(self, where: tuple[int, int]) -> tuple[np.ndarray, int]:
        return spectrogram("train", *where)[:2]


def collate(items: list[tuple[np.ndarray, int]]) -> dict[str, torch.Tensor]:
    return {
        "features": torch.from_numpy(np.stack([f for f, _ in items])),
        "labels": torch.tensor([n for _, n in items]),
    }


class Trained:
    """A trained classifier with its held-out set and the maps of that."""

    def __init__(self, folder) -> None:
        held_out = [spectrogram("test", number) for number in range(TEST)]
        self.features = [features for features, _, _ in held_out]
        self.labels = np.array([label for _, label, _ in held_out])
        self.patches = np.stack([patch for _, _, patch in held_out])
        torch.manual_seed(1)
        sizes = {"frames": FRAMES, "channels": (8, 8, 16, 16), "hidden": 32, "dropout": 0.0, "dense_dropout": 0.0}
        self.model = AccentCNN(AccentCNNConfig(classes=("a", "b", "c"), batch_norm=True, **sizes))
        self.model.set_normalisation(torch.zeros(BINS), torch.full((BINS,), 0.35))
        settings = TrainingSettings(epochs=6, batch_size=16, learning_rate=3e-3, weight_decay=0.0)
        train(
            self.model,
            Planted(),
            [FRAMES] * TRAIN,
            collate,
            lambda _: {"dev_accuracy": self.accuracy(self.features)},
            "eval_dev_accuracy",
            True,
            folder,
            settings,
            seed=1,
        )
        self.model.eval()
        explained, lengths = ExplainedAccents(self.model), [FRAMES] * TEST
        features = torch.from_numpy(np.stack(self.features))
        batch = Batch(list(map(str, range(TEST))), features, lengths, explained.predicted(features, lengths))
        self.maps = {
            name: dict(zip(batch.keys, found, strict=True))
            for name, found in maps_of(explained, batch, ["gradcam", "gradcam++", "random"]).items()
        }

    def accuracy(self, features: list[np.ndarray]) -> float:
        """Share of the held-out set that is told right."""
        with torch.no_grad():
            logits = self.model(torch.from_numpy(np.stack(features)))["logits"]
        return float((logits.argmax(1).numpy() == self.labels).mean())

    def masks(self, variant: str) -> np.ndarray:
        """Which points of each held-out spectrogram a variant keeps."""
        masker = Masker(SYSTEMS[variant], 1, self.maps, dict.fromkeys(map(str, range(TEST)), FRAMES))
        return np.stack([masker.keep(str(i), FRAMES, BINS, epoch=0) for i in range(TEST)])

    def accuracy_behind(self, keep: np.ndarray) -> float:
        """Accuracy with those points only; the rest is zero, equation 3."""
        return self.accuracy([features * kept for features, kept in zip(self.features, keep, strict=True)])


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Trained:
    return Trained(tmp_path_factory.mktemp("planted"))


def energy_in(areas: np.ndarray, scaled: np.ndarray) -> float:
    """Share of the maps' sum that lies in these areas, the mean over the held-out set."""
    return float(((scaled * areas).sum(axis=(1, 2)) / scaled.sum(axis=(1, 2))).mean())


def with_margin(patches: np.ndarray) -> np.ndarray:
    """The patches and one point of a map around them: 8 frames, 8 bins."""
    return np.stack([binary_dilation(patch, np.ones((17, 17))) for patch in patches])


def scaled_maps(trained: Trained, kind: str) -> np.ndarray:
    """C of equation 1 for the held-out set."""
    return np.stack([trained.maps[kind][str(i)].unit(FRAMES, BINS) for i in range(TEST)])


def test_the_classes_are_learnt(trained):
    assert trained.accuracy(trained.features) > 0.95


def test_the_class_is_in_the_patch_and_nowhere_else(trained):
    """The planting itself: without the patch chance, with nothing but the patch all."""
    assert trained.accuracy_behind(~trained.patches) < CHANCE + 0.15
    assert trained.accuracy_behind(trained.patches) > 0.9


@pytest.mark.parametrize("kind", ["gradcam", "gradcam++"])
def test_the_map_finds_the_patch(trained, kind):
    """The patch is 3 % of the spectrogram, 9 % with a margin; it holds the maximum and most of the energy."""
    scaled, around = scaled_maps(trained, kind), with_margin(trained.patches)
    assert trained.patches.mean() < 0.035 and around.mean() < 0.1
    assert energy_in(trained.patches, scaled) > 0.25
    assert energy_in(around, scaled) > 0.5
    assert np.mean([area.ravel()[one.argmax()] for area, one in zip(around, scaled, strict=True)]) > 0.95


def test_a_random_map_does_not(trained):
    """What those numbers are without any knowledge."""
    scaled, around = scaled_maps(trained, "random"), with_margin(trained.patches)
    assert energy_in(trained.patches, scaled) < 0.05
    assert energy_in(around, scaled) < 0.12
    assert np.mean([area.ravel()[one.argmax()] for area, one in zip(around, scaled, strict=True)]) < 0.25


@pytest.mark.parametrize("variant", ["gradcam", "gradcam++"])
def test_masking_by_the_map_leaves_about_chance(trained, variant):
    keep = trained.masks(variant)
    assert trained.accuracy_behind(keep) < CHANCE + 0.15
    assert (~keep).mean() < 0.1


def test_masking_the_same_area_elsewhere_does_not(trained):
    """The same mask half the spectrogram away, where another's map is high, and at random: as many points each."""
    keep = trained.masks("gradcam")
    for elsewhere in (np.roll(keep, FRAMES // 2, axis=1), trained.masks("other-mask"), trained.masks("random-mask")):
        np.testing.assert_array_equal(elsewhere.sum(axis=(1, 2)), keep.sum(axis=(1, 2)))
        # Another's patch may lie on one's own.
        clear = (~elsewhere & trained.patches).sum(axis=(1, 2)) < 0.1 * HEIGHT * WIDTH
        assert clear.mean() > 0.75
        with torch.no_grad():
            masked = torch.from_numpy(np.stack(trained.features) * elsewhere)[torch.from_numpy(clear)]
            predicted = trained.model(masked)["logits"].argmax(1).numpy()
        assert (predicted == trained.labels[clear]).mean() > 0.95
