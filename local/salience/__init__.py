"""Salience: which time-frequency regions of speech carry an accent, or the words.

The names in `__all__` are what a notebook needs (examples/saliency.ipynb).  Each is imported when it is first used,
so that `import salience` does not wait for torch.
"""

from importlib import import_module

_MODULES = {
    "read_audio": "salience.audio",
    "log_mel": "salience.features.logmel",
    "load_classifier": "salience.models.accent_classifier",
    "saliency_map": "salience.saliency.accents",
    "Policy": "salience.masking.policies",
    **dict.fromkeys(
        ("ProbabilisticPolicy", "TopSharePolicy", "EqualAreaPolicy", "SpecAugmentPolicy"), "salience.masking.policies"
    ),
    "apply_mask": "salience.masking.apply",
    "masked_audio": "salience.masking.sound",
    "load_recogniser": "salience.models.recognisers",
}

__all__ = list(_MODULES)


def __getattr__(name: str) -> object:
    """Import a name when it is first used (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module 'salience' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
