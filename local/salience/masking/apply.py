"""Masked features: equation 3, by a system's maps and policy."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from salience.data.packed import read_packed
from salience.data.tables import read_table
from salience.errors import InputError
from salience.features.archives import Archive
from salience.features.logmel import floor_of
from salience.masking.systems import System
from salience.randomness import generator
from salience.saliency.base import Maps, SaliencyMap, read_maps
from salience.saliency.controls import OtherUtterances


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
    """Masks utterances as a system says.

    Args:
        system: Its policy, the fill, and which maps.
        seed: Random seed of the masks.
        maps: Maps by method, then by utterance: all of `system.methods`.
        frames: Frames of each utterance of the set, where the system borrows another utterance's map.
    """

    system: System
    seed: int
    maps: Mapping[str, Mapping[str, SaliencyMap]] = field(default_factory=dict)
    frames: Mapping[str, int] = field(default_factory=dict)
    _others: dict[str, OtherUtterances] = field(default_factory=dict, init=False, repr=False)

    def keep(self, utterance: str, frames: int, bins: int, epoch: int) -> np.ndarray:
        """M for one utterance in one epoch, boolean of shape (frames, bins)."""
        streams: dict[str, np.random.Generator] = {}
        return self._keep(self.system, utterance, (frames, bins), epoch, streams)

    def apply(self, utterance: str, features: np.ndarray, epoch: int) -> np.ndarray:
        """Masked features of one utterance in one epoch."""
        return apply_mask(features, self.keep(utterance, *features.shape, epoch), self.system.fill)

    def _keep(
        self, system: System, utterance: str, size: tuple[int, int], epoch: int, streams: dict[str, np.random.Generator]
    ) -> np.ndarray:
        policy = system.policy
        # The other system first, as when it is drawn alone: a control masks as many points as that one does.
        other = (self._keep(system.other, utterance, size, epoch, streams),) if system.other else ()
        rng = streams.setdefault(policy.stream, generator(self.seed, utterance, epoch, policy.stream))
        try:
            unit_map = self._map(system, utterance).unit(*size) if system.map else np.zeros(size, dtype=np.float32)
        except InputError as error:
            raise InputError(f"{utterance}: {error}") from None
        return policy.keep(unit_map, rng, *other)

    def _map(self, system: System, utterance: str) -> SaliencyMap:
        maps = self.maps[system.map]
        if system.borrowed:
            if system.map not in self._others:
                self._others[system.map] = OtherUtterances(maps, self.frames)
            maps = self._others[system.map]
        return maps[utterance]


def open_maps(maps: Path | None, name: str, system: System) -> tuple[dict[str, Maps], list[Path]]:
    """The maps of a set that a system's masks need, from the folder of all maps, and the paths of their tables."""
    paths = {method: Path(maps or "") / method / name / "saliency.scp" for method in system.methods}
    return {method: read_maps(path) for method, path in paths.items()}, list(paths.values())


def set_sizes(features: Path) -> tuple[dict[str, int], int]:
    """Frames of each utterance of a set, and bins, from its features; of packed signals, the latent frames and 1."""
    if (features / "utterances").exists():
        from transformers import Wav2Vec2Config

        from salience.models.wav2vec import frames_of

        packed = read_packed(features)
        return dict(zip(packed.ids, map(int, frames_of(Wav2Vec2Config(), packed.samples)), strict=True)), 1
    frames = {key: int(count) for key, count in read_table(features / "utt2num_frames").items()}
    return frames, Archive(features / "feats.scp").columns or 0
