"""Low-rank updates and the beam with a language model, with the libraries themselves: peft, pyctcdecode, KenLM."""

import numpy as np
import pytest
import torch
from accent_helpers import local_program
from transformers import Wav2Vec2ForCTC
from wav2vec_helpers import sounds, tiny, tones, vocabulary

from salience.data.symbols import Symbols
from salience.data.tables import read_table
from salience.decoding import ctc
from salience.decoding.ctc import beam, greedy
from salience.errors import InputError
from salience.masking.apply import Masker
from salience.masking.systems import System
from salience.models.wav2vec import Learning, load_ctc, prepare, save_model
from salience.training.settings import TrainingSettings
from salience.training.trainer import train
from salience.training.wav2vec_ctc import TranscribedUtterances, Wav2VecCTC, collate

SETTINGS = TrainingSettings(epochs=3, batch_size=2, learning_rate=1e-2, warmup=0, weight_decay=0, schedule="constant")


# Low-rank updates


def adapted(tmp_path, learning: Learning, **settings):
    """A tiny recogniser, what gives it back whole, and a function that trains it for some epochs under a folder."""
    pytest.importorskip("peft")
    symbols = Symbols(vocabulary(tmp_path))
    model = tiny(Wav2Vec2ForCTC, vocab_size=len(symbols), pad_token_id=symbols.blank, hidden_dropout=0.0, **settings)
    finish = prepare(model, learning)
    waveforms = sounds(tmp_path, "train", {f"s-{n}": tones(n, 0.8) for n in range(4)})
    utterances = TranscribedUtterances(waveforms, {key: [4, 5] for key in waveforms}, model.config, Masker(System(), 1))

    def learn(folder, score=lambda _: {"dev_x": 0.0}):
        train(
            Wav2VecCTC(model),
            utterances,
            utterances.lengths,
            lambda items: collate(items, model.config),
            score,
            "eval_dev_x",
            False,
            folder,
            SETTINGS,
            1,
            rates=learning.rate,
        )

    return model, finish, learn, symbols, waveforms


def heard(model, waveforms):
    with torch.no_grad():
        return torch.cat([model.eval()(torch.from_numpy(signal)[None]).logits[0] for signal in waveforms.values()])


def test_only_the_updates_and_the_head_learn(tmp_path):
    model, _, learn, _, _ = adapted(tmp_path, Learning(lora=2))
    before = {name: weights.clone() for name, weights in model.state_dict().items()}
    learn(tmp_path / "out")
    moved = {name for name, weights in model.state_dict().items() if not torch.equal(weights, before[name])}
    assert {"lm_head.weight", "lm_head.bias"} < moved
    others = {name for name in moved if not name.startswith("lm_head")}
    assert all(".lora_A." in name or ".lora_B." in name for name in others)
    for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
        assert (
            sum(f".{projection}." in name and ".lora_B." in name for name in others) == model.config.num_hidden_layers
        )


def test_merged_weights_say_the_same_and_read_back_exactly(tmp_path):
    model, finish, learn, symbols, waveforms = adapted(tmp_path, Learning(lora=2, lora_alpha=8))
    untouched = heard(model, waveforms)
    learn(tmp_path / "out")
    learnt = heard(model, waveforms)
    whole = finish().cpu()
    assert isinstance(whole, Wav2Vec2ForCTC) and not any("lora" in name for name in whole.state_dict())
    merged = heard(whole, waveforms)
    assert (learnt - untouched).abs().max() > 0.1 and torch.allclose(merged, learnt, atol=1e-5)
    save_model(whole, tmp_path / "out", symbols)
    read, _ = load_ctc(tmp_path / "out")
    assert torch.equal(heard(read, waveforms), merged)


def test_an_interrupted_training_goes_on_exactly(tmp_path):
    whole, _, learn, _, _ = adapted(tmp_path / "a", Learning(lora=2))
    learn(tmp_path / "a" / "out")
    cut, _, learn, _, _ = adapted(tmp_path / "b", Learning(lora=2))
    scored = []

    def stop(_):
        scored.append(1)
        if len(scored) == 2:
            raise KeyboardInterrupt
        return {"dev_x": 0.0}

    with pytest.raises(KeyboardInterrupt):
        learn(tmp_path / "b" / "out", stop)
    again, _, learn, _, _ = adapted(tmp_path / "b", Learning(lora=2))
    learn(tmp_path / "b" / "out")
    expected, found = whole.state_dict(), again.state_dict()
    assert expected.keys() == found.keys() and all(torch.equal(expected[name], found[name]) for name in expected)
    assert any(not torch.equal(expected[name], weights) for name, weights in cut.state_dict().items())


# The beam


def arpa(path, likely: str):
    """A bigram model of two words in which `likely` comes after `<s>` and the other hardly ever."""
    other = "cosa" if likely == "casa" else "casa"
    path.write_text(
        "\\data\\\nngram 1=5\nngram 2=2\n\n\\1-grams:\n-3.0\t<unk>\n0\t<s>\t-0.3\n-1.0\t</s>\n"
        f"-0.2\t{likely}\t-0.1\n-4.0\t{other}\t-0.1\n\n\\2-grams:\n-0.1\t<s> {likely}\n-4.0\t<s> {other}\n\n\\end\\\n",
        encoding="utf-8",
    )
    return path


def unsure(symbols: Symbols) -> np.ndarray:
    """Log-probabilities of c, a or o, s, a, in which o is a little likelier than a."""
    shares = np.full((9, len(symbols)), 1e-6)
    for frame, letters in enumerate(("c", "", "ao", "", "s", "", "a", "", "|")):
        chosen = [symbols.numbers[letter] for letter in letters] or [symbols.blank]
        shares[frame, chosen] = (0.48, 0.52) if letters == "ao" else 1
    return np.log(shares / shares.sum(1, keepdims=True)).astype(np.float32)


def test_a_beam_without_a_model_of_words_follows_the_sound(tmp_path):
    pytest.importorskip("pyctcdecode")
    symbols = Symbols(vocabulary(tmp_path))
    scores = unsure(symbols)
    assert greedy(symbols)(scores) == beam(symbols, 10)(scores) == "cosa"


@pytest.mark.parametrize("likely", ["casa", "cosa"])
def test_the_model_of_words_decides_where_the_sound_does_not(tmp_path, likely):
    pytest.importorskip("pyctcdecode")
    pytest.importorskip("kenlm")
    symbols = Symbols(vocabulary(tmp_path))
    scores, model = unsure(symbols), arpa(tmp_path / "words.arpa", likely)
    assert beam(symbols, 10, model)(scores) == likely
    # Of no weight it changes nothing.
    assert beam(symbols, 10, model, weight=0.0, word_bonus=0.0)(scores) == "cosa"


def test_the_program_decodes_with_a_model_of_words(tmp_path, monkeypatch):
    pytest.importorskip("pyctcdecode")
    pytest.importorskip("kenlm")
    symbols = Symbols(vocabulary(tmp_path))
    save_model(tiny(Wav2Vec2ForCTC, vocab_size=len(symbols), pad_token_id=symbols.blank), tmp_path / "ctc", symbols)
    sounds(tmp_path, "test", {f"s-{n}": tones(n, 0.8) for n in range(2)})
    said = {}
    monkeypatch.setattr(ctc, "log_probabilities", lambda *_: iter([(f"s-{n}", unsure(symbols)) for n in range(2)]))
    for likely in ("casa", "cosa"):
        # The same file with other words in it: the step is done again.
        lm = arpa(tmp_path / "words.arpa", likely)
        local_program("decode").decode(
            ctc.Wav2vec2Recogniser(beam=10, lm=lm),
            models=str(tmp_path / "ctc"),
            data=tmp_path / "data",
            sets="test",
            out=str(tmp_path / "ctc/decode"),
        )
        said[likely] = read_table(tmp_path / "ctc" / "decode" / "test" / "text")
    assert said == {likely: {"s-0": likely, "s-1": likely} for likely in ("casa", "cosa")}


def test_words_keep_their_accents_and_signs(tmp_path):
    pytest.importorskip("pyctcdecode")
    symbols = Symbols(vocabulary(tmp_path))
    text = "l'àvia col·lecciona para-sols a l'illa"
    path = [frame for letter in text.replace(" ", "|") for frame in (symbols.numbers[letter], symbols.blank)]
    scores = np.full((len(path), len(symbols)), -15.0, np.float32)
    scores[range(len(path)), path] = 0.0
    assert beam(symbols, 5)(scores) == greedy(symbols)(scores) == text


def test_a_file_that_is_no_language_model_is_one_sentence(tmp_path):
    pytest.importorskip("pyctcdecode")
    pytest.importorskip("kenlm")
    symbols = Symbols(vocabulary(tmp_path))
    for text in ("casa cosa\n", "", "\\data\\\nngram 1=2\n\n\\1-grams:\n-1.0\n"):
        (tmp_path / "words.arpa").write_text(text)
        with pytest.raises(InputError, match=r"words.arpa is no n-gram model that KenLM can read; give ARPA text"):
            beam(symbols, 10, tmp_path / "words.arpa")


def test_a_language_model_without_kenlm_is_one_sentence(tmp_path, monkeypatch):
    pyctcdecode = pytest.importorskip("pyctcdecode")
    monkeypatch.setitem(__import__("sys").modules, "kenlm", None)
    monkeypatch.setattr(pyctcdecode.decoder, "kenlm", None, raising=False)
    symbols = Symbols(vocabulary(tmp_path))
    with pytest.raises(
        InputError, match=r"needs the package kenlm, which is not installed; pip install ufal.kenlm, or leave out --lm$"
    ):
        beam(symbols, 10, arpa(tmp_path / "words.arpa", "casa"))
    assert beam(symbols, 10)(unsure(symbols)) == "cosa"
