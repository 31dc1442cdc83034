"""The one way a model is trained: exact resume, batches by length, and the same number of updates for all variants."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from accent_helpers import TINY, noise
from corpora_helpers import TOP
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import Dataset

from salience.features.logmel import floor_of
from salience.masking.apply import Masker
from salience.masking.systems import read_systems
from salience.models import accent_cnn
from salience.models.accent_cnn import AccentCNN, AccentCNNConfig
from salience.models.recognisers import Example
from salience.models.whisper import IGNORED, WhisperForTraining, collate, new_model
from salience.saliency.base import METHODS, SaliencyMap, columns_for
from salience.training.batches import POOL, LengthBuckets
from salience.training.finetuning import AugmentedUtterances
from salience.training.settings import TrainingSettings
from salience.training.trainer import remove_checkpoints, train, whole_checkpoint

# An interrupted training leaves TensorBoard's thread behind.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")

SETTINGS = TrainingSettings(epochs=4, batch_size=4, learning_rate=1e-2, warmup=0.2, weight_decay=0.1)


class Toy(Dataset):
    """Twelve small spectrograms of two classes; remembers what it was asked for, and may fail at one."""

    def __init__(self, fail_at: tuple[int, int] | None = None) -> None:
        self.asked: list[tuple[int, int]] = []
        self.fail_at = fail_at

    def __len__(self) -> int:
        return 12

    def __getitem__(self, where: tuple[int, int]) -> tuple[np.ndarray, int]:
        if where == self.fail_at:
            raise Interrupted
        self.asked.append(where)
        epoch, index = where
        return noise(1000 * epoch + index, (30, 16)) + index % 2, index % 2


class Interrupted(Exception):
    """The power cut of these tests."""


def toy_batch(items):
    return {
        "features": torch.from_numpy(np.stack([f for f, _ in items])),
        "labels": torch.tensor([n for _, n in items]),
    }


def toy_model() -> AccentCNN:
    """A network with dropout, whose training therefore depends on the state of the random numbers."""
    torch.manual_seed(3)
    return AccentCNN(
        AccentCNNConfig(
            classes=("a", "b"), bins=16, frames=32, channels=(2, 2, 3, 3), hidden=4, dropout=0.3, dense_dropout=0.3
        )
    )


class Score:
    """A dev score that goes through given values, one an epoch, and may fail at one."""

    def __init__(self, values=(1.0, 3.0, 2.0, 2.5, 2.6), start=0, fail_in=None) -> None:
        self.values, self.epoch, self.fail_in = values, start, fail_in

    def __call__(self, model) -> dict[str, float]:
        assert not model.training and not torch.is_grad_enabled()
        if self.epoch == self.fail_in:
            raise Interrupted
        self.epoch += 1
        return {"dev_score": self.values[self.epoch - 1]}


def learn(folder, data=None, score=None, settings=SETTINGS, seed=1, greater=True):
    """Train the toy; its final weights and the log."""
    data, score = data or Toy(), score or Score()
    model = toy_model()
    log = train(model, data, list(range(12)), toy_batch, score, "eval_dev_score", greater, folder, settings, seed)
    return model.state_dict(), log


def same(one, two) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """The weights and the log of a training that nothing disturbed."""
    return learn(tmp_path_factory.mktemp("straight"))


def test_training_is_repeatable_and_depends_on_the_seed(straight, tmp_path):
    one, log = straight
    again, same_log = learn(tmp_path / "again")
    other, _ = learn(tmp_path / "other", seed=2)
    assert same(one, again) and not same(one, other) and not same(one, toy_model().state_dict())
    numbers = lambda log: [(e.get("step"), e.get("loss"), e.get("eval_dev_score")) for e in log]  # noqa: E731
    assert numbers(log) == numbers(same_log)
    assert [e["eval_dev_score"] for e in log if "eval_dev_score" in e] == [1.0, 3.0, 2.0, 2.5]


@pytest.mark.parametrize(
    ("values", "greater", "best"),
    [((1.0, 3.0, 2.0, 2.5), True, 2), ((5.0, 3.0, 2.0, 2.5), False, 3), ((1.0, 2.0, 3.0, 4.0), True, 4)],
)
def test_the_best_epochs_weights_are_kept(tmp_path, values, greater, best):
    """Equal to the weights in that epoch's checkpoint, seen while the next epoch was scored."""
    seen = []

    class Watching(Score):
        def __call__(self, model):
            seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
            return super().__call__(model)

    weights, _ = learn(tmp_path, score=Watching(values), greater=greater)
    assert len(seen) == 4 and not same(seen[0], seen[1])
    assert [same(weights, epoch) for epoch in seen].index(True) == best - 1


@pytest.mark.parametrize("epoch", [0, 1, 2, 3])
@pytest.mark.parametrize("moment", ["scoring", "within the epoch"])
def test_an_interrupted_training_ends_with_the_same_weights(straight, tmp_path, epoch, moment):
    with pytest.raises(Interrupted):
        if moment == "scoring":
            learn(tmp_path / "cut", score=Score(fail_in=epoch))
        else:
            learn(tmp_path / "cut", data=Toy(fail_at=(epoch, 7)))
    torch.manual_seed(99)
    np.random.seed(99)
    resumed = Toy()
    weights, log = learn(tmp_path / "cut", data=resumed, score=Score(start=epoch))
    assert same(weights, straight[0])
    # Nothing that was done is done again.
    assert {e for e, _ in resumed.asked} == set(range(epoch, 4))
    assert [e["loss"] for e in log if "loss" in e] == [e["loss"] for e in straight[1] if "loss" in e]


def test_early_stopping_stops_and_resumes_alike(tmp_path):
    patient = replace(SETTINGS, epochs=5, patience=2)
    data = Toy()
    straight, _ = learn(tmp_path / "straight", data=data, settings=patient)
    assert {e for e, _ in data.asked} == {0, 1, 2, 3}
    with pytest.raises(Interrupted):
        learn(tmp_path / "cut", score=Score(fail_in=3), settings=patient)
    resumed = Toy()
    weights, _ = learn(tmp_path / "cut", data=resumed, score=Score(start=3), settings=patient)
    assert same(weights, straight) and {e for e, _ in resumed.asked} == {3}


@pytest.mark.parametrize("half", ["no state", "half a state", "weights only"])
def test_a_checkpoint_that_was_not_written_to_its_end_is_ignored(straight, tmp_path, half):
    with pytest.raises(Interrupted):
        learn(tmp_path / "cut", score=Score(fail_in=2))
    checkpoints = tmp_path / "cut" / "checkpoints"
    assert sorted(p.name for p in checkpoints.glob("checkpoint-*")) == ["checkpoint-3", "checkpoint-6"]
    broken = checkpoints / "checkpoint-9"
    shutil.copytree(checkpoints / "checkpoint-6", broken)
    state = broken / "trainer_state.json"
    if half == "half a state":
        state.write_text(state.read_text()[:100])
    else:
        state.unlink()
    if half == "weights only":
        for file in broken.iterdir():
            if file.name != "model.safetensors":
                file.unlink()
    weights, _ = learn(tmp_path / "cut", score=Score(start=2))
    assert same(weights, straight[0])


def test_the_state_is_what_the_trainer_writes_last(tmp_path):
    """What `whole_checkpoint` relies on."""
    learn(tmp_path, settings=replace(SETTINGS, epochs=1))
    files = sorted((tmp_path / "checkpoints" / "checkpoint-3").iterdir(), key=lambda p: p.stat().st_mtime_ns)
    assert files[-1].name == "trainer_state.json"
    assert {"model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth"} <= {p.name for p in files}


def test_the_last_whole_checkpoint_is_found_by_number(tmp_path):
    for number in (9, 10, 100):
        (tmp_path / f"checkpoint-{number}").mkdir()
        (tmp_path / f"checkpoint-{number}" / "trainer_state.json").write_text("{}")
    assert whole_checkpoint(tmp_path).name == "checkpoint-100"
    (tmp_path / "checkpoint-100" / "trainer_state.json").write_text("{")
    assert whole_checkpoint(tmp_path).name == "checkpoint-10" and not (tmp_path / "checkpoint-100").exists()
    assert whole_checkpoint(tmp_path / "none") is None


def test_a_killed_training_ends_with_the_same_weights(straight, tmp_path):
    """A real kill, with nothing cleaned up, in the middle of writing a checkpoint."""
    program = f"""
        import os, signal, sys
        from pathlib import Path
        sys.path[:0] = [{str(TOP / "local")!r}, {str(TOP / "tests" / "unit")!r}]
        import transformers.trainer
        import test_training as t
        whole = transformers.trainer.Trainer._save_rng_state
        saved = []
        def half(trainer, folder):
            saved.append(folder)
            if len(saved) == 3:
                Path(folder, "rng_state.pth").write_bytes(b"half")
                os.kill(os.getpid(), signal.SIGKILL)
            whole(trainer, folder)
        transformers.trainer.Trainer._save_rng_state = half
        t.learn(Path({str(tmp_path / "cut")!r}))
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], check=False, capture_output=True, text=True
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr[-2000:]
    weights, _ = learn(tmp_path / "cut", score=Score(start=2))
    assert same(weights, straight[0])


def test_a_finished_training_leaves_no_checkpoints(tmp_path):
    learn(tmp_path, settings=replace(SETTINGS, epochs=1))
    assert list((tmp_path / "checkpoints").iterdir())
    remove_checkpoints(tmp_path)
    assert not (tmp_path / "checkpoints").exists()


def test_the_learning_rate_rises_and_falls(tmp_path):
    """Warm-up over a share of the updates, then linear to zero."""
    _, log = learn(tmp_path, settings=replace(SETTINGS, warmup=0.5))
    rates = [e["learning_rate"] for e in log if "learning_rate" in e]
    # 12 updates, 6 of warm-up; logged after 3, 6, 9 and 12, the rate of the update before.
    assert rates == pytest.approx([1e-2 * share for share in (2 / 6, 5 / 6, 4 / 6, 1 / 6)])


def test_adadelta_is_torchs_own_with_the_settings(tmp_path):
    """Replayed without the trainer: the same batches, clipped by the same norm, and no decay of anything else."""
    chosen = replace(
        SETTINGS,
        epochs=2,
        optimizer="adadelta",
        learning_rate=0.7,
        rho=0.8,
        epsilon=1e-3,
        weight_decay=0.05,
        schedule="constant",
        warmup=0.0,
        gradient_clip=0.5,
        precision="float32",
    )
    model = still_model()
    train(
        model,
        Toy(),
        list(range(12)),
        toy_batch,
        Score(),
        "eval_dev_score",
        False,
        tmp_path,
        replace(chosen, score_every=2),
        1,
    )
    replayed, buckets = still_model(), LengthBuckets(list(range(12)), 4, 1)
    optimizer = torch.optim.Adadelta(replayed.parameters(), lr=0.7, rho=0.8, eps=1e-3, weight_decay=0.05)
    for epoch in range(2):
        buckets.set_epoch(epoch)
        for where in buckets:
            optimizer.zero_grad()
            replayed(**toy_batch([Toy()[w] for w in where]))["loss"].backward()
            assert torch.nn.utils.clip_grad_norm_(replayed.parameters(), 0.5) > 0
            optimizer.step()
    assert not same(model.state_dict(), still_model().state_dict())
    for name, weights in replayed.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], weights, atol=1e-6, rtol=1e-5)


def still_model():
    """The toy without dropout."""
    model = toy_model()
    for layer in model.modules():
        if isinstance(layer, (torch.nn.Dropout, torch.nn.Dropout2d)):
            layer.p = 0.0
    return model


@pytest.mark.parametrize(
    ("every", "epochs", "scored"), [(1, 3, [1, 2, 3]), (2, 4, [2, 4]), (2, 5, [2, 4, 5]), (9, 4, [4])]
)
def test_scores_and_checkpoints_come_after_every_nth_epoch_and_the_last(tmp_path, every, epochs, scored):
    _, log = learn(tmp_path, settings=replace(SETTINGS, epochs=epochs, score_every=every))
    assert [round(e["epoch"]) for e in log if "eval_dev_score" in e] == scored
    assert [round(e["epoch"]) for e in log if "loss" in e] == list(range(1, epochs + 1))
    kept = {int(p.name.split("-")[1]) for p in (tmp_path / "checkpoints").glob("checkpoint-*")}
    assert kept <= {3 * epoch for epoch in scored} and 3 * epochs in kept


@pytest.mark.parametrize("optimizer", ["adamw", "adadelta"])
@pytest.mark.parametrize("cut", [2, 3])
def test_a_training_that_is_scored_every_second_epoch_resumes_with_the_same_weights(tmp_path, optimizer, cut):
    sparse = replace(
        SETTINGS,
        epochs=5,
        score_every=2,
        optimizer=optimizer,
        epsilon=1e-3,
        learning_rate=0.5 if optimizer == "adadelta" else 1e-2,
    )
    straight, _ = learn(tmp_path / "straight", settings=sparse, score=Score((1.0, 2.0, 3.0)))
    with pytest.raises(Interrupted):
        learn(tmp_path / "cut", data=Toy(fail_at=(cut, 7)), settings=sparse, score=Score((1.0, 2.0, 3.0)))
    resumed = Toy()
    weights, _ = learn(tmp_path / "cut", data=resumed, settings=sparse, score=Score((1.0, 2.0, 3.0), start=1))
    assert same(weights, straight) and {e for e, _ in resumed.asked} == {2, 3, 4}


def test_patience_counts_scores_and_not_epochs(tmp_path):
    patient = replace(SETTINGS, epochs=9, score_every=2, patience=2)
    data = Toy()
    learn(tmp_path, data=data, settings=patient, score=Score((3.0, 2.0, 1.0, 9.0, 9.0)))
    assert {e for e, _ in data.asked} == set(range(6))


def test_accumulated_batches_make_fewer_updates_of_the_same_data(tmp_path):
    data = Toy()
    _, log = learn(tmp_path, data=data, settings=replace(SETTINGS, batch_size=2, accumulate=3, epochs=2))
    assert max(e["step"] for e in log) == 4
    assert sorted(data.asked) == [(epoch, index) for epoch in range(2) for index in range(12)]


def test_parts_of_a_batch_make_the_same_updates_with_less_memory(tmp_path, monkeypatch):
    """Weights and losses to float error, also where the last part is smaller; less is kept for the gradient."""
    sizes = {"bins": 16, "frames": 32, "channels": (2, 2, 3, 3), "hidden": 4, "dropout": 0.0, "dense_dropout": 0.0}
    found, kept = [], []
    for frames in (1000, 96, 10):
        monkeypatch.setattr(accent_cnn, "FRAMES_AT_A_TIME", frames)
        torch.manual_seed(3)
        model, most = AccentCNN(AccentCNNConfig(classes=("a", "b"), **sizes)), [0]

        def keep(tensor, most=most):
            most[-1] += tensor.nbytes
            return tensor

        model.register_forward_pre_hook(lambda *_, most=most: most.append(0))
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            score = lambda _: {"dev_score": 1.0}  # noqa: E731
            folder = tmp_path / str(frames)
            log = train(model, Toy(), list(range(12)), toy_batch, score, None, True, folder, SETTINGS, 1)
        found.append((model.state_dict(), [entry["loss"] for entry in log if "loss" in entry]))
        kept.append(max(most))
    (whole, losses), *others = found
    for weights, own in others:
        assert own == pytest.approx(losses, rel=1e-4)
        for name in whole:
            torch.testing.assert_close(weights[name], whole[name], rtol=1e-4, atol=1e-5)
    assert kept[2] < kept[1] < kept[0]


def test_a_batch_is_divided_by_its_frames_unless_it_is_normalised():
    batch = {"features": torch.zeros(7, 3000, 80), "labels": torch.arange(7)}
    config = {"classes": ("a", "b"), "channels": (2, 2, 3, 3), "hidden": 4}
    parts = list(AccentCNN(AccentCNNConfig(**config)).divide_batch(batch))
    assert [part["labels"].tolist() for part in parts] == [[0, 1, 2, 3], [4, 5, 6]]
    assert [len(part["features"]) for part in parts] == [4, 3]
    assert len(list(AccentCNN(AccentCNNConfig(**config, batch_norm=True)).divide_batch(batch))) == 1


def test_gradient_checkpointing_reaches_the_model(tmp_path):
    model = WhisperForTraining(new_model(TINY, 1))
    examples = [Example(noise(n, (40, 80)), -1.0, [50258, 50259, 50359, 50363, n, 50257]) for n in range(2)]

    class Two(Dataset):
        def __len__(self):
            return 2

        def __getitem__(self, where):
            return examples[where[1]]

    train(
        model,
        Two(),
        [40, 40],
        partial(collate, end=50257, full_context=False),
        Score(),
        "eval_dev_score",
        True,
        tmp_path,
        replace(SETTINGS, epochs=1, gradient_checkpointing=True),
        1,
    )
    assert model.checkpointed


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(1, 3000), min_size=1, max_size=700), st.integers(1, 40), st.integers(0, 5), st.integers(0, 5)
)
def test_batches_cover_each_index_once(lengths, batch_size, seed, epoch):
    buckets = LengthBuckets(lengths, batch_size, seed)
    buckets.set_epoch(epoch)
    batches = list(buckets)
    assert len(batches) == len(buckets)
    assert sorted(index for batch in batches for _, index in batch) == list(range(len(lengths)))
    assert all(0 < len(batch) <= batch_size for batch in batches)
    assert {e for batch in batches for e, _ in batch} == {epoch}
    again = LengthBuckets(lengths, batch_size, seed)
    again.set_epoch(epoch)
    assert list(again) == batches == list(buckets)


def test_batches_hold_similar_lengths_in_an_order_that_changes():
    rng = np.random.default_rng(1)
    lengths = rng.integers(100, 3000, size=1000).tolist()
    buckets, epochs = LengthBuckets(lengths, 16, seed=1), []
    for epoch in range(3):
        buckets.set_epoch(epoch)
        epochs.append([[index for _, index in batch] for batch in buckets])
    assert epochs[0] != epochs[1] != epochs[2] and sorted(map(sorted, epochs[0])) != sorted(map(sorted, epochs[1]))
    other = LengthBuckets(lengths, 16, seed=2)
    assert [[index for _, index in batch] for batch in other] != epochs[0]
    spread = np.mean([np.ptp([lengths[i] for i in batch]) for batch in epochs[0]])
    # A random batch of 16 spans nearly all 2,900 frames; a sorted pool about a POOL-th of them.
    assert spread < 3 * 2900 / POOL
    firsts = [np.mean([lengths[i] for i in batch]) for batch in epochs[0]]
    assert abs(np.corrcoef(firsts, range(len(firsts)))[0, 1]) < 0.4


FRAMES = {f"u-{n}": 60 + 17 * n for n in range(7)}


@pytest.fixture(scope="module")
def features():
    return {key: noise(n, (n, 80)) for key, n in FRAMES.items()}


@pytest.fixture(scope="module")
def maps():
    return {
        method: {key: SaliencyMap(noise(n + 1000 * i, (columns_for(n, 8), 10)), 8, 8) for key, n in FRAMES.items()}
        for i, method in enumerate(METHODS.names())
    }


SYSTEMS = read_systems(TOP / "egs/fsdd/conf/systems.yaml")
TOKENS = {key: [50258, 1, 2, n, 50257] for n, key in enumerate(FRAMES)}


def augmented(variant, features, maps, seed=1):
    return AugmentedUtterances(list(FRAMES), features, TOKENS, Masker(SYSTEMS[variant], seed, maps, FRAMES).apply)


def test_each_utterance_stands_once_as_it_is_and_once_masked(features, maps):
    data = augmented("gradcam", features, maps)
    assert len(data) == 14
    for index, key in enumerate(FRAMES):
        clean, masked = data[0, index], data[0, 7 + index]
        np.testing.assert_array_equal(clean.features, features[key])
        differs = masked.features != features[key]
        assert differs.any() and (masked.features[differs] == 0).all()
        assert clean.tokens == masked.tokens == TOKENS[key]
        # The masks must not move the level that padding continues.
        assert clean.floor == masked.floor == floor_of(features[key])


@pytest.mark.parametrize("variant", SYSTEMS)
def test_masks_depend_on_seed_utterance_and_epoch_only(features, maps, variant):
    data = augmented(variant, features, maps)
    forth = {(e, i): data[e, i].features for e in range(3) for i in range(14)}
    fresh = augmented(variant, features, maps)
    for where in reversed(forth):
        np.testing.assert_array_equal(fresh[where].features, forth[where])
    # Another order of the list is another index, but the same mask.
    shuffled = AugmentedUtterances(
        list(FRAMES)[::-1], features, TOKENS, Masker(SYSTEMS[variant], 1, maps, FRAMES).apply
    )
    np.testing.assert_array_equal(shuffled[2, 7].features, forth[2, 13])
    if SYSTEMS[variant].kind not in ("none", "top-share"):
        assert not np.array_equal(forth[0, 13], forth[1, 13])
        assert not np.array_equal(augmented(variant, features, maps, seed=2)[0, 13].features, forth[0, 13])


def test_every_variant_makes_the_same_updates_in_the_same_order(features, maps):
    """Batches depend on lengths and seed, which no variant changes."""
    orders = []
    for variant in SYSTEMS:
        data = augmented(variant, features, maps)
        buckets = LengthBuckets([FRAMES[u] for u in data.utterances] * 2, 4, seed=1)
        assert len(data) == len(buckets.lengths)
        batches = [collate([data[where] for where in batch], 50257, False) for batch in buckets]
        orders.append([(b["features"].shape, b["tokens"].tolist()) for b in batches])
    assert all(order == orders[0] for order in orders) and len(orders[0]) == 4


@pytest.mark.parametrize("full_context", [True, False])
def test_padding_is_silence_and_never_masked(features, maps, full_context):
    data = augmented("gradcam", features, maps)
    examples = [data[0, index] for index in (7, 13)]
    batch = collate(examples, 50257, full_context)
    assert batch["features"].shape == (2, 3000 if full_context else 300, 80)
    for row, example in zip(batch["features"].numpy(), examples, strict=True):
        np.testing.assert_array_equal(row[: len(example.features)], example.features)
        np.testing.assert_array_equal(row[len(example.features) :], np.float32(example.floor))
    assert batch["labels"].tolist() == [t[1:] for t in (TOKENS["u-0"], TOKENS["u-6"])]
    longer = collate([examples[0], replace(examples[1], tokens=[50258, 50257])], 50257, full_context)
    assert longer["labels"].tolist()[1] == [50257, IGNORED, IGNORED, IGNORED]
    assert longer["tokens"].tolist()[1] == [50258, 50257, 50257, 50257]


@pytest.mark.parametrize("workers", [0, 2])
def test_masks_are_redrawn_whoever_loads_them(tmp_path, workers):
    """The epoch travels with the index, so that loading processes see it, too."""

    class Recording(Toy):
        def __getitem__(self, where):
            Path(tmp_path, "asked").mkdir(exist_ok=True)
            Path(tmp_path, "asked", f"{where[0]}-{where[1]}-{os.getpid()}").touch()
            return super().__getitem__(where)

    learn(tmp_path / "exp", data=Recording(), settings=replace(SETTINGS, epochs=2, workers=workers))
    asked = [name.split("-") for name in os.listdir(tmp_path / "asked")]
    assert {(int(e), int(i)) for e, i, _ in asked} == {(e, i) for e in range(2) for i in range(12)}
    assert (str(os.getpid()) in {pid for _, _, pid in asked}) == (workers == 0)


def test_the_log_is_plain_data(tmp_path):
    _, log = learn(tmp_path, settings=replace(SETTINGS, epochs=1))
    assert json.loads(json.dumps(log)) == log


def test_whispers_sparse_buffer_does_not_keep_it_from_several_gpus():
    """DistributedDataParallel cannot broadcast it, and nothing in training uses it."""
    network = WhisperForTraining(new_model(TINY, 1))
    sparse = [name for name, buffer in network.named_buffers() if buffer.is_sparse]
    assert sparse and set(sparse) <= set(network._ddp_params_and_buffers_to_ignore)


class Texts(Dataset):
    """Transcripts of different lengths, so that shares differ in size; the last batch is too small to be shared."""

    def __len__(self):
        return 13

    def __getitem__(self, where):
        n = where[1]
        return Example(noise(n, (40, 80)), -1.0, [50258, 50259, *range(n % 5), 50257])


def learning_curve(folder):
    """Losses and norms of the gradients of a tiny Whisper that learns them."""
    model = WhisperForTraining(new_model(TINY, 1))
    batch = partial(collate, end=50257, full_context=False)
    log = train(
        model, Texts(), list(range(13)), batch, Score(), "eval_dev_score", True, folder, replace(SETTINGS, epochs=2), 1
    )
    return [[e["loss"], e["grad_norm"]] for e in log if "loss" in e]


PROGRAM = f"""
    import json, os, signal, sys
    from pathlib import Path
    sys.path[:0] = [{str(TOP / "local")!r}, {str(TOP / "tests" / "unit")!r}]
    import torch
    import test_training as t
    from salience.steps import is_first_process
    folder, rank, processes = Path(sys.argv[1]), os.environ.get("RANK", "0"), int(os.environ.get("WORLD_SIZE", 1))

    class Ending(t.Toy):
        def __getitem__(self, where):
            # When the fifth batch of all is read, the fourth is being learnt: the first of the second epoch.
            if len(self.asked) == 16 // processes and rank == "0":
                os.kill(os.getpid(), signal.SIGTERM)
            return super().__getitem__(where)

    if not (folder / "cut").exists():
        t.learn(folder / "cut", data=Ending())
        sys.exit("nothing ended this")
    for name, scored in (("cut", 1), ("straight", 0)):
        weights, _ = t.learn(folder / name, score=t.Score(start=scored))
        torch.save(weights, folder / f"{{name}}.{{rank}}.pt")
    data = t.Toy()
    weights, _ = t.learn(folder / "shared", data=data, settings=t.replace(t.SETTINGS, epochs=3, batch_size=2))
    torch.save((weights, data.asked, is_first_process()), folder / f"shared.{{rank}}.pt")
    (folder / f"curve.{{rank}}.json").write_text(json.dumps(t.learning_curve(folder / "texts")))
"""


def run_program(folder, *options):
    """The program's first run ends by SIGTERM, the second goes on."""
    (folder / "program.py").write_text(textwrap.dedent(PROGRAM))
    command = [sys.executable, *options, folder / "program.py", folder]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """What trainings by torchrun left, as for several GPUs.  One launch for all, as its imports take longer."""
    folder = tmp_path_factory.mktemp("two")
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    ended = run_program(folder, *launcher)
    assert ended.returncode == 1 and "nothing ended this" not in ended.stderr, ended.stderr[-2000:]
    assert (folder / "cut/checkpoints/checkpoint-4/trainer_state.json").exists()
    done = run_program(folder, *launcher)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_two_processes_share_the_work_of_each_epoch(two_processes):
    """Every index once an epoch, equal weights, results written by one process."""
    left = (torch.load(two_processes / f"shared.{rank}.pt", weights_only=True) for rank in (0, 1))
    (one, asked, first), (two, asked_too, not_first) = left
    assert same(one, two) and first and not not_first
    assert sorted([*map(tuple, asked), *map(tuple, asked_too)]) == [
        (epoch, index) for epoch in range(3) for index in range(12)
    ]


def test_the_loss_curve_does_not_depend_on_the_number_of_processes(two_processes, tmp_path):
    curves = [learning_curve(tmp_path), json.loads((two_processes / "curve.0.json").read_text())]
    assert len(curves[0]) == 2 and np.allclose(curves[0], curves[1], rtol=1e-5), curves


# SIGTERM comes when a scheduler takes the machine away: in mid-epoch, and a training does not wait for its end.


def test_a_training_that_gets_sigterm_leaves_a_checkpoint_and_goes_on(straight, tmp_path):
    ended = run_program(tmp_path)
    assert ended.returncode == 128 + signal.SIGTERM, ended.stderr[-2000:]
    assert (tmp_path / "cut/checkpoints/checkpoint-4/trainer_state.json").exists()
    resumed = Toy()
    weights, _ = learn(tmp_path / "cut", data=resumed, score=Score(start=1))
    assert same(weights, straight[0]) and {e for e, _ in resumed.asked} == {1, 2, 3}


def test_a_training_of_two_processes_that_gets_sigterm_goes_on(two_processes):
    cut, straight = (torch.load(two_processes / f"{name}.0.pt", weights_only=True) for name in ("cut", "straight"))
    assert same(cut, straight)
