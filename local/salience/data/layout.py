"""Which tables a data directory may hold, and what their keys are."""

PER_UTTERANCE = (
    "utt2spk",
    "text",
    "segments",
    "feats.scp",
    "vad.scp",
    "utt2dur",
    "utt2num_frames",
    "utt2lang",
    "utt2accent",
    "utt2split",
    "utt2uniq",
    "utt2speed",
)
PER_SPEAKER = ("spk2gender", "cmvn.scp")
"""Besides `spk2utt`, which is always made from `utt2spk`."""
PER_RECORDING = ("wav.scp", "reco2dur", "reco2file_and_channel")
"""A recording is an utterance where there are no segments."""
