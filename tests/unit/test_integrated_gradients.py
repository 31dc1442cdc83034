"""Integrated gradients against captum's, on the accent CNN."""

import numpy as np
import pytest
import torch
from accent_helpers import classifier, noise

from salience.saliency.accents import ExplainedAccents
from salience.saliency.explained import Batch, maps_of

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
