#!/usr/bin/env bash
# The word of a kernel that has dm-thin: Debian's, in a virtual machine without a disk of its own. It opens what `export --format dm-thin` wrote,
# reads every device, mounts one, writes to it and makes a snapshot; then it makes a pool of its own, which `legacy` reads here. As root;
# installs what is missing, and everything goes away at the end. The machine is emulated, which takes a few minutes.
#
#   scripts/dm-thin-kernel.sh

. "$(dirname "$(readlink -f "$0")")/lib.sh"

no_options "$@"

step "What the trial needs"
need_thinfuse
need_commands thin_restore thin_check qemu-system-x86_64 \
  cpio depmod busybox dmsetup dpkg-deb
scratch dm-thin
export THINFUSE_ROOT=$scratch/pool
own_pool
cd "$scratch"

step "A kernel"
# Not installed: it is only read here.
kernel_package() { apt-cache depends linux-image-cloud-amd64 | sed -n 's/ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1; }
package=$(kernel_package)
[ -n "$package" ] || { apt-get update -qq; package=$(kernel_package); }
apt-get download -qq "$package" 2>/dev/null
dpkg-deb -x "$package"_*.deb kernel
version=${package#linux-image-}
say "$version"

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
mkdir -p initrd/{bin,dev,proc,sys,mnt,lib/modules}
cp "$(command -v busybox)" initrd/bin/busybox
# dmsetup and the libraries that it names.
for file in "$(readlink -f "$(command -v dmsetup)")" $(ldd "$(command -v dmsetup)" | grep -o '/[^ ]*'); do
  mkdir -p "initrd/$(dirname "$file")"
  cp -L "$file" "initrd/$file"
done
cp "$(readlink -f "$(command -v dmsetup)")" initrd/bin/dmsetup
mv kernel/lib/modules kernel/modules-of
mkdir -p kernel/lib/modules
mv "kernel/modules-of/$version" kernel/lib/modules/
depmod --basedir kernel "$version"
for module in virtio_pci virtio_blk dm-thin-pool xfs; do
  modprobe --dirname kernel --set-version "$version" --show-depends "$module" | sed -n 's/^insmod \([^ ]*\).*/\1/p'
done | awk '!seen[$0]++' >modules
while read -r module; do
  cp "$module" initrd/lib/modules/
  echo "insmod /lib/modules/$(basename "$module")"
done <modules >initrd/load

# ID SECTORS NAME of each device, as devices.json says.
json 'it.map((d) => `${d.id} ${d.sectors} ${d.name}`).join("\n")' <exported/devices.json | grep -E ' (image|web|before)$' >initrd/devices
cat >initrd/init <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs none /dev
mount -t proc none /proc
mount -t sysfs none /sys
mkdir -p /dev/mapper /run
sh -e /load
export DM_DISABLE_UDEV=1
say() { echo "@ $*"; }
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
poweroff -f
INIT
chmod +x initrd/init
(cd initrd && find . | cpio --quiet -o -H newc) | gzip -1 >initrd.gz
truncate -s 8M own-metadata
truncate -s 64M own-data

# What it says, a line each, in `said`.
drive() { printf -- '-drive file=%s,format=raw,if=virtio,cache=writeback ' "$1"; }
# shellcheck disable=SC2046
# Emulated: KVM inside of a virtual machine does not know every instruction of this kernel.
timeout 400 qemu-system-x86_64 -machine accel=tcg -cpu max -m 512 -nodefaults -no-reboot -display none -serial stdio \
  -kernel "kernel/boot/vmlinuz-$version" -initrd initrd.gz -append 'console=ttyS0 quiet panic=-1' \
  $(drive exported/metadata) $(drive exported/data) $(drive own-metadata) $(drive own-data) </dev/null >console 2>&1 ||
  { cat console; die "the machine did not end by itself"; }
sed -n 's/^@ \(.*\)\r$/\1/p' console >said
grep -qx 'done' said || { cat console; die "the kernel did not get to the end"; }
said() { sed -n "s/^$1 //p" said; }

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
