#!/usr/bin/env python3
"""The data-directory tools, with the command lines that Kaldi gave them.

Called through the scripts beside it, each by its own name.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, groupby
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "local"))

from salience.data import transforms
from salience.data.tables import ignore, iterate_rows
from salience.data.validation import validate
from salience.errors import InputError
from salience.files import FULL, whole_file


class Parser(argparse.ArgumentParser):
    """Reads command lines as Kaldi's tools do; as all our programs, exits 1 after one sentence."""

    def parse_args(self, words: Sequence[str] | None = None) -> argparse.Namespace:  # type: ignore[override]
        """Parse words, by default the command line.

        Options may have underscores for dashes, and the word behind an option
        that takes a value is its value, even if it begins with a dash.
        """
        rest = list(sys.argv[1:] if words is None else words)
        found = []
        while rest:
            word = rest.pop(0)
            if word.startswith("--"):
                name, equals, value = word.partition("=")
                word = name.replace("_", "-") + equals + value
                option = self._option_string_actions.get(word)
                if option and option.nargs is None and rest:
                    word += f"={rest.pop(0)}"
            found.append(word)
        return super().parse_args(found)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line."""
        self.exit(1, f"{self.prog}: {message}; see {self.prog} --help\n")


def add_validation(parser: argparse.ArgumentParser) -> None:
    """Take the options of validate_data_dir; the names are those of `validate`."""

    def needless(option: str, name: str, text: str) -> None:
        parser.add_argument(option, dest=name, action="store_false", help=text)

    needless("--no-text", "text", "text need not be there")
    needless("--no-feats", "feats", "feats.scp need not be there")
    needless("--no-wav", "wav", "wav.scp need not be there")
    needless("--non-print", "printable", "text may hold unprintable characters")
    needless("--no-spk-sort", "speaker_order", "utt2spk need not be sorted by speaker too")
    parser.add_argument("--max-duration", type=float, metavar="SECONDS", help="no utterance may be longer")
    parser.add_argument("--tokenizer", choices=("multilingual", "english"), help="count tokens as this Whisper does")
    parser.add_argument("--max-tokens", type=int, default=448, help="with --tokenizer: no target may be longer (448)")
    for what in ("speaker", "sentence"):
        parser.add_argument(
            f"--disjoint-{what}s",
            type=Path,
            action="append",
            default=[],
            metavar="DIR",
            help=f"this one must share no {what} (may be repeated)",
        )
    parser.add_argument("--need-gb", type=float, metavar="GB", help="free disk space that the next stage needs")


def require_valid(folder: Path, options: dict[str, Any], prog: str) -> None:
    """Print the faults of a data directory, if there are any, and exit 1."""
    tokenizer = options.pop("tokenizer")
    faults = validate(folder, count_tokens=token_counter(tokenizer) if tokenizer else None, **options)
    for fault in faults:
        print(f"{prog}: {fault}", file=sys.stderr)
    if faults:
        sys.exit(1)


def validate_main(parser: Parser) -> None:
    """Check a data directory against Kaldi's rules and ours, and name the first offending lines."""
    add_validation(parser)
    parser.add_argument("dir", type=Path)
    options = vars(parser.parse_args())
    folder = options.pop("dir")
    require_valid(folder, options, parser.prog)
    print(f"{parser.prog}: Successfully validated data-directory {folder}")


def token_counter(tokenizer: str) -> Callable[[str], int]:
    """Count a transcript's tokens, with the prompt before them, as Whisper's decoder reads them."""
    # Imported here, because it takes seconds.
    from whisper.tokenizer import get_tokenizer

    multilingual = tokenizer == "multilingual"
    tokens = get_tokenizer(multilingual, **({"language": "en", "task": "transcribe"} if multilingual else {}))
    prompt = len(tokens.sot_sequence_including_notimestamps)
    return lambda text: prompt + len(tokens.encode(f" {text}", disallowed_special=()))


def fix_main(parser: Parser) -> None:
    """Mend and sort all tables, drop repeated keys, and keep only utterances that every table has."""
    for kind, keys in (("utt", "utterances"), ("spk", "speakers")):
        add_tables(parser, f"--{kind}-extra-files", f"more tables whose keys are {keys} (may be repeated)")
    parser.add_argument("dir", type=Path)
    args = parser.parse_args()
    before, after = transforms.fix(args.dir, args.utt_extra_files, args.spk_extra_files)
    print(f"{parser.prog}: kept {after} utterances out of {before}; the old files are in {args.dir}/.backup")


def add_tables(parser: argparse.ArgumentParser, option: str, text: str) -> None:
    """Take names of tables in one word, separated by spaces."""
    parser.add_argument(option, type=str.split, action="extend", default=[], metavar="'FILE ...'", help=text)


def subset_main(parser: Parser) -> None:
    """Make a data directory of some of another's utterances, at even distances if no option says else."""
    parser.usage = (
        "%(prog)s [--first|--last|--shortest|--speakers|--per-spk] <source> <number> <target>\n"
        "       %(prog)s --spk-list|--utt-list <file> <source> <target>"
    )
    modes = parser.add_mutually_exclusive_group()
    for mode, text in (
        ("first", "the first ones"),
        ("last", "the last ones"),
        ("shortest", "the shortest ones"),
        ("speakers", "whole speakers, until there are at least this many"),
        ("per-spk", "up to this many of each speaker"),
    ):
        modes.add_argument(f"--{mode}", dest="mode", action="store_const", const=mode, default="spread", help=text)
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
        keep = transforms.choose(source, args.mode, int(args.dir[1]))
    print(f"{parser.prog}: {transforms.subset(source, target, keep)} utterances in {target}")


def split_main(parser: Parser) -> None:
    """Cut a data directory into <dir>/split<n>/1 to <dir>/split<n>/<n>, whole speakers each."""
    parser.add_argument("--per-utt", action="store_true", help="cut within speakers, into split<n>utt")
    parser.add_argument("dir", type=Path)
    parser.add_argument("n", type=int)
    args = parser.parse_args()
    folder = transforms.split(args.dir, args.n, args.per_utt)
    print(f"{parser.prog}: {args.n} parts in {folder}")


def combine_main(parser: Parser) -> None:
    """Merge data directories into one, with the tables that all of them have, segments and utt2uniq."""
    add_tables(parser, "--extra-files", "more tables to merge (may be repeated)")
    parser.add_argument(
        "--skip-fix",
        choices=("true", "false"),
        default="false",
        help="true: keep utterances that not every table has (default: false)",
    )
    parser.add_argument("target", type=Path)
    parser.add_argument("sources", type=Path, nargs="+", metavar="source")
    args = parser.parse_args()
    before, after, left_out = transforms.combine(
        args.target, args.sources, args.extra_files, fix=args.skip_fix == "false"
    )
    if left_out:
        print(
            f"{parser.prog}: warning: left out {' '.join(left_out)}: not every source has it,"
            " or it is no table known here (see --extra-files)",
            file=sys.stderr,
        )
    if after < before:
        print(f"{parser.prog}: warning: dropped {before - after} utterances that not every table has", file=sys.stderr)
    print(f"{parser.prog}: {after} utterances in {args.target}")


def copy_main(parser: Parser) -> None:
    """Copy a data directory, renaming utterances and speakers, and validate the copy."""
    for kind in ("utt", "spk"):
        for place in ("prefix", "suffix"):
            parser.add_argument(f"--{kind}-{place}", default="", metavar="TEXT", help=f"added to every {kind} id")
    parser.add_argument(
        "--validate-opts", default="", metavar="'OPTION ...'", help="options of validate_data_dir.sh for the copy"
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    args = vars(parser.parse_args())
    validation = Parser(prog=f"{parser.prog} --validate-opts", allow_abbrev=False)
    add_validation(validation)
    options = vars(validation.parse_args(args.pop("validate_opts").split()))
    number = transforms.copy(**args)
    for table, option in (("text", "text"), ("feats.scp", "feats"), ("wav.scp", "wav")):
        options[option] &= (args["source"] / table).exists()
    require_valid(args["target"], options, parser.prog)
    print(f"{parser.prog}: {number} utterances in {args['target']}")


def input_file(word: str) -> Path:
    """A dash is standard input."""
    return Path("/dev/stdin" if word == "-" else word)


def add_inputs(parser: argparse.ArgumentParser, name: str) -> None:
    """Take any number of files, or else standard input."""
    parser.add_argument(
        name, nargs="*", type=input_file, default=[input_file("-")], help="standard input if - or not given"
    )


def write(lines: Iterable[bytes]) -> None:
    """Write lines to standard output; a reader that has enough, such as head, may stop."""
    try:
        sys.stdout.buffer.writelines(lines)
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)


def utt2spk_to_spk2utt_main(parser: Parser) -> None:
    """Write each speaker's utterances on one line, in the order of utt2spk."""
    add_inputs(parser, "utt2spk")
    tables = [transforms.read_utt2spk(path) for path in parser.parse_args().utt2spk]
    groups = transforms.by_speaker(dict(chain.from_iterable(table.items() for table in tables)))
    write(b" ".join([speaker, *keys]) + b"\n" for speaker, keys in groups.items())


def spk2utt_to_utt2spk_main(parser: Parser) -> None:
    """Write the speaker of each utterance, in the order of spk2utt."""
    add_inputs(parser, "spk2utt")
    for path in parser.parse_args().spk2utt:
        for speaker, keys in iterate_rows(path):
            if not keys:
                raise InputError(
                    f"{path}: the speaker {speaker.decode(errors='replace')} has no utterances; correct it"
                )
            write(key + b" " + speaker + b"\n" for key in keys.split())


def split_scp_main(parser: Parser) -> None:
    """Split the lines of a table, in order, into files; or print one part of it."""
    parser.usage = (
        "%(prog)s [--utt2spk=FILE] <in> <out1> <out2> ...\n       %(prog)s -j <parts> <part> [--one-based] <in> [<out>]"
    )
    parser.add_argument("-j", nargs=2, type=int, metavar=("PARTS", "PART"), help="only this part; the first is 0")
    parser.add_argument("--one-based", action="store_true", help="with -j: the first part is 1")
    parser.add_argument("--utt2spk", type=Path, metavar="FILE", help="do not cut within speakers")
    parser.add_argument("files", nargs="+", type=input_file)
    args = parser.parse_args()
    source, *targets = args.files
    number = args.j[0] if args.j else len(targets)
    with open(source, "rb") as handle:
        groups = [[line] for line in handle]
    if args.utt2spk:
        speakers = transforms.read_utt2spk(args.utt2spk)
        lines = chain.from_iterable(groups)
        groups = [
            list(group) for _, group in groupby(lines, lambda line: speakers.get((line.split(None, 1) or [b""])[0]))
        ]
    if not 1 <= number <= len(groups):
        what = "speakers" if args.utt2spk else "lines"
        raise InputError(f"{source} has {len(groups)} {what}, which cannot be split into {number} parts")
    parts = transforms.cut(groups, number)
    if args.j:
        index = args.j[1] - args.one_based
        if not 0 <= index < number:
            raise InputError(f"there is no part {args.j[1]} of {number}")
        parts = [parts[index]]
        if not targets:
            write(parts[0])
    for target, lines in zip(targets, parts):
        with whole_file(target, "wb") as handle:
            handle.writelines(lines)


def filter_scp_main(parser: Parser) -> None:
    """Print the lines of a table whose key is in the first column of a list."""
    parser.add_argument("--exclude", action="store_true", help="print the others")
    parser.add_argument("-f", type=int, default=1, metavar="N", help="compare this field, counted from 1")
    parser.add_argument("list", type=input_file)
    add_inputs(parser, "table")
    args = parser.parse_args()
    if args.f < 1:
        parser.error(f"-f {args.f}: fields are counted from 1")
    keys = {key for key, _ in iterate_rows(args.list, ignore)}
    for table in args.table:
        with open(table, "rb") as handle:
            write(transforms.filter_rows(handle, keys, args.f, args.exclude))


TOOLS: dict[str, Callable[[Parser], None]] = {
    "validate_data_dir": validate_main,
    "fix_data_dir": fix_main,
    "subset_data_dir": subset_main,
    "split_data": split_main,
    "combine_data": combine_main,
    "copy_data_dir": copy_main,
    "utt2spk_to_spk2utt": utt2spk_to_spk2utt_main,
    "spk2utt_to_utt2spk": spk2utt_to_utt2spk_main,
    "split_scp": split_scp_main,
    "filter_scp": filter_scp_main,
}


def main(script: str) -> None:
    """Run the tool that the script, or what it is a link to, is named after."""
    name = Path(script).name
    tool = TOOLS[Path(script).resolve().name.partition(".")[0]]
    parser = Parser(prog=name, description=tool.__doc__, allow_abbrev=False)
    try:
        tool(parser)
    except InputError as error:
        sys.exit(f"{name}: {error}")
    except FileNotFoundError as error:
        sys.exit(f"{name}: {error.filename} does not exist; check the path")
    except OSError as error:
        remedy = "free some space" if error.errno in FULL else "correct the path or its permissions"
        sys.exit(f"{name}: {error.filename}: {error.strerror}; {remedy}")


if __name__ == "__main__":
    main(sys.argv.pop(1))
