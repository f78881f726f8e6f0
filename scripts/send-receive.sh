#!/usr/bin/env bash
# Devices from one pool to another, for real: two pools of different kinds and chunk sizes in a scratch folder. A device in use goes over
# whole, then what changed in it, through a pipe and through a file; cut off and gone on with; refused where the base is not the
# same; and back. As root; installs what is missing, and everything goes away at the end.
#
#   scripts/send-receive.sh

. "$(dirname "$(readlink -f "$0")")/lib.sh"

no_options "$@"

step "What the trial needs"
need_thinfuse
need_commands zstd cmp
scratch send
home=$scratch/home backup=$scratch/backup
stop_both() {
  THINFUSE_ROOT=$home stop_own_pool
  THINFUSE_ROOT=$backup stop_own_pool
}
at_exit stop_both
home() { THINFUSE_ROOT=$home thinfuse "$@"; }
backup() { THINFUSE_ROOT=$backup thinfuse "$@"; }
names() { "$1" ls --json | json "it.map((device) => device.name).join(' ')"; }
# same NAME [NAME-THERE]: what both pools have under these names is the same, byte by byte.
same() {
  local there=${2:-$1}
  expect "$there holds what $1 held" cmp "$(home activate "$1")" "$(backup activate "$there")"
  home deactivate "$1"
  backup deactivate "$there"
}

step "Two pools: LevelDB with 64K, a data file with 256K"
home init --base-size 320M --data-size 2G
backup init --base-size 320M --data "$scratch/backup.data" --data-size 2G --block-size 256K
home start
home snapshot web base
home mount web >/dev/null
web=$home/mnt/web/rootfs
head -c 20000000 /dev/urandom >"$web/big"
echo monday >"$web/page"

step "A device that is in use goes over, without a daemon on the other side"
home snapshot monday web
home send monday | tee "$scratch/monday.all" | backup receive
expect_equal "it is there" "$(names backup)" 'base monday'
backup start
same monday
backup mount monday --ro >/dev/null
expect_equal "and has its files" "$(cat "$backup/mnt/monday/rootfs/page")" monday
backup umount monday

step "Then what changed in it"
echo tuesday >"$web/page"
head -c 1000000 /dev/urandom >"$web/small"
home snapshot tuesday web
home send tuesday --since monday >"$scratch/tuesday"
say "$(stat --format %s "$scratch/tuesday") bytes instead of $(stat --format %s "$scratch/monday.all")"
expect "much less than all of it" test "$(stat --format %s "$scratch/tuesday")" -lt 10000000
backup receive <"$scratch/tuesday"
same tuesday
expect "there it shares what it did not change" test \
  "$(backup ls --json | json "it.find((device) => device.name === 'tuesday').shared")" -gt 10000000

step "Refused, and nothing left behind"
before=$(names backup)
expect_failure "a name that is taken" 4 backup receive <"$scratch/tuesday"
expect_failure "another earlier device" 2 backup receive new --since base <"$scratch/tuesday"
expect_failure "an earlier device that is not there" 3 backup receive new --since sunday <"$scratch/tuesday"
head -c 500000 "$scratch/tuesday" >"$scratch/cut"
expect_failure "a stream that was cut off" 7 backup receive new <"$scratch/cut"
cp "$scratch/tuesday" "$scratch/changed"
printf '\001\002\003' | dd of="$scratch/changed" bs=1 seek=700000 conv=notrunc status=none
expect_failure "one that was changed" 7 backup receive new <"$scratch/changed"
expect_equal "the pool has what it had" "$(names backup)" "$before"

step "Cut off, and gone on with"
said=$(backup receive again --keep-partial <"$scratch/cut" 2>&1) && die "a cut stream was taken"
place=$(printf '%s' "$said" | sed -n 's/.*--resume \([0-9a-f-]*\).*/\1/p')
expect "the part is kept" sh -c "[ -n '$place' ]"
home send tuesday --since monday --resume "$place" >"$scratch/rest"
expect "only the rest is sent" test "$(stat --format %s "$scratch/rest")" -lt "$(stat --format %s "$scratch/tuesday")"
backup receive again <"$scratch/rest"
same tuesday again

step "And back: a change that was made over there"
backup snapshot wednesday tuesday
backup mount wednesday >/dev/null
echo wednesday >"$backup/mnt/wednesday/rootfs/page"
backup umount wednesday
backup send wednesday --since tuesday | zstd -q | zstd -dq | home receive
home mount wednesday >/dev/null
expect_equal "it has come home" "$(cat "$home/mnt/wednesday/rootfs/page")" wednesday
home umount wednesday
home umount web

step "The end"
for pool in home backup; do
  "$pool" check
  "$pool" stop
  THINFUSE_ROOT=${!pool} expect "nothing is left of $pool" nothing_left
done
printf '\n%sDevices go from pool to pool: every step held.%s\n' "$bold" "$plain"
