#!/usr/bin/env bash
# Runs a command of this checkout in a bare Debian that is made for it: the essential packages and apt, nothing else. The root file system,
# the mounts and the processes are its own; the kernel, /dev, /sys and the network are the host's. Of the host's settings it has those of apt
# and npm: mirror, proxies, certificates. What it downloads is kept for the next run, what it installs is not.
#
#   scripts/fresh.sh [--suite SUITE] [--bring FILE]... COMMAND [ARGUMENT...]       as root
#
#   --suite SUITE   bookworm, trixie, ...; this machine's own unless told
#   --bring FILE    a copy of it lies at the top of the checkout in there
#
# The command runs at the top of a copy of the checkout: the files that git tracks, as they are now. Its exit code is this script's. When it
# ends, its processes, mounts and loop devices go, and the root with them. So they do after a signal, in half a minute at most. After SIGKILL the
# processes and mounts go at once, and the root and loop devices at the next run with the same TMPDIR.

. "$(dirname "$(readlink -f "$0")")/lib.sh"

suite='' bring=()
while [ $# -gt 0 ]; do
  case $1 in
    --suite) [ $# -gt 1 ] || die "--suite needs a name"; suite=$2; shift ;;
    --suite=*) suite=${1#*=} ;;
    --bring) [ $# -gt 1 ] || die "--bring needs a file"; bring+=("$2"); shift ;;
    --bring=*) bring+=("${1#*=}") ;;
    -h | --help) print_help; exit 0 ;;
    -*) die "unknown option $1; see $0 --help" ;;
    *) break ;;
  esac
  shift
done
[ $# -gt 0 ] || die "give a command to run, as: $0 scripts/demo.sh"
need_root "$(basename "$0")"
need_commands unshare mount losetup tar git flock

debian_suite "$suite"
bare=$cache/debian-$debian_suite-bare.tar
make_debian apt "$bare"

# was_inside LOOP ROOT: its file is in that root, or on a filesystem that was mounted in there only. With the mounts gone, the path that the kernel
# tells begins at the root of the file's own filesystem, or at ours.
was_inside() {
  local file number inode target
  file=$(cat "/sys/block/$1/loop/backing_file" 2>/dev/null) || return 1
  # To ask about a file of another's that does not answer would not end.
  while IFS= read -r target; do
    case $file in "$(printf '%b' "$target")"/*) return 1 ;; esac
  done < <(awk '/ - fuse/ { print $5 }' /proc/self/mountinfo)
  read -r number inode < <(timeout -s KILL 5 losetup --noheadings --raw --output BACK-MAJ:MIN,BACK-INO "/dev/$1" | sed 's/\\x20//g') || return 1
  ! grep -qxF -- "$number" "$2.devices" 2>/dev/null || return 0
  has_pool_of "$2" "$file" && return
  [ "$number" = "$(stat -c %Hd:%Ld "$2")" ] || return 1
  case $file in
    *' (deleted)') file=$(dirname "$file") && [ -d "$2$file" ] && [ ! -d "$file" ] ;;
    *) [ "$(stat -c %i "$2$file" 2>/dev/null)" = "$inode" ] ;;
  esac
}

# has_pool_of ROOT IMAGE: the name of an image file (docker-MAJ:MIN-INO-...) says which folder its pool is in, and that is below ROOT.
has_pool_of() {
  local pool
  [[ ${2##*/} =~ ^docker-([0-9]+:[0-9]+)-([0-9]+)- ]] || return 1
  pool=${BASH_REMATCH[2]}
  [ "${BASH_REMATCH[1]}" = "$(stat -c %Hd:%Ld "$1")" ] && [ -n "$(find "$1" -xdev -inum "$pool" -type d -print -quit)" ]
}

# detach_loops ROOT: one may hold the filesystem of another's file.
detach_loops() {
  local backing loop found
  for _ in 1 2 3; do
    found=''
    for backing in /sys/block/loop*/loop/backing_file; do
      [ -e "$backing" ] || continue
      loop=${backing#/sys/block/} loop=${loop%%/*}
      was_inside "$loop" "$1" || continue
      found=1
      timeout -s KILL 5 losetup --detach "/dev/$loop" 2>/dev/null
    done
    [ -n "$found" ] || return 0
    sleep 0.2
  done
  say "a loop device stays attached"
}

# make_scratch: $scratch, held by a lock as long as this script or a process in there lives, with an empty root. Of runs that were killed it
# clears what is left first.
make_scratch() {
  local all left held
  mkdir -p "$cache"
  exec {all}>"$cache/fresh.lock"
  flock "$all"
  for left in "$TMPDIR"/thinfuse-bare.*; do
    [ -d "$left" ] || continue
    exec {held}<"$left"
    if flock --nonblock "$held"; then
      say "clearing $left, which a run that was killed has left"
      # The numbers in there may be those of other filesystems by now.
      rm -f "$left/root.devices"
      [ ! -d "$left/root" ] || detach_loops "$left/root"
      remove_scratch "$left"
    fi
    exec {held}<&-
  done
  # Half of a Debian or a Node.js.
  find "$cache" -mindepth 1 -maxdepth 1 -mmin +1440 \( -name 'debian.??????' -o -name 'node.??????' \) -exec rm -rf --one-file-system {} +
  scratch bare
  exec {held}<"$scratch"
  flock "$held"
  mkdir "$scratch/root"
  exec {all}>&-
}

# On a disk, where /tmp may be memory.
export TMPDIR=${TMPDIR:-/var/tmp}
make_scratch
root=$scratch/root
tar -C "$root" --xattrs --xattrs-include='*' --numeric-owner -xpf "$bare"

# Of apt: where from, and how to get there. Packages that others than Debian offer are none of a bare Debian's.
take_apt_settings() {
  apt-config dump 2>/dev/null | grep '^Acquire::' | grep -v '^Acquire::\(IndexTargets\|CompressionTypes\)' >"$root/etc/apt/apt.conf.d/90host" || true
  local place
  for place in auth.conf auth.conf.d; do
    [ ! -e "/etc/apt/$place" ] || cp -rL "/etc/apt/$place" "$root/etc/apt/"
  done
}

# Of npm: the host's own and the user's settings, as the user's.
take_npm_settings() {
  local config
  command -v npm >/dev/null || return 0
  for config in globalconfig userconfig; do
    config=$(npm config get "$config" 2>/dev/null) || continue
    [ ! -f "$config" ] || { cat "$config"; echo; } >>"$root/root/.npmrc"
  done
}

take_certificates() {
  local place
  for place in /etc/ssl/certs /usr/local/share/ca-certificates "${NODE_EXTRA_CA_CERTS:-}" "${SSL_CERT_FILE:-}"; do
    if [ -n "$place" ] && [ -e "$place" ] && [ ! -e "$root$place" ]; then
      mkdir -p "$root$(dirname "$place")"
      cp -rL "$place" "$root$place"
    fi
  done
}

copy_checkout() {
  mkdir -p "$root/root/thinfuse"
  git -c safe.directory='*' -C "$top" ls-files -z | while IFS= read -rd '' file; do
    [ ! -e "$top/$file" ] || printf '%s\0' "$file"
  done | tar -C "$top" --null --files-from=- -cf - | tar -C "$root/root/thinfuse" --no-same-owner -xf -
  [ ${#bring[@]} -eq 0 ] || cp -- "${bring[@]}" "$root/root/thinfuse/"
}

# What is downloaded once; links to it, where it is on the same filesystem.
packages=$cache/packages-$debian_suite
copy_packages() {
  find "$1" -maxdepth 1 -name '*.deb' -exec sh -c 'to=$1 && shift && { cp -ln -t "$to" -- "$@" 2>/dev/null || cp -n -t "$to" -- "$@"; }' sh "$2" {} +
}
keep_packages() { [ ! -d "$root/var/cache/apt/archives" ] || copy_packages "$root/var/cache/apt/archives" "$packages"; }

take_apt_settings
take_npm_settings
take_certificates
copy_checkout
mkdir -p "$cache/npm" "$root/root/.npm" "$packages"
copy_packages "$packages" "$root/var/cache/apt/archives"
at_exit keep_packages
for file in /etc/resolv.conf /etc/hosts; do [ ! -e "$file" ] || cp -L "$file" "$root$file"; done

# What tells programs how to reach the network, and nothing else of this environment.
environment=(HOME=/root USER=root LOGNAME=root TERM="${TERM:-dumb}" PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  THINFUSE_FRESH="$debian_suite" npm_config_cache=/root/.npm)
while IFS= read -r name; do environment+=("$name=${!name}"); done < <(
  compgen -e | grep -iE '^(https?_proxy|ftp_proxy|no_proxy|all_proxy|node_extra_ca_certs|ssl_cert_file|ssl_cert_dir|ci)$' || true
)

say "a bare Debian $debian_suite runs: $*"
# Its other end is in there, and tells of the end of this script, whatever ended it.
mkfifo "$scratch/alive"
exec {alive}<>"$scratch/alive"
# In the background, for a signal is then heard at once; with the caller's standard input, which bash would take away.
env -i "${environment[@]}" unshare --mount --pid --ipc --fork --kill-child --propagation slave \
  bash "$top/scripts/fresh/inside.sh" "$root" "$cache/npm" "$@" <&0 9<"$scratch/alive" {alive}>&- &
entered=$!

# is_over SECONDS: what was entered has ended within that time.
is_over() {
  local end=$((SECONDS + $1))
  while kill -0 "$entered" 2>/dev/null; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.1
  done
}

end_inside() {
  local inside=''
  if ! is_over 0; then
    # The first process in there ends the others. The list has no end of line.
    read -r inside <"/proc/$entered/task/$entered/children" || true
    [ -z "$inside" ] || kill -TERM "$inside"
    is_over 18 || { kill -KILL "$entered"; is_over 5; } || say "its processes do not end: children of $entered"
  fi
  [ ! -e "$root.devices" ] || detach_loops "$root"
}

at_exit end_inside
status=0
wait "$entered" || status=$?
exit "$status"
