#!/usr/bin/env bash
# A snapshot of containerd's as the disk of a virtual machine, as Kata and Firecracker take it: one mount of the type ext4 whose source is a
# block device. Debian's containerd prepares it, and a kernel of Debian has it as its virtio disk: its files, its size, growth while it runs, and
# what it discards. As root; installs what is missing, and everything goes away at the end. The machine is emulated, which takes a few minutes.
#
#   scripts/vm.sh

. "$(dirname "$(readlink -f "$0")")/lib.sh"
. "$top/scripts/machine.sh"

no_options "$@"

step "What the trial needs"
need_thinfuse
need_commands containerd ctr perl
need_machine
if ! [ -x /bin/busybox ] || ldd /bin/busybox >/dev/null 2>&1; then install_packages busybox-static; fi
scratch vm
export THINFUSE_ROOT=$scratch/pool
own_pool
cd "$scratch"
socket=$scratch/containerd.sock

step "A kernel"
debian_kernel

step "A pool whose snapshots are disks, and containerd on it"
thinfuse init --base-size 512M --data-size 4G
thinfuse start --snapshotter kata,mounts=loop,size=256M,fs=ext4
containerd_config kata "$THINFUSE_ROOT/snapshotter-kata.sock" >config.toml
containerd -c config.toml >containerd.log 2>&1 &
at_exit switch_off $!
ctr() { command ctr --address "$socket" "$@"; }
containerd_answers() { ctr version >/dev/null 2>&1; }
wait_for "containerd answers" 60 containerd_answers
snapshots() { ctr snapshots --snapshotter kata "$@"; }
# What mount(8) is to be told: TYPE SOURCE.
mount_of() { snapshots mounts /nowhere "$1" | sed -n 's/^mount -t \([^ ]*\) \([^ ]*\) .*/\1 \2/p'; }

snapshots prepare layer >/dev/null
read -r type disk <<<"$(mount_of layer)"
mkdir root
mount -t "$type" "$disk" root
mkdir -p root/{bin,etc}
cp /bin/busybox root/bin/
echo 'from the image' >root/etc/motd
umount root
snapshots commit image layer
snapshots prepare vm image >/dev/null
read -r type disk <<<"$(mount_of vm)"
expect_equal "the mount is a filesystem on a block device" "$type $(stat --format=%F "$disk")" "ext4 block special file"

step "A machine with it"
machine_files virtio_pci virtio_blk ext4
machine_tool resize2fs
machine_init <<'INIT'
size() { df -m /mnt | sed -n '$s/ *[^ ]* *\([0-9]*\) .*/\1/p'; }
run() (
  set -e
  mount -t ext4 -o discard /dev/vda /mnt
  say motd "$(chroot /mnt /bin/busybox cat /etc/motd)"
  say size "$(size)"
  ! dd if=/dev/zero of=/mnt/fill bs=1M 2>/fill || exit 1
  say full "$(grep -o 'No space left on device' /fill)"
  rm /mnt/fill
  dd if=/dev/urandom of=/mnt/data bs=1M count=100 2>/dev/null
  echo 'from the machine' >/mnt/etc/note
  sync
  was=$(cat /sys/block/vda/size)
  say written "$was"
  while [ "$(cat /sys/block/vda/size)" = "$was" ]; do sleep 1; done
  resize2fs /dev/vda >/dev/null 2>&1
  say grown "$(size)"
  rm /mnt/data
  sync
  fstrim /mnt
  umount /mnt
  say done
)
run || say failed
INIT
start_machine 500 "$disk"
machine_told written
# Bytes that the disk has for itself.
own_bytes() { thinfuse ls --json | json 'it.find((d) => /\/vm"/.test(d.label)).exclusive'; }
written() { [ "$(own_bytes)" -ge "$((100 << 20))" ]; }
wait_for "the pool has what the machine has written" 60 written
before=$(own_bytes)
snapshots label vm containerd.io/snapshot/thinfuse.size=512M >/dev/null
expect_equal "the block device has grown under the machine" "$(blockdev --getsize64 "$disk")" "$((512 << 20))"
tell_machine block_resize disk0 512M
end_machine
grep -qx done said || { cat console; die "the machine did not get to the end"; }

step "What the machine saw"
expect_equal "the files of the image" "$(said motd)" "from the image"
expect "a size of at most 256 MiB" test "$(said size)" -le 256
expect_equal "a write beyond it is told so" "$(said full)" "No space left on device"
expect "more than before after it had grown: $(said size) and $(said grown) MiB" test "$(said grown)" -gt "$(($(said size) + 200))"

step "What the pool saw"
discarded() { [ "$(own_bytes)" -lt "$((before - (80 << 20)))" ]; }
wait_for "what the machine discarded is free again" 60 discarded
say "$before bytes, then $(own_bytes)"
expect "the filesystem is sound" e2fsck -fn "$disk"
snapshots commit changed vm
snapshots prepare again changed >/dev/null
read -r type disk <<<"$(mount_of again)"
mount -t "$type" "$disk" root
expect_equal "what is committed has what the machine wrote" "$(cat root/etc/note)" "from the machine"
umount root
for key in again changed image; do snapshots rm "$key"; done
thinfuse check
