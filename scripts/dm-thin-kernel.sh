#!/usr/bin/env bash
# The word of a kernel that has dm-thin: Debian's, in a virtual machine without a disk of its own. It opens what `export --format dm-thin` wrote,
# reads every device, mounts one, writes to it and makes a snapshot; then it makes a pool of its own, which `legacy` reads here. As root;
# installs what is missing, and everything goes away at the end. The machine is emulated, which takes a few minutes.
#
#   scripts/dm-thin-kernel.sh

. "$(dirname "$(readlink -f "$0")")/lib.sh"
. "$top/scripts/machine.sh"

no_options "$@"

step "What the trial needs"
need_thinfuse
need_commands thin_restore thin_check dmsetup
need_machine
scratch dm-thin
export THINFUSE_ROOT=$scratch/pool
own_pool
cd "$scratch"

step "A kernel"
debian_kernel

step "A pool of ours"
thinfuse init --base-size 320M
thinfuse start
mkdir -p source/etc
echo 'from thinfuse' >source/etc/motd
thinfuse image create image --from source
thinfuse container create web --image image
target=$(thinfuse mount web)
head -c 20M /dev/urandom >"$target/rootfs/large"
thinfuse snapshot before web
echo 'changed since' >>"$target/rootfs/etc/motd"
thinfuse umount web
declare -A ours=()
for device in image web before; do
  thinfuse export "$device" --format raw --output "$device.raw"
  ours[$device]=$(sha256sum "$device.raw" | cut -d' ' -f1)
  rm "$device.raw"
done
thinfuse export --format dm-thin --output exported
thinfuse stop

step "A machine for it"
machine_files virtio_pci virtio_blk dm-thin-pool xfs
machine_tool dmsetup

# ID SECTORS NAME of each device, as devices.json says.
json 'it.map((d) => `${d.id} ${d.sectors} ${d.name}`).join("\n")' <exported/devices.json | grep -E ' (image|web|before)$' >initrd/devices
machine_init <<'INIT'
mkdir -p /dev/mapper
export DM_DISABLE_UDEV=1
sum() { sha256sum "$1" | cut -d' ' -f1; }
run() (
  set -e
  sectors=$(blockdev --getsz /dev/vdb)
  dmsetup create pool --table "0 $((sectors / 128 * 128)) thin-pool /dev/vda /dev/vdb 128 0 1 skip_block_zeroing"
  while read -r id length name; do
    dmsetup create "$name" --readonly --table "0 $length thin /dev/mapper/pool $id"
    say device "$name" "$(sum "/dev/mapper/$name")"
    [ "$name" != web ] || web="$id $length"
    dmsetup remove "$name"
  done </devices
  set -- $web
  dmsetup create web --table "0 $2 thin /dev/mapper/pool $1"
  mount -t xfs -o nouuid /dev/mapper/web /mnt
  say motd "$(tail -n 1 /mnt/rootfs/etc/motd)"
  echo 'from the kernel' >>/mnt/rootfs/etc/motd
  umount /mnt
  dmsetup suspend web
  dmsetup message pool 0 "create_snap 900 $1"
  dmsetup resume web
  say web "$(sum /dev/mapper/web)"
  dmsetup remove web
  say status "$(dmsetup status pool)"
  dmsetup remove pool

  dmsetup create own --table "0 $(blockdev --getsz /dev/vdd) thin-pool /dev/vdc /dev/vdd 128 0"
  dmsetup message own 0 'create_thin 0'
  dmsetup create first --table '0 131072 thin /dev/mapper/own 0'
  dd if=/dev/urandom of=/dev/mapper/first bs=64k count=200 seek=100
  dmsetup suspend first
  dmsetup message own 0 'create_snap 7 0'
  dmsetup resume first
  dd if=/dev/urandom of=/dev/mapper/first bs=4k count=300 seek=2000
  dmsetup create second --table '0 131072 thin /dev/mapper/own 7'
  sync
  say first "$(sum /dev/mapper/first)"
  say second "$(sum /dev/mapper/second)"
  dmsetup remove second
  dmsetup remove first
  dmsetup remove own
  say done
)
run || say failed
INIT
truncate -s 8M own-metadata
truncate -s 64M own-data

run_machine 400 exported/metadata exported/data own-metadata own-data
grep -qx 'done' said || { cat console; die "the kernel did not get to the end"; }
step "What the kernel saw in our pool"
for device in image web before; do
  expect_equal "$device: every byte" "$(said "device $device")" "${ours[$device]}"
done
expect_equal "a file in its xfs" "$(said motd)" "changed since"
say "dm-thin: $(said status)"
expect "thin_check finds nothing after the kernel has written" thin_check exported/metadata

step "What we see of it then"
old() { thinfuse legacy "$1" --metadata "$2-metadata" --data "$2-data" "${@:3}"; }
ln -s exported/metadata exported-metadata
ln -s exported/data exported-data
web=$(sed -n 's/^\([0-9]*\) .* web$/\1/p' initrd/devices)
old ls exported
old export exported 900 --format raw --output snap.raw
old export exported "$web" --format raw --output web.raw
expect "the kernel's snapshot is its origin" cmp snap.raw web.raw
expect_equal "as the kernel read it" "$(head -c "$((320 * 1024 * 1024))" web.raw | sha256sum | cut -d' ' -f1)" "$(said web)"

step "A pool that the kernel made"
old ls own
for device in 0:first 7:second; do
  old export own "${device%%:*}" --format raw --output own.raw
  truncate -s 64M own.raw
  expect_equal "device ${device%%:*}: every byte" "$(sha256sum own.raw | cut -d' ' -f1)" "$(said "${device##*:}")"
  rm own.raw
done
