#!/usr/bin/env bash
# The first process of a root that fresh.sh made, in namespaces of its own: inside.sh ROOT NPM-CACHE COMMAND [ARGUMENT...]
# It makes ROOT the root, runs the command, and then ends what is still running, in 14 seconds at most; when its descriptor 9 ends, too, which
# fresh.sh holds. Into ROOT.devices it writes the devices (MAJ:MIN, one a line) of the filesystems that were mounted in here only.

set -Eeuo pipefail
root=$1 npm_cache=$2
shift 2
exec {list}>"$root.devices"

entered=''
finish() {
  local status=$?
  trap '' TERM INT HUP
  set +e
  [ -z "$entered" ] || end_others
  exit "$status"
}
trap finish EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
trap 'exit 129' HUP

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
# Devices of the filesystems that others have too: MAJ:MIN, one a line. Those are in use as long as this runs; a number that was only the host's
# may soon be that of a new mount in here.
foreign=$(awk '{ print $3 }' /proc/self/mountinfo | sort -u)
entered=1
cd /root/thinfuse

# Whether a process but this one, the first, still runs in here.
has_others() {
  local stat line
  for stat in /proc/[0-9]*/stat; do
    [ "$stat" != /proc/1/stat ] || continue
    read -r line <"$stat" || continue
    case $line in *') Z '*) ;; *) return 0 ;; esac
  done 2>/dev/null
  return 1
}

# others_end SECONDS: they did within that time.
others_end() {
  local end=$((SECONDS + $1))
  while has_others; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.1
  done
}

own_devices() { awk '{ print $3 }' /proc/self/mountinfo | sort -u | grep -vxF "$foreign"; }

end_others() {
  local device
  # For fresh.sh, which detaches the loop devices: their files may be on filesystems that go with this namespace.
  own_devices >&"$list"
  # A daemon unmounts and detaches as it goes.
  kill -TERM -1 2>/dev/null
  ! others_end 8 || return 0
  kill -KILL -1 2>/dev/null
  ! others_end 3 || return 0
  # What even that does not end waits for an answer of a filesystem in user space.
  for device in $(own_devices); do
    [ ! -e "/sys/fs/fuse/connections/${device#0:}/abort" ] || echo 1 >"/sys/fs/fuse/connections/${device#0:}/abort"
  done
  others_end 3
}

{ read -r <&9 || kill -TERM $$; } {list}>&- &
status=0
"$@" <&0 9<&- {list}>&- &
wait "$!" || status=$?
exit "$status"
