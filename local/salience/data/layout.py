"""Which tables a data directory may hold, and what their keys are."""

import re
from pathlib import Path

PER_UTTERANCE = (
    "utt2spk", "text", "segments", "feats.scp", "vad.scp", "utt2dur", "utt2num_frames", "utt2lang", "utt2accent",
    "utt2split", "utt2uniq", "utt2speed",
)  # fmt: skip
PER_SPEAKER = ("spk2gender", "cmvn.scp")
"""Besides `spk2utt`, which is always made from `utt2spk`."""
PER_RECORDING = ("wav.scp", "reco2dur", "reco2file_and_channel")
"""A recording is an utterance where there are no segments."""
KINDS = {"utterance": PER_UTTERANCE, "speaker": PER_SPEAKER, "recording": PER_RECORDING}
"""What the keys are to the tables that have such keys."""


def other_tables(folder: Path) -> list[str]:
    """Tables of a data directory, by Kaldi's way to name them, of which we know no more than that."""
    known = {*PER_UTTERANCE, *PER_SPEAKER, *PER_RECORDING, "spk2utt"}
    named = (
        path.name for path in folder.iterdir() if re.fullmatch(r"(utt|spk|reco)2\w+", path.name) and path.is_file()
    )
    return sorted(name for name in named if name not in known)
