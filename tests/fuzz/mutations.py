"""Small damage to valid inputs, drawn from a seed: what the short form uses, which has no guide but its seeds."""

import random

from targets import Target

BYTES = (
    b"\0",
    b"\xff",
    b"\n",
    b" ",
    b"\t",
    b"-",
    b"0",
    b"9" * 12,
    b"\x80",
    b"\xef\xbb\xbf",
    "\u2028".encode(),
    b"\r\n",
)


def mutated(target: Target, seeds: list[bytes], draw: random.Random) -> bytes:
    """One of the seeds with up to eight changes."""
    data = bytearray(draw.choice(seeds))
    for _ in range(draw.randint(0, 8)):
        place = draw.randint(0, len(data))
        end = min(len(data), place + draw.choice((1, 1, 2, 4, 16)))
        kind = draw.randrange(6)
        if kind == 0:
            data[place:end] = b""
        elif kind == 1:
            data[place:end] = draw.randbytes(end - place)
        elif kind == 2:
            data[place:place] = draw.choice(BYTES + target.words)
        elif kind == 3:
            data[place:end] = draw.choice(BYTES + target.words)
        elif kind == 4:
            other = draw.choice(seeds)
            start = draw.randint(0, len(other))
            data[place:place] = other[start : start + draw.randint(0, 64)]
        elif draw.random() < 0.3:
            data[place:] = b""
    return bytes(data)
