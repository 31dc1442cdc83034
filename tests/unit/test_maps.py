"""Maps from their own resolution to the features', and the control that borrows another utterance's."""

import numpy as np
import pytest
import torch
from accent_helpers import classifier, noise, run_program, write_features, write_set
from hypothesis import given, settings
from hypothesis import strategies as st

from salience.data.tables import read_table, write_table
from salience.features.archives import Archive, ArchiveWriter
from salience.features.logmel import floor_of, pad_frames
from salience.files import read_json, write_json
from salience.models.accent_cnn import save_classifier
from salience.saliency.gradcam import cam_maps
from salience.saliency.maps import columns_for, stretch_map, unit_map


def enlarged(native: np.ndarray, frames: int, bins: int) -> np.ndarray:
    """Bilinear interpolation between the middles of the points, by numpy alone."""
    where = lambda count, points: (np.arange(count) + 0.5) * points / count - 0.5  # noqa: E731
    columns, rows = native.shape
    in_time = np.stack([np.interp(where(8 * columns, columns), np.arange(columns), row) for row in native.T])
    return np.stack([np.interp(where(bins, rows), np.arange(rows), frame) for frame in in_time.T])[:frames]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 200), st.integers(0, 10_000), st.floats(-2, 2))
def test_c_of_equation_1(frames, seed, shift):
    native = noise(seed, (columns_for(frames), 10)) + np.float32(shift)
    plain = enlarged(np.maximum(native, 0), frames, 80)
    scaled = unit_map(native, frames, 80)
    assert scaled.shape == (frames, 80) and scaled.dtype == np.float32
    if np.ptp(plain) < 1e-6:
        assert (scaled == 0).all()
    else:
        np.testing.assert_allclose(scaled, (plain - plain.min()) / np.ptp(plain), atol=2e-5)
        assert scaled.min() == 0 and scaled.max() == 1


@pytest.mark.parametrize("frames", [1, 3, 4, 8, 9, 12, 13, 16, 100, 299])
def test_the_columns_kept_are_enough_and_none_too_many(frames):
    """What stage 4 cuts away is what no real frame needs."""
    native = np.abs(noise(frames, (60, 10)))
    kept = columns_for(frames)
    np.testing.assert_allclose(unit_map(native[:kept], frames, 80), unit_map(native, frames, 80), atol=1e-6)
    if frames % 8 == 0 or frames % 8 > 4:
        assert np.abs(unit_map(native[: kept - 1], frames, 80) - unit_map(native, frames, 80)).max() > 1e-3


def test_scaling_is_over_the_real_frames():
    """A peak in the padding must not dwarf what lies in the speech."""
    native = np.abs(noise(1, (40, 10)))
    loud = native.copy()
    loud[columns_for(80) :] = 1000
    assert unit_map(loud, 80, 80).max() == 1
    np.testing.assert_array_equal(unit_map(loud, 80, 80), unit_map(native, 80, 80))


@pytest.mark.parametrize("value", [0.0, -3.0])
def test_a_map_without_a_positive_value_is_zero(value):
    assert (unit_map(np.full((5, 10), value), 30, 80) == 0).all()


def test_a_borrowed_map_is_stretched():
    ramp = np.linspace(0, 1, 10, dtype=np.float32)[:, None] * np.ones((1, 10), dtype=np.float32)
    for columns in (3, 10, 25):
        stretched = stretch_map(ramp, columns)
        assert stretched.shape == (columns, 10)
        plain = np.interp((np.arange(columns) + 0.5) * 10 / columns - 0.5, np.arange(10), ramp[:, 0])
        np.testing.assert_allclose(stretched, np.tile(plain[:, None], 10), atol=1e-6)
    np.testing.assert_array_equal(stretch_map(ramp, 10), ramp)


LENGTHS = {"b-1": 170, "a-1": 33, "a-2": 300, "c-1": 8, "d-1": 33}


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """A set of five utterances with features and a classifier."""
    monkeypatch.chdir(tmp_path)
    write_set(tmp_path, "train", {key: noise(n, n * 160) / 9 for key, n in LENGTHS.items()}, accents=("a", "b", "c"))
    write_features(tmp_path, "train", {key: noise(n, (n, 80)) for key, n in LENGTHS.items()})
    save_classifier(classifier(), tmp_path / "exp")
    return tmp_path


@pytest.mark.parametrize("target", ["predicted", "true"])
def test_stage_4_writes_each_utterances_own_map(recipe, monkeypatch, target):
    """Batched in order of length, cut and archived, equal to the map of the utterance alone."""
    run_program(
        monkeypatch,
        "map_saliency",
        data="data",
        features="dump",
        sets="train",
        classifier="exp",
        out="maps",
        target=target,
        compress=False,
        batch_size=3,
    )
    model = classifier()
    accents = read_table(recipe / "data/train/utt2accent")
    features = Archive(recipe / "dump/train/feats.scp")
    for key, frames in LENGTHS.items():
        whole = torch.from_numpy(pad_frames(features[key], 304, floor_of(features[key])))[None]
        with torch.no_grad():
            maps = model.feature_maps(whole)
        classes = torch.tensor([model.settings.classes.index(accents[key])]) if target == "true" else None
        for kind, alone in zip(("gradcam", "gradcam++"), cam_maps(maps, model.head, classes), strict=False):
            archived = Archive(recipe / f"maps/{kind}/train/saliency.1.scp")[key]
            plain = alone[0].T.numpy()[: min(columns_for(frames), 38)]
            np.testing.assert_allclose(archived, plain, atol=1e-5 * np.abs(plain).max())
        random = Archive(recipe / "maps/random/train/saliency.1.scp")[key]
        assert random.shape == archived.shape and 0 <= random.min() < 0.2 and 0.8 < random.max() <= 1
    about = read_json(recipe / "maps/gradcam/train/saliency.json")
    assert about["class"] == target and about["classes"] == ["a", "b", "c"] and about["signed"] is True


def test_eight_bits_hardly_change_a_map(recipe, monkeypatch):
    for out, compress in (("fine", False), ("coarse", True)):
        run_program(
            monkeypatch,
            "map_saliency",
            data="data",
            features="dump",
            sets="train",
            classifier="exp",
            out=out,
            compress=compress,
        )
    for kind in ("gradcam", "gradcam++", "random"):
        fine, coarse = (Archive(recipe / f"{out}/{kind}/train/saliency.1.scp") for out in ("fine", "coarse"))
        for key in LENGTHS:
            assert np.abs(fine[key] - coarse[key]).max() <= np.ptp(fine[key]) / 255 * 0.51


def test_the_random_control_depends_on_nothing_but_seed_and_utterance(recipe, monkeypatch):
    for out, batch, seed in (("one", 1, 1), ("two", 4, 1), ("three", 4, 2)):
        run_program(
            monkeypatch,
            "map_saliency",
            data="data",
            features="dump",
            sets="train",
            classifier="exp",
            out=out,
            batch_size=batch,
            seed=seed,
        )
    one, two, three = (Archive(recipe / f"{out}/random/train/saliency.1.scp") for out in ("one", "two", "three"))
    for key in LENGTHS:
        np.testing.assert_array_equal(one[key], two[key])
        assert not np.array_equal(one[key], three[key])


def test_everyone_gets_another_ones_map(tmp_path, monkeypatch):
    with ArchiveWriter(tmp_path / "maps/gradcam/train/saliency") as writer:
        for key, frames in LENGTHS.items():
            writer.write(key, noise(frames, (columns_for(frames), 10)))
    write_json(tmp_path / "maps/gradcam/train/saliency.json", {"method": "gradcam"})
    write_table(tmp_path / "dump/train/utt2num_frames", {key: str(n) for key, n in LENGTHS.items()})
    run_program(monkeypatch, "pair_maps", maps=tmp_path / "maps", features=tmp_path / "dump", sets="train")
    own, other = (read_table(tmp_path / f"maps/{kind}/train/saliency.scp") for kind in ("gradcam", "other"))
    assert own.keys() == other.keys() and sorted(own.values()) == sorted(other.values())
    assert all(own[key] != other[key] for key in own)
    # The next in length: 8, 33, 33, 170, 300, and around.
    assert [other[key] for key in ("c-1", "a-1", "d-1", "b-1", "a-2")] == [
        own[key] for key in ("a-1", "d-1", "b-1", "a-2", "c-1")
    ]
    assert read_json(tmp_path / "maps/other/train/saliency.json")["method"] == "other"
