"""Decoding with ESPnet: our batched scoring against its own search, greedy CTC, hypotheses as files, bad input."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from accent_helpers import noise, run_program, write_features
from espnet_helpers import DIMENSION, SETTINGS, prepare_tokens, toy_utterance, train_toy, write_toy_recipe

from salience.data.tables import read_table
from salience.decoding import hybrid
from salience.decoding.hybrid import BeamSearch, Search, ctc_greedy, load_hybrid
from salience.features.archives import Archive

pytest.importorskip("espnet2")
SEARCH = Search(beam_size=4)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A recipe with listeners of both attentions that know the toy language, and a language model."""
    folder = tmp_path_factory.mktemp("toy recipe")
    write_toy_recipe(folder, {"train": 48, "dev": 8})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        prepare_tokens(patch)
        quick = {"optim": "adam", "optim_conf": {"lr": 0.02}, "max_epoch": 14, "scheduler": None}
        train_toy(patch, quick, out="exp/location")
        dot = {**SETTINGS["decoder_conf"], "num_layers": 2, "att_conf": {"atype": "dot", "adim": 12}}
        train_toy(patch, quick | {"max_epoch": 1, "decoder_conf": dot}, out="exp/dot")
        settings = {
            "lm": "seq_rnn",
            "lm_conf": {"unit": 8, "nlayers": 1},
            "optim": "adam",
            "batch_size": 8,
            "max_epoch": 1,
            "best_model_criterion": [["valid", "loss", "min"]],
            "use_matplotlib": False,
            "use_tensorboard": False,
        }
        run_program(
            patch,
            "train_espnet",
            task="lm",
            data="data",
            tokens="data/tokens",
            out="exp/lm",
            training=yaml.safe_dump(settings, default_flow_style=True, width=10**6).strip(),
        )
    return folder


@pytest.fixture
def recipe(trained, monkeypatch):
    monkeypatch.chdir(trained)
    return trained


def decode(monkeypatch, **options):
    defaults = {
        "recogniser": "espnet",
        "models": "exp/location",
        "features": "dump",
        "out": "exp/decode",
        "sets": "dev",
        "search.beam_size": 4,
    }
    run_program(monkeypatch, "decode", **(defaults | options))


@pytest.mark.parametrize(("model", "lm"), [("location", None), ("location", "exp/lm"), ("dot", None)])
def test_scoring_hypotheses_together_changes_no_score(recipe, monkeypatch, model, lm):
    from espnet.nets.batch_beam_search import BatchBeamSearch

    ours = BeamSearch(recipe / "exp" / model, SEARCH, lm and recipe / lm)
    assert isinstance(ours._speech2text.beam_search, BatchBeamSearch)
    monkeypatch.setattr(hybrid, "score_together", lambda search: None)
    theirs = BeamSearch(recipe / "exp" / model, SEARCH, lm and recipe / lm)
    assert not isinstance(theirs._speech2text.beam_search, BatchBeamSearch)
    for seed in range(2000, 2006):
        features = toy_utterance(seed)[1]
        (_, _, ids, one), *_ = ours._speech2text(features.copy())
        (_, _, expected, other), *_ = theirs._speech2text(features.copy())
        assert ids == expected
        assert float(one.score) == pytest.approx(float(other.score), abs=1e-3)


def test_the_toy_language_is_recognised(recipe):
    search = BeamSearch(recipe / "exp/location", SEARCH)
    model, arguments = load_hybrid(recipe / "exp/location")
    assert arguments.input_size == DIMENSION and not model.training
    toys = [toy_utterance(seed) for seed in range(3000, 3012)]
    right = sum(search(features) == text for text, features in toys)
    greedy = sum(
        "".join(ctc_greedy(model, torch.from_numpy(f)[None], [len(f)])[0]).replace("<space>", " ") == t for t, f in toys
    )
    # Chance is about one in fifty.
    assert right >= 6, (right, greedy)
    assert greedy >= 4, (right, greedy)


def test_a_greedy_batch_is_what_its_utterances_are(recipe):
    model, _ = load_hybrid(recipe / "exp/location")
    model.train()
    matrices = [torch.from_numpy(toy_utterance(seed)[1]) for seed in range(4000, 4006)] + [torch.zeros(0, DIMENSION)]
    padded = torch.nn.utils.rnn.pad_sequence(matrices, batch_first=True, padding_value=7.0)
    before = padded.clone()
    together = ctc_greedy(model, padded, torch.tensor([len(m) for m in matrices]))
    assert torch.equal(padded, before) and model.training
    assert together == [ctc_greedy(model, m[None], [len(m)])[0] for m in matrices]
    assert together[-1] == [] and len({tuple(tokens) for tokens in together}) > 2
    assert not {"<blank>", "<sos/eos>"} & {token for tokens in together for token in tokens}


@pytest.mark.parametrize("frames", [0, 1, 2, 3])
def test_a_few_frames_do_no_harm(recipe, frames):
    assert isinstance(BeamSearch(recipe / "exp/location", SEARCH)(noise(1, (frames, DIMENSION))), str)
    assert frames or BeamSearch(recipe / "exp/location", SEARCH)(np.zeros((0, DIMENSION), np.float32)) == ""


@pytest.mark.parametrize("ratio", [-40.0, 3.0])
def test_no_more_tokens_are_searched_for_than_there_are_frames(recipe, ratio):
    """A hypothesis that never ends, as the penalty rewards length, ended with an error in CTC behind the last frame."""
    search = replace(SEARCH, maxlenratio=ratio, penalty=50.0)
    text = BeamSearch(recipe / "exp/location", search)(noise(1, (30, DIMENSION)))
    assert 0 < len(text) <= 30


def test_hypotheses_of_all_folders_are_written_and_then_skipped(recipe, monkeypatch, caplog):
    write_features(recipe / "noisy", "dev", {"s-a": noise(5, (1, DIMENSION)), "s-b": toy_utterance(5000)[1]})
    decode(monkeypatch, features="dump noisy/dump", out="exp/clean exp/noisy")
    clean = read_table(recipe / "exp/clean/dev/text")
    assert list(clean) == list(read_table(recipe / "data/dev/text"))
    assert list(read_table(recipe / "exp/noisy/dev/text")) == ["s-a", "s-b"]
    search = BeamSearch(recipe / "exp/location", SEARCH)
    for utterance, text in clean.items():
        assert text == search(Archive(recipe / "dump/dev/feats.scp")[utterance])

    def never(*_):
        raise AssertionError("the model was loaded although nothing is to be done")

    monkeypatch.setattr(hybrid, "load_hybrid", never)
    monkeypatch.setattr(BeamSearch, "__init__", never)
    caplog.clear()
    with caplog.at_level("INFO"):
        decode(monkeypatch, features="dump noisy/dump", out="exp/clean exp/noisy")
    assert caplog.text.count("up to date") == 2


def test_several_recognisers_write_what_each_would_alone(recipe, monkeypatch):
    loaded = []
    load = BeamSearch.__init__
    monkeypatch.setattr(
        BeamSearch, "__init__", lambda self, folder, *others: loaded.append(folder.name) or load(self, folder, *others)
    )
    decode(
        monkeypatch,
        models="exp/dot exp/location exp/location",
        features="dump dump noisy/dump",
        out="exp/m/dot exp/m/location exp/m/noisy",
    )
    assert loaded == ["dot", "location"]
    heard = {}
    for name in ("dot", "location"):
        search = BeamSearch(recipe / "exp" / name, SEARCH)
        heard[name] = {
            utterance: search(matrix) for utterance, matrix in Archive(recipe / "dump/dev/feats.scp").items()
        }
        assert read_table(recipe / f"exp/m/{name}/dev/text") == heard[name]
    assert heard["dot"] != heard["location"]
    assert (recipe / "exp/m/noisy/dev/text").read_text() == (recipe / "exp/noisy/dev/text").read_text()


def test_bad_input_is_one_sentence(recipe, monkeypatch):
    write_features(recipe / "wide", "dev", {"s-a": noise(1, (20, 80))})
    for options, sentence in (
        ({"features": "wide/dump"}, f"has 80 values a frame but exp/location reads {DIMENSION}; give the features"),
        ({"features": "dump wide/dump"}, "--features names 2, and --out 1 folders; give one, or one for each"),
        ({"models": "exp/location exp/dot"}, "--models names 2, and --out 1 folders; give one, or one for each"),
        ({"models": "exp/absent"}, "exp/absent/config.yaml does not exist; train that model first"),
        ({"features": "absent"}, "absent/dev/feats.scp does not exist"),
        ({"lm": "exp/nolm"}, "exp/nolm/config.yaml does not exist"),
    ):
        with pytest.raises(SystemExit) as stopped:
            decode(monkeypatch, out="exp/bad", **options)
        assert sentence in str(stopped.value) and "\n" not in str(stopped.value)
    assert not (recipe / "exp/bad/dev/text").exists()
