#!/usr/bin/env python3
"""Stage 4: train a mask estimator that drowns speech in noise while a frozen recogniser still understands."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from more_itertools import chunked
from torch import nn

from salience import program
from salience.data.directories import read_data_dir
from salience.data.signals import read_utterance
from salience.decoding.listeners import ListenerChoice, open_listener
from salience.errors import InputError
from salience.features.fbank import INT16, RATE
from salience.files import write_json
from salience.masking.noise import noise_proportion
from salience.models.mask_estimator import MaskEstimator, MaskEstimatorSizes, load_estimator, log_power, save_estimator
from salience.scoring.alignment import character_counts
from salience.scoring.wer import rate
from salience.steps import Step, is_first_process
from salience.training.bubbles import (
    BubbleNetwork,
    BubbleNoise,
    BubbleWeights,
    Listener,
    NoisyUtterances,
    collate,
    exchanged,
)
from salience.training.trainer import TrainingSettings, device_of, remove_checkpoints, train

logger = logging.getLogger("train_mask_estimator")


def train_mask_estimator(
    data: Path,
    out: Path,
    listener: ListenerChoice,
    train_set: str = "train",
    dev_set: str = "dev",
    sizes: MaskEstimatorSizes = MaskEstimatorSizes(),
    weights: BubbleWeights = BubbleWeights(),
    noise: BubbleNoise = BubbleNoise(),
    training: TrainingSettings = TrainingSettings(),
    leak: float = 0.0,
    allowance: float = 3.0,
    init: Path | None = None,
    seed: int = 1,
    ngpu: int = 0,
) -> None:
    """Write out/model.safetensors, config.json and history.json.

    Kept is the state with the most noise of those whose dev CER is within the
    allowance of the CER on clean speech; if there is none, the one with the
    lowest CER.  That CER is of the listener's fast decoding (the best path of
    a hybrid's CTC branch), with the same noise each time.

    Args:
        data: Folder of the data directories.
        out: Folder of the estimator.
        listener: The recogniser, which stays as it is.
        train_set: Set to learn from.
        dev_set: Set that chooses the state.
        sizes: Sizes of the network.
        weights: Weights of the loss.
        noise: Gains of noise and dither.
        training: Settings of the training.
        leak: Weight, beside that of the recogniser's loss, of what it understands of a text when the noise
            through its mask lies over other speech.  0 is the paper's, and lets a mask write the words itself.
        allowance: Points of CER that the noise may cost.
        init: Folder of a trained estimator to go on from, whose sizes and normalisation are kept.
        seed: Of weights, order, dither and noise.
        ngpu: GPUs to use.
    """
    step = Step(
        out / "step.json",
        {
            "listener": listener.kind,
            "sizes": sizes,
            "weights": weights,
            "noise": noise,
            "training": training,
            "allowance": allowance,
            "seed": seed,
            **({"leak": leak} if leak else {}),
            **({"language": listener.language} if listener.kind == "whisper" else {}),
        },
        inputs=[data / train_set, data / dev_set, listener.weights, *([init / "model.safetensors"] if init else [])],
        outputs=[out / name for name in ("model.safetensors", "config.json", "history.json")],
        partial=out / "checkpoints",
    )
    if step.is_done():
        return
    device = device_of(ngpu)
    recogniser = open_listener(listener, device)
    sets = {name: read_signals(data / name, recogniser, noise.dither, seed) for name in (train_set, dev_set)}
    with step:
        torch.manual_seed(seed)
        if init:
            estimator = load_estimator(init)
        else:
            estimator = MaskEstimator(sizes)
            estimator.set_normalisation(*statistics(sets[train_set], sizes))
        network = BubbleNetwork(estimator, recogniser, weights, noise, leak).to(device)
        score = dev_scorer(sets[dev_set], recogniser, training.batch_size, allowance)
        history = train(
            network,
            sets[train_set],
            [len(s) for s in sets[train_set].signals],
            collate,
            score,
            "eval_dev_choice",
            True,
            out,
            training,
            seed,
            ngpu,
        )
        if not is_first_process():
            return
        save_estimator(network.estimator, out)
        write_json(out / "history.json", history)
    remove_checkpoints(out)


def read_signals(folder: Path, recogniser: Listener, dither: float, seed: int) -> NoisyUtterances:
    """A set's signals, all in memory (200 MB an hour); a text that the recogniser cannot know is an InputError."""
    utterances = read_data_dir(folder)
    for utterance in utterances:
        if (reason := recogniser.check(utterance.text)) is not None:
            raise InputError(
                f"{folder}/text: the text of {utterance.id} cannot be learnt, for {reason}; remove it with"
                " utils/fix_data_dir.sh or use another recogniser"
            )
    signals = [INT16 * read_utterance(u, RATE) for u in utterances]
    return NoisyUtterances([u.id for u in utterances], signals, [u.text for u in utterances], dither, seed)


def statistics(source: NoisyUtterances, sizes: MaskEstimatorSizes) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of each bin's log power over all frames of a set."""
    total, squares, count = (
        torch.zeros(sizes.bins, dtype=torch.float64),
        torch.zeros(sizes.bins, dtype=torch.float64),
        0,
    )
    for index in range(len(source)):
        values = log_power(torch.from_numpy(source[0, index].speech)[None], sizes)[0].double()
        total, squares, count = total + values.sum(0), squares + values.square().sum(0), count + len(values)
    mean = total / count
    return mean.float(), (squares / count - mean.square()).clamp(min=1e-6).sqrt().float()


def dev_scorer(
    source: NoisyUtterances, recogniser: Listener, batch_size: int, allowance: float
) -> Callable[[nn.Module], dict[str, float]]:
    """A function that scores a network on the dev set, with the noise of epoch 0 each time."""
    order = np.argsort([len(s) for s in source.signals], kind="stable").tolist()
    batches = list(chunked(order, batch_size))
    references = [recogniser.plain(source.texts[row]) for row in order]
    clean_cer: list[float] = []

    def score(network: BubbleNetwork) -> dict[str, float]:
        device = network.estimator.mean.device
        heard: dict[str, list[str]] = {"clean": [], "own": [], "other": []}
        shares = []
        for rows in batches:
            batch = collate([source[0, row] for row in rows])
            speech, noise, samples = (batch[name].to(device) for name in ("speech", "noise", "samples"))
            added, logits, frames = network.added(noise, speech, samples)
            signals = {"own": speech + added, "other": exchanged(speech, samples, batch["texts"]) + added}
            if not clean_cer:
                signals["clean"] = speech
            for name, mixed in signals.items():
                heard[name] += map(recogniser.plain, recogniser.transcribe(mixed, batch["samples"]))
            masks = torch.sigmoid(logits)
            shares += [noise_proportion(mask[:count]) for mask, count in zip(masks, frames.tolist(), strict=True)]
        cer = {name: rate(character_counts(references, texts)) for name, texts in heard.items() if texts}
        if not clean_cer:
            clean_cer.append(cer["clean"])
        proportion = 100 * float(np.mean(shares))
        excess = cer["own"] - clean_cer[0]
        return {
            "dev_cer": cer["own"],
            "dev_other_cer": cer["other"],
            "dev_clean_cer": clean_cer[0],
            "dev_noise_proportion": proportion,
            "dev_choice": proportion if excess <= allowance else -excess,
        }

    return score


if __name__ == "__main__":
    program.main(train_mask_estimator)
