#!/usr/bin/env python3
"""filter_scp.pl [--exclude] [-f n] <list> [<table>] > <table>; --help tells more."""

import sys

import data_dir

data_dir.main(sys.argv[0])
