"""Exported models: transformers loads the directory and says the same."""

import json

import numpy as np
import pytest
import torch
from accent_helpers import noise, run_program, talkative
from whisper.tokenizer import get_tokenizer

from salience.decoding.whisper import transcribe
from salience.errors import InputError
from salience.features.logmel import floor_of, log_mel, pad_frames
from salience.models.whisper import save_model
from salience.models.whisper_export import export_huggingface, huggingface_name

transformers = pytest.importorskip("transformers")

LENGTHS = {"a": 100, "b": 37, "c": 420, "d": 900, "e": 860}
LONGEST = 10


@pytest.fixture(scope="module")
def model():
    return talkative(1)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    place = tmp_path_factory.mktemp("export") / "hf"
    export_huggingface(model, place, "en")
    return place


def generated(folder, features, frames, **options):
    """What transformers' own model and generation settings make of padded features, as text."""
    model = transformers.WhisperForConditionalGeneration.from_pretrained(folder)
    tokenizer = get_tokenizer(True, language="en", task="transcribe")
    texts = {}
    for key, matrix in features.items():
        padded = torch.from_numpy(pad_frames(matrix, frames, floor_of(matrix)).T[None].copy())
        with torch.no_grad():
            (tokens,) = model.generate(padded, max_new_tokens=LONGEST, **options).tolist()
        text = tokenizer.decode(
            [t for t in tokens if t not in (tokenizer.eot, *tokenizer.sot_sequence_including_notimestamps)]
        )
        texts[key] = " ".join(text.split())
    return texts


def test_transformers_generates_the_same_hypotheses(model, folder):
    features = {key: 0.4 * noise(n, (n, 80)) for key, n in LENGTHS.items()}
    ours = dict(transcribe(model, features, LENGTHS, "en", full_context=True, max_tokens=LONGEST))
    assert len(set(ours.values())) == len(LENGTHS)
    assert generated(folder, features, 3000) == ours


def test_a_shorter_context_is_exported_too(model, tmp_path):
    """Utterances that our decoding pads to 10 s, by a directory with a context of 10 s."""
    export_huggingface(model, tmp_path / "hf", "en", context_seconds=10)
    features = {key: 0.4 * noise(n, (n, 80)) for key, n in LENGTHS.items() if 850 < n <= 950}
    ours = dict(transcribe(model, features, {key: LENGTHS[key] for key in features}, "en", max_tokens=LONGEST))
    assert len(ours) == 2 and generated(tmp_path / "hf", features, 1000) == ours
    for seconds in (0, 31):
        with pytest.raises(InputError, match=f"--context-seconds {seconds} is not between 1 and the model's 30"):
            export_huggingface(model, tmp_path / "bad", "en", context_seconds=seconds)


def test_the_directorys_own_extractor_and_settings_do(model, folder):
    """From the waveform to text with nothing but transformers and the directory."""
    audio = (0.1 * noise(5, 24_000) * np.hanning(24_000)).astype(np.float32)
    processor = transformers.WhisperProcessor.from_pretrained(folder)
    inputs = processor(audio, sampling_rate=16000, return_tensors="pt")
    (ours,) = log_mel([audio])
    np.testing.assert_allclose(inputs.input_features[0, :, : len(ours)].numpy().T, ours, atol=1e-3)
    hugging_face = transformers.WhisperForConditionalGeneration.from_pretrained(folder)
    with torch.no_grad():
        tokens = hugging_face.generate(inputs.input_features, max_new_tokens=LONGEST)
    (text,) = processor.batch_decode(tokens, skip_special_tokens=True)
    hypothesis = dict(transcribe(model, {"u": ours}, {"u": len(ours)}, "en", full_context=True, max_tokens=LONGEST))[
        "u"
    ]
    assert " ".join(text.split()) == hypothesis != ""


def test_logits_are_the_models(model, folder):
    features = torch.from_numpy(noise(3, (2, 3000, 80)))
    tokens = torch.tensor([[50258, 50259, 50359, 50363, 11, 12], [50258, 50259, 50359, 50363, 400, 7]])
    hugging_face = transformers.WhisperForConditionalGeneration.from_pretrained(folder).eval()
    with torch.no_grad():
        theirs = hugging_face(input_features=features.transpose(1, 2), decoder_input_ids=tokens).logits
        ours = model(features.transpose(1, 2), tokens)
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-4)
    assert hugging_face.proj_out.weight is hugging_face.model.decoder.embed_tokens.weight


@pytest.fixture(scope="module")
def theirs(folder):
    """The directory's tokenizer, as transformers reads it."""
    return transformers.WhisperTokenizer.from_pretrained(folder)


@pytest.mark.parametrize(
    "text",
    [
        " the quick brown fox",
        "It's 3,141.59 dollars -- isn't it?",
        " يک دو سه چهار پنج",
        " می‌شود گفت که نه",
        "l'avi és a casa; què fa?",
        "日本語のテキスト",
        "Привет, мир",
        "हिन्दी में",
        "  two  spaces\nand a line",
        "🙂 ok",
        "",
        "ﬁ́",
    ],
)
def test_token_ids_are_openai_whispers(theirs, text):
    ours = get_tokenizer(True, language="en", task="transcribe")
    assert theirs.encode(text, add_special_tokens=False) == ours.encode(text)
    assert theirs.encode(text) == [*ours.sot_sequence_including_notimestamps, *ours.encode(text), ours.eot]
    assert theirs.decode(ours.encode(text), clean_up_tokenization_spaces=False) == text


def test_special_tokens_are_openai_whispers(theirs):
    special = get_tokenizer(True, language="en", task="transcribe").special_tokens
    assert len(special) == 1608
    assert {token: theirs.convert_tokens_to_ids(token) for token in special} == special


def test_generation_settings_are_the_decoders(folder):
    settings = json.loads((folder / "generation_config.json").read_text())
    tokenizer = get_tokenizer(True, language="en", task="transcribe")
    assert settings["language"] == "en" and settings["task"] == "transcribe"
    assert set(tokenizer.non_speech_tokens) < set(settings["suppress_tokens"])
    assert settings["begin_suppress_tokens"] == [220, tokenizer.eot]
    assert settings["no_timestamps_token_id"] == tokenizer.no_timestamps


def test_words_get_time_stamps(folder):
    """transformers aligns tokens and frames by the heads that generation_config.json names."""
    assert json.loads((folder / "generation_config.json").read_text())["alignment_heads"] == [[0, 0], [0, 1]]
    model = transformers.WhisperForConditionalGeneration.from_pretrained(folder)
    features = torch.from_numpy(0.4 * noise(1, (1, 80, 3000)))
    found = model.generate(features, max_new_tokens=LONGEST, return_token_timestamps=True)
    times = found["token_timestamps"][0]
    assert times.shape == found["sequences"][0].shape and (times.diff() >= 0).all() and 0 < times[-1] <= 30


def test_names_are_translated_one_to_one(model):
    names = [huggingface_name(name) for name in model.state_dict()]
    assert len(set(names)) == len(names)
    assert (
        huggingface_name("decoder.blocks.0.cross_attn.query.weight")
        == "model.decoder.layers.0.encoder_attn.q_proj.weight"
    )
    assert huggingface_name("encoder.ln_post.bias") == "model.encoder.layer_norm.bias"


def test_the_program_exports_once(model, tmp_path, monkeypatch):
    save_model(model, tmp_path / "model.pt")
    run_program(monkeypatch, "export_whisper", model=tmp_path / "model.pt", out=tmp_path / "hf")
    assert {"config.json", "generation_config.json", "model.safetensors"} <= {
        p.name for p in (tmp_path / "hf").iterdir()
    }
    before = (tmp_path / "hf/config.json").stat().st_mtime_ns
    with pytest.raises(SystemExit, match=r"export_whisper\.py: .*hf exists already"):
        run_program(monkeypatch, "export_whisper", model=tmp_path / "model.pt", out=tmp_path / "hf")
    assert (tmp_path / "hf/config.json").stat().st_mtime_ns == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["hf", "model.pt"]
