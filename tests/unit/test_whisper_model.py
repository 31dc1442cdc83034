"""Whisper models of any length: the encoder, checkpoints, targets and the training loss, against openai-whisper's."""

import dataclasses
import pickle

import numpy as np
import pytest
import torch
import whisper
from accent_helpers import TINY, noise, talkative
from torch.nn import functional as F
from whisper.tokenizer import get_tokenizer

from salience.errors import InputError
from salience.models.whisper import (
    IGNORED, WhisperForTraining, encode, load_model, new_model, save_model, target_tokens, tokenizer_of,
)
from salience.training.whisper_data import Example, collate


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
    theirs, ours = whisper.load_model(str(tmp_path / "exp" / "model.pt"), device="cpu"), load_model(str(tmp_path / "exp" / "model.pt"))
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
    ["random bytes", "empty", "truncated", "code in it", "code in an old pickle", "another architecture", "other sizes", "a list"],
)
def test_what_is_no_checkpoint_is_one_sentence(tmp_path, model, how):
    broken(tmp_path / "bad.pt", model, how)
    with pytest.raises(InputError, match=r"bad\.pt is no Whisper checkpoint that this version can load") as caught:
        load_model(str(tmp_path / "bad.pt"))
    assert "\n" not in str(caught.value)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(InputError, match="whisper-large is neither a file nor one of Whisper's models .*tiny.*medium"):
        load_model("whisper-large")


def test_an_unknown_language_is_refused(model):
    with pytest.raises(InputError, match="Whisper knows no language 'xx'"):
        tokenizer_of(model, "xx")


def test_targets_are_the_transcription_prompt_the_text_and_the_end(model):
    tokenizer = tokenizer_of(model, "fa")
    tokens = target_tokens(tokenizer, " سلام دنیا ", 448)
    reference = get_tokenizer(True, language="fa", task="transcribe")
    assert [reference.decode([t]) for t in tokens[:4]] == ["<|startoftranscript|>", "<|fa|>", "<|transcribe|>", "<|notimestamps|>"]
    assert reference.decode(tokens[4:-1]) == " سلام دنیا" and tokens[-1] == reference.eot


def test_targets_are_limited_to_the_models_context(model):
    tokenizer = tokenizer_of(model, "en")
    words = " ".join(["word"] * 443)
    assert len(target_tokens(tokenizer, words, 448)) == 448
    with pytest.raises(InputError, match=r"'word word .* has 449 tokens, over the model's 448; leave it out"):
        target_tokens(tokenizer, words + " word", 448)


def batch_of(model, full_context):
    """Three utterances of different lengths and texts."""
    tokenizer = tokenizer_of(model, "en")
    texts = ["one", "two three four five", "six seven"]
    examples = [Example(noise(n, (90 + 70 * n, 80)), -1.0, target_tokens(tokenizer, text, 448)) for n, text in enumerate(texts)]
    return collate(examples, tokenizer.eot, full_context)


@pytest.mark.parametrize("full_context", [True, False])
def test_the_loss_is_the_plain_computation(model, full_context):
    """Of openai-whisper's own logits, token by token, the padding left out."""
    batch = batch_of(model, full_context)
    with torch.no_grad():
        ours = WhisperForTraining(model)(**batch)["loss"].item()
        states = model.embed_audio(batch["features"].transpose(1, 2)) if full_context else plain_states(model, batch["features"])
        logs = model.logits(batch["tokens"], states).double().log_softmax(-1)
    losses = [
        -logs[row, place, label].item() for row, labels in enumerate(batch["labels"].tolist()) for place, label in enumerate(labels) if label != IGNORED
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
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.numel()) or tensor, lambda tensor: tensor):
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
