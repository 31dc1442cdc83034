"""The authors' checkpoint, made up in their layout, as folders of ours."""

import math
import os
from collections import OrderedDict

import pytest
import torch
from corpora_helpers import contents, program
from torch import nn
from torch.nn import functional

from salience import program as shell
from salience.corpora.speech_commands import WORDS
from salience.errors import InputError
from salience.models.keywords import load_recogniser
from salience.models.mask_generator import load_generator

RECIPE = "egs/gsc_v2/local/convert_published.py"
DENSE = ("classifier.fc1", "classifier.fc2", "classifier.out.1")
"""Ours to choose: the program does not know them."""


def layers() -> "OrderedDict[str, torch.Tensor]":
    """Random weights under the published names, the generator first, dense layers before the convolutions."""
    torch.manual_seed(4)
    found: OrderedDict[str, torch.Tensor] = OrderedDict()

    def layer(name: str, *shape: int) -> None:
        found[f"{name}.weight"] = torch.randn(shape) / math.prod(shape[1:]) ** 0.5
        found[f"{name}.bias"] = torch.randn(shape[0])

    for n, (a, b) in enumerate(((1, 2), (2, 2), (2, 2), (2, 1)), 1):
        layer(f"gen.conv{n}", b, a, 5, 5)
    for name, words in zip(DENSE, (257, 257, 35), strict=True):
        layer(name, words, 257)
    for n in range(5):
        layer(f"classifier.convs.{n}.depthwise", 257, 1, 9)
        layer(f"classifier.convs.{n}.pointwise", 257, 257, 1)
    found["classifier.spec_augment_transform.0.window"] = torch.ones(5)
    return found


@pytest.fixture
def published():
    """What torch.load gives of the real file, as far as is known."""
    weights = layers()
    optimiser = torch.optim.Adam([nn.Parameter(torch.ones(2))], lr=6.25e-5, weight_decay=1e-4)
    optimiser.param_groups[0]["params"][0].grad = torch.ones(2)
    for _ in range(3):
        optimiser.step()
    return {
        "epoch": 81,
        "best_dev_loss": 0.25,
        "model_state_dict": weights,
        "optimizer_state_dict": optimiser.state_dict(),
    }


def forward(weights, decibels):
    """The published recogniser, with torch's functions alone."""
    x = decibels
    for n in range(5):
        name = f"classifier.convs.{n}"
        y = functional.conv1d(
            x, weights[f"{name}.depthwise.weight"], weights[f"{name}.depthwise.bias"], padding=4, groups=257
        )
        y = functional.conv1d(y, weights[f"{name}.pointwise.weight"], weights[f"{name}.pointwise.bias"])
        x = x + functional.selu(y)
    x = x.mean(2)
    for name in DENSE[:2]:
        x = functional.selu(functional.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"]))
    return functional.linear(x, weights[f"{DENSE[2]}.weight"], weights[f"{DENSE[2]}.bias"])


def convert(checkpoint, out):
    program(RECIPE).convert_published(checkpoint, out / "recogniser", out / "generator")


def test_both_networks_answer_as_the_published_ones(tmp_path, published, caplog):
    torch.save(published, tmp_path / "best.pt")
    with caplog.at_level("INFO"):
        convert(tmp_path / "best.pt", tmp_path / "out")
    recogniser, generator = load_recogniser(tmp_path / "out/recogniser"), load_generator(tmp_path / "out/generator")
    assert recogniser.config.words == WORDS == tuple(sorted(WORDS)) and len(WORDS) == 35
    weights, decibels = published["model_state_dict"], 10 * torch.randn(3, 257, 126) - 20
    with torch.no_grad():
        torch.testing.assert_close(recogniser(decibels), forward(weights, decibels), rtol=1e-4, atol=1e-3)
        x = decibels[:, None]
        for n in range(1, 5):
            x = functional.conv2d(
                x if n == 1 else x.relu(), weights[f"gen.conv{n}.weight"], weights[f"gen.conv{n}.bias"], padding=2
            )
        torch.testing.assert_close(generator(decibels), x[:, 0])
    for line in (
        "dense layers: classifier.fc1.weight classifier.fc2.weight classifier.out.1.weight",
        "not used: classifier.spec_augment_transform.0.window optimizer_state_dict",
        "epoch: 81",
        "best_dev_loss: 0.25",
    ):
        assert line in caplog.text


def test_a_second_run_does_nothing(tmp_path, published):
    torch.save(published, tmp_path / "best.pt")
    convert(tmp_path / "best.pt", tmp_path / "out")
    before = {
        path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "out").rglob("*") if path.is_file()
    }
    convert(tmp_path / "best.pt", tmp_path / "out")
    assert before == {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in before}


class Malice:
    """Code in a pickle."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


def break_words(weights):
    weights["classifier.out.1.weight"], weights["classifier.out.1.bias"] = torch.ones(10, 257), torch.ones(10)


BROKEN = [
    (
        lambda c, w: w.pop("gen.conv3.bias"),
        (
            r"has no gen\.conv3\.bias in model_state_dict, where these are: gen\.conv1\.weight .*; give the authors'"
            r" checkpoint"
        ),
    ),
    (
        lambda c, w: w.pop("classifier.convs.4.pointwise.weight"),
        r"has no classifier\.convs\.4\.pointwise\.weight in model_state_dict, where these are: classifier\.fc1\.weight",
    ),
    (
        lambda c, w: w.update({"gen.conv1.weight": torch.ones(2, 1, 3, 3)}),
        r": gen\.conv1\.weight has the shape 2x1x3x3, not 2x1x5x5; give",
    ),
    (lambda c, w: break_words(w), r"has dense layers of 257x257, 257x257, 10x257, not 257x257, 257x257, 35x257; give"),
    (lambda c, w: w.pop("classifier.fc2.weight"), r"has dense layers of 257x257, 35x257, not"),
    (
        lambda c, w: w.update({"classifier.fc1.bias": torch.ones(1)}),
        r"classifier\.fc1\.bias has the shape 1, not 257; give",
    ),
    (lambda c, w: w.clear(), r"has no gen\.conv1\.weight in model_state_dict, where these are: none; give"),
    (lambda c, w: c.pop("model_state_dict"), r"has no dictionary model_state_dict; give"),
    (lambda c, w: c.update(model_state_dict=[1]), r"has no dictionary model_state_dict; give"),
]


@pytest.mark.parametrize("number", range(len(BROKEN)))
def test_another_checkpoint_is_one_sentence_and_leaves_what_was(tmp_path, published, number):
    torch.save(published, tmp_path / "good.pt")
    convert(tmp_path / "good.pt", tmp_path / "out")
    before = contents(tmp_path / "out")
    change, sentence = BROKEN[number]
    change(published, published["model_state_dict"])
    torch.save(published, tmp_path / "bad.pt")
    with pytest.raises(InputError, match=sentence) as refused:
        convert(tmp_path / "bad.pt", tmp_path / "out")
    assert str(refused.value).startswith(str(tmp_path / "bad.pt")) and "\n" not in str(refused.value)
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize("old", [False, True])
def test_code_in_a_checkpoint_is_not_run(tmp_path, published, old):
    target = tmp_path / "harm"
    published["model_state_dict"]["gen.extra"] = Malice(target)
    torch.save(published, tmp_path / "bad.pt", _use_new_zipfile_serialization=not old)
    with pytest.raises(InputError) as refused:
        convert(tmp_path / "bad.pt", tmp_path / "out")
    assert (
        str(refused.value)
        == f"{tmp_path}/bad.pt is no PyTorch checkpoint: it holds more than weights (posix.system), which could run any"
        " code and is not loaded; get the file from its authors again"
    )
    assert not target.exists() and not (tmp_path / "out").exists()
    # It would have run.
    torch.load(tmp_path / "bad.pt", weights_only=False)
    assert target.exists()


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"\x80\x02K\x01.", b"PK\x03\x04 and no more"])
def test_no_checkpoint_is_one_sentence(tmp_path, content):
    (tmp_path / "bad.pt").write_bytes(content)
    with pytest.raises(InputError) as refused:
        convert(tmp_path / "bad.pt", tmp_path / "out")
    told = str(refused.value)
    assert told.startswith(f"{tmp_path}/bad.pt is no PyTorch checkpoint") and "\n" not in told
    assert told.endswith("; get the file from its authors again")


def test_a_cut_download_and_a_folder_and_nothing(tmp_path, published):
    torch.save(published, tmp_path / "bad.pt")
    (tmp_path / "bad.pt").write_bytes((tmp_path / "bad.pt").read_bytes()[:100_000])
    for path in (tmp_path / "bad.pt", tmp_path):
        with pytest.raises(InputError, match="is no PyTorch checkpoint|cannot be read"):
            convert(path, tmp_path / "out")
    with pytest.raises(InputError, match="none.pt does not exist"):
        convert(tmp_path / "none.pt", tmp_path / "out")


def test_the_command_line(tmp_path, published, monkeypatch):
    torch.save(published, tmp_path / "best.pt")
    folders = {name: tmp_path / "exp" / name for name in ("recogniser", "generator")}
    options = [word for name, folder in folders.items() for word in (f"--{name}", str(folder))]
    monkeypatch.setattr("sys.argv", [RECIPE, "--checkpoint", str(tmp_path / "best.pt"), *options])
    shell.main(program(RECIPE).convert_published)
    assert all((folder / "model.safetensors").exists() for folder in folders.values())
