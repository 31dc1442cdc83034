# shellcheck shell=bash
# shellcheck source=../../path.sh
. ../../path.sh
