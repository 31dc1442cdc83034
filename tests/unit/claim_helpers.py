"""A claim of six systems and made-up comparisons of them."""

COMMON = {"corpus": "toy", "synthetic": False, "recogniser": "mini", "command": "c", "commit": "a", "date": "d"}
JUDGED = {"metric": "wer", "normaliser": "n"}
SETS = ("seen", "unseen")
TEXT = """
harm: [plain, zero-shot]
statements:
- {says: the map matters, better: gradcam, than: [random-mask, other-mask], sets: [seen, unseen]}
- {says: masking matters, better: {any: [gradcam, random-mask]}, than: plain, sets: [seen, unseen]}
- {says: it beats SpecAugment, better: gradcam, than: specaugment, sets: [seen, unseen]}
"""
PAIRS = [("gradcam", "random-mask"), ("gradcam", "other-mask"), ("gradcam", "plain"), ("random-mask", "plain")]
PAIRS += [("gradcam", "specaugment"), ("plain", "zero-shot")]


def comparison(system: str, against: str, name: str, difference: float = -1.0, p: float = 0.0002, **other) -> dict:
    """A comparison as `scoring.rates.comparisons` makes it; by default better in each of three seeds."""
    return {
        "corpus": "toy", "synthetic": False, "set": name, "system": system, "against": against, "recogniser": "mini",
        **JUDGED,
        "difference": difference, "low": difference - 0.5, "high": difference + 0.5, "p": p,
        "differences": [difference - 0.1, difference, difference + 0.1], "n": 100, "resampled": "speaker", **other,
    }  # fmt: skip


def compared(**changed: dict) -> list[dict]:
    """All comparisons of the claim, each better; `changed` by "system against set"."""
    items = {f"{a} {b} {name}": comparison(a, b, name) for a, b in PAIRS for name in SETS}
    for key, fields in changed.items():
        items[key] |= fields
    return list(items.values())
