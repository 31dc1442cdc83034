"""The recogniser of single words of the ImportantAug paper: 486,022 parameters with 35 words.

Depthwise-separable convolutions over time on a spectrogram in decibel, each
with a residual connection (the published code has them, the text omits them),
a mean over time and three dense layers.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from salience.errors import InputError
from salience.files import publish, read_json, temporary_name, write_json

AMPLITUDE_FLOOR = 1e-10
"""-200 dB: what digital silence becomes."""


@dataclass(frozen=True)
class CommandRecogniserConfig:
    """Words and sizes.

    Args:
        words: The words, in the order of the outputs.
        window: Samples of the STFT's Hann window.
        hop: Samples between frames.
        blocks: Convolution blocks.
        kernel: Frames that a convolution sees.
    """

    words: tuple[str, ...]
    window: int = 512
    hop: int = 128
    blocks: int = 5
    kernel: int = 9


class _Block(nn.Module):
    def __init__(self, bins: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(bins, bins, kernel, padding=kernel // 2, groups=bins)
        self.pointwise = nn.Conv1d(bins, bins, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + nn.functional.selu(self.pointwise(self.depthwise(x)))


class CommandRecogniser(nn.Module):
    """From magnitudes in decibel, (batch, bins, frames), to logits of the words."""

    def __init__(self, config: CommandRecogniserConfig) -> None:
        super().__init__()
        self.config = config
        bins = config.window // 2 + 1
        self.convs = nn.ModuleList(_Block(bins, config.kernel) for _ in range(config.blocks))
        self.dense = nn.Sequential(
            nn.Linear(bins, bins), nn.SELU(), nn.Linear(bins, bins), nn.SELU(), nn.Linear(bins, len(config.words))
        )

    def forward(self, decibels: Tensor) -> Tensor:
        for block in self.convs:
            decibels = block(decibels)
        return self.dense(decibels.mean(dim=2))

    def decibels(self, waveforms: Tensor) -> Tensor:
        """What `forward` reads, from samples between -1 and 1, (batch, samples)."""
        window = torch.hann_window(self.config.window, device=waveforms.device)
        spectrum = torch.stft(waveforms, self.config.window, self.config.hop, window=window, return_complex=True)
        return 20 * spectrum.abs().clamp(min=AMPLITUDE_FLOOR).log10()


def save_recogniser(model: CommandRecogniser, folder: Path) -> None:
    """Write folder/model.safetensors and folder/config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(folder / "model.safetensors")
    safetensors.torch.save_file({k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}, temporary)
    publish(temporary, folder / "model.safetensors")
    write_json(folder / "config.json", asdict(model.config))


def load_recogniser(folder: Path, device: str = "cpu") -> CommandRecogniser:
    """Read what `save_recogniser` wrote."""
    try:
        config = read_json(folder / "config.json")
        words: Sequence[str] = config.pop("words")
        model = CommandRecogniser(CommandRecogniserConfig(words=tuple(words), **config))
        model.load_state_dict(safetensors.torch.load_file(folder / "model.safetensors"))
    except (OSError, TypeError, KeyError, RuntimeError, safetensors.SafetensorError) as error:
        raise InputError(f"{folder} holds no recogniser of commands that can be read ({type(error).__name__}); train it again") from None
    return model.to(device).eval()
