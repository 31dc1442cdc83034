#!/usr/bin/env python3
"""Run the benchmarks, print their table, keep it in README.md."""

import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

from measure import Row, read_rows

from salience.steps import commit

HERE = Path(__file__).parent
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
PACKAGES = ("torch", "numpy", "transformers", "openai-whisper", "grad-cam", "captum", "jiwer", "kaldiio", "soundfile")


def main(names: list[str]) -> None:
    """Run the benchmarks of these names, or all; exit 1 when one of them fails."""
    programs = {path.stem.removeprefix("bench_"): path for path in sorted(HERE.glob("bench_*.py"))}
    for name in names:
        if name not in programs:
            sys.exit(f"print_table.py: there is no benchmark {name!r}; there are: {' '.join(programs)}")
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        rows_file = Path(folder) / "rows"
        rows_file.touch()
        for name in names or programs:
            started = time.monotonic()
            if subprocess.run([sys.executable, str(programs[name]), "--out", str(rows_file)]).returncode:
                failed.append(name)
            print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
        table = "\n".join([*_circumstances(), "", *_table(read_rows(rows_file))])
    print(table)
    if failed:
        sys.exit(f"print_table.py: these failed, see above: {' '.join(failed)}")
    if not names:
        readme = HERE / "README.md"
        before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        readme.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


def _circumstances() -> list[str]:
    versions = ", ".join(f"{package} {metadata.version(package)}" for package in PACKAGES)
    return [
        f"{_processor()}, {os.environ.get('OMP_NUM_THREADS', os.cpu_count())} threads for both sides, "
        f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB; "
        f"{time.strftime('%Y-%m-%d')}; commit {commit()}; Python {platform.python_version()}, {versions}."
    ]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _table(rows: list[Row]) -> list[str]:
    cells = [["what", "ours", "peer", "ratio", "aim", "met"]]
    for row in rows:
        aim = "" if row.aim is None else f"{'at most' if row.at_most else 'at least'} {row.aim:g}"
        met = {None: "", True: "yes", False: "**no**"}[row.is_met()]
        cells.append([row.what, row.ours, row.peer, f"{row.ratio:.2f}", aim, met])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


if __name__ == "__main__":
    main(sys.argv[1:])
