"""Kinds of scores other than error rates: classifiers, masks, pretraining, a collection, and facts of the run."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from salience.data.tables import iterate_table, read_table
from salience.errors import RERUN, InputError, stale
from salience.features.archives import Archive
from salience.files import read_json
from salience.scoring.classification import RANDOM, classifier_rows, of_its_split, place_of, task_rows
from salience.scoring.collection_rows import collection_rows
from salience.scoring.noise_masks import frequency_importance, importance_rows, proportion_rows, read_proportions
from salience.scoring.patterns import fill, number, split
from salience.scoring.pretraining import health_rows
from salience.scoring.results import new_row, placed, rounded
from salience.scoring.sources import SOURCES, Run


@SOURCES.register("facts")
@dataclass(frozen=True)
class Facts:
    """What the report looks up that is no score.

    Args:
        files: JSON files that may be there, by the name of the fact.
        values: Facts by their names, or tables of them, in whose texts `$value` and a number's {fact} are put in; what
            the run has not is left out.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)

    def collect(self, run: Run) -> None:
        """Add the facts."""
        for name, pattern in self.files.items():
            path = fill(pattern, run.values)
            if path is not None and Path(path).is_file():
                run.facts[name] = read_json(Path(path))
        for name, value in self.values.items():
            run.facts |= {name: _known(run, value)} if isinstance(value, Mapping) else _known(run, {name: value})


def _known(run: Run, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the facts whose values the run has, with these put in."""
    texts = {name: run.named(value) for name, value in facts.items() if isinstance(value, str)}
    known = {name: value if name not in texts else texts[name] and number(texts[name]) for name, value in facts.items()}
    return {name: value for name, value in known.items() if name not in texts or texts[name] is not None}


@SOURCES.register("steps")
@dataclass(frozen=True)
class Steps:
    """How many hours the steps of the run took together, and on which machines.

    Args:
        folders: Patterns of folders; the records in and below them count.
    """

    folders: Sequence[str]

    def collect(self, run: Run) -> None:
        """Add the facts `hours` and `machine`."""
        seconds: Counter[str] = Counter()
        for _, folder in (found for pattern in self.folders for found in run.found(pattern)):
            for record in map(read_json, sorted(folder.rglob("*step.json"))):
                seconds[record.get("machine", "")] += record.get("seconds", 0)
        if seconds:
            machines = [name for name, _ in seconds.most_common() if name]
            run.facts |= {"hours": round(seconds.total() / 3600, 2), "machine": "; ".join(machines)}


@SOURCES.register("classifiers")
@dataclass(frozen=True)
class Classifiers:
    """Classification scores.

    Args:
        scores: Pattern of their files, with {system}, perhaps {set}, {fold} and {seed}.
    """

    scores: str

    def collect(self, run: Run) -> None:
        """Add the rows of all classifiers."""
        run.rows += classifier_rows([(fields, read_json(path)) for fields, path in run.found(self.scores)], run.common)


@SOURCES.register("task-classifiers")
@dataclass(frozen=True)
class TaskClassifiers:
    """Classification scores of several tasks on two splits, and what the random one leaks.

    Args:
        scores: Pattern of their files, with {task}, {start}, {seed} and {set}, as `task_rows` takes them.
        tasks: The tasks in the order of the tables.
        starts: The starts in the order of the tables.
    """

    scores: str
    tasks: Sequence[str]
    starts: Sequence[str]

    def collect(self, run: Run) -> None:
        """Add the rows of all classifiers on sets of their own split, and of the leak."""
        found = [
            (fields, read_json(path))
            for fields, path in run.found(self.scores)
            if of_its_split(fields) and place_of(fields["set"])[0] in self.tasks
        ]

        def place(one: tuple[Mapping[str, str], Any]) -> tuple[Any, ...]:
            start = one[0]["start"]
            order = self.starts.index(start) if start in self.starts else len(self.starts)
            return self.tasks.index(place_of(one[0]["set"])[0]), one[0]["set"], order, start, int(one[0]["seed"])

        rows = task_rows(sorted(found, key=place), run.common, run.paper.get("classification"))
        for task in self.tasks:
            splits = {row.get("split") for row in rows if row["task"] == task}
            if not splits:
                run.absent.append(f"{task} classifiers")
            elif RANDOM not in splits:
                run.absent.append(f"{task} classifiers of the random split")
        run.rows += rows


@SOURCES.register("masked-shares")
@dataclass(frozen=True)
class MaskedShares:
    """How much of the training spectrograms is masked.

    Args:
        shares: Pattern of tables of each utterance's masked share (0 to 1), with {system}, perhaps {set}, {fold} and
            {job}.
    """

    shares: str

    def collect(self, run: Run) -> None:
        """Add the mean share of each system in percent."""
        found: dict[tuple[str, str], dict[str, float]] = {}
        for fields, path in run.found(self.shares):
            shares = found.setdefault((fields.get("system", ""), fields.get("set", "train")), {})
            for line, key, text in iterate_table(path):
                share = number(text)
                if isinstance(share, str):
                    raise InputError(f"{path}:{line}: the masked share of {key} is not a number; {RERUN}", path)
                shares[f"{fields.get('fold', '')} {key}"] = share
        for (system, name), shares in found.items():
            value = rounded(100 * np.mean(list(shares.values())))
            place = {"set": name, "system": system, "metric": "masked_share"}
            run.rows.append(new_row(run.common, **place, value=value, n=len(shares), seeds=[]))


@SOURCES.register("noise-proportions")
@dataclass(frozen=True)
class NoiseProportions:
    """Shares of points under noise.

    Args:
        proportions: Pattern of the tables, with {set}, and any of {system}, {seed} and {draw}.
        frames: Pattern of the tables of numbers of frames, with {set}: proportions are of all points of a set together.
        what: What it is, for the sentence about what a run did not make.
        systems: Systems in the order of the tables.
        constant: Proportions (0 to 1) of systems that need no mask.
        name: Name of the system, where the pattern has none.
        splits: Placeholders that tell proportions of the same set apart; they are fields of the rows.
    """

    proportions: str
    frames: str | None = None
    what: str | None = None
    systems: Sequence[str] = ()
    constant: Mapping[str, float] = field(default_factory=dict)
    name: str = ""
    splits: Sequence[str] = ()

    def collect(self, run: Run) -> None:
        """Add the proportions on each set, in percent."""
        if not run.found(self.proportions, self.what):
            return
        counts = {
            fields["set"]: {key: _frames(path, text) for key, text in read_table(path).items()}
            for fields, path in run.found(self.frames)
        }
        for place, pattern in split(fill(self.proportions, run.values), *self.splits):
            for name, systems in read_proportions(pattern).items():
                systems = {system or self.name: seeds for system, seeds in systems.items()}
                measured = next(iter(systems.values()))
                systems |= {
                    system: {seed: dict.fromkeys(shares, (share, share)) for seed, shares in measured.items()}
                    for system, share in self.constant.items()
                }
                ordered = {system: systems[system] for system in self.systems or systems if system in systems}
                paper = run.paper.get("figures") if not place else None
                run.rows += placed(proportion_rows(name, ordered, run.common, counts.get(name), paper), place)


def _frames(path: Path, text: str) -> int:
    if not text.isdecimal():
        raise stale(path, "holds something else than numbers of frames")
    return int(text)


@SOURCES.register("frequency-importance")
@dataclass(frozen=True)
class FrequencyImportance:
    """Which frequencies masks spare.

    Args:
        masks: Pattern of the masks' scp files, perhaps with {seed} and {set}; importance is averaged over the seeds.
        system: System that the masks are of.
        what: What it is, for the sentence about what a run did not make.
    """

    masks: str
    system: str
    what: str | None = None

    def collect(self, run: Run) -> None:
        """Add the rows of bands and peaks, of each set."""
        found: dict[str, dict[int, Any]] = {}
        for fields, path in run.found(self.masks, self.what):
            of_set = found.setdefault(fields.get("set", path.parent.name), {})
            of_set[int(fields.get("seed", 0))] = frequency_importance(Archive(path).values())
        for name, seeds in found.items():
            run.rows += importance_rows(name, self.system, dict(sorted(seeds.items())), run.common)


@SOURCES.register("generators")
@dataclass(frozen=True)
class Generators:
    """What the masks of generators do on dev, at the epoch that each training kept.

    Args:
        histories: Pattern of their histories, by the name of the system.
        seedless: Systems that no seed of ours belongs to.
    """

    histories: Mapping[str, str]
    seedless: Sequence[str] = ()

    def collect(self, run: Run) -> None:
        """Add the mean over seeds of equation 5, of M and of the error in noise through M."""
        for system, pattern in self.histories.items():
            paths = {int(fields.get("seed", 0)): path for fields, path in run.found(pattern)}
            scored = [[entry for entry in read_json(path) if "eval_dev_loss" in entry] for path in paths.values()]
            kept = [min(entries, key=lambda entry: entry["eval_dev_loss"]) for entries in scored if entries]
            seeds = [] if system in self.seedless else sorted(paths)
            for metric, name in (("equation_5", "loss"), ("mask_mean", "mask"), ("masked_error", "error")):
                values = [rounded(entry[f"eval_dev_{name}"]) for entry in kept]
                fields = {"system": system, "set": "dev", "metric": metric, "seeds": seeds, "values": values}
                run.rows += [new_row(run.common, **fields, value=rounded(np.mean(values)))] if kept else []


@SOURCES.register("pretraining")
@dataclass(frozen=True)
class Pretraining:
    """How healthy pretraining was at its end.

    Args:
        histories: Pattern of the histories, with {seed}; beside each is the model's config.json.
        what: What it is, for the sentence about what a run did not make.
    """

    histories: str
    what: str | None = None

    def collect(self, run: Run) -> None:
        """Add the rows of all seeds."""
        found = {}
        for fields, path in run.found(self.histories, self.what):
            config = path.with_name("config.json")
            found[int(fields.get("seed", 0))] = read_json(path), read_json(config) if config.exists() else {}
        run.rows += health_rows(found, run.common, run.paper.get("pretraining")) if found else []


@SOURCES.register("collection")
@dataclass(frozen=True)
class Collection:
    """What the collection of a corpus gathered.

    Args:
        summary: Its collection.json, which says whether the recordings are synthetic.
    """

    summary: str

    def collect(self, run: Run) -> None:
        """Add the rows, and the steps that were taken to the settings of the run."""
        for _, path in run.found(self.summary):
            told = read_json(path)
            run.common["synthetic"] = told["synthetic"]
            run.facts["settings"] = told["steps"]
            run.rows += collection_rows(told, run.common, run.paper.get("collection"))
