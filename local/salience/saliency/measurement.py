"""What the maps of a model are worth: their curves, and how far they agree with other maps of the same utterances.

Other maps are those of the model trained with another seed, of other methods,
at other layers, and of the model with its weights randomised layer by layer
from the top (Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018): a
map that stays as it was does not depend on what the model has learnt.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from salience.data.records import Utterance
from salience.progress import bar
from salience.randomness import generator
from salience.saliency.base import SaliencyMap
from salience.saliency.explained import Batch, Explained, ExplainedSet, maps_of
from salience.saliency.faithfulness import SHARES, Score, agreement, curves, ends, ranks_of, with_controls

Maps = Mapping[str, SaliencyMap]
"""Of each utterance."""


def spread(utterances: Iterable[Utterance], limit: int) -> list[Utterance]:
    """At most this many of the utterances, from as many speakers, and of these as many accents, as there are."""
    spoken: dict[str, int] = {}
    speakers: dict[tuple[int, str | None], int] = {}
    places = []
    for utterance in utterances:
        turn = spoken[utterance.speaker] = spoken.get(utterance.speaker, 0) + 1
        speakers[turn, utterance.accent] = speakers.get((turn, utterance.accent), 0) + 1
        places.append((turn, speakers[turn, utterance.accent], utterance.id, utterance))
    return [place[-1] for place in sorted(places, key=lambda place: place[:-1])][:limit]


class AtLayer(Explained):
    """A model divided at another of its layers, whose activations a hook takes; for methods that look at a layer."""

    def __init__(self, whole: Explained, layer: str) -> None:
        super().__init__(whole.target)
        self.whole, self.layer, self.model = whole, layer, whole.model
        self.frames_per_column, self.bins_per_row = whole.layers[layer]

    def layer_gradient(self, features: Tensor, lengths: Sequence[int], targets: Tensor) -> tuple[Tensor, Tensor]:
        """The layer's activations (batch, channels, rows, columns), and the score's gradient with respect to them."""
        kept: list[Tensor] = []

        def cut(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
            kept.append(output.detach().requires_grad_(True))
            return kept[0]

        hook = self.model.get_submodule(self.layer).register_forward_hook(cut)
        try:
            with torch.enable_grad():
                score = self.whole.scores(features, lengths, targets).sum()
                (gradient,) = torch.autograd.grad(score, kept[0])
        finally:
            hook.remove()
        return self._maps(kept[0].detach()), self._maps(gradient)

    def _maps(self, values: Tensor) -> Tensor:
        """A layer's output; that of a transformer, (batch, columns, channels), as one row."""
        return values.transpose(1, 2)[:, :, None] if values.ndim == 3 else values

    def open(self, *args: Any) -> ExplainedSet:
        return self.whole.open(*args)

    def compute(self, features: Tensor, lengths: Sequence[int]) -> Tensor:
        return self.whole.compute(features, lengths)

    def outputs(self, activations: Tensor, lengths: Sequence[int]) -> Tensor:
        return self.whole.outputs(activations, lengths)

    def select(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.whole.select(outputs, targets)


def layers_of(model: nn.Module, prefix: str = "") -> Iterator[str]:
    """The layers of a network in the order in which it has them, the members of a ModuleList as one each."""
    for name, child in model.named_children():
        own = {weight for weight, _ in child.named_parameters(recurse=False)}
        if not (isinstance(model, nn.ModuleList) or own & {"weight", "bias"}):
            yield from layers_of(child, f"{prefix}{name}.")
        elif next(child.parameters(), None) is not None:
            yield prefix + name


@contextmanager
def randomised(explained: Explained, seed: int) -> Iterator[Iterator[str]]:
    """Give the names of a model's layers from the top; when one is given, its weights, and those above, are shuffled.

    Their signs are drawn as well: what is as large as it was, and zero in the
    mean, silences no layer.  At the end all are as before.  Layers that come
    before the input of the maps stay as they are.
    """
    names = list(layers_of(explained.model))
    if explained.latent:
        names = names[names.index(next(name for name in names if name.endswith(explained.layer))) + 1 :]
    before = {name: weight.detach().clone() for name, weight in explained.model.named_parameters()}

    def shuffled() -> Iterator[str]:
        for name in reversed(names):
            random = torch.Generator().manual_seed(int(generator(seed, "randomised", name).integers(1 << 62)))
            for weight in explained.model.get_submodule(name).parameters():
                places = torch.randperm(weight.numel(), generator=random)
                signs = 2.0 * torch.randint(2, (weight.numel(),), generator=random) - 1
                weight.data.copy_((weight.data.flatten()[places] * signs.to(weight)).view_as(weight))
            explained.forget()
            yield name

    try:
        yield shuffled()
    finally:
        with torch.no_grad():
            for name, weight in explained.model.named_parameters():
                weight.copy_(before[name])
        explained.forget()


@dataclass(frozen=True)
class Measurement:
    """A model on a set: its maps, their ranks, and how its score goes down and up by them.

    Args:
        explained: The model.
        batches: All batches of the set, with what is explained of each utterance.
        seed: Random seed of methods that draw, of ties and of controls.
    """

    explained: Explained
    batches: Sequence[Batch]
    seed: int = 1

    @cached_property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """Frames and bins of each utterance."""
        bins = 1 if self.explained.latent else self.batches[0].features.shape[2]
        return {key: (n, bins) for batch in self.batches for key, n in zip(batch.keys, batch.lengths, strict=True)}

    def maps(self, methods: Sequence[str], title: str = "maps") -> dict[str, Maps]:
        """The maps by each method."""
        found: dict[str, dict[str, SaliencyMap]] = {method: {} for method in methods}
        for batch in bar(self.batches, title):
            for method, maps in maps_of(self.explained, batch, methods, self.seed).items():
                found[method] |= zip(batch.keys, maps, strict=True)
        return dict(found)

    def curves(self, maps: Mapping[str, Maps], shares: Sequence[float] = SHARES) -> dict[str, dict[str, Any]]:
        """The curves of each method's maps and of their controls: {method: {kind: {map, random or other: rows}}}."""
        rankings = {
            (method, what): ranks
            for method, own in maps.items()
            for what, ranks in with_controls(own, self.shapes, self.seed).items()
        }
        found: dict[str, dict[str, Any]] = {method: {} for method in maps}
        for batch in bar(self.batches, "curves"):
            parts = {name: [ranks[key] for key in batch.keys] for name, ranks in rankings.items()}
            for (method, what), each in curves(parts, probabilities(self.explained, batch), shares).items():
                for kind, rows in each.items():
                    found[method].setdefault(kind, {}).setdefault(what, []).extend(rows.round(3).tolist())
        return found


def probabilities(explained: Explained, batch: Batch) -> Score:
    """What curves are of: the probability in percent of what is explained, behind the baseline where a point is hidden.

    Padding stays as it is.
    """

    def score(keep: Sequence[np.ndarray]) -> np.ndarray:
        hidden = batch.features.clone()
        for row, (kept, length) in enumerate(zip(keep, batch.lengths, strict=True)):
            shown = torch.from_numpy(kept).to(hidden.device)
            hidden[row, :length] = torch.where(shown, hidden[row, :length], explained.baseline)
        with torch.no_grad():
            outputs = explained.outputs(explained.compute(hidden, batch.lengths), batch.lengths)
            return 100 * explained.probability(outputs, batch.targets).cpu().numpy()

    return score


def measure(
    explained: Explained,
    batches: Sequence[Batch],
    methods: Sequence[str],
    others: Mapping[str, tuple[Explained, Sequence[Batch]]] = MappingProxyType({}),
    shares: Sequence[float] = SHARES,
    seed: int = 1,
) -> dict[str, dict[str, Any]]:
    """What is found of each method: `utterances`, `shares`, `curves` and `agreement`, values by utterance.

    Args:
        explained: The model that is measured.
        batches: All batches of the set, with what this model explains of each utterance.
        methods: Names of saliency methods.
        others: The model trained with other seeds, by name, with the batches of the same utterances.
        shares: Shares of the points that are hidden or shown.
        seed: Random seed of methods that draw, of ties and of controls.
    """
    of = Measurement(explained, batches, seed)
    own = of.maps(methods)
    ranks = {method: ranks_of(maps, of.shapes, seed) for method, maps in own.items()}
    found = {
        method: {"utterances": list(of.shapes), "shares": ends(shares), "curves": each, "agreement": []}
        for method, each in of.curves(own, shares).items()
    }

    def compare(metric: str, against: str, maps: Mapping[str, Maps]) -> None:
        for method, each in maps.items():
            found[method]["agreement"].append(agreement(metric, against, ranks[method], each, of.shapes, seed))

    for name, (other, theirs) in others.items():
        # What is explained is the same.
        alike = [own._replace(features=batch.features) for own, batch in zip(batches, theirs, strict=True)]
        compare("seed_agreement", name, Measurement(other, alike, seed).maps(methods, f"maps of {name}"))
    for first, second in combinations(methods, 2):
        compare("method_agreement", second, {first: own[second]})
    looking = [method for method in methods if next(iter(own[method].values())).of == explained.layer]
    for layer in explained.layers if looking else ():
        at = Measurement(AtLayer(explained, layer), batches, seed)
        compare("layer_agreement", layer, at.maps(looking, f"maps at {layer}"))
    with randomised(explained, seed) as layers:
        for layer in layers:
            compare("randomised_agreement", layer, of.maps(methods, f"maps, weights shuffled down to {layer}"))
    return found
