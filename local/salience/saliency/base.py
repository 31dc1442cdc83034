"""Saliency maps with their resolution, the registry of the methods, and the archives that hold maps."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from salience.errors import InputError, stale
from salience.features.archives import Archive
from salience.files import read_json
from salience.registry import Registry

if TYPE_CHECKING:
    import torch

    from salience.saliency.explained import Explained


@dataclass(frozen=True)
class SaliencyMap:
    """Where in an utterance a model finds what it decides by, at the method's own resolution.

    Args:
        values: Saliency (columns, rows), time by frequency.
        frames_per_column: Frames of the features that a column spans.
        bins_per_row: Bins of the features that a row spans.
        signed: Whether negative values speak against the target.
        method: Name in METHODS.
        target: What is explained, for instance the predicted class.
        of: The layer or input that the method looks at.
    """

    values: np.ndarray
    frames_per_column: int
    bins_per_row: int
    signed: bool = True
    method: str = ""
    target: str | None = None
    of: str = ""

    def about(self) -> dict[str, Any]:
        """What saliency.json says of it."""
        return {field: value for field, value in vars(self).items() if field != "values"}

    def unit(self, frames: int, bins: int) -> np.ndarray:
        """C of equation 1: the map rectified, enlarged to the features and scaled to [0, 1], (frames, bins) float32.

        The ends of the scale are the extremes over the real frames; a map
        without a positive value gives zeros.  A map that does not cover the
        utterance, or belongs to a longer one, is an InputError.
        """
        enlarged = self._enlarged(np.maximum(self.values, 0), frames, bins)
        lowest, highest = enlarged.min(), enlarged.max()
        if highest <= lowest:
            return np.zeros_like(enlarged)
        return (enlarged - lowest) / (highest - lowest)

    def enlarged(self, frames: int, bins: int) -> np.ndarray:
        """The values, signed as they are, enlarged to the features, (frames, bins) float32."""
        return self._enlarged(self.values, frames, bins)

    def _enlarged(self, values: np.ndarray, frames: int, bins: int) -> np.ndarray:
        columns, rows = values.shape
        least = -(-frames // self.frames_per_column)
        if not least <= columns <= least + 1 or rows != -(-bins // self.bins_per_row):
            raise InputError(
                f"a map of {columns} x {rows} points ({self.method}, {self.frames_per_column} frames by"
                f" {self.bins_per_row} bins each) does not fit {frames} frames of {bins} bins; run the step that writes"
                " the maps again"
            )
        size = columns * self.frames_per_column, rows * self.bins_per_row
        return _interpolate(values.astype(np.float32), *size)[:frames, :bins]

    def stretched(self, frames: int) -> np.ndarray:
        """The values stretched or shrunk in time to cover `frames` frames."""
        columns = columns_for(frames, self.frames_per_column)
        return _interpolate(self.values.astype(np.float32), columns, self.values.shape[1])


def _interpolate(values: np.ndarray, *size: int) -> np.ndarray:
    # Imported here: to know the methods' names takes no second.
    import torch

    image = torch.from_numpy(values)[None, None]
    return torch.nn.functional.interpolate(image, size=size, mode="bilinear", align_corners=False)[0, 0].numpy()


def columns_for(frames: int, frames_per_column: int) -> int:
    """Columns to keep of a map so that every real frame can be interpolated: one beyond the last."""
    return -(-frames // frames_per_column) + 1


class Method(Protocol):
    """A saliency method: the maps of a batch, one an utterance.

    Args:
        model: The model to explain.
        features: Its input (batch, frames, bins), padded.
        lengths: Real frames of each utterance.
        targets: What to explain of each, as `model.select` takes it.
        rngs: A random generator for each utterance.
    """

    def __call__(
        self,
        model: "Explained",
        features: "torch.Tensor",
        lengths: Sequence[int],
        targets: "torch.Tensor",
        rngs: Sequence[np.random.Generator],
    ) -> list[SaliencyMap]: ...


METHODS: Registry[Method] = Registry(
    "saliency method",
    {
        "gradcam": "salience.saliency.gradcam",
        "gradcam++": "salience.saliency.gradcam",
        "integrated-gradients": "salience.saliency.integrated_gradients",
        "gradient-input": "salience.saliency.integrated_gradients",
        "smoothgrad": "salience.saliency.smoothgrad",
        "occlusion": "salience.saliency.occlusion",
        "random": "salience.saliency.controls",
    },
)
"""Methods by name, with the modules that register them."""

CONTROLS = ("random",)
"""Those of them whose maps know nothing of the model."""


class Maps(Mapping[str, SaliencyMap]):
    """The maps of a set by utterance, with the resolution that saliency.json states."""

    def __init__(self, scp: Path) -> None:
        self.archive, about = Archive(scp), read_json(scp.with_name("saliency.json"))
        self._settings = _settings_of(about, scp.with_name("saliency.json"))

    def __getitem__(self, key: str) -> SaliencyMap:
        return SaliencyMap(self.archive[key], **self._settings)

    def __iter__(self) -> Iterator[str]:
        return iter(self.archive)

    def __len__(self) -> int:
        return len(self.archive)

    def __contains__(self, key: object) -> bool:
        return key in self.archive


def read_maps(place: Path) -> Maps:
    """The maps in a folder, or behind an scp file with saliency.json beside it."""
    return Maps(place / "saliency.scp" if place.is_dir() else Path(place))


def _settings_of(about: Any, path: Path) -> dict[str, Any]:
    if isinstance(about, dict) and "samples_per_frame" in about:
        # Formerly of wav2vec 2.0: a column is a latent frame.
        about = {"frames_per_column": 1, "bins_per_row": 1, **about}
    names = ("frames_per_column", "bins_per_row")
    if not isinstance(about, dict) or not all(isinstance(about.get(n), int) and about[n] > 0 for n in names):
        raise stale(path, f"does not state {' and '.join(names)}")
    return {
        **{name: about[name] for name in names},
        "signed": bool(about.get("signed", True)),
        "method": str(about.get("method", "")),
        "target": about.get("target", about.get("class")),
        "of": str(about.get("of", about.get("layer", ""))),
    }
