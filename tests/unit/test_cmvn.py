"""Mean and variance of features, against NumPy, kaldiio and ESPnet."""

from pathlib import Path

import kaldiio
import numpy as np
import pytest
import torch
from accent_helpers import noise, run_program, write_features

FEATURES = {f"s1-{n}": 15 + np.linspace(0.5, 4, 80) * noise(n, (20 * n, 80)) for n in range(1, 6)}


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_features(Path(), "train", FEATURES)
    return tmp_path


def compute(monkeypatch) -> None:
    run_program(monkeypatch, "compute_cmvn", features="dump/train/feats.scp", out="dump")


def everything() -> np.ndarray:
    return np.concatenate([matrix.astype(np.float32) for matrix in FEATURES.values()]).astype(np.float64)


def test_equal_to_numpy(recipe, monkeypatch):
    compute(monkeypatch)
    frames = everything()
    statistics = np.load("dump/cmvn.npz")
    assert set(statistics) == {"count", "sum", "sum_square"} and statistics["count"] == len(frames) == 300
    assert statistics["sum"].dtype == statistics["sum_square"].dtype == np.float64
    np.testing.assert_allclose(statistics["sum"], frames.sum(axis=0), rtol=1e-12)
    np.testing.assert_allclose(statistics["sum_square"], (frames**2).sum(axis=0), rtol=1e-12)


def test_kaldis_statistics(recipe, monkeypatch):
    compute(monkeypatch)
    frames = everything()
    assert Path("dump/cmvn.ark").read_bytes()[:5] == b"\0BDM "
    statistics = kaldiio.load_mat("dump/cmvn.ark")
    assert statistics.shape == (2, 81) and statistics[0, -1] == 300 and statistics[1, -1] == 0
    np.testing.assert_allclose(statistics[0, :-1] / 300, frames.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(statistics[1, :-1] / 300 - frames.mean(axis=0) ** 2, frames.var(axis=0), rtol=1e-9)


def test_espnet_normalises_with_them(recipe, monkeypatch):
    global_mvn = pytest.importorskip("espnet2.layers.global_mvn", reason="espnet is not installed")
    compute(monkeypatch)
    layer = global_mvn.GlobalMVN("dump/cmvn.npz")
    normalised, _ = layer(torch.from_numpy(everything()).float()[None].clone())
    np.testing.assert_allclose(normalised[0].mean(dim=0).numpy(), 0, atol=1e-4)
    np.testing.assert_allclose(normalised[0].var(dim=0, correction=0).numpy(), 1, atol=1e-4)


def test_what_is_done_stays_until_the_features_change(recipe, monkeypatch):
    compute(monkeypatch)
    before = Path("dump/cmvn.npz").stat().st_mtime_ns
    compute(monkeypatch)
    assert Path("dump/cmvn.npz").stat().st_mtime_ns == before
    write_features(Path(), "train", {key: 2 * matrix for key, matrix in FEATURES.items()})
    compute(monkeypatch)
    np.testing.assert_allclose(np.load("dump/cmvn.npz")["sum"], 2 * everything().sum(axis=0), rtol=1e-6)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({}, r"dump/train/feats\.scp names no features; run the step that writes it again"),
        (
            {"s1-a": noise(1, (5, 80)), "s1-b": noise(2, (5, 40))},
            r"dump/train/feats\.scp has 40 values a frame for s1-b, and 80 for those before it;"
            r" run the step that writes it again",
        ),
    ],
)
def test_bad_features(recipe, monkeypatch, features, message):
    write_features(Path(), "train", features)
    with pytest.raises(SystemExit, match=rf"^compute_cmvn\.py: {message}$"):
        compute(monkeypatch)
    assert not list(Path("dump").glob("*cmvn*"))


def test_no_features(recipe, monkeypatch):
    Path("dump/train/feats.scp").unlink()
    with pytest.raises(SystemExit, match=r"^compute_cmvn\.py: dump/train/feats\.scp does not exist"):
        compute(monkeypatch)
