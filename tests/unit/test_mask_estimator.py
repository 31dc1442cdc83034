"""The mask estimator: the paper's sizes, the layers one by one, no effect of padding, files, bad input."""

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from bubble_helpers import SMALL, constant, estimator, speech
from torch import nn

from salience.errors import InputError
from salience.features.bumps import bumps, erb_numbers
from salience.models.mask_estimator import (
    FLOOR,
    MaskEstimator,
    MaskEstimatorSizes,
    load_estimator,
    log_power,
    save_estimator,
)

LENGTHS = (9, 30, 17)


def batch(seed=1, filling=50.0):
    """Log power (3, 30, bins) of utterances of LENGTHS, with `filling` beyond their ends."""
    values = torch.randn(3, 30, SMALL.bins, generator=torch.Generator().manual_seed(seed))
    for row, length in zip(values, LENGTHS, strict=True):
        row[length:] = filling
    return values, torch.tensor(LENGTHS)


def test_the_layers_have_the_papers_sizes():
    with torch.device("meta"):
        model = MaskEstimator(MaskEstimatorSizes())
    assert (model.sizes.bins, model.sizes.places) == (513, 31)
    assert model.convolution.weight.shape == (256, 1, 11, 32) and model.convolution.stride == (1, 16)
    assert model.convolution(torch.zeros(1, 1, 40, 513, device="meta")).shape == (1, 256, 40, 31)
    assert (
        model.recurrence.input_size == 7936 and model.recurrence.hidden_size == 512 and model.recurrence.bidirectional
    )
    assert (model.dense.in_features, model.dense.out_features) == (1024, 2 * 513)
    counts = {
        "convolution": 256 * (11 * 32 + 1),
        "norm_convolution": 2 * 256,
        "recurrence": 2 * 4 * 512 * (7936 + 512 + 2),
        "norm_recurrence": 2 * 1024,
        "dense": 1026 * 1025,
    }
    assert {name: sum(p.numel() for p in layer.parameters()) for name, layer in model.named_children()} == counts


def test_the_weights_start_uniform():
    torch.manual_seed(1)
    model = MaskEstimator(replace(SMALL, kernels=16, hidden=40))
    for name, weights in model.named_parameters():
        if weights.dim() > 1:
            receptive = weights[0][0].numel() if weights.dim() > 2 else 1
            bound = math.sqrt(6 / ((weights.shape[0] + weights.shape[1]) * receptive))
            assert 0.97 * bound < weights.abs().max() <= bound, name
            assert float(weights.detach().std()) == pytest.approx(bound / math.sqrt(3), rel=0.06), name
        elif "bias" in name:
            assert not weights.any(), name


def slowly(model, values):
    """Noise's share in a softmax over two classes, (frames, bins), from an utterance's log power, layer by layer."""
    seen = model.convolution(((values - model.mean) / model.deviation)[None, None])[0]  # (kernels, frames, places)
    norm = model.norm_convolution
    seen = (seen - norm.running_mean[:, None, None]) / (norm.running_var + norm.eps).sqrt()[:, None, None]
    seen = (seen * norm.weight[:, None, None] + norm.bias[:, None, None]).clamp(min=0)
    heard = model.recurrence(seen.permute(1, 0, 2).reshape(1, len(values), -1))[0][0]
    norm = model.norm_recurrence
    heard = (heard - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
    return model.dense(heard).reshape(len(values), -1, 2).softmax(dim=-1)[..., 1]


def test_the_mask_is_the_layers_one_after_another_and_a_softmax_over_two_classes():
    model = estimator()
    values, lengths = batch()
    with torch.no_grad():
        masks = torch.sigmoid(model(values, lengths))
        for row, length in enumerate(LENGTHS):
            expected = slowly(model, values[row, :length])
            assert float(expected.std()) > 0.05
            torch.testing.assert_close(masks[row, :length], expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_an_utterances_mask_does_not_depend_on_its_batch():
    model = estimator()
    values, lengths = batch()
    together = model(values, lengths)
    assert together.shape == values.shape
    for row, length in enumerate(LENGTHS):
        alone = model(values[row : row + 1, :length], lengths[row : row + 1])[0]
        torch.testing.assert_close(together[row, :length], alone, atol=1e-4, rtol=1e-4)
        assert not together[row, length:].any()
    order = [2, 0, 1]
    torch.testing.assert_close(model(values[order], lengths[order]), together[order], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_signals_mask_does_not_depend_on_its_padding():
    model = estimator()
    signals = [torch.from_numpy(32768 * speech(seed, samples)) for seed, samples in ((1, 1000), (2, 1600), (3, 1279))]
    samples = torch.tensor([len(s) for s in signals])
    padded = nn.utils.rnn.pad_sequence(signals, batch_first=True)
    together = model(model.log_power(padded), model.frames(samples))
    for row, signal in enumerate(signals):
        values = model.log_power(signal[None])
        assert values.shape[1] == int(model.frames(samples[row])) == 1 + len(signal) // SMALL.hop
        alone = model(values, model.frames(samples[row : row + 1]))[0]
        torch.testing.assert_close(together[row, : len(alone)], alone, atol=1e-3, rtol=1e-3)


def test_padding_is_no_part_of_what_batch_normalisation_learns():
    logits, states, gradients = [], [], []
    for filling in (0.0, 50.0):
        model = estimator().train()
        values, lengths = batch(filling=filling)
        values.requires_grad_()
        found = model(values, lengths)
        found.square().sum().backward()
        logits.append(found.detach())
        states.append({name: buffer.clone() for name, buffer in model.named_buffers()})
        gradients.append(values.grad)
    torch.testing.assert_close(*logits)
    torch.testing.assert_close(*states)
    assert states[0]["norm_convolution.running_mean"].ne(estimator().norm_convolution.running_mean).all()
    for row, length in enumerate(LENGTHS):
        assert gradients[1][row, :length].abs().sum(dim=1).all() and not gradients[1][row, length:].any()


def test_in_training_frames_of_the_whole_batch_are_normalised_together():
    model = estimator().train()
    values, lengths = batch()
    seen = {}
    model.norm_recurrence.register_forward_hook(lambda layer, inputs, output: seen.update(output=output.detach()))
    model(values, lengths)
    assert seen["output"].shape == (sum(LENGTHS), 2 * SMALL.hidden)
    torch.testing.assert_close(seen["output"].mean(dim=0), model.norm_recurrence.bias.detach(), atol=1e-4, rtol=0)


def test_log_power_of_known_signals():
    size = SMALL.window
    cosine = 1000 * torch.cos(2 * math.pi * 16 / size * torch.arange(20 * size))
    values = log_power(torch.stack([cosine, torch.zeros_like(cosine)]), SMALL)
    # The window's sum is size / 2; half of a cosine's amplitude lies at its frequency.
    assert float(values[0, 20, 16]) == pytest.approx(2 * math.log(1000 * size / 4), abs=1e-3)
    assert float(values[0, 20].argmax()) == 16
    torch.testing.assert_close(values[1], torch.full_like(values[1], math.log(FLOOR)))


def test_normalisation_makes_the_training_sets_bins_alike():
    """The network reads (value - mean) / deviation and nothing else of the levels."""
    plain, scaled = estimator(), estimator()
    plain.set_normalisation(torch.zeros(SMALL.bins), torch.ones(SMALL.bins))
    mean, deviation = torch.linspace(2, 9, SMALL.bins), torch.linspace(0.5, 3, SMALL.bins)
    scaled.set_normalisation(mean, deviation)
    values, lengths = batch()
    with torch.no_grad():
        torch.testing.assert_close(
            scaled(values * deviation + mean, lengths), plain(values, lengths), atol=1e-4, rtol=1e-4
        )


def test_what_is_saved_is_read(tmp_path):
    model = estimator()
    save_estimator(model, tmp_path / "a b")
    assert json.loads((tmp_path / "a b/config.json").read_text()) == asdict(SMALL)
    assert sorted(p.name for p in (tmp_path / "a b").iterdir()) == ["config.json", "model.safetensors"]
    torch.manual_seed(99)
    read = load_estimator(tmp_path / "a b")
    assert not read.training and read.sizes == SMALL
    values, lengths = batch()
    assert torch.equal(read(values, lengths), model(values, lengths))


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda folder: (folder / "config.json").unlink(), "config.json does not exist"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json is not JSON"),
        (
            lambda folder: (folder / "config.json").write_text('{"units": 3}'),
            "does not hold the sizes of a mask estimator .*run the step that writes it again",
        ),
        (
            lambda folder: (folder / "config.json").write_text(json.dumps(asdict(replace(SMALL, hidden=11)))),
            "holds no mask estimator that can be read",
        ),
        (
            lambda folder: (folder / "model.safetensors").unlink(),
            "model.safetensors does not exist; run the step that writes it again",
        ),
        (
            lambda folder: (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-9]),
            "holds no mask estimator that can be read",
        ),
    ],
)
def test_a_broken_folder_is_one_sentence(tmp_path, harm, sentence):
    save_estimator(estimator(), tmp_path)
    harm(tmp_path)
    with pytest.raises(InputError, match=sentence) as refused:
        load_estimator(tmp_path)
    assert "\n" not in str(refused.value)


def test_impossible_sizes_are_one_sentence():
    with pytest.raises(
        InputError, match="a kernel over 66 bins does not fit a spectrogram of 65; lower kernel_frequency"
    ):
        MaskEstimator(replace(SMALL, kernel_frequency=66))
    with pytest.raises(InputError, match="a kernel over 4 frames has no middle one; make kernel_time odd"):
        MaskEstimator(replace(SMALL, kernel_time=4))
    assert MaskEstimator(replace(SMALL, kernel_frequency=65)).sizes.places == 1


@torch.no_grad()
def test_the_second_class_is_noise():
    values, lengths = batch()
    logits = constant(3.0)(values, lengths)
    assert all(np.allclose(logits[row, :length], 3.0, atol=1e-5) for row, length in enumerate(LENGTHS))


def modulation(values, step, cutoff):
    """Share of the variance of curves (places, curves), `step` apart, at modulations of `cutoff` and above."""
    window = np.hanning(len(values))[:, None]
    power = np.abs(np.fft.rfft(window * (values - values.mean(axis=0)), axis=0)) ** 2
    return power[np.fft.rfftfreq(len(values), step) >= cutoff].sum() / power[1:].sum()


def test_bumps_add_up_to_one_and_end_where_they_should():
    found = bumps(np.linspace(0, 5, 501), 0.8)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    assert found.shape[1] == 14 and found[40, 1] == 1 and found[20, 1] == pytest.approx(0.5)
    assert found[0, 1] < 1e-12 and found[80, 1] < 1e-12 and (found >= 0).all()


@torch.no_grad()
def test_a_mask_of_bumps_has_no_detail_finer_than_they_are():
    """Of a network whose logits are large and change from frame to frame and bin to bin."""
    sizes = replace(SMALL, window=512, hop=128, hidden=6)
    values = 3 * torch.randn(1, 400, sizes.bins, generator=torch.Generator().manual_seed(1))
    masks = {}
    for name, bounded in (("free", sizes), ("bumps", replace(sizes, erb=7.0, seconds=0.35))):
        model = estimator(sizes=bounded)
        model.dense.weight.data *= 60
        masks[name] = torch.sigmoid(model(values, torch.tensor([400])))[0].double().numpy()
        assert masks[name].std() > 0.1 and masks[name].min() >= 0 and masks[name].max() <= 1
    erb = erb_numbers(sizes.bins)
    even = np.linspace(0, erb[-1], 200)
    fine = {}
    for name, mask in masks.items():
        across = np.stack([np.interp(even, erb, row) for row in mask], axis=1)
        # A bump's modulations lie below 2 / width: 5.7 Hz, and 0.29 cycles per ERB.
        fine[name] = modulation(mask, sizes.hop / 16000, 2 / 0.35), modulation(across, even[1], 2 / 7)
    assert min(fine["free"]) > 0.1 and max(fine["bumps"]) < 0.005, fine


@torch.no_grad()
def test_a_mask_of_bumps_does_not_depend_on_padding():
    model = estimator(sizes=replace(SMALL, erb=7.0, seconds=0.02))
    values, frames = batch()
    together = model(values, frames)
    assert together.shape == values.shape and torch.isfinite(together).all()
    for row, length in enumerate(LENGTHS):
        alone = model(values[row : row + 1, :length], frames[row : row + 1])[0]
        torch.testing.assert_close(together[row, :length], alone, atol=1e-4, rtol=1e-4)
        assert not together[row, length:].any() and torch.sigmoid(alone).std() > 0.01


def test_a_mask_of_bumps_is_saved_with_their_size(tmp_path):
    model = estimator(sizes=replace(SMALL, erb=7.0, seconds=0.35))
    assert model.dense.out_features == 2 * 11
    save_estimator(model, tmp_path)
    again = load_estimator(tmp_path)
    values, frames = batch()
    assert again.sizes == model.sizes and torch.equal(again(values, frames), model(values, frames))
    values.requires_grad_()
    (slope,) = torch.autograd.grad(model(values, frames).sum(), values)
    assert torch.isfinite(slope).all() and slope[1].any()
    # An estimator of before has neither.
    config = json.loads((tmp_path / "config.json").read_text())
    assert config.pop("erb") == 7.0 and config.pop("seconds") == 0.35
    save_estimator(estimator(), tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load_estimator(tmp_path).sizes == SMALL
