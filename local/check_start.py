#!/usr/bin/env python3
"""Stage 3: whether a model can come from a start, asked before anything takes hours."""

from salience import program
from salience.models.wav2vec import check_start

if __name__ == "__main__":
    program.main(check_start)
