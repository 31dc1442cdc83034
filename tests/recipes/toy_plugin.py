"""A saliency method, a masking policy and a recogniser that the library does not know: `--plugins` adds them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from salience.masking.policies import POLICIES, Policy
from salience.models.recognisers import RECOGNISERS, Example, Recogniser
from salience.saliency.base import METHODS, SaliencyMap

WORDS = "zero one two three four five six seven eight nine".split()


@METHODS.register("energy")
def energy(model, features, lengths, targets, rngs):
    """The mean level of every 5 frames by 20 bins: no map of the model, but one of a resolution that no other has."""
    maps = []
    for matrix, length in zip(features.cpu().numpy(), lengths, strict=True):
        columns = -(-length // 5)
        padded = np.pad(matrix[:length], ((0, 5 * columns - length), (0, 0)), mode="edge")
        maps.append(SaliencyMap(padded.reshape(columns, 5, -1, 20).mean((1, 3)), 5, 20, of="features"))
    return maps


@POLICIES.register("above")
@dataclass(frozen=True)
class Above(Policy):
    """Mask what lies above a threshold."""

    threshold: float = 0.5

    def keep(self, unit_map: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return unit_map <= self.threshold


class Network(nn.Module):
    """Logits of the words (batch, 10) from the mean and deviation of each bin."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(160, 32), nn.ReLU(), nn.Linear(32, len(WORDS)))

    def forward(self, features: Tensor, said: Tensor) -> dict[str, Tensor]:
        return {"loss": nn.functional.binary_cross_entropy_with_logits(self.layers(features), said)}


@RECOGNISERS.register("toy")
@dataclass
class Toy(Recogniser):
    """Say which digits are in an utterance, the smallest first."""

    threshold: float = 0.5

    def load(self, model: str, device: str = "cpu", seed: int = 1) -> None:
        torch.manual_seed(seed)
        self.network = Network()
        if Path(model).is_dir():
            self.network.load_state_dict(torch.load(Path(model) / "model.pt", weights_only=True))

    def target(self, text: str) -> list[int]:
        return [WORDS.index(word) for word in text.lower().split() if word in WORDS]

    def collate(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        said = torch.zeros(len(examples), len(WORDS))
        for row, example in enumerate(examples):
            said[row, example.tokens] = 1
        return {"features": torch.stack([summary(example.features) for example in examples]), "said": said}

    def transcribe(self, source, batch_size: int, truncated: list[str]) -> Iterator[tuple[str, str]]:
        self.network.eval()
        for key in source:
            with torch.no_grad():
                chances = self.network.layers(summary(source[key])).sigmoid()
            yield key, " ".join(word for word, chance in zip(WORDS, chances, strict=True) if chance > self.threshold)

    def save(self, folder: Path) -> None:
        torch.save(self.network.state_dict(), folder / "model.pt")


def summary(features: np.ndarray) -> Tensor:
    """Mean and deviation of each bin, (2 bins,)."""
    return torch.from_numpy(np.concatenate([features.mean(0), features.std(0)])).float()
