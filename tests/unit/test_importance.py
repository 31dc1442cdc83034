"""ImportantAug: spectra, mixtures, masks, equation 5, against plain restatements; a planted band must be spared."""

import numpy as np
import pytest
import torch
from torch import nn

from salience.features.keywords import BINS, FRAMES, SAMPLES, decibels, real_frames, spectra
from salience.masking.importance import at_snr, batch_gain, binarise, mix, roll
from salience.masking.policies import SpecAugmentPolicy
from salience.models.mask_generator import MaskGenerator, load_generator, save_generator
from salience.training.keywords import (
    CLAMP,
    MASK_LEVELS,
    Augmentation,
    Draws,
    GeneratorTraining,
    ImportanceWeights,
    KeywordTraining,
    importance_loss,
    legacy_choice,
)


def clips(*lengths):
    torch.manual_seed(0)
    waveforms = torch.zeros(len(lengths), SAMPLES)
    for row, length in enumerate(lengths):
        waveforms[row, :length] = 0.1 * torch.randn(length)
    return waveforms, torch.tensor(lengths)


def test_spectra_are_those_of_each_clip_alone():
    waveforms, samples = clips(16000, 15999, 257, 511, 512, 8000, 12345)
    found = spectra(waveforms, samples)
    assert found.shape == (7, BINS, FRAMES)
    for row, length in enumerate(samples.tolist()):
        alone = torch.stft(waveforms[row, :length], 512, 128, window=torch.hann_window(512), return_complex=True)
        assert torch.equal(found[row, :, : alone.shape[1]], alone)
        assert not found[row, :, alone.shape[1] :].abs().any()
        assert real_frames(samples)[row].sum() == alone.shape[1]


def test_decibels_have_a_floor_and_finite_gradients():
    spectrum = torch.complex(torch.tensor([0.0, 1.0, 1e-12]), torch.tensor([0.0, 0.0, 0.0])).requires_grad_(True)
    levels = decibels(spectrum)
    assert levels.tolist() == pytest.approx([-200, 0, -200], abs=1e-4)
    levels.sum().backward()
    assert torch.view_as_real(spectrum.grad).isfinite().all()


@pytest.mark.parametrize("snr", [-12.5, 0.0, 15.0])
def test_the_gain_gives_a_batch_its_ratio(snr):
    speech, noise = (spectra(*clips(16000, 9000, 16000)) * factor for factor in (1.0, 37.0))
    added = batch_gain(speech, noise, snr) * noise
    measured = 10 * np.log10((np.abs(speech.numpy()) ** 2).sum() / (np.abs(added.numpy()) ** 2).sum())
    assert measured == pytest.approx(snr, abs=1e-3)
    assert torch.equal(mix(speech, noise, None, torch.tensor(2.0)), speech + 2 * noise)
    assert torch.equal(mix(speech, noise, torch.zeros(3, BINS, FRAMES), torch.tensor(2.0)), speech)


def test_test_noise_gives_each_clip_its_ratio():
    waveforms, samples = clips(16000, 4000, 16000)
    noise = torch.randn(3, SAMPLES) * (torch.arange(SAMPLES) < samples[:, None])
    noise[2] = 0
    noisy = at_snr(waveforms, noise, -10.0)
    for row in range(2):
        own = slice(0, samples[row])
        ratio = 10 * torch.log10(waveforms[row, own].square().sum() / (noisy - waveforms)[row, own].square().sum())
        assert float(ratio) == pytest.approx(-10, abs=1e-2)
    assert torch.equal(noisy[2], waveforms[2])


@pytest.mark.parametrize("percent", [1, 10, 33.3, 70])
def test_binarised_masks_leave_exactly_so_many_points_clean(percent):
    torch.manual_seed(1)
    masks = torch.rand(3, BINS, FRAMES)
    masks[1] = 0.5  # a plateau, where a quantile would spare nothing or everything
    frames = torch.tensor([FRAMES, FRAMES, 40])
    binary = binarise(masks, percent, frames)
    for row, own in enumerate(frames.tolist()):
        kept, levels = binary[row, :, :own].numpy(), masks[row, :, :own].numpy()
        assert (kept == 0).sum() == round(own * BINS * percent / 100)
        assert (binary[row, :, own:] == 1).all()
        assert levels[kept == 0].max() <= levels[kept == 1].min()


def test_rolling_is_numpys():
    masks = torch.rand(4, BINS, FRAMES)
    for axis, dimension in (("frequency", 1), ("time", 2)):
        for shift in (-30, 0, 7):
            assert np.array_equal(roll(masks, axis, shift).numpy(), np.roll(masks.numpy(), shift, dimension))
        shifts = torch.tensor([-30, 0, 5, 29])
        each = roll(masks, axis, shifts).numpy()
        for row, shift in enumerate(shifts.tolist()):
            assert np.array_equal(each[row], np.roll(masks[row].numpy(), shift, dimension - 1))


def test_equation_5_in_numpy():
    torch.manual_seed(2)
    masks = torch.rand(3, 11, 7).double()
    masks[0, 0, 0], masks[1, 1, 1] = 0.0, 1.0
    weights = ImportanceWeights(recogniser=0.7, mask=3.0, frequency=2.0, time=5.0)
    m = np.clip(masks.numpy(), CLAMP, 1 - CLAMP)
    expected = (
        0.7 * 1.9
        - 3 * np.log(m).mean()
        + 2 * np.abs(m[:, 1:] - m[:, :-1]).mean()
        + 5 * np.abs(m[:, :, 1:] - m[:, :, :-1]).mean()
    )
    assert float(importance_loss(masks, torch.tensor(1.9), weights)) == pytest.approx(expected, rel=1e-6)
    published = (
        0.7 * 1.9
        - m.mean()
        - 3 * (m * np.log(m) + (1 - m) * np.log(1 - m)).mean()
        + 2 * (m[:, 1:] - m[:, :-1]).mean()
        + 5 * (m[:, :, 1:] - m[:, :, :-1]).mean()
    )
    assert float(legacy_choice(masks, torch.tensor(1.9), weights)) == pytest.approx(published, rel=1e-6)


def test_the_generator_has_307_parameters_and_is_plain_convolutions(tmp_path):
    torch.manual_seed(3)
    model = MaskGenerator()
    assert sum(weights.numel() for weights in model.parameters()) == 307
    for frames in (126, 8, 3, 17):
        x = torch.randn(2, 257, frames)
        plain = x[:, None]
        for layer in (model.conv1, model.conv2, model.conv3):
            plain = layer(plain).relu()
        plain = model.conv4(plain)[:, 0]
        assert torch.allclose(model(x), plain, atol=1e-5)
        loss = plain.square().sum()
        expected = torch.autograd.grad(loss, list(model.parameters()))
        for found, wanted in zip(
            torch.autograd.grad(model(x).square().sum(), list(model.parameters())), expected, strict=True
        ):
            assert torch.allclose(found, wanted, rtol=1e-3, atol=1e-3)
    save_generator(model, tmp_path)
    assert torch.equal(load_generator(tmp_path)(x), model(x))


class Material:
    """Made-up clips or noise, as KeywordSet and NoisePieces are used."""

    def __init__(self, waveforms, samples, labels=None):
        self.waveforms, self.sizes, self.labels = waveforms, samples, labels

    def __len__(self):
        return len(self.waveforms)

    def spectra(self, rows):
        return spectra(self.waveforms[rows], self.sizes[rows])


class Band(nn.Module):
    """A recogniser that hears bins 60 to 100 only: each word is a level there, and any other level is no word."""

    def forward(self, levels):
        band = levels[:, 60:100]
        words = torch.stack([8 - (band - level).abs().mean(dim=(1, 2)) for level in (9.0, -3.0)], dim=1)
        return torch.cat([words, torch.zeros(len(levels), 1)], dim=1)


def test_a_recogniser_of_one_band_makes_the_generator_spare_it():
    count = 4
    torch.manual_seed(4)
    labels, rows, full = torch.arange(count) % 2, torch.arange(count), torch.full((count,), SAMPLES)
    spectrum = torch.fft.rfft(torch.randn(count, SAMPLES))
    bins = torch.arange(spectrum.shape[1]) * 512 / SAMPLES
    level = torch.where((bins > 60) & (bins < 100), torch.where(labels[:, None] == 0, 0.4, 0.1), torch.tensor(0.003))
    speech = Material(torch.fft.irfft(spectrum * level), full, labels)
    torch.manual_seed(7)
    weights = ImportanceWeights(mask=1.0, frequency=0.1, time=0.1)
    network = GeneratorTraining(
        MaskGenerator(), Band(), speech, Material(torch.randn(count, SAMPLES), full), weights, -20.0
    )
    optimizer = torch.optim.Adam(network.generator.parameters(), 0.02)
    for update in range(150):
        loss = network(rows, (rows + update) % count)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        masks, logits, _ = network.parts(rows, rows)
    # A convolution of 17 bins tells the band by its level, not by its frequency; its edges are seen from both sides.
    band, rest = masks[:, 66:94].mean(), torch.cat([masks[:, 4:50], masks[:, 110:250]], dim=1).mean()
    assert float(band) < 0.1 < 0.6 < float(rest)
    assert (logits.argmax(1) == labels).all()
    with torch.no_grad():
        everywhere = mix(
            speech.spectra(rows),
            network._frozen[2].spectra(rows),
            None,
            batch_gain(speech.spectra(rows), network._frozen[2].spectra(rows), -20.0),
        )
    assert (Band()(decibels(everywhere)).argmax(1) == 2).all()


def test_draws_belong_to_utterances_and_epochs_not_to_their_order():
    for per in ("batch", "utterance"):
        draws = Draws(50, 7, Augmentation(method="noise", masks="other", per=per), seed=1)
        again = Draws(50, 7, Augmentation(method="noise", masks="other", per=per), seed=1)
        one = draws.__getitems__([(3, 10), (3, 4)])
        other = again.__getitems__([(3, 10), (3, 7), (3, 4)])
        assert one["noise_rows"].tolist() == other["noise_rows"][[0, 2]].tolist()
        assert (one["mask_rows"] != one["rows"]).all()
        if per == "utterance":
            assert one["shifts"].tolist() == other["shifts"][[0, 2]].tolist()
        else:
            assert (one["shifts"] == 0).any() and one["shifts"].shape == (1, 2)
    everything = [
        Draws(50, 7, Augmentation(method="noise", masks="own"), seed=s).__getitems__([(e, i)])
        for s in (1, 2)
        for e in range(40)
        for i in range(20)
    ]
    shifts = torch.cat([batch["shifts"] for batch in everything])
    assert shifts.min() == -30 and shifts.max() == 29
    assert 0.45 < torch.cat([batch["everywhere"] for batch in everything]).float().mean() < 0.55
    assert 0.4 < (shifts[:, 0] != 0).float().mean() < 0.6


def test_features_of_each_augmentation():
    waveforms, samples = clips(16000, 9000, 16000, 16000)
    commands = Material(waveforms, samples, torch.zeros(4, dtype=torch.long))
    noise = Material(torch.randn(3, SAMPLES), torch.full((3,), SAMPLES))
    rows, noise_rows = torch.tensor([2, 0]), torch.tensor([1, 1])
    masks = (torch.rand(4, BINS, FRAMES) * MASK_LEVELS).to(torch.uint8)
    speech, added = commands.spectra(rows), noise.spectra(noise_rows)
    network = KeywordTraining(nn.Identity(), commands, Augmentation(method="noise", masks="own"), noise, masks)
    assert torch.equal(network.features(rows), decibels(speech))
    gain = batch_gain(speech, added, -12.5)
    everywhere = decibels(speech + gain * added)
    assert torch.equal(network.features(rows, noise_rows), everywhere)
    numbers = {"mask_rows": rows, "shifts": torch.tensor([[0, 5]]), "everywhere": torch.tensor([False])}
    moved = np.roll(masks[rows].numpy() / np.float32(MASK_LEVELS), 5, axis=2)
    expected = decibels(speech + gain * added * torch.from_numpy(moved))
    assert torch.allclose(network.features(rows, noise_rows, **numbers), expected, atol=1e-3)
    assert torch.equal(
        network.features(rows, noise_rows, **{**numbers, "everywhere": torch.tensor([True])}), everywhere
    )
    each = {"mask_rows": rows, "shifts": torch.tensor([[0, 5], [3, -4]]), "everywhere": torch.tensor([False, True])}
    found = network.features(rows, noise_rows, **each)
    assert torch.allclose(found[0], expected[0], atol=1e-3) and torch.allclose(found[1], everywhere[1], atol=1e-3)


def test_specaugment_masks_of_a_batch():
    policy = SpecAugmentPolicy(time_masks=2, time_width=25, time_share=0.2, frequency_masks=1, frequency_width=40)
    frames, bins = policy.spans(500, FRAMES, BINS, np.random.default_rng(0))
    assert frames.shape == (500, FRAMES) and bins.shape == (500, BINS)
    assert (~frames).sum(1).max() <= 50 and (~bins).sum(1).max() == 40 and (~bins).sum(1).min() == 0
    # One mask is one stretch.
    assert all(np.abs(np.diff(row.astype(int))).sum() <= 2 for row in bins)
    commands = Material(*clips(16000, 16000))
    network = KeywordTraining(nn.Identity(), commands, Augmentation(method="specaugment"))
    rows = torch.tensor([1])
    levels = decibels(commands.spectra(rows))
    masked = network.features(rows, kept_frames=torch.from_numpy(frames[:1]), kept_bins=torch.from_numpy(bins[:1]))
    kept = torch.from_numpy(bins[0][:, None] & frames[0][None])
    assert torch.equal(masked[0][kept], levels[0][kept])
    assert torch.allclose(masked[0][~kept], levels.mean())
