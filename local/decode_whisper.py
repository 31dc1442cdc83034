#!/usr/bin/env python3
"""Stage 7: hypotheses of one Whisper model for each set."""

import logging
from pathlib import Path

from salience import program
from salience.data.tables import read_table, write_table
from salience.decoding.whisper import transcribe
from salience.features.archives import Archive
from salience.models.whisper import load_model
from salience.progress import bar
from salience.steps import Step

logger = logging.getLogger("decode_whisper")


def decode_whisper(
    model: str,
    features: Path,
    sets: str,
    out: Path,
    language: str = "en",
    full_context: bool = False,
    longest: int = 225,
    batch_size: int = 32,
    device: str = "cpu",
) -> None:
    """Write out/SET/text, one hypothesis an utterance.

    Greedy, with the language forced, without time stamps and without a second
    try at another temperature.

    Args:
        model: A model of openai-whisper by name, or a checkpoint file.
        features: Folder of the features.
        sets: Names of the sets, separated by spaces.
        out: Folder for the hypotheses.
        language: Whisper's code of the language.
        full_context: Pad to 30 s, as the published models were trained.
        longest: Most tokens of a hypothesis.
        batch_size: Utterances decoded at a time.
        device: cpu or cuda.
    """
    network = None
    for name in sets.split():
        checkpoint = [Path(model)] if Path(model).exists() else []
        step = Step(
            out / name / "step.json",
            {"model": model, "language": language, "full_context": full_context, "longest": longest},
            inputs=[features / name / "feats.scp", *checkpoint],
            outputs=[out / name / "text"],
        )
        if step.is_done():
            continue
        network = network or load_model(model, device)
        frames = {u: int(n) for u, n in read_table(features / name / "utt2num_frames").items()}
        with step:
            archive = Archive(features / name / "feats.scp")
            hypotheses = transcribe(network, archive, frames, language, batch_size, full_context, longest)
            write_table(out / name / "text", dict(bar(hypotheses, f"decoding {name}", len(frames))))
        logger.info("wrote %d hypotheses to %s", len(frames), out / name / "text")


if __name__ == "__main__":
    program.main(decode_whisper)
