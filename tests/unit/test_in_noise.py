"""Noise masks and the recognisers that they explain: a planted band, mixtures made by hand, the program."""

import json

import numpy as np
import pytest
import torch
from accent_helpers import run_program, write_set
from bubble_helpers import SMALL, estimator, speech

from salience.data.alignment import character_counts, errors
from salience.data.directories import read_data_dir
from salience.data.packed import pack
from salience.decoding.in_noise import KeywordsInNoise, SpeechInNoise, measure
from salience.errors import InputError
from salience.features.fbank import INT16
from salience.features.keywords import BINS, FRAMES
from salience.files import write_json
from salience.masking.noise import NoiseSettings, dithered, masked_noise, white_noise
from salience.models.keyword_network import KeywordNetwork, KeywordNetworkConfig
from salience.models.keywords import save_recogniser
from salience.models.mask_estimator import save_estimator
from salience.models.mask_generator import MaskGenerator, save_generator
from salience.models.recognisers import RecogniserChoice, frozen
from salience.report.findings import RULES
from salience.report.frames import Part
from salience.saliency.base import SaliencyMap
from salience.saliency.faithfulness import SHARES, area
from salience.scoring.faithfulness import Faithfulness
from salience.scoring.sources import Run
from salience.steps import Step
from salience.training.keywords import GeneratorTraining, ImportanceWeights, KeywordSet, NoisePieces

WORDS = ("down", "left", "up")
NOISE = NoiseSettings(gain=3000.0)
BAND = slice(40, 80)
"""Bins that the planted recogniser listens to: 16 % of all points."""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """Six utterances of three speakers, some of a second, packed and not; models of masks and a recogniser."""
    folder = tmp_path_factory.mktemp("in noise")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        audio = {f"s{n % 3}-{n}": speech(n, 16000 - 1500 * (n % 3)) for n in range(6)}
        write_set(folder, "test", dict(sorted(audio.items())), texts=WORDS[:1])
        write_set(folder, "noise", {f"n-{n}": speech(50 + n, 16000) for n in range(3)}, texts=("x",))
        for name in ("test", "noise"):
            place = folder / "dump" / name
            step = Step(place / "step.json", {}, inputs=[], outputs=[place / "signals.npy"])
            with step:
                pack(place, read_data_dir(folder / "data" / name), 16000, 16000)
    for seed in (1, 2):
        torch.manual_seed(seed)
        save_generator(MaskGenerator(), folder / f"generator/seed{seed}")
        save_estimator(estimator(seed), folder / f"estimator/seed{seed}")
    save_recogniser(KeywordNetwork(KeywordNetworkConfig(words=WORDS, blocks=1)), folder / "network")
    return folder


def keywords(recipe, limit=100):
    heard = KeywordsInNoise(recipe / "network", recipe / "dump/noise")
    heard.open(recipe / "generator/seed1", recipe / "data/test", recipe / "dump/test", limit, "cpu")
    return heard


def listens_to_a_band(levels):
    """Logits of WORDS: the first falls with the loudness of a band, some -2 dB in the speech and 10 dB in noise."""
    loud = torch.where(levels > -190, levels, torch.nan)[:, BAND].nanmean((1, 2))
    return torch.nn.functional.pad(3.0 - loud[:, None], (0, 2))


def worth(heard, value):
    """What maps are worth of which `value(frames, rng)` makes the values."""
    maps = {
        key: SaliencyMap(value(heard.own_frames(len(heard.signal(key))), np.random.default_rng(n)), 1, 1, False)
        for n, key in enumerate(heard.ids)
    }
    return measure(heard, maps, {"seed2": maps})


def gain_over(told, kind, what="random"):
    """How much lower (deletion) or higher (insertion) the map's area is than a control's, of each utterance."""
    own, control = (area(np.array(told["curves"][kind][name])) for name in ("map", what))
    return control - own if kind == "deletion" else own - control


def test_a_planted_band_is_found_and_a_map_of_noise_is_told(recipe):
    heard = keywords(recipe)
    heard.network.forward = listens_to_a_band

    def band(frames, rng):
        return np.repeat(np.isin(np.arange(BINS), np.r_[BAND])[None], frames, 0) + 1e-3 * rng.random((frames, BINS))

    told = worth(heard, band)
    assert told["shares"] == [0, *SHARES, 1]
    falls = np.array(told["curves"]["deletion"]["map"])
    rises = np.array(told["curves"]["insertion"]["map"])
    # The band is 16 % of the points: some of it is under noise at 10 %, all of it at 30 %, and nothing else counts.
    np.testing.assert_allclose(falls[:, 2:], falls[:, -1:].repeat(len(SHARES), 1), atol=1e-3)
    np.testing.assert_allclose(rises[:, 2:], rises[:, -1:].repeat(len(SHARES), 1), atol=1e-3)
    assert (falls[:, 0] > falls[:, 1] + 0.5).all() and (falls[:, 1] > falls[:, 2] + 0.1).all()
    np.testing.assert_array_equal(falls[:, 0], rises[:, -1])
    assert min(gain_over(told, "deletion").mean(), gain_over(told, "insertion").mean()) > 1
    # Its errors come with the noise on it.
    wrong = np.array(told["errors"]["deletion"]["map"])
    assert not wrong[:, 0].any() and wrong[:, 2:].all() and told["lengths"] == [1] * 6
    (agreed,) = told["agreement"]
    assert min(agreed["overlap"]) > 0.8 and max(agreed["overlap_random"]) < 0.5

    noise = worth(heard, lambda frames, rng: rng.random((frames, BINS)))
    assert max(abs(gain_over(noise, kind)).max() for kind in ("deletion", "insertion")) < 0.2


def test_keywords_in_noise_are_those_of_the_training(recipe):
    """Alone in a batch, as the generator's training has it; a batch and its order change nothing."""
    heard = keywords(recipe)
    shapes = [(heard.own_frames(len(heard.signal(key))), BINS) for key in heard.ids]
    everywhere, none = ([np.full(shape, kept) for shape in shapes] for kept in (False, True))
    clips, pieces = KeywordSet(recipe / "data/test", recipe / "dump/test", WORDS), NoisePieces(recipe / "dump/noise")
    by_hand = GeneratorTraining(MaskGenerator(), heard.network, clips, pieces, ImportanceWeights(), heard.snr)
    rows = [clips.ids.index(key) for key in heard.ids]
    for keep, logit in ((everywhere, 50.0), (none, -50.0)):
        (
            torch.nn.init.zeros_(by_hand.generator.conv4.weight),
            torch.nn.init.constant_(by_hand.generator.conv4.bias, logit),
        )
        found = heard.decode(keep, batch_size=3)
        np.testing.assert_allclose(heard.decode(keep, batch_size=1), found, rtol=1e-4, atol=1e-5)
        for row, frames, columns in zip(rows, (shape[0] for shape in shapes), found, strict=True):
            if frames == FRAMES or logit < 0:  # in training, noise goes on behind a clip's end
                drawn = [
                    by_hand.parts(torch.tensor([row]), torch.tensor([piece]))[1].log_softmax(1)[0, 0].item()
                    for piece in range(len(pieces))
                ]
                assert min(abs(columns[0] - one) for one in drawn) < 1e-3
    shape_only = heard.decode(everywhere, speech=False)
    assert (abs(shape_only[:, 0] - heard.decode(everywhere)[:, 0]) > 1e-6).all()


def test_speech_in_noise_is_the_mixture_of_equation_2(recipe):
    """By a recogniser of signals, at points of the estimator's own window; whatever the scale of its masks."""
    choice = RecogniserChoice("keyword", recipe / "network")
    heard = SpeechInNoise(choice, NOISE)
    heard.open(recipe / "estimator/seed1", recipe / "data/test", None, 3, "cpu")
    assert len(heard.ids) == 3 and len({key[:2] for key in heard.ids}) == 3, "of three speakers"
    signals = [heard.signal(key) for key in heard.ids]
    rng = np.random.default_rng(1)
    keep = [rng.random((heard.own_frames(len(signal)), SMALL.bins)) < 0.5 for signal in signals]
    found, model = heard.decode(keep), frozen(choice)
    for key, signal, kept, columns in zip(heard.ids, signals, keep, found, strict=True):
        unit = torch.from_numpy(white_noise(len(signal), "evaluation", key, "1"))[None]
        added = masked_noise(unit, torch.from_numpy(~kept)[None].float(), SMALL.window, SMALL.hop)[0]
        mixed = torch.from_numpy(dithered(INT16 * signal, NOISE.dither, "evaluation", key)) + NOISE.gain * added
        samples = torch.tensor([len(signal)])
        loss = model.losses(mixed[None], samples, ["down"])
        assert columns[0] == pytest.approx(-float(loss) / len("down"), rel=1e-4)
        assert (
            columns[1] == errors(character_counts(["down"], model.transcribe(mixed[None], samples))) and columns[2] == 4
        )
    heard.texts = dict.fromkeys(heard.ids, "sideways")


def test_the_program_measures_and_knows_when_it_is_done(recipe, monkeypatch):
    monkeypatch.chdir(recipe)
    options = {"kind": "generator", "recogniser": "network", "pieces": "dump/noise", "data": "data", "packed": "dump"}
    models = "generator/seed1 generator/seed2"

    def run():
        run_program(
            monkeypatch, "measure_noise_masks", model="generator/seed1", others=models, out="exp", limit=4, **options
        )
        return (recipe / "exp/mask-generator.test.json").stat().st_mtime_ns

    first = run()
    told = json.loads((recipe / "exp/mask-generator.test.json").read_text())
    assert [entry["against"] for entry in told["agreement"]] == ["seed2"] and len(told["utterances"]) == 4
    assert sorted(told["curves"]["insertion"]) == ["map", "noise_only", "other", "random"]
    assert np.isfinite(list(told["curves"]["insertion"].values())).all()
    assert run() == first
    network = KeywordNetwork(KeywordNetworkConfig(words=("left", "up"), blocks=1))
    save_recogniser(network, recipe / "another")
    with pytest.raises((InputError, SystemExit)):
        run_program(
            monkeypatch,
            "measure_noise_masks",
            model="generator/seed1",
            out="exp",
            **options | {"recogniser": "another"},
        )


def planted(seed, key_of="u"):
    """A file of masks better than random on four utterances, with curves that differ from seed to seed by 0.2."""
    flat, early = [-1.0, -3, -3, -3, -3, -3, -5], [-1.0, -5, -5, -5, -5, -5, -5]
    late, rising = [-5.0, -5, -5, -5, -5, -3, -1], [-5.0, -2, -2, -2, -2, -2, -1]
    curves = {"deletion": {"map": early, "random": flat, "other": flat}, "insertion": {"map": rising, "random": late}}
    curves["insertion"] |= {"other": rising, "noise_only": [-5.0] * 7}
    errors = {"map": [0, 2, 3, 4, 4, 4, 4], "random": [0, 1, 1, 2, 3, 4, 4], "other": [0, 1, 1, 2, 3, 4, 4]}
    moved = 0.2 * (seed - 1)
    other = {"metric": "seed_agreement", "against": f"seed{3 - seed}", "rank": [0.6] * 4, "rank_random": [0.1] * 4}
    return {
        "utterances": [f"{key_of}{n}" for n in range(4)],
        "speakers": ["a", "b", "c", "d"],
        "shares": [0, *SHARES, 1],
        "score": "the log-probability of the text in nats per character",
        "unit": "nats per character",
        "curves": {k: {what: [[y + moved for y in row]] * 4 for what, row in v.items()} for k, v in curves.items()},
        "errors": {kind: {what: [row] * 4 for what, row in errors.items()} for kind in ("deletion", "insertion")},
        "lengths": [5, 5, 5, 5],
        "agreement": [other | {"overlap": [0.4 + seed / 10] * 4, "overlap_random": [0.1] * 4}],
    }


def test_rows_are_means_of_seeds_with_errors_and_a_sentence(tmp_path):
    for seed in (1, 2):
        write_json(tmp_path / f"seed{seed}/mask-estimator.test.json", planted(seed))
    write_json(tmp_path / "seed0/published.test.json", planted(1))
    run = Run({"corpus": "toy", "synthetic": False, "command": "c", "commit": "a", "date": "d"}, {"exp": str(tmp_path)})
    Faithfulness("$exp/seed{seed}/{system}.{set}.json", seedless=["published"]).collect(run)
    rows = {
        (row["system"], row["metric"], row.get("against"), row.get("of"), row.get("share")): row for row in run.rows
    }
    own = rows["mask-estimator", "insertion_auc", None, None, None]
    late, rising, shape = (
        0.1 + np.trapezoid(row, [0, *SHARES, 1])
        for row in ([-5, -5, -5, -5, -5, -3, -1], [-5, -2, -2, -2, -2, -2, -1], [-5] * 7)
    )
    assert [own[name] for name in ("value", "control", "other", "noise_only")] == pytest.approx(
        [rising, late, rising, shape], abs=1e-3
    )
    assert own["seeds"] == [1, 2] and own["n"] == 4 and own["noise_only_curve"][1] == [0.1, -4.9]
    assert rows["published", "insertion_auc", None, None, None]["seeds"] == []
    error = rows["mask-estimator", "error_at_share", None, "deletion", 30.0]
    assert [error[name] for name in ("value", "low", "high", "control", "other")] == [60, 60, 60, 20, 20]
    assert len([key for key in rows if key[1] == "error_at_share"]) == 2 * 2 * len(SHARES)
    agreed = rows["mask-estimator", "seed_agreement", "other seeds", None, None]
    assert (agreed["value"], agreed["control"], agreed["overlap"]) == pytest.approx((0.6, 0.1, 0.55))
    (said,) = RULES["faithfulness"](Part(run.rows, [], {}, "cer"))
    assert "mask-estimator (deletion 1.80, insertion 2.40 nats per character; seeds agree by r = 0.60)" in said

    write_json(tmp_path / "seed2/mask-estimator.test.json", planted(2, "v"))
    with pytest.raises(InputError, match="other utterances"):
        Faithfulness("$exp/seed{seed}/{system}.{set}.json").collect(run)
