#!/usr/bin/env python3
"""Run a command, or an array of them, on Grid Engine: queue.pl [options] [JOB=1:n] <log> <command> [args...].

Python under its traditional name, so that scripts written for Kaldi call it unchanged.
"""

import sys

import cluster
import submit

if __name__ == "__main__":
    sys.exit(submit.main("queue.pl", cluster.run))
