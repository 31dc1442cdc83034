#!/usr/bin/env python3
"""Stage 6: fine-tune wav2vec 2.0 with CTC, with or without masks over its latent frames."""

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import jiwer

from salience import program
from salience.data.normalisers import normaliser as normaliser_of
from salience.data.symbols import Symbols, least_frames
from salience.data.waveforms import Waveforms
from salience.decoding.ctc import greedy, log_probabilities
from salience.errors import InputError
from salience.files import write_json
from salience.masking.apply import Masker, open_maps
from salience.masking.systems import System, read_system
from salience.models.wav2vec import FILES, Learning, files_of, frames_of, open_ctc, prepare, save_model
from salience.registry import plugins_of
from salience.steps import Step, is_first_process
from salience.training.trainer import TrainingSettings, remove_checkpoints, train
from salience.training.wav2vec_ctc import TranscribedUtterances, Wav2VecCTC, collate

logger = logging.getLogger(Path(__file__).name)


@program.renamed(variant="system", masking="systems")
def finetune_wav2vec(
    data: Path,
    out: Path,
    tokens: Path,
    start: str = "random",
    size: str = "base",
    systems: Path | None = None,
    system: str = "plain",
    train_set: str = "labelled_train",
    dev_set: str = "labelled_dev",
    packed: Path | None = None,
    maps: Path | None = None,
    task: str = "accent",
    learning: Learning = Learning(),
    training: TrainingSettings = TrainingSettings(learning_rate=1e-4, batch_size=8, accumulate=2),
    normaliser: str = "raw",
    scaled: bool = True,
    seed: int = 1,
    ngpu: int = 0,
) -> None:
    """Write out/model.safetensors, config.json, tokens.txt and history.json.

    Kept is the epoch with the lowest dev CER of the best path: while few words
    are right, the WER changes by chance, and blanks alone have less of it (100)
    than what begins to be words.

    Args:
        data: Folder of the data directories.
        out: Folder of the model.
        tokens: tokens.txt of the vocabulary.
        start: `random`, a folder of transformers' format, or a name on the Hugging Face hub (name@commit for other than its newest files); its language head is not used.
        size: Of a random start: base or mini.
        systems: The recipe's systems.yaml; without one, nothing is masked.
        system: Which of its systems to train.
        train_set: Set to learn from.
        dev_set: Set that chooses the epoch.
        packed: Folder of the packed sets; without one the recordings are decoded each time.
        maps: Folder of the saliency maps, for systems whose masks come from maps.
        task: Folder of the maps between method and set.
        learning: Which weights learn, and how fast.
        training: Settings of the training.
        normaliser: Of the text, targets and references alike.
        scaled: Each utterance with zero mean and unit variance.
        seed: Of the head, order, masks and dropout.
        ngpu: GPUs to use.
    """
    chosen = read_system(systems, system) if systems else System()
    if chosen.methods and maps is None:
        raise InputError(f"the system {system} needs --maps, the folder that stage 4 wrote")
    opened, used = open_maps(maps, str(Path(task, train_set)), chosen)
    sets = {name: Waveforms(data / name, packed / name if packed else None, scaled) for name in (train_set, dev_set)}
    step = Step(
        out / "step.json",
        {
            "start": start,
            "size": size,
            "system": chosen,
            "learning": learning,
            "training": training,
            "normaliser": normaliser,
            "scaled": scaled,
            "seed": seed,
            "sound": {name: waveforms.identity() for name, waveforms in sets.items()},
        },
        inputs=[
            tokens,
            *(path for name, w in sets.items() for path in (*w.inputs, data / name / "text")),
            *used,
            *plugins_of(*chosen.policies),
            *files_of(start),
        ],
        outputs=[out / name for name in (*FILES, "tokens.txt", "history.json")],
        partial=out / "checkpoints",
    )
    if step.is_done():
        return
    with step:
        symbols = Symbols(tokens)
        learnt, dev = (texts_of(waveforms, normaliser) for waveforms in sets.values())
        targets = {key: symbols.encode(text) for key, text in learnt.items()}
        unknown = sum(numbers.count(symbols.unknown) for numbers in targets.values()) / sum(map(len, targets.values()))
        logger.info("%d utterances; %.2f %% of their symbols are [UNK]", len(targets), 100 * unknown)
        model = open_ctc(start, symbols, size, seed)
        long = sum(
            least_frames(numbers) > frames_of(model.config, sets[train_set].samples[key])
            for key, numbers in targets.items()
        )
        if long:
            logger.info("%d utterances have more symbols than frames, so that nothing is learnt from them", long)
        finish = prepare(model, learning)
        frames = {key: int(frames_of(model.config, count)) for key, count in sets[train_set].samples.items()}
        masker = Masker(chosen, seed, opened, frames)
        utterances = TranscribedUtterances(sets[train_set], targets, model.config, masker)
        history = train(
            Wav2VecCTC(model),
            utterances,
            utterances.lengths,
            partial(collate, config=model.config),
            DevRates(sets[dev_set], dev, symbols, training.batch_size),
            "eval_dev_cer",
            False,
            out,
            training,
            seed,
            ngpu,
            learning.rate,
        )
        if is_first_process():
            save_model(finish().cpu(), out, symbols)
            write_json(out / "history.json", history)
    if is_first_process():
        remove_checkpoints(out)
        logger.info("wrote %s", out / "model.safetensors")


def texts_of(waveforms: Waveforms, name: str) -> dict[str, str]:
    """Normalised transcripts by utterance; an empty one is an InputError."""
    normalise, _ = normaliser_of(name)
    texts = {key: normalise(utterance.text) for key, utterance in waveforms.utterances.items()}
    for key, text in texts.items():
        if not text:
            raise InputError(
                f"{waveforms.data}/text: {key} has no words after the normaliser {name}; remove it with"
                " utils/fix_data_dir.sh"
            )
    return texts


class DevRates:
    """WER and CER in percent of the best path on a set."""

    def __init__(self, waveforms: Waveforms, references: Mapping[str, str], symbols: Symbols, batch_size: int) -> None:
        self.waveforms, self.references, self.symbols, self.batch_size = waveforms, references, symbols, batch_size

    def __call__(self, network: Wav2VecCTC) -> dict[str, float]:
        decode = greedy(self.symbols)
        said = {
            key: decode(scores) for key, scores in log_probabilities(network.model, self.waveforms, self.batch_size)
        }
        references = list(self.references.values())
        hypotheses = [said[key] for key in self.references]
        wer, cer = 100 * jiwer.wer(references, hypotheses), 100 * jiwer.cer(references, hypotheses)
        return {"dev_wer": wer, "dev_cer": cer}


if __name__ == "__main__":
    program.main(finetune_wav2vec)
