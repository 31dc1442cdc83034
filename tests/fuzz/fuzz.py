"""Coverage-guided fuzzing of every reader, a process for each, and a table of what came out.

Started by run.sh.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
INSTRUMENTED = ["salience", "kaldiio", "tarfile", "zipfile", "yaml", "csv", "targets", "torch._weights_only_unpickler"]
"""Whose branches guide the search; what is written in C or bigger than that does not."""


def one_target(name: str, inputs: int, seed: int, out: Path) -> None:
    """Give one reader this many inputs; never returns."""
    import atheris

    sys.argv = [sys.argv[0]]
    with atheris.instrument_imports(include=INSTRUMENTED, enable_loader_override=False):
        from guard import Guard
        from targets import TARGETS

    target = TARGETS[name]
    corpus = out / "corpus" / name
    # From another seed's run, it would be another search.
    shutil.rmtree(corpus, ignore_errors=True)
    corpus.mkdir(parents=True)
    seeds = target.seeds()
    for number, content in enumerate(seeds):
        (corpus / f"seed{number}").write_bytes(content)
    dictionary = out / f"{name}.words"
    words = [word for word in target.words if len(word) <= 64]
    dictionary.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in words))
    guard = Guard(name, target, out / "findings")
    guard.warm_up(seeds)
    start = time.process_time()

    def test(data: bytes) -> None:
        guard(data)
        done = guard.counts["read"] + guard.counts["InputError"] + guard.counts["finding"]
        if done >= inputs:
            guard.close()
            report = {
                "target": name,
                "inputs": done,
                "read": guard.counts["read"],
                "refused": guard.counts["InputError"],
                "seconds": round(time.process_time() - start, 1),
                "slowest": round(guard.slowest, 3),
                "findings": guard.found,
            }
            (out / f"{name}.json").write_text(json.dumps(report))
            # libFuzzer would go on.
            os._exit(0)

    longest = max(map(len, seeds))
    atheris.Setup(
        [
            sys.argv[0],
            f"-seed={seed}",
            f"-max_len={max(512, 3 * longest)}",
            "-timeout=60",
            "-rss_limit_mb=4096",
            *([f"-dict={dictionary}"] if words else []),
            f"-artifact_prefix={out / 'findings' / name}-",
            "-print_final_stats=0",
            "-verbosity=0",
            str(corpus),
        ],
        test,
        enable_python_coverage=True,
    )
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests/fuzz/run.sh", description=__doc__.partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=1_000_000, help="how many in all (a million)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--targets", nargs="*", help="only these readers")
    parser.add_argument(
        "--out", type=Path, default=Path(".cache/fuzz"), help="folder for findings and corpora (.cache/fuzz)"
    )
    parser.add_argument("--one", nargs=2, metavar=("TARGET", "INPUTS"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    out = args.out.resolve()
    if args.one:
        one_target(args.one[0], int(args.one[1]), args.seed, out)
    from targets import TARGETS

    names = args.targets or list(TARGETS)
    if unknown := set(names) - set(TARGETS):
        parser.error(f"there is no target {unknown.pop()}; there are {' '.join(TARGETS)}")
    (out / "findings").mkdir(parents=True, exist_ok=True)
    shares = {name: TARGETS[name].share for name in names}
    print(f"seed {args.seed}; {args.inputs} inputs", flush=True)
    print(f"{'target':16} {'inputs':>8} {'read':>8} {'refused':>8} {'seconds':>8} {'slowest':>8}  findings", flush=True)
    total, bad = 0, 0
    for name, share in shares.items():
        inputs = math.ceil(args.inputs * share / sum(shares.values()))
        answer = out / f"{name}.json"
        answer.unlink(missing_ok=True)
        with open(out / f"{name}.log", "w") as log:
            ended = subprocess.run(
                [sys.executable, __file__, "--one", name, str(inputs), "--seed", str(args.seed), "--out", str(out)],
                stdout=log,
                stderr=log,
                check=False,
            )
        if not answer.exists():
            bad += 1
            print(
                f"{name:16} ended with {ended.returncode} before its inputs were through; see {out / name}.log",
                flush=True,
            )
            continue
        report = json.loads(answer.read_text())
        total += report["inputs"]
        bad += len(report["findings"])
        print(
            f"{name:16} {report['inputs']:8} {report['read']:8} {report['refused']:8} {report['seconds']:8.0f}"
            f" {report['slowest']:8.3f}  {len(report['findings'])}",
            flush=True,
        )
        for finding in report["findings"].values():
            print(f"    {finding}", flush=True)
    print(f"{total} inputs, {bad} findings" + (f"; the inputs are in {out / 'findings'}" if bad else ""))
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
