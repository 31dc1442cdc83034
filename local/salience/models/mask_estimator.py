"""The mask estimator of the bubble cooperative network: where noise can be added to an utterance.

Salami Kavaki and Mandel (2020), sections 3 and 4.2.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from salience.errors import RERUN, InputError
from salience.features.bumps import over_frequency, over_time
from salience.features.stft import stft
from salience.files import foreign, read_json
from salience.models.checkpoints import build, save
from salience.models.recurrent import padded_lstm

EPSILON = 1e-6
"""How near a mask of bumps comes to 0 and 1, so that its logit is finite."""
FLOOR = 1e-3
"""Power below which a point counts as silence, on the scale of 16-bit samples: dither alone is far above it."""


@dataclass(frozen=True)
class MaskEstimatorSizes:
    """Sizes of the network; the defaults are the paper's where it gives them.

    Args:
        window: Samples of the STFT window (64 ms at 16 kHz).
        hop: Samples between frames; the paper does not say.
        kernels: Convolution kernels.
        kernel_time: Frames that a kernel sees.
        kernel_frequency: Bins that a kernel sees.
        stride_frequency: Bins between two places of a kernel.
        hidden: Units of the BLSTM, each way.
        depth: Decibels of noise between a mask of 0 and one of 1, which is then on a logarithmic scale; 0: the mask
            is the noise's amplitude, as the paper's (see `salience.masking.noise.amplitude`).
        erb: Width in ERB of the bumps that a mask is made of (see `salience.features.bumps`); 0: each bin is free, as
            the paper's.
        seconds: How long a bump lasts; 0: each frame is free.
    """

    window: int = 1024
    hop: int = 256
    kernels: int = 256
    kernel_time: int = 11
    kernel_frequency: int = 32
    stride_frequency: int = 16
    hidden: int = 512
    depth: float = 0.0
    erb: float = 0.0
    seconds: float = 0.0

    @property
    def bins(self) -> int:
        """Frequencies of the STFT, from 0 Hz to half the sampling rate."""
        return self.window // 2 + 1

    @property
    def places(self) -> int:
        """Places of a kernel along the frequency axis."""
        return (self.bins - self.kernel_frequency) // self.stride_frequency + 1


class MaskEstimator(nn.Module):
    """Convolution, BLSTM and a dense layer from a spectrogram to a noise mask of its size.

    Batch normalisation stands after the convolution and after the BLSTM.  The
    two classes of each point, noise and none, compete in a softmax; what the
    network returns is the difference of their logits, so the mask is its
    sigmoid.  Frames beyond the end of an utterance take part in nothing.

    With bumps (`erb` or `seconds`), the classes are those of the points of a
    grid, each a mean over its frames, and the mask is the bumps there, each as
    high as the sigmoid of its point.  So its edges are no steeper than theirs.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, sizes: MaskEstimatorSizes) -> None:
        super().__init__()
        self.sizes = sizes
        if sizes.kernel_frequency > sizes.bins:
            raise InputError(
                f"a kernel over {sizes.kernel_frequency} bins does not fit a spectrogram of {sizes.bins}; lower"
                " kernel_frequency"
            )
        if sizes.kernel_time % 2 == 0:
            raise InputError(f"a kernel over {sizes.kernel_time} frames has no middle one; make kernel_time odd")
        self.convolution = nn.Conv2d(
            1,
            sizes.kernels,
            (sizes.kernel_time, sizes.kernel_frequency),
            stride=(1, sizes.stride_frequency),
            padding=(sizes.kernel_time // 2, 0),
        )
        self.norm_convolution = nn.BatchNorm1d(sizes.kernels)
        self.recurrence = nn.LSTM(sizes.kernels * sizes.places, sizes.hidden, batch_first=True, bidirectional=True)
        self.norm_recurrence = nn.BatchNorm1d(2 * sizes.hidden)
        self.dense = nn.Linear(2 * sizes.hidden, 2 * over_frequency(sizes.bins, sizes.erb).shape[1])
        self.register_buffer("mean", torch.zeros(sizes.bins))
        self.register_buffer("deviation", torch.ones(sizes.bins))
        # "We initialized all the weights of the layers with a uniform distribution": Glorot and Bengio's.
        for name, weights in self.named_parameters():
            if weights.dim() > 1:
                nn.init.xavier_uniform_(weights)
            elif "bias" in name:
                nn.init.zeros_(weights)

    def set_normalisation(self, mean: Tensor, deviation: Tensor) -> None:
        """Mean and standard deviation of each bin's log power over the training set, (bins,) each."""
        self.mean.copy_(mean)
        self.deviation.copy_(deviation)

    def forward(self, log_power: Tensor, frames: Tensor) -> Tensor:
        """Logits of noise at each point, (batch, frames, bins), from log power of that shape.

        `frames` (batch,) are each utterance's own; the logits beyond are zero.
        """
        batch, length, _ = log_power.shape
        real = torch.arange(length, device=log_power.device) < frames[:, None]
        normal = ((log_power - self.mean) / self.deviation) * real[..., None]
        seen = self.convolution(normal[:, None]).transpose(1, 2)  # (batch, length, kernels, places)
        packed_frames = frames.cpu()
        # (all frames of the batch, kernels, places): statistics of the normalisation are those of speech.
        places = torch.relu(self.norm_convolution(seen[real]))
        inputs = torch.zeros(batch, length, places[0].numel(), dtype=places.dtype, device=places.device)
        inputs[real] = places.flatten(1)
        with padded_lstm():
            output = self.recurrence(
                pack_padded_sequence(inputs, packed_frames, batch_first=True, enforce_sorted=False)
            )[0]
        # Both further layers work on frames one by one, in whichever order the packing put them.
        logits = self.dense(self.norm_recurrence(output.data)).unflatten(-1, (-1, 2))
        packed = PackedSequence(logits[..., 1] - logits[..., 0], *output[1:])
        padded = nn.utils.rnn.pad_packed_sequence(packed, batch_first=True, total_length=length)[0]
        return self._smooth(padded, real) if self.sizes.erb or self.sizes.seconds else padded

    def _smooth(self, logits: Tensor, real: Tensor) -> Tensor:
        """The logits of the mask (batch, length, bins) from those of bumps in each frame, (batch, length, bumps)."""
        along = torch.from_numpy(over_time(logits.shape[1], self.sizes.hop, self.sizes.seconds)).to(logits)
        across = torch.from_numpy(over_frequency(self.sizes.bins, self.sizes.erb)).to(logits)
        weights = (real.to(logits) @ along).clamp(min=EPSILON)[..., None]
        heights = torch.sigmoid(along.T @ logits / weights)
        return torch.logit(along @ heights @ across.T, EPSILON) * real[..., None]

    def log_power(self, waveforms: Tensor) -> Tensor:
        """What `forward` reads, (batch, frames, bins), from samples on the scale of 16-bit integers."""
        return log_power(waveforms, self.sizes)

    def frames(self, samples: Tensor) -> Tensor:
        """Number of frames of signals with these numbers of samples."""
        return 1 + samples // self.sizes.hop


def log_power(waveforms: Tensor, sizes: MaskEstimatorSizes) -> Tensor:
    """Natural logarithm of the power at each point, (batch, frames, bins)."""
    return stft(waveforms, sizes.window, sizes.hop).abs().square().add(FLOOR).log()


def save_estimator(model: MaskEstimator, folder: Path) -> None:
    """Write folder/model.safetensors and folder/config.json."""
    save(model, folder, asdict(model.sizes))


def load_estimator(folder: Path, device: str = "cpu") -> MaskEstimator:
    """Read what `save_estimator` wrote, ready to estimate."""
    sizes = load_sizes(folder)
    weights = folder / "model.safetensors"
    with foreign(weights, "holds no mask estimator that can be read", RERUN, RERUN):
        model = build(lambda: MaskEstimator(sizes), safetensors.torch.load_file(weights))
    return model.to(device).eval()


def load_sizes(folder: Path) -> MaskEstimatorSizes:
    """The sizes of an estimator that `save_estimator` wrote."""
    config = read_json(folder / "config.json")
    with foreign(folder / "config.json", "does not hold the sizes of a mask estimator", RERUN):
        return MaskEstimatorSizes(**config)
