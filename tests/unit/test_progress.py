"""Lines of the log once a minute, by a clock that the tests turn."""

import logging

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from salience import progress
from salience.progress import bar, bytes_bar, duration
from salience.training.settings import TrainingSettings
from salience.training.trainer import train


class Clock:
    """Seconds that pass only when they are made to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    found = Clock()
    monkeypatch.setattr(progress.time, "monotonic", found)
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: False, raising=False)
    return found


def test_a_loop_says_once_a_minute_where_it_is(clock, caplog):
    seen = []
    for item in bar(range(40), "maps of train"):
        clock.now += 25
        seen.append(item)
    assert seen == list(range(40))
    assert caplog.messages[:2] == ["maps of train: 3 of 40, 15 min left", "maps of train: 6 of 40, 14 min left"]
    assert len(caplog.messages) == 13 and caplog.messages[-1] == "maps of train: 39 of 40, 25 s left"


def test_what_is_quick_says_nothing_and_what_has_no_length_only_counts(clock, caplog):
    for _ in bar(iter("abcdef"), "quick"):
        clock.now += 9
    assert caplog.messages == []
    for _ in bar(iter("abcdef"), "slow"):
        clock.now += 61
    assert caplog.messages == [f"slow: {n}" for n in range(1, 6)]


def test_a_download_counts_megabytes_from_where_it_goes_on(clock, caplog):
    with bytes_bar("corpus.tar", 500_000_000, 100_000_000) as note:
        for now in (150, 200, 300):
            clock.now += 45
            note(now * 1_000_000)
    assert caplog.messages == ["corpus.tar: MB 200 of 500, 4 min left"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (99, "99 s"), (100, "2 min"), (5940, "99 min"), (11100, "3 h 5 min")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


class Numbers(Dataset):
    """Ten numbers."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, where: tuple[int, int]) -> np.ndarray:
        return np.full(1, where[1], np.float32)


class Slow(nn.Module):
    """A network whose loss is 2.5, after half a minute."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock, self.weight = clock, nn.Parameter(torch.zeros(1))

    def forward(self, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        self.clock.now += 30
        return {"loss": (self.weight * batch).sum() * 0 + 2.5}


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_training_says_once_a_minute_where_it_is(clock, caplog, tmp_path, accumulate):
    """Update of how many, loss, rate and time left, also within an epoch that takes five minutes."""
    settings = TrainingSettings(epochs=1, batch_size=1, accumulate=accumulate, warmup=0, schedule="constant")
    collate = lambda items: {"batch": torch.from_numpy(np.stack(items))}  # noqa: E731
    train(Slow(clock), Numbers(), [1] * 10, collate, lambda _: {"dev_x": 1.0}, None, True, tmp_path, settings, 1)
    lines = [text for text in caplog.messages if "left" in text]
    updates = 10 // accumulate
    steps = range(2, 11, 2) if accumulate == 1 else range(1, 6)
    for line, step in zip(lines, steps, strict=True):
        left = duration((updates - step) * 30 * accumulate)
        assert line == f"update {step} of {updates}, {left} left: loss 2.5, learning_rate 1e-05"
