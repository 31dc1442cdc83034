"""Parts of the trainings of classifiers: sets, augmentation, batches, predictions, the control of durations."""

import numpy as np
import pytest
import torch
from accent_helpers import classifier, noise, write_features, write_set
from transformers import Wav2Vec2ForSequenceClassification
from wav2vec_helpers import tiny

from salience.data.tables import read_table, write_table
from salience.data.waveforms import Waveforms
from salience.errors import InputError
from salience.features.logmel import floor_of
from salience.masking.policies import NoPolicy, SpecAugmentPolicy
from salience.training import wav2vec_classifier
from salience.training.accent_classifier import AccentSet, Durations, dev_scores
from salience.training.accent_cnn import Augmented, collate

FRAMES = {"a-1": 40, "a-2": 90, "b-1": 41, "b-2": 60, "c-1": 300, "c-2": 290}


@pytest.fixture
def folder(tmp_path):
    write_set(tmp_path, "train", {key: noise(n, n * 160) / 9 for key, n in FRAMES.items()}, accents=("a", "b", "c"))
    write_features(tmp_path, "train", {key: noise(n, (n, 80)) for key, n in FRAMES.items()})
    return tmp_path


@pytest.fixture
def accents(folder) -> AccentSet:
    found = AccentSet(folder / "data/train", folder / "dump/train")
    found.label(("a", "b", "c"))
    return found


def test_statistics_are_those_of_all_frames(accents):
    frames = np.concatenate([accents.archive[key] for key in FRAMES])
    mean, deviation = accents.statistics()
    np.testing.assert_allclose(mean, frames.mean(0), atol=1e-5)
    np.testing.assert_allclose(deviation, frames.std(0), rtol=1e-4)


def test_accents_that_are_missing_or_strange(folder, accents):
    assert accents.labels == [0, 1, 2, 0, 1, 2]
    with pytest.raises(InputError, match="b-1 has the accent 'c', which the training set lacks"):
        accents.label(("a", "b"))
    table = read_table(folder / "data/train/utt2accent")
    write_table(folder / "data/train/utt2accent", {key: value for key, value in table.items() if key != "b-1"})
    with pytest.raises(InputError, match="utt2accent has no line for b-1"):
        AccentSet(folder / "data/train", folder / "dump/train")


def test_augmentation_is_redrawn_each_epoch_and_fills_with_the_mean(accents):
    data = Augmented(accents, SpecAugmentPolicy(), seed=1)
    (one, floor, label), (again, _, _), (next_epoch, _, _) = data[0, 4], data[0, 4], data[1, 4]
    clean = accents.archive["c-1"]
    assert (floor, label) == (floor_of(clean), 1) and np.array_equal(one, again) and not np.array_equal(one, next_epoch)
    np.testing.assert_allclose(one[one != clean], clean.mean(), rtol=1e-5)
    assert np.array_equal(Augmented(accents, NoPolicy(), seed=1)[0, 4][0], clean)


def test_a_batch_ends_in_padding_where_the_model_has_room():
    items = [(noise(n, (n, 80)), -1.5, n % 3) for n in (40, 60)]
    batch = collate(items, 304)
    assert batch["features"].shape == (2, 61, 80) and (batch["features"][0, 40:] == -1.5).all()
    assert collate(items, 60)["features"].shape == (2, 60, 80) and batch["labels"].tolist() == [1, 0]


def test_predictions_are_in_the_order_of_the_set_whatever_the_batches(accents):
    model = classifier()
    together, alone = (model.predict(accents.archive, accents.by_utterance(), size) for size in (4, 1))
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert dev_scores(together, together.argmax(1).tolist())["dev_accuracy"] == 100


def test_the_control_knows_durations_only(accents, tmp_path):
    """The third class is the long one; the others cannot be told apart."""
    accents.labels = [0, 0, 0, 0, 1, 1]
    control = Durations()
    control.fit(accents, accents, ("a", "b"), "", tmp_path, 1, 0)
    assert control.predict(accents) == accents.labels


def test_the_other_control_knows_the_quietest_frames_only(folder, accents):
    """Each utterance's quiet frames carry one number, its loud ones another; the control reads the first alone."""
    quiet = AccentSet(folder / "data/train", folder / "dump/train", quietest=0.1)
    assert quiet.frames == [4, 9, 5, 6, 30, 29] == [len(quiet.archive[key]) for key in FRAMES]
    for key in FRAMES:
        whole, kept = accents.archive[key], quiet.archive[key]
        levels = np.sort(whole.mean(1))
        np.testing.assert_allclose(np.sort(kept.mean(1)), levels[: len(kept)])
        rows = [np.flatnonzero((whole == frame).all(1))[0] for frame in kept]
        assert rows == sorted(rows)


def test_crops_of_long_signals_are_redrawn_each_epoch(folder):
    waveforms = Waveforms(folder / "data/train", scaled=False)
    data = wav2vec_classifier.LabelledUtterances(waveforms, [0, 1, 0, 1, 0, 1], 9000, seed=1)
    assert data.lengths == [min(160 * count, 9000) for count in FRAMES.values()]
    signal, (one, label), (two, _) = waveforms["c-1"], data[0, 4], data[1, 4]
    assert len(one) == 9000 and label == 0 and not np.array_equal(one, two)
    assert any(np.array_equal(signal[start : start + 9000], one) for start in range(len(signal) - 9000 + 1))
    assert np.array_equal(data[0, 0][0], waveforms["a-1"])
    batch = wav2vec_classifier.collate([data[0, 0], data[0, 4]])
    assert batch["signals"].shape == batch["real"].shape and batch["real"].sum(1).tolist() == [6400, 9000]


def test_the_loss_is_transformers_own(folder):
    model = tiny(Wav2Vec2ForSequenceClassification, num_labels=2).eval()
    waveforms = Waveforms(folder / "data/train")
    data = wav2vec_classifier.LabelledUtterances(waveforms, [0, 1, 0, 1, 0, 1], 9000, seed=1)
    batch = wav2vec_classifier.collate([data[0, 0], data[0, 3]])
    with torch.no_grad():
        ours = wav2vec_classifier.Classifier(model).eval()(**batch)["loss"]
        theirs = model(batch["signals"], attention_mask=batch["real"], labels=batch["labels"]).loss
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    together, alone = (wav2vec_classifier.predict(model, waveforms, size) for size in (4, 1))
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
