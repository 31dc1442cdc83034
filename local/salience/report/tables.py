"""Tables of result rows, as a recipe's report.yaml describes them.

A table is a pivot: the rows that it selects are grouped into lines by some of
their fields, and each column shows those of a line's rows that it selects.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from salience.data.bidi import isolated, width
from salience.errors import InputError
from salience.report.cells import CELLS, NONE, Column, distinct, filled, label
from salience.report.frames import FRAMES, Part
from salience.scoring.specification import Row, called, select


@dataclass(frozen=True)
class Table:
    """A table of cells that are ready to print."""

    title: str
    headers: list[str]
    rows: list[list[str]]
    note: str = ""


@dataclass(frozen=True)
class Note:
    """A sentence below a table.

    Args:
        text: It, in which {field} is that of the first row that `where` selects; where that has none, the sentence is
            left out.
        where: Which row of the table; a list of such conditions must have one each.
        unless: No row of the table may be like this.
        each: Text for each row that `where` selects, which makes {each}.
        anywhere: Whether rows that are not in the table count, too.
    """

    text: str
    where: Mapping[Any, Any] | Sequence[Mapping[Any, Any]] = field(default_factory=dict)
    unless: Mapping[Any, Any] | None = None
    each: str | None = None
    anywhere: bool = False


@dataclass(frozen=True)
class TableSpecification:
    """A table as report.yaml describes it.

    Args:
        title: Its title, in which {field} is that of its first row.
        columns: Keyword arguments of `Column`; a name alone is the title and what is shown.
        by: Fields whose values make a line each.
        where: Which rows it is of.
        each: Fields: there is a table for each of their values.
        source: Where the rows come from, one of FRAMES.
        digits: Decimals of its columns.
        order: `descending` sorts the lines by the first field of `by`.
        notes: Keyword arguments of `Note`, or texts.
    """

    title: str
    columns: Sequence[Mapping[str, Any] | str]
    by: Sequence[str] | str
    where: Mapping[Any, Any] = field(default_factory=dict)
    each: Sequence[str] | str = ()
    source: str = "rows"
    digits: int = 1
    order: str | None = None
    notes: Sequence[Mapping[str, Any] | str] = ()


def tables(options: Mapping[str, Any], part: Part, where: str) -> list[Table]:
    """The tables that an entry of report.yaml makes of one part of the results; none where no row is selected.

    Args:
        options: The entry.
        part: Results of one corpus.
        where: File and key of the entry, for sentences about what is wrong in it.
    """
    wanted = called(TableSpecification, options, where)
    rows = select(FRAMES[wanted.source](part), part.resolved(wanted.where))
    groups = [rows] if rows else []
    for name in _names(wanted.each):
        groups = [select(group, {name: value}) for group in groups for value in distinct(group, name)]
    return [_table(wanted, group, part, where) for group in groups]


def _names(names: Sequence[str] | str) -> Sequence[str]:
    return (names,) if isinstance(names, str) else names


def _table(wanted: TableSpecification, rows: Sequence[Row], part: Part, where: str) -> Table:
    by = _names(wanted.by)
    lines: list[list[Any]] = []
    for row in rows:
        key = [row.get(name) for name in by]
        if key not in lines:
            lines.append(key)
    if wanted.order == "descending":
        lines.sort(key=lambda key: key[0], reverse=True)
    groups = [dict(zip(by, key, strict=True)) for key in lines]
    of_group = [{name: [value] for name, value in group.items()} for group in groups]
    columns = [
        (column, header, [_cell(column, select(chosen, only), group, part) for only, group in zip(of_group, groups)])
        for entry in wanted.columns
        for column, header, chosen in _expanded(_column(entry, wanted.digits, where), rows, part, where)
    ]
    shown = [(header, cells) for _, header, cells in columns if part.planned or any(cell != NONE for cell in cells)]
    body = [list(line) for line in zip(*(cells for _, cells in shown), strict=True)]
    notes = (_note(note, rows, len(body), part, where) for note in wanted.notes)
    title = filled(wanted.title, rows[0], part.names) or wanted.title
    return Table(title[:1].upper() + title[1:], [header for header, _ in shown], body, " ".join(filter(None, notes)))


def _column(entry: Mapping[str, Any] | str, digits: int, where: str) -> Column:
    options = {"title": entry, "show": entry} if isinstance(entry, str) else entry
    return called(Column, {"digits": digits, **options}, f"{where}, columns")


def _check(column: Column, rows: Sequence[Row], where: str) -> None:
    known = column.show in CELLS or column.show.startswith("run.") or column.columns
    if rows and not known and all(column.show not in row for row in rows):
        cells = ", ".join(sorted(CELLS))
        raise InputError(f"{where}, columns: {column.show!r} is no field of the rows and none of the cells {cells}")


def _expanded(
    column: Column, rows: Sequence[Row], part: Part, where: str
) -> Iterator[tuple[Column, str, Sequence[Row]]]:
    """The columns that one of report.yaml stands for: (column, header, its rows)."""
    rows = select(rows, part.resolved(column.where))
    values = [None] if column.each is None else distinct(rows, column.each)
    _check(column, rows, where)
    for value in values:
        chosen = rows if column.each is None else select(rows, {column.each: value})
        for entry in column.columns:
            yield from _expanded(_column(entry, column.digits, where), chosen, part, where)
        if not column.columns:
            yield column, filled(column.title, *chosen[:1], part.names) or column.title, chosen


def _cell(column: Column, rows: Sequence[Row], group: Mapping[str, Any], part: Part) -> str:
    if column.join is not None:
        name, values = (column.join, part.values(column.join)) if isinstance(column.join, str) else column.join
        alone = replace(column, join=None)
        cells = [_cell(alone, select(rows, {name: value}), group, part) for value in values]
        return NONE if set(cells) == {NONE} else " / ".join(cells)
    if column.show in CELLS and column.show not in group:
        return CELLS[column.show](rows, column) if rows else NONE
    if column.show.startswith("run."):
        value = part.run.get(column.show.removeprefix("run."), {}).get(next(iter(group.values())), NONE)
    else:
        value = group[column.show] if column.show in group else rows[0].get(column.show) if rows else NONE
    text = column.names[value] if not isinstance(value, list) and value in column.names else label(column.show, value)
    return f"{text} ({column.mark})" if column.mark and value == part.run.get(column.mark) is not None else text


def _note(entry: Mapping[str, Any] | str, rows: Sequence[Row], lines: int, part: Part, where: str) -> str | None:
    note = called(Note, {"text": entry} if isinstance(entry, str) else entry, f"{where}, notes")
    rows = part.rows if note.anywhere else rows
    conditions = [note.where] if isinstance(note.where, Mapping) else note.where
    found = [select(rows, part.resolved(condition)) for condition in conditions]
    if not all(found) or (note.unless is not None and select(rows, part.resolved(note.unless))):
        return None
    each = "; ".join(filled(note.each, row) or NONE for row in found[0]) if note.each is not None else None
    return filled(note.text, {"each": each, "lines": lines}, found[0][0], part.names)


def plain_text(table: Table) -> str:
    """A table in aligned columns for the terminal, in whatever script its cells are."""
    lines = [[isolated(cell) for cell in line] for line in (table.headers, *table.rows)]
    widths = [max(width(line[column]) for line in lines) for column in range(len(table.headers))]
    text = [
        "  ".join(cell + " " * (widest - width(cell)) for cell, widest in zip(line, widths)).rstrip() for line in lines
    ]
    return "\n".join([table.title, text[0], "-" * max(map(width, text)), *text[1:]])
