"""LSTMs over utterances of different lengths, several times as fast on CPUs.

torch runs a packed sequence step by step there, and its gradient takes time
that grows with the square of the length.  Padded sequences go through oneDNN
at once.  Padding at the end disturbs only what comes after it, so a padded
sequence run forwards, and each utterance turned round and run forwards again,
give the same outputs as the packed one.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence


@contextmanager
def padded_lstm() -> Iterator[None]:
    """Within it, every LSTM of one layer given a packed sequence on a CPU runs it padded.

    Outputs and gradients are the same to rounding.  The final states are not
    known then and are None.
    """
    packed_forward: Callable[..., Any] = nn.LSTM.forward

    def forward(self: nn.LSTM, input: Any, hx: Any = None) -> Any:
        usual = not isinstance(input, PackedSequence) or input.data.is_cuda or hx is not None
        if usual or self.num_layers > 1 or self.proj_size or not self.bias:
            return packed_forward(self, input, hx)
        padded, lengths = pad_packed_sequence(input, batch_first=True)
        output = _one_way(self, padded, "")
        if self.bidirectional:
            turned = _turned(lengths, padded.shape[1])
            back = _one_way(self, _taken(padded, turned), "_reverse")
            output = torch.cat([output, _taken(back, turned)], dim=2)
        return pack_padded_sequence(output, lengths, batch_first=True, enforce_sorted=input.sorted_indices is None), (
            None,
            None,
        )

    nn.LSTM.forward = forward
    try:
        yield
    finally:
        nn.LSTM.forward = packed_forward


def _one_way(lstm: nn.LSTM, padded: Tensor, suffix: str) -> Tensor:
    """Outputs (batch, length, hidden) of one direction, run from the first frame to the last."""
    weights = [getattr(lstm, f"{name}_l0{suffix}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    start = padded.new_zeros(1, len(padded), lstm.hidden_size)
    return torch.lstm(padded, (start, start), weights, True, 1, 0.0, lstm.training, False, True)[0]


def _turned(lengths: Tensor, longest: int) -> Tensor:
    """For each utterance the frames from its last to its first, then the padding as it is: (batch, longest)."""
    places = torch.arange(longest)
    own = places < lengths[:, None]
    return torch.where(own, lengths[:, None] - 1 - places, places)


def _taken(values: Tensor, places: Tensor) -> Tensor:
    return values.gather(1, places[..., None].expand(-1, -1, values.shape[2]))
