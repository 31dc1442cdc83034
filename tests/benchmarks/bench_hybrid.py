#!/usr/bin/env python3
"""A training step of ESPnet's hybrid recogniser, and its gradient for a mask estimator, with padded LSTMs or not."""

import tempfile
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
import yaml
from measure import Row, best_seconds, write_rows

from salience import program
from salience.features.fbank import BINS
from salience.models.recurrent import padded_lstm

SETTINGS = Path(__file__).resolve().parents[2] / "egs/an4/conf/recogniser.yaml"


def bench_hybrid(utterances: int = 12, frames: int = 250, out: Path | None = None) -> None:
    """Rows for a training step, and for the gradient with respect to the features of a frozen recogniser.

    Args:
        utterances: Size of the batch.
        frames: Frames of the longest utterance; the shortest has two thirds of them.
        out: File to append the rows to; they are printed if there is none.
    """
    torch.manual_seed(1)
    model = _model()
    lengths = torch.tensor(np.linspace(frames, frames * 2 // 3, utterances).astype(int))
    speech = 3 * torch.randn(utterances, frames, BINS)
    text = torch.randint(2, 28, (utterances, 20))
    batch = {"speech_lengths": lengths, "text": text, "text_lengths": torch.full((utterances,), 20)}

    def step(how: AbstractContextManager, frozen: bool) -> torch.Tensor:
        model.requires_grad_(not frozen)
        features = speech.clone().requires_grad_(frozen)
        with how:
            model(speech=features, **batch)[0].sum().backward()
        return features.grad if frozen else model.encoder.enc[0].birnn0.weight_ih_l0.grad

    rows = []
    for what, frozen in (("training step", False), ("gradient to the features", True)):
        values = []
        for how in (padded_lstm(), nullcontext()):
            model.zero_grad()
            values.append(step(how, frozen))
        torch.testing.assert_close(*values, rtol=1e-2, atol=1e-4 * float(values[1].abs().max()))
        seconds = best_seconds(
            {"ours": lambda f=frozen: step(padded_lstm(), f), "theirs": lambda f=frozen: step(nullcontext(), f)}, 3
        )
        rows.append(
            Row(
                f"hybrid of table 1's sizes, {what}, {utterances} utterances of up to {frames / 100:.1f} s",
                f"{seconds['ours']:.2f} s",
                f"ESPnet {seconds['theirs']:.2f} s",
                seconds["theirs"] / seconds["ours"],
            )
        )
    write_rows(rows, out)


def _model() -> torch.nn.Module:
    from espnet2.tasks.asr import ASRTask

    settings = yaml.safe_load(SETTINGS.read_text(encoding="utf-8"))["training"]
    tokens = ["<blank>", "<unk>", "<space>", *map(chr, range(65, 91)), "<sos/eos>"]
    # Dropout would make the two sides differ.
    settings["decoder_conf"]["dropout"] = 0.0
    settings |= {"input_size": BINS, "token_list": tokens, "normalize": None, "init": "chainer"}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "settings.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        arguments = ASRTask.get_parser().parse_args(["--config", f"{folder}/settings.yaml", "--output_dir", folder])
    return ASRTask.build_model(arguments).train()


if __name__ == "__main__":
    program.main(bench_hybrid)
