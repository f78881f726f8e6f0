#!/usr/bin/env bash
# The figures of the README, measured on this machine: fio through a loop device, and what creating, mounting and snapshotting take.
# As root; the pool lies in a fresh folder (below TMPDIR) and goes away at the end. Nothing is asserted: times are not tests.
#
#   scripts/bench.sh [--seconds N] [--large GIB]      of each fio run (10); the larger device to snapshot (8)

. "$(dirname "$(readlink -f "$0")")/lib.sh"

seconds=10 large=8
while [ $# -gt 0 ]; do
  case $1 in
    --seconds) [ $# -gt 1 ] || die "--seconds needs a number"; seconds=$2; shift ;;
    --large) [ $# -gt 1 ] || die "--large needs a number of GiB"; large=$2; shift ;;
    -h | --help) sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) die "unknown option $1; see $0 --help" ;;
  esac
  shift
done

need_thinfuse
need_commands fio:fio
scratch bench
export THINFUSE_ROOT=$scratch/root
own_pool
cd "$scratch"

loop=''
attach() { loop=$(losetup --find --show --direct-io=on "$(thinfuse activate "$1")"); }
detach() {
  if [ -n "$loop" ]; then losetup --detach "$loop"; fi
  loop=''
}
at_exit detach

# fio_line TEXT OPTION...: runs fio on the loop device and prints IOPS and MB/s of whichever direction it moved data in.
fio_line() {
  local text=$1
  shift
  fio --name=bench --filename="$loop" --direct=1 --ioengine=libaio --iodepth=16 --output-format=json "$@" |
    json "(() => { const job = it.jobs[0]; const way = job.read.io_bytes > job.write.io_bytes ? job.read : job.write;
      return Math.round(way.iops) + ' IOPS, ' + Math.round(way.bw_bytes / 1e6) + ' MB/s'; })()" |
    sed "s|^|   $text: |"
}

# milliseconds TEXT COMMAND...: the median of what the command takes over five runs; {} becomes the number of the run.
milliseconds() {
  local text=$1 run start times=()
  shift
  for run in 1 2 3 4 5; do
    start=$(date +%s%N)
    "${@//\{\}/$run}" >/dev/null
    times+=($((($(date +%s%N) - start) / 1000000)))
  done
  say "$text: $(printf '%s\n' "${times[@]}" | sort -n | sed -n 3p) ms"
}

(cd "$top" && npm run --silent build)
step "$(uname -sr), $(nproc) processors, Node.js $(node --version)"
say "the pool on: $(findmnt --noheadings --output FSTYPE,SOURCE --target "$scratch")"
thinfuse init --base-size 20G >/dev/null
thinfuse start >/dev/null
say "transport: $(thinfuse status --json | json it.transport)"
thinfuse image create image >/dev/null

step "fio through the loop device, depth 16"
thinfuse container create disk --image image >/dev/null
attach disk
fio_line "1 MiB sequential write, provisioning" --rw=write --bs=1M --size=1G --end_fsync=1
fio_line "1 MiB sequential write, over what is there" --rw=write --bs=1M --size=1G --end_fsync=1
fio_line "1 MiB sequential read" --rw=read --bs=1M --size=1G
fio_line "4 KiB random write" --rw=randwrite --bs=4k --size=1G --time_based --runtime="$seconds" --end_fsync=1
fio_line "4 KiB random read" --rw=randread --bs=4k --size=1G --time_based --runtime="$seconds"

step "Commands (each starts a Node.js of its own: $( { time -p "$thinfuse_cli" --version >/dev/null; } 2>&1 | awk '/real/ { print $2 * 1000 }') ms of it)"
milliseconds "container create" thinfuse container create 'made-{}' --image image
milliseconds "its first mount" thinfuse mount 'made-{}'
milliseconds "umount" thinfuse umount 'made-{}'
milliseconds "snapshot of a device with 1 GiB mapped" thinfuse snapshot 'of-one-{}' disk
fio --name=fill --filename="$loop" --direct=1 --ioengine=libaio --iodepth=8 --rw=write --bs=1M --size="${large}G" --end_fsync=1 >/dev/null
milliseconds "snapshot of a device with $large GiB mapped" thinfuse snapshot 'of-large-{}' disk
detach
thinfuse stop >/dev/null
