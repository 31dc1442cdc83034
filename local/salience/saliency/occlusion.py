"""Occlusion (Zeiler and Fergus 2014): how far the score falls when a window of the input is hidden."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from salience.saliency.base import METHODS, SaliencyMap
from salience.saliency.explained import Explained


@METHODS.register("occlusion")
def occlusion(
    model: Explained, features: Tensor, lengths: Sequence[int], targets: Tensor, rngs: Sequence[np.random.Generator]
) -> list[SaliencyMap]:
    """Signed maps with a point for each of the model's windows, which do not overlap."""
    wide, high = model.window
    high = high or features.shape[2]
    real = (
        torch.arange(features.shape[1], device=features.device) < torch.tensor(lengths, device=features.device)[:, None]
    )
    with torch.no_grad():
        whole = model.scores(features, lengths, targets)
        values = torch.empty(len(features), -(-max(lengths) // wide), -(-features.shape[2] // high))
        for column in range(values.shape[1]):
            for row in range(values.shape[2]):
                place = slice(column * wide, (column + 1) * wide), slice(row * high, (row + 1) * high)
                hidden = features.clone()
                baseline = model.baseline.expand(features.shape[2])[place[1]]
                hidden[:, *place] = torch.where(real[:, place[0], None], baseline, hidden[:, *place])
                values[:, column, row] = whole - model.scores(hidden, lengths, targets)
    return model.input_maps(values, lengths, (wide, high))
