#!/usr/bin/env bash
# One pool through its whole life: init, start, image, containers, snapshot, grow, rename, rm, stop, start, check.
# As root; in a fresh folder that goes away at the end.
#
#   scripts/lifecycle.sh [--fs xfs|ext4]

. "$(dirname "$(readlink -f "$0")")/lib.sh"

fs=xfs
while [ $# -gt 0 ]; do
  case $1 in
    --fs) [ $# -gt 1 ] || die "--fs needs xfs or ext4"; fs=$2; shift ;;
    -h | --help) print_help; exit 0 ;;
    *) die "unknown option $1; see $0 --help" ;;
  esac
  shift
done

need_thinfuse
scratch lifecycle
export THINFUSE_ROOT=$scratch/root
own_pool

step "init and start"
expect_failure "there is no pool to look at yet" 3 thinfuse ls
thinfuse init --fs "$fs" --base-size 2G
expect_failure "a second init changes nothing" 4 thinfuse init
expect_failure "an unknown option is named" 2 thinfuse init --opt dm.nosuch=1
thinfuse start
expect_failure "a second start is refused" 5 thinfuse start
expect_equal "the pool is writable" "$(thinfuse status --json | json it.mode)" rw
expect_equal "base has its $fs" "$(device base filesystem)" "$fs"

step "an image from a folder"
mkdir -p "$scratch/tree/etc"
echo original >"$scratch/tree/etc/name"
ln "$scratch/tree/etc/name" "$scratch/tree/etc/again"
mknod "$scratch/tree/null" c 1 3
truncate -s 64M "$scratch/tree/sparse"
thinfuse image create first --from "$scratch/tree"
thinfuse container create one --image first
thinfuse container create two --image first --size 3G
one=$(thinfuse mount one) two=$(thinfuse mount two)
expect_equal "a file arrived" "$(cat "$one/rootfs/etc/name")" original
expect_equal "a hard link stayed one" "$(stat -c %h "$one/rootfs/etc/name")" 2
expect "a device node is one" test -c "$one/rootfs/null"
expect "a hole takes no room" test "$(du -k "$one/rootfs/sparse" | cut -f1)" -lt 1024
expect "two's filesystem grew to its device" \
  test "$(findmnt --noheadings --bytes --output SIZE "$two" | tr -d ' ')" -gt $((5 * 1024 * 1024 * 1024 / 2))

step "a snapshot of a container in use"
echo changed >"$one/rootfs/etc/name"
thinfuse snapshot kept one
echo 'changed again' >"$one/rootfs/etc/name"
kept=$(thinfuse mount kept --ro)
expect_equal "the snapshot holds what was there" "$(cat "$kept/rootfs/etc/name")" changed
expect_failure "and is read-only" 1 touch "$kept/rootfs/etc/no"
expect_equal "the origin went on" "$(cat "$one/rootfs/etc/name")" 'changed again'
expect_equal "the other container never saw it" "$(cat "$two/rootfs/etc/name")" original

step "grow and rename"
thinfuse umount one
thinfuse grow one 4G
expect_equal "one has 4 GiB" "$(device one size)" $((4 * 1024 * 1024 * 1024))
expect_failure "it does not shrink" 2 thinfuse grow one 1G
thinfuse rename one renamed
expect_failure "its old name is free" 3 thinfuse mount one
renamed=$(thinfuse mount renamed)
expect_equal "its content moved along" "$(cat "$renamed/rootfs/etc/name")" 'changed again'
expect "its filesystem grew" \
  test "$(findmnt --noheadings --bytes --output SIZE "$renamed" | tr -d ' ')" -gt $((7 * 1024 * 1024 * 1024 / 2))

step "names and removal"
for name in a/b '' base renamed; do
  expect_failure "no container is called '$name'" "$([ "$name" = renamed ] && echo 4 || echo 2)" \
    thinfuse container create "$name" --image first
done
expect_failure "a mounted device stays" 5 thinfuse rm two
thinfuse umount two
thinfuse rm two
expect_failure "two is gone" 3 thinfuse mount two
thinfuse image rm first
expect_equal "the children of an image keep their data" "$(cat "$renamed/rootfs/etc/again")" 'changed again'

step "stop and start"
thinfuse stop
expect "nothing is mounted or attached" nothing_left
expect_failure "nobody answers" 5 thinfuse status
rm -rf "$THINFUSE_ROOT/metadata"
thinfuse start
expect "Docker's metadata files came back" test -s "$THINFUSE_ROOT/metadata/renamed"
expect "the ones of the pool too" test -s "$THINFUSE_ROOT/metadata/deviceset-metadata"
renamed=$(thinfuse mount renamed)
expect_equal "what was written is there" "$(cat "$renamed/rootfs/etc/name")" 'changed again'

step "check"
thinfuse check
thinfuse stop
thinfuse check
expect "nothing is left" nothing_left
printf '\n%sThe life cycle is through: every step held.%s\n' "$bold" "$plain"
