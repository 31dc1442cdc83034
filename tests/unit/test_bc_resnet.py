"""BC-ResNet against the paper's counts and equations, and the folders of both kinds of recogniser."""

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from salience.errors import InputError
from salience.models.bc_resnet import SIZES, BCResNet, BCResNetConfig, _Block, _SubSpectralNorm
from salience.models.keyword_network import KeywordNetwork
from salience.models.keywords import build_recogniser, load_recogniser, save_recogniser
from salience.models.recognisers import RecogniserChoice, frozen

WORDS = tuple(f"w{n}" for n in range(12))
PAPER = {1: 9.2, 1.5: None, 2: 27.3, 3: 54.2, 6: 188, 8: 321}
"""Thousands of parameters in the paper's table of results, of those that we can quote."""


def waveforms(number: int, seed: int = 1) -> torch.Tensor:
    return 0.1 * torch.randn(number, 16000, generator=torch.Generator().manual_seed(seed))


def lively(model: nn.Module) -> nn.Module:
    """No layer of normalisation is neutral."""
    torch.manual_seed(2)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -0.5, 0.5)
            nn.init.uniform_(layer.running_mean, -0.5, 0.5)
            nn.init.uniform_(layer.running_var, 0.5, 2.0)
    return model.eval()


@pytest.mark.parametrize("tau", SIZES)
def test_the_sizes_are_the_papers(tau):
    model = BCResNet(BCResNetConfig(WORDS, tau))
    count = sum(p.numel() for p in model.parameters())
    if PAPER[tau]:
        assert count / 1000 == pytest.approx(PAPER[tau], rel=0.005)
    assert {1: 9_232, 8: 321_068}.get(tau, count) == count
    assert model.eval()(torch.full((2, 257, 126), -20.0)).shape == (2, 12)


def test_the_stages_are_those_of_table_1():
    """Channels, bands and frames behind each stage of tau 1, before they are averaged."""
    model = BCResNet(BCResNetConfig(WORDS)).eval()
    shapes = []
    for layer in (model.head, *model.blocks, model.tail):
        layer.register_forward_hook(lambda _, __, out: shapes.append(tuple(out.shape[1:])))
    model(torch.zeros(1, 257, 126))
    expected = [
        (16, 20, 126),
        *2 * [(8, 20, 126)],
        *2 * [(12, 10, 126)],
        *4 * [(16, 5, 126)],
        *4 * [(20, 5, 126)],
        (32, 1, 126),
    ]
    assert shapes == expected
    assert [block.temporal.dilation[1] for block in model.blocks] == [1, 1, 2, 2, 4, 4, 4, 4, 8, 8, 8, 8]


def test_a_band_is_normalised_by_itself():
    norm = _SubSpectralNorm(3).train()
    x = torch.randn(4, 3, 20, 11) * torch.arange(1, 21)[:, None] + torch.arange(3)[:, None, None]
    y = norm(x)
    for channel in range(3):
        for band in range(5):
            own = x[:, channel, 4 * band : 4 * band + 4]
            expected = (own - own.mean()) / (own.var(unbiased=False) + 1e-5).sqrt()
            torch.testing.assert_close(y[:, channel, 4 * band : 4 * band + 4], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("channels_in", "channels", "stride"), [(6, 6, 1), (4, 6, 2)])
def test_a_block_is_equation_3(channels_in, channels, stride):
    """Point by point, with loops instead of convolutions."""
    block = lively(_Block(channels_in, channels, stride, dilation=2)).double()
    x = torch.randn(2, channels_in, 10, 9, dtype=torch.float64)
    start = x
    if stride == 2:
        conv, norm, _ = block.transition
        start = functional.batch_norm(
            torch.einsum("oi,bift->boft", conv.weight[:, :, 0, 0], x),
            norm.running_mean,
            norm.running_var,
            norm.weight,
            norm.bias,
        ).relu()
    kernel, padded = block.frequency[0].weight[:, 0, :, 0], functional.pad(start, (0, 0, 1, 1))
    planes = sum(kernel[:, k, None, None] * padded[:, :, k : k + 10][:, :, ::stride] for k in range(3))
    planes = block.frequency[1](planes)
    mean, kernel = functional.pad(planes.mean(2), (2, 2)), block.temporal.weight[:, 0, 0]
    frames = sum(kernel[:, k, None] * mean[:, :, 2 * k : 2 * k + 9] for k in range(3))
    frames = functional.batch_norm(
        frames, block.norm.running_mean, block.norm.running_var, block.norm.weight, block.norm.bias
    )
    broadcast = torch.einsum("oi,bit->bot", block.pointwise.weight[:, :, 0, 0], frames * frames.sigmoid())[:, :, None]
    expected = planes + broadcast + (x if stride == 1 else 0)
    torch.testing.assert_close(block(x), expected.relu())


def test_a_tone_stands_in_its_mel_band():
    """40 bands over 8 kHz on the scale of Slaney: 1000 Hz is at 15 of 45.2 mels."""
    model = build_recogniser("bc-resnet-1", WORDS)
    tone = 0.5 * torch.cos(2 * torch.pi * 1000 / 16000 * torch.arange(16000))
    mels = model.log_mel(model.decibels(torch.stack([tone, torch.zeros(16000)])))
    assert mels.shape == (2, 40, 126)
    top = 15 + 27 * np.log(8) / np.log(6.4)
    assert int(mels[0, :, 60].argmax()) == round(15 / top * 41 - 1)
    assert float(mels[1].min()) == float(mels[1].max()) == pytest.approx(np.log(1e-6))


def test_bfloat16_changes_little():
    model = lively(build_recogniser("bc-resnet-1", WORDS))
    heard = model.decibels(waveforms(4))
    with torch.no_grad():
        expected = model(heard)
        with torch.autocast("cpu", torch.bfloat16):
            found = model(heard)
    assert (found - expected).abs().max() < 0.05 * expected.std() + 0.05 * expected.abs().max()


@pytest.mark.parametrize("name", ["paper", "bc-resnet-1.5"])
def test_folders_of_either_kind_are_read_again(tmp_path, name):
    torch.manual_seed(3)
    model = lively(build_recogniser(name, ["yes", "no", "up"]))
    save_recogniser(model, tmp_path / "model")
    config = json.loads((tmp_path / "model/config.json").read_text())
    assert config["kind"] == name.removesuffix("-1.5") and config["words"] == ["yes", "no", "up"]
    again = load_recogniser(tmp_path / "model")
    assert type(again) is type(model) and again.config == model.config and not again.training
    heard = model.decibels(waveforms(2))
    assert torch.equal(again(heard), model(heard))
    # As a teacher too.
    recogniser = frozen(RecogniserChoice("keyword", tmp_path / "model"))
    samples, signals = torch.tensor([16000, 12000]), 32768 * waveforms(2)
    own = torch.cat(
        [model(model.decibels(waveforms(2)[n : n + 1, :length])) for n, length in enumerate((16000, 12000))]
    )
    torch.testing.assert_close(
        recogniser.losses(signals, samples, ["no", "up"]),
        functional.cross_entropy(own, torch.tensor([1, 2]), reduction="none"),
        rtol=1e-4,
        atol=1e-4,
    )


def test_a_folder_that_names_no_kind_is_the_papers(tmp_path):
    save_recogniser(build_recogniser("paper", WORDS), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["kind"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert isinstance(load_recogniser(tmp_path), KeywordNetwork)


@pytest.mark.parametrize(
    "text",
    [
        '{"kind": "other", "words": ["a"]}',
        '{"kind": "bc-resnet", "words": ["a"], "blocks": 5}',
        "[]",
        '{"kind": "bc-resnet", "words": ["a"], "tau": 2}',
    ],
)
def test_a_broken_folder_is_one_sentence(tmp_path, text):
    save_recogniser(build_recogniser("bc-resnet-1", ["a"]), tmp_path)
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match="holds no keyword network that can be read .*; train it again"):
        load_recogniser(tmp_path)


def test_an_unknown_name_is_one_sentence():
    with pytest.raises(InputError) as refused:
        build_recogniser("bc-resnet-4", WORDS)
    assert str(refused.value) == (
        "bc-resnet-4 is neither the folder of a keyword network nor the name of a new one; there are paper, "
        "bc-resnet-1, bc-resnet-1.5, bc-resnet-2, bc-resnet-3, bc-resnet-6, bc-resnet-8"
    )
