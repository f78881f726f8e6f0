#!/usr/bin/env bash
# Kills the daemon at random moments while devices are written to, starts it again, and accounts for every byte that had been synced:
# nothing lost, nothing half there, `check` clean, no stale mount or loop device left. As root; whatever it makes goes away.
#
#   scripts/torture.sh [--rounds N] [--seed S] [--pool KIND] [--transport KIND] [--power FILESYSTEM] [--folder DIR] [--keep]
#
#   --rounds N          kills of a daemon at work (30)
#   --seed S            makes the same choices again; which moment a kill meets is not in its hands (default: from the clock)
#   --pool KIND         leveldb (default) or direct
#   --transport KIND    kernel (default) or fuse-native
#   --power FILESYSTEM  ext4 or xfs: the pool lies on a disk of its own with that, and each round cuts its power: of what was written
#                       and not flushed, any sectors are lost
#   --folder DIR        where the pool and the journals lie (TMPDIR, or /tmp)
#   --keep              leave the folder of a run that failed, to look into
#
# The last lines say what was killed and verified; the exit code is 0 only where nothing was lost.

. "$(dirname "$(readlink -f "$0")")/lib.sh"

arguments=() folder='' keep=''
while [ $# -gt 0 ]; do
  case $1 in
    --rounds | --seed | --pool | --transport | --power)
      [ $# -gt 1 ] || die "$1 needs a value; see $0 --help"
      arguments+=("$1" "$2")
      shift
      ;;
    --folder) [ $# -gt 1 ] || die "$1 needs a value; see $0 --help"; folder=$2; shift ;;
    --keep) keep=1 ;;
    -h | --help) print_help; exit 0 ;;
    *) die "unknown option $1; see $0 --help" ;;
  esac
  shift
done

need_node
need_packages
export TSX_TSCONFIG_PATH=$top/tsconfig.json
torture=(node --import "$top/node_modules/tsx/dist/loader.mjs" "$top/scripts/torture/main.ts")
"${torture[@]}" check "${arguments[@]}" || exit 1
need_thinfuse >&2
need_commands fstrim >&2
if ! [ -f "$top/dist/cli/main.js" ] || [ -n "$(find "$top/src" -newer "$top/dist/cli/main.js" -print -quit)" ]; then
  (cd "$top" && npm run --silent build)
fi

keep_what_failed() { if [ "$status" = 0 ]; then remove_scratch "$scratch"; else say "kept: $scratch"; fi; }
status=1
[ -z "$folder" ] || [ -d "$folder" ] || die "--folder $folder: there is no such folder"
export TMPDIR=${folder:-${TMPDIR:-/tmp}}
if [ -n "$keep" ]; then
  scratch=$(mktemp -d "$TMPDIR/thinfuse-torture.XXXXXX")
  at_exit keep_what_failed
else
  scratch torture
fi
export THINFUSE_ROOT=$scratch/root
own_pool
at_exit release_below "$scratch"

"${torture[@]}" run "$scratch" "$top/dist/cli/main.js" "${arguments[@]}"
status=0
