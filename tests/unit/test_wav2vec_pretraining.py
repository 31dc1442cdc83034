"""Pretraining of wav2vec 2.0: masks, negatives, the loss, health, collapse, resume."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from accent_helpers import local_program, run_program
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Wav2Vec2ForPreTraining
from wav2vec_helpers import saved, sounds, tiny, tones

from salience.errors import InputError
from salience.masking.spans import SpanMasking
from salience.models.wav2vec import frames_of, load_trained, real_frames
from salience.randomness import generator
from salience.training import wav2vec_phases
from salience.training.settings import TrainingSettings
from salience.training.trainer import train
from salience.training.wav2vec_phases import Phase
from salience.training.wav2vec_pretraining import (
    Alarm,
    Crops,
    Gumbel,
    Health,
    Objective,
    PretrainingUtterances,
    Wav2VecPretraining,
    collate,
    contrastive,
    legacy_loss,
    mean_cosine,
    raise_alarm,
    sample_negatives,
)

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")

OBJECTIVE = Objective(negatives=20, gumbel=Gumbel(decay=0.99))
CROPS = Crops(max_seconds=5, min_seconds=0.5)


@settings(deadline=None, max_examples=100)
@given(st.integers(4, 400), st.floats(0.05, 0.9), st.integers(1, 15), st.integers(1, 60), st.integers(0, 10**6))
def test_negatives_are_other_masked_frames_of_the_utterance(frames, share, length, count, seed):
    rng = generator(seed)
    masked = SpanMasking(share, length).mask(frames, rng, least=2)
    assert masked.shape == (frames,) and masked.sum() >= 2
    negatives = sample_negatives(masked, count, rng)
    assert negatives.shape == (masked.sum(), count)
    assert masked[negatives].all()
    assert (negatives != np.flatnonzero(masked)[:, None]).all()


def test_every_other_masked_frame_is_equally_likely():
    masked = np.array([False, True, True, False, True, True, False])
    drawn = sample_negatives(masked, 30000, generator("uniform"))
    for row, own in enumerate((1, 2, 4, 5)):
        shares = {frame: float((drawn[row] == frame).mean()) for frame in {1, 2, 4, 5} - {own}}
        assert all(abs(share - 1 / 3) < 0.015 for share in shares.values())


@pytest.mark.parametrize("masking", [SpanMasking(), SpanMasking(0.15, 10), SpanMasking(0.5, 5)])
def test_the_masked_share_is_near_the_configured_one(masking):
    shares = [masking.mask(700, generator(n)).mean() for n in range(200)]
    assert abs(np.mean(shares) - masking.expected()) < 0.01
    assert SpanMasking().expected() == pytest.approx(0.49, abs=0.005)


def test_a_batchs_negatives_never_come_from_padding_or_neighbours(tmp_path):
    waveforms = sounds(tmp_path, "train", {f"s-{n}": tones(n, 0.6 + 0.4 * n) for n in range(4)})
    model = tiny(Wav2Vec2ForPreTraining)
    utterances = PretrainingUtterances([waveforms], model.config, OBJECTIVE, CROPS, 1)
    batch = collate([utterances[(0, n)] for n in range(4)], model.config)
    frames = batch["masked"].shape[1]
    real = real_frames(model.config, batch["real"])
    assert real.sum(1).tolist() == [frames_of(model.config, 16000 * (6 + 4 * n) // 10) for n in range(4)]
    rows = batch["masked"].nonzero()[:, 0]
    assert (batch["negatives"] // frames == rows[:, None]).all()
    assert batch["masked"].flatten()[batch["negatives"]].all()
    assert not (batch["masked"] & ~real).any()


def test_draws_belong_to_the_utterance_and_the_epoch(tmp_path):
    waveforms = sounds(tmp_path, "train", {f"s-{n}": tones(n, 2.0) for n in range(3)})
    config = tiny(Wav2Vec2ForPreTraining).config
    short = Crops(max_seconds=1.0, min_seconds=0.5)
    one, two = (PretrainingUtterances([waveforms], config, OBJECTIVE, short, seed) for seed in (1, 1))
    other = PretrainingUtterances([waveforms], config, OBJECTIVE, short, 2)
    first, again = one[(3, 1)], two[(3, 1)]
    assert len(first.signal) == 16000
    for name in ("signal", "masked", "negatives"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
    for differs in (one[(4, 1)], other[(3, 1)]):
        assert not np.array_equal(first.masked, differs.masked) and not np.array_equal(first.signal, differs.signal)


def test_short_utterances_are_dropped_and_none_left_is_one_sentence(tmp_path):
    waveforms = sounds(tmp_path, "train", {"s-1": tones(1, 0.4), "s-2": tones(2, 0.8)})
    config = tiny(Wav2Vec2ForPreTraining).config
    kept = PretrainingUtterances([waveforms], config, OBJECTIVE, CROPS, 1)
    assert [key for _, key in kept.items] == ["s-2"] and kept.dropped == 1
    with pytest.raises(InputError, match=r"no utterance of .* lasts 1.0 s; lower --crops.min_seconds"):
        PretrainingUtterances([waveforms], config, OBJECTIVE, Crops(), 1)


def tiny_batch(tmp_path, model, objective=OBJECTIVE):
    waveforms = sounds(tmp_path, "batch", {f"s-{n}": tones(n, 0.8 + 0.3 * n) for n in range(3)})
    utterances = PretrainingUtterances([waveforms], model.config, objective, CROPS, 1)
    return collate([utterances[("dev", n)] for n in range(3)], model.config)


def test_the_loss_equals_a_plain_one_and_transformers_own(tmp_path):
    model = tiny(Wav2Vec2ForPreTraining).eval()
    batch = tiny_batch(tmp_path, model)
    network = Wav2VecPretraining(model, OBJECTIVE).eval()
    with torch.no_grad():
        ours = network.measures(**batch)
        size = OBJECTIVE.negatives
        shape = (*batch["masked"].shape, size)
        wide = torch.zeros(shape, dtype=torch.long)
        wide[batch["masked"]] = batch["negatives"]
        theirs = model(
            batch["signals"],
            attention_mask=batch["real"],
            mask_time_indices=batch["masked"],
            sampled_negative_indices=wide,
        )
    count = int(batch["masked"].sum())
    assert float(ours["loss"]) == pytest.approx(float(theirs.loss) / count, rel=1e-5)

    states, codes = (ours[name].numpy().astype(np.float64) for name in ("states", "codes"))
    cosine = lambda a, b: float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))  # noqa: E731
    flat, losses, hits = codes.reshape(-1, codes.shape[-1]), [], []
    for (row, frame), negatives in zip(batch["masked"].nonzero().tolist(), batch["negatives"].tolist(), strict=True):
        own, state = codes[row, frame], states[row, frame]
        others = [flat[n] for n in negatives]
        different = [cosine(state, other) / 0.1 for other in others if not np.array_equal(other, own)]
        positive = cosine(state, own) / 0.1
        losses.append(np.log(np.exp([positive, *different]).sum()) - positive)
        hits.append((positive >= max(different, default=-np.inf)) / (1 + len(others) - len(different)))
    # Evaluation chooses one code a frame: the perplexity of those choices over the masked frames.
    model_codes = model.quantizer.weight_proj(ours["features"][batch["masked"]]).view(count, 2, -1).argmax(-1).numpy()
    shares = [np.bincount(model_codes[:, group], minlength=16) / count for group in range(2)]
    perplexity = sum(np.exp(-sum(p * np.log(p) for p in share if p)) for share in shares)
    assert float(ours["loss"]) == pytest.approx(np.mean(losses) + 0.1 * (32 - perplexity) / 32, rel=1e-5)
    assert float(ours["accuracy"]) == pytest.approx(np.mean(hits), rel=1e-6)


def test_one_code_for_all_is_chance_and_not_success():
    states, codes = torch.randn(5, 8), torch.ones(9, 8)
    loss, found = contrastive(states, codes, torch.arange(5), torch.randint(5, 9, (5, 20)), 0.1)
    assert loss.abs().max() == 0 and torch.allclose(found, torch.full((5,), 1 / 21))


def test_mean_cosine_is_that_of_all_pairs():
    states = torch.randn(2, 5, 4)
    real = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    for row, count in enumerate((5, 3)):
        pairs = [
            torch.cosine_similarity(states[row, i], states[row, j], dim=0)
            for i in range(count)
            for j in range(count)
            if i != j
        ]
        assert float(mean_cosine(states, real)[row]) == pytest.approx(float(sum(pairs)) / len(pairs), abs=1e-5)


def test_the_temperature_falls_by_updates_and_not_by_batches():
    gumbel = Gumbel()
    assert (
        gumbel.temperature(0) == 2
        and gumbel.temperature(1000) == pytest.approx(2 * 0.999995**1000)
        and gumbel.temperature(10**7) == 0.5
    )
    model = tiny(Wav2Vec2ForPreTraining)
    network = Wav2VecPretraining(model, OBJECTIVE, accumulate=2, earlier=10)
    network.batches += 5
    assert network.updates == 12


def learn(folder, waveforms, dev, objective=OBJECTIVE, epochs=20, rate=1e-2, interrupted_at=None, seed=1):
    """Train a tiny model; the network and the log."""
    model = tiny(Wav2Vec2ForPreTraining, hidden_dropout=0.0) if epochs > 5 else tiny(Wav2Vec2ForPreTraining)
    utterances = PretrainingUtterances([waveforms], model.config, objective, CROPS, seed)
    network = Wav2VecPretraining(model, objective)
    health = Health(PretrainingUtterances([dev], model.config, objective, CROPS, seed), 8)

    def score(trained):
        if interrupted_at is not None and round(int(trained.batches) * 8 / len(utterances)) == interrupted_at:
            raise KeyboardInterrupt
        return health(trained)

    chosen = TrainingSettings(epochs=epochs, batch_size=8, learning_rate=rate)
    log = train(
        network,
        utterances,
        utterances.lengths,
        partial(collate, config=model.config),
        score,
        "eval_dev_accuracy",
        True,
        folder,
        chosen,
        seed,
    )
    return network, log


@pytest.fixture(scope="module")
def melodies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("melodies")
    return sounds(folder, "train", {f"s-{n:02}": tones(n) for n in range(24)}), sounds(
        folder, "dev", {f"d-{n}": tones(100 + n) for n in range(6)}
    )


def test_a_tiny_model_learns_structured_sounds(melodies, tmp_path):
    network, log = learn(tmp_path, *melodies)
    scores = [entry for entry in log if "eval_dev_accuracy" in entry]
    assert scores[0]["eval_dev_accuracy"] < 3 * OBJECTIVE.chance
    assert scores[-1]["eval_dev_accuracy"] > 6 * OBJECTIVE.chance
    assert scores[-1]["eval_dev_perplexity"] > 10 and scores[-1]["eval_dev_frame_cosine"] < 0.5
    assert scores[-1]["eval_dev_masked_share"] == pytest.approx(0.49, abs=0.08)
    assert all(entry["grad_norm"] > 0 for entry in log if "loss" in entry)
    best = max(scores, key=lambda entry: entry["eval_dev_accuracy"])
    assert network.updates == best["step"] and scores[-1]["step"] == 60
    trained = [entry["loss"] for entry in log if "loss" in entry]
    assert scores[-1]["eval_train_loss"] == pytest.approx(trained[-1], rel=1e-4) and trained[-1] < trained[0] - 1


def test_resuming_gives_identical_weights(melodies, tmp_path):
    straight, _ = learn(tmp_path / "straight", *melodies, epochs=3)
    with pytest.raises(KeyboardInterrupt):
        learn(tmp_path / "cut", *melodies, epochs=3, interrupted_at=2)
    torch.manual_seed(99)
    resumed, _ = learn(tmp_path / "cut", *melodies, epochs=3)
    assert resumed.updates == straight.updates
    for name, weights in straight.state_dict().items():
        assert torch.equal(weights, resumed.state_dict()[name]), name


LEGACY = Objective(kind="legacy", masking=SpanMasking(0.15, 10), stop=False)


def test_the_published_loss_is_least_at_total_collapse():
    """-1 + 0.1 * 2, exactly, and nowhere less: perplexity of two codebooks is at least 2, a cosine at most 1."""
    same = torch.ones(2, 7, 5)
    assert float(legacy_loss(same, same, torch.tensor(2.0), 0.1)) == pytest.approx(-0.8, abs=1e-6)
    for seed in range(20):
        torch.manual_seed(seed)
        logits = torch.randn(30, 2, 16) * 10 ** torch.empty(1).uniform_(-2, 2)
        mean = logits.softmax(-1).mean(0)
        perplexity = torch.exp(-torch.xlogy(mean, mean).sum(-1)).sum()
        assert float(legacy_loss(torch.randn(2, 7, 5), torch.randn(2, 7, 5), perplexity, 0.1)) > -0.8


def test_the_published_objective_collapses(melodies, tmp_path):
    objective = replace(LEGACY, negatives=20)
    _network, log = learn(tmp_path, *melodies, objective=objective, epochs=10)
    losses = [entry["loss"] for entry in log if "loss" in entry]
    assert losses[0] > losses[-1] and losses[-1] == pytest.approx(-0.8, abs=0.02)
    last = [entry for entry in log if "eval_dev_accuracy" in entry][-1]
    assert last["eval_dev_perplexity"] == pytest.approx(2, abs=0.05)
    assert (
        last["eval_dev_accuracy"] == pytest.approx(objective.chance, rel=0.1) and last["eval_dev_frame_cosine"] > 0.99
    )


def test_the_published_objective_keeps_its_last_and_most_collapsed_state(melodies, tmp_path, monkeypatch):
    sets = {waveforms.data.name: waveforms.data.parent for waveforms in melodies}
    program, objective = local_program("pretrain_wav2vec"), replace(LEGACY, negatives=20)
    options = {
        "data": sets["train"],
        "dev_set": "dev",
        "objective": objective,
        "crops": CROPS,
        "training": TrainingSettings(batch_size=8),
    }
    start = str(saved(tmp_path / "start", Wav2Vec2ForPreTraining, hidden_dropout=0.0))
    program.pretrain_wav2vec(out=tmp_path / "out", start=start, phases=[Phase("train", 1e-2, 8)], **options)
    scored = [
        entry for entry in json.loads((tmp_path / "out/history.json").read_text()) if "eval_dev_accuracy" in entry
    ]
    assert max(scored, key=lambda entry: entry["eval_dev_accuracy"]) is not scored[-1]
    assert [entry.get("kept", False) for entry in scored] == [False] * 7 + [True]
    model = load_trained(tmp_path / "out", Wav2Vec2ForPreTraining)
    with torch.no_grad():
        health = Health(PretrainingUtterances([melodies[1]], model.config, objective, CROPS, 1), 8)(
            Wav2VecPretraining(model, objective).eval()
        )
    for name in ("dev_accuracy", "dev_perplexity", "dev_frame_cosine"):
        assert health[name] == pytest.approx(scored[-1][f"eval_{name}"], rel=1e-4)
    assert health["dev_frame_cosine"] > scored[0]["eval_dev_frame_cosine"]


def test_shares_of_a_batch_weigh_by_what_their_losses_are_means_of(tmp_path):
    """As the trainer weighs them where several processes share a batch."""
    for objective in (replace(OBJECTIVE, diversity=0.0), replace(LEGACY, negatives=20, diversity=0.0)):
        model = tiny(Wav2Vec2ForPreTraining).eval()
        waveforms = sounds(tmp_path, "batch", {f"s-{n}": tones(n, 0.8 + 0.9 * (n > 1)) for n in range(4)})
        utterances = PretrainingUtterances([waveforms], model.config, objective, CROPS, 1)
        network = Wav2VecPretraining(model, objective).eval()
        with torch.no_grad():
            short, long = (
                network(**collate([utterances[("dev", n)] for n in pair], model.config)) for pair in ((0, 1), (2, 3))
            )
            singles = [network(**collate([utterances[("dev", n)]], model.config)) for n in range(4)]
        for pair, alone in ((short, singles[:2]), (long, singles[2:])):
            assert int(pair["count"]) == sum(int(one["count"]) for one in alone)
            expected = sum(float(one["loss"]) * int(one["count"]) for one in alone) / int(pair["count"])
            assert float(pair["loss"]) == pytest.approx(expected, rel=1e-4)
        assert int(long["count"]) > 1.5 * int(short["count"])


def test_a_collapse_is_one_clear_sentence(melodies, tmp_path):
    objective = replace(LEGACY, stop=True, alarm=Alarm(after=15))
    with pytest.raises(
        InputError,
        match=(
            r"^the model has collapsed after \d+ updates: its code perplexity is 2\.0\d, where 2 is the minimum;"
            r" .*--objective.stop false$"
        ),
    ):
        learn(tmp_path, *melodies, objective=objective, epochs=10)


@pytest.mark.parametrize(
    ("perplexity", "accuracy", "cosine", "updates", "alarmed"),
    [
        (2.1, 0.5, 0.1, 2000, True),
        (2.1, 0.5, 0.1, 10, False),
        (30, 0.0099, 0.995, 2000, True),
        (30, 0.0099, 0.5, 2000, False),
        (30, 0.2, 0.995, 2000, False),
    ],
)
def test_the_alarm_needs_what_it_says(perplexity, accuracy, cosine, updates, alarmed):
    scores = {"dev_perplexity": perplexity, "dev_accuracy": accuracy, "dev_frame_cosine": cosine}
    if alarmed:
        with pytest.raises(InputError, match="has collapsed"):
            raise_alarm(scores, Objective(), updates, 2)
    else:
        raise_alarm(scores, Objective(), updates, 2)


def test_the_program_runs_its_phases_and_resumes_between_them(tmp_path, monkeypatch):
    for name, first in (("one", 0), ("two", 20), ("dev", 40)):
        sounds(tmp_path, name, {f"s-{n}": tones(first + n, 0.8) for n in range(6)})
    start = saved(tmp_path / "start", Wav2Vec2ForPreTraining)
    program = local_program("pretrain_wav2vec")
    phases = [Phase("one", 1e-3, 2), Phase("one two", 5e-4, 1)]
    options = {
        "data": tmp_path / "data",
        "phases": phases,
        "dev_set": "dev",
        "start": str(start),
        "objective": OBJECTIVE,
        "crops": CROPS,
        "training": TrainingSettings(batch_size=4, accumulate=2),
    }
    program.pretrain_wav2vec(out=tmp_path / "straight", **options)
    history = json.loads((tmp_path / "straight" / "history.json").read_text())
    assert {entry["phase"] for entry in history} == {1, 2}
    assert [entry["update"] for entry in history if "loss" in entry] == [1, 2, 4]
    assert not (tmp_path / "straight" / "phases").exists()

    calls = []

    def fails_in_second(*arguments, **named):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return train(*arguments, **named)

    monkeypatch.setattr(wav2vec_phases, "train", fails_in_second)
    with pytest.raises(KeyboardInterrupt):
        program.pretrain_wav2vec(out=tmp_path / "cut", **options)
    program.pretrain_wav2vec(out=tmp_path / "cut", **options)
    assert len(calls) == 3
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()
    program.pretrain_wav2vec(out=tmp_path / "cut", **options)
    assert len(calls) == 3


def test_a_further_part_goes_on_with_temperature_alarm_and_history(tmp_path, monkeypatch):
    for name, first in (("one", 0), ("two", 20), ("dev", 40)):
        sounds(tmp_path, name, {f"s-{n}": tones(first + n, 0.8) for n in range(4)})
    program = local_program("pretrain_wav2vec")
    seen = []
    monkeypatch.setattr(
        wav2vec_phases, "Wav2VecPretraining", lambda *given: seen.append(given[-1]) or Wav2VecPretraining(*given)
    )
    options = {
        "data": tmp_path / "data",
        "dev_set": "dev",
        "objective": OBJECTIVE,
        "crops": CROPS,
        "training": TrainingSettings(batch_size=4),
    }
    start = str(saved(tmp_path / "start", Wav2Vec2ForPreTraining))
    program.pretrain_wav2vec(
        out=tmp_path / "a", start=start, phases=[Phase("one", 1e-3, 2), Phase("one", 1e-3, 1)], **options
    )
    further = {
        "out": tmp_path / "b",
        "start": str(tmp_path / "a"),
        "continued": True,
        "phases": [Phase("two", 1e-3, 2)],
    }
    program.pretrain_wav2vec(**further, **options)
    first, history = (json.loads((tmp_path / name / "history.json").read_text()) for name in "ab")
    assert history[: len(first)] == first
    assert [entry["update"] for entry in history if "loss" in entry] == [1, 2, 3, 4, 5]
    assert [entry["phase"] for entry in history if "loss" in entry] == [1, 1, 2, 3, 3]
    assert seen == [0, 2, 3]
    alarmed = replace(OBJECTIVE, alarm=Alarm(after=4, perplexity=100))
    with pytest.raises(InputError, match="the model has collapsed after 4 updates"):
        program.pretrain_wav2vec(**further, **options | {"objective": alarmed})


def test_the_command_line_takes_phases_from_yaml(tmp_path, monkeypatch):
    for name in ("one", "dev"):
        sounds(tmp_path, name, {f"s-{n}": tones(n, 0.8) for n in range(4)})
    config = tmp_path / "pretraining.yaml"
    config.write_text(
        "phases:\n  - {sets: one, learning_rate: 8.0e-5, epochs: 1}\nobjective:\n  negatives: 10\n  masking: {share:"
        " 0.5}\ncrops: {min_seconds: 0.5}\ntraining: {batch_size: 4}\n"
    )
    start = saved(tmp_path / "start", Wav2Vec2ForPreTraining)
    run_program(
        monkeypatch,
        "pretrain_wav2vec",
        config=config,
        data=tmp_path / "data",
        out=tmp_path / "out",
        dev_set="dev",
        start=start,
    )
    record = json.loads((tmp_path / "out" / "step.json").read_text())
    assert (
        record["config"]["objective"]["masking"] == {"share": 0.5, "length": 10}
        and record["config"]["objective"]["kappa"] == 0.1
    )


def test_several_threads_find_the_same_gradient_each_time():
    draw = torch.Generator().manual_seed(1)
    states, codes = torch.randn(240, 64, generator=draw), torch.randn(480, 64, generator=draw)
    positives, negatives = torch.randperm(480, generator=draw)[:240], torch.randint(0, 480, (240, 100), generator=draw)
    gradients = []
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for _ in range(10):
            learnt = codes.clone().requires_grad_()
            contrastive(states, learnt, positives, negatives, 0.1)[0].sum().backward()
            gradients.append(learnt.grad)
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(gradient, gradients[0]) for gradient in gradients)
