"""Whisper in every format people have it in, against transformers' and CTranslate2's own models."""

import struct
from dataclasses import asdict

import numpy as np
import pytest
import torch
import transformers
from accent_helpers import TINY, noise, run_program, talkative, write_features, write_set
from corpora_helpers import TOP
from transformers import WhisperConfig, WhisperForConditionalGeneration
from whisper.model import ModelDimensions

from salience.data.tables import read_table
from salience.decoding.whisper import transcribe
from salience.errors import InputError
from salience.features.archives import Archive
from salience.features.logmel import floor_of, pad_frames
from salience.files import read_json, write_json
from salience.models.whisper import alignment_heads, load_model, new_model, open_model, save_model
from salience.models.whisper_export import export_huggingface
from salience.models.whisper_formats import _NAME, _PLACES

LARGE = ModelDimensions(**asdict(TINY) | {"n_mels": 128, "n_vocab": 51866})
"""A small model of large-v3's bins and vocabulary."""
HEADS = [[0, 1], [1, 0]]


def transformers_model(**sizes):
    """A small Whisper of transformers, with random weights in every layer."""
    torch.manual_seed(1)
    sizes = {"vocab_size": 51865, "num_mel_bins": 80, "max_source_positions": 100, "max_target_positions": 20} | sizes
    config = WhisperConfig(
        d_model=24,
        encoder_layers=2,
        encoder_attention_heads=2,
        encoder_ffn_dim=96,
        decoder_layers=2,
        decoder_attention_heads=2,
        decoder_ffn_dim=96,
        **sizes,
    )
    model = WhisperForConditionalGeneration(config).eval()
    for name, parameter in model.named_parameters():
        torch.nn.init.normal_(parameter, mean=float("layer_norm.weight" in name), std=0.2)
    model.generation_config.alignment_heads = HEADS
    return model


def logits(model, features, tokens):
    """Of either kind of model; features: (batch, bins, frames)."""
    with torch.no_grad():
        if isinstance(model, WhisperForConditionalGeneration):
            return model(input_features=features, decoder_input_ids=tokens).logits
        return model(features, tokens)


def assert_same(ours, theirs, tolerance=1e-4):
    """The same logits, of which none is like the others."""
    features = torch.from_numpy(noise(3, (2, ours.dims.n_mels, 2 * ours.dims.n_audio_ctx)))
    tokens = torch.tensor([[50258, 50259, 50359, 50363, 11, 12], [50258, 50259, 50359, 50363, 400, 7]])
    expected = logits(theirs, features, tokens)
    assert expected.std() > 0.5
    torch.testing.assert_close(logits(ours.eval(), features, tokens), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("bins", [80, 128])
@pytest.mark.parametrize("how", ["one file", "shards", "pickle", "half"])
def test_a_hugging_face_folder_is_its_model(tmp_path, how, bins):
    theirs = transformers_model(num_mel_bins=bins, vocab_size=51866 if bins == 128 else 51865)
    if how == "half":
        theirs = theirs.half()
    theirs.save_pretrained(tmp_path / "hf", max_shard_size="1MB" if how == "shards" else "5GB")
    if how == "shards":
        assert len(list((tmp_path / "hf").glob("*.safetensors"))) > 1
    if how == "pickle":
        (tmp_path / "hf/model.safetensors").unlink()
        torch.save(theirs.state_dict(), tmp_path / "hf/pytorch_model.bin")
    ours = load_model(str(tmp_path / "hf"))
    assert ours.dims.n_mels == bins and {p.dtype for p in ours.parameters()} == {torch.float32}
    assert alignment_heads(ours) == HEADS
    assert_same(ours, theirs.float())
    checkpoint = open_model(str(tmp_path / "hf"))
    assert checkpoint.format == "Hugging Face" and checkpoint.dims == ours.dims


def test_there_and_back_again(tmp_path):
    """Our file as a Hugging Face folder, read again, with all that the file says of itself."""
    model = talkative(1)
    model.short_context = True
    save_model(model, tmp_path / "a.pt")
    export_huggingface(load_model(str(tmp_path / "a.pt")), tmp_path / "hf", "en")
    again = load_model(str(tmp_path / "hf"))
    assert again.dims == model.dims and again.short_context and alignment_heads(again) == alignment_heads(model)
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)


def test_a_folder_of_fewer_seconds_is_decoded_and_takes_no_more(tmp_path):
    """As export_whisper.py --context-seconds writes it: padded to its own length, and longer utterances are refused."""
    export_huggingface(talkative(1), tmp_path / "hf", "en", context_seconds=10)
    model = load_model(str(tmp_path / "hf"))
    assert model.dims.n_audio_ctx == 500 and model.short_context
    features = {"a": 0.4 * noise(1, (900, 80)), "b": 0.4 * noise(2, (1001, 80))}
    full = dict(transcribe(model, features, {"a": 900}, "en", full_context=True, max_tokens=5))
    assert full == dict(transcribe(model, features, {"a": 900}, "en", max_tokens=5))
    with pytest.raises(InputError, match="1001 frames is longer than the model's 1000; leave out utterances over 10 s"):
        list(transcribe(model, features, {"b": 1001}, "en"))


def spoilt(folder, how):
    """A Hugging Face folder that is none."""
    model = transformers_model()
    model.save_pretrained(folder)
    config = read_json(folder / "config.json")
    if how == "no config":
        (folder / "config.json").unlink()
    elif how == "other layers":
        write_json(folder / "config.json", config | {"encoder_layers": 3})
    elif how == "fewer layers":
        write_json(folder / "config.json", config | {"decoder_layers": 1})
    elif how == "a billion layers":
        write_json(folder / "config.json", config | {"encoder_layers": 10**9})
    elif how == "another model":
        write_json(folder / "config.json", config | {"model_type": "wav2vec2"})
    elif how == "a list":
        (folder / "config.json").write_text("[]")
    elif how == "another activation":
        write_json(folder / "config.json", config | {"activation_function": "relu"})
    elif how == "truncated":
        content = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    elif how == "an output of its own":
        (folder / "model.safetensors").unlink()
        torch.save(model.state_dict() | {"proj_out.weight": torch.zeros(51865, 24)}, folder / "pytorch_model.bin")
    elif how == "shards elsewhere":
        (folder / "model.safetensors").unlink()
        write_json(folder / "model.safetensors.index.json", {"weight_map": {"a": "../a.safetensors"}})
    elif how == "a shard is missing":
        (folder / "model.safetensors").unlink()
        write_json(folder / "model.safetensors.index.json", {"weight_map": {"a": "model-00001-of-00002.safetensors"}})


@pytest.mark.parametrize(
    "how",
    [
        "no config",
        "other layers",
        "fewer layers",
        "a billion layers",
        "another model",
        "a list",
        "another activation",
        "truncated",
        "an output of its own",
        "shards elsewhere",
        "a shard is missing",
    ],
)
@pytest.mark.parametrize("load", [load_model, open_model])
def test_what_is_no_hugging_face_folder_is_one_sentence(tmp_path, how, load):
    spoilt(tmp_path / "hf", how)
    with pytest.raises(InputError, match=r"^\S*/hf\S* .*give a file of openai-whisper, or a folder of") as caught:
        load(str(tmp_path / "hf"))
    assert "\n" not in str(caught.value)


def test_a_folder_of_something_else_is_one_sentence(tmp_path):
    with pytest.raises(
        InputError, match="holds none of model.safetensors, .*, model.bin; give a file of openai-whisper"
    ):
        load_model(str(tmp_path))


# CTranslate2, first in files that are written here after the layout that the reader documents, then in its own.


def ctranslate2_variables(model):
    """A model's weights as CTranslate2 lays them out, in float32."""
    parts, dims = {}, model.dims
    for name, tensor in model.state_dict().items():
        side, block, layer, kind = _NAME.fullmatch(name).groups()
        place, part, _ = _PLACES[layer]
        kind = {"layer_norm": {"weight": "gamma", "bias": "beta"}, "position_encodings": {None: "encodings"}}.get(
            place.split("/")[-1], {}
        ).get(kind, kind)
        parts.setdefault(f"{side}/{'' if block is None else f'layer_{block}/'}{place}/{kind}", {})[part] = (
            tensor.numpy()
        )
        if layer.endswith("attn.key"):
            # Keys have no bias here, and one of zeros there.
            parts.setdefault(f"{side}/layer_{block}/{place}/bias", {})[part] = np.zeros(dims.n_audio_state, np.float32)
    variables = {name: np.concatenate([values[part] for part in sorted(values)]) for name, values in parts.items()}
    variables["encoder/num_heads"], variables["decoder/num_heads"] = (
        np.int16(dims.n_audio_head),
        np.int16(dims.n_text_head),
    )
    return variables


def write_ctranslate2(folder, variables, aliases=(), version=6, kind="WhisperSpec"):
    """A file of CTranslate2's format."""
    name = lambda text: struct.pack("<H", len(text) + 1) + text.encode() + b"\0"  # noqa: E731
    content = struct.pack("<I", version) + name(kind) + struct.pack("<II", 3, len(variables))
    for key, value in variables.items():
        type = ("float32", "int8", "int16", "int32", "float16").index(value.dtype.name)
        content += (
            name(key)
            + struct.pack(f"<B{value.ndim}I", value.ndim, *value.shape)
            + struct.pack("<BI", type, value.nbytes)
            + value.tobytes()
        )
    content += struct.pack("<I", len(aliases)) + b"".join(name(alias) + name(original) for alias, original in aliases)
    folder.mkdir(exist_ok=True)
    (folder / "model.bin").write_bytes(content)


def test_ctranslate2_as_documented(tmp_path):
    model = talkative(1)
    variables = ctranslate2_variables(model)
    # Every other row of a matrix in 8 bits, whose values an alias has as well.
    variables["decoder/layer_0/ffn/linear_0/weight"] = variables["decoder/layer_0/ffn/linear_0/weight"].astype(
        np.float16
    )
    exact = variables["encoder/layer_0/self_attention/linear_0/weight"] = np.tile(
        np.arange(-48, 48, dtype=np.int8)[:, None], 32
    )
    variables["encoder/layer_0/self_attention/linear_0/weight_scale"] = np.linspace(10, 20, 96, dtype=np.float32)
    aliases = [("decoder/projection/weight", "decoder/embeddings/weight")]
    variables["encoder/layer_0/attention/copy/weight"] = variables["decoder/layer_0/ffn/linear_1/weight"]
    del variables["decoder/layer_0/ffn/linear_1/weight"]
    aliases.append(("decoder/layer_0/ffn/linear_1/weight", "encoder/layer_0/attention/copy/weight"))
    write_ctranslate2(tmp_path / "ct2", variables, aliases)
    ours = load_model(str(tmp_path / "ct2"))
    assert ours.dims == model.dims
    expected = dict(model.state_dict())
    query, key, value = torch.from_numpy(exact / np.linspace(10, 20, 96, dtype=np.float32)[:, None]).float().chunk(3)
    expected |= {
        f"encoder.blocks.0.attn.{name}.weight": part
        for name, part in (("query", query), ("key", key), ("value", value))
    }
    expected["decoder.blocks.0.mlp.0.weight"] = expected["decoder.blocks.0.mlp.0.weight"].half().float()
    for name, tensor in ours.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=0)


@pytest.mark.parametrize(
    "how", ["empty", "truncated", "version", "another kind", "no scale", "a part is missing", "huge"]
)
@pytest.mark.parametrize("load", [load_model, open_model])
def test_what_is_no_ctranslate2_folder_is_one_sentence(tmp_path, how, load):
    variables = ctranslate2_variables(talkative(1))
    if how == "no scale":
        variables["encoder/layer_0/ffn/linear_0/weight"] = variables["encoder/layer_0/ffn/linear_0/weight"].astype(
            np.int8
        )
    if how == "a part is missing":
        del variables["decoder/layer_0/attention/linear_1/weight"]
    write_ctranslate2(
        tmp_path / "ct2",
        variables,
        version=5 if how == "version" else 6,
        kind="TransformerSpec" if how == "another kind" else "WhisperSpec",
    )
    path = tmp_path / "ct2/model.bin"
    content = path.read_bytes()
    if how in ("empty", "truncated"):
        path.write_bytes(content[: {"empty": 0, "truncated": len(content) // 2}[how]])
    if how == "huge":
        place = content.index(b"decoder/embeddings/weight\0") + len(b"decoder/embeddings/weight\0") + 1
        path.write_bytes(content[:place] + struct.pack("<I", 2**31) + content[place + 4 :])
    with pytest.raises(
        InputError, match=r"/ct2 is no Whisper checkpoint that this version can load .*; give a file of"
    ) as caught:
        load(str(tmp_path / "ct2"))
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """A random model as transformers writes it and as CTranslate2's own converter does, in each precision."""
    ctranslate2 = pytest.importorskip("ctranslate2", reason="ctranslate2 (tests/requirements.txt) is not installed")
    folder = tmp_path_factory.mktemp("converted")
    export_huggingface(talkative(2), folder / "hf", "en")
    for precision in ("float32", "float16", "bfloat16", "int16", "int8", "int8_float16"):
        ctranslate2.converters.TransformersConverter(str(folder / "hf")).convert(
            str(folder / precision), quantization=precision
        )
    return folder


@pytest.mark.parametrize(
    ("precision", "share"),
    [("float32", 0), ("float16", 5e-4), ("bfloat16", 5e-3), ("int16", 2e-3), ("int8", 1e-2), ("int8_float16", 1e-2)],
)
def test_weights_that_ctranslate2_wrote(converted, precision, share):
    """Each within its precision, relative to the largest of its row or matrix."""
    model = load_model(str(converted / precision))
    assert open_model(str(converted / precision)).format == "CTranslate2"
    assert alignment_heads(model) == alignment_heads(talkative(2))
    for name, expected in talkative(2).state_dict().items():
        found = model.state_dict()[name]
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, rtol=0, atol=share * expected.abs().max().item())


@pytest.mark.parametrize("precision", ["float32", "float16", "int16", "int8", "int8_float16"])
def test_ctranslate2_says_the_same(converted, precision):
    """Its encoder's states and its greedy hypotheses, where it computes in float32, as we do."""
    import ctranslate2

    theirs = ctranslate2.models.Whisper(str(converted / precision), compute_type="float32")
    ours = load_model(str(converted / precision)).eval()
    features = {key: 0.4 * noise(n, (n, 80)) for n, key in ((100, "a"), (420, "b"), (900, "c"))}
    padded = np.ascontiguousarray([pad_frames(matrix, 3000, floor_of(matrix)).T for matrix in features.values()])
    states = np.array(theirs.encode(ctranslate2.StorageView.from_array(padded), to_cpu=True))
    with torch.no_grad():
        np.testing.assert_allclose(states, ours.encoder(torch.from_numpy(padded)).numpy(), atol=1e-3)
    # Of its maximum, half is for the prompt.
    results = theirs.generate(
        ctranslate2.StorageView.from_array(padded),
        [[50258, 50259, 50359, 50363]] * 3,
        beam_size=1,
        max_length=16,
        suppress_tokens=[-1],
        suppress_blank=True,
    )
    tokenizer = transformers.WhisperTokenizer.from_pretrained(converted / "hf")
    texts = [
        " ".join(tokenizer.decode(result.sequences_ids[0], skip_special_tokens=True).split()) for result in results
    ]
    hypotheses = dict(
        transcribe(ours, features, {key: len(m) for key, m in features.items()}, "en", full_context=True, max_tokens=8)
    )
    assert len(set(texts)) == 3
    assert [hypotheses[key] for key in features] == texts


# Models of 128 bins: large-v3, turbo.


@pytest.mark.parametrize("format", ["openai-whisper", "Hugging Face"])
def test_all_stages_work_with_the_bins_of_large_v3(tmp_path, monkeypatch, capsys, format):
    monkeypatch.chdir(tmp_path)
    for name in ("train", "dev"):
        write_set(tmp_path, name, {f"s{n % 3}-{n}": 0.1 * noise(n, 8000) for n in range(6)})
    model = new_model(LARGE, 1)
    if format == "openai-whisper":
        save_model(model, tmp_path / "model")
    else:
        export_huggingface(model, tmp_path / "model", "yue")
    run_program(monkeypatch, "check_whisper", model="model", language="yue")
    assert capsys.readouterr().out == "128\n"
    run_program(monkeypatch, "extract_features", data="data", sets="train dev", out="jobs", bins=128)
    for name in ("train", "dev"):
        archive = Archive(tmp_path / "jobs" / name / "feats.1.scp")
        write_features(tmp_path, name, {key: archive[key] for key in archive})
        assert {archive[key].shape for key in archive} == {(50, 128)}
    sizes = {
        "sizes.frames": 64,
        "sizes.channels": "[2,2,2,2]",
        "sizes.hidden": 4,
        "training.epochs": 1,
        "training.batch_size": 6,
    }
    run_program(
        monkeypatch,
        "train_classifier",
        classifier="cnn",
        data="data",
        features="dump",
        out="classifier",
        train_set="train",
        dev_set="dev",
        test_sets="dev",
        **sizes,
    )
    run_program(
        monkeypatch, "map_saliency", data="data", features="dump", sets="train", model="classifier", out="saliency"
    )
    run_program(
        monkeypatch,
        "mask_features",
        data="data",
        features="dump",
        maps="saliency",
        sets="train",
        systems=TOP / "egs/fsdd/conf/systems.yaml",
        only="gradcam",
        out="masked",
    )
    masked = Archive(tmp_path / "masked/gradcam/train/feats.scp")
    assert {masked[key].shape for key in masked} == {(50, 128)}
    run_program(
        monkeypatch,
        "finetune",
        recogniser="whisper",
        data="data",
        features="dump",
        maps="saliency",
        out="tuned",
        model="model",
        systems=TOP / "egs/fsdd/conf/systems.yaml",
        system="gradcam",
        train_set="train",
        dev_set="dev",
        max_tokens=2,
        language="yue",
        **{"training.epochs": 1, "training.batch_size": 6},
    )
    run_program(
        monkeypatch,
        "decode",
        recogniser="whisper",
        models="tuned/model.pt",
        features="dump",
        sets="dev",
        out="decode",
        max_tokens=3,
        language="yue",
    )
    assert len(read_table(tmp_path / "decode/dev/text")) == 6
