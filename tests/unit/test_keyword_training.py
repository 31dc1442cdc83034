"""The programs of ImportantAug on a small made-up corpus: packing, training, masks, predictions, resume, bad input."""

import shutil
import sys

import numpy as np
import pytest
import soundfile
import torch
import yaml
from accent_helpers import run_program
from speech_commands_helpers import RATE

from salience.data.directories import write_data_dir
from salience.data.packed import read_packed
from salience.data.records import Utterance
from salience.data.tables import read_table, write_table
from salience.decoding import keywords
from salience.errors import InputError
from salience.features.archives import Archive
from salience.features.keywords import BINS, FRAMES, decibels, spectra
from salience.files import read_json, write_json
from salience.masking.importance import binarise
from salience.models.keywords import build_recogniser, load_recogniser
from salience.models.mask_generator import load_generator
from salience.saliency.base import METHODS, read_maps
from salience.saliency.keywords import ExplainedKeywords
from salience.training.keyword_systems import choose_member, read_keyword_systems, trainings
from salience.training.keywords import (
    MASK_LEVELS,
    GeneratorTraining,
    ImportanceWeights,
    KeywordSet,
    NoisePieces,
    importance_scorer,
    read_masks,
)

# An interrupted training leaves TensorBoard's thread behind.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")

WORDS = {"high": 2500.0, "low": 400.0}
TRAINING = {
    "epochs": 4,
    "batch_size": 8,
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "weight_decay": 1e-4,
    "schedule": "step",
    "step_epochs": 2,
    "gradient_clip": 0.0,
    "precision": "float32",
}


def utterance(folder, key, samples, text="", subtype="PCM_16"):
    path = folder / "wav" / f"{key}.wav"
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE, subtype=subtype)
    return Utterance(id=key, speaker=key, audio=path, text=text, duration=len(samples) / RATE, recording=key)


def tone(hertz, samples, random):
    return 0.2 * np.sin(2 * np.pi * hertz * np.arange(samples) / RATE) + 0.02 * random.standard_normal(samples)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Clips of two tones, a baseline, a generator and masks, in a folder with a space."""
    folder = tmp_path_factory.mktemp("some commands")
    random = np.random.default_rng(0)
    for name, count in (("train", 24), ("dev", 8), ("test", 8)):
        clips = [
            (word, f"{name}{n:02}-{word}", int(random.integers(6000, 16001)))
            for n in range(count // 2)
            for word in WORDS
        ]
        write_data_dir(
            folder / "data" / name,
            [utterance(folder, key, tone(WORDS[word], size, random), word) for word, key, size in clips],
        )
    write_data_dir(
        folder / "data/noise_train", [utterance(folder, f"n{n}", 0.1 * random.standard_normal(RATE)) for n in range(5)]
    )
    write_data_dir(
        folder / "data/noise_other",
        [utterance(folder, "long", 0.1 * random.standard_normal(3 * RATE), subtype="FLOAT")],
    )
    (folder / "data/words").write_text("high\nlow\n")
    shutil.copytree(folder / "data/test", folder / "data/test_other")
    write_table(
        folder / "data/test_other/noise",
        {key: f"long {100 * row}" for row, key in enumerate(read_table(folder / "data/test/text"))},
    )
    (folder / "settings.yaml").write_text(yaml.safe_dump({"training": TRAINING}))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        sets = "train dev test noise_train"
        run_program(patch, "pack_waveforms", data="data", out="dump", sets=sets, pad="true")
        run_program(patch, "pack_waveforms", data="data", out="dump", sets="noise_other")
        learn(patch, "baseline")
        run_program(
            patch,
            "train_generator",
            config="settings.yaml",
            data="data",
            packed="dump",
            recogniser="exp/baseline",
            out="exp/generator",
        )
        run_program(
            patch,
            "estimate_noise_masks",
            kind="generator",
            data="dump",
            models="exp/generator",
            out="exp/masks",
            sets="train test",
            compress="false",
        )
    return folder


@pytest.fixture
def recipe(trained, tmp_path, monkeypatch):
    """A copy of it as the working directory."""
    shutil.copytree(trained, tmp_path / "some commands")
    monkeypatch.chdir(tmp_path / "some commands")
    return tmp_path / "some commands"


def learn(monkeypatch, name, **options):
    run_program(
        monkeypatch,
        "finetune",
        recogniser="keyword",
        config="settings.yaml",
        data="data",
        features="dump",
        train_set="train",
        dev_set="dev",
        out=f"exp/{name}",
        **{"model": "paper"} | options,
    )


def decode(monkeypatch, **options):
    options = {"models": "exp/baseline", "data": "data", "features": "dump"} | options
    run_program(monkeypatch, "decode", recogniser="keyword", **options)


def refused(capsys, call):
    with pytest.raises(SystemExit) as stopped:
        call()
    assert "Traceback" not in capsys.readouterr().err
    return str(stopped.value)


def test_packed_signals_are_the_recordings(recipe):
    packed = read_packed(recipe / "dump/train")
    assert packed.signals.dtype == np.int16
    for row, key in enumerate(packed.ids):
        samples, _ = soundfile.read(read_table(recipe / "data/train/wav.scp")[key], dtype="int16")
        assert packed.samples[row] == len(samples)
        assert np.array_equal(packed.rows(16000)[row], np.pad(samples, (0, 16000 - len(samples))))
    other = read_packed(recipe / "dump/noise_other")
    assert other.signals.dtype == np.float32 and other.samples.tolist() == [3 * RATE]


def test_the_baseline_learns_and_its_best_epoch_is_kept(recipe):
    dev = KeywordSet(recipe / "data/dev", recipe / "dump/dev", ("high", "low"))
    model = load_recogniser(recipe / "exp/baseline")
    with torch.no_grad():
        logits = model(decibels(dev.spectra(torch.arange(len(dev)))))
    losses = [
        entry["eval_dev_loss"] for entry in read_json(recipe / "exp/baseline/history.json") if "eval_dev_loss" in entry
    ]
    assert float(torch.nn.functional.cross_entropy(logits, dev.labels)) == pytest.approx(min(losses), rel=1e-4)
    assert len(losses) == 4
    rates = [
        entry["learning_rate"] for entry in read_json(recipe / "exp/baseline/history.json") if "learning_rate" in entry
    ]
    assert rates == pytest.approx([1e-3, 1e-3, 5e-4, 5e-4])


def test_masks_are_the_generators(recipe):
    archive, packed = Archive(recipe / "exp/masks/test/mask.scp"), read_packed(recipe / "dump/test")
    model = load_generator(recipe / "exp/generator")
    for row, key in enumerate(packed.ids):
        waveform = torch.from_numpy(packed.rows(16000)[row : row + 1] / np.float32(32768))
        with torch.no_grad():
            expected = torch.sigmoid(model(decibels(spectra(waveform, torch.tensor(packed.samples[row : row + 1])))))[
                0
            ].T
        assert archive[key].shape == (FRAMES, BINS)
        assert np.allclose(archive[key], expected, atol=1e-5)


@pytest.mark.parametrize("legacy", ["false", "true"])
def test_the_generators_best_epoch_is_kept(recipe, monkeypatch, legacy):
    """By equation 5 on the same noise each time, or as the published code has it, on other noise each time."""
    run_program(
        monkeypatch,
        "train_generator",
        config="settings.yaml",
        data="data",
        packed="dump",
        recogniser="exp/baseline",
        out="exp/again",
        legacy=legacy,
    )
    scores = [entry for entry in read_json(recipe / "exp/again/history.json") if "eval_dev_loss" in entry]
    assert len(scores) == 4
    best = min(range(4), key=lambda epoch: scores[epoch]["eval_dev_loss"])
    dev = KeywordSet(recipe / "data/dev", recipe / "dump/dev", ("high", "low"))
    network = GeneratorTraining(
        load_generator(recipe / "exp/again"),
        load_recogniser(recipe / "exp/baseline"),
        dev,
        NoisePieces(recipe / "dump/noise_train"),
        ImportanceWeights(),
        -12.5,
    )
    score = importance_scorer(dev, 5, 8, 1, legacy == "true")
    with torch.no_grad():
        found = [score(network) for _ in range(best + 1)][-1]
    assert found == pytest.approx({name: scores[best][f"eval_{name}"] for name in found}, rel=1e-3)
    if legacy == "false":
        run_program(
            monkeypatch,
            "score_generator",
            config="settings.yaml",
            data="data",
            packed="dump",
            generator="exp/again",
            recogniser="exp/baseline",
            out="exp/scored",
        )
        (scored,) = read_json(recipe / "exp/scored/history.json")
        assert scored == pytest.approx({f"eval_{name}": value for name, value in found.items()}, rel=1e-5)
        assert (recipe / "exp/again/model.safetensors").read_bytes() == (
            recipe / "exp/generator/model.safetensors"
        ).read_bytes()


NOISE = {"augmentation.method": "noise"}
AUGMENTATIONS = {
    "continue-clean": {},
    "specaugment": {"augmentation.method": "specaugment"},
    "null": NOISE,
    "importantaug": {**NOISE, "augmentation.masks": "own"},
    "other-map": {**NOISE, "augmentation.masks": "other"},
    "importantaug, each clip by itself": {**NOISE, "augmentation.masks": "own", "augmentation.per": "utterance"},
    "binarised-10": {**NOISE, "augmentation.masks": "own", "augmentation.everywhere": 0, "augmentation.percent": 10},
}


def test_every_method_goes_on_from_the_baseline_to_weights_of_its_own(recipe, monkeypatch):
    for name, options in AUGMENTATIONS.items():
        masks = {"masks": "exp/masks/train/mask.scp"} if "augmentation.masks" in options else {}
        learn(monkeypatch, name, model="exp/baseline", **masks, **options)
        assert read_json(recipe / "exp" / name / "step.json")["config"]["augmentation"]["method"] == options.get(
            "augmentation.method", "none"
        )
    weights = {(recipe / "exp" / name / "model.safetensors").read_bytes() for name in ("baseline", *AUGMENTATIONS)}
    assert len(weights) == 1 + len(AUGMENTATIONS)


def test_masks_that_a_training_reads_are_those_of_its_clips(recipe):
    """Whatever their order, as they are or binarised."""
    scp, packed = recipe / "exp/masks/train/mask.scp", read_packed(recipe / "dump/train")
    order = np.random.default_rng(2).permutation(len(packed.ids))
    ids, samples = [packed.ids[row] for row in order], torch.from_numpy(packed.samples[order])
    archive, frames = Archive(scp), 1 + samples // 128
    assert len({archive[key].tobytes() for key in ids}) == len(ids) and len(set(frames.tolist())) > 10
    binary, plain = read_masks(scp, ids, samples, 10), read_masks(scp, ids, samples, 0)
    assert set(binary.unique().tolist()) == {0, MASK_LEVELS}
    for row, key in enumerate(ids):
        mask = torch.from_numpy(np.array(archive[key].T))
        assert torch.equal(
            binary[row], MASK_LEVELS * binarise(mask[None], 10, frames[row : row + 1])[0].to(torch.uint8)
        )
        assert int((binary[row] == 0).sum()) == round(int(frames[row]) * BINS / 10)
        assert (plain[row] / MASK_LEVELS - mask).abs().max() <= 0.5 / MASK_LEVELS + 1e-6


def test_a_modern_recogniser_trains_on_the_same_masks(recipe, monkeypatch):
    learn(
        monkeypatch,
        "modern",
        model="bc-resnet-1",
        **{"augmentation.method": "noise", "augmentation.masks": "own"},
        masks="exp/masks/train/mask.scp",
    )
    assert read_json(recipe / "exp/modern/config.json")["kind"] == "bc-resnet"


def test_an_interrupted_training_ends_with_the_same_weights(recipe, monkeypatch):
    options = {
        "model": "exp/baseline",
        "augmentation.method": "noise",
        "augmentation.masks": "own",
        "masks": "exp/masks/train/mask.scp",
    }
    learn(monkeypatch, "whole", **options)
    calls = 0
    whole = KeywordSet.spectra

    def fail(self, rows):
        nonlocal calls
        calls += 1
        if calls == 7:
            raise RuntimeError("power cut")
        return whole(self, rows)

    monkeypatch.setattr(KeywordSet, "spectra", fail)
    with pytest.raises(RuntimeError, match="power cut"):
        learn(monkeypatch, "cut", **options)
    assert list((recipe / "exp/cut/checkpoints").glob("checkpoint-*"))
    monkeypatch.setattr(KeywordSet, "spectra", whole)
    learn(monkeypatch, "cut", **options)
    assert (recipe / "exp/cut/model.safetensors").read_bytes() == (recipe / "exp/whole/model.safetensors").read_bytes()


def test_an_interrupted_generator_goes_on_with_the_noise_of_its_epoch(recipe, monkeypatch):
    """As the published code has it, there is other noise on dev in each epoch."""

    def learn_masks(name):
        run_program(
            monkeypatch,
            "train_generator",
            config="settings.yaml",
            data="data",
            packed="dump",
            recogniser="exp/baseline",
            out=f"exp/{name}",
            legacy="true",
        )

    learn_masks("whole")
    calls = 0
    parts = GeneratorTraining.parts

    def fail(self, *rows):
        nonlocal calls
        calls += 1
        if calls == 10:  # an epoch is three updates and a dev score
            raise RuntimeError("power cut")
        return parts(self, *rows)

    monkeypatch.setattr(GeneratorTraining, "parts", fail)
    with pytest.raises(RuntimeError, match="power cut"):
        learn_masks("cut")
    monkeypatch.setattr(GeneratorTraining, "parts", parts)
    learn_masks("cut")
    whole, cut = (
        [
            entry["eval_dev_loss"]
            for entry in read_json(recipe / "exp" / name / "history.json")
            if "eval_dev_loss" in entry
        ]
        for name in ("whole", "cut")
    )
    assert whole == cut and len(whole) == 4
    assert (recipe / "exp/cut/model.safetensors").read_bytes() == (recipe / "exp/whole/model.safetensors").read_bytes()


def test_predictions_of_noisy_sets_have_the_ratio_they_say(recipe, monkeypatch):
    heard = []
    monkeypatch.setattr(
        keywords,
        "spectra",
        lambda waveforms, samples: heard.append((waveforms, samples)) or spectra(waveforms, samples),
    )
    decode(monkeypatch, sets="test test_other/-5 test_other/20", out="exp/decode")
    truth = read_table(recipe / "data/test/text")
    assert list(read_table(recipe / "exp/decode/test/text")) == sorted(truth)
    assert set(read_table(recipe / "exp/decode/test_other/-5/text").values()) <= set(WORDS)
    clean = heard[0][0]
    for (noisy, samples), snr in zip(heard[1:], (-5, 20), strict=True):
        added = noisy - clean
        for row, size in enumerate(samples.tolist()):
            measured = 10 * torch.log10(clean[row].square().sum() / added[row].square().sum())
            assert float(measured) == pytest.approx(snr, abs=0.01)
            assert not added[row, size:].any()
    # The same noise at each ratio.
    assert torch.allclose((heard[1][0] - clean) * 10 ** (-25 / 20), heard[2][0] - clean, atol=1e-6)


def test_bad_input_is_one_sentence(recipe, monkeypatch, capsys):
    masked = {"augmentation.method": "noise", "augmentation.masks": "own"}
    assert "needs --masks" in refused(capsys, lambda: learn(monkeypatch, "a", **masked))
    assert "bc-resnet-1" in refused(capsys, lambda: learn(monkeypatch, "a", model="resnet"))
    for name, value in (("snr", ".inf"), ("percent", 100), ("percent", -5), ("shift", -3), ("everywhere", 1.5)):
        assert f"--augmentation.{name} is {value}; give".replace(" .", " ") in refused(
            capsys, lambda name=name, value=value: learn(monkeypatch, "a", **{f"augmentation.{name}": value})
        )
    with monkeypatch.context() as patch:
        (recipe / "data/words").write_text("low\n")
        assert "'high', which the recogniser does not know" in refused(capsys, lambda: learn(patch, "a"))
        (recipe / "data/words").write_text("high\nlow\nmiddle\n")
        assert "knows other words than data/words" in refused(capsys, lambda: learn(patch, "a", model="exp/baseline"))
    write_table(recipe / "data/test_other/noise", {"test00-low": "long 0"})

    assert "names no packed noise for test00-high" in refused(
        capsys, lambda: decode(monkeypatch, sets="test_other/0", out="o")
    )
    for snr in ("x", "nan"):
        assert f"the set test_other/{snr} names no ratio in dB" in refused(
            capsys, lambda snr=snr: decode(monkeypatch, sets=f"test_other/{snr}", out="o")
        )
    write_table(recipe / "data/test_other/noise", dict.fromkeys(read_table(recipe / "data/test/text"), "long 47999"))
    assert "ends before the utterance does" in refused(
        capsys, lambda: decode(monkeypatch, sets="test_other/0", out="o")
    )
    for name, size, words in (
        ("long", 16001, "more than the 16000 of a keyword"),
        ("short", 256, "too few for one window"),
    ):
        write_data_dir(recipe / "data" / name, [utterance(recipe, f"{name}-clip", np.full(size, 0.1), "low")])
        assert words in refused(
            capsys,
            lambda name=name: run_program(
                monkeypatch, "pack_waveforms", data="data", out="dump", sets=name, pad="true"
            ),
        )
        assert not (recipe / "dump" / name / "signals.npy").exists() and not list((recipe / "dump" / name).glob(".*"))


def test_the_member_with_the_lowest_dev_error_is_chosen(tmp_path):
    members = [f"noise-{snr}" for snr in (-10, 0, 15, 30)]
    for name, errors in zip(members, ([9, 20], [5, 8], [5, 8], [2, 13]), strict=True):
        # All seeds of all members are needed.
        assert choose_member(members, [1, 2], tmp_path) is None
        for seed, error in enumerate(errors, 1):
            # The lowest error of all, but not at the lowest loss.
            first, last = ({"eval_dev_loss": loss, "eval_dev_error": e} for loss, e in ((2.0, 0.0), (1.0, error)))
            write_json(tmp_path / name / f"seed{seed}/history.json", [first, {"loss": 0.1}, last])
    assert choose_member(members, [1, 2], tmp_path) == "noise-15"
    assert choose_member(members, [1], tmp_path) == "noise-30"


def test_systems_are_trained_as_their_line_says(tmp_path):
    path = tmp_path / "systems.yaml"
    path.write_text(
        "plain: {augmentation: {method: none}}\n"
        "noise: {augmentation: {method: noise, snr: [0, 2.5]}, choose: true}\n"
        "sparse: {augmentation: {method: noise, masks: own, percent: [10]}, max_seeds: 1, generator: own}\n"
    )
    systems = read_keyword_systems(path, ["noise", "sparse"])
    for snr, error in (("0", 9.0), ("2.5", 8.0)):
        for seed in (3, 4):
            scores = [{"eval_dev_loss": 1.0, "eval_dev_error": error}]
            write_json(tmp_path / f"noise-{snr}/seed{seed}/history.json", scores)
    listed = trainings(systems, [3, 4], tmp_path)
    assert [(one.name, one.seed, one.swept, one.chosen) for one in listed] == [
        ("noise-0", 3, True, False), ("noise-2.5", 3, True, True), ("sparse-10", 3, False, False),
        ("noise-0", 4, True, False), ("noise-2.5", 4, True, True),
    ]  # fmt: skip
    assert listed[2].augmentation == {"method": "noise", "masks": "own", "percent": 10} and listed[2].system.masked
    for only, words in ((["speed"], "has no system 'speed'; it has: plain, noise"), (["plain", "plain"], "twice")):
        with pytest.raises(InputError, match=words):
            read_keyword_systems(path, only)
    path.write_text("plain: {augmentation: {}, colour: red}\n")
    with pytest.raises(InputError, match=r"systems.yaml: the system plain cannot be read .*colour"):
        read_keyword_systems(path, ["plain"])


def test_maps_of_the_baseline_are_faithful_to_it(recipe, monkeypatch):
    """Its word is lost where the map is hidden first and found where it is shown first, random regions in between."""
    where = {"model": "exp/baseline", "data": "data", "features": "dump", "sets": "test"}
    run_program(monkeypatch, "map_saliency", out="maps", methods="gradcam integrated-gradients", **where)
    over_time, fine = (read_maps(recipe / f"maps/{name}/test") for name in ("gradcam", "integrated-gradients"))
    packed = read_packed(recipe / "dump/test")
    for key, samples in zip(packed.ids, packed.samples, strict=True):
        frames = 1 + samples // 128
        assert over_time[key].values.shape in {(frames, 1), (frames + 1, 1)} and over_time[key].bins_per_row == BINS
        assert fine[key].values.shape == (frames, BINS)
    run_program(monkeypatch, "measure_saliency", out="measured", methods="integrated-gradients", limit=4, **where)
    curves = read_json(recipe / "measured/integrated-gradients.test.json")["curves"]
    assert np.mean(curves["deletion"]["map"]) < np.mean(curves["deletion"]["random"]) - 15
    assert np.mean(curves["insertion"]["map"]) > np.mean(curves["insertion"]["random"]) + 15


def test_an_explained_keyword_network_gives_its_own_logits(recipe):
    features = torch.from_numpy(20 * np.random.default_rng(1).standard_normal((2, FRAMES, BINS), np.float32) - 40)
    for model in (load_recogniser(recipe / "exp/baseline"), build_recogniser("bc-resnet-1", ["a", "b"]).eval()):
        with torch.no_grad():
            logits = ExplainedKeywords(model).forward(features, [FRAMES, 60])[1]
            torch.testing.assert_close(logits, model(features.transpose(1, 2)))


def test_the_true_word_must_be_one_of_the_network_s(recipe, monkeypatch, capsys):
    write_table(recipe / "data/test/text", dict.fromkeys(read_table(recipe / "data/test/text"), "middle"))
    where = {"model": "exp/baseline", "data": "data", "features": "dump", "sets": "test", "out": "maps"}
    said = refused(capsys, lambda: run_program(monkeypatch, "map_saliency", target="true", **where))
    assert "is the word 'middle', which the network does not know (high, low); use --target predicted" in said


def test_masks_of_maps_spare_what_the_map_marks(recipe, monkeypatch):
    """M = 1 - C of equation 1's C; behind a clip, where there is nothing to spare, M is 1."""
    common = {"data": "dump", "sets": "test", "models": "exp/baseline", "compress": "false"}
    for method in ("integrated-gradients", "gradcam"):
        run_program(monkeypatch, "estimate_noise_masks", kind=method, out=f"exp/{method}", **common)
        where = {"model": "exp/baseline", "data": "data", "features": "dump", "sets": "test", "compress": "false"}
        run_program(monkeypatch, "map_saliency", out="maps", methods=method, **where)
        masks, maps = Archive(recipe / f"exp/{method}/test/mask.scp"), read_maps(recipe / f"maps/{method}/test")
        packed = read_packed(recipe / "dump/test")
        for key, samples in zip(packed.ids, packed.samples, strict=True):
            frames = 1 + samples // 128
            assert masks[key].shape == (FRAMES, BINS) and (masks[key][frames:] == 1).all()
            np.testing.assert_allclose(1 - masks[key][:frames], maps[key].unit(frames, BINS), atol=2e-3)


def test_masks_by_a_plugins_method_are_made_again_when_it_changes(recipe, monkeypatch):
    plugin, common = recipe / "flat.py", {"data": "dump", "sets": "test", "models": "exp/baseline", "out": "exp/flat"}
    monkeypatch.setenv("SALIENCE_PLUGINS", str(plugin))
    for level in (1, -1):
        plugin.write_text(
            "import numpy as np\nfrom salience.saliency.base import METHODS, SaliencyMap\n"
            "@METHODS.register('flat')\ndef flat(model, features, lengths, targets, rngs):\n"
            f"    return [SaliencyMap({level} * np.eye(n, features.shape[2]), 1, 1) for n in lengths]\n"
        )
        run_program(monkeypatch, "estimate_noise_masks", kind="flat", **common)
        masks = Archive(recipe / "exp/flat/test/mask.scp")
        assert {mask[5, 5] < 0.5 for _, mask in masks.items()} == {level > 0}
        METHODS.pop("flat")
        sys.modules.pop("salience_plugin_flat")


def test_a_system_names_a_method_that_there_is(tmp_path):
    (tmp_path / "systems.yaml").write_text("cam: {augmentation: {method: noise, masks: own}, map: gradcan}\n")
    with pytest.raises(InputError, match="the system cam cannot be read .*there is no saliency method 'gradcan'"):
        read_keyword_systems(tmp_path / "systems.yaml", ["cam"])
