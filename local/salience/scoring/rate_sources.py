"""Kinds of scores that are error rates: of systems on sets, and of sweeps of one setting."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as replace_fields
from pathlib import Path
from typing import Any

from salience.data.tables import read_table
from salience.errors import InputError
from salience.masking.matrix import read_matrix
from salience.scoring.gaps import Gaps
from salience.scoring.patterns import fill, matches, names, number, only_seeds, split
from salience.scoring.rates import MEASURES, Scores, comparisons, mean_over, rate_rows, read_scores
from salience.scoring.results import placed
from salience.scoring.sources import SOURCES, Run
from salience.scoring.specification import called

UNLABELLED = "unlabelled"
"""The group of an utterance that the table of groups does not have."""

SystemsBySet = dict[str, dict[str, Scores]]


def parts_of(template: str, name: str) -> dict[str, str] | None:
    """What the placeholders of a template such as `{start} + {variant}` match in a name; None if it does not fit."""
    pieces = re.split(r"\{(\w+)\}", template)
    expression = re.escape(pieces[0])
    for placeholder, literal in zip(pieces[1::2], pieces[2::2]):
        expression += rf"(?P<{placeholder}>\S+)" + re.escape(literal)
    match = re.fullmatch(expression, name)
    return match and match.groupdict()


def pairs_of(
    templates: Sequence[Sequence[str]], systems: Sequence[str], but: Sequence[str] = ()
) -> list[tuple[str, str]]:
    """Which system is compared with which.

    Args:
        templates: Pairs of templates such as ['{start} + gradcam', '{start}']; what the first matches is put into the
            second.
        systems: The systems that there are.
        but: Systems that are not compared with others.
    """
    found = []
    for template, against in templates:
        for name in systems:
            parts = parts_of(template, name)
            if parts is not None and name not in but:
                found.append((name, against.format(**parts)))
    return [pair for pair in dict.fromkeys(found) if pair[0] != pair[1] and pair[1] in systems]


def renamed(name: str, templates: Mapping[str, str]) -> str:
    """A system's name by the first template that it is like, or as it is."""
    for template, other in templates.items():
        if (parts := parts_of(template, name)) is not None:
            return other.format(**parts)
    return name


@SOURCES.register("error-rates")
@dataclass(frozen=True)
class ErrorRates:
    """Error rates from the folders that scoring wrote, and the differences between systems.

    Args:
        scores: Pattern of the folders, with {set}, and any of {seed}, {fold} and {draw}.
        what: What it is, for the sentence about what a run did not make.
        required: Whether it is an error that there is none.
        name: Template of a system's name; its fields, but for `system`, are fields of the rows.
        rename: Templates of such names, in which the number of a {fact} is put in, and what is written instead.
        systems: Systems in the order of the tables; without them, all, in the order of the run's `only`.
        expected: What a run that lacks it is said to lack, by fields of the rows: {system: [clean, full-noise]}.
        seedless: Systems that no seed of ours belongs to.
        sets: Sets in the order of the tables, separated by spaces; all, if empty.
        splits: Placeholders that tell scores of the same set apart, such as snr; they are fields of the rows.
        mean: What the mean over the values of the placeholder in `splits` is called.
        pairs: What is compared, as `pairs_of` takes it.
        compared: Sets on which systems are compared; all, if empty.
        untrained: Systems that are not compared with others.
        groups: Pattern of the tables of each utterance's group, by the name of that field of the rows.
        paper: Name of the paper's figures, {system: {set: {metric: figure}}}; with `splits`, {system: {value: figure}}.
    """

    scores: str
    what: str | None = None
    required: bool = False
    name: str = "{system}"
    rename: Mapping[str, str] = field(default_factory=dict)
    systems: Sequence[str] = ()
    expected: Mapping[str, Sequence[str]] = field(default_factory=dict)
    seedless: Sequence[str] = ()
    sets: str = ""
    splits: Sequence[str] = ()
    mean: str | None = None
    pairs: Sequence[Sequence[str]] = ()
    compared: Sequence[str] = ()
    untrained: Sequence[str] = ()
    groups: Mapping[str, str] = field(default_factory=dict)
    paper: str = "figures"

    def collect(self, run: Run) -> None:
        """Add the rates of all systems, and their differences, at each value of `splits`."""
        if not run.found(self.scores, self.what, self.required):
            return
        before, fields = len(run.rows), {}
        parts = split(fill(self.scores, run.values), *self.splits)
        read = [(place, self.read(run, pattern, fields)) for place, pattern in parts]
        read += self._means(read)
        for place, systems_by_set in read:
            for name, systems in systems_by_set.items():
                figures = self._figures(run, name, place, [other for other, _ in read])
                rows = rate_rows(name, systems, run.common, figures) + self._group_rows(run, name, systems)
                run.rows += [{**row, **fields[row["system"]], **place} for row in rows]
                if not self.compared or name in self.compared:
                    pairs = pairs_of([*self.pairs, *run.pairs], list(systems), self.untrained)
                    run.comparisons += placed(comparisons(name, systems, pairs, run.common), place)
        for name, wanted in self.expected.items():
            there = {row.get(name) for row in run.rows[before:]}
            run.absent += [f"the {name} {value}" for value in wanted if value not in there]

    def _naming(self, run: Run) -> dict[str, str]:
        """The templates of `rename` with the run's facts put in, where it has them."""
        known = {}
        for template, other in self.rename.items():
            for fact, value in run.facts.items():
                if isinstance(value, (int, float)):
                    template = template.replace(f"{{{fact}}}", f"{value:g}")
            known[template] = other
        return known

    def read(self, run: Run, pattern: str, fields: dict[str, dict[str, str]] | None = None) -> SystemsBySet:
        """Scores by set and system; what the pattern says of a system goes into `fields`."""
        fields = {} if fields is None else fields
        naming, keys = self._naming(run), names(self.name)

        def name_of(found: Mapping[str, str]) -> str:
            return renamed(self.name.format(**found), naming)

        seeds = {name_of(dict(zip(keys, key.split("/")))): n for key, n in only_seeds(run.only).items() if keys}
        for found, folder in matches(pattern):
            if (folder / "counts.json").exists():
                fields[name_of(found)] = {key: found[key] for key in keys if key != "system"}
        wanted = [name for name in self.systems or seeds or sorted(fields) if not seeds or name in seeds]
        wanted = [name for name in wanted if name in fields]
        if not wanted:
            return {}
        found = read_scores(pattern, wanted, (run.named(self.sets) or "").split(), seeds, name_of)
        return {
            name: {
                system: replace_fields(scores, seeds=[]) if system in self.seedless else scores
                for system, scores in systems.items()
            }
            for name, systems in found.items()
        }

    def _means(
        self, read: Sequence[tuple[Mapping[str, Any], SystemsBySet]]
    ) -> list[tuple[dict[str, Any], SystemsBySet]]:
        """The means over all values of `splits`, of the systems that have them all."""
        if self.mean is None or not read:
            return []
        found: SystemsBySet = {}
        for name in read[0][1]:
            at_each = [systems_by_set.get(name, {}) for _, systems_by_set in read]
            at_all = [system for system in at_each[0] if all(system in systems for systems in at_each)]
            found[name] = {system: mean_over(system, [systems[system] for systems in at_each]) for system in at_all}
        return [({self.splits[0]: self.mean}, found)]

    def _figures(
        self, run: Run, name: str, place: Mapping[str, Any], places: Sequence[Mapping[str, Any]]
    ) -> dict[str, dict[str, dict[str, Any]]]:
        """The paper's figures at one value of `splits`: its own mean, if it has exactly the values that we have."""
        figures = run.paper.get(self.paper, {})
        if not place:
            return figures
        (value, *_), values = place.values(), {next(iter(other.values())) for other in places}
        found = {}
        for system, known in figures.items():
            figure = known.get(value)
            if value == self.mean and {*known, self.mean} == values:
                figure = round(sum(known.values()) / len(known), 2)
            if isinstance(figure, (int, float)):
                found[system] = {name: dict.fromkeys(MEASURES, figure)}
        return found

    def _group_rows(self, run: Run, name: str, systems: Mapping[str, Scores]) -> list[dict[str, Any]]:
        rows = []
        for group, pattern in self.groups.items():
            path = Path((fill(pattern, run.values) or "").replace("{set}", name))
            if not path.is_file():
                continue
            table = read_table(path)
            grouped = {
                system: replace_fields(scores, accents=[table.get(key, UNLABELLED) for _, key in scores.ids])
                for system, scores in systems.items()
            }
            found = rate_rows(name, grouped, run.common)
            rows += [{**row, "accent": None, group: row["accent"]} for row in found if row["accent"] is not None]
        return rows


@SOURCES.register("matrix")
@dataclass(frozen=True)
class MatrixRates:
    """Error rates of a matrix's cells, whose rows say of which recogniser, method and policy they are.

    Args:
        matrix: The matrix's file.
        scores: Pattern of the folders that scoring wrote, with {recogniser}, {system}, {set} and {seed}.
        sets: Sets to read, separated by spaces; all, if empty.
        beside: The system that every other is compared with, within each recogniser.
        splits: Placeholders that tell scores of the same set apart, such as snr; they are fields of the rows.
        mean: What the mean over the values of the placeholder in `splits` is called.
    """

    matrix: str
    scores: str
    sets: str = ""
    beside: str = "plain"
    splits: Sequence[str] = ()
    mean: str | None = None

    def collect(self, run: Run) -> None:
        """Add the cells' rates, and their differences from the system beside."""
        path, before = run.named(self.matrix), len(run.rows)
        if path is None:
            return
        name = "{recogniser} + {system}"
        pairs = [[name, f"{{recogniser}} + {self.beside}"]]
        rates = ErrorRates(
            self.scores, name=name, sets=self.sets, splits=self.splits, mean=self.mean, pairs=pairs, required=True
        )
        rates.collect(run)
        cells = read_matrix(Path(path)).cells
        for row in run.rows[before:]:
            system = row["system"].removeprefix(f"{row['recogniser']} + ")
            # What the recipe always trains, such as a baseline, is no cell.
            row |= cells.get((row["recogniser"], system), {"method": system, "policy": None, "cell": None})


@SOURCES.register("accent-gaps")
@dataclass(frozen=True)
class AccentGaps:
    """How errors fall on the accents of sets, and how the systems differ in that.

    The run says which accents are compared; if it does not, those of each set are.

    Args:
        scores: Pattern of the folders that scoring wrote, with {system}, {set} and {seed}.
        sets: Sets to read, separated by spaces; all, if empty.
        pairs: What is compared, as `pairs_of` takes it.
        untrained: Systems that are not compared with others.
    """

    scores: str
    sets: str = ""
    pairs: Sequence[Sequence[str]] = ()
    untrained: Sequence[str] = ()

    def collect(self, run: Run) -> None:
        """Add rows and comparisons of each gap; one that is asked for and cannot be had is absent."""
        pattern = fill(self.scores, run.values)
        if not run.found(self.scores) or pattern is None:
            return
        scores = ErrorRates(self.scores, sets=self.sets).read(run, pattern)
        for name, options in (run.gaps or {one: {"sets": [one]} for one in scores}).items():
            wanted = called(Gaps, options, f"gaps, {name}")
            systems = dict.fromkeys(system for of_set in scores.values() for system in of_set)
            pairs = pairs_of(self.pairs, list(systems), self.untrained)
            rows, compared = wanted.results(name, scores, pairs, run.common)
            run.rows += rows
            run.comparisons += compared
            if run.gaps and not rows:
                run.absent.append(f"the gap between accents of {name}")


@SOURCES.register("sweep")
@dataclass(frozen=True)
class Sweep:
    """Error rates of the systems `<name>-<value>` of a sweep, all with the same seeds: those that each has.

    Args:
        scores: Pattern of the folders that scoring wrote.
        what: What it is, for the sentence about what a run did not make.
        name: Name of the sweep, the field `sweep` of the rows; the value is `sweep_value`.
        ends: Systems at the ends of the sweep, and their values.
        sets: Sets to take.
    """

    scores: str
    what: str
    name: str
    ends: Mapping[str, float | None]
    sets: Sequence[str]

    def collect(self, run: Run) -> None:
        """Add the rates of the sweep's systems and of those at its ends."""
        only = only_seeds(run.only)
        seeds: dict[str, set[int]] = {}
        sets = set()
        for fields, folder in run.found(self.scores):
            seed = int(fields.get("seed", 0))
            counts = fields["set"] in self.sets and (folder / "counts.json").exists()
            if counts and (not only or seed in only.get(fields["system"], ())):
                seeds.setdefault(fields["system"], set()).add(seed)
                sets.add(fields["set"])
        swept = {name: self._value(name) for name in seeds if name.startswith(f"{self.name}-")}
        if not swept:
            run.absent.append(self.what)
            return
        shared = set.intersection(*(seeds[name] for name in swept))
        pattern = fill(self.scores, run.values)
        if not shared:
            raise InputError(
                f"no seed has all systems {self.name}-... under {pattern}; train, decode and score the same seeds"
            )
        values = {name: value for name, value in self.ends.items() if shared <= seeds.get(name, set())}
        values |= dict(sorted(swept.items(), key=lambda item: item[1], reverse=True))
        found = read_scores(pattern, list(values), [name for name in self.sets if name in sets], sorted(shared))
        for name, systems in found.items():
            for row in rate_rows(name, systems, run.common, run.paper.get("figures")):
                run.rows.append({**row, "sweep": self.name, "sweep_value": values[row["system"]]})

    def _value(self, system: str) -> float:
        """The number in a system's name: -5 of conventional--5."""
        value = number(system.removeprefix(f"{self.name}-"))
        if isinstance(value, str):
            raise InputError(f"there are scores of {system}, whose name does not end in a number; remove them")
        return value
