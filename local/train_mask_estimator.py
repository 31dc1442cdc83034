#!/usr/bin/env python3
"""Stage 4: train a mask estimator, which hides as much speech in noise as a frozen recogniser can bear."""

import logging
from pathlib import Path

import torch

from salience import program
from salience.data.alignment import character_error_rate
from salience.files import write_json
from salience.masking.noise import NoiseLevels, NoiseSettings
from salience.models.mask_estimator import MaskEstimator, MaskEstimatorSizes, load_estimator, save_estimator
from salience.models.recognisers import RecogniserChoice, frozen
from salience.steps import Step, is_first_process
from salience.training import bubbles
from salience.training.bubbles import BandExchange, BubbleNetwork, BubbleWeights
from salience.training.settings import TrainingSettings
from salience.training.trainer import device_of, remove_checkpoints, train

logger = logging.getLogger(Path(__file__).name)


def train_mask_estimator(
    data: Path,
    out: Path,
    recogniser: RecogniserChoice,
    train_set: str = "train",
    dev_set: str = "dev",
    sizes: MaskEstimatorSizes = MaskEstimatorSizes(),
    weights: BubbleWeights = BubbleWeights(),
    noise: NoiseSettings = NoiseSettings(),
    training: TrainingSettings = TrainingSettings(),
    leak: float = 0.0,
    exchange: BandExchange = BandExchange(),
    levels: NoiseLevels = NoiseLevels(),
    allowance: float = 3.0,
    init: Path | None = None,
    seed: int = 1,
    ngpu: int = 0,
) -> None:
    """Write out/model.safetensors, config.json and history.json.

    Keeps the state with the most noise of those whose dev CER is within the
    allowance of the CER on clean speech; if there is none, the one with the
    lowest CER.  That CER is of the recogniser's fast decoding (the best path
    of a hybrid's CTC branch), with the same noise each time.

    Args:
        data: folder of the data directories
        out: folder of the estimator
        recogniser: the recogniser, which stays as it is
        train_set: set to train on
        dev_set: set that chooses the state
        sizes: sizes of the network
        weights: weights of the loss
        noise: gains of noise and dither
        training: settings of the training
        leak: weight, beside that of the recogniser's loss, of what it understands of a text when the noise through its
            mask lies over other speech; 0 is the paper's, and lets a mask write the words itself
        exchange: the same by band
        levels: levels of the training set's noise before the mask
        allowance: points of CER that the noise may cost
        init: folder of a trained estimator to start from, whose sizes and normalisation are kept
        seed: random seed for weights, order, dither and noise
        ngpu: number of GPUs
    """
    step = Step(
        out / "step.json",
        {
            "recogniser": recogniser.kind,
            "sizes": sizes,
            "weights": weights,
            "noise": noise,
            "training": training,
            "allowance": allowance,
            "seed": seed,
            **({"leak": leak} if leak else {}),
            **({"exchange": exchange} if exchange.weight else {}),
            **({"levels": levels} if levels.decibels else {}),
            **({"language": recogniser.language} if recogniser.kind == "whisper" else {}),
        },
        inputs=[data / train_set, data / dev_set, *recogniser.files, *([init / "model.safetensors"] if init else [])],
        outputs=[out / name for name in ("model.safetensors", "config.json", "history.json")],
        partial=out / "checkpoints",
    )
    if step.is_done():
        return
    device = device_of(ngpu)
    model = frozen(recogniser, device)
    train_data = bubbles.read_signals(data / train_set, model, noise.dither, seed, levels)
    dev_data = bubbles.read_signals(data / dev_set, model, noise.dither, seed)
    with step:
        torch.manual_seed(seed)
        if init:
            estimator = load_estimator(init)
        else:
            estimator = MaskEstimator(sizes)
            estimator.set_normalisation(*bubbles.statistics(train_data, sizes))
        network = BubbleNetwork(estimator, model, weights, noise, leak, exchange, seed).to(device)
        score = bubbles.dev_scorer(dev_data, model, character_error_rate, training.batch_size, allowance)
        lengths = [len(s) for s in train_data.signals]
        history = train(
            network, train_data, lengths, bubbles.collate, score, "eval_dev_choice", True, out, training, seed, ngpu
        )
        if not is_first_process():
            return
        save_estimator(network.estimator, out)
        write_json(out / "history.json", history)
    remove_checkpoints(out)


if __name__ == "__main__":
    program.main(train_mask_estimator)
