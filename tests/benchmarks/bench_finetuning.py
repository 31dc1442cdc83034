#!/usr/bin/env python3
"""Fine-tuning Whisper on short utterances, against the transformers recipe that pads them to 30 s."""

import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import Row, best_seconds, write_rows
from torch import nn
from torch.utils.data import Dataset
from transformers import (
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)
from transformers.trainer_callback import PrinterCallback
from whisper.model import ModelDimensions

from salience import program
from salience.features.logmel import BINS, FRAMES_30S, SILENCE, pad_frames
from salience.models.whisper import IGNORED, MINI, WhisperForTraining, collate, new_model, target_tokens, tokenizer_of
from salience.training.finetuning import AugmentedUtterances
from salience.training.settings import TrainingSettings
from salience.training.trainer import train

TINY = ModelDimensions(
    n_mels=80,
    n_audio_ctx=1500,
    n_audio_state=384,
    n_audio_head=6,
    n_audio_layer=4,
    n_vocab=51865,
    n_text_ctx=448,
    n_text_state=384,
    n_text_head=6,
    n_text_layer=4,
)
WARM_UP = 1
"""Updates that are not counted: the first allocates."""


def bench_finetuning(tiny: bool = True, repetitions: int = 2, out: Path | None = None) -> None:
    """Utterances a second: the mini Whisper, and whisper-tiny's sizes, both with random weights.

    Utterances last 1.5 to 3 s.  Both sides get log-mel features that are in
    memory, the same targets, batch size, precision (float32 on a processor)
    and optimiser; start-up, evaluation and checkpoints are not counted.

    Args:
        tiny: Measure whisper-tiny's sizes too.
        repetitions: Measurements of each; the best counts.
        out: File to append the rows to; they are printed if there is none.
    """
    rows = [_row("mini Whisper", MINI, 16, 5, repetitions)]
    if tiny:
        rows.append(_row("whisper-tiny's sizes", TINY, 8, 3, 1))
    write_rows(rows, out)


def _row(name: str, dims: ModelDimensions, batch_size: int, updates: int, repetitions: int) -> Row:
    number = batch_size * updates // 2 * 2
    rng = np.random.default_rng(1)
    tokenizer = tokenizer_of(new_model(MINI, 1), "en")
    features, tokens = {}, {}
    for index in range(number):
        frames = int(rng.integers(150, 301))
        features[f"u{index}"] = rng.uniform(SILENCE, 1, (frames, BINS)).astype(np.float32)
        words = rng.choice(["zero", "one", "two", "three", "four", "five", "six"], size=frames // 50)
        tokens[f"u{index}"] = target_tokens(tokenizer, " ".join(words), dims.n_text_ctx)
    speeds: dict[str, list[float]] = {"ours": [], "theirs": []}
    with tempfile.TemporaryDirectory() as folder:
        tries = iter(range(2 * repetitions))
        settings = TrainingSettings(epochs=1, batch_size=batch_size)

        def ours() -> None:
            half = list(features)[: number // 2]
            dataset = AugmentedUtterances(half, features, tokens, lambda _utterance, matrix, _epoch: matrix)
            model = WhisperForTraining(new_model(dims, 1))
            clock = _Clock(model)
            train(
                model,
                dataset,
                [len(features[u]) for u in half] * 2,
                partial(collate, end=tokenizer.eot, full_context=False),
                lambda _: {"dev_wer": 0.0},
                "eval_dev_wer",
                False,
                Path(folder) / str(next(tries)),
                settings,
                seed=1,
            )
            speeds["ours"].append(batch_size / clock.seconds())

        def theirs() -> None:
            model = WhisperForConditionalGeneration(_config(dims, tokenizer.sot, tokenizer.eot))
            clock = _Clock(model)
            _seq2seq_recipe(model, features, tokens, Path(folder) / str(next(tries)), settings)
            speeds["theirs"].append(batch_size / clock.seconds())

        best_seconds({"ours": ours, "theirs": theirs}, repetitions)
    mine, other = max(speeds["ours"]), max(speeds["theirs"])
    title = f"fine-tuning on 1.5 to 3 s, {name}, batches of {batch_size}"
    return Row(title, f"{mine:.1f} utt/s", f"Seq2SeqTrainer {other:.1f} utt/s", mine / other, aim=4)


class _Clock:
    """When each update of a training starts, loading of its batch included in the one before."""

    def __init__(self, model: nn.Module) -> None:
        self.starts: list[float] = []
        model.register_forward_pre_hook(lambda *_: self.starts.append(time.perf_counter()))

    def seconds(self) -> float:
        """The median update after the warm-up."""
        return statistics.median(np.diff(self.starts)[WARM_UP:])


def _config(dims: ModelDimensions, start: int, end: int) -> WhisperConfig:
    return WhisperConfig(
        vocab_size=dims.n_vocab,
        num_mel_bins=dims.n_mels,
        d_model=dims.n_audio_state,
        encoder_layers=dims.n_audio_layer,
        encoder_attention_heads=dims.n_audio_head,
        encoder_ffn_dim=4 * dims.n_audio_state,
        decoder_layers=dims.n_text_layer,
        decoder_attention_heads=dims.n_text_head,
        decoder_ffn_dim=4 * dims.n_text_state,
        max_source_positions=dims.n_audio_ctx,
        max_target_positions=dims.n_text_ctx,
        decoder_start_token_id=start,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
    )


def _seq2seq_recipe(
    model: WhisperForConditionalGeneration,
    features: dict[str, np.ndarray],
    tokens: dict[str, list[int]],
    folder: Path,
    settings: TrainingSettings,
) -> None:
    """Fine-tuning as in transformers' documentation: every utterance prepared at 30 s, labels padded with -100."""
    prepared = [
        {"input_features": pad_frames(features[u], FRAMES_30S, SILENCE).T.copy(), "labels": tokens[u][1:]}
        for u in features
    ]
    extractor = WhisperFeatureExtractor()

    def collator(examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = extractor.pad([{"input_features": e["input_features"]} for e in examples], return_tensors="pt")
        longest = max(len(e["labels"]) for e in examples)
        labels = [e["labels"] + [IGNORED] * (longest - len(e["labels"])) for e in examples]
        return {"input_features": batch["input_features"], "labels": torch.tensor(labels)}

    arguments = Seq2SeqTrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=settings.batch_size,
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        warmup_steps=settings.warmup,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.gradient_clip,
        use_cpu=True,
        seed=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    trainer = Seq2SeqTrainer(model, arguments, train_dataset=_Listed(prepared), data_collator=collator)
    trainer.remove_callback(PrinterCallback)
    trainer.train()


class _Listed(Dataset[dict[str, Any]]):
    def __init__(self, items: list[dict[str, Any]]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.items[index]


if __name__ == "__main__":
    program.main(bench_finetuning)
