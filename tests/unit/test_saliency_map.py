"""The map of one utterance, as a notebook asks for it."""

import numpy as np
import pytest
import torch

import salience
from salience.errors import InputError
from salience.models.accent_cnn import AccentCNN, AccentCNNConfig

CLASSES = ("Dutch", "Italian")


@pytest.fixture(scope="module")
def classifier() -> AccentCNN:
    torch.manual_seed(1)
    return AccentCNN(AccentCNNConfig(bins=16, frames=64, channels=(4, 4, 4, 4), classes=CLASSES)).eval()


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    return np.random.default_rng(1).random((50, 16), dtype=np.float32)


@pytest.mark.parametrize("method", ["gradcam", "gradcam++", "integrated-gradients", "random"])
def test_every_method_gives_a_map_that_covers_the_utterance(classifier, features, method):
    found = salience.saliency_map(classifier, features, method, seed=2)
    unit = found.unit(*features.shape)
    assert found.method == method and unit.shape == features.shape and unit.min() >= 0 and unit.max() <= 1
    again = salience.saliency_map(classifier, features, method, seed=2)
    assert np.array_equal(found.values, again.values)


def test_it_explains_the_predicted_class_or_the_named_one(classifier, features):
    with torch.inference_mode():
        predicted = int(classifier(torch.from_numpy(features)[None])["logits"].argmax())
    default = salience.saliency_map(classifier, features).values
    named = [salience.saliency_map(classifier, features, target=name).values for name in CLASSES]
    assert np.array_equal(default, named[predicted])
    assert not np.allclose(named[0], named[1])
    with pytest.raises(InputError, match="the classifier does not know 'Danish'; it knows: Dutch, Italian"):
        salience.saliency_map(classifier, features, target="Danish")
