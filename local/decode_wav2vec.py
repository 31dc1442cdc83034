#!/usr/bin/env python3
"""Stage 7: hypotheses of CTC models for each set."""

import logging
import shlex
from pathlib import Path

from salience import program
from salience.data.tables import write_table
from salience.data.waveforms import Waveforms
from salience.decoding.ctc import beam as beam_of
from salience.decoding.ctc import greedy, log_probabilities
from salience.errors import InputError
from salience.models.wav2vec import FILES, load_ctc
from salience.progress import bar
from salience.steps import Step

logger = logging.getLogger(Path(__file__).name)


def decode_wav2vec(
    models: str,
    data: Path,
    sets: str,
    out: str = "decode",
    packed: Path | None = None,
    beam: int = 0,
    lm: Path | None = None,
    lm_weight: float = 0.5,
    word_bonus: float = 1.5,
    scaled: bool = True,
    batch_size: int = 8,
    device: str = "cpu",
) -> None:
    """Write MODEL/out/SET/text, one hypothesis an utterance.

    Args:
        models: Folders of the models, each with tokens.txt, separated by spaces; one with a space in its name
            stands in quotes.
        data: Folder of the data directories.
        sets: Names of the sets, separated by spaces.
        out: Folder for the hypotheses, within the model's.
        packed: Folder of the packed sets; without one the recordings are decoded.
        beam: Width of the beam; 0 takes the best path.
        lm: n-gram model of words for the beam, as ARPA text or KenLM's binary file.  Nothing here makes one: KenLM's
            lmplz does, or any other tool, from sentences as the normaliser writes them.  Reading it needs the package kenlm.
        lm_weight: Weight of the n-gram model.
        word_bonus: Added for each word of a hypothesis.
        scaled: Each utterance with zero mean and unit variance.
        batch_size: Utterances heard at a time.
        device: cpu or cuda.
    """
    if lm is not None and not beam:
        raise InputError(f"--lm needs --beam: the best path has no use for {lm}; give a width, for instance --beam 50")
    try:
        folders = [Path(folder) for folder in shlex.split(models)]
    except ValueError:
        raise InputError(
            f"--models has a quote that is not closed: {models}; put each name with a quote or a space in it in quotes"
            " of the other kind"
        ) from None
    for model in folders:
        loaded = None
        for name in sets.split():
            waveforms = Waveforms(data / name, packed / name if packed else None, scaled)
            step = Step(
                model / out / name / "step.json",
                {
                    "beam": beam,
                    "lm_weight": lm_weight,
                    "word_bonus": word_bonus,
                    "scaled": scaled,
                    "sound": waveforms.identity(),
                },
                inputs=[*waveforms.inputs, *(model / file for file in (*FILES, "tokens.txt")), *([lm] if lm else [])],
                outputs=[model / out / name / "text"],
            )
            if step.is_done():
                continue
            if loaded is None:
                network, symbols = loaded = load_ctc(model, device)
                decode = beam_of(symbols, beam, lm, lm_weight, word_bonus) if beam else greedy(symbols)
            with step:
                scores = bar(log_probabilities(network, waveforms, batch_size), f"decoding {name}", len(waveforms))
                write_table(model / out / name / "text", {key: decode(rows) for key, rows in scores})
            logger.info("wrote %d hypotheses to %s", len(waveforms), model / out / name / "text")


if __name__ == "__main__":
    program.main(decode_wav2vec)
