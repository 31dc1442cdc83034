"""Figures are drawn, marked synthetic, and the same each time; the kinds leave out what is not there."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from salience.data.directories import read_data_dir, write_data_dir
from salience.data.packed import pack, read_packed
from salience.data.records import Utterance
from salience.data.tables import write_table
from salience.errors import InputError
from salience.features.archives import ArchiveWriter
from salience.features.keywords import decibels, spectra
from salience.files import write_json
from salience.masking.importance import mixture
from salience.report import figures, utterance_figures
from salience.report.figures import FIGURES, Drawing
from salience.scoring.specification import read_specification

ACCENTS = Path(__file__).resolve().parents[2] / "conf/report_accents.yaml"
PANELS = [{"label": "dev WER (%)", "value": "eval_dev_wer"}]


@pytest.fixture
def drawing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Drawing:
    monkeypatch.chdir(tmp_path)
    return Drawing(Path("figures"), True, "Digits")


def names(drawing: Drawing) -> set[str]:
    return {path.name for path in drawing.out.glob("*")}


def row(value: float = 7.0, **fields) -> dict:
    known = {"corpus": "Digits", "synthetic": True, "set": "test", "system": "plain", "metric": "wer", "snr": None}
    known |= {
        "normaliser": "raw 1",
        "value": value,
        "low": value - 1,
        "high": value + 2,
        "values": [value],
        "paper": None,
    }
    return {**known, **fields}


def draw_some(drawing: Drawing) -> list[Path]:
    rng = np.random.default_rng(0)
    logmel = rng.random((120, 80)).astype(np.float32)
    saliency = rng.random((120, 80))
    history = [{"step": step, "eval_dev_wer": 5.0 - step} for step in (1, 2)]
    figures.confusion_matrix(drawing, "confusion", "Test", ["Dutch", "Italian"], [[3, 1], [0, 4]])
    masked = np.where(saliency > 0.7, 0, logmel)
    utterance_figures.masked_panels(drawing, "triptych", "utterance", logmel, saliency, masked)
    panels = [figures.Panel(**panel) for panel in PANELS]
    figures.training_curves(drawing, "curves", "", panels, {"plain/1": history, "plain/2": history[:1]})
    rows = [row(), row(30.0, system="gradcam", set="unseen")]
    FIGURES["bars"](replace(drawing, rows=rows), {"metric": "wer"}, "bars", "Rates", "{METRIC} (%)")
    return sorted(drawing.out.glob("*.png"))


def test_figures_are_whole_and_repeatable(drawing: Drawing):
    first, second = draw_some(drawing), draw_some(replace(drawing, out=Path("again")))
    assert len(first) == 4
    for one, other in zip(first, second, strict=True):
        with Image.open(one) as picture:
            assert min(picture.size) > 300
            assert np.asarray(picture.convert("L")).std() > 5
        assert one.read_bytes() == other.read_bytes()
    assert not list(Path().rglob("*.tmp"))


def test_the_synthetic_are_marked_in_the_title(drawing: Drawing, monkeypatch: pytest.MonkeyPatch):
    marked = []
    monkeypatch.setattr(figures, "titled", lambda title, synthetic: marked.append(synthetic) or title)
    draw_some(drawing)
    assert marked == [True] * 4
    with replace(drawing, synthetic=False).picture("real", ""):
        pass
    assert marked.pop() is False
    monkeypatch.undo()
    assert "synthetic" in figures.titled("Dutch", True) and "synthetic" not in figures.titled("Dutch", False)


def test_hertz_ticks_follow_whispers_filters():
    # The peak of filter b in openai-whisper's own filter bank lies where the axis has its frequency.
    whisper_audio = pytest.importorskip("whisper.audio")
    filters = whisper_audio.mel_filters("cpu", 80).numpy()
    peaks = filters.argmax(axis=1) * 16000 / 400
    for b in (20, 40, 60, 75):
        place = utterance_figures.slaney_mel(peaks[b]) / utterance_figures.slaney_mel(8000) * 81 - 0.5
        assert place == pytest.approx(b + 0.5, abs=0.5)


def test_bars_have_a_figure_for_each_corpus_and_normaliser(drawing: Drawing):
    rows = [
        row(normaliser=name, **of)
        for name in ("raw 1", "middle 2", "words 1")
        for of in ({}, {"corpus": "A B", "synthetic": False})
    ]
    rows += [row(accent="Dutch"), row(metric="cer"), row(corpus="B", normaliser="raw 1")]
    where = {"metric": "wer", "accent": None, "corpus": "any", "synthetic": [True, False]}
    each = ["corpus", "synthetic", "normaliser"]
    FIGURES["bars"](
        replace(drawing, rows=rows), where, "{metric}_{corpus_name}_{scoring}", "{corpus}", "{METRIC}", each
    )
    scored = ("raw", "middle", "normalised")
    expected = {f"wer_{corpus}_{scoring}.png" for corpus in ("Digits_synthetic", "A_B") for scoring in scored}
    assert names(drawing) == expected | {"wer_B_synthetic_raw.png"}


def test_rates_in_noise_and_over_sweeps(drawing: Drawing):
    rows = [
        row(value, snr=snr, set=name)
        for name in ("dev", "test")
        for snr, value in (("clean", 3), (20, 5), (0, 9), ("mean", 7))
    ]
    rows += [row(q, sweep="binarised", sweep_value=q, values=[q, q + 1], paper=5.1 if q else None) for q in (0, 1, 5)]
    rows += [row(9.0, sweep="binarised", sweep_value=None, system="baseline")]
    run = replace(drawing, rows=rows)
    FIGURES["noise"](run, {"metric": "wer"}, "{set}", "{METRIC} (%), {normaliser}")
    FIGURES["sweep"](run, {"sweep": "binarised"}, "table_5", "Table 5", "q", {"baseline": "clean"})
    FIGURES["sweep"](run, {"sweep": "conventional"}, "table_1", "Table 1", "SNR")
    assert names(drawing) == {"noise_dev.png", "noise_test.png", "table_5.png"}


def test_weights_of_a_loss_are_drawn_where_their_noise_is_known(drawing: Drawing):
    rows = [
        row(value, metric=metric, weight=weight, weight_value=value, set=name)
        for weight in ("asr", "mask")
        for value in (0.1, 1.0, 10.0)
        for name, metrics in (("test", ("cer", "noise_proportion")), ("dev", ("cer",)))
        for metric in metrics
    ]
    FIGURES["weights"](replace(drawing, rows=rows), {"metric": "cer"}, "Each weight, {set}")
    assert names(drawing) == {"sweeps_test.png"}


def history(*entries: dict, of: str) -> None:
    Path(of).mkdir(parents=True)
    write_json(Path(of) / "history.json", list(entries))


def test_trainings_are_drawn_as_asked(drawing: Drawing, monkeypatch: pytest.MonkeyPatch):
    drawn = {}
    monkeypatch.setattr(
        figures, "training_curves", lambda _, name, title, panels, lines, *x: drawn.update({name: list(lines)})
    )
    for place in ("random/plain/seed1", "own/plain/seed10", "own/plain/seed2", "own/gradcam/seed1"):
        history({"step": 1, "eval_dev_wer": 9.0}, of=f"exp/{place}")
    pattern, options = "exp/{start}/{variant}/seed{seed}/history.json", {"title": "{start}", "panels": PANELS}
    FIGURES["curves"](drawing, pattern, "all", line="{start}+{variant}/{seed}", order=["random", "own"], **options)
    assert drawn.pop("all") == ["random+plain/1", "own+gradcam/1", "own+plain/2", "own+plain/10"]
    by = {"line": "{variant}/{seed}", "each": "start", **options}
    FIGURES["curves"](drawing, pattern, "of_{start}", min_colours=2, **by)
    assert drawn == {"of_own": ["gradcam/1", "plain/2", "plain/10"]}
    drawn.clear()
    asked = replace(drawing, only="own/plain/2 random/plain/3")
    FIGURES["curves"](asked, pattern, "of_{start}", only="{start}/{variant}", **by)
    FIGURES["curves"](asked, "$nowhere/{start}/history.json", "none", **options)
    assert drawn == {"of_own": ["plain/2"]}


def test_panels_take_differences_scales_levels_and_phases(drawing: Drawing):
    entries = [
        {"step": 1, "update": 1, "loss": 9.0},
        {"step": 1, "update": 1, "eval_dev_cer": 50.0, "eval_dev_clean_cer": 8.0, "eval_dev_chance": 0.1},
        {"step": 1, "update": 3, "phase": 2, "eval_dev_cer": 9.0, "eval_dev_clean_cer": 8.0},
    ]
    panel = figures.Panel("cost", "eval_dev_cer", "loss", "eval_dev_clean_cer", 2.0, "eval_dev_chance", "chance", True)
    assert panel.points(entries, ("update", "step")) == [(1, 84.0), (3, 2.0)]
    assert figures.Panel("loss", "eval_dev_loss", "loss").points(entries, ("step",), True) == [(1, 9.0)]
    assert figures.Panel("loss", "loss").points([{"loss": 9.0}, {"epoch": 2, "loss": 8.0}], ("epoch",)) == [(2, 8.0)]
    nothing = figures.Panel("nothing", "eval_dev_nothing")
    figures.training_curves(drawing, "curves", "", [nothing, panel], {"seed 1": entries})
    figures.training_curves(drawing, "nothing", "", [nothing], {"seed 1": entries})
    assert names(drawing) == {"curves.png"}


def test_confusions_of_several_seeds_are_added(drawing: Drawing, monkeypatch: pytest.MonkeyPatch):
    for task, name in (("accent", "accent_test"), ("accent", "accent_dev"), ("accent_random", "accent_test")):
        for seed in (1, 2):
            path = Path(f"exp/{task}/own/seed{seed}/{name}.json")
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, {"labels": ["a", "b"], "confusion": [[seed, 0], [0, 1]]})
    drawn = {}
    monkeypatch.setattr(figures, "confusion_matrix", lambda _, *what: drawn.update({what[:2]: what[3].tolist()}))
    pattern = "exp/{task}/{start}/seed{seed}/{set}.json"
    FIGURES["confusion"](drawing, pattern, "confusion_{set}_{start}-start", "{set}, {start} start", "test")
    assert drawn == {("confusion_accent_test_own-start", "accent_test, own start, 2 seeds together"): [[3, 0], [0, 2]]}
    drawn.clear()
    FIGURES["confusion"](drawing, "exp/{task:accent}/own/seed{seed:1}/accent_{set:dev}.json")
    assert drawn == {("confusion_accent_dev", "accent, dev"): [[1, 0], [0, 1]]}
    write_json(Path("exp/accent/own/seed2/accent_test.json"), {"labels": ["a", "c"], "confusion": [[1, 0], [0, 1]]})
    with pytest.raises(InputError, match="seed2/accent_test.json has other labels than"):
        FIGURES["confusion"](drawing, pattern)


def test_lightness_is_full_where_the_mask_is_low_and_half_where_it_is_high():
    levels = np.array([[0.0, 30.0, 60.0]])
    for mask, lightness in ((0.0, 1.0), (0.5, 0.75), (1.0, 0.5)):
        colours = utterance_figures.overlay_colours(levels, np.full((1, 3), mask), 0, 60)
        assert colours.max(axis=-1) == pytest.approx(np.full((1, 3), lightness))
        # Blue, green, red: the hue is of the level alone.
        assert colours[0].argmax(axis=-1).tolist() == [2, 1, 0]


def speech_and_noise() -> None:
    """Two short words as tones, noise, and masks that spare a band."""
    utterances = []
    for place, (word, samples) in enumerate((("go", 16000), ("up", 12345))):
        tone = 0.3 * np.sin(2 * np.pi * 1000 * (place + 1) * np.arange(samples) / 16000)
        soundfile.write(f"{word}.wav", tone, 16000)
        utterances.append(
            Utterance(
                f"s{place}-{word}-0",
                f"s{place}",
                Path(f"{word}.wav").absolute(),
                word,
                samples / 16000,
                recording=f"s{place}-{word}-0",
            )
        )
    soundfile.write("noise.wav", 0.1 * np.random.default_rng(1).standard_normal(16000), 16000)
    piece = Utterance("hum", "hum", Path("noise.wav").absolute(), "", 1.0, recording="hum")
    for name, records in (("test", utterances), ("noise_train", [piece])):
        write_data_dir(Path("data") / name, records)
        pack(Path("dump") / name, read_data_dir(Path("data") / name), 16000, 16000)
    with ArchiveWriter(Path("masks/mask")) as archive:
        for record in utterances:
            archive.write(record.id, band())


def band() -> np.ndarray:
    mask = np.ones((126, 257), np.float32)
    mask[:, 20:50] = 0
    return mask


def test_noise_through_masks_and_its_sound(drawing: Drawing, monkeypatch: pytest.MonkeyPatch):
    speech_and_noise()
    shown, show = [], utterance_figures.show
    monkeypatch.setattr(
        utterance_figures, "show", lambda at, values, *a, **k: shown.append(values.shape) or show(at, values, *a, **k)
    )
    places = {"data": "data/test", "packed": "dump/test", "noise": "$noise", "masks": "masks/mask.scp"}
    options = {**places, "utterances": "$examples", "audio": "audio"}
    FIGURES["noise-through-masks"](drawing, **options)
    assert not names(drawing)
    run = replace(drawing, values={"noise": "dump/noise_train"})
    FIGURES["noise-through-masks"](run, **options)
    assert names(drawing) == {"importance_s0-go-0.png", "importance_s1-up-0.png"}
    assert shown == [band().shape] * 12
    for path in drawing.out.glob("*.png"):
        with Image.open(path) as picture:
            assert min(picture.size) > 500 and np.asarray(picture.convert("L")).std() > 5
    sounds = {path.name: soundfile.read(path)[0] for path in Path("audio").glob("*.wav")}
    assert len(sounds) == 6 and {len(samples) for samples in sounds.values()} == {16000}
    # At -12.5 dB noise is louder than speech; one scale for all three.
    energy = {name.split(".")[1]: np.square(s).sum() for name, s in sounds.items() if name.startswith("s0")}
    noise = np.square(sounds["s0-go-0.everywhere.wav"] - sounds["s0-go-0.clean.wav"]).sum()
    assert 10 * np.log10(energy["clean"] / noise) == pytest.approx(-12.5, abs=0.3)
    assert energy["clean"] < energy["importance"] < energy["everywhere"]
    with pytest.raises(InputError, match="data/test has no utterance nobody; correct --utterances"):
        FIGURES["noise-through-masks"](replace(run, values={**run.values, "examples": "nobody"}), **options)


def test_a_mixture_is_what_training_has(drawing: Drawing):
    speech_and_noise()
    source, pieces = read_packed(Path("dump/test")), read_packed(Path("dump/noise_train"))
    made = mixture("s0-go-0", band(), source, pieces, -12.5, 0, 1)
    signal = torch.from_numpy(source.rows(16000)[[0]] / np.float32(32768))
    clean = decibels(spectra(signal, torch.tensor([16000])))[0].numpy()
    np.testing.assert_allclose(made.levels["clean"], clean, atol=1e-4)
    # Unrolled, the spared band is clean speech and the rest is not.
    np.testing.assert_allclose(made.levels["mixture"][20:50], clean[20:50], atol=1e-3)
    assert np.abs(made.levels["mixture"][60:] - clean[60:]).mean() > 10
    assert (made.importance[20:50] == 1).all() and made.importance.mean() == pytest.approx(30 / 257)
    assert (made.rolled == made.importance).all() and made.noise == "hum"
    moved = {mixture(key, band(), source, pieces, -12.5, 30, seed).moved for key in source.ids for seed in (1, 2, 3)}
    assert len(moved) > 3
    with pytest.raises(InputError, match="the mask of s0-go-0 is 94 x 257, not 126 x 257; run the step that writes"):
        mixture("s0-go-0", band()[:94], source, pieces, -12.5)


def recorded() -> tuple[list[str], list[int]]:
    """A data directory of two noises that are loud in one place."""
    rng = np.random.default_rng(1)
    lengths, utterances = [16000, 24400], []
    for number, (length, accent) in enumerate(zip(lengths, ("central", "balear"))):
        signal = rng.normal(0, 0.02, length)
        signal[length // 2 :][:3000] += 0.4 * np.sin(np.arange(3000) * (0.1 + number))
        path = Path(f"{accent}.wav").absolute()
        soundfile.write(path, signal, 16000)
        key = f"s{number}-u"
        utterances.append(Utterance(key, f"s{number}", path, "un gat", length / 16000, recording=key, accent=accent))
    write_data_dir(Path("data/labelled_test"), utterances)
    return [utterance.id for utterance in utterances], lengths


def write_maps(name: str, keys: list[str], lengths: list[int], columns: int = 1, extra: int = 0) -> None:
    folder = Path(f"exp/saliency/gradcam/{name}/labelled_test")
    with ArchiveWriter(folder / "saliency") as writer:
        for key, length in zip(keys, lengths):
            count = (length - 400) // 320 + 1 + extra
            peaks = np.linspace(0.3, 0.7, columns) if columns > 1 else [0.55]
            places = np.arange(count)[:, None] / count
            writer.write(key, np.exp(-(((places - np.array(peaks)) / 0.06) ** 2)))
    (folder / "saliency.json").write_text(json.dumps({"frames_per_column": 1, "bins_per_row": 1}))


MAPS = {
    "data": "data/labelled_test",
    "maps": "exp/saliency/{method}/{model}/labelled_test/saliency.scp",
    "packed": "$packed",
}


def test_maps_are_drawn_over_waveform_spectrogram_and_characters(drawing: Drawing):
    keys, lengths = recorded()
    write_maps("accent", keys, lengths)
    write_maps("ctc-characters", keys, lengths, 6)
    symbols = Path("exp/saliency/gradcam/ctc-characters/labelled_test/symbols")
    write_table(symbols, dict.fromkeys(keys, "u n | g a t"))
    FIGURES["waveform-maps"](drawing, **MAPS, number=1)
    assert names(drawing) == {"gradcam_accent_s0-u.png", "gradcam_ctc-characters_s0-u.png"}
    FIGURES["waveform-maps"](replace(drawing, out=Path("again")), **MAPS, utterances=keys[0])
    for path in drawing.out.iterdir():
        with Image.open(path) as picture:
            assert np.asarray(picture.convert("L")).std() > 5
        assert path.read_bytes() == Path("again", path.name).read_bytes()
    with pytest.raises(InputError, match="has no utterance nobody"):
        FIGURES["waveform-maps"](drawing, **MAPS, utterances="nobody")


def test_masked_features_are_drawn_beside_their_maps(drawing: Drawing):
    """As conf/report_accents.yaml names them, of a fold; without a value for a place there is nothing to draw."""
    keys, lengths = recorded()
    rng = np.random.default_rng(1)
    for name in (
        "dump/german/train/feats",
        "exp/german/masked/gradcam/train/feats",
        "exp/german/saliency/gradcam++/train/saliency",
    ):
        with ArchiveWriter(Path(name)) as archive:
            for key, length in zip(keys, lengths):
                shape = (length // 160, 80) if "feats" in name else (-(-(length // 160) // 8) + 1, 10)
                archive.write(key, rng.random(shape, dtype=np.float32))
    write_json(Path("exp/german/saliency/gradcam++/train/saliency.json"), {"frames_per_column": 8, "bins_per_row": 8})
    Path("data/german").mkdir()
    Path("data/labelled_test").rename("data/german/train")
    (entry,) = (f for f in read_specification(ACCENTS).figures if f["kind"] == "masked-features")
    options = {key: value for key, value in entry.items() if key != "kind"}
    values = {"exp": "exp/{fold}", "fold": "german", "example": "/german", "masked_set": "train", "pictured": "gradcam"}
    FIGURES["masked-features"](replace(drawing, values=values), **options)
    assert not names(drawing)
    values["pictured_method"] = "gradcam++"
    FIGURES["masked-features"](replace(drawing, values=values), **options)
    assert names(drawing) == {"triptych_s0-u.png", "triptych_s1-u.png"}


def test_a_map_of_another_length_is_refused(drawing: Drawing):
    keys, lengths = recorded()
    write_maps("accent", keys, lengths, extra=1)
    with pytest.raises(
        InputError, match=r"the map of s0-u is of the shape \(50, 1\), and its signal asks for \(49, 1\)"
    ):
        FIGURES["waveform-maps"](drawing, **MAPS)


def test_frames_lie_where_the_encoder_sees_them():
    # Twenty milliseconds a frame; the first sees samples 0 to 399.
    np.testing.assert_allclose(utterance_figures.edges(2), [0.0025, 0.0225, 0.0425])
    config = pytest.importorskip("transformers").Wav2Vec2Config()
    assert np.prod(config.conv_stride) == utterance_figures.STRIDE
    models = pytest.importorskip("salience.models.wav2vec")
    for samples in (400, 719, 720, 16000, 31999):
        expected = (samples - utterance_figures.FIELD) // utterance_figures.STRIDE + 1
        assert models.frames_of(config, samples) == expected
