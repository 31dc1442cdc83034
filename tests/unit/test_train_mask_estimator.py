"""The program that trains a mask estimator: what it writes, resume, what makes it run again, bad input."""

import shutil

import numpy as np
import pytest
import torch
import yaml
from accent_helpers import local_program, run_program
from bubble_helpers import OPTIONS, SMALL, write_keywords, write_recordings, write_whisper
from corpora_helpers import contents

from salience.audio import read_audio
from salience.data.alignment import character_error_rate
from salience.data.tables import read_table, write_table
from salience.decoding.keywords import FrozenKeywords
from salience.features.fbank import INT16
from salience.features.stft import stft
from salience.files import read_json
from salience.masking.noise import NoiseSettings, dithered
from salience.models.mask_estimator import FLOOR, load_estimator
from salience.models.recognisers import RecogniserChoice, frozen
from salience.training.bubbles import BubbleNetwork, BubbleWeights, dev_scorer, read_signals

# An interrupted training leaves TensorBoard's thread behind.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")

SETTINGS = {
    "weights": {"asr": 0.1, "mask": 10.0, "entropy": 2.0, "smoothness": 1.0},
    "training": {
        "epochs": 3,
        "batch_size": 2,
        "optimizer": "adadelta",
        "learning_rate": 1.0,
        "epsilon": 1e-4,
        "weight_decay": 0.0,
        "schedule": "constant",
        "warmup": 0.0,
        "gradient_clip": 5.0,
        "precision": "float32",
    },
}
FILES = ["config.json", "history.json", "model.safetensors", "step.json"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Recordings of single words, a recogniser of them and an estimator exp/a, in a folder with a space."""
    folder = tmp_path_factory.mktemp("a recipe")
    write_recordings(folder, texts=("up", "left"))
    write_keywords(folder)
    (folder / "estimator.yaml").write_text(yaml.safe_dump(SETTINGS))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        learn(patch)
    return folder


@pytest.fixture
def recipe(trained, tmp_path, monkeypatch):
    """A copy of it as the working directory."""
    shutil.copytree(trained, tmp_path / "a recipe")
    monkeypatch.chdir(tmp_path / "a recipe")
    return tmp_path / "a recipe"


def learn(monkeypatch, out="exp/a", **options):
    defaults = {
        "config": "estimator.yaml",
        "data": "data",
        "out": out,
        "recogniser.kind": "keyword",
        "recogniser.model": "keywords",
    }
    run_program(monkeypatch, "train_mask_estimator", **(defaults | OPTIONS | options))


def weights(folder):
    return load_estimator(folder).state_dict()


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_what_is_written(recipe, monkeypatch, caplog):
    assert sorted(p.name for p in (recipe / "exp/a").iterdir()) == FILES
    assert load_estimator(recipe / "exp/a").sizes == SMALL
    history = read_json(recipe / "exp/a/history.json")
    scores = [entry for entry in history if "eval_dev_choice" in entry]
    assert [round(entry["epoch"]) for entry in scores] == [1, 2, 3] and [e["loss"] for e in history if "loss" in e]
    assert all(
        {"eval_dev_cer", "eval_dev_other_cer", "eval_dev_clean_cer", "eval_dev_noise_proportion"} < set(entry)
        for entry in scores
    )
    before = contents(recipe / "exp/a")
    caplog.clear()
    with caplog.at_level("INFO"):
        learn(monkeypatch)
    assert "up to date, skipped" in caplog.text and contents(recipe / "exp/a") == before
    learn(monkeypatch, out="exp/again")
    learn(monkeypatch, out="exp/other", seed=2)
    assert same(weights(recipe / "exp/again"), weights(recipe / "exp/a")) and not same(
        weights(recipe / "exp/other"), weights(recipe / "exp/a")
    )


def test_going_on_from_an_estimator(recipe, monkeypatch):
    still = {"init": "exp/a", "training.learning_rate": 0.0, "training.epochs": 1}
    learn(monkeypatch, out="exp/still", **still, **{"weights.mask": 3.0})
    learnt = [
        {n: v for n, v in weights(recipe / "exp" / name).items() if "running" not in n and "tracked" not in n}
        for name in ("still", "a")
    ]
    assert same(*learnt)
    learn(monkeypatch, out="exp/further", init="exp/a", seed=2)
    assert not same(weights(recipe / "exp/further"), weights(recipe / "exp/a"))
    (recipe / "exp/a/model.safetensors").unlink()
    with pytest.raises(SystemExit):
        learn(monkeypatch, out="exp/still", **still)


def test_the_input_is_normalised_by_the_training_set(recipe):
    values = []
    for key, path in read_table(recipe / "data/train/wav.scp").items():
        signal = dithered(INT16 * read_audio(path, 16000), 6.25, 1, key, 0)
        values.append(
            np.log(np.abs(stft(torch.from_numpy(signal)[None], 128, 32)[0].numpy()).astype(np.float64) ** 2 + FLOOR)
        )
    values = np.concatenate(values)
    model = load_estimator(recipe / "exp/a")
    np.testing.assert_allclose(model.mean, values.mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(model.deviation, values.std(axis=0), rtol=1e-3)


def test_the_state_with_the_best_choice_is_kept(recipe, monkeypatch):
    """Scored again, the weights that are kept have the highest choice of the history, and not simply the last one's."""
    proportions = iter([30.0, 10.0, 20.0])
    program = local_program("train_mask_estimator")
    kept = []

    def scorer(*_):
        def score(network):
            kept.append({name: tensor.clone() for name, tensor in network.estimator.state_dict().items()})
            return {"dev_choice": next(proportions)}

        return score

    monkeypatch.setattr(program.bubbles, "dev_scorer", scorer)
    monkeypatch.setattr("accent_helpers.local_program", lambda name: program)
    learn(monkeypatch, out="exp/b")
    found = weights(recipe / "exp/b")
    assert [same(found, state) for state in kept] == [True, False, False]


def test_the_choice_in_the_history_is_of_the_dev_set(recipe):
    recogniser = frozen(RecogniserChoice("keyword", recipe / "keywords"))
    network = BubbleNetwork(load_estimator(recipe / "exp/a"), recogniser, BubbleWeights(), NoiseSettings())
    score = dev_scorer(read_signals(recipe / "data/dev", recogniser, 6.25, 1), recogniser, character_error_rate, 3, 3.0)
    with torch.no_grad():
        again = score(network.eval())
    scores = [e for e in read_json(recipe / "exp/a/history.json") if "eval_dev_choice" in e]
    history = max(scores, key=lambda entry: entry["eval_dev_choice"])
    assert {name: history[f"eval_{name}"] for name in again} == pytest.approx(again)
    assert 0 < again["dev_noise_proportion"] < 100


@pytest.mark.parametrize("call", [1, 4, 6])
def test_an_interrupted_training_ends_with_the_same_weights(recipe, monkeypatch, call):
    """Interrupted at the clean speech, and in later epochs, in the middle of the dev set."""
    hear, calls = FrozenKeywords.transcribe, []

    def fail(self, *inputs):
        calls.append(None)
        if len(calls) == call:
            raise KeyboardInterrupt
        return hear(self, *inputs)

    monkeypatch.setattr(FrozenKeywords, "transcribe", fail)
    with pytest.raises(SystemExit) as stopped:
        learn(monkeypatch, out="exp/cut")
    assert stopped.value.code == 130 and not (recipe / "exp/cut/model.safetensors").exists()
    monkeypatch.setattr(FrozenKeywords, "transcribe", hear)
    torch.manual_seed(99)
    learn(monkeypatch, out="exp/cut")
    assert same(weights(recipe / "exp/cut"), weights(recipe / "exp/a"))
    assert sorted(p.name for p in (recipe / "exp/cut").iterdir()) == FILES


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"weights.mask": 5.0}, "weights changed"),
        ({"noise.gain": 70_000.0}, "noise changed"),
        ({"training.epochs": 1}, "training changed"),
        ({"allowance": 1.0}, "allowance changed"),
        ({"leak": 2.5}, "leak changed from None to 2.5"),
        ({"exchange.weight": 1.0}, "exchange changed"),
        ({"levels.decibels": 10}, "levels changed"),
        ({"sizes.erb": 7}, "sizes changed"),
        ({"sizes.hidden": 9}, "sizes changed"),
        ("recogniser", "its input keywords/model.safetensors changed"),
        ("text", "its input data/train changed"),
    ],
)
def test_a_change_is_trained_again(recipe, monkeypatch, caplog, change, reason):
    if change == "recogniser":
        write_keywords(recipe, seed=5)
    if change == "text":
        write_table(recipe / "data/train/text", dict.fromkeys(read_table(recipe / "data/train/text"), "down"))
    with caplog.at_level("INFO"):
        begin(monkeypatch, **(change if isinstance(change, dict) else {}))
    assert f"done again, because {reason}" in caplog.text


def begin(monkeypatch, **options):
    """Run the program up to where it would train."""

    class Begun(Exception):
        pass

    def train(*_, **__):
        raise Begun

    program = local_program("train_mask_estimator")
    monkeypatch.setattr(program, "train", train)
    monkeypatch.setattr("accent_helpers.local_program", lambda name: program)
    with pytest.raises(Begun):
        learn(monkeypatch, **options)


def test_another_language_is_another_teacher(recipe, monkeypatch, caplog):
    write_whisper(recipe)
    spoken = {"recogniser.kind": "whisper", "recogniser.model": "whisper.pt", "training.epochs": 1}
    learn(monkeypatch, **spoken)
    with caplog.at_level("INFO"):
        begin(monkeypatch, **spoken, **{"recogniser.language": "ca"})
    assert "done again, because language changed from 'en' to 'ca'" in caplog.text


def test_bad_input_is_one_sentence_and_leaves_the_old_estimator(recipe, monkeypatch):
    before = contents(recipe / "exp/a")
    for options, sentence in (
        ({"recogniser.model": "none"}, "none does not exist; train that keyword network first, or name another one"),
        ({"recogniser.kind": "human"}, "human"),
        ({"sizes.kernel_frequency": 70}, "a kernel over 70 bins does not fit a spectrogram of 65"),
        ({"dev_set": "none"}, "data/none/utt2spk does not exist"),
    ):
        with pytest.raises(SystemExit) as stopped:
            learn(monkeypatch, out="exp/bad" if "sizes.kernel_frequency" in options else "exp/a", **options)
        assert sentence in str(stopped.value) and "\n" not in str(stopped.value)
    write_table(
        recipe / "data/dev/text", dict.fromkeys(read_table(recipe / "data/dev/text"), "up") | {"s0-dev2": "right"}
    )
    with pytest.raises(SystemExit) as stopped:
        learn(monkeypatch)
    assert (
        str(stopped.value)
        == "train_mask_estimator.py: data/dev/text: the text of s0-dev2 cannot be trained on, for it is none of the"
        " recogniser's words (down, left, up); remove it with utils/fix_data_dir.sh or use another recogniser"
    )
    assert contents(recipe / "exp/a") == before
