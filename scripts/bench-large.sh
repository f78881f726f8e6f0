#!/usr/bin/env bash
# What a device's life takes when very much is mapped, in milliseconds: snapshot and container create (medians), activation, first read,
# delete, and the memory of the daemon. The mappings are put there by `restore`, over a sparse file, so no disk of that size is needed.
# Nothing is asserted: times are not tests. As root; whatever it makes goes away.
#
#   scripts/bench-large.sh [GIB...]     mapped (1 100 1024)

. "$(dirname "$(readlink -f "$0")")/lib.sh"

case ${1:-} in -h | --help) print_help; exit 0 ;; esac
for size in "$@"; do
  case $size in '' | *[!0-9]*) die "$size is no number of GiB; see $0 --help" ;; esac
done

need_node
need_packages
need_thinfuse >&2
(cd "$top" && npm run --silent build)
scratch bench-large
at_exit release_below "$scratch"
export TSX_TSCONFIG_PATH=$top/tsconfig.json
[ $# -gt 0 ] || set -- 1 100 1024
node --import "$top/node_modules/tsx/dist/loader.mjs" "$top/scripts/bench/large.ts" "$scratch/pool" "$@"
