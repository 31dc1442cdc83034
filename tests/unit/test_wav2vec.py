"""wav2vec 2.0: starts and heads, Grad-CAM of its frames, CTC with masks, decoding, and what is said of bad input."""

import json
import shlex
import shutil
import sys
from dataclasses import fields, replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub.constants
import jiwer
import numpy as np
import pytest
import torch
import yaml
from accent_helpers import local_program, run_program
from captum.attr import LayerGradCam
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Wav2Vec2Config, Wav2Vec2ForCTC, Wav2Vec2ForPreTraining, Wav2Vec2ForSequenceClassification
from transformers.models.wav2vec2.modeling_wav2vec2 import _compute_mask_indices
from wav2vec_helpers import saved, sounds, tiny, tones, vocabulary

from salience.data.directories import read_data_dir
from salience.data.packed import pack
from salience.data.symbols import Symbols, least_frames
from salience.data.tables import read_table, write_table
from salience.data.vocabulary import CATALAN, LEGACY
from salience.data.waveforms import Waveforms, labels_of_set, pad_signals
from salience.decoding.ctc import Wav2vec2Recogniser, beam, best_path, log_probabilities
from salience.errors import InputError
from salience.features.archives import Archive, ArchiveWriter
from salience.files import write_json, write_lines
from salience.masking.apply import Masker
from salience.masking.policies import ProbabilisticPolicy
from salience.masking.systems import System, read_systems
from salience.models.wav2vec import (
    SIZES,
    Learning,
    check_start,
    files_of,
    frames_of,
    labels_of,
    load_ctc,
    load_trained,
    numbers_of,
    open_classifier,
    open_ctc,
    open_start,
    prepare,
    real_frames,
    save_model,
)
from salience.randomness import generator
from salience.saliency.base import METHODS, SaliencyMap
from salience.saliency.explained import Batch, Target, maps_of
from salience.saliency.gradcam import gradcam_plus_values, gradcam_values
from salience.saliency.wav2vec import ExplainedClassifier, ExplainedCTC, Spoken, aligned_symbols, greedy_symbols
from salience.training.settings import TrainingSettings
from salience.training.trainer import train
from salience.training.wav2vec_ctc import DevRates, LatentTraining, TranscribedUtterances, Wav2VecCTC, collate

TOP = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


# Starts and heads


def test_the_base_size_is_the_papers():
    config = Wav2Vec2Config(**SIZES["base"])
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads, config.intermediate_size) == (
        12,
        768,
        12,
        3072,
    )
    assert (
        tuple(config.conv_kernel) == (10, 3, 3, 3, 3, 2, 2)
        and tuple(config.conv_stride) == (5, 2, 2, 2, 2, 2, 2)
        and set(config.conv_dim) == {512}
    )
    assert config.num_negatives == 100 and (config.num_codevector_groups, config.num_codevectors_per_group) == (2, 320)


@given(st.integers(400, 100000))
@settings(max_examples=30, deadline=None)
def test_frames_are_transformers_count(samples):
    model = _counting()
    assert frames_of(model.config, samples) == int(model._get_feat_extract_output_lengths(torch.tensor(samples)))


def _counting(cache=[]):  # noqa: B006
    cache or cache.append(tiny(Wav2Vec2ForCTC))
    return cache[0]


def test_a_start_keeps_the_encoder_and_gets_a_new_head(tmp_path):
    symbols = Symbols(vocabulary(tmp_path))
    folder = saved(tmp_path / "start", Wav2Vec2ForPreTraining)
    original = load_trained(folder, Wav2Vec2ForPreTraining)
    model = open_ctc(str(folder), symbols, seed=3)
    for name, weights in original.wav2vec2.state_dict().items():
        assert torch.equal(weights, model.wav2vec2.state_dict()[name]), name
    assert (
        model.lm_head.weight.shape == (len(CATALAN), 32)
        and model.config.pad_token_id == symbols.blank == 0
        and model.training
    )
    again, other = open_ctc(str(folder), symbols, seed=3), open_ctc(str(folder), symbols, seed=4)
    assert torch.equal(again.lm_head.weight, model.lm_head.weight) and not torch.equal(
        other.lm_head.weight, model.lm_head.weight
    )
    # Also one that has a head for as many symbols.
    save_model(model, tmp_path / "ctc", symbols)
    fresh = open_ctc(str(tmp_path / "ctc"), symbols, seed=4)
    assert torch.equal(fresh.lm_head.weight, other.lm_head.weight)
    read, known = load_ctc(tmp_path / "ctc")
    assert torch.equal(read.lm_head.weight, model.lm_head.weight) and known.symbols == CATALAN and not read.training


def test_a_start_may_lack_the_vector_of_masked_frames_and_nothing_else(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = saved(tmp_path, Wav2Vec2ForCTC)
    weights = load_file(folder / "model.safetensors")
    del weights["wav2vec2.masked_spec_embed"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    symbols = Symbols(vocabulary(tmp_path / "tokens"))
    one_, two = (open_ctc(str(folder), symbols, seed=1).wav2vec2.masked_spec_embed for _ in range(2))
    assert torch.equal(one_, two) and torch.isfinite(one_).all()
    del weights["wav2vec2.encoder.layers.0.attention.k_proj.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        InputError, match=r"lacks 1 of the encoder's weights, first wav2vec2.encoder.layers.0.attention.k_proj.weight"
    ):
        open_ctc(str(folder), symbols)


def test_labels_travel_with_the_classifier(tmp_path):
    model = open_classifier(str(saved(tmp_path / "start", Wav2Vec2ForPreTraining)), ["balear", "central", "valencià"])
    save_model(model, tmp_path / "out")
    assert labels_of(load_trained(tmp_path / "out", Wav2Vec2ForSequenceClassification)) == (
        "balear",
        "central",
        "valencià",
    )
    assert json.loads((tmp_path / "out" / "config.json").read_text())["id2label"] == {
        "0": "balear",
        "1": "central",
        "2": "valencià",
    }


def test_learning_freezes_and_divides_the_rates(tmp_path):
    model = tiny(Wav2Vec2ForCTC)
    learning = Learning(freeze_features=True, encoder_rate=0.1, head_rate=2.0)
    assert prepare(model, learning)() is model
    assert not any(p.requires_grad for p in model.wav2vec2.feature_extractor.parameters())
    assert (
        learning.rate("model.wav2vec2.encoder.layers.0.x") == learning.rate("wav2vec2.masked_spec_embed") == 0.1
        and learning.rate("model.lm_head.bias") == 2.0
    )
    network, before = Wav2VecCTC(model), {name: weights.clone() for name, weights in model.state_dict().items()}
    waveforms = sounds(tmp_path, "train", {f"s-{n}": tones(n, 0.8) for n in range(2)})
    utterances = TranscribedUtterances(waveforms, {key: [4, 5] for key in waveforms}, model.config, Masker(System(), 1))
    chosen = TrainingSettings(
        epochs=1, batch_size=2, learning_rate=1e-3, warmup=0, weight_decay=0, schedule="constant", gradient_clip=0
    )
    train(
        network,
        utterances,
        utterances.lengths,
        lambda items: collate(items, model.config),
        lambda _: {"dev_x": 0.0},
        "eval_dev_x",
        False,
        tmp_path,
        chosen,
        1,
        rates=learning.rate,
    )
    # Adam's first step is the rate itself wherever there is a gradient.
    moved = {name: float((weights - before[name]).abs().max()) for name, weights in model.state_dict().items()}
    assert moved["lm_head.weight"] == pytest.approx(2e-3, rel=0.01)
    assert moved["wav2vec2.encoder.layers.1.feed_forward.output_dense.weight"] == pytest.approx(1e-4, rel=0.01)
    assert moved["wav2vec2.feature_extractor.conv_layers.0.conv.weight"] == 0


def test_packed_signals_are_those_of_the_directory(tmp_path):
    waveforms = sounds(tmp_path, "train", {"s-1": tones(1, 0.8), "s-2": tones(2, 1.1)})
    pack(tmp_path / "dump", read_data_dir(tmp_path / "data" / "train"), 16000)
    packed = Waveforms(tmp_path / "data" / "train", tmp_path / "dump")
    raw = Waveforms(tmp_path / "data" / "train", tmp_path / "dump", scaled=False)
    for key in waveforms:
        assert np.allclose(packed[key], waveforms[key], atol=1e-3) and packed.samples[key] == waveforms.samples[
            key
        ] == len(packed[key])
        assert abs(packed[key].mean()) < 1e-6 and packed[key].std() == pytest.approx(1, abs=1e-4)
        assert np.allclose(raw[key], tones(int(key[-1]), len(raw[key]) / 16000), atol=1e-4)


# Bad input


@pytest.mark.parametrize("samples", [0, 399])
def test_a_clip_without_a_frame_is_one_sentence(tmp_path, samples):
    waveforms = sounds(tmp_path, "train", {"s-1": np.zeros(samples, np.float32)})
    with pytest.raises(
        InputError,
        match=(
            r"too few for one frame; remove it from the set$"
            if samples
            else r"s-1.wav holds no samples; .*leave it out$"
        ),
    ):
        waveforms["s-1"]


def test_a_name_that_cannot_be_fetched_is_one_sentence(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        InputError,
        match=(
            r"^facebook/wav2vec2-large-xlsr-53 is no folder here and cannot be fetched from .*; .* give its folder .*"
            r" instead of the name, by --start "
        ),
    ):
        open_start("facebook/wav2vec2-large-xlsr-53", Wav2Vec2ForCTC)


def test_a_published_start_of_a_certain_version(tmp_path, monkeypatch):
    """The hub being a folder for each version."""
    for number, version in enumerate(("main", "v1"), 1):
        saved(tmp_path / version, Wav2Vec2ForPreTraining, number)
    model, config = Wav2Vec2ForCTC.from_pretrained, Wav2Vec2Config.get_config_dict

    def place(name, revision):
        return str(tmp_path / revision) if name == "someone/model" else name

    monkeypatch.setattr(
        Wav2Vec2ForCTC, "from_pretrained", lambda name, revision, **given: model(place(name, revision), **given)
    )
    monkeypatch.setattr(Wav2Vec2Config, "get_config_dict", lambda name, revision: config(place(name, revision)))
    for start, version in (("someone/model", "main"), ("someone/model@v1", "v1")):
        published, here = (
            open_start(one, Wav2Vec2ForCTC).wav2vec2.state_dict() for one in (start, str(tmp_path / version))
        )
        assert all(torch.equal(published[name], here[name]) for name in here)
    (tmp_path / "main").rename(tmp_path / "a@b")
    open_start(str(tmp_path / "a@b"), Wav2Vec2ForCTC)


def test_a_start_with_an_adapter_is_one_sentence(tmp_path):
    folder = saved(tmp_path, Wav2Vec2ForPreTraining, add_adapter=True, output_hidden_size=32)
    with pytest.raises(
        InputError,
        match=(
            r"has an adapter behind its encoder \(add_adapter in config.json\), which nothing here trains; give a"
            r" checkpoint without one$"
        ),
    ):
        open_start(str(folder), Wav2Vec2ForCTC)


def test_a_start_is_checked_by_its_configuration(tmp_path, monkeypatch):
    check_start("random")
    folder = saved(tmp_path, Wav2Vec2ForPreTraining)
    check_start(str(folder))
    (folder / "model.safetensors").unlink()
    with pytest.raises(
        InputError, match=r"holds neither model.safetensors nor pytorch_model.bin; fetch or train it again$"
    ):
        check_start(str(folder))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"^somebody/something is no folder here and cannot be fetched"):
        check_start("somebody/something")


def test_other_starts_that_are_none(tmp_path):
    with pytest.raises(InputError, match="there is no size 'huge' of wav2vec 2.0; there are base, mini"):
        open_start("random", Wav2Vec2ForCTC, "huge")
    with pytest.raises(InputError, match="is no folder here"):
        open_start(str(tmp_path / "absent"), Wav2Vec2ForCTC)
    with pytest.raises(InputError, match=r"holds no config.json"):
        open_start(str(tmp_path), Wav2Vec2ForCTC)
    (tmp_path / "config.json").write_text('{"model_type": "whisper"}')
    with pytest.raises(InputError, match="is a model of the type 'whisper'; give a checkpoint of wav2vec 2.0"):
        open_start(str(tmp_path), Wav2Vec2ForCTC)
    folder = saved(tmp_path / "cut", Wav2Vec2ForCTC)
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="holds no checkpoint that can be read"):
        load_trained(folder, Wav2Vec2ForCTC)
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="holds no checkpoint that can be read"):
        load_trained(folder, Wav2Vec2ForCTC)


@pytest.mark.parametrize(
    ("kind", "words"), [(Wav2Vec2ForCTC, "a head for CTC"), (Wav2Vec2ForSequenceClassification, "a head for classes")]
)
def test_a_checkpoint_without_a_head_is_one_sentence(tmp_path, kind, words):
    folder = saved(tmp_path, Wav2Vec2ForPreTraining)
    with pytest.raises(
        InputError,
        match=rf"is a checkpoint without {words} \(.* is missing\); train one from it with \w+\.py( [\w -]+)?$",
    ):
        load_trained(folder, kind)


def test_a_label_that_the_classifier_lacks_is_one_sentence(tmp_path):
    with pytest.raises(
        InputError,
        match=(
            r"^data/x: u-2 has the label 'septentrional', which the classifier lacks \(balear, central\); train it on"
            r" this label or"
        ),
    ):
        numbers_of(["central", "septentrional"], ("balear", "central"), ["u-1", "u-2"], "data/x")
    waveforms = sounds(tmp_path, "test", {"s-1": tones(1, 0.5)})
    with pytest.raises(InputError, match="spk2gender has no line for s; a classifier needs a label for each"):
        labels_of_set(waveforms, "gender")


def test_low_rank_updates_without_peft_are_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(
        InputError,
        match="need the package peft, which is not installed; pip install peft, or leave out --learning.lora",
    ):
        prepare(tiny(Wav2Vec2ForCTC), Learning(lora=4))


def test_a_beam_without_a_decoder_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyctcdecode", None)
    monkeypatch.setitem(sys.modules, "torchaudio.models.decoder", None)
    symbols = Symbols(vocabulary(tmp_path))
    with pytest.raises(InputError, match=r"pip install pyctcdecode, or decode with --beam 0$"):
        beam(symbols, 10)
    (tmp_path / "words.arpa").write_text("")
    with pytest.raises(
        InputError,
        match=r"with a language model needs the package pyctcdecode, .*; pip install --no-deps pyctcdecode pygtrie$",
    ):
        beam(symbols, 10, tmp_path / "words.arpa")
    with pytest.raises(InputError, match=r"lm.arpa does not exist; give an n-gram model"):
        beam(symbols, 10, tmp_path / "lm.arpa")


def test_a_vocabulary_without_a_word_boundary_has_no_beam(tmp_path):
    write_lines(tmp_path / "tokens.txt", LEGACY)
    with pytest.raises(
        InputError, match=r"no word boundary '\|', without which a beam finds no words; decode with --beam 0"
    ):
        beam(Symbols(tmp_path / "tokens.txt"), 10)


# Symbols and decoding


def test_symbols_and_back(tmp_path):
    symbols = Symbols(vocabulary(tmp_path))
    text = "l'home col·labora però no és aquí"
    assert symbols.decode(symbols.encode(f"  {text.replace(' ', '   ')} ")) == text
    assert symbols.unknown not in symbols.encode(text) and symbols.decode(symbols.encode("ñu")) == "[UNK]u"


def test_the_published_vocabulary_loses_every_word_boundary(tmp_path):
    write_lines(tmp_path / "tokens.txt", LEGACY)
    symbols = Symbols(tmp_path / "tokens.txt")
    assert symbols.decode(symbols.encode("no és aquí")) == "no[UNK][UNK]s[UNK]aqu[UNK]"
    assert symbols.blank == LEGACY.index("[PAD]")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=12))
def test_the_best_path_is_ctcs(path):
    scores = np.full((len(path), 5), -9.0)
    scores[range(len(path)), path] = 0
    expected = [
        symbol for place, symbol in enumerate(path) if symbol != 2 and (place == 0 or path[place - 1] != symbol)
    ]
    assert best_path(scores, 2) == expected == [spoken.symbol for spoken in greedy_symbols(scores, 2)]
    assert sorted(frame for spoken in greedy_symbols(scores, 2) for frame in spoken.frames) == [
        n for n, symbol in enumerate(path) if symbol != 2
    ]


def test_neither_batch_nor_neighbours_change_what_is_heard(tmp_path):
    model = tiny(Wav2Vec2ForCTC, vocab_size=7).eval()
    waveforms = sounds(tmp_path, "test", {f"s-{n}": tones(n, 0.6 + 0.1 * n) for n in range(7)})
    alone, together = (dict(log_probabilities(model, waveforms, size)) for size in (1, 4))
    for key, signal in waveforms.items():
        assert alone[key].shape == (frames_of(model.config, len(signal)), 7)
        assert np.allclose(alone[key], together[key], atol=1e-5)


# Grad-CAM


def loud(kind, **settings):
    """A tiny model whose outputs depend clearly on what it hears."""
    model = tiny(kind, **settings).eval()
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2 and "quantizer" not in name:
            torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(len(name)))
    return model


def padded(lengths=(16000, 9000, 12345)):
    signals, real = pad_signals(heard(lengths))
    return torch.from_numpy(signals), torch.from_numpy(real)


def heard(lengths=(16000, 9000, 12345)):
    return [tones(n, length / 16000 + 0.1)[:length] for n, length in enumerate(lengths)]


def cam_maps(explained, features, lengths, targets):
    """Grad-CAM and Grad-CAM++, (batch, frames)."""
    found = explained.layer_gradient(features, lengths, targets)
    return gradcam_values(*found)[:, 0], gradcam_plus_values(*found)[:, 0]


@pytest.mark.parametrize("true", [True, False])
def test_the_classifiers_map_equals_captums(true):
    model = loud(Wav2Vec2ForSequenceClassification, num_labels=4)
    signals, real = padded()
    frames = real_frames(model.config, real)
    logits = model(signals, attention_mask=real).logits
    classes = torch.tensor([2, 0, 3]) if true else None
    explained = ExplainedClassifier(model)
    features, lengths = explained.features(heard())
    assert torch.allclose(explained.forward(features, lengths)[1], logits, atol=1e-5)
    chosen = classes if true else explained.targets(None, [], features, lengths)
    gradcam, _ = cam_maps(explained, features, lengths, chosen)
    captum = LayerGradCam(
        lambda s, r: model(s, attention_mask=r).logits, model.wav2vec2.feature_extractor.conv_layers[-1]
    )
    expected = captum.attribute(signals, target=classes if true else logits.argmax(1), additional_forward_args=real)[
        :, 0
    ]
    assert expected.abs().max() > 1e-6
    assert torch.allclose(gradcam[frames] / expected.abs().max(), expected[frames] / expected.abs().max(), atol=1e-5)


def test_the_ctc_map_equals_captums():
    model = loud(Wav2Vec2ForCTC, vocab_size=6)
    signals, real = padded()
    frames = real_frames(model.config, real)
    with torch.no_grad():
        scores = model(signals, attention_mask=real).logits.log_softmax(-1)
    targets = [greedy_symbols(row[: int(n)].numpy(), 0) for row, n in zip(scores, frames.sum(1), strict=True)]
    assert all(targets)

    def total(s, r):
        found = model(s, attention_mask=r).logits.log_softmax(-1)
        return torch.stack(
            [
                sum(found[row, frame, spoken.symbol] for spoken in symbols for frame in spoken.frames)
                for row, symbols in enumerate(targets)
            ]
        )

    expected = LayerGradCam(total, model.wav2vec2.feature_extractor.conv_layers[-1]).attribute(
        signals, additional_forward_args=real
    )[:, 0]
    explained = ExplainedCTC(model, None, Target("greedy"))
    features, lengths = explained.features(heard())
    gradcam, plus = cam_maps(explained, features, lengths, explained.places(targets, features))
    assert expected.abs().max() > 1e-6
    assert torch.allclose(gradcam[frames] / expected.abs().max(), expected[frames] / expected.abs().max(), atol=1e-5)
    assert not torch.allclose(gradcam, plus) and not plus[~frames].any()


def test_grad_cam_plus_plus_does_not_hear_the_padding():
    model = loud(Wav2Vec2ForSequenceClassification, num_labels=4, feat_extract_norm="layer", do_stable_layer_norm=True)
    explained, count = ExplainedClassifier(model), frames_of(model.config, 9000)
    found = (explained.features(heard((9000,)), length) for length in (9600, 16600))
    short, long = (cam_maps(explained, *given, torch.tensor([1]))[1][0, :count] for given in found)
    assert short.abs().max() > 0 and torch.allclose(short / short.abs().max(), long / short.abs().max(), atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.lists(st.integers(1, 2), min_size=0, max_size=3))
def test_the_alignment_is_the_likeliest(seed, frames, symbols):
    scores = np.log(generator(seed).dirichlet(np.ones(3), size=frames))
    paths = [
        p
        for p in product(range(3), repeat=frames)
        if [s for n, s in enumerate(p) if s and (n == 0 or p[n - 1] != s)] == symbols
    ]
    assert bool(paths) == (least_frames(symbols) <= frames)
    if not paths:
        with pytest.raises(InputError, match="too few for the"):
            aligned_symbols(scores, symbols, 0)
        return
    best = max(paths, key=lambda path: sum(scores[n, s] for n, s in enumerate(path)))
    found = aligned_symbols(scores, symbols, 0)
    assert [spoken.symbol for spoken in found] == symbols
    path = [0] * frames
    for spoken in found:
        for frame in spoken.frames:
            path[frame] = spoken.symbol
    assert tuple(path) == best


def test_archived_maps_are_scaled_to_the_unit_interval():
    explained = ExplainedClassifier(loud(Wav2Vec2ForSequenceClassification, num_labels=4))
    parts = [explained.layer_map(np.array(values)[:, None]) for values in ([-1.0, 1.0, 3.0], [-1.0, -2.0, -1.0])]
    joined = explained.join(parts, 3)
    np.testing.assert_allclose(joined.values, [[0, 0], [1 / 3, 0], [1, 0]], atol=1e-6)
    assert not joined.signed


@pytest.mark.parametrize("kind", [Wav2Vec2ForSequenceClassification, Wav2Vec2ForCTC])
def test_every_method_explains_latent_frames(kind):
    """One row, a column for each real frame, and nothing of it depends on the neighbours in the batch."""
    if kind is Wav2Vec2ForCTC:
        explained, classes = ExplainedCTC(loud(kind, vocab_size=6), None, Target("greedy")), None
    else:
        explained, classes = ExplainedClassifier(loud(kind, num_labels=4)), torch.tensor([1, 2])
    found = {}
    for chosen in ([0, 1], [1]):
        signals = [heard((9000, 6000))[n] for n in chosen]
        features, lengths = explained.features(signals, 9600)
        spoken = [[Spoken(2, (3, 4)), Spoken(3, (7,))]] * len(signals)
        targets = explained.places(spoken, features) if classes is None else classes[chosen]
        batch = Batch([str(n) for n in chosen], features, lengths, targets)
        for method, maps in maps_of(explained, batch, METHODS.names()).items():
            assert [each.unit(count, 1).shape for each, count in zip(maps, lengths, strict=True)] == [
                (count, 1) for count in lengths
            ]
            found.setdefault(method, []).append(maps[-1].values)
    for method, (together, alone) in found.items():
        assert np.ptp(alone) > 0, method
        np.testing.assert_allclose(together, alone, rtol=1e-3, atol=5e-4 * np.abs(alone).max(), err_msg=method)


# CTC with masks


def test_the_loss_is_transformers_own_and_padding_counts_nothing(tmp_path):
    model = tiny(Wav2Vec2ForCTC, vocab_size=6, ctc_zero_infinity=True, ctc_loss_reduction="mean", pad_token_id=0).eval()
    network = Wav2VecCTC(model).eval()
    waveforms = sounds(tmp_path, "train", {f"s-{n}": tones(n, 0.6 + 0.3 * n) for n in range(3)})
    targets = {"s-0": [1, 2, 2], "s-1": [3], "s-2": [5, 4]}
    utterances = TranscribedUtterances(waveforms, targets, model.config, Masker(System(), 1))
    batch = collate([utterances[(0, n)] for n in range(3)], model.config)
    labels = torch.tensor([[1, 2, 2], [3, -100, -100], [5, 4, -100]])
    with torch.no_grad():
        theirs = model(batch["signals"], attention_mask=batch["real"], labels=labels).loss
        ours = network(**batch)["loss"]
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)
    # More symbols than frames: no loss instead of an infinite one.
    impossible = batch | {"targets": torch.tensor([1, 2] * 500), "counts": torch.tensor([998, 1, 1])}
    assert torch.isfinite(network(**impossible)["loss"])


def test_masked_frames_become_the_models_own_vector(tmp_path):
    model = tiny(Wav2Vec2ForCTC, vocab_size=6, pad_token_id=0).eval()
    seen = []
    model.wav2vec2.encoder.register_forward_pre_hook(lambda _, args: seen.append(args[0].clone()))
    signals, real = padded((16000, 9000))
    masked = torch.zeros(2, frames_of(model.config, 16000), dtype=torch.bool)
    masked[0, 5:9] = masked[1, 3] = True
    targets = {"targets": torch.tensor([1, 2]), "counts": torch.tensor([1, 1])}
    for mask in (torch.zeros_like(masked), masked):
        Wav2VecCTC(model).eval()(signals, real, mask, **targets)
    plain, changed = seen
    assert torch.equal(changed[masked], model.wav2vec2.masked_spec_embed.expand(5, -1))
    frames = real_frames(model.config, real) & ~masked
    assert torch.equal(changed[frames], plain[frames])


@pytest.mark.parametrize("frames", [24, 40, 73, 150, 400, 1000])
def test_specaugment_masks_as_much_as_transformers(frames):
    config = Wav2Vec2Config()
    of_model = config.mask_time_prob, config.mask_time_length, None, config.mask_time_min_masks
    np.random.seed(1)
    theirs = [_compute_mask_indices((1, frames), *of_model).mean() for _ in range(1000)]
    masker = Masker(SYSTEMS["specaugment"], 1)
    ours = [1 - masker.keep("u", frames, 1, epoch).mean() for epoch in range(1000)]
    assert np.mean(ours) == pytest.approx(np.mean(theirs), rel=0.05)
    assert min(ours) >= min(theirs) - 1e-9 > 0


def test_variants_mask_what_they_say():
    saliency = np.r_[np.zeros(20), np.full(15, 0.6), np.full(15, 1.0)][:, None].astype(np.float32)
    maps = {"gradcam": {"u": SaliencyMap(saliency, 1, 1)}}
    of = {name: Masker(system, 1, maps) for name, system in SYSTEMS.items()}
    for epoch in range(20):
        masks = {variant: ~masker.keep("u", 50, 1, epoch)[:, 0] for variant, masker in of.items()}
        assert not masks["plain"].any() and masks["specaugment"].any()
        assert masks["gradcam"][35:].all() and not masks["gradcam"][:20].any()
        assert masks["gradcam"].sum() == masks["random-mask"].sum() and not np.array_equal(
            masks["gradcam"], masks["random-mask"]
        )
        assert np.array_equal(
            masks["gradcam"], ~ProbabilisticPolicy().keep(saliency, generator(1, "u", epoch, "policy"))[:, 0]
        )
    assert not np.array_equal(of["random-mask"].keep("u", 50, 1, 0), of["random-mask"].keep("u", 50, 1, 1))
    with pytest.raises(InputError, match=r"^u: a map of 50 x 1 points .* does not fit 48 frames of 1 bins"):
        of["gradcam"].keep("u", 48, 1, 0)


# Programs


SETTINGS = TrainingSettings(epochs=2, batch_size=4, learning_rate=1e-3)
SYSTEMS_FILE = TOP / "egs/cv_ca/conf/systems.yaml"
SYSTEMS = read_systems(SYSTEMS_FILE)


def finetune(folder, out, **options):
    """local/finetune.py --recogniser wav2vec2 on what `prepared` has in its folder."""
    own = {option.name for option in fields(LatentTraining)}
    method = LatentTraining(**{"tokens": folder / "tokens.txt"} | {k: v for k, v in options.items() if k in own})
    options = {"data": folder / "data", "model": str(folder / "start"), "training": SETTINGS} | {
        k: v for k, v in options.items() if k not in own
    }
    local_program("finetune").finetune(
        Wav2vec2Recogniser(), method, out=out, train_set="train", dev_set="test", **options
    )


def decode(monkeypatch, folder, **options):
    options = {"data": folder / "data", "sets": "test"} | options
    run_program(monkeypatch, "decode", recogniser="wav2vec2", **options)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Two sets of rising and falling melodies, whose direction is their accent, and a pretrained start."""
    folder = tmp_path_factory.mktemp("wav2vec")
    for name, first in (("train", 0), ("test", 50)):
        sounds(
            folder,
            name,
            {f"s{n % 4}-{name}{n}": tones(first + n, 0.8, up=n % 2 == 0) for n in range(8)},
            accents=("up", "down"),
            texts=("puja", "ara cau"),
        )
    saved(folder / "start", Wav2Vec2ForPreTraining)
    vocabulary(folder)
    return folder


def test_whoever_begins_to_write_is_further_on_than_blanks():
    references = {"s-1": "un dos tres", "s-2": "a b"}
    rates = []
    for said in (dict.fromkeys(references, ""), {"s-1": "u n dus tres", "s-2": "ab c d"}):
        recogniser = SimpleNamespace(transcribe=lambda *_, said=said: said.items())
        rates.append(DevRates(recogniser, {}, references, 1)(None))
    blanks, letters = rates
    assert blanks == {"dev_wer": 100, "dev_cer": 100} and letters["dev_wer"] > 100 > letters["dev_cer"]


@pytest.mark.parametrize("name", yaml.safe_load((TOP / "egs/cv_ca/conf/starts.yaml").read_text()).values())
def test_the_recipes_published_starts_offline_are_one_sentence(prepared, tmp_path, monkeypatch, capfd, name):
    monkeypatch.setattr("time.sleep", lambda _: None)  # between the hub's own tries
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(
        huggingface_hub.constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(SystemExit) as caught:
        run_program(
            monkeypatch,
            "finetune",
            recogniser="wav2vec2",
            data=prepared / "data",
            out=tmp_path / "out",
            tokens=prepared / "tokens.txt",
            model=name,
            train_set="train",
            dev_set="test",
        )
    message = str(caught.value.code)
    assert (
        message.startswith(f"finetune.py: {name} is no folder here and cannot be fetched")
        and "conf/starts.yaml" in message
        and "\n" not in message
    )
    assert "Traceback" not in capfd.readouterr().err and not (tmp_path / "out" / "model.safetensors").exists()


def test_classifier_maps_finetuning_and_decoding(prepared, tmp_path, monkeypatch):
    data, start = prepared / "data", prepared / "start"
    common = {"data": data, "start": str(start), "training": SETTINGS}
    local_program("train_wav2vec_classifier").train_wav2vec_classifier(
        out=tmp_path / "accent", labels="accent", train_set="train", dev_set="test", test_sets="test", **common
    )
    scores = json.loads((tmp_path / "accent" / "wav2vec.test.json").read_text())
    assert (
        scores["labels"] == ["down", "up"]
        and np.array(scores["confusion"]).sum() == scores["n"] == 8
        and {"accuracy", "macro_f1"} <= set(scores)
    )

    run_program(
        monkeypatch,
        "map_saliency",
        data=data,
        model=tmp_path / "accent",
        sets="train",
        out=tmp_path / "maps",
        task="accent",
        methods="gradcam gradcam++",
        target="true",
        compress="false",
    )
    waveforms = Waveforms(data / "train")
    maps = {
        kind: Archive(tmp_path / "maps" / kind / "accent" / "train" / "saliency.scp")
        for kind in ("gradcam", "gradcam++")
    }
    config = load_trained(tmp_path / "accent", Wav2Vec2ForSequenceClassification).config
    for archive in maps.values():
        for key, signal in waveforms.items():
            assert (
                archive[key].shape == (frames_of(config, len(signal)), 1)
                and archive[key].min() >= 0
                and archive[key].max() <= 1
            )
    assert max(matrix.max() for matrix in maps["gradcam"].values()) == 1

    finetune(prepared, tmp_path / "ctc", maps=tmp_path / "maps", systems=SYSTEMS_FILE, system="gradcam")
    history = json.loads((tmp_path / "ctc" / "history.json").read_text())
    rates = [entry for entry in history if "eval_dev_wer" in entry]
    assert len(rates) == 2 and all({"eval_dev_wer", "eval_dev_cer"} <= set(entry) for entry in rates)
    decode(monkeypatch, prepared, models=tmp_path / "ctc", out=tmp_path / "decode")
    said, references = read_table(tmp_path / "decode" / "test" / "text"), read_table(data / "test" / "text")
    assert said.keys() == references.keys()
    best = min(rates, key=lambda entry: entry["eval_dev_cer"])
    assert 100 * jiwer.cer(list(references.values()), [said[key] for key in references]) == pytest.approx(
        best["eval_dev_cer"]
    )

    run_program(
        monkeypatch,
        "map_saliency",
        data=data,
        model=tmp_path / "ctc",
        sets="test",
        out=tmp_path / "maps",
        task="ctc",
        target="reference",
        per_character="true",
        job=1,
        jobs=1,
    )
    place = tmp_path / "maps" / "gradcam" / "ctc" / "test"
    for key, matrix in Archive(place / "saliency.1.scp").items():
        assert read_table(place / "symbols.1")[key] == " ".join(references[key].replace(" ", "|")) and matrix.shape[
            1
        ] == len(references[key])

    # A beam instead of the best path: a step of its own.
    decode(monkeypatch, prepared, models=tmp_path / "ctc", out=tmp_path / "beam", beam=5)
    assert read_table(tmp_path / "beam" / "test" / "text").keys() == references.keys()
    with pytest.raises(
        SystemExit,
        match=(
            r"^decode.py: --lm needs --beam: the best path has no use for words.arpa; give a width, for"
            r" instance --beam 50$"
        ),
    ):
        decode(monkeypatch, prepared, models=tmp_path / "ctc", out=tmp_path / "none", lm="words.arpa")

    with pytest.raises(SystemExit, match="is a checkpoint without a head for CTC"):
        decode(monkeypatch, prepared, models=start, out=tmp_path / "none")
    write_table(data / "test" / "utt2accent", dict.fromkeys(references, "sideways"))
    with pytest.raises(SystemExit, match=r"has the label 'sideways', which the classifier lacks \(down, up\)"):
        run_program(
            monkeypatch,
            "map_saliency",
            data=data,
            model=tmp_path / "accent",
            sets="test",
            out=tmp_path / "other",
            task="accent",
            target="true",
        )


def test_other_variants_and_the_published_vocabulary_learn_and_decode(prepared, tmp_path, monkeypatch):
    data, config = prepared / "data", Wav2Vec2Config()
    with ArchiveWriter(tmp_path / "maps/gradcam/accent/train/saliency") as writer:
        for key, signal in Waveforms(data / "train").items():
            writer.write(key, np.linspace(0, 1, frames_of(config, len(signal)), dtype=np.float32)[:, None])
    write_lines(tmp_path / "legacy.txt", LEGACY)
    write_json(tmp_path / "maps/gradcam/accent/train/saliency.json", {"frames_per_column": 1, "bins_per_row": 1})
    trained = {}
    for variant, tokens, _words in (
        ("specaugment", prepared / "tokens.txt", set(" apujrcu")),
        ("random-mask", prepared / "tokens.txt", set(" apujrcu")),
        ("plain", tmp_path / "legacy.txt", {"[UNK]"}),
    ):
        out = tmp_path / f"{variant} {tokens.stem}"
        finetune(
            prepared,
            out,
            tokens=tokens,
            systems=SYSTEMS_FILE,
            system=variant,
            maps=tmp_path / "maps",
            training=replace(SETTINGS, epochs=1),
        )
        trained[out] = (out / "model.safetensors").read_bytes()
        model, symbols = load_ctc(out)
        assert (out / "tokens.txt").read_text() == tokens.read_text() and model.config.vocab_size == len(symbols)
    assert len(set(trained.values())) == 3
    with pytest.raises(SystemExit, match=r"^decode.py: --models has a quote that is not closed: it's; "):
        decode(monkeypatch, prepared, models="it's", out=tmp_path / "none")
    folders = [out / "decode" for out in trained]
    decode(monkeypatch, prepared, models=shlex.join(map(str, trained)), out=shlex.join(map(str, folders)))
    for out in trained:
        assert read_table(out / "decode" / "test" / "text").keys() == read_table(data / "test" / "text").keys()


def test_texts_that_do_not_fit_stop_nothing_and_are_told(prepared, tmp_path, monkeypatch, caplog):
    for name in ("train", "test"):
        shutil.copytree(prepared / "data" / name, tmp_path / "data" / name)
        texts = read_table(tmp_path / "data" / name / "text")
        # 39 frames: room for so many letters, but not for a blank between the last two.
        long, fits = list(texts)[:2]
        write_table(tmp_path / "data" / name / "text", texts | {long: "ab" * 18 + "aaa", fits: "ab" * 19 + "a"})
        write_table(
            tmp_path / "data" / name / "utt2accent", {key: ("up", "down")[n % 2] for n, key in enumerate(texts)}
        )
    with caplog.at_level("INFO"):
        finetune(prepared, tmp_path / "ctc", data=tmp_path / "data", training=replace(SETTINGS, epochs=1))
        common = {
            "data": tmp_path / "data",
            "model": tmp_path / "ctc",
            "sets": "test",
            "task": "ctc",
            "target": "reference",
        }
        run_program(monkeypatch, "map_saliency", out=tmp_path / "all", **common)
        run_program(
            monkeypatch, "map_saliency", out=tmp_path / "some", max_per_accent=2, per_character="true", **common
        )
    assert "1 utterances have more symbols than frames, so that nothing is learnt from them" in caplog.text
    assert f"1 utterances of {tmp_path}/data/test have more symbols than frames and no map" in caplog.text
    every, some = (set(Archive(tmp_path / name / "gradcam/ctc/test/saliency.scp")) for name in ("all", "some"))
    assert every == set(texts) - {long}
    assert long == next(iter(texts)) and some == set(list(texts)[1:4])


def test_weights_in_the_older_format_count_as_well(prepared, tmp_path, caplog, monkeypatch):
    folder = tmp_path / "start"
    program = local_program("finetune")
    monkeypatch.setattr(program, "train", lambda *_: [])
    for seed in (1, 2):
        torch.save(
            tiny(Wav2Vec2ForPreTraining, seed).state_dict(),
            saved(folder, Wav2Vec2ForPreTraining, seed) / "pytorch_model.bin",
        )
        (folder / "model.safetensors").unlink()
        assert files_of(str(folder)) == [folder / "config.json", folder / "pytorch_model.bin"]
        with caplog.at_level("INFO"):
            program.finetune(
                Wav2vec2Recogniser(),
                LatentTraining(tokens=prepared / "tokens.txt"),
                data=prepared / "data",
                out=tmp_path / "ctc",
                model=str(folder),
                train_set="train",
                dev_set="test",
            )
    assert f"done again, because its input {folder}/pytorch_model.bin changed" in caplog.text


def test_an_interrupted_finetuning_ends_with_the_same_weights(prepared, tmp_path, monkeypatch):
    options = {"training": replace(SETTINGS, epochs=3), "systems": SYSTEMS_FILE, "system": "specaugment"}
    finetune(prepared, tmp_path / "straight", **options)
    whole, calls = DevRates.__call__, []

    def cut(self, network):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return whole(self, network)

    monkeypatch.setattr(DevRates, "__call__", cut)
    with pytest.raises(KeyboardInterrupt):
        finetune(prepared, tmp_path / "cut", **options)
    finetune(prepared, tmp_path / "cut", **options)
    assert len(calls) == 4
    for name in ("model.safetensors", "tokens.txt"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()


def test_masks_need_maps(prepared, tmp_path):
    with pytest.raises(InputError, match=r"the system random-mask needs --maps, the folder of the saliency maps"):
        finetune(prepared, tmp_path / "none", systems=SYSTEMS_FILE, system="random-mask")
    assert not list(tmp_path.iterdir())
