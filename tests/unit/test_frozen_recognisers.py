"""Frozen recognisers: the losses of the recognisers themselves, gradients to the signal, bad input."""

import copy

import numpy as np
import pytest
import torch
import yaml
from accent_helpers import run_program
from bubble_helpers import (
    OPTIONS,
    SMALL,
    TEXTS,
    WORDS,
    estimator,
    speech,
    write_hybrid,
    write_keywords,
    write_recordings,
    write_whisper,
)
from torch import nn

from salience.errors import InputError
from salience.features.fbank import INT16, num_frames
from salience.features.logmel import floor_of, log_mel
from salience.files import read_json
from salience.masking.noise import NoiseSettings
from salience.models.keyword_network import KeywordNetwork, KeywordNetworkConfig
from salience.models.keywords import load_recogniser
from salience.models.mask_estimator import MaskEstimator, load_estimator
from salience.models.recognisers import Example, RecogniserChoice, frozen
from salience.models.whisper import WhisperForTraining, collate, load_model, target_tokens, tokenizer_of
from salience.training.bubbles import BubbleNetwork, BubbleWeights

pytest.importorskip("espnet2")

LENGTHS = (5200, 8000, 6700)
"""Samples of the batches here; not longest first."""
KINDS = ("espnet", "whisper", "keyword")
SPOKEN = {
    "espnet": (TEXTS[0], TEXTS[1], "PULP TUTU"),
    "whisper": ("up", "left up", "to the left"),
    "keyword": ("up", "left", "up"),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A recogniser of each kind, by kind."""
    folder = tmp_path_factory.mktemp("three recognisers")
    with pytest.MonkeyPatch.context() as patch:
        hybrid = write_hybrid(folder, patch)
    return {"espnet": hybrid, "whisper": write_whisper(folder), "keyword": write_keywords(folder)}


@pytest.fixture(scope="module")
def all_frozen(models):
    return {kind: frozen(RecogniserChoice(kind, model)) for kind, model in models.items()}


def batch(order=(0, 1, 2)):
    """Signals (3, samples) on the scale of 16-bit integers, and their own lengths."""
    signals = [INT16 * torch.from_numpy(speech(n, LENGTHS[n])) for n in order]
    return nn.utils.rnn.pad_sequence(signals, batch_first=True), torch.tensor([LENGTHS[n] for n in order])


def slowly_hybrid(model, signal, text):
    """ESPnet's own forward pass with one utterance, its features from another implementation of Kaldi's fbank."""
    import kaldi_native_fbank
    from espnet2.tasks.asr import ASRTask

    espnet, arguments = ASRTask.build_model_from_file(model / "config.yaml", model / "model.pth", "cpu")
    espnet.encoder.enc[0].dropout = 0.0  # which ESPnet does not turn off by itself
    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither, options.frame_opts.samp_freq, options.mel_opts.num_bins = 0.0, 16000, 80
    computer = kaldi_native_fbank.OnlineFbank(options)
    computer.accept_waveform(16000, signal.tolist())
    features = np.stack([computer.get_frame(n) for n in range(computer.num_frames_ready)])
    ids = [
        arguments.token_list.index("<space>" if c == " " else c) if c in [*arguments.token_list, " "] else 1
        for c in text
    ]
    with torch.no_grad():
        return float(
            espnet.eval()(
                torch.from_numpy(features)[None],
                torch.tensor([len(features)]),
                torch.tensor([ids]),
                torch.tensor([len(ids)]),
            )[0]
        )


def slowly_whisper(model, order):
    """The loss of fine-tuning with the features of stage 2."""
    whisper = load_model(str(model))
    tokenizer = tokenizer_of(whisper, "en")
    matrices = log_mel([speech(n, LENGTHS[n]) for n in order])
    targets = [target_tokens(tokenizer, SPOKEN["whisper"][n], 448) for n in order]
    data = collate(
        [Example(m, floor_of(m), t) for m, t in zip(matrices, targets, strict=True)], tokenizer.eot, full_context=False
    )
    with torch.no_grad():
        each = WhisperForTraining(whisper.eval())(**data)["loss"]
    return float(each) * sum(len(t) - 1 for t in targets) / len(order)


def slowly_keywords(model, n):
    """-log of the word's softmax."""
    recogniser = load_recogniser(model)
    with torch.no_grad():
        logits = recogniser(recogniser.decibels(torch.from_numpy(speech(n, LENGTHS[n]))[None]))[0].double().numpy()
    return float(np.log(np.exp(logits).sum()) - logits[WORDS.index(SPOKEN["keyword"][n])])


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 0, 1), (0,)])
@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_that_of_the_recogniser_itself_in_any_order(models, all_frozen, kind, order):
    signals, samples = batch(order)
    texts = [SPOKEN[kind][n] for n in order]
    found = float(all_frozen[kind].losses(signals, samples, texts).mean())
    if kind == "espnet":
        pytest.importorskip("kaldi_native_fbank")
        expected = np.mean(
            [slowly_hybrid(models[kind], signals[row, : samples[row]], text) for row, text in enumerate(texts)]
        )
    elif kind == "whisper":
        expected = slowly_whisper(models[kind], order)
    else:
        expected = np.mean([slowly_keywords(models[kind], n) for n in order])
    assert found == pytest.approx(expected, rel=2e-4)
    # Another text is another loss.
    other = SPOKEN[kind][0 if order[0] == 1 else 1]
    assert float(all_frozen[kind].losses(signals, samples, [other, *texts[1:]]).mean()) != pytest.approx(
        found, rel=1e-3
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_log_probability_of_a_text_is_its_loss_alone(all_frozen, kind):
    """In a batch of any order and texts of any length."""
    signals, samples = batch((1, 2, 0))
    texts = [SPOKEN[kind][n] for n in (1, 2, 0)]
    found = all_frozen[kind].log_probabilities(signals, samples, texts)
    losses = [
        float(all_frozen[kind].losses(signals[row : row + 1, :own], samples[row : row + 1], [text]))
        for row, (own, text) in enumerate(zip(samples.tolist(), texts, strict=True))
    ]
    assert found.tolist() == pytest.approx([-loss for loss in losses], rel=1e-4)
    assert not found.requires_grad and max(losses) > 1.01 * min(losses)


def test_a_text_that_no_path_of_ctc_has_costs_what_the_decoder_says(all_frozen):
    """Nothing infinite, and so no gradient that is none, as in ESPnet's own training."""
    signals, samples = batch((0, 1))
    signals.requires_grad_()
    losses = all_frozen["espnet"].losses(signals, samples, [200 * "A", TEXTS[1]])
    losses.sum().backward()
    assert torch.isfinite(losses).all() and torch.isfinite(signals.grad).all() and signals.grad[1].any()


def test_a_hybrid_takes_white_space_of_any_kind_for_a_space(all_frozen):
    signals, samples = batch((0,))
    found, other = (float(all_frozen["espnet"].losses(signals, samples, [text])) for text in ("A B", "A\u00a0 B"))
    assert found == other


@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_beyond_an_end_is_not_heard(all_frozen, kind):
    """Of the mixture only the utterance; for Whisper, whose windows see the padding, that padding must be silence."""
    signals, samples = batch()
    found = all_frozen[kind].losses(signals, samples, SPOKEN[kind])
    if kind != "whisper":
        loud = signals.clone()
        for row, own in zip(loud, LENGTHS, strict=True):
            row[own:] = 9000.0
        torch.testing.assert_close(all_frozen[kind].losses(loud, samples, SPOKEN[kind]), found)
    heard = all_frozen[kind].transcribe(signals, samples)
    assert heard == [
        all_frozen[kind].transcribe(signals[n : n + 1, : LENGTHS[n]], samples[n : n + 1])[0] for n in range(3)
    ]
    assert all(isinstance(text, str) for text in heard)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_reaches_the_signal_as_finite_differences_say(models, kind):
    one = frozen(RecogniserChoice(kind, models[kind]))
    signals, samples = batch()
    if kind != "whisper":  # its filters are in float32
        signals, _ = signals.double(), one.model.double()
    direction = torch.stack([torch.from_numpy(speech(50 + n, max(LENGTHS))) for n in range(3)]).to(signals.dtype)
    direction *= torch.arange(max(LENGTHS)) < samples[:, None]
    signals.requires_grad_()
    loss = one.losses(signals, samples, SPOKEN[kind]).mean()
    loss.backward()
    slope = float((signals.grad * direction).sum())
    step = {"espnet": 20.0, "whisper": 20.0, "keyword": 20.0}[kind]
    with torch.no_grad():
        ahead, behind = (
            float(one.losses(signals + s * direction, samples, SPOKEN[kind]).mean()) for s in (step, -step)
        )
    assert abs(ahead - behind) > 1e-4
    assert slope == pytest.approx((ahead - behind) / (2 * step), rel=0.05)
    for row, own in enumerate(LENGTHS):
        inside = signals.grad[row, :own]
        assert torch.isfinite(signals.grad).all() and float((inside != 0).float().mean()) > 0.9
        # A window of Whisper's may look beyond the end, where the mixture has no noise to learn from.
        assert kind == "whisper" or not signals.grad[row, own:].any()


@pytest.mark.parametrize("kind", KINDS)
def test_the_recogniser_stays_as_it_is_while_the_estimator_learns(models, kind):
    one = frozen(RecogniserChoice(kind, models[kind]))
    before = copy.deepcopy(one.model.state_dict())
    network = BubbleNetwork(estimator(), one, BubbleWeights(), NoiseSettings(gain=1000.0)).train()
    old = copy.deepcopy(network.estimator.state_dict())
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1, weight_decay=0.1)
    signals, samples = batch()
    noise = torch.randn(signals.shape, generator=torch.Generator().manual_seed(1)) * (
        torch.arange(max(LENGTHS)) < samples[:, None]
    )
    network(signals, noise, samples, SPOKEN[kind])["loss"].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.estimator.parameters())
    optimizer.step()
    assert any(not torch.equal(old[name], tensor) for name, tensor in network.estimator.state_dict().items())
    after = one.model.state_dict()
    dense = {name for name, tensor in before.items() if not tensor.is_sparse}
    assert dense and all(torch.equal(before[name], after[name]) for name in dense)
    assert all(p.grad is None and not p.requires_grad for p in one.model.parameters())
    # Nor is it saved with the estimator.
    assert {name.split(".")[0] for name in network.state_dict()} == {"estimator", "updates"}


def test_a_hybrid_has_no_chance_in_it(models):
    """cuDNN wants recurrent layers in training mode; neither dropout nor SpecAugment may come with it."""
    from espnet2.tasks.asr import ASRTask

    theirs = ASRTask.build_model_from_file(models["espnet"] / "config.yaml", models["espnet"] / "model.pth", "cpu")[0]
    # ESPnet's projection drops units in any mode, which is why the other tests here see to it that it stays quiet.
    assert theirs.specaug is not None and any(getattr(m, "dropout", 0.0) == 0.2 for m in theirs.modules())
    one = frozen(RecogniserChoice("espnet", models["espnet"]))
    signals, samples = batch()
    modes = []
    for layer in one.model.modules():
        if isinstance(layer, nn.RNNBase):
            layer.register_forward_pre_hook(lambda layer, _: modes.append(layer.training))
    losses = [one.losses(signals, samples, SPOKEN["espnet"]).tolist() for _ in range(2)]
    assert losses[0] == losses[1] and modes and all(modes)
    # SpecAugment and plain dropout go by the mode of the model.
    assert not one.model.training and not any(m.training for m in one.model.modules() if isinstance(m, nn.Dropout))


def test_a_hybrid_hears_the_best_path_of_ctc(all_frozen):
    """Of an untrained model nearly nothing; with its CTC bent towards one letter, that letter."""
    one = all_frozen["espnet"]
    signals, samples = batch()
    letter = one.arguments.token_list.index("L")
    old = one.model.ctc.ctc_lo.bias.data.clone()
    try:
        one.model.ctc.ctc_lo.bias.data[letter] += 100
        assert one.transcribe(signals, samples) == ["L", "L", "L"]
    finally:
        one.model.ctc.ctc_lo.bias.data = old


def test_keyword_networks_hear_the_most_probable_word(all_frozen, models):
    signals, samples = batch()
    recogniser = load_recogniser(models["keyword"])
    expected = []
    for n in range(3):
        with torch.no_grad():
            expected.append(
                WORDS[int(recogniser(recogniser.decibels(torch.from_numpy(speech(n, LENGTHS[n]))[None])).argmax())]
            )
    assert all_frozen["keyword"].transcribe(signals, samples) == expected
    words = set()
    for bias in range(3):
        one = frozen(RecogniserChoice("keyword", models["keyword"]))
        one.model.dense[-1].bias.data[bias] += 1e4
        words |= set(one.transcribe(signals, samples))
    assert words == set(WORDS)


def test_the_keyword_network_has_the_papers_parameters():
    model = KeywordNetwork(KeywordNetworkConfig(words=tuple(f"w{n}" for n in range(35))))
    assert sum(p.numel() for p in model.parameters()) == 486_022
    decibels = model.decibels(
        torch.stack([torch.zeros(16000), 0.5 * torch.cos(2 * torch.pi * 1000 / 16000 * torch.arange(16000))])
    )
    assert decibels.shape == (2, 257, 126) and model(decibels).shape == (2, 35)
    assert float(decibels[0].max()) == float(decibels[0].min()) == -200.0
    # Half of the amplitude times the window's sum, 256, stands at 1000 Hz.
    assert float(decibels[1, 32, 60]) == pytest.approx(20 * np.log10(0.25 * 256), abs=1e-3)


def test_the_keyword_network_has_residuals():
    model = KeywordNetwork(KeywordNetworkConfig(words=WORDS, window=64))
    for block in model.convs:
        nn.init.zeros_(block.pointwise.weight)
        nn.init.zeros_(block.pointwise.bias)
    x = torch.randn(2, 33, 11)
    torch.testing.assert_close(model(x), model.dense(x.mean(dim=2)))


@pytest.mark.parametrize(("window", "frames"), [(512, 126), (64, 3)])
def test_the_keyword_network_is_that_of_plain_layers(window, frames):
    """Logits and gradients, with each layer called as itself; nothing depends on the layout in memory."""
    torch.manual_seed(5)
    model = KeywordNetwork(KeywordNetworkConfig(words=WORDS, window=window)).double()
    x = torch.randn(5, window // 2 + 1, frames, dtype=torch.float64, requires_grad=True)

    def plainly(y):
        for block in model.convs:
            y = y + nn.functional.selu(block.pointwise(block.depthwise(y)))
        return model.dense(y.mean(dim=2))

    def with_gradients(forward, y):
        logits = forward(y)
        return [logits, *torch.autograd.grad(logits.square().sum(), [x, *model.parameters()])]

    expected = with_gradients(plainly, x)
    for found in (with_gradients(model, x), with_gradients(model, x.transpose(1, 2).contiguous().transpose(1, 2))):
        torch.testing.assert_close(found, expected)
    # In float32, where other kernels do it, up to its rounding.
    single = KeywordNetwork(model.config)
    single.load_state_dict(model.state_dict())
    logits = single(x.detach().float())
    logits.square().sum().backward()
    for theirs, ours in zip(expected, [logits, None, *(p.grad for p in single.parameters())], strict=True):
        if ours is not None:
            assert float((ours.detach().double() - theirs.detach()).norm() / theirs.detach().norm()) < 1e-4
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert float((single(x.float()) - expected[0]).norm() / expected[0].norm()) < 0.05


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("espnet", "none/config.yaml does not exist; train that model first"),
        ("keyword", "none does not exist; train that keyword network first"),
        ("whisper", "none is neither a file nor a folder nor one of Whisper's models"),
    ],
)
def test_an_absent_recogniser_is_one_sentence(tmp_path, kind, words):
    with pytest.raises(InputError, match=words):
        frozen(RecogniserChoice(kind, tmp_path / "none"))


def test_a_recogniser_without_a_gradient_is_one_sentence():
    with pytest.raises(InputError, match="Wav2vec2Recogniser cannot be used frozen"):
        frozen(RecogniserChoice("wav2vec2", "none"))


def test_broken_recognisers_are_one_sentence(tmp_path, models):
    (tmp_path / "whisper.pt").write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match="is no Whisper checkpoint"):
        frozen(RecogniserChoice("whisper", tmp_path / "whisper.pt"))
    with pytest.raises(InputError, match="Whisper knows no language 'qq'"):
        frozen(RecogniserChoice("whisper", models["whisper"], "qq"))
    folder = write_keywords(tmp_path)
    (folder / "config.json").write_text('{"words": ["a"], "window": 128, "hop": 64, "blocks": 2}')
    with pytest.raises(InputError, match="holds no keyword network that can be read .*; train it again"):
        frozen(RecogniserChoice("keyword", folder))
    (folder / "config.json").write_text("{}")
    with pytest.raises(InputError, match="holds no keyword network that can be read .KeyError."):
        frozen(RecogniserChoice("keyword", folder))


def test_a_hybrid_of_other_features_is_one_sentence(tmp_path, monkeypatch):
    model = write_hybrid(tmp_path, monkeypatch, bins=6)
    with pytest.raises(InputError) as refused:
        frozen(RecogniserChoice("espnet", model))
    assert str(refused.value) == f"{model} reads features of 6 dimensions, and fbank has 80; train it on fbank"


def test_texts_that_cannot_be_asked_about_are_known(all_frozen):
    assert (
        all_frozen["espnet"].check("UP") is None
        and all_frozen["whisper"].check("up") is None
        and all_frozen["keyword"].check("up") is None
    )
    assert all_frozen["espnet"].check("") == all_frozen["whisper"].check("") == "it is empty"
    assert all_frozen["keyword"].check("right") == "it is none of the recogniser's words (down, left, up)"


def test_frames_are_those_of_each_utterance(all_frozen):
    features, frames = all_frozen["espnet"]._features(*batch())
    assert frames.tolist() == [num_frames(n) for n in LENGTHS] and features.shape == (3, num_frames(8000), 80)
    assert SMALL.hop != 160  # the estimator's frames are others


def test_whisper_is_asked_about_words_and_not_about_their_spelling(all_frozen):
    whisper = all_frozen["whisper"]
    assert (
        whisper.normalise("Rubout G, M, 39.")
        == whisper.normalise("RUBOUT G M THREE NINE")
        != whisper.normalise("RUBOUT G M")
    )
    one, other = (whisper.losses(*batch(), texts) for texts in (("UP", "LEFT UP", "UP"), ("up", "left up", "up")))
    assert torch.equal(one, other)
    assert all_frozen["espnet"].normalise("UP") == "UP"


@pytest.mark.parametrize("kind", KINDS)
def test_an_estimator_is_trained_against_each(models, tmp_path, monkeypatch, kind):
    """By the settings alone."""
    texts = {"espnet": TEXTS, "whisper": ("up", "left up"), "keyword": ("up", "left")}[kind]
    write_recordings(tmp_path, texts=texts)
    training = {
        "epochs": 2,
        "batch_size": 3,
        "optimizer": "adadelta",
        "learning_rate": 1.0,
        "epsilon": 1e-4,
        "schedule": "constant",
        "warmup": 0.0,
    }
    settings = {"recogniser": {"kind": kind, "model": str(models[kind])}, "training": training, "allowance": 1000.0}
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(settings))
    monkeypatch.chdir(tmp_path)
    before = {
        path: path.read_bytes()
        for path in ([models[kind]] if kind == "whisper" else [p for p in models[kind].iterdir() if p.is_file()])
    }
    run_program(
        monkeypatch, "train_mask_estimator", config="settings.yaml", data="data", out="exp/estimator", **OPTIONS
    )
    scores = [e for e in read_json(tmp_path / "exp/estimator/history.json") if "eval_dev_choice" in e]
    assert len(scores) == 2 and all(
        np.isfinite(e["eval_dev_cer"]) and 0 <= e["eval_dev_noise_proportion"] <= 100 for e in scores
    )
    model = load_estimator(tmp_path / "exp/estimator")
    assert model.sizes == SMALL and all(torch.isfinite(p).all() for p in model.parameters())
    start = estimator_at_start(1)
    assert all(not torch.equal(p, start[name]) for name, p in model.named_parameters())
    assert {path: path.read_bytes() for path in before} == before


def estimator_at_start(seed):
    """The parameters from which the program starts."""
    torch.manual_seed(seed)
    return dict(MaskEstimator(SMALL).named_parameters())
