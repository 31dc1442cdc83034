"""What a map is worth: a model that looks at one known patch, maps that find it, maps of noise, maps of edges."""

import re
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from accent_helpers import classifier, noise, run_program
from captum.attr import LayerGradCam
from corpora_helpers import TOP
from scipy.stats import spearmanr
from torch import Tensor, nn
from transformers import Wav2Vec2ForSequenceClassification
from wav2vec_helpers import saved, sounds, tones

from salience.data.records import Utterance
from salience.files import read_json, write_json
from salience.report.findings import RULES
from salience.report.frames import Part
from salience.report.tables import tables
from salience.saliency.accents import ExplainedAccents
from salience.saliency.base import METHODS, SaliencyMap
from salience.saliency.explained import Batch, Explained, ExplainedSet, maps_of
from salience.saliency.faithfulness import SHARES, area, curves, ends, moved, overlap, rank_correlation, ranked
from salience.saliency.measurement import AtLayer, layers_of, measure, probabilities, randomised, spread
from salience.scoring.faithfulness import Faithfulness, rows_of
from salience.scoring.sources import Run
from salience.scoring.specification import read_specification, select

FRAMES, BINS = 56, 24
PATCH = slice(20, 30), slice(6, 18)  # a tenth of an utterance of 50 frames
LENGTHS = 3 * [50, 49, 48, 50, 51, 52]
FINE = (1 / 24, 1 / 12, 1 / 6, 0.5, 0.75)


class OneLayer(nn.Module):
    """Two classes, of which the second is as likely as one patch is loud; outside the patch all weights are 0."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        weight = torch.zeros(FRAMES, BINS)
        weight[PATCH] = 0.2 + 0.2 * torch.from_numpy(np.random.default_rng(seed).random((10, 12), np.float32))
        self.weight = nn.Linear(1, 1)
        self.weight.weight = nn.Parameter(weight)

    def forward(self, features: Tensor) -> Tensor:
        score = torch.einsum("btf,tf->b", features, self.weight.weight[: features.shape[1]])
        return torch.stack([-score, score], 1) / 12


class Patch(Explained):
    """The model of a patch, whose layer is the input."""

    frames_per_column = bins_per_row = 1
    window = (4, 4)
    layer = "input"

    def __init__(self, seed: int = 1) -> None:
        super().__init__()
        self.model, self.baseline, self.files = OneLayer(seed), torch.zeros(BINS), []

    def open(self, *args: object) -> ExplainedSet:
        raise NotImplementedError

    def compute(self, features: Tensor, lengths: Sequence[int]) -> Tensor:
        return features.transpose(1, 2)[:, None]

    def outputs(self, activations: Tensor, lengths: Sequence[int]) -> Tensor:
        return self.model(activations[:, 0].transpose(1, 2))

    def select(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.gather(1, targets[:, None])[:, 0]


@pytest.fixture(scope="module", autouse=True)
def methods():
    """Of this file only: other tests list the methods that there are."""
    METHODS.register("edges")(edges)
    yield
    del METHODS["edges"]


def edges(model, features, lengths, targets, rngs):
    """What Adebayo et al. warn of: a picture of the input that has nothing to do with the model."""
    return model.input_maps(features.diff(dim=1, append=features[:, -1:]).abs(), lengths, signed=False)


def batches() -> list[Batch]:
    """Loud patches in noise, in batches of ten and eight."""
    features = np.stack([0.3 * noise(n, (FRAMES, BINS)) for n in range(len(LENGTHS))])
    features[:, *PATCH] += 1
    found = []
    for chosen in (slice(0, 10), slice(10, 18)):
        keys, part = [f"u{n}" for n in range(*chosen.indices(18))], torch.from_numpy(features[chosen])
        found.append(Batch(keys, part, LENGTHS[chosen], torch.ones(len(part), dtype=torch.long)))
    return found


@pytest.fixture(scope="module")
def measured():
    methods = ["gradient-input", "random", "edges"]
    return measure(Patch(), batches(), methods, {"seed2": (Patch(2), batches())}, FINE, seed=1)


def mean_curve(found, kind, what="map"):
    return np.mean(found["curves"][kind][what], axis=0)


def of_metric(found, metric):
    return {e["against"]: e for e in found["agreement"] if e["metric"] == metric}


def test_deletion_falls_and_insertion_rises_at_the_area_of_the_patch(measured):
    found = measured["gradient-input"]
    down, up = mean_curve(found, "deletion"), mean_curve(found, "insertion")
    assert found["shares"] == [0, *FINE, 1]
    assert down[0] > 99 and down[3] < 51 and down[1] > 80  # at a sixth nothing is left; at a twenty-fourth most is
    assert up[0] == pytest.approx(50) and up[3] > 99
    for what in ("random", "other"):
        assert mean_curve(found, "deletion", what)[3] > (90 if what == "random" else 0)
    gain = area(mean_curve(found, "deletion", "random"), FINE) - area(down, FINE)
    assert gain > 20


def test_noise_is_no_better_than_random(measured):
    found = measured["random"]["curves"]
    for kind in ("deletion", "insertion"):
        own, control = (area(np.array(found[kind][what]), FINE) for what in ("map", "random"))
        assert abs((own - control).mean()) < 5


def test_seeds_that_look_at_the_same_patch_agree_at_the_top(measured):
    own, noisy = (of_metric(measured[name], "seed_agreement")["seed2"] for name in ("gradient-input", "random"))
    assert np.mean(own["overlap"]) > 0.95 and np.mean(own["overlap_random"]) < 0.4
    assert np.mean(own["rank"]) > 0.2 > abs(np.mean(own["rank_random"]))
    assert abs(np.mean(noisy["rank"])) == pytest.approx(1)  # the same draws, whatever the model


def test_randomised_weights_are_told(measured):
    """The gradient follows the weights; edges survive."""
    own, edge = (of_metric(measured[name], "randomised_agreement") for name in ("gradient-input", "edges"))
    assert list(own) == ["weight"]
    assert np.mean(own["weight"]["overlap"]) < 0.35
    assert np.mean(edge["weight"]["rank"]) > 0.99 and np.mean(edge["weight"]["rank_random"]) < 0.1
    model = Patch()
    before = {name: weight.clone() for name, weight in model.model.named_parameters()}
    with randomised(model, 1) as layers:
        assert list(layers) == ["weight"]
        assert not torch.equal(model.model.weight.weight, before["weight.weight"])
        sizes = [
            weight.abs().sort().values
            for weight in (model.model.weight.weight.view(-1), before["weight.weight"].view(-1))
        ]
        torch.testing.assert_close(*sizes)
    for name, weight in model.model.named_parameters():
        torch.testing.assert_close(weight, before[name])


@pytest.fixture
def rows(measured, tmp_path, monkeypatch):
    """The rows of results.json, and tables and sentence of them."""
    monkeypatch.chdir(tmp_path)
    for method, found in measured.items():
        write_json(tmp_path / f"exp/faithfulness/toy/{method}.test.json", {**found, "speakers": found["utterances"]})
    run = Run({"corpus": "toy", "synthetic": False, "command": "c", "commit": "a", "date": "d"}, {"exp": "exp"})
    Faithfulness("$exp/faithfulness/{classifier}/{system}.{set}.json").collect(run)
    return run.rows


def test_rows_say_which_maps_are_better_than_random_and_which_survive(rows):
    def row(system, metric, **where):
        (found,) = select(rows, {"system": system, "metric": metric, "classifier": "toy", "set": "test", **where})
        return found

    for metric in ("deletion_gain", "insertion_gain"):
        assert row("gradient-input", metric, against="random")["low"] > 5
        noisy = row("random", metric, against="random")
        assert noisy["low"] < 0 < noisy["high"]
    whole = row("gradient-input", "deletion_auc")
    gain = row("gradient-input", "deletion_gain", against="random")
    assert gain["value"] == pytest.approx(whole["control"] - whole["value"], abs=0.002)
    assert whole["curve"][0] == [0, pytest.approx(99.7, abs=0.3)] and whole["n"] == len(LENGTHS)
    assert not row("gradient-input", "randomised_agreement")["survives"]
    assert row("edges", "randomised_agreement")["survives"]


def test_utterances_of_several_folds_count_together():
    falls = {kind: dict.fromkeys(("map", "random", "other"), [[1, 0]] * 6) for kind in ("deletion", "insertion")}
    fold = {
        "utterances": list("abcdef"),
        "speakers": list("ssssss"),
        "shares": [0, 1],
        "curves": falls,
        "agreement": [],
    }
    turned = {"metric": "randomised_agreement", "against": "all", "rank": [-0.9, 0.9] * 3, "rank_random": [0.1] * 6}
    fold["agreement"] = [turned | {"overlap": [0.0] * 6, "overlap_random": [0.1] * 6}]
    found = rows_of([fold, fold])
    assert {row["n"] for row in found} == {12} and found[0]["value"] == 0.5
    assert found[-1]["value"] == 0 and found[-1]["survives"]  # turned round, a map has the same edges


def test_the_report_says_it_in_a_sentence(rows):
    part = Part(rows, [], {}, "wer")
    (said,) = RULES["faithfulness"](part)
    assert re.fullmatch(
        r"At finding what the model uses, maps are better than random regions of the same area: .*gradient-input of "
        r"toy \(deletion \d+\.\d, insertion \d+\.\d points; seeds agree by r = 0\.\d\d\).*; "
        r"not shown to be better than random regions: random of toy \(.*; seeds agree by r = 1\.00\)\.",
        said,
    )
    assert RULES["faithfulness"](Part([], [], {}, "wer")) == []
    turned = [row | {"value": -row["value"], "low": -row["high"], "high": -row["low"]} for row in rows]
    assert "; worse than random regions: " in RULES["faithfulness"](Part(turned, [], {}, "wer"))[0]
    shared = read_specification(TOP / "egs/fsdd/conf/report.yaml").shared
    faithfulness, agreement, randomised = (
        tables(shared[name], part, name)[0] for name in ("faithfulness", "agreement", "randomised")
    )
    assert len(faithfulness.rows) == 3 and len(faithfulness.headers) == 12
    assert ["toy", "gradient-input", "of another seed", "seed2"] in [line[:4] for line in agreement.rows]
    assert randomised.note.endswith(
        "show the utterance rather than what the model has learnt: edges of toy; random of toy."
    )


def test_curves_are_those_of_a_loop_over_single_utterances():
    """Every point sorted by hand, one utterance and one share at a time."""
    model, (batch, _) = Patch(), batches()
    rankings = [ranked(noise(9 + n, (count, BINS)), np.random.default_rng(n)) for n, count in enumerate(batch.lengths)]
    found = curves({"one": rankings}, probabilities(model, batch), FINE)["one"]
    for row, (ranks, length) in enumerate(zip(rankings, batch.lengths, strict=True)):
        order = [divmod(int(point), BINS) for point in np.argsort(ranks, axis=None)]
        for place, share in enumerate(ends(FINE)):
            hidden, shown = batch.features[row].clone(), batch.features[row].clone()
            count = sum((number + 0.5) / len(order) < share for number in range(len(order)))
            for frame, bin_ in order[:count]:
                hidden[frame, bin_] = 0
            for frame, bin_ in order[count:]:
                shown[frame, bin_] = 0
            for kind, features in (("deletion", hidden), ("insertion", shown)):
                wanted = 100 * model.model(features[None]).softmax(1)[0, 1].item()
                assert found[kind][row, place] == pytest.approx(wanted, abs=1e-3), (kind, share, length)


def test_padding_is_never_hidden():
    """A score that hears the padding is the same whatever is hidden of the real frames."""
    seen = []

    class Listening(Patch):
        def outputs(self, activations, lengths):
            seen.append(activations[:, 0].transpose(1, 2))
            return super().outputs(activations, lengths)

    _, batch = batches()
    nothing = [np.zeros((count, BINS), dtype=bool) for count in batch.lengths]
    probabilities(Listening(), batch)(nothing)
    for row, count in enumerate(batch.lengths):
        assert not seen[0][row, :count].any()
        assert torch.equal(seen[0][row, count:], batch.features[row, count:])


def test_ranks_and_agreement():
    values = noise(1, (30, 20))
    ranks = ranked(values, np.random.default_rng(1))
    assert ranks.flat[values.argmax()] == ranks.min() and ranks.min() > 0 and ranks.max() < 1
    for other in (noise(2, (30, 20)), values + noise(3, (30, 20)), -values):
        second = ranked(other, np.random.default_rng(1))
        assert rank_correlation(ranks, second) == pytest.approx(spearmanr(values.ravel(), other.ravel())[0], abs=1e-6)
    assert overlap(ranks, ranks) == 1 and overlap(ranks, 1 - ranks) == 0
    flat = [ranked(np.zeros((30, 20)), np.random.default_rng(seed)) for seed in (1, 2)]
    assert abs(rank_correlation(*flat)) < 0.15  # ties are drawn
    assert area(np.array([1.0, *(1 - share for share in SHARES), 0])) == pytest.approx(0.5)


def test_a_moved_map_has_the_same_points_elsewhere():
    values = noise(1, (12, 5))
    found = moved(SaliencyMap(values, 8, 16), np.random.default_rng(2)).values
    assert sorted(found.ravel()) == sorted(values.ravel()) and not np.array_equal(found, values)
    differences = [
        np.sort(np.abs(np.diff(v, axis=axis, append=v.take([0], axis))), None)
        for v in (values, found)
        for axis in (0, 1)
    ]
    np.testing.assert_array_equal(differences[0], differences[2])  # neighbours stay neighbours, round the edges too
    np.testing.assert_array_equal(differences[1], differences[3])


@pytest.mark.parametrize("number", [0, 2])
def test_gradcam_at_an_earlier_convolution_is_captums(number):
    model = classifier()
    explained, features = ExplainedAccents(model), torch.from_numpy(noise(1, (2, 304, 80)))
    targets = torch.tensor([0, 2])
    layer = AtLayer(explained, f"convolutions.{number}")
    found = maps_of(layer, Batch(["a", "b"], features, [304, 290], targets), ["gradcam"])["gradcam"]
    reference = LayerGradCam(lambda x: model(x)["logits"], model.convolutions[number]).attribute(features, targets)
    for one, wanted, length in zip(found, reference[:, 0], (304, 290), strict=True):
        assert one.of == f"convolutions.{number}" and one.bins_per_row == 2**number
        torch.testing.assert_close(torch.from_numpy(one.values), wanted.T[: len(one.values)], atol=1e-6, rtol=1e-4)
        assert one.enlarged(length, 80).shape == (length, 80)


def test_layers_come_in_their_order():
    assert list(layers_of(classifier())) == [*(f"convolutions.{n}" for n in range(4)), "classify.1", "classify.4"]


def test_the_chosen_utterances_are_of_as_many_speakers_and_accents_as_there_are():
    def utterance(speaker, accent, number):
        return Utterance(
            id=f"{speaker}-{number}", speaker=speaker, audio="a.wav", text="", duration=1.0, recording="", accent=accent
        )

    all_of = [utterance(f"{accent}{s}", accent, n) for accent in "abc" for s in range(3) for n in range(4)]
    assert [u.id for u in spread(all_of, 4)] == ["a0-0", "b0-0", "c0-0", "a1-0"]
    assert len({u.speaker for u in spread(all_of, 9)}) == 9
    assert len(spread(all_of, 100)) == len(all_of)


def test_wav2vec_is_measured_on_its_latent_frames(tmp_path, monkeypatch):
    """The program on a classifier of signals, with another seed of it, whose feature encoder is its own."""
    labels = {"num_labels": 2, "id2label": {0: "a", 1: "b"}, "label2id": {"a": 0, "b": 1}}
    models = [saved(tmp_path / f"seed{n}", Wav2Vec2ForSequenceClassification, n, **labels) for n in (1, 2)]
    sounds(tmp_path, "test", {f"s{n}-u": tones(n, 1.0 + n / 5) for n in range(4)})
    options = {"data": tmp_path / "data", "sets": "test", "out": tmp_path / "out", "limit": 3}
    run_program(monkeypatch, "measure_saliency", model=models[0], others=models[1], methods="gradcam random", **options)
    run_program(
        monkeypatch, "measure_saliency", model=models[0], methods="random", **options | {"out": tmp_path / "none"}
    )
    assert not (tmp_path / "none").exists()
    found = read_json(tmp_path / "out/gradcam.test.json")
    assert not (tmp_path / "out/random.test.json").exists()  # a control
    assert found["utterances"] == ["s0-u", "s1-u", "s2-u"] and found["speakers"] == ["s0", "s1", "s2"]
    assert np.shape(found["curves"]["deletion"]["other"]) == (3, len(SHARES) + 2)
    assert np.min(found["curves"]["insertion"]["map"]) > 0 and np.max(found["curves"]["insertion"]["map"]) < 100
    layers = list(of_metric(found, "randomised_agreement"))
    assert layers[:2] == ["classifier", "projector"] and layers[-1].startswith("wav2vec2.feature_projection")
    assert list(of_metric(found, "seed_agreement")) == ["seed2"] and not of_metric(found, "layer_agreement")
