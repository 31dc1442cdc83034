"""Batched decoding against whisper.decode, one utterance at a time."""

import json
from dataclasses import replace

import pytest
import torch
import whisper
from accent_helpers import TINY, noise, run_program, talkative, write_features
from whisper.decoding import DecodingOptions, PyTorchInference
from whisper.model import Conv1d, LayerNorm, Linear

from salience.data.tables import read_table
from salience.decoding.whisper import transcribe
from salience.errors import InputError
from salience.features.logmel import FRAMES_30S, floor_of, pad_frames
from salience.models.recognisers import RECOGNISERS, load_recogniser
from salience.models.whisper import new_model, padded_frames, save_model, tokenizer_of

LENGTHS = {"a": 100, "b": 37, "c": 151, "d": 420, "e": 150, "f": 99, "g": 300}


@pytest.fixture(scope="module")
def model():
    return talkative(0)


@pytest.fixture(scope="module")
def features():
    return {key: 0.4 * noise(n, (n, 80)) for key, n in LENGTHS.items()}


def test_at_full_context_it_is_whisper_decode(model, features):
    ours = dict(transcribe(model, features, LENGTHS, "en", batch_size=3, full_context=True, max_tokens=10))
    options = DecodingOptions(
        language="en", task="transcribe", without_timestamps=True, sample_len=10, temperature=0.0, fp16=False
    )
    for key, matrix in features.items():
        padded = torch.from_numpy(pad_frames(matrix, FRAMES_30S, floor_of(matrix)).T.copy())
        assert ours[key] == " ".join(whisper.decode(model, padded, options).text.split())
    # A model that hears nothing would pass the rest of this file.
    assert len(set(ours.values())) == len(LENGTHS)


def test_texts_that_end_leave_the_batch_and_change_nothing(monkeypatch):
    """Equal to whisper.decode of each, and the last steps are computed for few."""
    model = talkative(0)
    end = tokenizer_of(model, "en").eot
    with torch.no_grad():  # some hear the end early, some late, some never
        model.decoder.token_embedding.weight[end] *= -1.5
    features = {f"u{n}": noise(n, (100, 80)) for n in range(12)}
    options = DecodingOptions(language="en", without_timestamps=True, sample_len=20, temperature=0.0, fp16=False)
    expected = {}
    for key, matrix in features.items():
        padded = torch.from_numpy(pad_frames(matrix, FRAMES_30S, floor_of(matrix)).T.copy())
        expected[key] = whisper.decode(model, padded, options)
    rows, logits = [], PyTorchInference.logits
    monkeypatch.setattr(
        PyTorchInference,
        "logits",
        lambda self, tokens, *rest: [rows.append(len(tokens)), logits(self, tokens, *rest)][1],
    )
    truncated: list[str] = []
    lengths = dict.fromkeys(features, 100)
    found = dict(transcribe(model, features, lengths, "en", 12, True, max_tokens=20, truncated=truncated))
    assert found == {key: " ".join(result.text.split()) for key, result in expected.items()}
    assert sorted(truncated) == sorted(key for key, result in expected.items() if len(result.tokens) == 20)
    assert len({len(result.tokens) for result in expected.values()}) > 3 and 0 < len(truncated) < 6
    assert rows[0] == 12 and rows[-1] <= len(truncated) / 0.75 and sum(rows) < 0.7 * 12 * 20


@pytest.mark.parametrize("full_context", [True, False])
def test_batch_size_and_order_change_nothing(model, features, full_context):
    alone = dict(transcribe(model, features, LENGTHS, "en", batch_size=1, full_context=full_context, max_tokens=8))
    assert alone.keys() == LENGTHS.keys()
    for size, order in ((2, list(LENGTHS)), (32, list(LENGTHS)[::-1])):
        lengths = {key: LENGTHS[key] for key in order}
        assert (
            dict(transcribe(model, features, lengths, "en", batch_size=size, full_context=full_context, max_tokens=8))
            == alone
        )
    for key in ("c", "g"):
        one = dict(transcribe(model, features, {key: LENGTHS[key]}, "en", full_context=full_context, max_tokens=8))
        assert one == {key: alone[key]}


def test_padding_depends_on_the_own_length_alone():
    assert [padded_frames(n, False) for n in (1, 50, 51, 150, 151, 2949, 2950, 3000)] == [
        100,
        100,
        200,
        200,
        300,
        3000,
        3000,
        3000,
    ]
    assert {padded_frames(n, True) for n in (1, 1000, 3000)} == {3000}


def test_the_output_is_capped(model, features):
    lengths = {"a": LENGTHS["a"]}
    (one,), (three,) = ([text for _, text in transcribe(model, features, lengths, "en", max_tokens=n)] for n in (1, 3))
    assert three.startswith(one) and len(three) > len(one)


def test_hypotheses_that_hit_the_limit_are_counted(model, features):
    """Whether it is ours or the end of the decoder's positions; one that ends by itself is not among them."""
    truncated = []
    list(transcribe(model, features, LENGTHS, "en", max_tokens=3, truncated=truncated))
    assert sorted(truncated) == sorted(LENGTHS)
    short = new_model(replace(TINY, n_text_ctx=10), 1)
    truncated.clear()
    list(transcribe(short, features, {"a": 100}, "en", max_tokens=225, truncated=truncated))
    assert truncated == ["a"]
    silent = talkative(0)
    with torch.no_grad():
        # Whatever it hears, the end is the most probable token after the first.
        silent.decoder.ln.weight.zero_()
        silent.decoder.ln.bias.copy_(100 * silent.decoder.token_embedding.weight[50257])
    truncated.clear()
    texts = dict(transcribe(silent, features, LENGTHS, "en", max_tokens=3, truncated=truncated))
    assert truncated == [] and len(texts) == len(LENGTHS)


def test_the_language_is_forced(model, features):
    english, persian = (dict(transcribe(model, features, LENGTHS, code, max_tokens=4)) for code in ("en", "fa"))
    assert english != persian


def test_hypotheses_are_single_lines(model, features):
    for text in dict(transcribe(model, features, LENGTHS, "en", max_tokens=20)).values():
        assert text == " ".join(text.split())


def test_stage_7_writes_them_sorted_and_skips_what_is_done(model, features, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    write_features(tmp_path, "test", features)
    save_model(model, tmp_path / "model.pt")
    options = {
        "recogniser": "whisper",
        "models": "model.pt",
        "features": "dump",
        "sets": "test",
        "out": "out",
        "max_tokens": 8,
    }
    caplog.set_level("INFO")
    run_program(monkeypatch, "decode", **options, batch_size=4)
    text = read_table(tmp_path / "out/test/text")
    assert list(text) == sorted(LENGTHS)
    truncated = []
    assert text == dict(transcribe(model, features, LENGTHS, "en", max_tokens=8, truncated=truncated))
    assert list(read_table(tmp_path / "out/test/truncated")) == sorted(truncated) != []
    assert f"{len(truncated)} of them were cut off (--max-tokens)" in caplog.text
    # It was not tuned at all, and hears less than 30 s.
    assert "WARNING: decoding without padding" in caplog.text
    written = (tmp_path / "out/test/text").stat().st_mtime_ns
    run_program(monkeypatch, "decode", **options, batch_size=1)
    assert "up to date" in caplog.text and (tmp_path / "out/test/text").stat().st_mtime_ns == written
    save_model(talkative(1), tmp_path / "model.pt")
    run_program(monkeypatch, "decode", **options)
    assert "its input model.pt changed" in caplog.text and read_table(tmp_path / "out/test/text") != text


def test_bf16_decodes_with_lower_precision(model, features, tmp_path, monkeypatch):
    """Norms stay in float32; a decoding in another precision is another decoding; some have one only."""
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    monkeypatch.chdir(tmp_path)
    write_features(tmp_path, "test", features)
    save_model(model, tmp_path / "model.pt")
    options = {"recogniser": "whisper", "models": "model.pt", "features": "dump", "sets": "test", "out": "out"}
    texts = {}
    for precision in ("float32", "bf16"):
        run_program(monkeypatch, "decode", **options, max_tokens=20, precision=precision)
        step = json.loads((tmp_path / "out/test/step.json").read_text())
        assert step["config"].get("precision", "float32") == precision
        texts[precision] = read_table(tmp_path / "out/test/text")
    recogniser = load_recogniser("whisper", str(tmp_path / "model.pt"), max_tokens=20)
    recogniser.use_bf16()
    assert recogniser.transcripts(features) == texts["bf16"] != texts["float32"]
    kinds = {type(module): {p.dtype for p in module.parameters(False)} for module in recogniser.model.modules()}
    assert kinds[LayerNorm] == {torch.float32} and kinds[Linear] == kinds[Conv1d] == {torch.bfloat16}
    with pytest.raises(InputError, match="Keyword.* decodes in float32 only; leave out --precision bf16"):
        RECOGNISERS["keyword"]().use_bf16()


def test_a_renamed_option_is_told(tmp_path, monkeypatch):
    (tmp_path / "old.yaml").write_text("longest: 8\n")
    for given in ({"longest": 8}, {"config": tmp_path / "old.yaml"}):
        with pytest.raises(SystemExit, match=r"^decode.py: the option longest is now called max_tokens; rename it$"):
            run_program(monkeypatch, "decode", recogniser="whisper", models="m", sets="s", out="o", **given)


def test_the_recogniser_is_chosen_by_name(monkeypatch):
    with pytest.raises(SystemExit, match=r"^decode.py: --recogniser is missing; it takes one of .*whisper"):
        run_program(monkeypatch, "decode", models="m", sets="s", out="o")
    with pytest.raises(SystemExit, match=r"there is no recogniser 'x'; there are: .*whisper"):
        run_program(monkeypatch, "decode", recogniser="x", models="m", sets="s", out="o")
    with pytest.raises(SystemExit, match=r"--models names 2, and --out 3 folders; give one, or one for each"):
        run_program(monkeypatch, "decode", recogniser="whisper", models="m n", sets="s", out="o p q")
