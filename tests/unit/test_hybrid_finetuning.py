"""ESPnet's hybrid model through finetune.py: a new one learns a toy language, masks reach it, and it is read back."""

import numpy as np
import pytest
import torch
import yaml
from accent_helpers import run_program
from espnet_helpers import DIMENSION, SETTINGS, toy_utterance, write_toy_recipe

from salience.data.tables import read_table
from salience.decoding.hybrid import EspnetRecogniser, load_hybrid
from salience.features.archives import FeatureSet, LoadedFeatures
from salience.files import read_json
from salience.models.recognisers import Example, load_recogniser

pytest.importorskip("espnet2")
MODEL = {name: SETTINGS[name] for name in ("encoder", "encoder_conf", "decoder", "decoder_conf", "model_conf")}
MODEL |= {"input_size": DIMENSION, "token_type": "char", "normalize": None, "init": "chainer"}
MODEL |= {"token_list": ["<blank>", "<unk>", "<space>", "A", "B", "C", "<sos/eos>"]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A toy recipe, with a hybrid that finetune.py trained from random weights."""
    folder = tmp_path_factory.mktemp("toy recipe")
    write_toy_recipe(folder, {"train": 48, "dev": 8})
    for name in ("train", "dev"):
        texts = read_table(folder / "data" / name / "text")
        (folder / "data" / name / "utt2spk").write_text("".join(f"{key} s\n" for key in texts))
        (folder / "data" / name / "wav.scp").write_text("".join(f"{key} {key}.wav\n" for key in texts))
        (folder / "data" / name / "utt2dur").write_text("".join(f"{key} 1.0\n" for key in texts))
    (folder / "new.yaml").write_text(yaml.safe_dump(MODEL))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        finetune(patch, model="new.yaml", out="plain")
    return folder


@pytest.fixture
def recipe(trained, monkeypatch):
    monkeypatch.chdir(trained)
    return trained


def finetune(monkeypatch, **options):
    training = {"training.epochs": 12, "training.batch_size": 8, "training.learning_rate": 0.02}
    sets = {"data": "data", "features": "dump", "train_set": "train", "dev_set": "dev"}
    run_program(monkeypatch, "finetune", recogniser="espnet", **(training | sets | options))


def test_a_new_hybrid_learns_and_is_read_back(recipe, monkeypatch):
    best = min(entry["eval_dev_wer"] for entry in read_json(recipe / "plain/history.json") if "eval_dev_wer" in entry)
    assert best < 50
    run_program(
        monkeypatch, "decode", recogniser="espnet", models="plain", features="dump", sets="dev", out="decode",
        **{"search.beam_size": 4},
    )  # fmt: skip
    said, texts = read_table(recipe / "decode/dev/text"), read_table(recipe / "data/dev/text")
    assert sum(said[key] == text for key, text in texts.items()) >= 4
    run_program(
        monkeypatch, "decode", recogniser="espnet", models="plain", features="dump", sets="dev", out="best",
        **{"search.beam_size": 0},
    )  # fmt: skip
    # What training scored dev by are the weights that were saved: the greedy hypotheses of both are the same.
    again = load_recogniser("espnet", "plain")
    assert again.network is not None
    greedy = dict(again.transcribe(FeatureSet(recipe / "dump/dev"), 8, []))
    assert greedy == dict(again.transcribe(FeatureSet(recipe / "dump/dev"), 1, []))
    assert greedy == read_table(recipe / "best/dev/text")
    right = sum(greedy[key] == text for key, text in texts.items())
    assert right >= 4, (greedy, texts)


def test_a_finished_training_goes_on_in_another(recipe, monkeypatch):
    finetune(monkeypatch, model="plain", out="further", **{"training.epochs": 1, "training.learning_rate": 0.0})
    before, after = (load_hybrid(recipe / name)[0].state_dict() for name in ("plain", "further"))
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert {"plain/model.pth", "plain/config.yaml"} <= set(read_json(recipe / "further/step.json")["inputs"])


def test_the_loss_is_espnets_whatever_the_order_and_company(recipe):
    """A batch's loss is the mean of its utterances' own."""
    recogniser = EspnetRecogniser()
    recogniser.load("plain")
    recogniser.network.eval()
    toys = [toy_utterance(seed) for seed in (1, 2, 3)]
    examples = [Example(features, 0.0, recogniser.target(text)) for text, features in toys]
    with torch.no_grad():
        whole = recogniser.network(**recogniser.collate(examples))["loss"]
        each = [recogniser.network(**recogniser.collate([one]))["loss"] for one in examples]
    assert float(whole) == pytest.approx(float(np.mean(each)), rel=1e-4)


def test_seeds_and_targets(recipe):
    first, same, other = (EspnetRecogniser() for _ in range(3))
    for recogniser, seed in ((first, 1), (same, 1), (other, 2)):
        recogniser.load("new.yaml", seed=seed)
    weights = [next(iter(one.network.parameters())) for one in (first, same, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert first.target("A  B") == [3, 2, 4] and first.target("AÄ") == [3, 1]
    assert first.transcripts(LoadedFeatures({"a": np.zeros((20, DIMENSION), np.float32)})).keys() == {"a"}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"token_list": None}, "new.yaml has no token_list; give settings as in egs/fsdd/conf/hybrid.yaml"),
        ({"encodr_conf": {}}, "new.yaml: ESPnet has no setting 'encodr_conf' of a model; correct it"),
        ({"encoder_conf": {"layers": 3}}, "new.yaml: ESPnet cannot build this model: "),
        (
            {"encoder_conf": {"num_layers": 1, "subsample": [4]}},
            "new.yaml: ESPnet miscounts frames where its last layer",
        ),
        ({"input_size": 80}, "has 6 values a frame but "),
    ],
)
def test_a_wrong_settings_file_is_one_sentence(recipe, monkeypatch, changes, sentence):
    (recipe / "wrong").mkdir(exist_ok=True)
    (recipe / "wrong/new.yaml").write_text(yaml.safe_dump({**MODEL, **changes}))
    with pytest.raises(SystemExit) as stopped:
        finetune(monkeypatch, model="wrong/new.yaml", out="bad")
    assert sentence in str(stopped.value) and "\n" not in str(stopped.value)
