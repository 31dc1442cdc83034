"""Error rates: scores of recognisers on sets, read from `counts.json`, as rows and comparisons.

Scores of several folds are pooled as one set, scores of several seeds are
averaged, and so are, within a seed, scores of several noise realisations.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from pathlib import Path
from typing import Any

import numpy as np

from salience.errors import InputError, stale
from salience.files import read_json
from salience.scoring.bootstrap import interval, resampled_rates, resampling_units, two_sided_p
from salience.scoring.patterns import find
from salience.scoring.results import new_row, rounded

logger = logging.getLogger(__name__)

MEASURES = {
    "wer": ("words", "word_errors"),
    "cer": ("characters", "character_errors"),
    "error": ("utterances", "utterance_errors"),
}
"""Metric: (length of the reference, errors), as `counts.json` names them; a file holds some of them."""


@dataclass(frozen=True)
class Scores:
    """One system on one set.  `rows` are utterances, of all folds.

    `lengths` and `errors` have a key for each (kind, metric), kind being raw,
    normalised or one normaliser of several: reference lengths (rows,) and
    errors (seeds, rows), which are means over draws of noise.  Of kinds with
    the same normaliser there is the first alone.
    """

    ids: list[tuple[str, str]]
    speakers: list[str]
    accents: list[str] | None
    normalisers: dict[str, str]
    seeds: list[int]
    missing: int
    truncated: int
    lengths: dict[tuple[str, str], np.ndarray]
    errors: dict[tuple[str, str], np.ndarray]


def system_of(fields: Mapping[str, str]) -> str:
    """A system's name, from what the placeholders of a pattern stand for."""
    return fields.get("system", "")


def read_scores(
    pattern: str,
    systems: Sequence[str] = (),
    sets: Sequence[str] = (),
    seeds: Sequence[int] | Mapping[str, Sequence[int]] = (),
    name_of: Callable[[Mapping[str, str]], str] = system_of,
) -> dict[str, dict[str, Scores]]:
    """Read all scores that match a pattern, as {set: {system: scores}}; without {system} in it, that is "".

    Where systems, sets or seeds (of all systems, or of each) are given, only
    those are read, in that order; a system or set that is not there is an
    InputError, and so is a system whose seeds, folds or draws are not the same
    throughout.  `name_of` names a
    system by all placeholders of the pattern.
    """
    found: dict[tuple[str, str], dict[int, dict[tuple[str, str], Path]]] = {}
    for fields, folder in find(pattern):
        if "set" not in fields:
            raise InputError(f"the pattern {pattern} needs the placeholder {{set}}")
        seed = int(fields.get("seed", 0))
        wanted = seeds.get(name_of(fields), ()) if isinstance(seeds, Mapping) else seeds
        if not (folder / "counts.json").exists() or (seeds and seed not in wanted):
            continue
        part = (fields.get("fold", ""), fields.get("draw", ""))
        found.setdefault((name_of(fields), fields["set"]), {}).setdefault(seed, {})[part] = folder / "counts.json"
    systems = systems or sorted({system for system, _ in found})
    sets = sets or sorted({name for _, name in found})
    scores: dict[str, dict[str, Scores]] = {name: {} for name in sets}
    for system in systems:
        expected: tuple[str, set] | None = None
        for name in sets:
            if (system, name) not in found:
                raise InputError(f"{system} has no score of {name} under {pattern}; run the scoring stage for it")
            runs = found[system, name]
            layout = {(seed, part) for seed, parts in runs.items() for part in parts}
            if len({frozenset(parts) for parts in runs.values()}) > 1 or (expected and expected[1] != layout):
                raise InputError(
                    f"{system} is not scored with the same seeds, folds and draws on {name} as on "
                    f"{(expected or [name])[0]}; run the decoding and scoring stages again"
                )
            expected = (name, layout)
            scores[name][system] = _pool(runs)
    for name, of_systems in scores.items():
        _check_same_test(name, of_systems)
    return scores


def _pool(runs: Mapping[int, Mapping[tuple[str, str], Path]]) -> Scores:
    """Scores of one system on one set from {seed: {(fold, draw): file}}."""
    loaded = {seed: {part: read_json(path) for part, path in parts.items()} for seed, parts in sorted(runs.items())}
    # A fold's utterances are the same in every seed and draw.
    first = {fold: scores for (fold, _), scores in sorted(next(iter(loaded.values())).items(), reverse=True)}
    folds = sorted(first)
    draws: dict[str, list[str]] = {fold: [] for fold in folds}
    for fold, draw in sorted(next(iter(loaded.values()))):
        draws[fold].append(draw)
    for seed, of_seed in loaded.items():
        for (fold, draw), scores in of_seed.items():
            for column in ("ids", "speakers", "accents", "normalisers"):
                if scores[column] != first[fold][column]:
                    raise stale(runs[seed][fold, draw], f"does not score the same {column} as the other seeds")
    parts = [first[fold] for fold in folds]
    normalisers = parts[0]["normalisers"]
    different = {name: kind for kind, name in reversed(normalisers.items())}
    metrics = [metric for metric, (length, _) in MEASURES.items() if length in parts[0]["raw"]]
    kinds = [(kind, metric) for kind in normalisers if kind in different.values() for metric in metrics]
    return Scores(
        ids=[(fold, key) for fold in folds for key in first[fold]["ids"]],
        speakers=[speaker for part in parts for speaker in part["speakers"]],
        accents=(
            None if any(part["accents"] is None for part in parts) else [a for part in parts for a in part["accents"]]
        ),
        normalisers=normalisers,
        seeds=list(loaded),
        missing=_count("missing", loaded),
        truncated=_count("truncated", loaded),
        lengths={
            (k, m): np.concatenate([np.array(part[k][MEASURES[m][0]], float) for part in parts]) for k, m in kinds
        },
        errors={
            (k, m): np.array(
                [
                    np.concatenate(
                        [np.mean([of_seed[fold, d][k][MEASURES[m][1]] for d in draws[fold]], axis=0) for fold in folds]
                    )
                    for of_seed in loaded.values()
                ],
                float,
            )
            for k, m in kinds
        },
    )


def _count(column: str, loaded: Mapping[int, Mapping[Any, Mapping[str, Any]]]) -> int:
    """Utterances that the scores of all seeds, folds and draws list in a column; earlier versions lack some."""
    return sum(len(part.get(column, ())) for of_seed in loaded.values() for part in of_seed.values())


def mean_over(system: str, scores: Sequence[Scores]) -> Scores:
    """Scores of one system on several versions of a set, such as its SNRs, as one: errors are averaged.

    So the rate of every utterance, and of every draw of speakers, is the mean
    of its rates.
    """
    first = scores[0]
    for other in scores[1:]:
        if (other.ids, other.seeds) != (first.ids, first.seeds):
            raise InputError(
                f"{system} is not scored with the same seeds and utterances at every SNR; "
                "run the decoding and scoring stages again"
            )
    return replace_fields(
        first,
        missing=sum(one.missing for one in scores),
        truncated=sum(one.truncated for one in scores),
        errors={key: np.mean([one.errors[key] for one in scores], axis=0) for key in first.errors},
    )


def _check_same_test(name: str, systems: Mapping[str, Scores]) -> None:
    first_name, first = next(iter(systems.items()))
    for system, scores in systems.items():
        same = scores.ids == first.ids and scores.normalisers == first.normalisers
        if not (same and scores.lengths.keys() == first.lengths.keys()) or any(
            not np.array_equal(scores.lengths[key], first.lengths[key]) for key in first.lengths
        ):
            raise InputError(
                f"{system} and {first_name} are not scored on the same references of {name}; "
                "run the scoring stage again"
            )


def rate_rows(
    set_name: str, systems: Mapping[str, Scores], common: Mapping[str, Any], paper: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """A row for each system, metric and normaliser on one set, then the same for each accent of several.

    `value` is the mean over seeds of the corpus-level rate in percent, `low`
    and `high` its 95 % bootstrap interval, `values` the rate of each seed.
    `paper` maps system, set and metric to the paper's figure, or to one each
    of `raw` and `normalised` text.
    """
    first = next(iter(systems.values()))
    groups: list[tuple[str | None, np.ndarray]] = [(None, np.arange(len(first.ids)))]
    if first.accents is not None and len(set(first.accents)) > 1:
        labels = np.array(first.accents)
        groups += [(accent, np.flatnonzero(labels == accent)) for accent in sorted(set(first.accents))]
    rows = []
    for accent, chosen in groups:
        columns = [(system, kind, metric) for system in systems for kind, metric in first.lengths]
        speakers = [first.speakers[i] for i in chosen]
        utterances = [first.ids[i][1] for i in chosen]
        units, resampled = resampling_units(speakers, utterances)
        samples = resampled_rates(
            np.stack([systems[s].errors[k, m][:, chosen].mean(axis=0) for s, k, m in columns], axis=1),
            np.stack([systems[s].lengths[k, m][chosen] for s, k, m in columns], axis=1),
            units,
            f"{common['corpus']} {set_name}",
        )
        for column, (system, kind, metric) in enumerate(columns):
            scores = systems[system]
            total = scores.lengths[kind, metric][chosen].sum()
            if not total:
                logger.warning("%s, accent %s: no row, because the %s references hold no word", set_name, accent, kind)
                continue
            values = [100 * float(e) / float(total) for e in scores.errors[kind, metric][:, chosen].sum(axis=1)]
            low, high = interval(samples[:, column])
            rows.append(
                new_row(
                    common,
                    set=set_name,
                    accent=accent,
                    system=system,
                    recogniser=common["recogniser"],
                    metric=metric,
                    normaliser=scores.normalisers[kind],
                    value=rounded(np.mean(values)),
                    low=rounded(low),
                    high=rounded(high),
                    n=len(set(utterances)),
                    seeds=scores.seeds,
                    paper=None if accent else _figure(paper, system, set_name, metric, kind),
                    values=[rounded(value) for value in values],
                    resampled=resampled,
                    missing=scores.missing if accent is None else None,
                    **({"truncated": scores.truncated} if scores.truncated and accent is None else {}),
                )
            )
    return rows


def _figure(paper: Mapping[str, Any] | None, system: str, set_name: str, metric: str, kind: str) -> float | None:
    figure = (paper or {}).get(system, {}).get(set_name, {}).get(metric)
    return figure.get("raw" if kind == "raw" else "normalised") if isinstance(figure, Mapping) else figure


def comparisons(
    set_name: str, systems: Mapping[str, Scores], pairs: Iterable[tuple[str, str]], common: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Paired differences of systems on the same utterances.

    `difference` is the first system of a pair minus the second in points, so
    negative is better; `low`, `high` its 95 % interval, `p` two-sided, errors
    averaged over seeds; `differences` has that of each seed, if both have the
    same seeds.
    """
    first = next(iter(systems.values()))
    units, resampled = resampling_units(first.speakers, [key for _, key in first.ids])
    names = list(systems)
    wanted = [pair for pair in pairs if set(pair) <= set(names)]
    found = []
    for kind, metric in first.lengths if wanted else ():
        lengths = first.lengths[kind, metric]
        if not lengths.sum():
            continue
        errors = np.stack([systems[system].errors[kind, metric].mean(axis=0) for system in names], axis=1)
        samples = resampled_rates(
            errors, np.repeat(lengths[:, None], len(names), axis=1), units, f"{common['corpus']} {set_name}"
        )
        rates = 100 * errors.sum(axis=0) / lengths.sum()
        for system, against in wanted:
            a, b = names.index(system), names.index(against)
            differences = samples[:, a] - samples[:, b]
            low, high = interval(differences)
            one, other = systems[system], systems[against]
            by_seed: Iterable[float] = []
            if one.seeds == other.seeds:
                by_seed = one.errors[kind, metric].sum(axis=1) - other.errors[kind, metric].sum(axis=1)
            found.append(
                {
                    "corpus": common["corpus"],
                    "synthetic": common["synthetic"],
                    "set": set_name,
                    "system": system,
                    "against": against,
                    "recogniser": common["recogniser"],
                    "metric": metric,
                    "normaliser": first.normalisers[kind],
                    "difference": rounded(rates[a] - rates[b]),
                    "low": rounded(low),
                    "high": rounded(high),
                    "differences": [rounded(100 * gap / lengths.sum()) for gap in by_seed],
                    "p": two_sided_p(differences),
                    "n": len({key for _, key in first.ids}),
                    "resampled": resampled,
                }
            )
    return found
