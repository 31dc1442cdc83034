"""Batches of similar length, the same in every run and for any number of workers."""

from collections.abc import Iterator, Sequence

from torch.utils.data import Sampler

from salience.randomness import generator

POOL = 16
"""Batches among which items are sorted by length: enough to save padding, few enough to stay random."""


class LengthBuckets(Sampler[list[tuple[int, int]]]):
    """Yields batches of (epoch, index).

    The epoch travels with the index, so that a dataset draws the same masks
    whichever process loads the item.  Order depends on seed and epoch only.

    Of `processes` that train together each takes its share of every batch, so
    that the batches are the same however many there are.
    """

    drop_last = False

    def __init__(
        self, lengths: Sequence[int], batch_size: int, seed: int, process: int = 0, processes: int = 1
    ) -> None:
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.process, self.processes = process, processes
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer when an epoch starts."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        rng = generator(self.seed, "batches", self.epoch)
        order = rng.permutation(len(self.lengths))
        pool = POOL * self.batch_size
        batches = []
        for start in range(0, len(order), pool):
            sorted_pool = sorted(order[start : start + pool].tolist(), key=self.lengths.__getitem__)
            batches += [sorted_pool[i : i + self.batch_size] for i in range(0, len(sorted_pool), self.batch_size)]
        for position in rng.permutation(len(batches)):
            batch = batches[position]
            # Too few to be shared are everybody's: the mean of equal gradients is the same gradient.
            share = batch[self.process :: self.processes] if len(batch) >= self.processes else batch
            yield [(self.epoch, index) for index in share]
