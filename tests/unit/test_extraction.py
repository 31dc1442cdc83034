"""Batches of utterances for feature extraction; their features are tested with the program."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from salience.data.records import Utterance
from salience.features.extraction import batches


@given(st.lists(st.floats(0.1, 30), max_size=30), st.floats(1, 60))
def test_batches_hold_everything_once_and_little_padding(lengths: list[float], seconds: float) -> None:
    utterances = [Utterance(f"a-{n}", "a", Path("a.wav"), "", length, f"a-{n}") for n, length in enumerate(lengths)]
    found = list(batches(utterances, seconds))
    assert sorted(u.id for batch in found for u in batch) == sorted(u.id for u in utterances)
    for batch in found:
        assert len(batch) == 1 or len(batch) * max(u.duration for u in batch) <= seconds
