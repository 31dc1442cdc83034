"""Whisper models of any length: the encoder, checkpoints, targets and the training loss, against openai-whisper's."""

import dataclasses
import pickle
import re

import numpy as np
import pytest
import torch
import whisper
from accent_helpers import TINY, noise, talkative
from torch.nn import functional as F
from whisper.tokenizer import get_tokenizer

from salience.decoding.whisper import WhisperRecogniser, transcribe
from salience.errors import InputError
from salience.files import write_json
from salience.models.recognisers import Example
from salience.models.whisper import (
    IGNORED,
    MINI,
    TooLong,
    WhisperForTraining,
    alignment_heads,
    check_context,
    collate,
    encode,
    load_model,
    new_model,
    save_model,
    target_tokens,
    tokenizer_of,
)


@pytest.fixture(scope="module")
def model():
    return talkative(1)


def plain_states(model, features):
    """Encoder states, from the weights alone, for any even number of frames."""
    encoder = model.encoder
    x = F.gelu(F.conv1d(features.transpose(1, 2), encoder.conv1.weight, encoder.conv1.bias, padding=1))
    x = F.gelu(F.conv1d(x, encoder.conv2.weight, encoder.conv2.bias, stride=2, padding=1)).transpose(1, 2)
    x = x + encoder.positional_embedding[: x.shape[1]]
    for block in encoder.blocks:
        x = block(x)
    return encoder.ln_post(x)


def test_at_full_context_it_is_the_published_encoder(model):
    features = torch.from_numpy(noise(1, (2, 3000, 80)))
    with torch.no_grad():
        ours, theirs = encode(model, features), model.encoder(features.transpose(1, 2))
    assert ours.shape == (2, 1500, 32)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("frames", [2, 100, 1000, 2998])
def test_shorter_inputs_get_the_first_positions(model, frames):
    features = torch.from_numpy(noise(2, (2, frames, 80)))
    with torch.no_grad():
        ours = encode(model, features)
        assert ours.shape == (2, frames // 2, 32)
        torch.testing.assert_close(ours, plain_states(model, features), rtol=1e-5, atol=1e-5)


def test_more_than_30_seconds_are_refused(model):
    with pytest.raises(InputError, match="3002 frames is longer than the model's 3000"):
        encode(model, torch.zeros(1, 3002, 80))


def test_a_checkpoint_is_openai_whispers(tmp_path, model):
    save_model(model, tmp_path / "exp" / "model.pt")
    assert [p.name for p in (tmp_path / "exp").iterdir()] == ["model.pt"]
    theirs, ours = (
        whisper.load_model(str(tmp_path / "exp" / "model.pt"), device="cpu"),
        load_model(str(tmp_path / "exp" / "model.pt")),
    )
    assert theirs.dims == ours.dims == model.dims
    for name, tensor in model.state_dict().items():
        assert torch.equal(theirs.state_dict()[name], tensor) and torch.equal(ours.state_dict()[name], tensor)
    # The other way round: a file as openai publishes them, in half precision.
    half = {name: tensor.half() for name, tensor in model.state_dict().items()}
    torch.save({"dims": dataclasses.asdict(model.dims), "model_state_dict": half}, tmp_path / "half.pt")
    assert load_model(str(tmp_path / "half.pt")).decoder.ln.weight.dtype == torch.float32


def test_random_weights_are_the_seeds_alone():
    one, two, three = (new_model(TINY, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], two[name]) and torch.isfinite(one[name]).all() for name in one)
    assert not torch.equal(one["decoder.token_embedding.weight"], three["decoder.token_embedding.weight"])
    assert not torch.equal(one["decoder.positional_embedding"], three["decoder.positional_embedding"])


class Trap:
    """What a checkpoint could do if it were unpickled without care."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('the checkpoint ran code')",))


def broken(path, model, how):
    """A checkpoint that is none, in one of several ways."""
    saved = {"dims": dataclasses.asdict(model.dims), "model_state_dict": model.state_dict()}
    if how == "random bytes":
        path.write_bytes(np.random.default_rng(1).bytes(10_000))
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "truncated":
        torch.save(saved, path)
        path.write_bytes(path.read_bytes()[:-5000])
    elif how == "code in it":
        torch.save({**saved, "extra": Trap()}, path)
    elif how == "code in an old pickle":
        path.write_bytes(pickle.dumps(Trap(), protocol=2))
    elif how == "another architecture":
        torch.save({"state_dict": {"classify.weight": torch.zeros(3, 3)}}, path)
    elif how == "other sizes":
        torch.save({**saved, "dims": saved["dims"] | {"n_audio_layer": 2}}, path)
    elif how == "a list":
        torch.save([1, 2, 3], path)


@pytest.mark.parametrize(
    "how",
    [
        "random bytes",
        "empty",
        "truncated",
        "code in it",
        "code in an old pickle",
        "another architecture",
        "other sizes",
        "a list",
    ],
)
def test_what_is_no_checkpoint_is_one_sentence(tmp_path, model, how):
    broken(tmp_path / "bad.pt", model, how)
    with pytest.raises(InputError, match=r"bad\.pt is no Whisper checkpoint that this version can load") as caught:
        load_model(str(tmp_path / "bad.pt"))
    assert "\n" not in str(caught.value)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(
        InputError, match="whisper-large is neither a file nor a folder nor one of Whisper's models .*tiny.*medium"
    ):
        load_model("whisper-large")


def test_an_unknown_language_is_refused(model):
    for language in ("xx", "fa-IR", "", "yue"):
        with pytest.raises(
            InputError, match=f"Whisper knows no language '{language}'; give --language a code such as en, fa or ca"
        ):
            tokenizer_of(model, language)
        with pytest.raises(InputError, match="Whisper knows no language"):
            list(transcribe(model, {"a": noise(1, (100, 80))}, {"a": 100}, language))


def other(vocabulary):
    return new_model(dataclasses.replace(TINY, n_vocab=vocabulary), 1)


def test_an_english_only_model_knows_english():
    model = other(51864)
    assert tokenizer_of(model, "en").sot_sequence_including_notimestamps == (50257, 50362)
    assert tokenizer_of(model, "English").encode(" one") == get_tokenizer(False).encode(" one")
    for use in (
        lambda: tokenizer_of(model, "fa"),
        lambda: list(transcribe(model, {"a": noise(1, (100, 80))}, {"a": 100}, "fa")),
    ):
        with pytest.raises(InputError, match="Whisper knows English only, not 'fa'; give --model a multilingual one"):
            use()


def test_a_vocabulary_of_large_v3_has_cantonese():
    tokenizer = tokenizer_of(other(51866), "yue")
    assert tokenizer.sot_sequence_including_notimestamps == (50258, 50358, 50360, 50364)
    with pytest.raises(InputError, match="the model has 60000 tokens, which is none of Whisper's vocabularies"):
        tokenizer_of(other(60000), "en")


def test_alignment_heads_are_those_of_the_published_model_it_began_as(tmp_path):
    """By the name of its file, where its sizes fit, and kept by whatever is tuned from it."""
    published = new_model(
        dataclasses.replace(TINY, n_text_layer=4, n_text_head=6, n_text_state=12, n_audio_state=12), 1
    )
    half = alignment_heads(published)
    assert half == [[layer, head] for layer in (2, 3) for head in range(6)]
    torch.save(
        {"dims": dataclasses.asdict(published.dims), "model_state_dict": published.state_dict()},
        tmp_path / "tiny.en.pt",
    )
    (tmp_path / "own.pt").write_bytes((tmp_path / "tiny.en.pt").read_bytes())
    (tmp_path / "base.pt").write_bytes((tmp_path / "tiny.en.pt").read_bytes())
    assert (
        alignment_heads(load_model(str(tmp_path / "own.pt")))
        == alignment_heads(load_model(str(tmp_path / "base.pt")))
        == half
    )
    model = load_model(str(tmp_path / "tiny.en.pt"))
    published.set_alignment_heads(whisper._ALIGNMENT_HEADS["tiny.en"])
    assert alignment_heads(model) == published.alignment_heads.to_dense().nonzero().tolist() != half
    save_model(model, tmp_path / "tuned.pt")
    assert alignment_heads(load_model(str(tmp_path / "tuned.pt"))) == alignment_heads(model)


def test_a_checkpoint_knows_whether_it_was_tuned_with_short_context(tmp_path, model, caplog):
    tuned, published = talkative(1), talkative(1)
    tuned.short_context = True
    save_model(tuned, tmp_path / "tuned.pt")
    # As they were before they said so: known by the record of their training, the mini model by its sizes.
    plain = {"dims": dataclasses.asdict(published.dims), "model_state_dict": published.state_dict()}
    torch.save(plain, tmp_path / "published.pt")
    for name, full in (("earlier", False), ("padded", True)):
        (tmp_path / name).mkdir()
        torch.save(plain, tmp_path / name / "model.pt")
        write_json(tmp_path / name / "step.json", {"config": {"full_context": full}})
    mini = new_model(MINI, 1)
    torch.save({"dims": dataclasses.asdict(MINI), "model_state_dict": mini.state_dict()}, tmp_path / "mini.pt")
    found = {
        name: load_model(str(tmp_path / name)).short_context
        for name in ("tuned.pt", "published.pt", "earlier/model.pt", "padded/model.pt", "mini.pt")
    }
    assert found == {
        "tuned.pt": True,
        "published.pt": False,
        "earlier/model.pt": True,
        "padded/model.pt": False,
        "mini.pt": True,
    }
    for name, short in found.items():
        recogniser = WhisperRecogniser(full_context=None)
        recogniser.load(str(tmp_path / name))
        assert recogniser.padded is not short, name
    caplog.set_level("WARNING")
    for name, full_context, warned in (
        ("tuned.pt", False, False),
        ("published.pt", True, False),
        ("published.pt", False, True),
    ):
        caplog.clear()
        check_context(load_model(str(tmp_path / name)), full_context)
        assert ("721 % WER" in caplog.text) == warned, name


def test_targets_are_the_transcription_prompt_the_text_and_the_end(model):
    tokenizer = tokenizer_of(model, "fa")
    tokens = target_tokens(tokenizer, " سلام دنیا ", 448)
    reference = get_tokenizer(True, language="fa", task="transcribe")
    assert [reference.decode([t]) for t in tokens[:4]] == [
        "<|startoftranscript|>",
        "<|fa|>",
        "<|transcribe|>",
        "<|notimestamps|>",
    ]
    assert reference.decode(tokens[4:-1]) == " سلام دنیا" and tokens[-1] == reference.eot


def test_targets_are_limited_to_the_models_context(model):
    tokenizer = tokenizer_of(model, "en")
    words = " ".join(["word"] * 444)
    tokens = target_tokens(tokenizer, words, 448)
    # The decoder reads 448 of them; the last is only predicted.
    assert len(tokens) == 449
    inputs, labels = torch.tensor([tokens[:-1]]), torch.tensor([tokens[1:]])
    assert torch.isfinite(WhisperForTraining(model)(torch.zeros(1, 100, 80), inputs, labels)["loss"])
    with pytest.raises(
        TooLong, match=r"'word word .* has 449 tokens with the prompt, over the 448 that the model's decoder reads"
    ):
        target_tokens(tokenizer, words + " word", 448)


@pytest.mark.parametrize("special", ["<|en|>", "<|endoftext|>", "<|0.00|>", "<|startoftranscript|>"])
def test_special_tokens_in_a_text_are_refused(model, special):
    with pytest.raises(InputError, match=rf"has Whisper's special token {re.escape(special)}; remove it"):
        target_tokens(tokenizer_of(model, "en"), f"one {special}two", 448)
    assert target_tokens(tokenizer_of(model, "en"), "a <|b|> <| c", 448)


def batch_of(model, full_context):
    """Three utterances of different lengths and texts."""
    tokenizer = tokenizer_of(model, "en")
    texts = ["one", "two three four five", "six seven"]
    examples = [
        Example(noise(n, (90 + 70 * n, 80)), -1.0, target_tokens(tokenizer, text, 448)) for n, text in enumerate(texts)
    ]
    return collate(examples, tokenizer.eot, full_context)


@pytest.mark.parametrize("full_context", [True, False])
def test_the_loss_is_the_plain_computation(model, full_context):
    """Of openai-whisper's own logits, token by token, the padding left out."""
    batch = batch_of(model, full_context)
    with torch.no_grad():
        ours = WhisperForTraining(model)(**batch)["loss"].item()
        states = (
            model.embed_audio(batch["features"].transpose(1, 2))
            if full_context
            else plain_states(model, batch["features"])
        )
        logs = model.logits(batch["tokens"], states).double().log_softmax(-1)
    losses = [
        -logs[row, place, label].item()
        for row, labels in enumerate(batch["labels"].tolist())
        for place, label in enumerate(labels)
        if label != IGNORED
    ]
    assert len(losses) == (batch["labels"] != IGNORED).sum() == 5 + 8 + 6
    assert ours == pytest.approx(np.mean(losses), rel=1e-5)


def test_labels_are_the_next_tokens(model):
    batch = batch_of(model, False)
    tokenizer = tokenizer_of(model, "en")
    for tokens, labels in zip(batch["tokens"].tolist(), batch["labels"].tolist(), strict=True):
        real = [label for label in labels if label != IGNORED]
        assert tokens[1 : len(real)] == real[:-1] and real[-1] == tokenizer.eot
        assert set(tokens[len(real) :]) <= {tokenizer.eot}


def gradients(model, checkpointed):
    network = WhisperForTraining(model).train()
    if checkpointed:
        network.activation_checkpointing_enable()
    network.zero_grad()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.append(tensor.numel()) or tensor, lambda tensor: tensor
    ):
        loss = network(**batch_of(model, False))["loss"]
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}, sum(kept)


def test_gradient_checkpointing_saves_memory_and_changes_no_gradient():
    model = talkative(2)
    (plain, dear), (checkpointed, cheap) = gradients(model, False), gradients(model, True)
    assert plain.keys() == checkpointed.keys() and len(plain) == len(list(model.named_parameters()))
    for name, gradient in plain.items():
        torch.testing.assert_close(checkpointed[name], gradient, rtol=1e-5, atol=1e-8)
    assert max(g.abs().max() for g in plain.values()) > 0
    assert cheap < dear


def test_training_can_be_in_half_precision(model):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = WhisperForTraining(model)(**batch_of(model, False))["loss"]
    full = WhisperForTraining(model)(**batch_of(model, False))["loss"]
    assert low.dtype == torch.float32 and low.item() == pytest.approx(full.item(), rel=0.05)


def test_targets_are_in_lower_case_unless_they_are_to_stay_as_they_are(tmp_path, model):
    save_model(model, tmp_path / "model.pt")
    for recogniser, written in (
        (WhisperRecogniser(), " call stella, please."),
        (WhisperRecogniser(lowercase=False), " Call Stella, please."),
    ):
        recogniser.load(str(tmp_path))
        tokens = recogniser.target("Call Stella, please.")
        assert recogniser.tokenizer.decode([token for token in tokens if token < recogniser.tokenizer.eot]) == written
