"""Maps from their own resolution to the features', and the control that borrows another utterance's."""

import numpy as np
import pytest
import torch
from accent_helpers import classifier, noise, run_program, write_features, write_set
from hypothesis import given, settings
from hypothesis import strategies as st

from salience.data.tables import read_table
from salience.errors import InputError
from salience.features.archives import Archive, ArchiveWriter
from salience.features.logmel import floor_of, pad_frames
from salience.files import read_json, write_json
from salience.models.accent_classifier import save_classifier
from salience.saliency.accents import ExplainedAccents
from salience.saliency.base import SaliencyMap, columns_for, read_maps
from salience.saliency.controls import OtherUtterances
from salience.saliency.explained import Batch, maps_of


def unit_map(native: np.ndarray, frames: int, bins: int) -> np.ndarray:
    return SaliencyMap(native[: columns_for(frames, 8)], 8, 8).unit(frames, bins)


def enlarged(native: np.ndarray, frames: int, bins: int) -> np.ndarray:
    """Bilinear interpolation between the middles of the points, by numpy alone."""
    where = lambda count, points: (np.arange(count) + 0.5) * points / count - 0.5  # noqa: E731
    columns, rows = native.shape
    in_time = np.stack([np.interp(where(8 * columns, columns), np.arange(columns), row) for row in native.T])
    return np.stack([np.interp(where(bins, rows), np.arange(rows), frame) for frame in in_time.T])[:frames]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 200), st.integers(0, 10_000), st.floats(-2, 2))
def test_c_of_equation_1(frames, seed, shift):
    native = noise(seed, (columns_for(frames, 8), 10)) + np.float32(shift)
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
    kept = columns_for(frames, 8)
    plain = enlarged(native, frames, 80)
    plain = (plain - plain.min()) / np.ptp(plain)
    np.testing.assert_allclose(SaliencyMap(native[:kept], 8, 8).unit(frames, 80), plain, atol=1e-5)
    if frames % 8 == 0 or frames % 8 > 4:
        assert np.abs(SaliencyMap(native[: kept - 1], 8, 8).unit(frames, 80) - plain).max() > 1e-3


@pytest.mark.parametrize(("columns", "rows", "each"), [(4, 10, 8), (12, 10, 8), (6, 9, 8), (6, 10, 16), (90, 80, 2)])
def test_a_map_that_does_not_fit_its_utterance_is_an_error(columns, rows, each):
    with pytest.raises(InputError, match=f"a map of {columns} x {rows} points .* does not fit 40 frames of 80 bins"):
        SaliencyMap(np.ones((columns, rows)), each, each, method="gradcam").unit(40, 80)


@pytest.mark.parametrize(
    ("frames", "bins", "wide", "high"), [(40, 80, 1, 1), (50, 80, 16, 16), (33, 80, 5, 80), (7, 128, 4, 12)]
)
def test_a_map_of_any_resolution_is_enlarged(frames, bins, wide, high):
    native = np.abs(noise(1, (-(-frames // wide), -(-bins // high))))
    scaled = SaliencyMap(native, wide, high).unit(frames, bins)
    assert scaled.shape == (frames, bins) and scaled.min() == 0 and scaled.max() == 1
    # The middle of each column and row is its own value.
    grid = scaled[wide // 2 :: wide, high // 2 :: high]
    same = native[: len(grid), : grid.shape[1]]
    assert np.corrcoef(grid.ravel(), same.ravel())[0, 1] > 0.9


def test_scaling_is_over_the_real_frames():
    """A peak in the padding must not dwarf what lies in the speech."""
    native = np.abs(noise(1, (40, 10)))
    loud = native.copy()
    loud[columns_for(80, 8) :] = 1000
    assert unit_map(loud, 80, 80).max() == 1
    np.testing.assert_array_equal(unit_map(loud, 80, 80), unit_map(native, 80, 80))


@pytest.mark.parametrize("value", [0.0, -3.0])
def test_a_map_without_a_positive_value_is_zero(value):
    assert (unit_map(np.full((5, 10), value), 30, 80) == 0).all()


def test_a_borrowed_map_is_stretched():
    ramp = np.linspace(0, 1, 10, dtype=np.float32)[:, None] * np.ones((1, 10), dtype=np.float32)
    for columns in (3, 10, 25):
        stretched = SaliencyMap(ramp, 8, 8).stretched(8 * (columns - 1))
        assert stretched.shape == (columns, 10)
        plain = np.interp((np.arange(columns) + 0.5) * 10 / columns - 0.5, np.arange(10), ramp[:, 0])
        np.testing.assert_allclose(stretched, np.tile(plain[:, None], 10), atol=1e-6)
    np.testing.assert_array_equal(SaliencyMap(ramp, 8, 8).stretched(72), ramp)


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
        model="exp",
        out="maps",
        methods="gradcam gradcam++ random",
        target=target,
        compress=False,
        batch_size=3,
    )
    model, explained = classifier(), ExplainedAccents(classifier())
    accents = read_table(recipe / "data/train/utt2accent")
    features = Archive(recipe / "dump/train/feats.scp")
    for key, frames in LENGTHS.items():
        alone = torch.from_numpy(pad_frames(features[key], 304, floor_of(features[key])))[None]
        classes = torch.tensor([model.settings.classes.index(accents[key])])
        classes = classes if target == "true" else explained.predicted(alone, [frames])
        batch = Batch([key], alone, [frames], classes)
        for method, found in maps_of(explained, batch, ["gradcam", "gradcam++"]).items():
            archived = read_maps(recipe / f"maps/{method}/train")[key]
            assert (archived.frames_per_column, archived.signed, archived.method) == (8, True, method)
            np.testing.assert_allclose(archived.values, found[0].values, atol=1e-5 * np.abs(found[0].values).max())
        random = read_maps(recipe / "maps/random/train")[key]
        assert random.values.shape == archived.values.shape and not random.signed
        assert 0 <= random.values.min() < 0.2 and 0.8 < random.values.max() <= 1
    about = read_json(recipe / "maps/gradcam/train/saliency.json")
    assert about["target"] == target and about["classes"] == ["a", "b", "c"] and about["of"] == "convolutions.3"


def test_eight_bits_hardly_change_a_map(recipe, monkeypatch):
    for out, compress in (("fine", False), ("coarse", True)):
        run_program(
            monkeypatch,
            "map_saliency",
            data="data",
            features="dump",
            sets="train",
            model="exp",
            out=out,
            methods="gradcam gradcam++ random",
            compress=compress,
        )
    for kind in ("gradcam", "gradcam++", "random"):
        fine, coarse = (Archive(recipe / f"{out}/{kind}/train/saliency.scp") for out in ("fine", "coarse"))
        for key in LENGTHS:
            assert np.abs(fine[key] - coarse[key]).max() <= np.ptp(fine[key]) / 255 * 0.51


def test_bf16_changes_a_map_little(recipe, monkeypatch):
    """The maps of either precision are alike, and steps of their own."""
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    common = {"data": "data", "features": "dump", "sets": "train", "model": "exp"}
    methods = ("gradcam", "integrated-gradients", "gradient-input")
    for precision in ("float32", "bf16"):
        run_program(
            monkeypatch, "map_saliency", out=precision, methods=" ".join(methods), precision=precision, **common
        )
        step = read_json(recipe / precision / "gradcam/train/saliency.step.json")
        assert step["config"].get("precision", "float32") == precision
    for method in methods:
        full, lower = (
            Archive(recipe / f"{precision}/{method}/train/saliency.scp") for precision in ("float32", "bf16")
        )
        assert any(not np.array_equal(full[key], lower[key]) for key in LENGTHS)
        for key in LENGTHS:
            assert np.corrcoef(full[key].ravel(), lower[key].ravel())[0, 1] > 0.9


def test_the_random_control_depends_on_nothing_but_seed_and_utterance(recipe, monkeypatch):
    for out, batch, seed in (("one", 1, 1), ("two", 4, 1), ("three", 4, 2)):
        run_program(
            monkeypatch,
            "map_saliency",
            data="data",
            features="dump",
            sets="train",
            model="exp",
            out=out,
            methods="random",
            batch_size=batch,
            seed=seed,
        )
    one, two, three = (Archive(recipe / f"{out}/random/train/saliency.scp") for out in ("one", "two", "three"))
    for key in LENGTHS:
        np.testing.assert_array_equal(one[key], two[key])
        assert not np.array_equal(one[key], three[key])


def test_methods_are_steps_of_their_own(recipe, monkeypatch, caplog):
    """A method that is added is computed; the others stay as they are."""
    common = {"data": "data", "features": "dump", "sets": "train", "model": "exp", "out": "maps"}
    run_program(monkeypatch, "map_saliency", methods="gradcam", **common)
    with caplog.at_level("INFO"):
        run_program(monkeypatch, "map_saliency", methods="gradcam random", **common)
    assert "up to date, skipped: maps/gradcam/train" in caplog.text
    assert caplog.text.rstrip().endswith("wrote maps of 5 utterances to maps/*/train: random")
    with pytest.raises(SystemExit, match="there is no saliency method 'gradcam--'; there are: gradcam, gradcam"):
        run_program(monkeypatch, "map_saliency", methods="gradcam--", **common)


def test_the_accent_cnn_has_classes_only(recipe, monkeypatch):
    for options in ({"target": "greedy"}, {"per_character": True}):
        with pytest.raises(SystemExit, match="exp holds a classifier, which has no symbols; give --target predicted"):
            run_program(
                monkeypatch,
                "map_saliency",
                data="data",
                features="dump",
                sets="train",
                model="exp",
                out="maps",
                **options,
            )


def test_everyone_gets_another_ones_map():
    own = {key: SaliencyMap(noise(n, (columns_for(n, 8), 10)), 8, 8) for key, n in LENGTHS.items()}
    others = OtherUtterances(own, LENGTHS)
    # The next in length: 8, 33, 33, 170, 300, and around.
    assert others.partners == {"c-1": "a-1", "a-1": "d-1", "d-1": "b-1", "b-1": "a-2", "a-2": "c-1"}
    for key, frames in LENGTHS.items():
        np.testing.assert_array_equal(others[key].values, own[others.partners[key]].stretched(frames))


@pytest.mark.parametrize("about", [[], {}, {"frames_per_column": 8}, {"frames_per_column": "8", "bins_per_row": 8}])
def test_a_resolution_that_is_not_stated_is_not_guessed(tmp_path, about):
    with ArchiveWriter(tmp_path / "saliency") as writer:
        writer.write("a", np.ones((5, 10)))
    with pytest.raises(InputError, match=r"saliency\.json does not exist"):
        read_maps(tmp_path)
    write_json(tmp_path / "saliency.json", about)
    with pytest.raises(InputError, match=r"saliency\.json does not state frames_per_column and bins_per_row; run"):
        read_maps(tmp_path)
