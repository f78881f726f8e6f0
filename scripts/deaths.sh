#!/usr/bin/env bash
# fio writes and verifies on a mounted xfs, with fsyncs, snapshots beside it, while the daemon below it is killed (SIGKILL) again and again:
# its supervisor starts the next one, and fio must notice nothing but a pause. As root; in a fresh folder that goes away at the end.
# Needs Linux 6.9.
#
#   scripts/deaths.sh [--deaths N] [--data leveldb|direct]     20 deaths, both kinds of pool one after the other

. "$(dirname "$(readlink -f "$0")")/lib.sh"

deaths=20 kinds='leveldb direct'
while [ $# -gt 0 ]; do
  case $1 in
    --deaths) [ $# -gt 1 ] || die "--deaths needs a number"; deaths=$2; shift ;;
    --data)
      case ${2:-} in leveldb | direct) kinds=$2 ;; *) die "--data needs leveldb or direct" ;; esac
      shift
      ;;
    -h | --help) print_help; exit 0 ;;
    *) die "unknown option $1; see $0 --help" ;;
  esac
  shift
done

need_thinfuse
need_commands fio xfs_repair
scratch deaths
export THINFUSE_ROOT=$scratch/root
own_pool

end_job() { kill "$1" 2>/dev/null || true; }

for kind in $kinds; do
  step "A $kind pool, $deaths deaths"
  data=leveldb
  [ "$kind" = leveldb ] || data=$scratch/data.img
  thinfuse init --data "$data" --data-size 8G --base-size 2G
  thinfuse start --supervised
  thinfuse snapshot work base
  target=$(thinfuse mount work)

  # Every block has its checksum and is read back as soon as 256 more are written; two jobs, one of which syncs.
  fio --directory="$target" --size=256M --time_based --runtime=3600 --group_reporting --output="$scratch/fio.out" \
    --verify=crc32c --verify_fatal=1 --verify_backlog=256 --ioengine=libaio --iodepth=8 --direct=1 \
    --name=mixed --rw=randwrite --bsrange=4k-256k --blockalign=4k \
    --name=synced --rw=randwrite --bs=4k --fsync=8 --iodepth=1 &
  fio=$!
  at_exit end_job "$fio"
  for ((death = 1; death <= deaths; death++)); do
    sleep "1.$((RANDOM % 9 + 1))"
    kill -0 "$fio" 2>/dev/null || { cat "$scratch/fio.out"; die "fio ended before death $death"; }
    pid=$(daemon_pid)
    kill -KILL "$pid"
    wait_for "death $death is followed" 40 is_followed "$pid"
    [ $((death % 5)) -ne 0 ] || thinfuse snapshot "beside-$death" work
  done
  kill -INT "$fio"
  status=0
  wait "$fio" || status=$?
  # 128: ended because it was told to.
  [ "$status" -eq 0 ] || [ "$status" -eq 128 ] || { cat "$scratch/fio.out"; die "fio ended with $status"; }
  grep -q 'err= 0' "$scratch/fio.out" || { cat "$scratch/fio.out"; die "fio met an error"; }
  ok "fio met no error: $(sed -n 's/^ *\(write: IOPS=[^ ]* BW=[^(]*\).*/\1/p' "$scratch/fio.out" | tr '\n' ' ')"

  thinfuse umount work
  image=$(thinfuse activate work)
  loop=$(losetup --find --show --direct-io=on "$image")
  expect "xfs_repair -n finds nothing" xfs_repair -n "$loop"
  losetup --detach "$loop"
  thinfuse stop
  expect "check finds nothing" thinfuse check
  rm -rf "$THINFUSE_ROOT" "$scratch/data.img"
done
