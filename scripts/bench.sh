#!/usr/bin/env bash
# Figures of thinfuse beside those of its peers: the same fio jobs on each, one after the other in every round, and what a device's
# life takes. Prints medians and ratios as Markdown. Nothing is asserted: times are not tests. As root; whatever it makes goes away.
#
#   scripts/bench.sh [--rounds N] [--seconds N] [--size SIZE] [--large GIB] [--folder DIR]
#                    [--only TARGET,..] [--jobs JOB,..] [--json FILE] [--judge] [--from FILE]
#                    [--figures] [--minutes N] [--compressible PERCENT]
#
#   --rounds N       of all fio jobs on all targets (3); the lifecycle is measured in the first
#   --seconds N      of each timed fio job (10)
#   --size SIZE      of the device that fio fills and works on (1G)
#   --large GIB      mapped for the jobs called `large`; 0 leaves them out (8)
#   --figures        how fast it is beside qsd, plain and LevelDB alone, in some 22 minutes at most; judged. With --compressible
#                    only what depends on it
#   --minutes N      begin no more measurements after so long
#   --compressible P by how many percent what fio writes can be packed (random bytes)
#   --folder DIR     where all backing files lie (TMPDIR, or /tmp); /dev/shm takes the disk out of the figures
#   --only TARGET,.. of thinfuse-direct, thinfuse-leveldb, qsd, qsd-ext, nbdfuse, reflink, plain; and, when asked for,
#                    thinfuse-direct-libfuse, thinfuse-leveldb-libfuse, qsd-cached, level
#   --jobs JOB,..    an unknown one prints their names
#   --json FILE      everything that was measured, written anew after each measurement
#   --judge          whether the figures that thinfuse is to reach were reached
#   --from FILE      show, and judge, what --json wrote before; nothing is measured

. "$(dirname "$(readlink -f "$0")")/lib.sh"

arguments=("$@") folder='' from=''
while [ $# -gt 0 ]; do
  case $1 in
    --rounds | --seconds | --size | --large | --folder | --only | --jobs | --json | --from | --minutes | --compressible)
      [ $# -gt 1 ] || die "$1 needs a value; see $0 --help"
      case $1 in --folder) folder=$2 ;; --from) from=$2 ;; esac
      shift
      ;;
    --judge | --figures) ;;
    -h | --help) print_help; exit 0 ;;
    *) die "unknown option $1; see $0 --help" ;;
  esac
  shift
done

need_node
need_packages
export TSX_TSCONFIG_PATH=$top/tsconfig.json
suite=(node --import "$top/node_modules/tsx/dist/loader.mjs" "$top/scripts/bench/main.ts")
"${suite[@]}" check "${arguments[@]}" || exit 1
if [ -n "$from" ]; then
  "${suite[@]}" show "${arguments[@]}"
  exit
fi

# need_peer COMMAND PACKAGE...: from the first package that can be had; a peer that stays away is a line of the table.
need_peer() {
  local command=$1 package
  shift
  for package in "$@"; do
    command -v "$command" >/dev/null && return
    (install_packages "$package") || true
  done
}

# All processes of the suite, and what they started, carry the folder's name in THINFUSE_BENCH_RUN.
end_processes() {
  local environment pid signal
  for signal in TERM KILL; do
    for environment in /proc/[0-9]*/environ; do
      pid=${environment#/proc/}
      pid=${pid%/environ}
      if tr '\0' '\n' <"$environment" | grep -qxF "THINFUSE_BENCH_RUN=$1"; then
        kill "-$signal" "$pid" || true
      fi
    done 2>/dev/null
    [ "$signal" = KILL ] || sleep 0.5
  done
}

step "What the suite needs" >&2
need_thinfuse >&2
need_commands fio git >&2
need_peer qemu-storage-daemon qemu-system-common qemu-storage-daemon >&2
need_peer qemu-img qemu-utils >&2
if [[ " ${arguments[*]} " != *' --figures '* ]]; then
  need_peer nbdkit nbdkit >&2
  need_peer nbdfuse nbdfuse libnbd-bin >&2
fi
need_peer pgbench postgresql >&2
if ! [ -f "$top/dist/cli/main.js" ] || [ -n "$(find "$top/src" -newer "$top/dist/cli/main.js" -print -quit)" ]; then
  (cd "$top" && npm run --silent build)
fi

[ -z "$folder" ] || [ -d "$folder" ] || die "--folder $folder: there is no such folder"
TMPDIR=$(realpath "${folder:-${TMPDIR:-/tmp}}") scratch bench
# What still serves files goes first, so that unmounting them does not wait for it; then mounts and loops, then the files.
at_exit end_processes "$scratch"
at_exit release_below "$scratch"

step "Measuring" >&2
end_suite() { kill "$suite_pid" 2>/dev/null || true; }
# In the background, so that a signal is answered at once, and not when the suite has ended.
THINFUSE_BENCH_RUN=$scratch "${suite[@]}" run "$scratch" "${arguments[@]}" &
suite_pid=$!
at_exit end_suite
wait "$suite_pid"
