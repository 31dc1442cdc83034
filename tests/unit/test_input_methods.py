"""SmoothGrad and occlusion against captum's, on the accent CNN, and what all methods of the input have in common."""

import numpy as np
import pytest
import torch
from accent_helpers import classifier, noise

from salience.randomness import generator
from salience.saliency import smoothgrad
from salience.saliency.accents import ExplainedAccents
from salience.saliency.base import METHODS
from salience.saliency.explained import Batch, maps_of

captum_attr = pytest.importorskip("captum.attr")
CLASSES = torch.tensor([1, 4, 0])


def maps(model, features: torch.Tensor, method: str, lengths=None) -> list:
    explained, count = ExplainedAccents(model), len(features)
    batch = Batch(list("abc")[:count], features, lengths or [features.shape[1]] * count, CLASSES[:count])
    return maps_of(explained, batch, [method])[method]


@pytest.fixture
def model():
    return classifier(classes=5).double()


@pytest.mark.parametrize("given", [48, 304])
def test_occlusion_is_captums(model, given):
    features = torch.from_numpy(noise(given, (3, given, 80))).double()
    expected = captum_attr.Occlusion(lambda x: model(x)["logits"]).attribute(
        features, (16, 16), (16, 16), model.mean.expand(1, given, 80), CLASSES
    )
    found = maps(model, features, "occlusion")
    assert (found[0].frames_per_column, found[0].bins_per_row, found[0].signed) == (16, 16, True)
    for ours, theirs in zip(found, expected[:, ::16, ::16].numpy(), strict=True):
        np.testing.assert_allclose(ours.values, theirs, atol=1e-6 * np.abs(theirs).max())


def test_smoothgrad_is_the_mean_of_captums_gradients(model, monkeypatch):
    monkeypatch.setattr(smoothgrad, "COPIES", 4)
    features = torch.from_numpy(noise(1, (2, 50, 80))).double()
    saliency = captum_attr.Saliency(lambda x: model(x)["logits"])
    found = maps(model, features, "smoothgrad")
    for row, key in enumerate("ab"):
        one, rng = features[row : row + 1], generator(1, key, "smoothgrad map")
        copies = [
            one + 0.15 * (one.max() - one.min()) * torch.from_numpy(rng.standard_normal((50, 80))) for _ in range(4)
        ]
        expected = sum(saliency.attribute(copy, CLASSES[row : row + 1], abs=False) for copy in copies).abs()[0] / 4
        assert not found[row].signed
        np.testing.assert_allclose(found[row].values, expected.numpy(), atol=1e-9 * float(expected.max()))


@pytest.mark.parametrize("method", METHODS.names())
def test_neighbours_in_a_batch_do_not_matter(model, method):
    """A shorter utterance is padded with its floor, which the model goes on with when it is alone."""
    short = torch.from_numpy(noise(1, (1, 41, 80))).double()
    short[:, 40] = -1.5
    padded = torch.cat([short, torch.full((1, 30, 80), -1.5)], dim=1)
    together = torch.cat([padded, torch.from_numpy(noise(2, (1, 71, 80))).double()])
    one, two = maps(model, together, method, [40, 71])[0], maps(model, short, method, [40])[0]
    np.testing.assert_allclose(one.values, two.values, rtol=1e-6, atol=1e-9 * np.abs(two.values).max())
    assert one.unit(40, 80).max() == 1
