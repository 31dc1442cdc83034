"""Grad-CAM against captum, Grad-CAM++ against its paper's equations, point by point."""

import numpy as np
import pytest
import torch
from accent_helpers import classifier, noise

from salience.saliency.gradcam import cam_maps

captum_attr = pytest.importorskip("captum.attr")


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
    with torch.no_grad():
        maps = model.feature_maps(features)
        predicted = model(features)["logits"].argmax(1)
    classes = predicted if explain == "predicted" else torch.tensor([0, 1, 2, 3, 4, 0])
    ours, _, logits = cam_maps(maps, model.head, None if explain == "predicted" else classes)
    theirs = captums(model, padded(features, 304), classes)
    assert ours.shape == theirs.shape == (6, 10, 38) and theirs.abs().amax() > 0
    assert (ours - theirs).abs().amax() <= 1e-6 * theirs.abs().amax()
    torch.testing.assert_close(logits, model(features)["logits"].detach())


def test_gradcam_is_captums_in_single_precision():
    model = classifier()
    features = torch.from_numpy(noise(1, (4, 120, 80)))
    with torch.no_grad():
        maps = model.feature_maps(features)
    ours, _, logits = cam_maps(maps, model.head)
    theirs = captums(model, padded(features, 304), logits.argmax(1))
    assert (ours - theirs).abs().amax() <= 2e-6 * theirs.abs().amax()


def test_maps_are_signed():
    model = classifier()
    with torch.no_grad():
        maps = model.feature_maps(torch.from_numpy(noise(2, (16, 120, 80))))
    gradcam, _, _ = cam_maps(maps, model.head)
    assert (gradcam < 0).any() and (gradcam > 0).any()


def test_gradcam_plus_is_the_papers():
    """Equations 10, 11 and 19 of Chattopadhay et al., one item, channel and point at a time."""
    model = classifier().double()
    with torch.no_grad():
        maps = model.feature_maps(torch.from_numpy(noise(3, (3, 90, 80))).double())
    _, ours, logits = cam_maps(maps, model.head)
    for item in range(3):
        activations = maps[item : item + 1].clone().requires_grad_(True)
        score = model.head(activations)[0, int(logits[item].argmax())]
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
    _, ours, _ = cam_maps(A, lambda a: a.flatten(1) @ weight.T, torch.tensor([1]))
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
    with torch.no_grad():
        maps = model.feature_maps(features)
    together = cam_maps(maps, model.head)
    backwards = cam_maps(maps.flip(0), model.head)
    for item in range(9):
        alone = cam_maps(maps[item : item + 1], model.head)
        for one, two, three in zip(together, backwards, alone, strict=True):
            torch.testing.assert_close(one[item], three[0], rtol=1e-10, atol=1e-14)
            torch.testing.assert_close(two[8 - item], three[0], rtol=1e-10, atol=1e-14)


def test_the_class_matters_and_the_predicted_one_is_the_default():
    model = classifier()
    with torch.no_grad():
        maps = model.feature_maps(torch.from_numpy(noise(5, (3, 90, 80))))
    gradcam, plus, logits = cam_maps(maps, model.head)
    chosen = logits.argmax(1)
    assert torch.equal(cam_maps(maps, model.head, chosen)[0], gradcam)
    other, other_plus, _ = cam_maps(maps, model.head, (chosen + 1) % 3)
    assert not torch.allclose(other, gradcam) and not torch.allclose(other_plus, plus)


def test_only_the_layer_is_differentiated():
    """No weight gets a gradient, nothing before the layer is touched, and it works where gradients are off."""
    model = classifier()
    maps = model.feature_maps(torch.from_numpy(noise(6, (2, 90, 80))))
    visited = []
    maps.register_hook(lambda gradient: visited.append(gradient))
    with torch.no_grad():
        results = cam_maps(maps, model.head)
    assert not visited and all(parameter.grad is None for parameter in model.parameters())
    assert not any(result.requires_grad for result in results)


def test_a_map_without_gradient_is_zero():
    maps = torch.rand(2, 3, 4, 5)
    gradcam, plus, _ = cam_maps(maps, lambda a: a.sum((1, 2, 3))[:, None] * torch.zeros(1, 2))
    assert (gradcam == 0).all() and (plus == 0).all()
