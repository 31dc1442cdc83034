"""Integrated gradients against captum's, on the accent CNN and a keyword network."""

import numpy as np
import pytest
import torch
from accent_helpers import classifier, noise

from salience.models.keywords import build_recogniser
from salience.saliency.accents import ExplainedAccents
from salience.saliency.explained import Batch, maps_of
from salience.saliency.keywords import ExplainedKeywords

captum_attr = pytest.importorskip("captum.attr")


@pytest.mark.parametrize("given", [40, 303, 304])
def test_integrated_gradients_are_captums(given):
    """And their sum is what the score differs by."""
    model = classifier(classes=5).double()
    features = torch.from_numpy(noise(given, (3, given, 80))).double()
    explained, classes, lengths = ExplainedAccents(model), torch.tensor([1, 4, 0]), [given] * 3
    baseline = explained.baseline.expand(1, given, 80)
    expected = captum_attr.IntegratedGradients(lambda x: model(x)["logits"]).attribute(
        features, baseline, target=classes, n_steps=50
    )
    batch = Batch(["a", "b", "c"], features, lengths, classes)
    found = maps_of(explained, batch, ["integrated-gradients"])["integrated-gradients"]
    values = torch.from_numpy(np.stack([each.values for each in found]))
    assert (found[0].frames_per_column, found[0].bins_per_row, found[0].signed) == (1, 1, True)
    assert (values - expected).abs().max() <= 1e-6 * expected.abs().max() and expected.abs().max() > 0
    with torch.no_grad():
        gained = explained.scores(features, lengths, classes) - explained.scores(
            baseline.expand(3, -1, -1), lengths, classes
        )
    torch.testing.assert_close(values.sum((1, 2)), gained, rtol=0.05, atol=0.05 * float(gained.abs().max()))


@pytest.mark.parametrize("name", ["paper", "bc-resnet-1"])
def test_those_of_a_keyword_network_are_captums(name):
    model = build_recogniser(name, ["yes", "no", "up"]).double().eval()
    features = torch.from_numpy(20 * noise(1, (2, 126, 257)) - 40).double()
    explained, words = ExplainedKeywords(model), torch.tensor([2, 0])
    expected = captum_attr.IntegratedGradients(lambda x: model(x.transpose(1, 2))).attribute(
        features, explained.baseline.double().expand(1, 126, 257), target=words, n_steps=50
    )
    found = maps_of(explained, Batch(["a", "b"], features, [126, 90], words), ["integrated-gradients"])
    for values, each in zip(expected.numpy(), found["integrated-gradients"], strict=True):
        assert np.abs(each.values - values[: len(each.values)]).max() <= 1e-6 * np.abs(values).max() > 0
