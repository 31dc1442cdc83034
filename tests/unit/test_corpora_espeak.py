"""Synthetic speech: the same bytes in any order, speech that is heard, voices that differ."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from salience.corpora import digits
from salience.corpora.synthetic import espeak, voices
from salience.corpora.synthetic.espeak import Voice, speak
from salience.errors import InputError

pytest.importorskip("espeakng_loader")

JOBS = [
    ("one two three", Voice("en-us+m3")),
    ("nine four seven", Voice("it+f2", pitch=60, rate=150)),
    ("زِيرُو وَان تُو", Voice("ar")),
    ("one two three", Voice("en-us+f3")),
    ("eight", Voice("en-gb-scotland+m1")),
]


def test_bytes_do_not_depend_on_order_or_workers() -> None:
    forward = list(speak(JOBS, workers=1))
    backward = list(speak(JOBS[::-1], workers=2))[::-1]
    alone = [next(speak([job])) for job in JOBS]
    for one, other, third in zip(forward, backward, alone, strict=True):
        assert one.dtype == np.float32
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, third)


def test_it_is_audible_and_as_long_as_speech() -> None:
    for (text, _), samples in zip(JOBS, speak(JOBS, sample_rate=16000), strict=True):
        assert 0.2 * len(text.split()) < len(samples) / 16000 < 0.9 * len(text.split()) + 0.5
        assert -35 < 20 * np.log10(np.sqrt(np.mean(samples**2))) < -6
        assert np.abs(samples).max() <= 1.05


def test_rate_is_the_one_asked_for() -> None:
    low, high = next(speak(JOBS[:1], 8000)), next(speak(JOBS[:1], 32000))
    assert abs(4 * len(low) - len(high)) <= 4


def test_every_accent_has_a_voice_of_its_own_sound() -> None:
    accents = {**voices.EDACC_SEEN, **voices.EDACC_UNSEEN, "Standard": voices.STANDARD[0]}
    # The fixed variant leaves the accent as the only difference.
    spoken = list(speak([(a.spell("one three four five nine"), Voice(f"{a.name}+m3")) for a in accents.values()]))
    names = list(accents)
    for i, one in enumerate(spoken):
        for j in range(i):
            other = spoken[j]
            size = min(len(one), len(other))
            difference = np.abs(np.abs(np.fft.rfft(one[:size])) - np.abs(np.fft.rfft(other[:size]))).sum()
            assert difference > 0.1 * np.abs(np.fft.rfft(one[:size])).sum(), (names[i], names[j])


def test_voices_of_all_tables_exist() -> None:
    groups = (voices.EDACC_SEEN, voices.EDACC_UNSEEN, voices.COMMON_ACCENT, voices.FSDD_ACCENTS)
    accents = [*voices.STANDARD, *(accent for group in groups for accent in group.values())]
    jobs = [(accent.spell("one"), Voice(f"{accent.name}+m1")) for accent in accents]
    jobs += [("one", Voice(f"en-us+{name}")) for name in {**voices.MINI_VARIANTS, **voices.PRETRAINING_VARIANTS}]
    assert all(len(samples) for samples in speak(jobs))


@pytest.mark.parametrize("name", ["nosuch", "en-us+nosuch"])
def test_unknown_voice_is_an_error_not_another_voice(name: str) -> None:
    with pytest.raises(InputError, match=f"no voice {name}".replace("+", r"\+")):
        list(speak([("one", Voice(name))]))


def test_a_reader_that_stops_is_no_error_of_the_speech() -> None:
    """It has said itself why it stopped: on a full disk there is one sentence, and this is not in it."""
    worker = Path(espeak.__file__).with_name("espeak_worker.py")
    line = json.dumps(["one two three four five six seven eight nine", "en-us", 50, 50, 80]).encode() + b"\n"
    process = subprocess.Popen(
        [sys.executable, worker], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin and process.stdout and process.stderr
    process.stdin.write(line)
    process.stdin.close()
    process.stdout.read(8)
    process.stdout.close()
    assert b"BrokenPipe" not in process.stderr.read()
    process.wait()


def test_casts_do_not_share_variants() -> None:
    assert not set(voices.MINI_VARIANTS) & set(voices.PRETRAINING_VARIANTS)
    cast = voices.cast(voices.STANDARD, 20, 0, "mini")
    assert len({speaker.voice.name.partition("+")[2] for speaker in cast}) == 20
    assert cast == voices.cast(voices.STANDARD, 20, 0, "mini") != voices.cast(voices.STANDARD, 20, 1, "mini")


def test_recordings_differ_in_level_and_noise_by_name_alone() -> None:
    samples = next(speak(JOBS[:1]))
    one, again, other = (voices.as_audio(samples, 0, name) for name in ("a", "a", "b"))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    silence = voices.as_audio(np.zeros(16000, dtype=np.float32), 0, "a") / 32768
    assert -65 < 20 * np.log10(np.sqrt(np.mean(silence**2))) < -50


def test_digit_strings_of_two_kinds_share_none() -> None:
    train, test = (digits.digit_strings(kind, 0, "x") for kind in (digits.TRAIN, digits.TEST))
    first, second = [next(train) for _ in range(300)], [next(test) for _ in range(300)]
    assert not set(first) & set(second) and len(set(first)) == 300
    assert {len(text.split()) for text in first} == {3, 4, 5, 6}
