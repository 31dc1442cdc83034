"""Result rows: what `results.json` holds and every table shows.

A score is read from the `counts.json` of one recogniser on one set; scores of
several folds are pooled as one set, scores of several seeds are averaged, and
so are, within a seed, scores with several draws of noise.
"""

import json
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from functools import partial
from glob import escape, glob
from pathlib import Path
from typing import Any

import numpy as np

from salience.errors import InputError
from salience.files import read_json, read_yaml, whole_file
from salience.scoring.bootstrap import interval, resampled_rates, resampling_units, two_sided_p
from salience.steps import commit, versions

logger = logging.getLogger(__name__)

MEASURES = {
    "wer": ("words", "word_errors"),
    "cer": ("characters", "character_errors"),
    "error": ("utterances", "utterance_errors"),
}
"""Metric: (length of the reference, errors), as `counts.json` names them; a file holds some of them."""
UNTRAINED = "zero-shot"
FIELDS = (
    "corpus synthetic set accent system recogniser metric normaliser snr value low high n seeds paper "
    "command commit date"
).split()
"""What every row has; a row may have more."""


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


PLACEHOLDER = re.compile(r"\{(\w+)(?::([^{}]*))?\}")


def matches(pattern: str) -> list[tuple[dict[str, str], Path]]:
    """Paths that match a pattern such as `exp/{system}/{set}`, with what each placeholder stands for.

    `{seed:1|2}` stands for 1 and 2 only: not for what an earlier run left.
    """
    parts = PLACEHOLDER.split(pattern)
    wildcard = "*".join(escape(part) for part in parts[::3])
    expression, seen = re.escape(parts[0]), set()
    for name, values, literal in zip(parts[1::3], parts[2::3], parts[3::3]):
        one_of = "[^/]+" if values is None else "|".join(map(re.escape, values.split("|")))
        expression += f"(?P={name})" if name in seen else f"(?P<{name}>{one_of})"
        expression += re.escape(literal)
        seen.add(name)
    found = ((re.fullmatch(expression, path), Path(path)) for path in sorted(glob(wildcard)))
    return [(match.groupdict(), path) for match, path in found if match]


def find(pattern: str) -> list[tuple[dict[str, str], Path]]:
    """What `matches` finds; nothing at all is an InputError."""
    found = matches(pattern)
    if not found:
        raise InputError(f"nothing matches {pattern}; run the stage that writes it")
    return found


def split(pattern: str, *names: str) -> list[tuple[dict[str, Any], str]]:
    """What the named placeholders stand for, and the pattern with that put in, in the order of the values.

    `split("{snr}/{set}", "snr")` may be [({"snr": "clean"}, "clean/{set}"),
    ({"snr": 20}, "20/{set}")]: words come first, then numbers, and of an SNR
    the highest.  A pattern without such placeholders is handed back as it is.
    """
    there = {match[1] for match in PLACEHOLDER.finditer(pattern)}
    names = tuple(name for name in names if name in there)
    if not names:
        return [({}, pattern)]
    parts = {}
    for fields, _ in matches(pattern):
        filled = PLACEHOLDER.sub(
            lambda found, fields=fields: fields[found[1]] if found[1] in names else found[0], pattern
        )
        parts[filled] = {name: _number(fields[name]) for name in names}

    def place(values: Mapping[str, Any]) -> list[tuple[bool, str, float]]:
        return [
            (True, "", -value if name == "snr" else value) if isinstance(value, (int, float)) else (False, value, 0.0)
            for name, value in values.items()
        ]

    return sorted(((values, filled) for filled, values in parts.items()), key=lambda part: place(part[0]))


def _number(text: str) -> int | float | str:
    try:
        return int(text) if text.lstrip("-").isdecimal() else float(text)
    except ValueError:
        return text


def system_of(fields: Mapping[str, str]) -> str:
    """A system's name, from what the placeholders of a pattern stand for."""
    return fields.get("system", "")


def present(pattern: str, names: Iterable[str], name_of: Callable[[Mapping[str, str]], str] = system_of) -> list[str]:
    """Those of the systems that a pattern has scores of, in the order given."""
    found = {name_of(fields) for fields, folder in matches(pattern) if (folder / "counts.json").exists()}
    return [name for name in names if name in found]


def placed(items: Iterable[Mapping[str, Any]], fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows or comparisons with what tells them from others of the same set, such as an SNR."""
    return [{**item, **fields} for item in items]


def only_seeds(text: str) -> dict[str, list[int]]:
    """The seeds of each system from words such as `baseline/1 baseline/2 null/1`."""
    found: dict[str, list[int]] = {}
    for word in text.split():
        system, _, seed = word.rpartition("/")
        if not system or not seed.isdecimal():
            raise InputError(f"--only has {word!r}; give words such as baseline/1, a system and a seed")
        found.setdefault(system, []).append(int(seed))
    return found


def read_paper(path: Path | None) -> dict[str, Any]:
    """What a YAML file has of the paper: its `figures` and more; nothing without a file."""
    if path is None:
        return {}
    paper = read_yaml(path, "correct --paper")
    if not isinstance(paper, dict):
        raise InputError(f"{path} holds no names with values; correct --paper")
    return paper


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
                    raise InputError(
                        f"{runs[seed][fold, draw]} does not score the same {column} as the other seeds; "
                        "run the scoring stage again"
                    )
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
    """Utterances that the scores of all seeds, folds and draws list in a column; those of earlier versions lack some."""
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
    `paper` maps system, set and metric to the paper's figure.
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
                    paper=None if accent or not paper else paper.get(system, {}).get(set_name, {}).get(metric),
                    values=[rounded(value) for value in values],
                    resampled=resampled,
                    missing=scores.missing if accent is None else None,
                    **({"truncated": scores.truncated} if scores.truncated and accent is None else {}),
                )
            )
    return rows


def comparisons(
    set_name: str, systems: Mapping[str, Scores], against: Sequence[str], common: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Paired differences of every trained system from each baseline on the same utterances.

    `difference` is system minus baseline in points, so negative is better;
    `low`, `high` its 95 % interval, `p` two-sided, errors averaged over seeds;
    `differences` has that of each seed, if both have the same seeds.
    """
    first = next(iter(systems.values()))
    units, resampled = resampling_units(first.speakers, [key for _, key in first.ids])
    found = []
    for kind, metric in first.lengths:
        lengths = first.lengths[kind, metric]
        if not lengths.sum():
            continue
        names = list(systems)
        errors = np.stack([systems[system].errors[kind, metric].mean(axis=0) for system in names], axis=1)
        samples = resampled_rates(
            errors, np.repeat(lengths[:, None], len(names), axis=1), units, f"{common['corpus']} {set_name}"
        )
        rates = 100 * errors.sum(axis=0) / lengths.sum()
        for baseline in against:
            for system in names:
                if baseline not in names or system in (baseline, UNTRAINED):
                    continue
                a, b = names.index(system), names.index(baseline)
                differences = samples[:, a] - samples[:, b]
                low, high = interval(differences)
                one, other = systems[system], systems[baseline]
                by_seed: Iterable[float] = []
                if one.seeds == other.seeds:
                    by_seed = one.errors[kind, metric].sum(axis=1) - other.errors[kind, metric].sum(axis=1)
                found.append(
                    {
                        "corpus": common["corpus"],
                        "synthetic": common["synthetic"],
                        "set": set_name,
                        "system": system,
                        "against": baseline,
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


def classifier_rows(
    found: Iterable[tuple[Mapping[str, str], Mapping[str, Any]]], common: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Rows of classifiers from (placeholders, scores as `classification_scores` gives them).

    Scores of one system over folds and seeds are averaged, weighted by their
    utterances; the interval is kept only where there is nothing to average.
    A row of the system `majority-class` holds the accuracy of chance, rows
    with a `speaker` that speaker's accuracy.
    """
    groups: dict[tuple[str, str], list[tuple[int, Mapping[str, Any]]]] = {}
    for fields, scores in found:
        key = (fields.get("set", "test"), fields.get("system", "accent-classifier"))
        groups.setdefault(key, []).append((int(fields.get("seed", 0)), scores))
    rows, chance = [], {}
    for (name, system), parts in groups.items():
        runs = [scores for _, scores in parts]
        weights = [scores["n"] for scores in runs]
        mean = {
            metric: float(np.average([scores[metric] for scores in runs], weights=weights))
            for metric in ("accuracy", "macro_f1", "chance")
        }
        same = {"system": system, "set": name, "n": sum(weights), "seeds": sorted({seed for seed, _ in parts})}
        alone = runs[0] if len(runs) == 1 else {}
        ends = {end: rounded(alone[end]) for end in ("low", "high") if end in alone}
        speakers: dict[str, list[float]] = {}
        for scores in runs:
            for speaker, accuracy in scores["per_speaker"].items():
                speakers.setdefault(speaker, []).append(accuracy)
        means = {speaker: float(np.mean(values)) for speaker, values in sorted(speakers.items())}

        row = partial(new_row, common, **same)
        rows.append(row(metric="accuracy", value=rounded(mean["accuracy"]), resampled=alone.get("resampled"), **ends))
        rows.append(row(metric="macro_f1", value=rounded(mean["macro_f1"])))
        rows.append(row(metric="speaker_accuracy", value=rounded(np.mean(list(means.values())))))
        rows += [row(metric="accuracy", value=rounded(v), speaker=speaker) for speaker, v in means.items()]
        chance[name] = row(metric="accuracy", value=rounded(mean["chance"]), system="majority-class")
    return rows + list(chance.values())


def share_rows(
    shares: Mapping[tuple[str, str], Mapping[str, float]], common: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Rows of the mean masked share in percent, from {(system, set): {utterance: share from 0 to 1}}."""
    return [
        new_row(
            common,
            set=name,
            system=system,
            metric="masked_share",
            value=rounded(100 * np.mean(list(values.values()))),
            n=len(values),
            seeds=[],
        )
        for (system, name), values in shares.items()
    ]


def provenance(corpus: str, synthetic: bool, recogniser: str | None, command: str) -> dict[str, Any]:
    """What all rows of one collection have in common: of what they are, and how, from which commit and when they came."""
    return {
        "corpus": corpus,
        "synthetic": synthetic,
        "recogniser": recogniser,
        "command": command,
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def run_fields(common: Mapping[str, Any]) -> dict[str, Any]:
    """What the record of every run begins with."""
    return {name: common[name] for name in ("corpus", "synthetic", "command", "commit", "date")} | {
        "versions": versions()
    }


def new_row(common: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """A row with all fields that every row has, null where one has no meaning."""
    empty = dict.fromkeys(FIELDS)
    known = {name: common[name] for name in ("corpus", "synthetic", "command", "commit", "date")}
    return {**empty, **known, **fields}


def rounded(value: float) -> float:
    """Three decimals: finer than any table shows, coarser than the last bits of a sum."""
    return round(float(value), 3)


def read_results(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Read `results.json`; empty lists when it does not exist yet."""
    results = read_json(path) if Path(path).exists() else {}
    if not isinstance(results, dict):
        raise InputError(f"{path} is not a table of results; remove it and run the scoring stage again")
    return {name: results.get(name, []) for name in ("rows", "comparisons", "runs")}


def replace(old: Mapping[str, list], new: Mapping[str, list[dict[str, Any]]]) -> dict[str, list]:
    """Old results with those of the new ones' (corpus, synthetic) replaced, all others kept."""
    fresh = {(item["corpus"], item["synthetic"]) for items in new.values() for item in items}
    return {
        name: [item for item in old.get(name, []) if (item["corpus"], item["synthetic"]) not in fresh] + list(new[name])
        for name in new
    }


def write_results(path: Path, results: Mapping[str, list[dict[str, Any]]]) -> None:
    """Write `results.json`, one row a line, so that a changed figure is one changed line."""
    with whole_file(path) as handle:
        blocks = (
            f' "{name}": [' + ",".join("\n  " + json.dumps(item, ensure_ascii=False) for item in items) + "\n ]"
            for name, items in results.items()
        )
        handle.write("{\n" + ",\n".join(blocks) + "\n}\n")
