# shellcheck shell=bash
# What the scripts share. Source it: . "$(dirname "$(readlink -f "$0")")/lib.sh"
# After it, $top is the checkout, errors end the script, and what `at_exit` was given runs whatever happens.

set -Eeuo pipefail
export LC_ALL=C.UTF-8
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

top=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
thinfuse_cli=$top/scripts/thinfuse
NODE_NEEDED=20.19.0

# --- saying -----------------------------------------------------------------------------------------------------------

if [ -t 1 ]; then bold=$'\e[1m' plain=$'\e[0m'; else bold='' plain=''; fi

# step TEXT: a new part of the script begins.
step() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
# say TEXT: what happens next, or what was found.
say() { printf '   %s\n' "$*"; }
# ok TEXT: an expectation that was checked and holds.
ok() { printf '   ok: %s\n' "$*"; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# print_help: what the comment at the head of the script says.
print_help() { sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; }

# no_options "$@": for a script that takes none but --help.
no_options() {
  case ${1:-} in
    '') ;;
    -h | --help) print_help; exit 0 ;;
    *) die "unknown option $1; see $0 --help" ;;
  esac
}

# --- cleaning up ------------------------------------------------------------------------------------------------------

exit_steps=()
# at_exit COMMAND...: runs when the script ends for any reason, the last one given first; its failure stops no other.
at_exit() { exit_steps+=("$(printf '%q ' "$@")"); }

run_exit_steps() {
  local status=$? index
  trap - EXIT INT TERM HUP ERR
  set +e
  for ((index = ${#exit_steps[@]} - 1; index >= 0; index--)); do eval "${exit_steps[index]}"; done
  exit "$status"
}
trap run_exit_steps EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
trap 'printf "error: line %s: %s (exit code %s)\n" "$LINENO" "$BASH_COMMAND" "$?" >&2' ERR

# scratch NAME: sets $scratch to a fresh folder that goes away at the end; mounts and loops below it go first.
scratch() {
  scratch=$(mktemp -d "${TMPDIR:-/tmp}/thinfuse-$1.XXXXXX")
  at_exit remove_scratch "$scratch"
}

remove_scratch() {
  release_below "$1"
  if [ -n "$(mounts_below "$1")" ]; then
    printf 'left as it is, something is still mounted below it: %s\n' "$1" >&2
  else
    rm -rf --one-file-system -- "$1"
  fi
}

# --- what is mounted, attached and running ------------------------------------------------------------------------------

# Mount points at or below a folder, oldest first.
mounts_below() {
  findmnt --raw --noheadings --output TARGET 2>/dev/null | while IFS= read -r target; do
    target=$(printf '%b' "$target")
    case $target/ in "$1"/*) printf '%s\n' "$target" ;; esac
  done
}

# Loop devices whose file lies (or lay) below a folder.
loops_below() {
  local backing
  for backing in /sys/block/loop*/loop/backing_file; do
    [ -r "$backing" ] || continue
    case $(cat "$backing" 2>/dev/null) in
      "$1"/*) printf '/dev/%s\n' "$(basename "$(dirname "$(dirname "$backing")")")" ;;
    esac
  done
}

# Mount points of a loop device.
mounts_of() { findmnt --raw --noheadings --output TARGET --source "$1" 2>/dev/null || true; }

# Last resort, by force: filesystems on loops first, then the loops, then what serves their files.
release_below() {
  local folder=$1 loop target
  for loop in $(loops_below "$folder"); do
    mounts_of "$loop" | tac | while IFS= read -r target; do umount -l "$(printf '%b' "$target")"; done
    losetup --detach "$loop" 2>/dev/null || true
  done
  mounts_below "$folder" | tac | while IFS= read -r target; do
    timeout 20 umount "$target" 2>/dev/null || umount -l "$target" 2>/dev/null || umount -f -l "$target"
  done
}

# --- installing -------------------------------------------------------------------------------------------------------

need_root() {
  [ "$(id -u)" = 0 ] || die "$1 needs root, for mounts and loop devices: run it with sudo"
}

# need_commands COMMAND:PACKAGE...: installs, through apt, the packages of the commands that are missing.
need_commands() {
  local pair missing=()
  for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
  done
  [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
}

install_packages() {
  local missing
  mapfile -t missing < <(printf '%s\n' "$@" | sort -u)
  command -v apt-get >/dev/null ||
    die "missing: ${missing[*]}; there is no apt-get here, so install what carries them and try again"
  [ "$(id -u)" = 0 ] || die "missing: ${missing[*]}; run as root once, or: apt-get install ${missing[*]}"
  say "installing ${missing[*]}"
  if [ -z "${apt_updated:-}" ]; then
    apt-get update -qq || die "apt-get update failed; look at /etc/apt/sources.list and the network"
    apt_updated=1
  fi
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
    die "apt-get could not install ${missing[*]}"
}

# version_at_least VERSION MINIMUM
version_at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

need_node() {
  local found='' offered
  if command -v node >/dev/null; then found=$(node --version | tr -d v); fi
  if [ -n "$found" ] && version_at_least "$found" "$NODE_NEEDED"; then
    command -v npm >/dev/null || need_commands npm:npm
    return
  fi
  offered=$(apt-cache policy nodejs 2>/dev/null | sed -n 's/ *Candidate: \([0-9.]*\).*/\1/p')
  if [ -n "$offered" ] && version_at_least "$offered" "$NODE_NEEDED"; then
    say "Node.js ${found:-is missing}; installing $offered"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null
    return
  fi
  die "thinfuse needs Node.js $NODE_NEEDED or newer; found: ${found:-none}, this Debian offers: ${offered:-none}.
       Put a newer one in the PATH (nodejs.org, NodeSource, nvm or fnm) and try again."
}

# node_modules as package-lock.json says.
need_packages() {
  local installed=$top/node_modules/.package-lock.json
  if [ ! -f "$installed" ] || [ "$top/package-lock.json" -nt "$installed" ]; then
    # fuse-native's binary needs it; without it npm would try to compile one.
    ldconfig -p | grep 'libfuse\.so\.2 ' >/dev/null || install_packages libfuse2
    say "npm ci"
    (cd "$top" && npm ci --no-audit --no-fund)
  fi
}

# /dev/fuse and loop devices, through their modules where they are only not loaded.
need_devices() {
  [ -c /dev/fuse ] || modprobe fuse 2>/dev/null || true
  [ -c /dev/loop-control ] || modprobe loop 2>/dev/null || true
  [ -c /dev/fuse ] || die "there is no /dev/fuse: load the module (modprobe fuse), or give the container --device /dev/fuse"
  [ -c /dev/loop-control ] || die "there is no /dev/loop-control: load the module (modprobe loop), or give the container -v /dev:/dev"
}

# All that running thinfuse from a checkout takes.
need_thinfuse() {
  need_root "$(basename "$0")"
  need_commands losetup:mount mount:mount findmnt:util-linux fsfreeze:util-linux blkid:util-linux fusermount:fuse \
    blkdiscard:util-linux fallocate:util-linux setpriv:util-linux mkfs.xfs:xfsprogs mkfs.ext4:e2fsprogs tar:tar
  need_node
  need_packages
  need_devices
}

# --- asking a pool ----------------------------------------------------------------------------------------------------

# thinfuse ARGUMENT...: the CLI of this checkout, on $THINFUSE_ROOT.
thinfuse() { "$thinfuse_cli" "$@"; }

# json EXPRESSION: evaluates JavaScript on `it`, the JSON on standard input; objects come out as JSON. What is not there is an error.
json() {
  node -e '
    const it = JSON.parse(require("fs").readFileSync(0, "utf8"));
    const value = new Function("it", `return (${process.argv[1]})`)(it);
    if (value === undefined) throw new Error(`no ${process.argv[1]} in the answer`);
    console.log(typeof value === "object" ? JSON.stringify(value) : String(value));
  ' "$1"
}

# --- asserting --------------------------------------------------------------------------------------------------------

# expect TEXT COMMAND...: the command succeeds.
expect() {
  local text=$1
  shift
  "$@" || die "expected: $text"
  ok "$text"
}

# expect_equal TEXT ACTUAL EXPECTED
expect_equal() {
  [ "$2" = "$3" ] || die "expected: $1
  got:    $2
  wanted: $3"
  ok "$1"
}

# expect_failure TEXT EXIT-CODE COMMAND...: the command ends with that exit code.
expect_failure() {
  local text=$1 wanted=$2 got=0 said
  shift 2
  said=$("$@" 2>&1) || got=$?
  [ "$got" = "$wanted" ] || die "expected: $text (exit code $wanted, got $got): $said"
  ok "$text: $(printf '%s' "$said" | tail -n 1)"
}

# wait_for TEXT SECONDS COMMAND...: the command succeeds within that time.
wait_for() {
  local text=$1 end=$((SECONDS + $2))
  shift 2
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || die "expected: $text"
    sleep 0.2
  done
  ok "$text"
}

# --- a pool of the script's own -----------------------------------------------------------------------------------------

# own_pool: stops the pool at $THINFUSE_ROOT when the script ends, whatever happened.
own_pool() { at_exit stop_own_pool; }

stop_own_pool() {
  local pid
  [ -d "$THINFUSE_ROOT" ] || return 0
  pid=$(cat "$THINFUSE_ROOT/thinfuse.pid" 2>/dev/null || true)
  timeout 60 "$thinfuse_cli" stop --force >/dev/null 2>&1 || true
  if [ -n "$pid" ] && grep -qa thinfuse "/proc/$pid/cmdline" 2>/dev/null; then kill -9 "$pid" 2>/dev/null || true; fi
}

# device NAME FIELD: one field of `thinfuse ls --json`.
device() { thinfuse ls --json | json "it.find((device) => device.name === '$1').$2"; }
# device_exists NAME
device_exists() { [ "$(thinfuse ls --json | json "it.some((device) => device.name === '$1')")" = true ]; }
# daemon_pid: of the daemon that serves the pool.
daemon_pid() { thinfuse status --json | json it.pid; }
# is_followed PID: another daemon serves the pool now.
is_followed() { local now; now=$(daemon_pid 2>/dev/null) && [ "$now" != "$1" ]; }
# pool FIELD: one field of the pool's own line in `thinfuse df --json`.
pool() { thinfuse df --json | json "it.pool.$1"; }
# space_is BYTES: no removed device still holds space, and the pool uses this much.
space_is() { [ "$(pool pendingDeletes)" = 0 ] && [ "$(pool used)" = "$1" ]; }

nothing_left() {
  local left
  left=$(mounts_below "$THINFUSE_ROOT"; loops_below "$THINFUSE_ROOT")
  [ -z "$left" ] || { say "still there: $left"; return 1; }
}

# --- a Debian root ------------------------------------------------------------------------------------------------------

# Kept between runs, outside the checkout.
cache=${XDG_CACHE_HOME:-/var/cache}/thinfuse

# debian_root [PACKAGE...]: sets $debian_root to a tar of a minimal Debian with these packages, made once.
debian_root() {
  local suite mirror IFS=-
  local with="${*:+-with-$*}"
  IFS=,
  local include="${*:+--include=$*}"
  unset IFS
  suite=$(. /etc/os-release && [ "$ID" = debian ] && echo "$VERSION_CODENAME") || suite=bookworm
  debian_root=$cache/debian-$suite-minbase$with.tar
  if [ -s "$debian_root" ]; then
    say "from the cache: $debian_root"
    return
  fi
  command -v mmdebstrap >/dev/null || command -v debootstrap >/dev/null || need_commands mmdebstrap:mmdebstrap
  # The mirror that this machine's own apt uses; none is right where it is no Debian, and the tools know a default.
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 2>/dev/null |
    awk -v suite="$suite" '$2 == suite && $3 == "main" { print $1; exit }' || true)
  mkdir -p "$cache"
  say "making a minimal Debian $suite once, into $debian_root"
  if command -v mmdebstrap >/dev/null; then
    mmdebstrap --quiet --mode=root --variant=minbase ${include:+"$include"} --format=tar "$suite" "$debian_root.part" ${mirror:+"$mirror"}
  else
    local folder
    folder=$(mktemp -d "$cache/debootstrap.XXXXXX")
    at_exit rm -rf --one-file-system "$folder"
    debootstrap --variant=minbase ${include:+"$include"} "$suite" "$folder" ${mirror:+"$mirror"} >/dev/null
    tar -C "$folder" --xattrs --xattrs-include='*' --numeric-owner -cf "$debian_root.part" .
  fi
  mv "$debian_root.part" "$debian_root"
}

# debian_package NAME: sets $debian_package to its .deb, downloaded once.
debian_package() {
  mkdir -p "$cache"
  debian_package=$(find "$cache" -maxdepth 1 -name "$1_*.deb" -print -quit)
  [ -z "$debian_package" ] || return 0
  # apt downloads as its own user, who may not write into the cache.
  (cd "$cache" && apt-get download -qq -o APT::Sandbox::User=root "$1")
  debian_package=$(find "$cache" -maxdepth 1 -name "$1_*.deb" -print -quit)
}
