"""The short form of the scale run: what it does, and that memory grows by no more than a share of a gigabyte."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import scale

UTTERANCES = 20_000
MOST_MB = {"validate": 150, "split into 32": 150, "merge 32 parts": 250, "score (WER, CER)": 900}
"""A fiftieth of a million utterances, and what Python and its libraries take by themselves."""


def test_twenty_thousand_utterances(tmp_path):
    rows = list(scale.run(tmp_path, UTTERANCES, seed=1))
    assert [row.step for row in rows] == list(MOST_MB)
    for row in rows:
        assert row.peak_mb < MOST_MB[row.step], row
        assert row.processor_seconds < 60, row
