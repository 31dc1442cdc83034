"""Figures are drawn, marked synthetic, and the same each time."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from salience.report import figures


def draw(folder: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    logmel = rng.random((120, 80)).astype(np.float32)
    saliency = rng.random((120, 80))
    paths = [folder / f"{name}.png" for name in ("confusion", "triptych", "curves", "bars")]
    figures.confusion_matrix(["Dutch", "Italian"], [[3, 1], [0, 4]], paths[0], "Test", synthetic=True)
    figures.triptych(logmel, saliency, np.where(saliency > 0.7, 0, logmel), paths[1], "utterance", synthetic=True)
    figures.training_curves({"plain/seed1": [(1, 5.0), (2, 3.0)], "plain/seed2": [(1, 6.0)]}, paths[2], "dev WER (%)")
    figures.rate_bars(
        ["ls", "cma"], {"plain": {"ls": (7.0, 6.0, 8.5)}, "gradcam": {"cma": (30.0, 28.0, 31.0)}}, paths[3]
    )
    return paths


def test_pictures_are_whole_and_repeatable(tmp_path: Path):
    first, second = draw(tmp_path / "a"), draw(tmp_path / "b")
    for one, other in zip(first, second):
        with Image.open(one) as picture:
            assert min(picture.size) > 300
            assert np.asarray(picture.convert("L")).std() > 5
        assert one.read_bytes() == other.read_bytes()
    assert not list(tmp_path.rglob("*.tmp"))


def test_the_synthetic_are_marked_in_the_title(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    titles = []
    monkeypatch.setattr(figures, "titled", lambda title, synthetic: titles.append(synthetic) or title)
    draw(tmp_path)
    assert titles == [True, True, False, False]
    monkeypatch.undo()
    assert "synthetic" in figures.titled("Dutch", True) and "synthetic" not in figures.titled("Dutch", False)


def test_hertz_ticks_follow_whispers_filters():
    # The peak of filter b in openai-whisper's own filter bank lies where the axis has its frequency.
    whisper_audio = pytest.importorskip("whisper.audio")
    filters = whisper_audio.mel_filters("cpu", 80).numpy()
    peaks = filters.argmax(axis=1) * 16000 / 400
    for b in (20, 40, 60, 75):
        place = figures._slaney_mel(peaks[b]) / figures._slaney_mel(8000) * 81 - 0.5
        assert place == pytest.approx(b + 0.5, abs=0.5)
