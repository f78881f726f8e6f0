#!/usr/bin/env bash
# Damages the files of a small pool at random, one place at a time, and looks how it is met: the pool refuses to open or its check finds it, or nothing is
# lost; and repair brings back what is whole and serves nothing that is wrong.
#
#   scripts/damage.sh [--cases N] [--seed S] [--pool KIND] [--places A,B] [--processes N] [--verbose]
#
#   --cases N       of each kind of file (1000), by turns a flipped bit, a cut, a page zeroed, two pages swapped, the file deleted
#   --seed S        of the pool and of the damage (1)
#   --pool KIND     leveldb (default), packed (the same, with values that Zstandard made smaller) or direct
#   --places A,B    kinds of files (table,log,manifest,current,mark,pool-log,log-mark; of a direct pool also label, labels (both at once), data; all)
#   --processes N   that judge at a time (2); where LevelDB ends one, that is a finding
#   --verbose       tell of each case
#
# The last line of each kind of file has the counts; the exit code is 0 only where every case was met.

. "$(dirname "$(readlink -f "$0")")/lib.sh"

case ${1:-} in -h | --help) print_help; exit 0 ;; esac
need_node
need_packages
export TSX_TSCONFIG_PATH=$top/tsconfig.json
exec node --import "$top/node_modules/tsx/dist/loader.mjs" "$top/scripts/damage/main.ts" "$@"
