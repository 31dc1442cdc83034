"""The accent classifier on a frozen Whisper encoder: pooling, batches, training, files, maps."""

import numpy as np
import pytest
import torch
from accent_helpers import noise, run_program, talkative, write_features, write_set
from captum.attr import InputXGradient, LayerGradCam

from salience.errors import InputError
from salience.files import read_json
from salience.models.accent_classifier import load_classifier, save_classifier
from salience.models.whisper import encoder_states, save_model
from salience.models.whisper_classifier import WhisperEncoderClassifier, WhisperEncoderConfig
from salience.saliency.accents import ExplainedAccents
from salience.saliency.base import METHODS
from salience.saliency.explained import Batch, load_explained, maps_of

CLASSES = ("a", "b", "c")


def encoder_classifier(hidden: int = 0, **sizes) -> WhisperEncoderClassifier:
    """A small classifier with random weights, the encoder's of a tiny Whisper, ready for inference."""
    torch.manual_seed(3)
    config = {"bins": 80, "context": 1500, "state": 32, "heads": 2, "blocks": 1, "hidden": hidden} | sizes
    model = WhisperEncoderClassifier(WhisperEncoderConfig(classes=CLASSES, **config))
    model.encoder.load_state_dict(talkative().encoder.state_dict(), strict=False)
    model.mean.copy_(torch.linspace(-0.5, 0.5, 80))
    return model.eval()


def test_only_real_frames_are_pooled():
    """Mean and standard deviation of numpy over the states of the frames that an utterance has."""
    model = encoder_classifier()
    features, lengths = model.padded([noise(1, (61, 80)), noise(2, (90, 80))])
    assert features.shape == (2, 200, 80) and lengths == [61, 90]
    with torch.no_grad():
        states = encoder_states(model.encoder, features)
        pooled = model.pool(model.feature_maps(features), lengths)
    for row, count in enumerate((31, 45)):
        real = states[row, :count].numpy()
        np.testing.assert_allclose(pooled[row, :32], real.mean(0), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(pooled[row, 32:], real.std(0), rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("hidden", [0, 5])
def test_a_prediction_does_not_depend_on_its_batch(tmp_path, hidden):
    """Attention sees the padding: utterances of different padded lengths share no batch."""
    model = encoder_classifier(hidden)
    features = {str(n): noise(n, (count, 80)) for n, count in enumerate((30, 140, 55, 260, 31, 149))}
    frames = {key: len(matrix) for key, matrix in features.items()}
    for keys in model.batches(frames, 4):
        assert len({model.padded_frames(frames[key]) for key in keys}) == 1
    together, alone = (model.predict(features, frames, size) for size in (4, 1))
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    save_classifier(model, tmp_path)
    loaded = load_classifier(tmp_path)
    assert read_json(tmp_path / "config.json")["architectures"] == ["WhisperEncoderClassifier"]
    assert loaded.settings == model.settings
    assert all(torch.equal(weights, model.state_dict()[name]) for name, weights in loaded.state_dict().items())
    # On some processors the last bit depends on where the weights lie in memory.
    torch.testing.assert_close(loaded.predict(features, frames, 4), together, rtol=1e-5, atol=1e-6)


def maps(model, features: torch.Tensor, lengths: list[int], method: str) -> list:
    batch = Batch(list("abcd")[: len(lengths)], features, lengths, torch.tensor([1, 2, 0, 1])[: len(lengths)])
    return maps_of(ExplainedAccents(model), batch, [method])[method]


def test_gradcam_is_captums_over_the_states():
    """A column for two frames, one row for all bins."""
    model = encoder_classifier(hidden=5)
    features, lengths = model.padded([noise(1, (120, 80)), noise(2, (117, 80))])
    layer = torch.nn.Identity()
    forward = lambda x: model.head(layer(model.feature_maps(x)), lengths)  # noqa: E731
    expected = LayerGradCam(forward, layer).attribute(features, torch.tensor([1, 2]))[:, 0, 0].detach().numpy()
    for row, (found, length) in enumerate(zip(maps(model, features, lengths, "gradcam"), lengths, strict=True)):
        assert (found.frames_per_column, found.bins_per_row, found.of) == (2, 80, "encoder.blocks.0")
        np.testing.assert_allclose(
            found.values[:, 0], expected[row, : len(found.values)], atol=1e-5 * np.abs(expected).max()
        )
        unit = found.unit(length, 80)
        assert unit.shape == (length, 80) and unit.max() == 1 and np.ptp(unit, axis=1).max() < 1e-5


def test_gradient_times_input_is_captums():
    """From the training set's mean on, as a log-mel's zero means nothing."""
    model = encoder_classifier()
    features, lengths = model.padded([noise(1, (120, 80)), noise(2, (117, 80))])
    shifted = lambda x: model.head(model.feature_maps(x + model.mean), lengths)  # noqa: E731
    expected = InputXGradient(shifted).attribute(features - model.mean, torch.tensor([1, 2])).detach().numpy()
    for row, found in enumerate(maps(model, features, lengths, "gradient-input")):
        assert found.signed and found.values.shape == (lengths[row], 80) and np.abs(found.values).max() > 0
        np.testing.assert_allclose(found.values, expected[row, : lengths[row]], atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("method", METHODS.names())
def test_a_map_covers_its_utterance_whatever_its_neighbours(method):
    model = encoder_classifier()
    matrices = [noise(1, (41, 80)), noise(2, (33, 80))]
    together, alone = (maps(model, *model.padded(some), method)[0] for some in (matrices, matrices[:1]))
    np.testing.assert_allclose(together.values, alone.values, rtol=1e-3, atol=1e-5 * np.abs(alone.values).max())
    assert together.unit(41, 80).shape == (41, 80) and together.unit(41, 80).max() == 1


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """Utterances of three accents, told apart by a tone, and a tiny Whisper."""
    features = {}
    for speaker in range(12):
        matrix = 0.3 * noise(speaker, (40 + speaker, 80))
        matrix[:, 20 * (speaker % 3) : 20 * (speaker % 3) + 10] += 1
        features[f"s{speaker:02}-u"] = matrix
    sound = {key: noise(1, 160 * len(matrix)) / 9 for key, matrix in features.items()}
    for name in ("train", "dev", "test"):
        write_set(tmp_path, name, sound, accents=CLASSES)
        write_features(tmp_path, name, features)
    save_model(talkative(), tmp_path / "whisper.pt")
    monkeypatch.chdir(tmp_path)
    return {
        "classifier": "whisper-encoder", "model": "whisper.pt", "data": "data", "features": "dump", "out": "exp",
        "train_set": "train", "dev_set": "dev", "test_sets": "test", "training.batch_size": 4,
        "training.epochs": 20, "training.score_every": 20, "training.learning_rate": 0.01,
    }  # fmt: skip


def test_it_learns_what_the_states_tell(recipe, monkeypatch, tmp_path):
    """And nothing of the encoder changes; the maps' program explains it; a second call finds its work done."""
    run_program(monkeypatch, "train_classifier", **recipe)
    scores = read_json(tmp_path / "exp/whisper-encoder.test.json")
    assert scores["accuracy"] > 90 and scores["labels"] == list(CLASSES)
    model = load_classifier(tmp_path / "exp")
    for name, weights in talkative().encoder.state_dict().items():
        if not name.startswith("ln_post"):
            assert torch.equal(model.encoder.state_dict()[name], weights)
    assert load_explained(tmp_path / "exp").files == [tmp_path / "exp/model.safetensors"]
    written = (tmp_path / "exp/model.safetensors").stat().st_mtime_ns
    run_program(monkeypatch, "train_classifier", **recipe)
    assert (tmp_path / "exp/model.safetensors").stat().st_mtime_ns == written
    run_program(
        monkeypatch, "map_saliency", model="exp", methods="gradient-input gradcam", data="data", features="dump",
        sets="train", out="maps", compress="false",
    )  # fmt: skip
    assert read_json(tmp_path / "maps/gradcam/train/saliency.json")["frames_per_column"] == 2
    run_program(monkeypatch, "train_classifier", **recipe | {"out": "quiet", "quietest": 0.2})
    assert read_json(tmp_path / "quiet/whisper-encoder-quietest.test.json")["n"] == 12


def test_what_does_not_fit_is_one_sentence(recipe, monkeypatch):
    with pytest.raises(SystemExit, match=r"the encoder of whisper\.pt has 1 blocks, not 3; correct block"):
        run_program(monkeypatch, "train_classifier", **recipe | {"block": 3})
    with pytest.raises(SystemExit, match=r"none\.pt is neither a file nor a folder nor one of Whisper's models"):
        run_program(monkeypatch, "train_classifier", **recipe | {"model": "none.pt"})
    with pytest.raises(InputError, match="the classifier reads 80 bins, and the features have 40"):
        encoder_classifier().feature_maps(torch.zeros(1, 100, 40))
