"""Grad-CAM against captum, Grad-CAM++ against its paper's equations, point by point."""

import numpy as np
import pytest
import torch
from accent_helpers import classifier, noise

from salience.errors import InputError
from salience.saliency.accents import ExplainedAccents
from salience.saliency.base import METHODS
from salience.saliency.explained import Batch, maps_of
from salience.saliency.gradcam import gradcam_plus_values, gradcam_values

captum_attr = pytest.importorskip("captum.attr")


def cam_maps(model, features: torch.Tensor, classes: torch.Tensor | None = None):
    """Grad-CAM and Grad-CAM++ (batch, rows, columns), whole, and the classes that they are of."""
    explained, lengths = ExplainedAccents(model), [features.shape[1]] * len(features)
    classes = explained.predicted(features, lengths) if classes is None else classes
    found = explained.layer_gradient(features, lengths, classes)
    return gradcam_values(*found), gradcam_plus_values(*found), classes


class Functions(ExplainedAccents):
    """A layer and what follows it, given as functions."""

    def __init__(self, score, activations=lambda features: features) -> None:
        super().__init__(classifier())
        self.outputs = lambda found, lengths: score(found)
        self.select = lambda outputs, targets: outputs
        self.compute = lambda features, lengths: activations(features)

    def maps(self, given: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = self.layer_gradient(given, [1] * len(given), torch.zeros(len(given)))
        return gradcam_values(*found), gradcam_plus_values(*found)


def padded(features: torch.Tensor, frames: int) -> torch.Tensor:
    """The whole input of the classifier, as captum needs it."""
    return torch.cat([features, features[:, -1:].expand(-1, frames - features.shape[1], -1)], dim=1)


def captums(model: torch.nn.Module, features: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """LayerGradCam of the last convolution after its ReLU, (batch, height, width)."""
    method = captum_attr.LayerGradCam(lambda x: model(x)["logits"], model.convolutions[-1])
    return method.attribute(features, target=classes, relu_attributions=False)[:, 0].detach()


@pytest.mark.parametrize("given", [1, 7, 40, 101, 200, 303, 304])
@pytest.mark.parametrize("explain", ["predicted", "given"])
def test_gradcam_is_captums(given, explain):
    """Also where padding is computed once: captum sees all of it."""
    model = classifier(classes=5).double()
    features = torch.from_numpy(noise(given, (6, given, 80))).double()
    given = None if explain == "predicted" else torch.tensor([0, 1, 2, 3, 4, 0])
    ours, _, classes = cam_maps(model, features, given)
    theirs = captums(model, padded(features, 304), classes)
    assert ours.shape == theirs.shape == (6, 10, 38) and theirs.abs().amax() > 0
    assert (ours - theirs).abs().amax() <= 1e-6 * theirs.abs().amax()
    assert given is not None or torch.equal(classes, model(features)["logits"].argmax(1))


def test_gradcam_is_captums_in_single_precision():
    model = classifier()
    features = torch.from_numpy(noise(1, (4, 120, 80)))
    ours, _, classes = cam_maps(model, features)
    theirs = captums(model, padded(features, 304), classes)
    assert (ours - theirs).abs().amax() <= 2e-6 * theirs.abs().amax()


def test_maps_are_signed():
    model = classifier()
    gradcam, _, _ = cam_maps(model, torch.from_numpy(noise(2, (16, 120, 80))))
    assert (gradcam < 0).any() and (gradcam > 0).any()


def test_gradcam_plus_is_the_papers():
    """Equations 10, 11 and 19 of Chattopadhay et al., one item, channel and point at a time."""
    model = classifier().double()
    features = torch.from_numpy(noise(3, (3, 90, 80))).double()
    with torch.no_grad():
        maps = model.feature_maps(features)
    _, ours, classes = cam_maps(model, features)
    for item in range(3):
        activations = maps[item : item + 1].clone().requires_grad_(True)
        score = model.head(activations)[0, int(classes[item])]
        (gradient,) = torch.autograd.grad(score, activations)
        A, g = activations[0].detach().numpy(), gradient[0].numpy()
        plain = np.zeros(A.shape[1:])
        for k in range(len(A)):
            total, weight = A[k].sum(), 0.0
            for i in range(A.shape[1]):
                for j in range(A.shape[2]):
                    if g[k, i, j] != 0:
                        alpha = g[k, i, j] ** 2 / (2 * g[k, i, j] ** 2 + total * g[k, i, j] ** 3)
                        weight += alpha * max(g[k, i, j], 0)
            plain += weight * A[k]
        np.testing.assert_allclose(ours[item].numpy(), plain, rtol=1e-9, atol=1e-12 * np.abs(plain).max())


def test_gradcam_plus_weighs_by_the_derivatives_of_the_exponential():
    """Where equation 19 comes from: Y = exp(S), whose second and third derivatives autograd knows, too."""
    torch.manual_seed(1)
    weight = torch.randn(2, 3 * 2 * 2, dtype=torch.float64)
    A = torch.rand(1, 3, 2, 2, dtype=torch.float64)
    _, ours = Functions(lambda a: a.flatten(1) @ weight[1]).maps(A)
    plain = torch.zeros(2, 2, dtype=torch.float64)
    score = (A.flatten() @ weight[1]).item()
    for k in range(3):
        for i in range(2):
            for j in range(2):
                point = A[0, k, i, j].clone().requires_grad_(True)
                changed = A.flatten().clone()
                changed[4 * k + 2 * i + j] = 0
                Y = torch.exp(changed @ weight[1] + weight[1, 4 * k + 2 * i + j] * point)
                (first,) = torch.autograd.grad(Y, point, create_graph=True)
                (second,) = torch.autograd.grad(first, point, create_graph=True)
                (third,) = torch.autograd.grad(second, point)
                alpha = second / (2 * second + A[0, k].sum() * third)
                plain += (alpha * first.clamp(min=0)).detach() / np.exp(score) * A[0, k]
    torch.testing.assert_close(ours[0], plain)


def test_a_map_does_not_depend_on_its_batch():
    model = classifier().double()
    features = torch.from_numpy(noise(4, (9, 77, 80))).double()
    together, backwards = cam_maps(model, features), cam_maps(model, features.flip(0))
    for item in range(9):
        alone = cam_maps(model, features[item : item + 1])
        for one, two, three in zip(together, backwards, alone, strict=True):
            torch.testing.assert_close(one[item], three[0], rtol=1e-10, atol=1e-14)
            torch.testing.assert_close(two[8 - item], three[0], rtol=1e-10, atol=1e-14)


def test_the_class_matters():
    model = classifier()
    features = torch.from_numpy(noise(5, (3, 90, 80)))
    gradcam, plus, classes = cam_maps(model, features)
    other, other_plus, _ = cam_maps(model, features, (classes + 1) % 3)
    assert not torch.allclose(other, gradcam) and not torch.allclose(other_plus, plus)


def test_only_the_layer_is_differentiated():
    """No weight gets a gradient, nothing before the layer is touched, and it works where gradients are off."""
    model = classifier()
    features = torch.from_numpy(noise(6, (2, 90, 80))).requires_grad_(True)
    with torch.no_grad():
        results = cam_maps(model, features)
    assert features.grad is None and all(parameter.grad is None for parameter in model.parameters())
    assert not any(result.requires_grad for result in results)


def test_methods_of_one_layer_share_a_pass(monkeypatch):
    """Also with the prediction; another batch is computed anew."""
    explained = ExplainedAccents(classifier())
    passes, gradients = [], []
    compute, select = explained.compute, explained.select
    monkeypatch.setattr(explained, "compute", lambda *given: passes.append(1) or compute(*given))
    monkeypatch.setattr(explained, "select", lambda *given: gradients.append(1) or select(*given))
    for number in (1, 2):
        features, lengths = torch.from_numpy(noise(number, (2, 90, 80))), [90, 70]
        batch = Batch(["a", "b"], features, lengths, explained.predicted(features, lengths))
        found = maps_of(explained, batch, ["gradcam", "gradcam++", "random"])
        assert [each.values.shape for each in found["gradcam"]] == [(13, 10), (10, 10)]
        assert (len(passes), len(gradients)) == (number, number)


def test_a_method_that_loses_an_utterance_is_refused(monkeypatch):
    explained = ExplainedAccents(classifier())
    monkeypatch.setitem(METHODS, "lossy", lambda *given: METHODS["gradcam"](*given)[:1])
    batch = Batch(["a", "b"], torch.zeros(2, 90, 80), [90, 70], torch.tensor([0, 1]))
    with pytest.raises(InputError, match="the saliency method lossy gives 1 maps for 2 utterances"):
        maps_of(explained, batch, ["lossy"])


def test_a_map_without_gradient_is_zero():
    maps = torch.rand(2, 3, 4, 5)
    gradcam, plus = Functions(lambda a: a.sum((1, 2, 3)) * 0).maps(maps)
    assert (gradcam == 0).all() and (plus == 0).all()
