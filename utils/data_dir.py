#!/usr/bin/env python3
"""The data-directory tools, with the command lines that Kaldi gave them.

Called through validate_data_dir.sh, fix_data_dir.sh, subset_data_dir.sh,
split_data.sh, combine_data.sh and copy_data_dir.sh.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "local"))

from salience.data import transforms
from salience.data.validation import validate
from salience.errors import InputError


class Parser(argparse.ArgumentParser):
    """As all our programs, exits 1 after one sentence."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line."""
        self.exit(1, f"{self.prog}: {message}; see {self.prog} --help\n")


def validate_main(parser: argparse.ArgumentParser) -> None:
    """Check a data directory against Kaldi's rules and ours, and name the first offending lines."""
    parser.add_argument("--no-text", action="store_true", help="text need not be there")
    parser.add_argument("--no-feats", action="store_true", help="feats.scp need not be there")
    parser.add_argument("--no-wav", action="store_true", help="wav.scp need not be there")
    parser.add_argument("--max-duration", type=float, metavar="SECONDS", help="no utterance may be longer")
    parser.add_argument("--tokenizer", choices=("multilingual", "english"), help="count tokens as this Whisper does")
    parser.add_argument("--max-tokens", type=int, default=448, help="with --tokenizer: no target may be longer (448)")
    for what in ("speaker", "sentence"):
        parser.add_argument(
            f"--disjoint-{what}s", action="append", default=[], metavar="DIR",
            help=f"this one must share no {what} (may be repeated)",
        )
    parser.add_argument("--need-gb", type=float, metavar="GB", help="free disk space that the next stage needs")
    parser.add_argument("dir", type=Path)
    args = parser.parse_args()
    faults = validate(
        args.dir,
        text=not args.no_text,
        feats=not args.no_feats,
        wav=not args.no_wav,
        max_duration=args.max_duration,
        count_tokens=token_counter(args.tokenizer) if args.tokenizer else None,
        max_tokens=args.max_tokens,
        disjoint_speakers=args.disjoint_speakers,
        disjoint_sentences=args.disjoint_sentences,
        need_gb=args.need_gb,
    )
    for fault in faults:
        print(f"{parser.prog}: {fault}", file=sys.stderr)
    if faults:
        sys.exit(1)
    print(f"{parser.prog}: Successfully validated data-directory {args.dir}")


def token_counter(tokenizer: str) -> Callable[[str], int]:
    """Count a transcript's tokens, with the prompt before them, as Whisper's decoder reads them."""
    # Imported here, because it takes seconds.
    from whisper.tokenizer import get_tokenizer

    multilingual = tokenizer == "multilingual"
    tokens = get_tokenizer(multilingual, **({"language": "en", "task": "transcribe"} if multilingual else {}))
    prompt = len(tokens.sot_sequence_including_notimestamps)
    return lambda text: prompt + len(tokens.encode(f" {text}"))


def fix_main(parser: argparse.ArgumentParser) -> None:
    """Sort all tables, drop repeated keys, and keep only utterances that every table has."""
    for kind in ("utt", "spk"):
        parser.add_argument(
            f"--{kind}-extra-files", f"--{kind}_extra_files", type=str.split, default=[], metavar="'FILE ...'",
            help=f"more tables whose keys are {'utterances' if kind == 'utt' else 'speakers'}",
        )
    parser.add_argument("dir", type=Path)
    args = parser.parse_args()
    before, after = transforms.fix(args.dir, args.utt_extra_files, args.spk_extra_files)
    print(f"{parser.prog}: kept {after} utterances out of {before}; the old files are in {args.dir}/.backup")


def subset_main(parser: argparse.ArgumentParser) -> None:
    """Make a data directory of some of another's utterances; at even distances unless an option says otherwise."""
    parser.usage = (
        "%(prog)s [--first|--last|--shortest|--speakers|--per-spk] <source> <number> <target>\n"
        "       %(prog)s --spk-list|--utt-list <file> <source> <target>"
    )
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--first", action="store_true", help="the first ones")
    modes.add_argument("--last", action="store_true", help="the last ones")
    modes.add_argument("--shortest", action="store_true", help="the shortest ones")
    modes.add_argument("--speakers", action="store_true", help="whole speakers, until there are at least so many")
    modes.add_argument("--per-spk", action="store_true", help="so many of each speaker")
    modes.add_argument("--spk-list", type=Path, metavar="FILE", help="all of the speakers in its first column")
    modes.add_argument("--utt-list", type=Path, metavar="FILE", help="the utterances in its first column")
    parser.add_argument("dir", nargs="+", help="source, number where one is due, and target")
    args = parser.parse_args()
    from_list = args.spk_list or args.utt_list
    if len(args.dir) != (2 if from_list else 3) or not (from_list or args.dir[1].isdecimal()):
        parser.error("expected <source> <target>" if from_list else "expected <source> <number> <target>")
    source, target = Path(args.dir[0]), Path(args.dir[-1])
    if from_list:
        keep = transforms.listed(source, from_list, speakers=bool(args.spk_list))
    else:
        mode = next((m for m in ("first", "last", "shortest", "speakers", "per_spk") if getattr(args, m)), "spread")
        keep = transforms.choose(source, mode.replace("_", "-"), int(args.dir[1]))
    print(f"{parser.prog}: {transforms.subset(source, target, keep)} utterances in {target}")


def split_main(parser: argparse.ArgumentParser) -> None:
    """Cut a data directory into <dir>/split<n>/1 to <dir>/split<n>/<n>, whole speakers each."""
    parser.add_argument("--per-utt", action="store_true", help="cut within speakers, into split<n>utt")
    parser.add_argument("dir", type=Path)
    parser.add_argument("n", type=int)
    args = parser.parse_args()
    folder = transforms.split(args.dir, args.n, args.per_utt)
    print(f"{parser.prog}: {args.n} parts in {folder}")


def combine_main(parser: argparse.ArgumentParser) -> None:
    """Merge data directories into one; a table that not all of them have is left out."""
    parser.add_argument("target", type=Path)
    parser.add_argument("sources", type=Path, nargs="+", metavar="source")
    args = parser.parse_args()
    print(f"{parser.prog}: {transforms.combine(args.target, args.sources)} utterances in {args.target}")


def copy_main(parser: argparse.ArgumentParser) -> None:
    """Copy a data directory, renaming utterances and speakers."""
    for kind in ("utt", "spk"):
        for place in ("prefix", "suffix"):
            parser.add_argument(f"--{kind}-{place}", default="", metavar="TEXT", help=f"added to every {kind} id")
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    args = vars(parser.parse_args())
    print(f"{parser.prog}: {transforms.copy(**args)} utterances in {args['target']}")


TOOLS: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "validate_data_dir": validate_main,
    "fix_data_dir": fix_main,
    "subset_data_dir": subset_main,
    "split_data": split_main,
    "combine_data": combine_main,
    "copy_data_dir": copy_main,
}


def main() -> None:
    """Run the tool whose name is the first argument."""
    name = Path(sys.argv.pop(1)).name
    tool = TOOLS[name.removesuffix(".sh")]
    parser = Parser(prog=name, description=tool.__doc__, allow_abbrev=False)
    try:
        tool(parser)
    except InputError as error:
        sys.exit(f"{name}: {error}")


if __name__ == "__main__":
    main()
