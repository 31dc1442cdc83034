"""Noise through masks: what it is made of, and the programs that estimate masks and mix speech with noise."""

import json
from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
import pytest
import soundfile
import torch
from accent_helpers import run_program, write_set
from bubble_helpers import SMALL, constant, estimator, speech
from corpora_helpers import contents

from salience.data.directories import read_data_dir
from salience.data.tables import read_table, write_table
from salience.features.archives import Archive, ArchiveWriter
from salience.features.fbank import INT16, fbank, num_frames
from salience.features.stft import istft, stft
from salience.masking.bands import Band, Condition, Replacement, others
from salience.masking.noise import (
    NoiseSettings,
    dithered,
    gain_for,
    masked_noise,
    mixture,
    noise_proportion,
    white_noise,
)
from salience.models.mask_estimator import save_estimator

SAMPLES = {"a-1": 4000, "a-2": 5333, "b-1": 6400}
GAIN = 3000.0


@pytest.mark.parametrize("samples", [1, 500, 1000, 4097])
@pytest.mark.parametrize(("window", "hop"), [(128, 32), (1024, 256)])
def test_ones_let_all_noise_through_and_zeros_none(samples, window, hop):
    noise = torch.from_numpy(white_noise(samples, "x"))[None]
    shape = stft(noise, window, hop).shape
    torch.testing.assert_close(masked_noise(noise, torch.ones(shape), window, hop), noise, atol=1e-5, rtol=0)
    assert not masked_noise(noise, torch.zeros(shape), window, hop).any()
    assert masked_noise(noise, None, window, hop) is noise


def test_a_mask_stands_where_the_noise_is_heard():
    """A band of the second half only: there is its noise, and hardly any elsewhere."""
    noise = torch.from_numpy(white_noise(16384, "x"))[None]
    mask = torch.zeros_like(stft(noise, 128, 32).real)
    mask[:, 256:, 20:30] = 1.0
    heard = stft(masked_noise(noise, mask, 128, 32), 128, 32).abs().square()[0]
    full = stft(noise, 128, 32).abs().square()[0]
    assert float(heard[260:, 22:28].mean() / full[260:, 22:28].mean()) == pytest.approx(1.0, abs=0.1)
    for away in (heard[:250], heard[260:, :16], heard[260:, 34:]):
        assert float(away.mean()) < 1e-3 * float(full.mean())


def test_noise_is_white_unit_and_depends_on_its_names_only():
    one = {name: white_noise(40_000, "evaluation", name, draw) for draw in (1, 2) for name in ("b", "a")}
    for name, samples in reversed(one.items()):
        np.testing.assert_array_equal(samples, white_noise(40_000, "evaluation", name, 2))
        assert (
            samples.dtype == np.float32 and samples.std() == pytest.approx(1.0, rel=0.02) and abs(samples.mean()) < 0.02
        )
        assert abs(np.corrcoef(samples[:-1], samples[1:])[0, 1]) < 0.02
    different = [one["a"], one["b"], white_noise(40_000, "evaluation", "a", 1), white_noise(40_000, "training", "a", 2)]
    correlations = np.corrcoef(different)
    assert np.abs(correlations - np.eye(4)).max() < 0.03
    # A shorter signal has the beginning of the same noise.
    np.testing.assert_array_equal(white_noise(100, "evaluation", "a", 2), one["a"][:100])


@pytest.mark.parametrize("snr", [-5.0, 0.0, 12.3, 40.0])
def test_the_gain_makes_the_ratio(snr):
    signal, noise = INT16 * speech(1, 9000), white_noise(9000, "n") * 7
    gain = gain_for(signal, noise, snr)
    reached = 10 * np.log10(
        np.mean(np.square(signal, dtype=np.float64)) / np.mean(np.square(gain * noise, dtype=np.float64))
    )
    assert reached == pytest.approx(snr, abs=0.01)


def test_the_proportion_counts_points_above_a_half():
    assert noise_proportion(np.array([[0.5, 0.51, 0.0], [1.0, 0.49, 0.2]])) == pytest.approx(2 / 6)
    assert noise_proportion(torch.ones(3, 2)) == 1.0


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """A set of three utterances, its masks by a small estimator, all in a folder with a space."""
    folder = tmp_path / "a recipe"
    write_set(folder, "test", {key: speech(n, samples) for n, (key, samples) in enumerate(SAMPLES.items())})
    monkeypatch.chdir(folder)
    save_estimator(estimator(), folder / "exp/estimator")
    return folder


def estimate(monkeypatch, **options):
    defaults = {
        "data": "data",
        "sets": "test",
        "models": "exp/estimator",
        "out": "exp/masks",
        "max_seconds": 0.5,
        "job": 1,
        "compress": "false",
    }
    run_program(monkeypatch, "estimate_noise_masks", **(defaults | options))


def merged(folder, jobs=1):
    """What merge_archives.py makes of the jobs' parts."""
    for name, ending in (("mask", ".scp"), ("noise_proportion", "")):
        parts = [folder / f"{name}.{job}{ending}" for job in range(1, jobs + 1)]
        (folder / f"{name}{ending}").write_text("".join(part.read_text() for part in parts))


def mix(monkeypatch, gain=GAIN, dither=6.25, **options):
    given = {"data": "data", "sets": "test", "out": "exp/noisy", "noise.gain": gain, "noise.dither": dither}
    run_program(monkeypatch, "mix_noise", **(given | options))


def masked(monkeypatch, recipe, **options):
    estimate(monkeypatch)
    merged(recipe / "exp/masks/test")
    mix(monkeypatch, masks="exp/masks", estimator="exp/estimator", **options)


def heard(key):
    """The dithered speech that the evaluation hears."""
    samples = soundfile.read(f"audio/{key}.wav", dtype="float32")[0]
    return dithered(INT16 * samples, 6.25, "evaluation", key)


@torch.no_grad()
def test_masks_are_those_of_the_estimator_and_are_counted(recipe, monkeypatch):
    estimate(monkeypatch)
    model = estimator()
    masks, table = (
        Archive(recipe / "exp/masks/test/mask.1.scp"),
        read_table(recipe / "exp/masks/test/noise_proportion.1"),
    )
    assert list(masks) == list(table) == list(SAMPLES)
    for key, samples in SAMPLES.items():
        alone = torch.from_numpy(heard(key))[None]
        expected = torch.sigmoid(model(model.log_power(alone), torch.tensor([1 + samples // SMALL.hop])))[0].numpy()
        np.testing.assert_allclose(masks[key], expected, atol=1e-5)
        assert expected.std() > 0.1
        # Padded with dithered silence, half a second in all, as if that were part of the utterance.
        silence = dithered(np.zeros(8000 - samples, np.float32), 6.25, "padding", key)
        padded = torch.from_numpy(np.concatenate([heard(key), silence]))[None]
        whole = torch.sigmoid(model(model.log_power(padded), torch.tensor([1 + 8000 // SMALL.hop])))[0].numpy()
        shares = [float(word) for word in table[key].split()]
        assert shares == pytest.approx([(expected > 0.5).mean(), (whole > 0.5).mean()], abs=1e-3)
        assert shares[0] != shares[1]


def test_the_padded_share_of_the_longest_is_its_own(recipe, monkeypatch):
    estimate(monkeypatch, max_seconds=0.4)
    assert len(set(read_table(recipe / "exp/masks/test/noise_proportion.1")["b-1"].split())) == 1


def test_masks_of_one_byte_are_nearly_the_same_and_count_the_same(recipe, monkeypatch):
    estimate(monkeypatch)
    estimate(monkeypatch, out="exp/small", compress="true")
    one, other = (Archive(recipe / f"exp/{name}/test/mask.1.scp") for name in ("masks", "small"))
    for key in SAMPLES:
        assert 0 < np.abs(one[key] - other[key]).max() < 1 / 255
    tables = [(recipe / f"exp/{name}/test/noise_proportion.1").read_text() for name in ("masks", "small")]
    assert tables[0] == tables[1]
    assert (recipe / "exp/small/test/mask.1.ark").stat().st_size < 0.3 * (
        recipe / "exp/masks/test/mask.1.ark"
    ).stat().st_size


def test_masks_on_a_logarithmic_scale_are_mixed_on_it(recipe, monkeypatch):
    save_estimator(constant(0.0, replace(SMALL, depth=40.0)), recipe / "exp/deep")
    estimate(monkeypatch, models="exp/deep", out="exp/half", compress="true")
    merged(recipe / "exp/half/test")
    mix(monkeypatch, masks="exp/half", estimator="exp/deep")
    masks, found = Archive(recipe / "exp/half/test/mask.scp"), Archive(recipe / "exp/noisy/test/feats.scp")
    for key, samples in SAMPLES.items():
        np.testing.assert_allclose(masks[key], 0.5, atol=0.003)
        # Half of 40 dB below the full noise.
        signal = heard(key) + 0.1 * GAIN * white_noise(samples, "evaluation", key, "1")
        np.testing.assert_allclose(found[key], fbank(torch.from_numpy(signal)[None])[0].numpy(), atol=0.2)


def test_several_estimators_and_a_second_run(recipe, monkeypatch, caplog):
    save_estimator(constant(5.0), recipe / "exp/other")
    both = {"models": "exp/estimator exp/other", "out": "exp/masks exp/all"}
    estimate(monkeypatch, **both)
    assert (Archive(recipe / "exp/all/test/mask.1.scp")["a-1"] > 0.99).all()
    assert set(read_table(recipe / "exp/all/test/noise_proportion.1").values()) == {"1.000000 1.000000"}
    before = contents(recipe / "exp")
    caplog.clear()
    with caplog.at_level("INFO"):
        estimate(monkeypatch, **both)
    assert caplog.text.count("up to date, skipped") == 2 and contents(recipe / "exp") == before
    save_estimator(constant(-5.0), recipe / "exp/other")
    estimate(monkeypatch, **both)
    assert (Archive(recipe / "exp/all/test/mask.1.scp")["a-1"] < 0.01).all()
    with pytest.raises(SystemExit, match="--models names 2 folders but --out 1; give one for each"):
        estimate(monkeypatch, models="exp/estimator exp/other")


def test_the_mixture_is_that_of_equation_2(recipe, monkeypatch):
    masked(monkeypatch, recipe, realisations="1 2", out="exp/noisy{realisation}")
    masks = Archive(recipe / "exp/masks/test/mask.scp")
    for draw in ("1", "2"):
        features, counts = (
            Archive(recipe / f"exp/noisy{draw}/test/feats.scp"),
            read_table(recipe / f"exp/noisy{draw}/test/utt2num_frames"),
        )
        for key, samples in SAMPLES.items():
            noise = torch.from_numpy(white_noise(samples, "evaluation", key, draw))[None]
            added = istft(stft(noise, 128, 32) * torch.tensor(masks[key])[None], samples, 128, 32)
            expected = fbank(torch.from_numpy(heard(key))[None] + GAIN * added)[0].numpy()
            np.testing.assert_allclose(features[key], expected, atol=0.05)
            assert np.median(np.abs(features[key] - expected)) < 1e-4 and int(counts[key]) == len(
                expected
            ) == num_frames(samples)
        assert (recipe / f"exp/noisy{draw}/test/noise_proportion").read_text() == (
            recipe / "exp/masks/test/noise_proportion"
        ).read_text()
    one, two = (Archive(recipe / f"exp/noisy{draw}/test/feats.scp")["a-1"] for draw in "12")
    assert np.abs(one - two).mean() > 0.05


def test_the_noise_alone_is_the_same_mixture_without_the_speech(recipe, monkeypatch):
    masked(monkeypatch, recipe, fill="silence", out="exp/alone")
    masks = Archive(recipe / "exp/masks/test/mask.scp")
    for key, samples in SAMPLES.items():
        noise = torch.from_numpy(white_noise(samples, "evaluation", key, "1"))[None]
        added = istft(stft(noise, 128, 32) * torch.tensor(masks[key])[None], samples, 128, 32)
        silence = dithered(np.zeros(samples, np.float32), 6.25, "evaluation", key)
        expected = fbank(torch.from_numpy(silence)[None] + GAIN * added)[0].numpy()
        np.testing.assert_allclose(Archive(recipe / "exp/alone/test/feats.scp")[key], expected, atol=0.05)


def test_noise_everywhere_is_the_same_noise_without_a_mask(recipe, monkeypatch):
    mix(monkeypatch)
    save_estimator(constant(100.0), recipe / "exp/estimator")
    masked(monkeypatch, recipe, out="exp/ones")
    for key, samples in SAMPLES.items():
        found = Archive(recipe / "exp/noisy/test/feats.scp")[key]
        noisy = torch.from_numpy(heard(key) + np.float32(GAIN) * white_noise(samples, "evaluation", key, 1))[None]
        np.testing.assert_allclose(found, fbank(noisy)[0].numpy(), atol=1e-3)
        np.testing.assert_allclose(Archive(recipe / "exp/ones/test/feats.scp")[key], found, atol=2e-2)
    assert set(read_table(recipe / "exp/noisy/test/noise_proportion").values()) == {"1 1"}


def test_noise_does_not_depend_on_order_or_company(recipe, monkeypatch):
    mix(monkeypatch, realisations="3 1 2", out="exp/noisy{realisation}")
    keep = recipe / "data/one"
    for table in ("wav.scp", "text", "utt2spk", "utt2dur"):
        write_table(keep / table, {"a-2": read_table(recipe / "data/test" / table)["a-2"]})
    mix(monkeypatch, sets="one", realisations="2", out="exp/alone")
    np.testing.assert_array_equal(
        Archive(recipe / "exp/alone/one/feats.scp")["a-2"], Archive(recipe / "exp/noisy2/test/feats.scp")["a-2"]
    )


def copies(recipe, suffix="-x"):
    """The set `doubled`: copies of the utterances under other names."""
    for table in ("wav.scp", "text", "utt2spk", "utt2dur"):
        rows = read_table(recipe / "data/test" / table)
        write_table(recipe / "data/doubled" / table, {key + suffix: value for key, value in rows.items()})
    write_table(recipe / "data/doubled/utt2uniq", {key + suffix: key for key in SAMPLES})


def test_a_copy_takes_the_mask_of_its_original(recipe, monkeypatch):
    copies(recipe)
    masked(monkeypatch, recipe, sets="doubled", mask_set="test")
    features, shares = (
        Archive(recipe / "exp/noisy/doubled/feats.scp"),
        read_table(recipe / "exp/noisy/doubled/noise_proportion"),
    )
    masks, of_originals = (
        Archive(recipe / "exp/masks/test/mask.scp"),
        read_table(recipe / "exp/masks/test/noise_proportion"),
    )
    assert shares == {key + "-x": value for key, value in of_originals.items()}
    for key, samples in SAMPLES.items():
        signal = soundfile.read(f"audio/{key}.wav", dtype="float32")[0] * np.float32(INT16)
        noise = torch.from_numpy(white_noise(samples, "evaluation", key + "-x", 1))[None]
        added = masked_noise(noise, torch.tensor(masks[key])[None], 128, 32)
        expected = fbank(torch.from_numpy(dithered(signal, 6.25, "evaluation", key + "-x"))[None] + GAIN * added)[
            0
        ].numpy()
        assert np.median(np.abs(features[key + "-x"] - expected)) < 1e-4
    (recipe / "data/doubled/utt2uniq").unlink()
    with pytest.raises(SystemExit, match="exp/masks/test/mask.scp has no entry for a-1-x"):
        mix(monkeypatch, sets="doubled", mask_set="test", masks="exp/masks", estimator="exp/estimator")


@pytest.mark.parametrize("snr", ["0 20", "20 0", "15"])
def test_ratios_are_drawn_from_the_range(recipe, monkeypatch, snr):
    """Read off the features: what the noise adds to the power of the whole signal."""
    mix(monkeypatch, snr=snr, dither=0.0, audio="true")
    reached = {}
    for key, samples in SAMPLES.items():
        signal = soundfile.read(f"audio/{key}.wav")[0]
        noisy = soundfile.read(f"exp/noisy/test/audio/{key}.flac")[0]
        noise = white_noise(samples, "evaluation", key, 1)
        # Two unknown scales: of the listenable audio, and of the noise.
        scales = np.linalg.lstsq(np.stack([signal, noise], axis=1), noisy, rcond=None)[0]
        assert np.abs(scales[0] * signal + scales[1] * noise - noisy).max() < 1e-4
        reached[key] = 10 * np.log10(np.mean((scales[0] * signal) ** 2) / np.mean((scales[1] * noise) ** 2))
    if snr == "15":
        assert list(reached.values()) == pytest.approx([15.0] * 3, abs=0.01)
    else:
        assert all(-0.01 <= value <= 20.01 for value in reached.values()) and np.ptp(list(reached.values())) > 1
    mix(monkeypatch, snr=snr, dither=0.0, out="exp/again", realisations="2")
    one, two = (Archive(recipe / f"exp/{name}/test/feats.scp")["a-1"] for name in ("noisy", "again"))
    assert np.abs(one - two).mean() > 0.05


def test_the_audio_can_be_listened_to(recipe, monkeypatch):
    mix(monkeypatch, gain=50_000, audio="true", realisations="1 2", out="exp/noisy{realisation}")
    assert sorted(p.name for p in (recipe / "exp/noisy1/test/audio").iterdir()) == [f"{key}.flac" for key in SAMPLES]
    assert not (recipe / "exp/noisy2/test/audio").exists()
    for key, samples in SAMPLES.items():
        found, rate = soundfile.read(recipe / f"exp/noisy1/test/audio/{key}.flac")
        assert (len(found), rate) == (samples, 16000) and np.abs(found).max() == pytest.approx(0.9, abs=1e-5)
        expected = heard(key) + 50_000 * white_noise(samples, "evaluation", key, 1)
        np.testing.assert_allclose(found, 0.9 * expected / np.abs(expected).max(), atol=1e-5)


def test_a_second_run_skips_and_a_change_does_not(recipe, monkeypatch, caplog):
    masked(monkeypatch, recipe)
    before = contents(recipe / "exp/noisy")
    caplog.clear()
    again = {"masks": "exp/masks", "estimator": "exp/estimator"}
    with caplog.at_level("INFO"):
        mix(monkeypatch, **again)
    assert "up to date, skipped" in caplog.text and contents(recipe / "exp/noisy") == before
    old = Archive(recipe / "exp/noisy/test/feats.scp")["a-1"]
    for change in ({"gain": 10.0}, {"dither": 0.0, "gain": 10.0}, {"snr": 3.0}):
        caplog.clear()
        with caplog.at_level("INFO"):
            mix(monkeypatch, **(again | change))
        new = Archive(recipe / "exp/noisy/test/feats.scp")["a-1"]
        assert "done again, because" in caplog.text and not np.array_equal(old, new)
        old = new


def test_a_mask_of_other_frames_is_one_sentence(recipe, monkeypatch):
    masked(monkeypatch, recipe)
    before = contents(recipe / "exp/noisy/test")
    short = dict(Archive(recipe / "exp/masks/test/mask.scp").items())
    with ArchiveWriter(recipe / "exp/masks/test/mask") as writer:
        for key, matrix in short.items():
            writer.write(key, matrix[: len(matrix) - (key == "a-2")])
    with pytest.raises(SystemExit) as stopped:
        mix(monkeypatch, masks="exp/masks", estimator="exp/estimator")
    frames = 1 + SAMPLES["a-2"] // SMALL.hop
    assert (
        str(stopped.value) == f"mix_noise.py: the mask of a-2 has {frames - 1} frames but its audio has {frames};"
        " run the step that writes it again"
    )
    after = contents(recipe / "exp/noisy/test")
    assert "step.json" not in after and {k: v for k, v in before.items() if k != "step.json"} == after


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"masks": "exp/masks"}, "--masks and --estimator go together; give both or none"),
        ({"realisations": "1 2"}, r"with several realisations --out needs \{realisation\} in it"),
        ({"snr": "1 2 3"}, "--snr takes one number or the two ends of a range, not '1 2 3'"),
        ({"snr": "loud"}, "--snr takes one number or the two ends of a range, not 'loud'"),
        ({"masks": "exp/none", "estimator": "exp/estimator"}, "exp/none/test/mask.scp does not exist"),
        ({"masks": "exp/masks", "estimator": "exp/none"}, "exp/none/config.json does not exist"),
    ],
)
def test_bad_options_are_one_sentence(recipe, monkeypatch, options, sentence):
    with pytest.raises(SystemExit, match=sentence) as stopped:
        mix(monkeypatch, **options)
    assert "\n" not in str(stopped.value) and not (recipe / "exp/noisy").exists()


def test_the_record_says_what_was_mixed(recipe, monkeypatch):
    masked(monkeypatch, recipe, snr=7)
    record = json.loads((recipe / "exp/noisy/test/step.json").read_text())
    assert record["config"]["sizes"]["hop"] == SMALL.hop and record["config"]["noise"]["snr"] == "7"
    assert set(record["inputs"]) == {"data/test", "exp/masks/test/mask.scp"}


def of_band(signals, low, high):
    """Energy of a signal between two frequencies in Hz."""
    spectrum = np.abs(np.fft.rfft(signals)) ** 2
    hertz = np.fft.rfftfreq(len(signals), 1 / 16000)
    return spectrum[(hertz >= low) & (hertz < high)].sum()


def test_another_utterance_stands_in_a_band_and_the_own_around_it():
    samples, other = speech(1, 6000), speech(2, 2500)
    one = partial(mixture, "a", samples, noise=NoiseSettings(gain=0.0, dither=0.0))
    own, instead = INT16 * samples, INT16 * np.resize(other, 6000)
    found = one(Condition("1", Replacement("exchanged", Band(1000, 2000))), other=other)
    assert of_band(found - instead, 1000, 2000) < 1e-6 * of_band(instead, 1000, 2000) < of_band(instead, 1000, 2000)
    for low, high in ((0, 1000), (2000, 8001)):
        assert of_band(found - own, low, high) < 1e-6 * of_band(own, low, high)
    np.testing.assert_allclose(one(Condition("1", Replacement("exchanged")), other=other), instead)
    np.testing.assert_allclose(one(Condition("1")), own)


def test_noise_fills_a_band_and_takes_the_speech_away():
    """The mask hides all but 1,000 to 3,000 Hz; noise in 2,000 to 4,000 Hz leaves it as it is below 2,000 Hz."""
    samples, settings = speech(1, 6400), NoiseSettings(gain=GAIN, dither=0.0)
    mask = np.ones((201, SMALL.bins), np.float32)
    mask[:, 8:24] = 0
    own = mixture("a", samples, Condition("1"), settings, mask, SMALL)
    found = mixture("a", samples, Condition("1", Replacement("noise", Band(2000, 4000))), settings, mask, SMALL)
    everywhere = GAIN * white_noise(6400, "evaluation", "a", "1")
    assert of_band(found - everywhere, 2300, 3700) < 1e-3 * of_band(everywhere, 2300, 3700)
    assert of_band(own - INT16 * samples, 2300, 2700) < 0.02 * of_band(everywhere, 2300, 2700)
    for low, high in ((0, 1700), (4000, 8001)):
        assert of_band(found - own, low, high) < 1e-3 * of_band(own, low, high)
    assert mask[:, 8:24].sum() == 0
    silent = mixture("a", samples, Condition("1", Replacement("silence", Band(0, 8000))), settings, mask, SMALL)
    np.testing.assert_allclose(silent, own - INT16 * samples, atol=1)


def test_bands_are_mixed_like_the_other_conditions(recipe, monkeypatch):
    masked(monkeypatch, recipe, fill="exchanged noise", bands="0-2000 2000-8000", out="exp/{band}/{fill}")
    masks, utterances = Archive(recipe / "exp/masks/test/mask.scp"), read_data_dir(recipe / "data/test")
    other_of = others(utterances)
    assert all(other_of[u.id].text != u.text for u in utterances) and len(utterances) == 3
    for band, fill in product((Band(0, 2000), Band(2000, 8000)), ("exchanged", "noise")):
        features = Archive(recipe / f"exp/{band}/{fill}/test/feats.scp")
        for u in utterances:
            own, other = (soundfile.read(f"audio/{x.id}.wav", dtype="float32")[0] for x in (u, other_of[u.id]))
            condition = Condition("1", Replacement(fill, band))
            expected = mixture(
                u.id,
                own,
                condition,
                NoiseSettings(GAIN),
                masks[u.id],
                SMALL,
                other=other if fill == "exchanged" else None,
            )
            np.testing.assert_allclose(features[u.id], fbank(torch.from_numpy(expected)[None])[0].numpy(), atol=0.05)
    for fill, band in (("exchanged", "2000-8000"), ("noise", "0-2000")):
        one, other = (
            Archive(recipe / f"exp/{b}/{f}/test/feats.scp")["a-1"] for b, f in ((band, fill), ("0-2000", "exchanged"))
        )
        assert np.abs(one - other).mean() > 0.1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"fill": "exchanged", "bands": "0-1000 9-5"},
            "a band is two frequencies from 0 to 8000 Hz such as 1000-2000, not '9-5'",
        ),
        ({"fill": "exchanged", "bands": "0-1000 1000-2000"}, r"with several bands --out needs \{band\} in it"),
        ({"fill": "music"}, "there is no filling of a band 'music'; there are: exchanged, noise, silence"),
        ({"bands": "0-1000"}, "--bands needs --fill, which says what stands in them"),
        ({"realisations": ""}, "--realisations names no noise realisation"),
    ],
)
def test_bad_bands_are_one_sentence(recipe, monkeypatch, options, sentence):
    with pytest.raises(SystemExit, match=sentence):
        mix(monkeypatch, **options)
