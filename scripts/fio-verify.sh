#!/usr/bin/env bash
# fio writes checksummed blocks of mixed sizes at random places of a device, of its snapshot and of the origin again, and reads
# them all back: at once, and after the daemon stopped and started. As root; in a fresh folder that goes away at the end.
#
#   scripts/fio-verify.sh [--size SIZE]      bytes that fio covers on each device, default 256M

. "$(dirname "$(readlink -f "$0")")/lib.sh"

size=256M
while [ $# -gt 0 ]; do
  case $1 in
    --size) [ $# -gt 1 ] || die "--size needs a size such as 256M"; size=$2; shift ;;
    -h | --help) print_help; exit 0 ;;
    *) die "unknown option $1; see $0 --help" ;;
  esac
  shift
done

need_thinfuse
need_commands fio
scratch fio
export THINFUSE_ROOT=$scratch/root
own_pool
cd "$scratch"

declare -A loop=()
attach() {
  local image
  image=$(thinfuse activate "$1")
  loop[$1]=$(losetup --find --show --direct-io=on "$image")
}
detach_all() {
  for id in "${!loop[@]}"; do losetup --detach "${loop[$id]}" && unset "loop[$id]"; done
  udevadm settle 2>/dev/null || true
}
at_exit detach_all

# Every 4 KiB carries its own checksum and place, so sizes may be mixed. The same seed makes the same blocks at the same places.
pattern() {
  local id=$1 seed=$2 share=$3
  shift 3
  fio --name="$id-$seed" --filename="${loop[$id]}" --rw=randwrite --bsrange=4k-256k --blockalign=4k --size="$size" \
    --io_size="$share" --ioengine=libaio --iodepth=8 --direct=1 --randseed="$seed" \
    --verify=crc32c --verify_interval=4096 --verify_fatal=1 --verify_state_save=0 --output-format=terse \
    "$@" >"$scratch/fio.out" 2>&1 || { cat "$scratch/fio.out"; return 1; }
}

# Checksums say that a block is whole and in its place, not whose it is: two devices could be mixed up. This tells them apart.
declare -A print=()
fingerprint() { dd if="${loop[$1]}" bs=1M iflag=direct status=none | sha256sum | cut -d' ' -f1; }

# writes ID SEED SHARE
writes() {
  expect "fio writes pattern $2 to $1" pattern "$1" "$2" "$3" --do_verify=0 --end_fsync=1
  print[$1]=$(fingerprint "$1")
}
# holds ID SEED SHARE: what `writes` wrote, and nothing that anybody else did.
holds() {
  expect "$1: fio finds every checksum of pattern $2" pattern "$1" "$2" "$3" --verify_only=1
  expect_equal "$1: every byte is as it was" "$(fingerprint "$1")" "${print[$1]}"
}

step "A device"
thinfuse init --base-size 1G
thinfuse start
thinfuse image create image
thinfuse container create origin --image image
attach origin
writes origin 1 100%
holds origin 1 100%

step "Its snapshots, taken while it is attached"
thinfuse snapshot kept origin
thinfuse snapshot changed origin
print[kept]=${print[origin]}
attach kept
attach changed
writes changed 2 50%
writes origin 3 50%

all_hold() {
  holds kept 1 100%
  holds changed 2 50%
  holds origin 3 50%
  expect "no two are alike" test "$(printf '%s\n' "${print[@]}" | sort -u | wc -l)" = 3
}
step "Each holds its own"
all_hold

step "And after stop and start"
detach_all
thinfuse stop
thinfuse start
for id in kept changed origin; do attach "$id"; done
all_hold

step "The pool is in order"
detach_all
thinfuse check
thinfuse stop
expect "nothing is left" nothing_left
printf '\n%sNo mismatch.%s\n' "$bold" "$plain"
