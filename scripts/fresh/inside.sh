#!/usr/bin/env bash
# The first process of a root that fresh.sh made, in namespaces of its own: inside.sh ROOT NPM-CACHE COMMAND [ARGUMENT...]
# It makes ROOT the root, runs the command, and then ends what is still running and lets go of what is attached.

set -Eeuo pipefail
root=$1 npm_cache=$2
shift 2

entered=''
finish() {
  local status=$?
  trap '' TERM INT HUP
  set +e
  [ -z "$entered" ] || let_go
  exit "$status"
}
trap finish EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
trap 'exit 129' HUP

# Devices of the filesystems that others have: MAJ:MIN, one a line.
foreign=$(awk '{ print $3 }' /proc/self/mountinfo | sort -u)

mount --bind "$root" "$root"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
mount -t proc proc "$root/proc"
mount --bind "$npm_cache" "$root/root/.npm"
mkdir "$root/.host"
cd "$root"
pivot_root . .host
# By the host's own umount: a bare Debian has none.
chroot .host umount -l /
rmdir /.host
entered=1
cd /root/thinfuse

# A loop device is ours where its file is: on a filesystem that only we have, or at that path in this root.
is_ours() {
  local device=$1 number file inode
  number=$(losetup --noheadings --raw --output BACK-MAJ:MIN "$device" | sed "s/\\\\x20//g; s/ //g") || return 1
  read -r file <"/sys/block/${device##*/}/loop/backing_file" || return 1
  if ! grep -qxF "$number" <<<"$foreign"; then
    awk '{ print $3 }' /proc/self/mountinfo | grep -qxF "$number"
    return
  fi
  inode=$(losetup --noheadings --raw --output BACK-INO "$device")
  [ -e "$file" ] && [ "$(stat -c %i "$file")" = "$inode" ] && [ "$(stat -c %Hd:%Ld "$file")" = "$number" ]
}

# Whether a process but this one, the first, still runs in here.
has_others() {
  local stat
  for stat in /proc/[0-9]*/stat; do
    [ "$stat" != /proc/1/stat ] || continue
    case $(<"$stat") in *') Z '* | '') ;; *) return 0 ;; esac
  done 2>/dev/null
  return 1
}

let_go() {
  local backing device
  # A daemon unmounts and detaches as it goes.
  kill -TERM -1 2>/dev/null
  for _ in {1..200}; do
    has_others || break
    sleep 0.1
  done
  command -v losetup >/dev/null || return 0
  for backing in /sys/block/loop*/loop/backing_file; do
    [ -e "$backing" ] || continue
    device=/dev/$(basename "$(dirname "$(dirname "$backing")")")
    is_ours "$device" || continue
    awk -v source="$device" '{ for (i = 7; i <= NF; i++) if ($i == "-") break; if ($(i + 2) == source) print $5 }' /proc/self/mountinfo |
      tac | while IFS= read -r target; do umount -l "$(printf '%b' "$target")"; done
    losetup --detach "$device" 2>/dev/null
  done
}

status=0
"$@" <&0 &
wait "$!" || status=$?
exit "$status"
