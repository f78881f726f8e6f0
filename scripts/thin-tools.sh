#!/usr/bin/env bash
# Changes metadata of dm-thin at random, and compares what thin_check, thin_dump, thin_ls, thin_delta and thin_rmap of Debian's package
# say of it with what thinfuse says, on both streams and by exit code; longer than the tests do. What thin_check finds, info has to
# find, and what info finds in a device, so have ls and what opens it.
#
#   scripts/thin-tools.sh [ROUNDS [SEED [METADATA...]]]
#
#   ROUNDS    changes of each of two pools, 1000 without it: then 14,000 runs of tools, in some minutes.
#   SEED      where the random numbers begin; the time without it. What differs is printed with its round.
#   METADATA  files of metadata that a kernel wrote, which are changed as well (copies of them).

. "$(dirname "$(readlink -f "$0")")/lib.sh"

case ${1:-} in
  -h | --help) print_help; exit 0 ;;
  *[!0-9]*) die "ROUNDS is a number; see $0 --help" ;;
esac
export THINFUSE_CHECK_ROUNDS=${1:-1000} THINFUSE_CHECK_SEED=${2:-$(date +%s)}
for metadata in "${@:3}"; do
  THINFUSE_CHECK_METADATA=${THINFUSE_CHECK_METADATA:-}${THINFUSE_CHECK_METADATA:+:}$(readlink -e -- "$metadata") || die "$metadata is not there"
done
export THINFUSE_CHECK_METADATA=${THINFUSE_CHECK_METADATA:-}

need_node
need_packages
need_commands thin_check thin_restore
scratch thin-tools
export TMPDIR=$scratch
cd "$top"
step "Comparing $THINFUSE_CHECK_ROUNDS rounds, seed $THINFUSE_CHECK_SEED"
node --import tsx node_modules/.bin/mocha --no-config --reporter spec --exit test/legacy/thin-tools.test.ts test/legacy/thin-mend.test.ts test/legacy/same-judgement.test.ts
