#!/usr/bin/env bash
# Fuzzes every decoder, the control socket and damaged pools, longer than the tests do.
#
#   scripts/fuzz.sh [RUNS]
#
#   RUNS   inputs for each decoder, 8000 without it: then about 160,000 in all, in a minute or two.
#          What takes a pool each gets one for every 25 of them.
#
# What fails is printed with its seed and path, which fast-check takes to do it again.

. "$(dirname "$(readlink -f "$0")")/lib.sh"

case ${1:-} in
  -h | --help) print_help; exit 0 ;;
  *[!0-9]*) die "RUNS is a number; see $0 --help" ;;
esac
export THINFUSE_FUZZ_RUNS=${1:-8000}

need_node
need_packages
scratch fuzz
export TMPDIR=$scratch
cd "$top"
step "Fuzzing with $THINFUSE_FUZZ_RUNS inputs a decoder"
node --import tsx node_modules/.bin/mocha --no-config --reporter spec --exit 'test/fuzz/*.test.ts'
