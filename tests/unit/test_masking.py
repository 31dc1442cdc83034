"""Equations 1 to 3 as their prose has them, controls of equal area, and draws that depend on names only."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from accent_helpers import noise, run_program, write_features, write_set
from corpora_helpers import TOP
from hypothesis import given, settings
from hypothesis import strategies as st

from salience.data.packed import pack
from salience.data.tables import read_table
from salience.errors import InputError
from salience.features.archives import Archive, ArchiveWriter
from salience.features.logmel import SILENCE, floor_of
from salience.files import write_json
from salience.masking.apply import Masker, apply_mask, open_maps, set_sizes
from salience.masking.policies import POLICIES, ProbabilisticPolicy, SpecAugmentPolicy, highest_masked
from salience.masking.systems import System, asked_systems, read_systems
from salience.randomness import generator
from salience.saliency.base import METHODS, SaliencyMap, columns_for

SYSTEMS_FILE = TOP / "egs/fsdd/conf/systems.yaml"
SYSTEMS = read_systems(SYSTEMS_FILE)
MASKED = [name for name, system in SYSTEMS.items() if system.masked]
REDRAWN = [name for name in MASKED if SYSTEMS[name].kind != "top-share"]

BANDS = {"never": 0.2, "low": 0.4, "middle": 0.6, "high": 0.8}
"""A value of C within each band."""


def masked_rates(policy: ProbabilisticPolicy, value: float, utterances: int = 300) -> np.ndarray:
    """Share of masked points of each of many utterances whose C is `value` everywhere."""
    saliency = np.full((50, 80), value, dtype=np.float32)
    return np.array([1 - policy.keep(saliency, generator(1, number, "policy")).mean() for number in range(utterances)])


@pytest.mark.parametrize("per_point", [False, True])
def test_below_the_threshold_nothing_above_the_last_everything(per_point):
    policy = ProbabilisticPolicy(per_point=per_point)
    assert (masked_rates(policy, BANDS["never"]) == 0).all()
    assert (masked_rates(policy, BANDS["high"]) == 1).all()


@pytest.mark.parametrize(("band", "least", "most"), [("middle", 0.7, 0.9), ("low", 0.0, 0.05)])
def test_rates_of_the_bands_are_drawn_once_an_utterance(band, least, most):
    """4,000 points: the rate of an utterance is seen to 0.02 (three deviations), and spans the interval evenly."""
    rates = masked_rates(ProbabilisticPolicy(), BANDS[band])
    assert least - 0.02 < rates.min() and rates.max() < most + 0.02
    assert rates.mean() == pytest.approx((least + most) / 2, abs=0.2 * (most - least))
    # A uniform draw has a deviation of 0.289 of its interval.
    assert rates.std() == pytest.approx((most - least) * 0.289, rel=0.15)
    assert np.histogram(rates, bins=4, range=(least, most))[0].min() > 45


@pytest.mark.parametrize(("band", "rate"), [("middle", 0.8), ("low", 0.025)])
def test_per_point_the_rates_do_not_vary(band, rate):
    """Then every point is Bernoulli with the interval's mean, and utterances differ by that alone."""
    rates = masked_rates(ProbabilisticPolicy(per_point=True), BANDS[band])
    bernoulli = np.sqrt(rate * (1 - rate) / 4000)
    assert rates.mean() == pytest.approx(rate, abs=4 * bernoulli / np.sqrt(300))
    assert rates.std() == pytest.approx(bernoulli, rel=0.15)


def test_points_of_a_band_are_masked_independently():
    saliency = np.full((200, 80), BANDS["middle"])
    masked = ~ProbabilisticPolicy(middle_rate=(0.8, 0.8)).keep(saliency, generator(2))
    for one, two in ((masked[1:], masked[:-1]), (masked[:, 1:], masked[:, :-1])):
        assert abs(np.corrcoef(one.ravel(), two.ravel())[0, 1]) < 0.04


def test_borders_belong_to_the_band_below():
    policy = ProbabilisticPolicy(low=0.25, middle=0.5, high=0.75, middle_rate=(0.5, 0.5), low_rate=(0.1, 0.1))
    shares = [1 - policy.keep(np.full((100, 80), border), generator(3)).mean() for border in (0.25, 0.5, 0.75)]
    assert shares[0] == 0
    assert shares[1] == pytest.approx(0.1, abs=0.02)
    assert shares[2] == pytest.approx(0.5, abs=0.03)
    above = [1 - policy.keep(np.full((100, 80), border + 1e-6), generator(3)).mean() for border in (0.25, 0.5, 0.75)]
    assert above[0] == pytest.approx(0.1, abs=0.02) and above[1] == pytest.approx(0.5, abs=0.03) and above[2] == 1


def test_the_equation_as_printed_contradicts_the_prose():
    """R > U(...) masks the highest scores never and the low band nearly always."""
    printed = ProbabilisticPolicy(literal=True)
    assert (masked_rates(printed, BANDS["never"]) == 0).all()
    assert (masked_rates(printed, BANDS["high"]) == 0).all()
    middle, low = masked_rates(printed, BANDS["middle"]), masked_rates(printed, BANDS["low"])
    assert middle.min() > 0.08 and middle.max() < 0.32 and middle.mean() == pytest.approx(0.2, abs=0.02)
    assert low.min() > 0.93 and low.mean() == pytest.approx(0.975, abs=0.01)
    prose = ProbabilisticPolicy()
    assert (
        masked_rates(prose, BANDS["high"]).mean()
        > masked_rates(prose, BANDS["middle"]).mean()
        > masked_rates(prose, BANDS["low"]).mean()
    )


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 90), st.integers(0, 10_000), st.data())
def test_equal_area_is_exact_and_takes_the_highest(frames, bins, seed, data):
    control = noise(seed, (frames, bins))
    points = data.draw(st.integers(0, control.size))
    keep = highest_masked(control, points)
    assert keep.shape == control.shape and (~keep).sum() == points
    if 0 < points < control.size:
        assert control[~keep].min() >= control[keep].max()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_top_share_masks_the_highest_points(share):
    policy = POLICIES["top-share"](share)
    unit_map = np.abs(noise(1, (50, 80))) / 9
    hidden = ~policy.keep(unit_map, generator(1))
    assert hidden.sum() == share * 4000
    if 0 < share < 1:
        assert unit_map[hidden].min() >= unit_map[~hidden].max()
    # Nothing is masked where the map says nothing.
    unit_map[:, 8:] = 0
    assert (~policy.keep(unit_map, generator(1))).sum() == min(share * 4000, 400)
    assert policy.keep(np.zeros((50, 80)), generator(1)).all()


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 3000), st.sampled_from([40, 80]), st.integers(0, 10_000), st.integers(0, 3), st.integers(0, 3))
def test_specaugment_stays_within_its_bounds(frames, bins, seed, time_masks, frequency_masks):
    policy = SpecAugmentPolicy(
        time_masks=time_masks, frequency_masks=frequency_masks, time_width=100, time_share=0.05, frequency_width=27
    )
    keep = policy.keep(np.zeros((frames, bins)), generator(seed))
    assert keep.shape == (frames, bins) and keep.dtype == bool
    rows, columns = ~keep.any(axis=1), ~keep.any(axis=0)
    if not keep.any():
        assert bins <= 27 * frequency_masks
        return
    np.testing.assert_array_equal(~keep, rows[:, None] | columns[None, :])
    assert rows.sum() <= time_masks * min(100, int(0.05 * frames))
    assert columns.sum() <= frequency_masks * 27
    for line, most, widest in ((rows, time_masks, min(100, int(0.05 * frames))), (columns, frequency_masks, 27)):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], line, [0]])))
        runs = edges[1::2] - edges[::2]
        assert len(runs) <= most and (runs <= widest * most).all()


def test_specaugment_reaches_its_bounds_and_both_ends():
    policy = SpecAugmentPolicy(time_masks=1, frequency_masks=1)
    keeps = [policy.keep(np.zeros((1000, 80)), generator(number)) for number in range(1500)]
    widths = [((~k.any(axis=1)).sum(), (~k.any(axis=0)).sum()) for k in keeps]
    assert {w for w, _ in widths} == set(range(51)) and {w for _, w in widths} == set(range(28))
    assert any(not k[0].any() for k in keeps) and any(not k[-1].any() for k in keeps)
    assert any(not k[:, 0].any() for k in keeps) and any(not k[:, -1].any() for k in keeps)


def test_equation_3_and_the_other_fills():
    features = noise(1, (30, 80))
    keep = noise(2, (30, 80)) > 0
    np.testing.assert_array_equal(apply_mask(features, keep), features * keep)
    for fill, value in (("zero", 0), ("floor", floor_of(features)), ("mean", features.mean())):
        masked = apply_mask(features, keep, fill)
        assert masked.dtype == np.float32
        np.testing.assert_array_equal(masked[keep], features[keep])
        np.testing.assert_allclose(masked[~keep], value, rtol=1e-6)
    with pytest.raises(InputError, match="fill 'grey' is unknown; it is zero, floor or mean"):
        apply_mask(features, keep, "grey")


def test_the_floor_is_two_below_the_peak_but_not_below_silence():
    assert floor_of(np.array([[1.0, -0.5]])) == -1.0
    assert floor_of(np.array([[-1.0, -1.5]])) == SILENCE


FRAMES = {"a-1": 90, "a-2": 33, "b-1": 301, "flat": 50, "dead": 40}


@pytest.fixture(scope="module")
def maps():
    """Signed maps by method; `flat` has one value, `dead` no positive one."""
    kinds = {}
    for number, kind in enumerate(METHODS.names()):
        values = {key: noise(n + 1000 * number, (columns_for(n, 8), 10)) for key, n in FRAMES.items()}
        if kind == "gradcam":
            values["dead"] = -np.ones_like(values["dead"])
        if kind == "random":
            values["flat"] = np.ones_like(values["flat"])
        kinds[kind] = {key: SaliencyMap(native, 8, 8, method=kind) for key, native in values.items()}
    return kinds


def masker(name: str, maps, seed: int = 1) -> Masker:
    return Masker(SYSTEMS[name], seed, maps, FRAMES)


@pytest.mark.parametrize("control", ["random-mask", "other-mask"])
def test_controls_mask_as_many_points_as_gradcam_in_each_epoch(maps, control):
    gradcam, other = masker("gradcam", maps), masker(control, maps)
    areas = set()
    for key, frames in FRAMES.items():
        for epoch in range(6):
            ours = gradcam.keep(key, frames, 80, epoch)
            theirs = other.keep(key, frames, 80, epoch)
            assert (~ours).sum() == (~theirs).sum()
            areas.add((key, int((~ours).sum())))
            if key != "dead":
                assert not np.array_equal(ours, theirs)
    # The area changes from epoch to epoch, so equality is no accident; a map without evidence masks nothing.
    assert len(areas) > 15 and ("dead", 0) in areas


def test_a_control_masks_where_its_own_map_is_high(maps):
    ramp = SaliencyMap(np.linspace(0, 1, columns_for(90, 8))[:, None] * np.ones((1, 10)), 8, 8)
    keep = masker("random-mask", {**maps, "random": {"a-1": ramp}}).keep("a-1", 90, 80, 0)
    assert not keep[-1].any() and keep[: 90 // 2].all()


@pytest.mark.parametrize("name", REDRAWN)
def test_masks_are_redrawn_each_epoch_and_by_seed(maps, name):
    one, two = masker(name, maps), masker(name, maps, seed=2)
    masks = [one.keep("b-1", 301, 80, epoch) for epoch in range(4)] + [two.keep("b-1", 301, 80, 0)]
    assert all(mask.shape == (301, 80) for mask in masks)
    assert len({mask.tobytes() for mask in masks}) == 5


def test_plain_masks_nothing():
    assert masker("plain", {}).keep("a-1", 90, 80, 0).all()


def test_the_order_of_the_work_changes_no_mask(maps):
    for name in SYSTEMS:
        forth = {key: masker(name, maps).keep(key, n, 80, 3) for key, n in FRAMES.items()}
        same = masker(name, maps)
        back = {key: [same.keep(key, n, 80, e) for e in (5, 3)][1] for key, n in reversed(FRAMES.items())}
        for key in FRAMES:
            np.testing.assert_array_equal(forth[key], back[key])


def test_a_map_of_another_length_is_an_error_that_names_the_utterance(maps):
    with pytest.raises(InputError, match=r"^a-1: a map of 13 x 10 points \(gradcam, .* does not fit 60 frames"):
        masker("gradcam", maps).keep("a-1", 60, 80, 0)


def test_every_resolution_masks_where_the_map_is_high():
    """The mask follows the map, whatever a point of it spans: nothing assumes Grad-CAM's."""
    for wide, high in ((1, 1), (4, 8), (16, 16), (50, 80)):
        native = noise(3, (-(-200 // wide), 80 // high))
        found = SaliencyMap(native, wide, high)
        system = System(map="toy", policy=ProbabilisticPolicy(), kind="probabilistic")
        hidden = ~Masker(system, 1, {"toy": {"a": found}}).keep("a", 200, 80, 0)
        unit = found.unit(200, 80)
        assert hidden.any() and unit[hidden].min() > 0.3 and hidden[unit > 0.7].all()


# Systems


def write_systems(tmp_path, text: str):
    path = tmp_path / "systems.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("recipe", ["fsdd", "librispeech_edacc", "cv_fa_pdid", "cv_en_saa", "custom", "cv_ca"])
def test_the_recipes_systems_can_be_read(recipe):
    systems = read_systems(TOP / f"egs/{recipe}/conf/systems.yaml")
    assert not systems["plain"].masked and systems["gradcam"].methods == ["gradcam"]


def test_what_a_line_says(tmp_path):
    systems = read_systems(
        write_systems(
            tmp_path,
            """
mean: {map: gradcam++, policy: {probabilistic: {low: 0.4, middle_rate: [0.5, 0.6]}}, fill: mean}
control: {map: random, policy: {equal-area: mean}}
before: {trained: false}
""",
        )
    )
    assert systems["mean"].policy == ProbabilisticPolicy(low=0.4, middle_rate=(0.5, 0.6))
    assert systems["mean"].fill == "mean" and systems["control"].other == systems["mean"]
    assert systems["control"].methods == ["random", "gradcam++"]
    assert systems["control"].policies == [POLICIES["equal-area"], ProbabilisticPolicy]
    assert (systems["before"].trained, systems["before"].masked) == (False, False)


def test_a_system_may_name_the_classifier_that_is_explained(tmp_path):
    """Others take the first's maps, and a control of equal area those of both."""
    file = write_systems(
        tmp_path,
        """
plain: {}
named: {map: gradcam, classifier: whisper-encoder, policy: probabilistic}
borrowed: {map: other-utterance, of: gradcam, policy: {equal-area: named}}
""",
    )
    systems = read_systems(file, "cnn")
    assert (systems["plain"].map, systems["named"].map) == ("", "whisper-encoder/gradcam")
    assert systems["borrowed"].methods == ["cnn/gradcam", "whisper-encoder/gradcam"]
    assert read_systems(file)["borrowed"].methods == ["gradcam", "whisper-encoder/gradcam"]


def test_systems_that_are_not_there_are_told(tmp_path):
    with pytest.raises(InputError, match=r"no system 'gradcam\+' in .*; there are: zero-shot, plain, specaugment, "):
        asked_systems(SYSTEMS_FILE, "plain gradcam+")
    with pytest.raises(InputError, match="the system plain is asked for twice"):
        asked_systems(SYSTEMS_FILE, "plain plain")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: {policy: cam}", "the system a: there is no masking policy 'cam'; there are: equal-area, none, "),
        ("a: {policy: {probabilistic: {lowest: 1}}}", "the system a: .*lowest"),
        ("a: {policy: {probabilistic: {low: x}}}", "the system a: .*low"),
        ("a: {policy: [1]}", "the system a: `policy: .1.` is not a policy"),
        ("a: {policy: {none: 1}}", "the system a: the policy none has no settings"),
        ("a: {policy: {equal-area: b}}", "the system a names the system 'b', which is not there"),
        ("a: {policy: {equal-area: b}}\nb: {policy: {equal-area: a}}", "the systems a and b each need the mask"),
        ("a: {map: other-utterance}", "`map: other-utterance` and `of: METHOD` go together"),
        ("a: {maps: gradcam}", "the system a: `maps: gradcam` is unknown; there are trained, map, of, classifier"),
        ("a: {trained: often}", "`trained: often` is unknown"),
        ("a: {fill: grey}", "the fill 'grey' is unknown; it is zero, floor or mean"),
        ("- a", "holds no systems"),
        ("a: plain", "the system a: "),
    ],
)
def test_a_bad_line_is_one_sentence(tmp_path, text, said):
    with pytest.raises(InputError, match=said) as caught:
        read_systems(write_systems(tmp_path, text))
    assert "\n" not in str(caught.value) and str(caught.value).startswith(str(tmp_path))


def test_the_shell_is_told_what_systems_need(monkeypatch, capsys):
    def described(only: str, methods: str = "") -> dict[str, str]:
        run_program(monkeypatch, "describe_systems", systems=SYSTEMS_FILE, only=only, methods=methods)
        return dict(line.replace("'", "").split("=") for line in capsys.readouterr().out.splitlines())

    every = described("zero-shot plain specaugment random-mask other-mask gradcam gradcam++")
    assert every["untrained"] == "zero-shot" and every["trained"] == " ".join(
        [*list(SYSTEMS)[1:3], *every["mapped"].split()]
    )
    assert every["masked"] == f"specaugment {every['mapped']}"
    assert every["mapped"] == "random-mask other-mask gradcam gradcam++"
    assert every["methods"] == "random gradcam gradcam++"
    control = described("random-mask", "gradcam++")
    assert control["mask_methods"] == "random gradcam" and control["methods"] == "random gradcam gradcam++"
    assert set(described("zero-shot").values()) == {"", "zero-shot"}
    assert "classifiers" not in every  # what a recipe without them calls so stays what it is
    with pytest.raises(SystemExit, match=r"--systems needs at least one of those in .*systems.yaml: zero-shot, plain"):
        described("")
    with pytest.raises(SystemExit, match="there is no saliency method 'cam'"):
        described("plain", "cam")


def test_another_process_draws_the_same():
    program = f"""
        import json, sys
        sys.path.insert(0, {str(TOP / "local")!r})
        from salience.randomness import generator
        print(json.dumps([generator(1, u, e, "policy").random(3).tolist() for u in ("a-1", "ü") for e in (0, 1)]))
    """
    output = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "77"},
    ).stdout
    here = [generator(1, u, e, "policy").random(3).tolist() for u in ("a-1", "ü") for e in (0, 1)]
    assert json.loads(output) == here
    assert len({tuple(draws) for draws in here}) == 4
    # Names are kept apart: ("ab", "c") is not ("a", "bc").
    assert generator("ab", "c").random() != generator("a", "bc").random()


@pytest.fixture
def recipe(tmp_path, monkeypatch, maps):
    """Features and maps as stages 2 and 4 leave them."""
    monkeypatch.chdir(tmp_path)
    write_set(tmp_path, "train", {key: noise(n, n * 160) / 9 for key, n in FRAMES.items()})
    write_features(tmp_path, "train", {key: noise(n, (n, 80)) for key, n in FRAMES.items()})
    for kind, content in maps.items():
        with ArchiveWriter(tmp_path / "maps" / kind / "train" / "saliency") as writer:
            for key, found in content.items():
                writer.write(key, found.values)
        write_json(tmp_path / f"maps/{kind}/train/saliency.json", {"frames_per_column": 8, "bins_per_row": 8})
    return tmp_path


def mask(monkeypatch, **options) -> None:
    common = {
        "data": "data",
        "features": "dump",
        "maps": "maps",
        "sets": "train",
        "systems": SYSTEMS_FILE,
        "out": "masked",
    }
    run_program(monkeypatch, "mask_features", **common | options)


def test_stage_5_writes_the_masks_of_epoch_0(recipe, monkeypatch, maps):
    mask(monkeypatch, only=" ".join(MASKED))
    mask(monkeypatch, only="gradcam", archives="masks", out="only", job=1, jobs=1)
    source = Archive(recipe / "dump/train/feats.scp")
    for name in MASKED:
        archive = Archive(recipe / f"masked/{name}/train/feats.scp")
        shares = read_table(recipe / f"masked/{name}/train/masked_share")
        assert set(archive) == set(shares) == set(FRAMES)
        for key, frames in FRAMES.items():
            keep = masker(name, maps).keep(key, frames, 80, 0)
            np.testing.assert_array_equal(archive[key], source[key] * keep)
            assert float(shares[key]) == pytest.approx(1 - keep.mean(), abs=1e-4)
            if name == "gradcam":
                np.testing.assert_array_equal(Archive(recipe / "only/gradcam/train/mask.1.scp")[key], 1 - keep)


@pytest.mark.parametrize("old", ["variants", "masking.fill"])
def test_options_of_earlier_versions_are_told_their_new_names(recipe, monkeypatch, old):
    new = "only" if old == "variants" else "systems"
    with pytest.raises(SystemExit, match=f"the option {old.partition('.')[0]} is now called {new}; rename it$"):
        mask(monkeypatch, only="plain", **{old: "plain"})


def test_a_system_opens_what_its_masks_need(recipe):
    needs = {name: set(open_maps(recipe / "maps", "train", system)[0]) for name, system in SYSTEMS.items()}
    assert needs == {
        "zero-shot": set(),
        "plain": set(),
        "specaugment": set(),
        "gradcam": {"gradcam"},
        "gradcam++": {"gradcam++"},
        "random-mask": {"random", "gradcam"},
        "other-mask": {"gradcam"},
        **{name: {name} for name in ("integrated-gradients", "smoothgrad", "occlusion")},
    }


def test_masks_of_latent_frames(tmp_path, monkeypatch):
    """Of packed signals: a training's first epoch, (frames, 1), the controls with equal share in other places."""
    seconds = {"a-1": 1.2, "a-2": 2.03, "b-1": 0.4}
    utterances = write_set(tmp_path, "train", {key: noise(1, round(16000 * s)) / 9 for key, s in seconds.items()})
    pack(tmp_path / "dump/train", utterances, 16000)
    frames, bins = set_sizes(tmp_path / "dump/train")
    assert bins == 1 and frames == {"a-1": 59, "a-2": 101, "b-1": 19}
    with ArchiveWriter(tmp_path / "maps/gradcam/accent/train/saliency") as writer:
        for key, count in frames.items():
            writer.write(key, noise(count, (count, 1)))
    write_json(tmp_path / "maps/gradcam/accent/train/saliency.json", {"frames_per_column": 1, "bins_per_row": 1})
    monkeypatch.chdir(tmp_path)
    file, names = TOP / "egs/cv_ca/conf/systems.yaml", ("gradcam", "random-mask", "specaugment")
    mask(monkeypatch, systems=file, only=" ".join(names), task="accent", archives="masks", seed=3)
    found = {name: Archive(Path(f"masked/{name}/train/mask.scp")) for name in names}
    opened, _ = open_maps(tmp_path / "maps", "accent/train", read_systems(file)["gradcam"])
    for name, archive in found.items():
        drawn = Masker(read_systems(file)[name], 3, opened)
        for key, count in frames.items():
            np.testing.assert_array_equal(archive[key], 1 - drawn.keep(key, count, 1, 0))
    for key in frames:
        assert found["gradcam"][key].sum() == found["random-mask"][key].sum() > 0
        assert (found["gradcam"][key] != found["random-mask"][key]).any()
