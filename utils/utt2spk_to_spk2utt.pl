#!/usr/bin/env python3
"""utt2spk_to_spk2utt.pl [utt2spk] > spk2utt; --help tells more."""

import sys

import data_dir

data_dir.main(sys.argv[0])
