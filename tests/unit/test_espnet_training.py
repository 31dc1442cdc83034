"""Tokens, and trainings that ESPnet carries out: resume, choice of the model, epsilon decay, bad input."""

import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import torch
import yaml
from accent_helpers import run_program
from corpora_helpers import TOP
from espnet_helpers import DIMENSION, SETTINGS, prepare_tokens, train_toy, write_toy_recipe

from salience import progress
from salience.data.tables import read_table, write_table
from salience.data.tokens import Tokenizer, read_tokens, tokens_to_text
from salience.files import read_json

pytest.importorskip("espnet2")
OUT = "exp/a b/seed1"


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """The toy recipe, in a folder with a space, as the working directory."""
    write_toy_recipe(tmp_path / "a recipe")
    monkeypatch.chdir(tmp_path / "a recipe")
    prepare_tokens(monkeypatch)
    return tmp_path / "a recipe"


def weights(folder):
    return torch.load(folder / "model.pth", weights_only=True)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_two_processes_learn_what_one_does(recipe, monkeypatch):
    """ESPnet under launch.sh, as for several GPUs; every batch is shared, so the curve is the same but for rounding."""
    train_toy(monkeypatch)
    options = [
        "--data",
        "data",
        "--features",
        "dump",
        "--tokens",
        "data/tokens",
        "--cmvn",
        "dump/cmvn.npz",
        "--out",
        "exp/two",
    ]
    command = [
        TOP / "local/launch.sh",
        "2",
        TOP / "local/train_espnet.py",
        *options,
        "--training",
        json.dumps(SETTINGS),
    ]
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(TOP / "local"),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    # ESPnet's remark on every batch; without it the log is of the training.
    assert "epoch started" in done.stderr and "make_pad_mask" not in done.stderr
    one, two = (read_json(recipe / folder / "history.json") for folder in (OUT, "exp/two"))
    # ESPnet averages the accuracies of the processes as if each had as many characters; losses are per utterance.
    for name in ("train_loss", "dev_loss"):
        assert [e[name] for e in two] == pytest.approx([e[name] for e in one], rel=1e-4), name
    assert {p.name for p in (recipe / "exp/two").iterdir()} == {p.name for p in (recipe / OUT).iterdir()}


def refused(capsys, monkeypatch, settings=None, **options):
    """The one sentence that a training ends with."""
    with pytest.raises(SystemExit) as stopped:
        train_toy(monkeypatch, settings, **options)
    assert "\n" not in str(stopped.value)
    return str(stopped.value)


def test_characters_stand_in_espnets_order(recipe):
    assert read_tokens(recipe / "data/tokens/tokens.txt") == ["<blank>", "<unk>", "<space>", "A", "B", "C", "<sos/eos>"]
    tokenizer = Tokenizer(recipe / "data/tokens")
    assert tokenizer.split("AB C") == ["A", "B", "<space>", "C"]
    assert tokens_to_text(tokenizer.split("AB C")) == "AB C"


def test_subwords_make_their_texts_again(recipe, monkeypatch):
    prepare_tokens(monkeypatch, tokens="bpe9", out="data/bpe")
    tokenizer = Tokenizer(recipe / "data/bpe")
    assert len(tokenizer.tokens) == 9
    for text in read_table(recipe / "data/train/text").values():
        assert set(tokenizer.split(text)) <= set(tokenizer.tokens)
        assert tokens_to_text(tokenizer.split(text)) == text


@pytest.mark.parametrize("size", [3, 1000])
def test_a_size_that_fits_no_subwords_is_one_sentence(recipe, monkeypatch, size):
    with pytest.raises(
        SystemExit, match=rf"cannot make {size} subwords.*at least 7.*choose another number of subwords"
    ):
        prepare_tokens(monkeypatch, tokens=f"bpe{size}", out="data/bpe")
    assert not (recipe / "data/bpe/tokens.txt").exists()


def test_an_interrupted_training_ends_with_the_same_weights(recipe, monkeypatch, caplog):
    train_toy(monkeypatch)
    assert sorted(p.name for p in (recipe / OUT).iterdir()) == [
        "cmvn.npz",
        "config.yaml",
        "history.json",
        "model.pth",
        "step.json",
        "tokens.txt",
    ]
    history = read_json(recipe / OUT / "history.json")
    assert [entry["epoch"] for entry in history] == [1, 2, 3]
    assert {"train_loss", "dev_loss", "dev_acc", "dev_cer_ctc", "seconds"} < history[0].keys()
    assert history[2]["train_loss"] < history[0]["train_loss"]

    from espnet2.train import trainer

    save = torch.save

    def killed(value, file, *arguments, **options):
        if str(file).endswith("2epoch.pth.tmp"):
            # Between the checkpoint and the weights of the epoch, in the middle of a file.
            file.write_bytes(b"half")
            raise KeyboardInterrupt
        save(value, file, *arguments, **options)

    monkeypatch.setattr(trainer.torch, "save", killed)
    with pytest.raises(SystemExit):
        train_toy(monkeypatch, out="exp/again")
    monkeypatch.setattr(trainer.torch, "save", save)
    assert not (recipe / "exp/again/model.pth").exists()
    assert (recipe / "exp/again/checkpoints/checkpoint.pth").exists()
    assert not (recipe / "exp/again/checkpoints/2epoch.pth").exists()
    caplog.clear()
    with caplog.at_level("INFO"):
        train_toy(monkeypatch, out="exp/again")
    assert (
        "The training was resumed" in caplog.text
        and "3/3epoch started" in caplog.text
        and "1/3epoch started" not in caplog.text
    )
    assert same(weights(recipe / OUT), weights(recipe / "exp/again"))
    assert [e | {"seconds": 0} for e in read_json(recipe / "exp/again/history.json")] == [
        e | {"seconds": 0} for e in history
    ]

    caplog.clear()
    with caplog.at_level("INFO"):
        train_toy(monkeypatch)
    assert "up to date" in caplog.text and "epoch started" not in caplog.text
    caplog.clear()
    with caplog.at_level("INFO"):
        train_toy(monkeypatch, {"max_epoch": 1, "num_att_plot": 1, "use_matplotlib": True})
    assert "training changed" in caplog.text and "1/1epoch started" in caplog.text and "resumed" not in caplog.text
    assert len(list((recipe / OUT / "att_ws").rglob("*.png"))) == 1
    assert not same(weights(recipe / OUT), weights(recipe / "exp/again"))


def test_the_seed_decides_and_a_start_is_taken(recipe, monkeypatch, capsys):
    # Steps of no size: what comes out is what went in.
    still = {"max_epoch": 1, "keep_nbest_models": 1, "optim": "sgd", "optim_conf": {"lr": 0.0}, "scheduler": None}
    for seed in (1, 2):
        train_toy(monkeypatch, still, seed=seed, out=f"exp/seed{seed}")
    one, two = weights(recipe / "exp/seed1"), weights(recipe / "exp/seed2")
    assert not same(one, two)
    train_toy(monkeypatch, still, seed=2, out="exp/from1", init="exp/seed1")
    assert same(weights(recipe / "exp/from1"), one)
    assert refused(capsys, monkeypatch, still | {"decoder_conf": {"hidden_size": 13}}, init="exp/seed1").endswith(
        "use the settings that it was trained with"
    )
    config = yaml.safe_load((recipe / "exp/seed1/config.yaml").read_text())
    (recipe / "exp/seed1/config.yaml").write_text(yaml.safe_dump(config | {"input_size": 83}))
    assert (
        refused(capsys, monkeypatch, still, init="exp/seed1")
        == f"train_espnet.py: exp/seed1 takes 83 values a frame but the features have {DIMENSION}; start from another"
        " model"
    )
    assert "does not exist; train that model first" in refused(capsys, monkeypatch, still, init="exp/absent")


def test_characters_after_subwords_are_characters(recipe, monkeypatch):
    prepare_tokens(monkeypatch, tokens="bpe9", out="data/bpe")
    train_toy(monkeypatch, {"max_epoch": 1}, tokens="data/bpe")
    folder = recipe / "exp/a b/seed1"
    assert (
        yaml.safe_load((folder / "config.yaml").read_text())["token_type"] == "bpe" and (folder / "bpe.model").exists()
    )
    train_toy(monkeypatch, {"max_epoch": 1})
    settings = yaml.safe_load((folder / "config.yaml").read_text())
    assert settings["token_type"] == "char" and settings["bpemodel"] is None and not (folder / "bpe.model").exists()


def test_espnet_learns_the_same_from_any_white_space(recipe, monkeypatch):
    """To ESPnet itself a no-break space is a character of its own, which no list of tokens has."""
    train_toy(monkeypatch, {"max_epoch": 1})
    for name in ("train", "dev"):
        texts = read_table(recipe / "data" / name / "text")
        assert any(" " in text for text in texts.values())
        write_table(recipe / "data" / name / "text", {key: text.replace(" ", "\u00a0 ") for key, text in texts.items()})
    prepare_tokens(monkeypatch, out="data/again")
    train_toy(monkeypatch, {"max_epoch": 1}, tokens="data/again", out="exp/again")
    assert same(weights(recipe / OUT), weights(recipe / "exp/again"))


def test_a_language_model_trains_and_is_skipped(recipe, monkeypatch, caplog):
    settings = {
        "lm": "seq_rnn",
        "lm_conf": {"unit": 8, "nlayers": 1},
        "optim": "adam",
        "batch_size": 8,
        "max_epoch": 2,
        "best_model_criterion": [["valid", "loss", "min"]],
        "keep_nbest_models": 1,
        "use_matplotlib": False,
        "use_tensorboard": False,
    }
    options = {
        "data": "data",
        "tokens": "data/tokens",
        "out": "exp/lm",
        "training": yaml.safe_dump(settings, default_flow_style=True, width=10**6).strip(),
    }
    monkeypatch.setattr(progress, "EVERY", 0)  # so that a line is due after each batch
    with caplog.at_level("INFO"):
        run_program(monkeypatch, "train_espnet", task="lm", **options)
    assert re.search(r"epoch 2, train: batch: 1 of \d+, \d+ s left", caplog.text)
    assert [set(e) for e in read_json(recipe / "exp/lm/history.json")] == [
        {"epoch", "train_loss", "dev_loss", "seconds"}
    ] * 2
    with caplog.at_level("INFO"):
        run_program(monkeypatch, "train_espnet", task="lm", **options)
    assert "up to date" in caplog.text


def test_epsilon_shrinks_when_the_accuracy_falls_behind():
    from salience.training.eps_decay import EpsDecay

    parameter = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.Adadelta([parameter], eps=1e-4)
    scheduler = EpsDecay(optimizer, decay=0.1)
    seen = []
    for accuracy in (0.2, 0.5, 0.4, 0.5, 0.6):
        scheduler.step(accuracy)
        seen.append(optimizer.param_groups[0]["eps"])
    assert seen == pytest.approx([1e-4, 1e-4, 1e-5, 1e-6, 1e-6])
    resumed = EpsDecay(optimizer, decay=0.1)
    resumed.load_state_dict(copy.deepcopy(scheduler.state_dict()))
    resumed.step(0.59)
    assert optimizer.param_groups[0]["eps"] == pytest.approx(1e-7)
    with pytest.raises(ValueError, match="epsilon"):
        EpsDecay(torch.optim.SGD([parameter], lr=0.1))


def test_bad_input_is_one_sentence_and_leaves_no_model(recipe, monkeypatch, capsys):
    texts = read_table(recipe / "data/train/text")
    first, second = list(texts)[:2]

    def with_texts(changed):
        write_table(recipe / "data/train/text", changed)
        return refused(capsys, monkeypatch)

    assert f"has no line for {first}" in with_texts({k: t for k, t in texts.items() if k != first})
    assert f"has an empty transcript for {first}" in with_texts(texts | {first: ""})
    assert "has no features for s-zzz" in with_texts(texts | {"s-zzz": "A"})
    assert "has 'Z', which data/tokens/tokens.txt lacks" in with_texts(texts | {first: "A Z"})
    write_table(recipe / "data/train/text", texts)

    np.savez(recipe / "dump/cmvn80.npz", count=5, sum=np.ones(80), sum_square=np.ones(80))
    assert f"is made of 80 values a frame but dump/train/feats.scp has {DIMENSION}" in refused(
        capsys, monkeypatch, cmvn="dump/cmvn80.npz"
    )
    assert "dump/absent.npz does not exist; run the step that writes it again" in refused(
        capsys, monkeypatch, cmvn="dump/absent.npz"
    )
    assert "tokens.txt does not exist" in refused(capsys, monkeypatch, tokens="data/absent")
    assert "ESPnet has no setting 'encoder_cnf'" in refused(capsys, monkeypatch, {"encoder_cnf": {}})
    assert "--ngpu 99 but torch finds" in refused(capsys, monkeypatch, ngpu=99)
    assert not (recipe / OUT / "model.pth").exists()

    kaldiio.save_ark(str(recipe / "odd.ark"), {second: np.ones((20, 5), np.float32)}, scp=str(recipe / "odd.scp"))
    odd = (recipe / "odd.scp").read_text()
    kept = (recipe / "dump/train/feats.scp").read_text().splitlines(keepends=True)
    (recipe / "dump/train/feats.scp").write_text("".join([kept[0], odd, *kept[2:]]))
    assert f"dump/train/feats.scp has 5 values a frame for {second}, the first entry {DIMENSION}; run" in refused(
        capsys, monkeypatch
    )


def test_the_settings_of_the_recipe_are_espnets(monkeypatch):
    from corpora_helpers import TOP

    from salience.training import eps_decay

    eps_decay.register()
    from espnet2.bin import asr_train, lm_train

    for module, name in (
        (asr_train, "recogniser*.yaml"),
        (asr_train, "robust.yaml"),
        (asr_train, "through_masks.yaml"),
        (asr_train, "retrain*.yaml"),
        (lm_train, "lm.yaml"),
    ):
        known = {action.dest for action in module.get_parser()._actions}
        files = [*(TOP / "egs/an4/conf").rglob(name)]
        assert {file.parent.name for file in files} == {"conf", "full", "mini"}
        for file in files:
            assert set(yaml.safe_load(file.read_text())["training"]) <= known, file
    assert set(SETTINGS) <= known | {action.dest for action in asr_train.get_parser()._actions}


def test_espnet_does_without_its_checks_of_types():
    """In a process of its own: what imported ESPnet first decides."""
    program = (
        "from salience.decoding import hybrid\n"
        "from espnet2.asr.ctc import CTC\n"
        "print(CTC(odim=3, encoder_output_size=2, dropout_rate='0').dropout_rate)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "local")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    # With them a word for the rate of dropout is refused.
    assert done.returncode == 0 and done.stdout.split()[-1] == "0", done.stderr[-2000:]
