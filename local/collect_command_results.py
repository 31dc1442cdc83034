#!/usr/bin/env python3
"""Collect the error rates of recognisers of commands into results.json."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace as replace_fields
from pathlib import Path
from typing import Any

import numpy as np

from salience import program
from salience.errors import InputError
from salience.files import read_json
from salience.report.command_tables import COMPARED, GENERATOR_METRICS, MEAN, METRIC, OURS
from salience.scoring.results import (
    Scores,
    comparisons,
    matches,
    mean_over,
    new_row,
    only_seeds,
    placed,
    present,
    provenance,
    rate_rows,
    read_paper,
    read_results,
    read_scores,
    replace,
    rounded,
    run_fields,
    split,
    write_results,
)

logger = logging.getLogger(Path(__file__).name)

PUBLISHED = "published"
"""A checkpoint of others, which no seed of ours belongs to."""
OPTIONAL = (f"{OURS}-per-utterance", f"{OURS}-own-maps", PUBLISHED)
"""Systems whose absence is not worth a word."""
SYSTEMS = ("baseline", "continue-clean", "specaugment", "conventional", "null", "other-map", OURS, *OPTIONAL)
"""In the order of the tables."""
SAME_SNR = ("null", "other-map", OURS)
"""Systems trained at the SNR of ImportantAug, as the binarised ones are."""
WITHOUT_NOISE = ("baseline", "continue-clean", "specaugment")
CLEAN_SETS = ("dev", "test")
SWEEPS: dict[str, tuple[str, dict[str, float | None], tuple[str, ...]]] = {
    "conventional": ("the sweep of conventional noise", {"baseline": None, "continue-clean": None}, ("dev",)),
    "binarised": ("the sweep of binarised masks", {"null": 0}, CLEAN_SETS),
}
"""Tables 1 and 5: what the sweep is called, the systems at its ends and their values, and its sets."""


def collect_command_results(
    out: Path,
    corpus: str,
    synthetic: bool,
    command: str,
    scores: str,
    noisy: str | None = None,
    only: str = "",
    in_domain: str = "",
    out_of_domain: str = "",
    chosen: Path | None = None,
    generators: str | None = None,
    published_generator: Path | None = None,
    training_snr: float = -12.5,
    sizes: Path | None = None,
    recogniser: str = "paper",
    paper: Path | None = None,
    settings: dict[str, Any] | None = None,
) -> None:
    """Write rows, comparisons and the run that made them into OUT.

    What OUT already holds of the same corpus, synthetic or not as now, is
    replaced; the rest stays.  Patterns have placeholders in braces.  A part
    that a run did not make is left out, and the report says which.

    Args:
        out: The recipe's results.json.
        corpus: Name of the corpus in the rows.
        synthetic: Whether the audio is synthetic.
        command: The command line that repeats the run.
        scores: Pattern of the folders that score_commands.py wrote for dev and test, such as
            'exp/score/{system}/seed{seed}/{set}'.
        noisy: The same for noisy sets, such as 'exp/score_noisy/{system}/seed{seed}/{snr}/{set}'.
        only: Systems and seeds that count, such as 'baseline/1 null/1'; the default is all that have scores.
        in_domain: Name of the test set whose noise is of the same source as that of the training.
        out_of_domain: Name of the test set with noise of another source.
        chosen: File that holds the name of the system that dev chose, conventional-<snr>, which is
            then also the system conventional.
        generators: Pattern of the generators' histories, such as 'exp/generator/seed{seed}/history.json'.
        published_generator: What score_generator.py wrote of a generator of others.
        training_snr: SNR in dB at which importantaug, null, other-map and the binarised ones were trained.
        sizes: sizes.json of the data stage.
        recogniser: Name of the recogniser in the rows.
        paper: YAML file with the paper's `figures` (of dev and test), `in_domain` and `out_of_domain`.
        settings: What else a reader needs to know of the run.
    """
    common = provenance(corpus, synthetic, recogniser, command)
    known = read_paper(paper)
    snr = _chosen(chosen)
    seeds = only_seeds(only)
    rows, compared, absent = [], [], []

    clean = _read(scores, snr, CLEAN_SETS, seeds)
    if not any(clean.values()):
        raise InputError(f"no scores match {scores}; run the scoring stage, which writes them")
    for name, systems in clean.items():
        rows += rate_rows(name, systems, common, known.get("figures"))
        if name == "test":
            compared += _compared(name, systems, common)
    for sweep, (title, ends, sets) in SWEEPS.items():
        found = _swept(scores, sweep, ends, sets, seeds)
        for name, systems in found.items():
            of_set = rate_rows(name, systems, common, known.get("figures"))
            rows += ({**row, "sweep": sweep, "sweep_value": _place(row["system"], ends)} for row in of_set)
        absent += [] if found else [title]

    roles = {"in-domain": in_domain, "out-of-domain": out_of_domain}
    noisy_sets = {}
    for role, name in roles.items():
        at_snrs = _read_noisy(noisy, snr, name, seeds) if name and noisy is not None else {}
        if not at_snrs:
            absent.append(f"{role} noise")
            continue
        noisy_sets[role] = name
        figures = known.get(role.replace("-", "_"), {})
        for place, systems in at_snrs.items():
            found = rate_rows(name, systems, common, _figures_at(figures, place, list(at_snrs), name))
            rows += placed(found, {"snr": place})
            compared += placed(_compared(name, systems, common), {"snr": place})

    systems = {row["system"] for row in rows if row.get("sweep") is None}
    normaliser = rows[0]["normaliser"]
    rows += _generator_rows(generators, published_generator, common)
    absent = [name for name in SYSTEMS if name not in systems.union(OPTIONAL)] + absent
    run = {
        **run_fields(common),
        "seeds": sorted({seed for row in rows for seed in row["seeds"]}),
        "settings": {"recogniser": recogniser} | (settings or {}),
        "judged_by": {"metric": METRIC, "normaliser": normaliser},
        "sizes": read_json(sizes) if sizes is not None else None,
        "noisy_sets": noisy_sets,
        "chosen": snr,
        "training_snr": _training_snrs(systems, snr, training_snr),
        "absent": absent,
    }
    write_results(out, replace(read_results(out), {"rows": rows, "comparisons": compared, "runs": [run]}))
    logger.info(
        "%d rows and %d comparisons of %s are in %s%s",
        len(rows),
        len(compared),
        corpus,
        out,
        f"; not there: {', '.join(absent)}" if absent else "",
    )


def _read(
    pattern: str, chosen: float | None, sets: Sequence[str], seeds: Mapping[str, Sequence[int]]
) -> dict[str, dict[str, Scores]]:
    """The systems of the tables on those of the sets that there are, the chosen noise by the name `conventional`."""
    names = {name: name for name in SYSTEMS if name != "conventional"}
    if chosen is not None:
        names[f"conventional-{chosen:g}"] = "conventional"
    wanted = [system for system in names if system in seeds] if seeds else names
    here = present(pattern, sorted(wanted, key=lambda system: SYSTEMS.index(names[system])))
    found = read_scores(pattern, here, _sets_of(pattern, sets), seeds) if here else {}
    return {
        name: {
            names[system]: replace_fields(scores, seeds=[]) if system == PUBLISHED else scores
            for system, scores in systems.items()
        }
        for name, systems in found.items()
    }


def _read_noisy(
    pattern: str, chosen: float | None, name: str, seeds: Mapping[str, Sequence[int]]
) -> dict[float | str, dict[str, Scores]]:
    """The systems of the tables on one noisy set at each SNR, the lowest first, then their means over all SNRs."""
    found: dict[float | str, dict[str, Scores]] = {}
    for place, part in reversed(split(pattern, "snr")):
        systems = _read(part, chosen, [name], seeds)
        if name in systems:
            found[place["snr"]] = systems[name]
    if found:
        at_all = [system for system in SYSTEMS if all(system in systems for systems in found.values())]
        found[MEAN] = {system: mean_over(system, [systems[system] for systems in found.values()]) for system in at_all}
    return found


def _swept(
    pattern: str, sweep: str, ends: Iterable[str], sets: Sequence[str], only: Mapping[str, Sequence[int]]
) -> dict[str, dict[str, Scores]]:
    """The systems of a sweep and those at its ends, all with the same seeds: those that each has."""
    seeds: dict[str, set[int]] = {}
    for fields, folder in matches(pattern):
        if fields["set"] in sets and (folder / "counts.json").exists():
            seed = int(fields.get("seed", 0))
            if not only or seed in only.get(fields["system"], ()):
                seeds.setdefault(fields["system"], set()).add(seed)
    names = sorted((name for name in seeds if name.startswith(f"{sweep}-")), key=_value_of, reverse=True)
    if not names:
        return {}
    shared = set.intersection(*(seeds[name] for name in names))
    if not shared:
        raise InputError(f"no seed has all systems {sweep}-... under {pattern}; run stages 6 to 8 for the same seeds")
    ended = [name for name in ends if shared <= seeds.get(name, set())]
    return read_scores(pattern, ended + names, _sets_of(pattern, sets), sorted(shared))


def _sets_of(pattern: str, sets: Sequence[str]) -> list[str]:
    found = {fields["set"] for fields, folder in matches(pattern) if (folder / "counts.json").exists()}
    return [name for name in sets if name in found]


def _place(system: str, ends: Mapping[str, float | None]) -> float | None:
    return ends[system] if system in ends else _value_of(system)


def _value_of(system: str) -> float:
    """The number in a system's name: -5 of conventional--5."""
    text = system.partition("-")[2]
    try:
        return int(text) if text.lstrip("-").isdecimal() else float(text)
    except ValueError:
        raise InputError(f"there are scores of {system}, whose name does not end in a number; remove them") from None


def _chosen(path: Path | None) -> float | None:
    if path is None or not path.exists():
        return None
    try:
        return float(path.read_text(encoding="utf-8").strip().removeprefix("conventional-"))
    except ValueError:
        raise InputError(f"{path} holds no number; remove it and run the decoding stage again") from None


def _compared(name: str, systems: Mapping[str, Scores], common: Mapping[str, Any]) -> list[dict[str, Any]]:
    rivals = dict.fromkeys(rival for _, rival in COMPARED)
    return [
        item
        for item in comparisons(name, systems, list(rivals), common)
        if (item["system"], item["against"]) in COMPARED
    ]


def _generator_rows(pattern: str | None, published: Path | None, common: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the generators' masks do on dev at the epoch that each training kept."""
    ours = {int(fields["seed"]): path for fields, path in (matches(pattern) if pattern else ())}
    histories: dict[str, dict[int, Path]] = {"of this run": ours, PUBLISHED: {0: published} if published else {}}
    rows = []
    for system, paths in histories.items():
        scored = [[entry for entry in read_json(path) if "eval_dev_loss" in entry] for path in paths.values()]
        kept = [min(entries, key=lambda entry: entry["eval_dev_loss"]) for entries in scored if entries]
        for metric, name in zip(GENERATOR_METRICS, ("loss", "mask", "error"), strict=True) if kept else ():
            values = [entry[f"eval_dev_{name}"] for entry in kept]
            known = {
                "system": system,
                "set": "dev",
                "metric": metric,
                "seeds": [] if system == PUBLISHED else sorted(paths),
            }
            rows.append(
                new_row(common, **known, value=rounded(np.mean(values)), values=[rounded(value) for value in values])
            )
    return rows


def _figures_at(
    figures: Mapping[str, Mapping[float, float]], place: float | str, places: Sequence[float | str], name: str
) -> dict[str, Any]:
    """The paper's figures at one SNR, or their mean if the paper has all SNRs that we have and no others."""
    found = {}
    for system, of_system in figures.items():
        if place in of_system:
            found[system] = {name: {METRIC: of_system[place]}}
        elif place == MEAN and {*of_system, MEAN} == {*places}:
            found[system] = {name: {METRIC: round(sum(of_system.values()) / len(of_system), 2)}}
    return found


def _training_snrs(systems: set[str], chosen: float | None, ours: float) -> dict[str, float | None]:
    """The SNR that each system was trained at, null where it was without noise."""
    known: dict[str, float | None] = dict.fromkeys(WITHOUT_NOISE) | dict.fromkeys(SAME_SNR, ours)
    known |= {"conventional": chosen}
    known |= {name: ours for name in systems if name.startswith("binarised-")}
    return {name: known[name] for name in sorted(systems & known.keys())}


if __name__ == "__main__":
    program.main(collect_command_results)
