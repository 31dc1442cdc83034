#!/usr/bin/env python3
"""Stage 6: fine-tune Whisper on each utterance twice an epoch, once as it is and once masked."""

import logging
from functools import partial
from pathlib import Path
from typing import Literal

import jiwer
from whisper.tokenizer import Tokenizer

from salience import program
from salience.data.directories import read_data_dir
from salience.data.tables import read_table
from salience.decoding.whisper import transcribe
from salience.errors import InputError
from salience.features.archives import Archive
from salience.files import write_json
from salience.masking.apply import Masker, open_maps
from salience.masking.policies import Masking
from salience.models.whisper import (
    MINI,
    TooLong,
    WhisperForTraining,
    check_bins,
    load_model,
    new_model,
    save_model,
    target_tokens,
    tokenizer_of,
)
from salience.steps import Step, is_first_process
from salience.training.trainer import TrainingSettings, remove_checkpoints, train
from salience.training.whisper_data import AugmentedUtterances, collate

logger = logging.getLogger("finetune_whisper")


def finetune_whisper(
    data: Path,
    features: Path,
    out: Path,
    model: str,
    variant: str = "plain",
    train_set: str = "asr_train",
    dev_set: str = "asr_dev",
    maps: Path | None = None,
    masked: Path | None = None,
    masks: Literal["redrawn", "fixed"] = "redrawn",
    masking: Masking = Masking(),
    training: TrainingSettings = TrainingSettings(),
    language: str = "en",
    full_context: bool = False,
    longest: int = 225,
    dev_utterances: int = 0,
    skip_long_texts: bool = False,
    seed: int = 1,
    ngpu: int = 0,
) -> None:
    """Write out/model.pt (openai-whisper's format), the weights of the best epoch by dev WER, and history.json.

    Targets are lower case.  Every variant makes the same number of updates:
    plain sees each utterance twice.

    Args:
        data: Folder of the data directories.
        features: Folder of the features.
        out: Folder of the model.
        model: A model of openai-whisper by name, a checkpoint file of it, a folder of Hugging Face or CTranslate2 (whose
            quantised weights are rounded ones), or `new-mini` for the mini model with random weights.
        variant: plain, specaugment, gradcam, gradcam++, random-mask or other-mask.
        train_set: Set to learn from.
        dev_set: Set that chooses the epoch.
        maps: Folder of the saliency maps, for the variants that need them.
        masked: Folder of the masked features, for --masks fixed.
        masks: Draw masks anew in each epoch, or take those of stage 5.
        masking: Policies and fill.
        training: Settings of the training.
        language: Whisper's code of the language.
        full_context: Pad to 30 s, as the published models were trained, instead of to the batch.
        longest: Most tokens of a hypothesis on the dev set.
        dev_utterances: Use only the first this many of the dev set; 0 uses all.
        skip_long_texts: Leave out training utterances whose text has more tokens than the decoder reads (448).
        seed: Of order, masks and dropout; of the weights with --model new-mini.
        ngpu: GPUs to use.
    """
    archive_path = features / train_set / "feats.scp"
    loaded, used = open_maps(maps, train_set, variant) if maps is not None and masks == "redrawn" else ({}, [])
    if masks == "fixed" and variant != "plain":
        if masked is None:
            raise InputError("--masks fixed needs --masked, the folder that stage 5 wrote")
        used = [masked / variant / train_set / "feats.scp"]
    checkpoint = Path(model)
    step = Step(
        out / "step.json",
        {
            "variant": variant,
            "masks": masks,
            "masking": masking,
            "training": training,
            "language": language,
            "full_context": full_context,
            "seed": seed,
            "longest": longest,
            "dev_utterances": dev_utterances,
            "model": model,
            **({"skip_long_texts": True} if skip_long_texts else {}),
        },
        inputs=[data / train_set, data / dev_set, archive_path, features / dev_set / "feats.scp", *used]
        + ([checkpoint] if checkpoint.exists() else []),
        outputs=[out / "model.pt", out / "history.json"],
        partial=out / "checkpoints",
    )
    if step.is_done():
        return
    with step:
        whisper = new_model(MINI, seed) if model == "new-mini" else load_model(model)
        tokenizer = tokenizer_of(whisper, language)
        for name in (train_set, dev_set):
            check_bins(whisper, Archive(features / name / "feats.scp"))
        tokens = _targets(data / train_set, tokenizer, whisper.dims.n_text_ctx, skip_long_texts)
        counts = read_table(features / train_set / "utt2num_frames")
        if masks == "fixed" and variant != "plain":
            fixed = Archive(used[0])
            augment = lambda utterance, _features, _epoch: fixed[utterance]  # noqa: E731
        else:
            if variant != "plain" and variant != "specaugment" and not loaded:
                raise InputError(f"the variant {variant} needs --maps, the folder that stage 4 wrote")
            augment = Masker(variant, masking, loaded, seed).apply
        utterances = list(tokens)
        train_data = AugmentedUtterances(utterances, Archive(archive_path), tokens, augment)
        dev_score = _DevScore(
            data / dev_set, features / dev_set, language, full_context, longest, dev_utterances, training.batch_size
        )
        history = train(
            WhisperForTraining(whisper),
            train_data,
            [int(counts[u]) for u in utterances] * 2,
            partial(collate, end=tokenizer.eot, full_context=full_context, most=2 * whisper.dims.n_audio_ctx),
            dev_score,
            "eval_dev_wer",
            False,
            out,
            training,
            seed,
            ngpu,
        )
        if is_first_process():
            whisper.short_context = not full_context
            save_model(whisper, out / "model.pt")
            write_json(out / "history.json", history)
    if is_first_process():
        remove_checkpoints(out)
        logger.info("wrote %s", out / "model.pt")


def _targets(data: Path, tokenizer: Tokenizer, limit: int, skip_long: bool) -> dict[str, list[int]]:
    """Target tokens of each utterance, its text in lower case."""
    targets: dict[str, list[int]] = {}
    skipped = []
    for utterance in read_data_dir(data):
        if not utterance.text.strip():
            raise InputError(
                f"{data}/text: {utterance.id} has an empty transcript; remove it with utils/fix_data_dir.sh"
            )
        try:
            targets[utterance.id] = target_tokens(tokenizer, utterance.text.lower(), limit)
        except TooLong as error:
            skipped.append(utterance.id)
            if not skip_long:
                raise InputError(
                    f"{data}/text: {utterance.id}: {error}; leave out such utterances with --skip-long-texts true, in a"
                    " recipe skip_long_texts: true in conf/finetune.yaml"
                ) from None
        except InputError as error:
            raise InputError(f"{data}/text: {utterance.id}: {error}") from None
    if skipped:
        logger.info("left out %d utterances of more than %d tokens, first %s", len(skipped), limit, skipped[0])
    if not targets:
        raise InputError(f"{data}/text: every utterance has more than {limit} tokens; give shorter ones")
    return targets


class _DevScore:
    """WER in percent of a model on the dev set, both sides lower case."""

    def __init__(
        self, data: Path, features: Path, language: str, full_context: bool, longest: int, most: int, batch_size: int
    ) -> None:
        records = read_data_dir(data)[: most or None]
        counts = read_table(features / "utt2num_frames")
        self.references = {u.id: " ".join(u.text.lower().split()) for u in records}
        self.frames = {u.id: int(counts[u.id]) for u in records}
        self.archive = Archive(features / "feats.scp")
        self.options = {
            "language": language,
            "full_context": full_context,
            "longest": longest,
            "batch_size": batch_size,
        }

    def __call__(self, network: WhisperForTraining) -> dict[str, float]:
        hypotheses = dict(transcribe(network.model, self.archive, self.frames, **self.options))
        pairs = [(self.references[u], hypotheses[u].lower()) for u in self.references]
        return {"dev_wer": 100 * jiwer.wer([r for r, _ in pairs], [h for _, h in pairs])}


if __name__ == "__main__":
    program.main(finetune_whisper)
