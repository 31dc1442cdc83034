#!/usr/bin/env python3
"""Stage 7: hypotheses of one Whisper model for each set."""

import logging
from pathlib import Path

from salience import program
from salience.data.tables import read_table, write_table
from salience.decoding.whisper import transcribe
from salience.features.archives import Archive
from salience.models.whisper import check_bins, check_context, load_model, tokenizer_of
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
    """Write out/SET/text, one hypothesis an utterance, and out/SET/truncated, the ids of those that hit --longest.

    Greedy, with the language forced, without time stamps and without a second
    try at another temperature.

    Args:
        model: A model of openai-whisper by name, a checkpoint file of it, or a folder of Hugging Face or CTranslate2.
        features: Folder of the features.
        sets: Names of the sets, separated by spaces.
        out: Folder for the hypotheses.
        language: Whisper's code of the language.
        full_context: Pad to 30 s, as the published models were trained.
        longest: Most tokens of a hypothesis; 225 are some 150 words of English and 65 of Persian.
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
            outputs=[out / name / "text", out / name / "truncated"],
        )
        if step.is_done():
            continue
        if network is None:
            network = load_model(model, device)
            tokenizer_of(network, language)
            check_context(network, full_context)
        frames = {u: int(n) for u, n in read_table(features / name / "utt2num_frames").items()}
        with step:
            archive = Archive(features / name / "feats.scp")
            check_bins(network, archive)
            truncated: list[str] = []
            hypotheses = transcribe(network, archive, frames, language, batch_size, full_context, longest, truncated)
            write_table(out / name / "text", dict(bar(hypotheses, f"decoding {name}", len(frames))))
            write_table(out / name / "truncated", dict.fromkeys(truncated, ""))
        logger.info(
            "wrote %d hypotheses to %s; %d of them were cut off at %d tokens (--longest)",
            len(frames), out / name / "text", len(truncated), longest,
        )  # fmt: skip


if __name__ == "__main__":
    program.main(decode_whisper)
