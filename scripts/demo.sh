#!/usr/bin/env bash
# The main job from beginning to end, on a pool that needs nothing prepared: a Debian root becomes an image, containers become
# writable clones of it, files change in one and not in the others. Every step checks what it says.
#
#   scripts/demo.sh           as root; the pool lies in a fresh folder (or in THINFUSE_ROOT, which must not exist yet) and goes
#                             away at the end; devices are mounted below mnt/ of this checkout

. "$(dirname "$(readlink -f "$0")")/lib.sh"

no_options "$@"

step "What the demo needs"
need_thinfuse
scratch demo
export THINFUSE_ROOT=${THINFUSE_ROOT:-$scratch/root}
[ ! -e "$THINFUSE_ROOT" ] || die "THINFUSE_ROOT ($THINFUSE_ROOT) exists; the demo makes its own pool and removes it"
at_exit rm -rf --one-file-system "$THINFUSE_ROOT"
at_exit release_below "$THINFUSE_ROOT"
own_pool
say "the pool: $THINFUSE_ROOT"

mnt=$top/mnt
leave_mount_folders() { for id in web db worker reborn; do rmdir "$mnt/$id" 2>/dev/null; done; }
at_exit leave_mount_folders
mount_at() {
  mkdir -p "$mnt/$1"
  thinfuse mount "$1" "$mnt/$1" >/dev/null
}

step "A Debian root to start from"
debian_root
debian_package hello
say "and a package to install later: $(basename "$debian_package")"

step "A pool comes up, and its base device gets an xfs"
thinfuse init
thinfuse start
thinfuse status
expect_equal "the daemon runs" "$(thinfuse status --json | json 'it.pid > 0')" true
expect_equal "base has its filesystem" "$(device base initialized)" true

step "The Debian root becomes an image"
thinfuse image create debian --from "$debian_root"
expect_equal "debian is an image" "$(device debian kind)" image
expect_equal "it maps less than its 10 GiB" "$(thinfuse ls --json |
  json "it.filter((device) => device.name === 'debian').every((device) => device.mapped > 0 && device.mapped < device.size)")" true

step "Three containers, writable clones of it that take no space"
before=$(pool used)
for id in web db worker; do
  thinfuse container create "$id" --image debian
done
expect_equal "the pool holds what it held" "$(pool used)" "$before"
for id in web db worker; do
  mount_at "$id"
  expect "$id is mounted on $mnt/$id" mountpoint -q "$mnt/$id"
done
expect_equal "they are real filesystems" "$(findmnt --noheadings --output FSTYPE "$mnt/web")" xfs
thinfuse tree

step "A shell runs in one of them"
expect_equal "chroot answers" "$(chroot "$mnt/web/rootfs" /bin/sh -c '. /etc/os-release; echo "$ID"')" debian

step "A package's worth of files changes in one"
cp "$debian_package" "$mnt/web/rootfs/tmp/hello.deb"
chroot "$mnt/web/rootfs" /usr/bin/dpkg --install /tmp/hello.deb 2>&1 | sed 's/^/   | /'
rm "$mnt/web/rootfs/tmp/hello.deb"
echo 'a thin device' >"$mnt/web/rootfs/etc/motd"
rm "$mnt/web/rootfs/etc/issue.net"
expect_equal "web says hello" "$(chroot "$mnt/web/rootfs" /usr/bin/hello --greeting=hi)" hi
expect "db does not know the program" test ! -e "$mnt/db/rootfs/usr/bin/hello"
expect "worker still has the file that web lost" test -e "$mnt/worker/rootfs/etc/issue.net"

step "What differs from the image"
thinfuse diff web >"$scratch/diff"
sed -n '1,12s/^/   | /p' "$scratch/diff"
say "($(wc -l <"$scratch/diff") lines)"
for line in 'A /usr/bin/hello' 'C /etc/motd' 'D /etc/issue.net'; do
  expect "diff says: $line" grep -qxF -- "$line" "$scratch/diff"
done
expect_equal "nothing differs in db" "$(thinfuse diff db)" ''

step "Web becomes an image of its own, and a container starts from that"
thinfuse container commit web web-image
thinfuse container create reborn --image web-image
mount_at reborn
expect_equal "reborn says hello" "$(chroot "$mnt/reborn/rootfs" /usr/bin/hello --greeting=hi)" hi
echo 'only here' >"$mnt/reborn/rootfs/etc/motd"
expect_equal "web keeps its own motd" "$(cat "$mnt/web/rootfs/etc/motd")" 'a thin device'

step "How it looks"
thinfuse info
thinfuse tree
thinfuse lsblk
thinfuse df

step "Removing gives the space back"
is_gone() { ! device_exists "$1"; }
exec {user}<"$mnt/reborn/rootfs/etc/motd"
thinfuse rm reborn
expect "a container in use that is removed stays as long as it is" device_exists reborn
exec {user}<&-
# From now on the daemon itself may be the one that unmounts it.
thinfuse umount reborn 2>/dev/null || true
for id in web db worker; do thinfuse umount "$id"; done
wait_for "it goes with its last user" 60 is_gone reborn
thinfuse rm web db worker
expect "the image of web is all that still holds more than before" test "$(pool used)" -gt "$before"
thinfuse rm web-image
wait_for "the pool holds $before bytes, as before the containers" 60 space_is "$before"
thinfuse df

step "All is in order"
thinfuse check
thinfuse stop
expect "nothing is mounted or attached any more" nothing_left
printf '\n%sThe demo is through: every step held.%s\n' "$bold" "$plain"
