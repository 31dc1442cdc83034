"""Masked features: equation 3, and the variants that are compared."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from salience.errors import InputError
from salience.features.archives import Archive
from salience.features.logmel import floor_of
from salience.masking.policies import Masking, equal_area_mask
from salience.randomness import generator
from salience.saliency.maps import columns_for, stretch_map, unit_map

VARIANTS = {
    "plain": None,
    "specaugment": None,
    "gradcam": "gradcam",
    "gradcam++": "gradcam++",
    "random-mask": "random",
    "other-mask": "other",
}
"""Each variant, with the map that says where its masks lie."""


def apply_mask(features: np.ndarray, keep: np.ndarray, fill: str = "zero") -> np.ndarray:
    """Equation 3: features (frames, bins) with the points outside `keep` replaced."""
    if fill == "zero":
        value = 0.0
    elif fill == "floor":
        value = floor_of(features)
    elif fill == "mean":
        value = float(features.mean())
    else:
        raise InputError(f"the fill {fill!r} is unknown; it is zero, floor or mean")
    return np.where(keep, features, np.float32(value))


@dataclass(frozen=True)
class Masker:
    """Masks utterances the way a variant does.

    Args:
        variant: One of VARIANTS.
        settings: Policies and fill.
        maps: Signed maps at native resolution by kind, then by utterance.  The controls
            (`random`, `other`) need Grad-CAM's beside their own, for the area.
        seed: Of the draws.
    """

    variant: str
    settings: Masking
    maps: Mapping[str, Mapping[str, np.ndarray]]
    seed: int

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise InputError(f"the variant {self.variant!r} is unknown; it is one of {', '.join(VARIANTS)}")

    def mask(self, utterance: str, frames: int, bins: int, epoch: int) -> np.ndarray:
        """M for one utterance in one epoch, boolean of shape (frames, bins)."""
        if self.variant == "plain":
            return np.ones((frames, bins), dtype=bool)
        if self.variant == "specaugment":
            return self.settings.specaugment.mask(frames, bins, generator(self.seed, utterance, epoch, "specaugment"))
        kind = VARIANTS[self.variant]
        area_of = "gradcam++" if kind == "gradcam++" else "gradcam"
        # The same names for all map variants: a control masks as many points as Grad-CAM does in that epoch.
        rng = generator(self.seed, utterance, epoch, "policy")
        keep = self.settings.policy.mask(unit_map(self.maps[area_of][utterance], frames, bins), rng)
        if kind == area_of:
            return keep
        native = self.maps[kind][utterance]
        if kind == "other":
            native = stretch_map(native, columns_for(frames))
        control = unit_map(native, frames, bins)
        # Breaks ties where the control map is flat.
        control = control + 1e-6 * rng.random(control.shape)
        return equal_area_mask(control, int(keep.size - keep.sum()))

    def apply(self, utterance: str, features: np.ndarray, epoch: int) -> np.ndarray:
        """Masked features of one utterance in one epoch."""
        return apply_mask(features, self.mask(utterance, *features.shape, epoch), self.settings.fill)


def open_maps(maps: Path, name: str, variant: str) -> tuple[dict[str, Archive], list[Path]]:
    """The archives that a variant's masks need under a folder of maps, and their paths."""
    kind = VARIANTS.get(variant)
    if kind is None:
        return {}, []
    # The controls mask as many points as Grad-CAM.
    kinds = {kind} if kind == "gradcam++" else {kind, "gradcam"}
    paths = {k: maps / k / name / "saliency.scp" for k in sorted(kinds)}
    return {k: Archive(path) for k, path in paths.items()}, list(paths.values())
