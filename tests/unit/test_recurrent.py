"""Padded LSTMs against torch's packed ones."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from salience.models.recurrent import padded_lstm


def outputs_and_gradients(lstm, values, lengths, sort):
    values = values.clone().requires_grad_(True)
    lstm.zero_grad()
    packed = pack_padded_sequence(values, lengths, batch_first=True, enforce_sorted=sort)
    output, states = lstm(packed)
    padded, back = pad_packed_sequence(output, batch_first=True)
    # Every output counts differently, so that a wrong order cannot go unseen.
    (padded * torch.linspace(-1, 1, padded.numel()).view_as(padded)).sum().backward()
    return padded, back, values.grad, [p.grad.clone() for p in lstm.parameters()], states


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("lengths, sort", [([9, 7, 7, 1], True), ([3, 9, 1, 5], False)])
def test_padded_equals_packed(bidirectional, lengths, sort):
    torch.manual_seed(0)
    lstm = nn.LSTM(6, 5, batch_first=True, bidirectional=bidirectional)
    values = torch.randn(4, 9, 6)
    expected = outputs_and_gradients(lstm, values, torch.tensor(lengths), sort)
    with padded_lstm():
        found = outputs_and_gradients(lstm, values, torch.tensor(lengths), sort)
    assert found[4] == (None, None) and expected[4][0] is not None
    assert torch.equal(found[1], expected[1])
    for ours, theirs in zip([found[0], found[2], *found[3]], [expected[0], expected[2], *expected[3]], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "options, given", [({"num_layers": 2}, False), ({"bias": False}, False), ({"proj_size": 2}, False), ({}, True)]
)
def test_whatever_else_goes_torchs_own_way(options, given):
    torch.manual_seed(0)
    lstm = nn.LSTM(6, 5, batch_first=True, **options)
    packed = pack_padded_sequence(torch.randn(2, 4, 6), torch.tensor([4, 2]), batch_first=True)
    hx = (torch.zeros(1, 2, 5), torch.zeros(1, 2, 5)) if given else None
    expected, states = lstm(packed, hx)
    with padded_lstm():
        found, also = lstm(packed, hx)
    assert torch.equal(found.data, expected.data) and torch.equal(also[1], states[1])


def test_it_ends_with_the_block():
    before = nn.LSTM.forward
    with pytest.raises(RuntimeError), padded_lstm():
        assert nn.LSTM.forward is not before
        raise RuntimeError
    assert nn.LSTM.forward is before
