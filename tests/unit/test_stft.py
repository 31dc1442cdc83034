"""The short-time Fourier transform: NumPy's spectra, perfect reconstruction, gradients."""

import numpy as np
import pytest
import torch
from accent_helpers import noise
from hypothesis import given, settings
from hypothesis import strategies as st

from salience.features.stft import HOP, SIZE, istft, num_frames, stft


def waveforms(samples: int, batch: int = 2, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.from_numpy(noise(samples, (batch, samples))).to(dtype)


@pytest.mark.parametrize(("size", "hop"), [(1024, 256), (512, 100)])
def test_equal_to_numpy(size, hop):
    (samples,) = waveforms(5000, 1)
    padded = np.pad(samples.numpy(), size // 2)
    window = np.hanning(size + 1)[:-1]
    expected = [np.fft.rfft(window * padded[n * hop : n * hop + size]) for n in range(num_frames(5000, hop))]
    np.testing.assert_allclose(stft(samples[None], size, hop)[0].numpy(), expected, atol=1e-10)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 9000), st.sampled_from([(1024, 256), (1024, 160), (400, 100), (64, 8)]))
def test_perfect_reconstruction(samples, sizes):
    size, hop = sizes
    signals = waveforms(samples)
    spectrum = stft(signals, *sizes)
    assert spectrum.shape == (2, num_frames(samples, hop), size // 2 + 1) and spectrum.is_complex()
    np.testing.assert_allclose(istft(spectrum, samples, *sizes).numpy(), signals.numpy(), atol=1e-10)


def test_float32_stays_float32():
    signals = waveforms(20_000, dtype=torch.float32)
    spectrum = stft(signals)
    assert spectrum.dtype == torch.complex64 and spectrum.shape == (2, 1 + 20_000 // HOP, SIZE // 2 + 1)
    back = istft(spectrum, 20_000)
    assert back.dtype == torch.float32
    np.testing.assert_allclose(back.numpy(), signals.numpy(), atol=1e-5)


@pytest.mark.parametrize("samples", [1, 300, 1023, 4000])
def test_a_batch_does_not_change_its_items(samples):
    """Zeros after a signal leave its frames and its reconstruction as they are."""
    (alone,) = waveforms(samples, 1)
    batch = torch.zeros(2, 6000, dtype=torch.float64)
    batch[0, :samples], batch[1] = alone, waveforms(6000, 1)[0]
    spectrum = stft(batch)
    np.testing.assert_allclose(spectrum[0, : num_frames(samples)].numpy(), stft(alone[None])[0].numpy(), atol=1e-10)
    np.testing.assert_allclose(istft(spectrum, 6000)[0, :samples].numpy(), alone.numpy(), atol=1e-10)


def test_gradients_are_those_of_finite_differences():
    signals = waveforms(70).requires_grad_()
    torch.autograd.gradcheck(lambda x: torch.view_as_real(stft(x, 16, 4)), (signals,))
    mask = torch.rand(2, num_frames(70, 4), 9, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(lambda m: istft(stft(signals.detach(), 16, 4) * m, 70, 16, 4), (mask,))
