"""Maps that know nothing of the utterance: uniform noise, and another utterance's map."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from salience.saliency.base import METHODS, SaliencyMap, columns_for
from salience.saliency.explained import Explained


@METHODS.register("random")
def random(
    model: Explained, features: Tensor, lengths: Sequence[int], targets: Tensor, rngs: Sequence[np.random.Generator]
) -> list[SaliencyMap]:
    """Uniform noise in [0, 1) at the resolution of the model's layer, or of the input if that has no frequencies."""
    rows, columns = model.forward(features, lengths)[0].shape[2:]
    if rows == 1 and not model.latent:
        points = [torch.from_numpy(rng.random(tuple(features.shape[1:]), np.float32)) for rng in rngs]
        return model.input_maps(torch.stack(points), lengths, signed=False)
    kept = [model.kept(columns_for(length, model.frames_per_column)) or columns for length in lengths]
    return [
        model.layer_map(rng.random((min(own, columns), rows)), signed=False)
        for rng, own in zip(rngs, kept, strict=True)
    ]


class OtherUtterances(Mapping[str, SaliencyMap]):
    """Each utterance with the map of another, stretched in time to its own length.

    The partner is the next utterance in order of length, so that its map is
    stretched as little as possible.

    Args:
        maps: Maps by utterance.
        frames: Frames of each of these utterances.
    """

    def __init__(self, maps: Mapping[str, SaliencyMap], frames: Mapping[str, int]) -> None:
        order = sorted(maps, key=lambda utterance: (int(frames[utterance]), utterance))
        self.maps, self.frames = maps, frames
        self.partners = dict(zip(order, order[1:] + order[:1], strict=True))

    def __getitem__(self, key: str) -> SaliencyMap:
        borrowed = self.maps[self.partners[key]]
        return replace(borrowed, values=borrowed.stretched(int(self.frames[key])))

    def __iter__(self) -> Iterator[str]:
        return iter(self.partners)

    def __len__(self) -> int:
        return len(self.partners)
