# shellcheck shell=bash
# A virtual machine with a kernel of Debian and no disk of its own, for trials in the current folder. Source it behind lib.sh.
# Emulated: KVM inside of a virtual machine does not know every instruction of this kernel.

need_machine() { need_commands qemu-system-x86_64 cpio depmod busybox dpkg-deb; }

# debian_kernel: unpacks one to ./kernel, which is not installed, and sets $version.
debian_kernel() {
  local package
  package=$(kernel_package)
  [ -n "$package" ] || { apt-get update -qq; package=$(kernel_package); }
  apt-get download -qq "$package" 2>/dev/null
  dpkg-deb -x "$package"_*.deb kernel
  version=${package#linux-image-}
  mv kernel/lib/modules kernel/modules-of
  mkdir -p kernel/lib/modules
  mv "kernel/modules-of/$version" kernel/lib/modules/
  depmod --basedir kernel "$version"
  say "$version"
}

kernel_package() { apt-cache depends linux-image-cloud-amd64 | sed -n 's/ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1; }

# machine_files MODULE...: ./initrd with busybox, and what loads the modules.
machine_files() {
  local module
  mkdir -p initrd/{bin,dev,proc,sys,mnt,run,lib/modules}
  cp "$(command -v busybox)" initrd/bin/busybox
  for module; do
    modprobe --dirname kernel --set-version "$version" --show-depends "$module" | sed -n 's/^insmod \([^ ]*\).*/\1/p'
  done | awk '!seen[$0]++' >modules
  while read -r module; do
    cp "$module" initrd/lib/modules/
    echo "insmod /lib/modules/$(basename "$module")"
  done <modules >initrd/load
}

# machine_tool NAME: a program of this host in it, with the libraries that it names.
machine_tool() {
  local program file
  program=$(readlink -f "$(command -v "$1")")
  for file in "$program" $(ldd "$program" | grep -o '/[^ ]*'); do
    mkdir -p "initrd/$(dirname "$file")"
    cp -L "$file" "initrd/$file"
  done
  cp "$program" "initrd/bin/$1"
}

# machine_init: from standard input, what it does. `say WORDS` there is a line in ./said here; at the end it is switched off.
machine_init() {
  {
    cat <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs none /dev
mount -t proc none /proc
mount -t sysfs none /sys
sh -e /load
say() { echo "@ $*"; }
INIT
    cat
    echo 'poweroff -f'
  } >initrd/init
  chmod +x initrd/init
  (cd initrd && find . | cpio --quiet -o -H newc) | gzip -1 >initrd.gz
}

# run_machine SECONDS DISK...: until it ends by itself. What it said is in ./said then.
run_machine() {
  start_machine "$@"
  end_machine
}

# start_machine SECONDS DISK...: in the background; its monitor knows disk N, from 0 on, as `diskN`.
start_machine() {
  local seconds=$1 options=() disk number=0
  shift
  for disk; do
    options+=(-drive "file=$disk,format=raw,if=none,id=disk$number,cache=none,discard=unmap")
    options+=(-device "virtio-blk-pci,drive=disk$number")
    number=$((number + 1))
  done
  timeout "$seconds" qemu-system-x86_64 -machine accel=tcg -cpu max -m 512 -nodefaults -no-reboot -display none -serial stdio \
    -monitor "unix:$PWD/monitor,server=on,wait=off" \
    -kernel "kernel/boot/vmlinuz-$version" -initrd initrd.gz -append 'console=ttyS0 quiet panic=-1' \
    "${options[@]}" </dev/null >console 2>&1 &
  machine=$!
  at_exit switch_off "$machine"
}

switch_off() { kill "$1" 2>/dev/null || true; }

# tell_machine WORD...: a command for qemu's monitor.
tell_machine() {
  perl -MIO::Socket::UNIX -e 'my $monitor = IO::Socket::UNIX->new(Peer => shift) or die "monitor: $!";
    print $monitor "@ARGV\n"; $monitor->shutdown(1); local $/; <$monitor>' "$PWD/monitor" "$@"
}

# machine_told WORD: waits until it has said a line that begins so.
machine_told() {
  until heard | grep -q "^$1"; do
    kill -0 "$machine" 2>/dev/null || { cat console; die "the machine ended before it said $1"; }
    sleep 1
  done
}

end_machine() {
  wait "$machine" || { cat console; die "the machine did not end by itself"; }
  heard >said
}

heard() { sed -n 's/^@ \(.*\)\r$/\1/p' console; }
said() { sed -n "s/^$1 //p" said; }
