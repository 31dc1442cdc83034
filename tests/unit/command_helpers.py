"""Made-up recognition of commands whose error rates are known: planted errors at chosen utterances."""

import json
from collections.abc import Iterable
from pathlib import Path

from salience.data.tables import write_table

WORDS = ("down", "go", "no", "stop", "up")
SPEAKERS = 20
IDS = [f"s{speaker:02}-{word}-{n}" for speaker in range(SPEAKERS) for word in WORDS for n in range(2)]
"""200 utterances: half a percent of error each."""
SNRS = (-12.5, 0, 20)


def data_dir(folder: Path, ids: Iterable[str] = IDS) -> Path:
    """A set's words and speakers."""
    write_table(folder / "text", {key: key.split("-")[1] for key in ids})
    write_table(folder / "utt2spk", {key: key.split("-")[0] for key in ids})
    return folder


def heard(path: Path, wrong: Iterable[str] = (), missing: Iterable[str] = (), ids: Iterable[str] = IDS) -> Path:
    """A hypothesis text with these utterances wrong and those missing."""
    wrong, missing = set(wrong), set(missing)
    write_table(path, {k: "other" if k in wrong else k.split("-")[1] for k in ids if k not in missing})
    return path


def spread(number: int, start: int = 0) -> list[str]:
    """So many utterances, one speaker after the other."""
    by_speaker = sorted(IDS, key=lambda key: (key.split("-")[1:], key))
    return [by_speaker[(start + place) % len(IDS)] for place in range(number)]


def scored(folder: Path, wrong: Iterable[str]) -> None:
    """A counts.json as score_keywords.py writes it."""
    wrong = set(wrong)
    value = {
        "normalisers": {"raw": "exact", "normalised": "exact"},
        "ids": IDS,
        "speakers": [key.split("-")[0] for key in IDS],
        "accents": None,
        "missing": [],
        "raw": {"utterances": [1] * len(IDS), "utterance_errors": [int(key in wrong) for key in IDS]},
    }
    folder.mkdir(parents=True)
    (folder / "counts.json").write_text(json.dumps(value))


def everything(top: Path, seeds: Iterable[int] = (1, 2, 3)) -> None:
    """Scores of a whole run.

    importantaug makes 10 errors on clean speech (and one more for each seed),
    which the others make too: null the same 10, conventional 20 more, the
    baseline 40 more, continue-clean 5 fewer.
    """
    clean = {
        "baseline": 50,
        "continue-clean": 5,
        "specaugment": 30,
        "conventional-10": 30,
        "null": 10,
        "other-map": 15,
        "importantaug": 10,
        **{f"conventional-{snr}": 40 + abs(10 - snr) for snr in (-10, 20)},
        **{f"binarised-{q}": 10 + q for q in (70, 10, 1)},
    }
    for system, errors in clean.items():
        for seed in seeds:
            for name in ("dev", "test"):
                scored(top / f"models/{system}/seed{seed}/score/{name}", spread(errors + seed))
            if system in ("conventional--10", "conventional-20") or system.startswith("binarised"):
                continue
            for place, snr in enumerate(SNRS):
                for name, more in (("test_musan", 0), ("test_qut", 20)):
                    noisy = errors + seed + more + 30 * (len(SNRS) - place)
                    scored(top / f"models/{system}/seed{seed}/score_noisy/{snr:g}/{name}", spread(noisy))
    for name in ("dev", "test"):
        scored(top / f"models/published/seed0/score/{name}", spread(44))
    for snr in SNRS:
        for name in ("test_musan", "test_qut"):
            scored(top / f"models/published/seed0/score_noisy/{snr:g}/{name}", spread(88))
    official = {
        "words": 35,
        "train": 84843,
        "dev": 9981,
        "test": 11005,
        "noise_train": 702,
        "noise_train_recordings": 702,
        "noise_test": 175,
    }
    sizes = {
        "words": 5,
        "train": 1000,
        "dev": 200,
        "test": 200,
        "noise_train": 40,
        "noise_train_recordings": 6,
        "noise_test": 10,
        "noise_other_seconds": 60.5,
        "official": official,
    }
    (top / "sizes.json").write_text(json.dumps(sizes))


def generators(top: Path) -> None:
    """What trainings of generators with seeds 1 and 2 left, and the score of a published one."""
    for seed in (1, 2):
        entries = [{"loss": 9.0}]
        for loss, mask, error in ((3.5, 60, 20), (2 + seed / 2, 70 + 20 * (seed - 1), 5 * seed), (4.0, 99, 90)):
            entries.append({"eval_dev_loss": loss, "eval_dev_mask": mask, "eval_dev_error": error})
        _history(top / f"generator/seed{seed}", entries)
    _history(top / "published", [{"eval_dev_loss": 2.0, "eval_dev_mask": 75.0, "eval_dev_error": 3.0}])


def _history(folder: Path, entries: list[dict[str, float]]) -> None:
    folder.mkdir(parents=True)
    (folder / "history.json").write_text(json.dumps(entries))
