#!/usr/bin/env bash
# Figures of push, pull and hydrate beside plain programs, over a link with a round trip of its own and 1 Gbit/s: a store in one network
# namespace, two hosts in others. Prints medians, and writes JSON as it goes. Nothing is asserted: times are not tests. As root.
#
#   scripts/bench-remote.sh [--store oci|s3] [--rounds N] [--rtt MS,MS] [--rows ROW,..] [--size MIB] [--small] [--folder DIR] [--json FILE]
#
#   --store    docker-registry (oci), or Ceph's gateway (s3); skopeo copies from docker-registry in any case (oci)
#   --rounds   of each measurement (3)
#   --rtt      round trips in milliseconds (5,25)
#   --rows     of start, fetch, push, changed, reads, memory: all
#   --size     of the device of which 1 % changes, in MiB (10240)
#   --small    a try: the minimal root alone, --size 512, one round
#   --folder   where stores and pools lie (TMPDIR, or /tmp)
#   --json     where what was measured goes (bench-remote.json)

. "$(dirname "$(readlink -f "$0")")/lib.sh"

kind=oci rounds='' rtt=5,25 rows=start,fetch,push,changed,reads,memory size='' small='' json=$PWD/bench-remote.json
while [ $# -gt 0 ]; do
  case $1 in
    --store | --rounds | --rtt | --rows | --size | --folder | --json)
      [ $# -gt 1 ] || die "$1 needs a value; see $0 --help"
      case $1 in
        --store) kind=$2 ;;
        --rounds) rounds=$2 ;;
        --rtt) rtt=$2 ;;
        --rows) rows=$2 ;;
        --size) size=$2 ;;
        --folder) export TMPDIR=$2 ;;
        --json) json=$(readlink -f "$2") ;;
      esac
      shift
      ;;
    --small) small=1 ;;
    -h | --help) print_help; exit 0 ;;
    *) die "unknown option $1; see $0 --help" ;;
  esac
  shift
done
case $kind in s3 | oci) ;; *) die "--store is oci or s3" ;; esac
if [ -n "$small" ]; then rounds=${rounds:-1} size=${size:-512}; else rounds=${rounds:-3} size=${size:-10240}; fi

step "What it needs"
need_thinfuse
need_commands mkfs.xfs fio
for tool in skopeo umoci zstd; do command -v $tool >/dev/null || install_packages $tool; done
scratch bench-remote
. "$top/scripts/remote/lab.sh"
need_store oci
need_store $kind
debian_root
roots=minimal=$debian_root
if [ -z "$small" ]; then
  debian_root build-essential golang-go default-jdk-headless
  roots=$roots,large=$debian_root
fi

step "A store and two hosts"
lab $kind a b
# Copies of what is measured, for skopeo.
if [ $kind = s3 ]; then start_registry; fi
stop_both() {
  local pool
  for pool in "$scratch"/pool-*; do THINFUSE_ROOT=$pool stop_own_pool; done
}
at_exit stop_both
for host in a b; do in_store tc qdisc replace dev to-$host root tbf rate 1gbit burst 1mb latency 200ms; done

step "Measuring"
export TSX_TSCONFIG_PATH=$top/tsconfig.json
node --import "$top/node_modules/tsx/dist/loader.mjs" "$top/scripts/remote/bench/main.ts" \
  --lab "$lab_id" --folder "$scratch" --cli "$thinfuse_cli" --store $kind --rounds "$rounds" --rtt "$rtt" --rows "$rows" --size "$size" --roots "$roots" --json "$json"
