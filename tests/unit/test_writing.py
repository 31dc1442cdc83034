"""The writing index: of planted error counts, of masks that write or reveal by construction, in the report."""

import shutil

import numpy as np
import pytest
import soundfile
from accent_helpers import run_program, write_set
from bubble_helpers import SMALL, constant, speech
from test_bubble_report import COLLECT, COMMON, IDS, REPORT, conditions, run, scored

from salience.data.tables import read_table, write_table
from salience.errors import InputError
from salience.features.archives import Archive, ArchiveWriter
from salience.files import read_json
from salience.masking.bands import Band
from salience.models.mask_estimator import save_estimator
from salience.scoring.results import read_results
from salience.scoring.sources import Run
from salience.scoring.writing import WritingIndex, writing_index

BANDS = "0-1000 1000-2000 2000-4000 4000-8000"
PLACES = ["--values.bands", BANDS, "--values.first_draw", "1"]


def planted(top) -> None:
    """Scores of masks that reveal below 1,000 Hz, write above, do both in the third band, and neither in the last."""
    conditions(top)
    for name in ("dev", "test"):
        for seed in (1, 2, 3):
            own = top / f"score/masked-noise/seed{seed}/noise1/{name}"
            noise = scored(top / f"score/filled/seed{seed}", name, 0.6).parent
            for band, exchanged, fill in zip(BANDS.split(), (noise, own, None, own), (noise, noise, noise, own)):
                place = f"score/bands/{band}/{{}}/seed{seed}/noise1/{name}"
                if exchanged:
                    shutil.copytree(exchanged, top / place.format("exchanged"))
                else:
                    scored((top / place.format("exchanged")).parent, name, 0.3)
                shutil.copytree(fill, top / place.format("noise"))


def test_the_index_is_known_where_noise_costs_enough():
    cers = np.array([[10, 60, 60], [10, 10, 60], [10, 35, 60], [10, 70, 60], [10, 10, 11.9], [60, 10, 10]])
    np.testing.assert_allclose(writing_index(cers, 2.0), [0, 1, 0.5, -0.2, np.nan, np.nan])


def test_planted_errors_make_rows_a_table_and_a_sentence(tmp_path):
    planted(tmp_path)
    run(tmp_path, ("collect_results.py", [*COLLECT, *PLACES]), ("report_results.py", [*REPORT, *PLACES]))
    rows = read_results(tmp_path / "results.json")["rows"]
    found = {tuple(r["band"]): r for r in rows if r["metric"] == "writing_index" and r["set"] == "test"}
    reveal, write, both, neither = (found[band] for band in ((0, 1000), (1000, 2000), (2000, 4000), (4000, 8000)))
    for row, value in ((reveal, 0), (write, 1)):
        assert row["value"] == row["low"] == row["high"] == value and row["values"] == [value] * 3
        assert (row["system"], row["n"], row["seeds"], row["resampled"]) == ("masked-noise", 36, [1, 2, 3], "speaker")
    assert 0 < both["low"] < both["value"] < both["high"] < 1 and len(set(both["values"])) == 3
    assert neither["value"] is neither["low"] is None and neither["cost"] == 0 and neither["values"] == [None] * 3
    cer = {
        r["fill"]: r["value"] for r in rows if r["metric"] == "band_cer" and r["set"] == "test" and r["band"][0] == 2000
    }
    expected = (cer["noise"] - cer["exchanged"]) / (cer["noise"] - cer["own"])
    assert both["value"] == pytest.approx(expected, abs=2e-3) and both["cost"] == pytest.approx(
        cer["noise"] - cer["own"], abs=2e-3
    )
    details = (tmp_path / "RESULTS_details.md").read_text()
    assert "### What the masks write, test: CER in % with something else in a band, raw 1" in details
    line = next(
        line for line in details.splitlines() if line.startswith("| 1,000 to 2,000 Hz |") and "1.00 (1.00" in line
    )
    assert line.endswith("| 1.00 (1.00 to 1.00) | 1.00, 1.00, 1.00 | 1, 2, 3 |")
    assert "| undefined | –, –, – |" in details
    assert (
        "The masks' writing index (0: they reveal speech, 1: they write the words themselves) is 0.00 (0.00 to 0.00)"
        " below 1,000 Hz, 1.00 (1.00 to 1.00) at 1,000 to 2,000 Hz,"
        f" {both['value']:.2f} ({both['low']:.2f} to {both['high']:.2f}) at 2,000 to 4,000 Hz;"
        " noise at 4,000 to 8,000 Hz costs too little to tell."
    ) in (tmp_path / "RESULTS.md").read_text()


def test_scores_that_do_not_belong_together_are_one_sentence(tmp_path):
    planted(tmp_path)
    source = WritingIndex(
        "own/{seed}/{set}", "score/bands/{band}/{fill}/seed{seed}/noise1/{set}", "bands", "masked-noise"
    )
    collected = Run(COMMON)
    shutil.rmtree(tmp_path / "score/bands/0-1000/noise")
    for seed in (1, 2):
        scored(tmp_path / f"own/{seed}", "dev", 0.1), scored(tmp_path / f"own/{seed}", "test", 0.1)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        with pytest.raises(InputError, match="dev is not scored with all of own, exchanged, noise in 0-1000 Hz"):
            source.collect(collected)
        shutil.rmtree(tmp_path / "score/bands/0-1000")
        with pytest.raises(InputError, match="dev, 1000-2000 Hz: exchanged is not scored with the same seeds"):
            source.collect(collected)
    assert collected.rows == [] and len(IDS) == 36


HUMS = {"A": 1250, "B": 1750}


def hum(seed, text):
    """Speech-like noise with a hum that says A or B."""
    return speech(seed, 6400) * 0.1 + 0.05 * np.sin(2 * np.pi * HUMS[text] * np.arange(6400) / 16000).astype(np.float32)


def read_by_energy(matrix):
    """A recogniser that tells A from B by where in 1,000 to 2,000 Hz fbank has more energy, and else says nothing."""
    low, high = matrix[:, 30:33].max(axis=1).mean(), matrix[:, 38:40].max(axis=1).mean()
    return "AAAA" if low > high + 1 else "BBBB" if high > low + 1 else "CCCC"


@pytest.mark.parametrize(("kind", "expected"), [("writes", 1.0), ("reveals", 0.0)])
def test_a_mask_that_writes_and_one_that_reveals(tmp_path, monkeypatch, kind, expected):
    """The first lets noise through at the hum of its text only, the second none in the whole band."""
    texts = {f"s{k % 2}-{k:02}": "AB"[k // 2 % 2] for k in range(8)}
    write_set(tmp_path, "test", {key: hum(n, text) for n, (key, text) in enumerate(texts.items())})
    write_table(tmp_path / "data/test/text", {key: 4 * text for key, text in texts.items()})
    monkeypatch.chdir(tmp_path)
    save_estimator(constant(0.0), tmp_path / "estimator")
    inside = Band(1000, 2000).holds(SMALL.bins)
    with ArchiveWriter(tmp_path / "masks/test/mask") as archive:
        for key, text in texts.items():
            mask = np.where(inside, 0, 1).astype(np.float32)
            if kind == "writes":
                mask[Band(HUMS[text] - 150, HUMS[text] + 150).holds(SMALL.bins)] = 1
            archive.write(key, np.tile(mask, (201, 1)))
    write_table(tmp_path / "masks/test/noise_proportion", dict.fromkeys(texts, "0.9 0.9"))
    given = {"data": "data", "sets": "test", "masks": "masks", "estimator": "estimator", "noise.gain": 30_000}
    run_program(monkeypatch, "mix_noise", **given, out="own")
    run_program(monkeypatch, "mix_noise", **given, out="{fill}", fill="exchanged noise", bands="1000-2000")
    places = {"own": "own", "exchanged": "1000-2000/exchanged", "noise": "1000-2000/noise"}
    for fill, place in places.items():
        features = Archive(tmp_path / f"{fill}/test/feats.scp")
        write_table(tmp_path / f"hyp/{fill}/test/text", {key: read_by_energy(features[key]) for key in texts})
        run_program(
            monkeypatch, "score_words", ref="data/{set}/text", hyp=f"hyp/{fill}/{{set}}/text", normaliser="raw",
            utt2spk="data/{set}/utt2spk", out=f"score/{place}/seed1/{{set}}", sets="test",
        )  # fmt: skip
    collected = Run(COMMON)
    WritingIndex("score/own/seed{seed}/{set}", "score/{band}/{fill}/seed{seed}/{set}", "", "masked-noise").collect(
        collected
    )
    cer = {row["fill"]: row["value"] for row in collected.rows if row["metric"] == "band_cer"}
    assert cer == {"own": 0, "exchanged": 0 if kind == "writes" else 100, "noise": 100}
    (index,) = (row for row in collected.rows if row["metric"] == "writing_index")
    assert index["value"] == expected and index["band"] == [1000, 2000]
    assert read_json(tmp_path / "score/own/seed1/test/counts.json")["ids"] == sorted(texts)
    assert (
        len(read_table(tmp_path / "hyp/own/test/text")) == 8 and soundfile.info("audio/s0-00.wav").samplerate == 16000
    )
