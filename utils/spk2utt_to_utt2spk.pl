#!/usr/bin/env python3
"""spk2utt_to_utt2spk.pl [spk2utt] > utt2spk; --help tells more."""

import sys

import data_dir

data_dir.main(sys.argv[0])
