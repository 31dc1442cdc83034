"""The paper's classifier: its sizes, and that padding is computed once without a difference."""

import numpy as np
import pytest
import torch
from accent_helpers import classifier, noise
from torch.nn import functional as F

from salience.errors import InputError
from salience.features.logmel import pad_frames
from salience.files import read_json, write_json
from salience.models.accent_classifier import load_classifier, save_classifier
from salience.models.accent_cnn import AccentCNN, AccentCNNConfig


def plain_maps(model: AccentCNN, features: torch.Tensor) -> torch.Tensor:
    """The last convolution's maps of the whole padded input, from the weights alone."""
    x = (features - model.mean) / model.deviation
    x = F.pad(x.transpose(1, 2), (0, model.settings.frames - x.shape[1]), mode="replicate").unsqueeze(1)
    for number in range(4):
        if number:
            x = F.max_pool2d(x, 2)
        convolution = model.convolutions[number][0]
        x = F.relu(F.conv2d(x, convolution.weight, convolution.bias, padding=1))
    return x


def test_the_papers_sizes():
    torch.manual_seed(1)
    model = AccentCNN(AccentCNNConfig(classes=("a", "b", "c", "d", "e"))).eval()
    with torch.no_grad():
        maps = model.feature_maps(torch.from_numpy(noise(1, (1, 60, 80))))
        assert maps.shape == (1, 256, 10, 375)
        assert model.head(maps).shape == (1, 5)
    assert model.classify[1].in_features == 239_360 == 256 * 5 * 187
    convolutions = 32 * 10 + 64 * (32 * 9 + 1) + 128 * (64 * 9 + 1) + 256 * (128 * 9 + 1)
    assert (
        sum(p.numel() for p in model.parameters()) == convolutions + (239_360 + 1) * 128 + (128 + 1) * 5 == 31_026_693
    )


@pytest.mark.parametrize("frames", [16, 64, 104, 304])
def test_maps_of_every_length_equal_the_padded_computation(frames):
    model = classifier(frames=frames)
    signal = torch.from_numpy(noise(1, (2, frames, 80)))
    with torch.no_grad():
        for given in range(1, frames + 1):
            ours, plain = model.feature_maps(signal[:, :given]), plain_maps(model, signal[:, :given])
            assert ours.shape == plain.shape
            torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_short_input_costs_less_and_learns_the_same(batch_norm):
    """Loss and gradients of a short input equal those of the same input padded in full."""
    model = classifier(frames=304, dropout=0.0, dense_dropout=0.0, batch_norm=batch_norm)
    short = torch.from_numpy(noise(2, (3, 50, 80)))
    full = torch.cat([short, short[:, -1:].expand(-1, 254, -1)], dim=1)
    gradients = []
    widths = []
    model.convolutions[0].register_forward_hook(lambda _module, given, _output: widths.append(given[0].shape[-1]))
    for features in (short, full):
        model.zero_grad()
        model(features, torch.tensor([0, 1, 2]))["loss"].backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    for one, two in zip(*gradients, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)
    assert widths[0] < 150 and widths[1] == 304


def test_batch_norm_trains_on_the_whole_padded_input():
    """Its statistics are over all frames, padding included, so nothing may be left out in training."""
    short, running = torch.from_numpy(noise(3, (3, 50, 80))), []
    for features in (short, torch.cat([short, short[:, -1:].expand(-1, 254, -1)], dim=1)):
        model = classifier(frames=304, dropout=0.0, dense_dropout=0.0, batch_norm=True).train()
        model(features)
        running.append(model.convolutions[3][1].running_mean.clone())
    torch.testing.assert_close(running[0], running[1])


def test_more_padding_in_the_batch_changes_nothing():
    model = classifier()
    features = noise(4, (70, 80))
    with torch.no_grad():
        logits = [
            model(torch.from_numpy(pad_frames(features, n, -1.0))[None])["logits"] for n in (71, 72, 100, 303, 304)
        ]
    for other in logits[1:]:
        torch.testing.assert_close(other, logits[0], rtol=1e-5, atol=1e-5)


def test_the_loss_is_the_cross_entropy():
    model = classifier()
    result = model(torch.from_numpy(noise(5, (4, 90, 80))), torch.tensor([0, 1, 2, 1]))
    logs = result["logits"].double().log_softmax(1)
    assert result["loss"].item() == pytest.approx(-logs[range(4), [0, 1, 2, 1]].mean().item(), rel=1e-5)


def test_normalisation_is_by_bin():
    model = classifier()
    features = torch.from_numpy(noise(6, (1, 90, 80)))
    mean, deviation = model.mean.clone(), model.deviation.clone()
    with torch.no_grad():
        normalised = model(features)["logits"]
        model.set_normalisation(torch.zeros(80), torch.ones(80))
        torch.testing.assert_close(model((features - mean) / deviation)["logits"], normalised, rtol=1e-5, atol=1e-5)
        assert not torch.allclose(model(features)["logits"], normalised, atol=1e-3)


def test_an_utterance_that_does_not_fit_is_refused():
    with pytest.raises(InputError, match="305 frames does not fit the classifier's 304"):
        classifier(frames=304).feature_maps(torch.zeros(1, 305, 80))


@pytest.mark.parametrize("sizes", [{"frames": 300}, {"bins": 60}, {"channels": (8, 8, 8)}, {"channels": (8,) * 5}])
def test_sizes_that_maps_cannot_have_are_refused(sizes):
    with pytest.raises(InputError):
        AccentCNN(AccentCNNConfig(classes=("a", "b"), **sizes))


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_classifier_is_saved_whole(tmp_path, batch_norm):
    model = classifier(batch_norm=batch_norm)
    save_classifier(model, tmp_path / "exp")
    assert sorted(p.name for p in (tmp_path / "exp").iterdir()) == ["config.json", "model.safetensors"]
    loaded = load_classifier(tmp_path / "exp")
    assert loaded.settings == model.settings and not loaded.training
    features = torch.from_numpy(noise(7, (2, 90, 80)))
    with torch.no_grad():
        assert torch.equal(loaded(features)["logits"], model(features)["logits"])


@pytest.mark.parametrize(
    "change",
    [
        {"hidden": 8},
        {"channels": [4, 6, 6, 6]},
        {"batch_norm": True},
        {"classes": ["a"]},
        {"layers": 3},
        {"frames": "x"},
    ],
)
def test_another_architecture_is_one_sentence(tmp_path, change):
    save_classifier(classifier(), tmp_path)
    write_json(tmp_path / "config.json", read_json(tmp_path / "config.json") | change)
    with pytest.raises(InputError, match="holds no accent classifier of this architecture") as caught:
        load_classifier(tmp_path)
    assert "\n" not in str(caught.value)


def test_what_is_no_checkpoint_is_one_sentence(tmp_path):
    save_classifier(classifier(), tmp_path)
    (tmp_path / "model.safetensors").write_bytes(np.random.default_rng(1).bytes(5000))
    with pytest.raises(InputError, match="holds no accent classifier"):
        load_classifier(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model\.safetensors does not exist; run the step"):
        load_classifier(tmp_path)
    save_classifier(classifier(), tmp_path)
    write_json(tmp_path / "config.json", [1, 2])
    with pytest.raises(InputError, match="holds no accent classifier"):
        load_classifier(tmp_path)
    with pytest.raises(InputError, match=r"config\.json does not exist"):
        load_classifier(tmp_path / "none")
