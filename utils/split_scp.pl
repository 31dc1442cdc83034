#!/usr/bin/env python3
"""split_scp.pl <in> <out1> <out2> ...; --help tells more."""

import sys

import data_dir

data_dir.main(sys.argv[0])
