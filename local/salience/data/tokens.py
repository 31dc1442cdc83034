"""Output tokens of a recogniser in ESPnet2's form: characters, or SentencePiece's subwords.

White space of any kind, such as a no-break space, separates words, and one
`<space>` stands for all of it: where tokens are made and where they are used.
"""

import io
from collections.abc import Iterable, Mapping
from pathlib import Path

from salience.data.normalisers import squeeze
from salience.errors import InputError
from salience.files import foreign, read_lines

BLANK, UNKNOWN, SPACE, END = "<blank>", "<unk>", "<space>", "<sos/eos>"
WORD_START = "\u2581"
"""SentencePiece's mark of a piece that begins a word."""


def character_tokens(texts: Iterable[str]) -> list[str]:
    """`<blank> <unk> <space>`, the characters in the order of their code points, `<sos/eos>`."""
    characters = sorted({character for text in texts for character in "".join(text.split())})
    return [BLANK, UNKNOWN, SPACE, *characters, END]


def train_subwords(texts: Iterable[str], size: int) -> bytes:
    """A SentencePiece unigram model with `size` pieces, its three special ones counted in.

    Every character of the texts is a piece.  A size that is too small or too
    large for the texts is an InputError.
    """
    import sentencepiece

    texts = list(map(squeeze, texts))
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            vocab_size=size,
            model_type="unigram",
            character_coverage=1.0,
            normalization_rule_name="identity",
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        # Its own three and the word mark are as many as ESPnet's four.
        minimum = len(character_tokens(texts))
        raise InputError(
            f"SentencePiece cannot make {size} subwords of these texts, which need at least {minimum}"
            f" ({' '.join(str(error).split())}); choose another number of subwords"
        ) from None
    return model.getvalue()


def subword_tokens(model: bytes) -> list[str]:
    """The pieces of a SentencePiece model between ESPnet's special tokens."""
    import sentencepiece

    pieces = sentencepiece.SentencePieceProcessor(model_proto=model)
    special = {"<unk>", "<s>", "</s>"}
    return [
        BLANK,
        UNKNOWN,
        *(p for p in map(pieces.id_to_piece, range(pieces.get_piece_size())) if p not in special),
        END,
    ]


def read_tokens(path: Path) -> list[str]:
    """Read tokens.txt; one without ESPnet's special tokens in their places is an InputError."""
    tokens = read_lines(path, "prepare_tokens.py")
    if tokens[:2] != [BLANK, UNKNOWN] or tokens[-1] != END or len(tokens) != len(set(tokens)):
        raise InputError(
            f"{path} is not a list of different tokens from {BLANK} {UNKNOWN} to {END}; write it with prepare_tokens.py"
        )
    return tokens


class Tokenizer:
    """Texts to the tokens of a folder with tokens.txt and, for subwords, bpe.model."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.list = self.folder / "tokens.txt"
        self.tokens = read_tokens(self.list)
        self.model: Path | None = self.folder / "bpe.model"
        if not self.model.exists():
            self.model = None
            return
        import sentencepiece

        with foreign(self.model, "is not a SentencePiece model", "write it with prepare_tokens.py"):
            self._pieces = sentencepiece.SentencePieceProcessor(model_proto=self.model.read_bytes())

    def split(self, text: str) -> list[str]:
        """The tokens of a text, known or not."""
        text = squeeze(text)
        if self.model is None:
            return [SPACE if character == " " else character for character in text]
        return list(self._pieces.encode(text, out_type=str))

    def check(self, texts: Mapping[str, str], source: Path) -> None:
        """An InputError, naming the file `source`, if a text by utterance id has a token that the list lacks."""
        known = set(self.tokens)
        for utterance, text in texts.items():
            for token in self.split(text):
                if token not in known:
                    raise InputError(
                        f"{source}: the transcript of {utterance} has {token!r}, which {self.list} lacks;"
                        " make the tokens from this text (prepare_tokens.py)"
                    )


def tokens_to_text(tokens: Iterable[str]) -> str:
    """Words with single spaces between them, from characters or subwords."""
    joined = "".join(" " if token == SPACE else token.replace(WORD_START, " ") for token in tokens)
    return " ".join(joined.split())
