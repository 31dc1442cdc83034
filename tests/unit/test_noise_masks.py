"""Models that write noise masks: found by name, fed from data directories or packed sets, read back by the mixer."""

import numpy as np
import pytest
import torch
from accent_helpers import run_program, write_set
from bubble_helpers import SMALL, estimator, speech

from salience.data.directories import read_data_dir
from salience.data.packed import open_signals, pack
from salience.data.tables import read_table, write_table
from salience.errors import InputError
from salience.features.archives import Archive, ArchiveWriter
from salience.features.keywords import BINS, FRAMES
from salience.masking.noise import snr_range
from salience.masking.noise_masks import NOISE_MASKS, open_noise_masks
from salience.models.mask_estimator import save_estimator
from salience.models.mask_generator import MaskGenerator, save_generator

SAMPLES = {"a-1": 4000, "b-1": 6400}


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """A set of two utterances, as a data directory and packed."""
    write_set(tmp_path, "test", {key: speech(n, samples) for n, (key, samples) in enumerate(SAMPLES.items())})
    monkeypatch.chdir(tmp_path)
    pack(tmp_path / "packed/test", read_data_dir(tmp_path / "data/test"), 16000, width=16000)
    (tmp_path / "packed/test/step.json").write_text("{}")
    return tmp_path


def test_signals_are_the_same_packed_or_not(recipe):
    one, other = (open_signals(recipe / name / "test", 16000) for name in ("data", "packed"))
    assert one.ids == other.ids == list(SAMPLES) and one.samples == other.samples == list(SAMPLES.values())
    for row in range(2):
        np.testing.assert_array_equal(one.read(row), other.read(row))
        assert other.read(row).dtype == np.float32 and 0.01 < np.abs(other.read(row)).max() <= 1


def test_a_generator_takes_clips_from_a_data_directory_too(recipe, monkeypatch):
    torch.manual_seed(1)
    save_generator(MaskGenerator(), recipe / "exp/generator")
    for data in ("data", "packed"):
        options = {"kind": "generator", "models": "exp/generator", "compress": "false", "check_space": "true"}
        run_program(monkeypatch, "estimate_noise_masks", data=data, sets="test", out=f"exp/{data}", **options)
    one, other = (Archive(recipe / f"exp/{data}/test/mask.scp") for data in ("data", "packed"))
    for key in SAMPLES:
        assert one[key].shape == (FRAMES, BINS)
        np.testing.assert_array_equal(one[key], other[key])
        share = (one[key] > 0.5).mean()
        assert [float(word) for word in read_table(recipe / "exp/data/test/noise_proportion")[key].split()] == (
            pytest.approx([share, share], abs=1e-6)
        )


def test_another_model_is_found_by_its_name(recipe, monkeypatch):
    save_estimator(estimator(), recipe / "exp/estimator")

    class Quarter(NOISE_MASKS["estimator"]):
        batch = 2

        def masks(self, ids, signals, length=0):
            return [np.full((self.frames(max(len(s), length)), SMALL.bins), 0.25) for s in signals]

    monkeypatch.setitem(NOISE_MASKS, "quarter", Quarter)
    run_program(
        monkeypatch,
        "estimate_noise_masks",
        kind="quarter",
        data="data",
        sets="test",
        models="exp/estimator",
        out="exp/q",
    )
    assert set(read_table(recipe / "exp/q/test/noise_proportion").values()) == {"0.000000 0.000000"}
    with pytest.raises(SystemExit, match="there is no model of noise masks 'half'; there are: estimator, generator"):
        run_program(
            monkeypatch,
            "estimate_noise_masks",
            kind="half",
            data="data",
            sets="test",
            models="exp/estimator",
            out="exp/h",
        )


def test_masks_come_with_their_proportions(tmp_path):
    assert open_noise_masks(None)("anything") == (None, "1 1")
    with ArchiveWriter(tmp_path / "mask") as writer:
        for key in ("a", "b"):
            writer.write(key, np.full((3, 2), 0.75))
    write_table(tmp_path / "noise_proportion", {"a": "1.000000 0.500000"})
    mask_of = open_noise_masks(tmp_path)
    mask, share = mask_of("a")
    assert (mask == 0.75).all() and share == "1.000000 0.500000"
    with pytest.raises(InputError, match="noise_proportion has no line for b"):
        mask_of("b")
    with pytest.raises(InputError, match="mask.scp has no entry for c"):
        mask_of("c")


@pytest.mark.parametrize(("text", "ends"), [("", []), ("5", [5.0]), ("20 0", [20.0, 0.0])])
def test_ranges_of_ratios(text, ends):
    assert snr_range(text) == ends
