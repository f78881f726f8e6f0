# shellcheck shell=bash
# What the scripts share. Source it: . "$(dirname "$(readlink -f "$0")")/lib.sh"
# After it, $top is the checkout, errors end the script, and what `at_exit` was given runs whatever happens.

set -Eeuo pipefail
export LC_ALL=C.UTF-8
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

top=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
thinfuse_cli=$top/scripts/thinfuse
. "$top/scripts/node.sh"

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
  trap - EXIT ERR
  # One more signal must not stop this; what the steps start still hears it.
  trap : INT TERM HUP
  set +e
  for ((index = ${#exit_steps[@]} - 1; index >= 0; index--)); do eval "${exit_steps[index]}"; done
  exit "$status"
}
trap run_exit_steps EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
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

# The table of src/config/host-tools.ts, one tool a line: tool, need, packages of Debian, Fedora and Alpine, what for.
host_tools=$top/scripts/host-tools.tsv

# Which distribution's packages are named: Debian's where it is none of the three.
distribution() {
  local ids
  ids=$(. /etc/os-release 2>/dev/null && echo " ${ID:-} ${ID_LIKE:-} ") || ids=''
  case $ids in
    *' debian '* | *' ubuntu '*) echo debian ;;
    *' fedora '* | *' rhel '*) echo fedora ;;
    *' alpine '*) echo alpine ;;
    *) echo debian ;;
  esac
}

# packages_of DISTRIBUTION TOOL...: their packages, each once. A tool that the table does not have is an error.
packages_of() {
  local column tool package
  case $1 in debian) column=3 ;; fedora) column=4 ;; alpine) column=5 ;; esac
  shift
  for tool in "$@"; do
    package=$(awk -F'\t' -v tool="${tool##*/}" -v column="$column" '$1 == tool { print $column }' "$host_tools")
    [ -n "$package" ] || die "$tool is not in the table of host tools (src/config/host-tools.ts)"
    printf '%s\n' "$package"
  done | sort -u
}

# tools_of NEED: the tools that the table calls required, optional or scripts.
tools_of() { awk -F'\t' -v need="$1" '$2 == need { print $1 }' "$host_tools"; }

# has_tool TOOL: a program in PATH, or a library (NAME.so.VERSION) that the loader knows.
has_tool() {
  case $1 in
    *.so.*) ldconfig -p | grep -qF "$1 " ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

# need_commands TOOL...: installs the packages of the tools that are missing.
need_commands() {
  local tool missing=() packages
  for tool in "$@"; do
    has_tool "$tool" || missing+=("$tool")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  packages=$(packages_of "$(distribution)" "${missing[@]}")
  # shellcheck disable=SC2086 # packages, one a word
  install_packages $packages
}

install_packages() {
  local missing
  mapfile -t missing < <(printf '%s\n' "$@" | sort -u)
  command -v apt-get >/dev/null ||
    die "missing packages: ${missing[*]}; there is no apt-get here, so install them and try again"
  [ "$(id -u)" = 0 ] || die "missing: ${missing[*]}; run as root once, or: apt-get install ${missing[*]}"
  say "installing ${missing[*]}"
  update_packages
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
    die "apt-get could not install ${missing[*]}"
  hash -r
}

update_packages() {
  [ -z "${apt_updated:-}" ] || return 0
  apt-get update -qq || die "apt-get update failed; look at /etc/apt/sources.list and the network"
  apt_updated=1
}

# A Node.js that is new enough, with npm: the host's own, Debian's, or one in the cache. Nothing of the host's is replaced.
need_node() {
  local found offered='' have
  found=$(node_version)
  if find_node && command -v npm >/dev/null; then
    [ "$(node_version)" = "$found" ] || say "Node.js ${found:-is missing}; using $(node_version) from $node_cache"
    return
  fi
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    update_packages
    offered=$(apt-cache policy nodejs 2>/dev/null | sed -n 's/ *Candidate: \([0-9.]*\).*/\1/p')
    if is_enough "$found" || { [ -z "$found" ] && is_enough "$offered"; }; then
      install_packages npm
      return
    fi
  fi
  have=${found:+"Node.js $found"}
  say "${have:-no Node.js}${offered:+, and this Debian has $offered}; thinfuse needs $NODE_NEEDED or newer, so one comes into $node_cache"
  command -v npm >/dev/null || install_packages npm
  fetch_node
}

# As packages of npm that carry the programs themselves, for neither runs a script when it is installed; with an npm of its own, because
# Debian's finds its parts only through Debian's node.
fetch_node() {
  local arch part
  arch=$(node -p process.arch)
  case $arch in
    x64 | arm64) ;;
    *) die "npm has no Node.js for $arch; put $NODE_NEEDED or newer in the PATH and try again" ;;
  esac
  mkdir -p "$cache"
  part=$(mktemp -d "$cache/node.XXXXXX")
  at_exit rm -rf "$part"
  chmod 755 "$part"
  npm install --prefix "$part" --no-audit --no-fund --no-update-notifier --ignore-scripts --loglevel=error \
    "node-linux-$arch@$NODE_FETCHED" npm@10 >/dev/null || die "npm could not fetch Node.js; look at its settings (npm config ls) and the network"
  rm -rf "$node_cache"
  mv "$part" "$node_cache"
  find_node || die "the Node.js in $node_cache does not run here: $("$node_cache/node_modules/.bin/node" --version 2>&1)"
  say "using Node.js $(node_version)"
}

# node_modules as package-lock.json says. Times say nothing: a checkout writes the file anew, and node_modules may be shared by several.
need_packages() {
  is_installed && return
  [ ! -L "$top/node_modules" ] ||
    die "$top/node_modules is a link to $(readlink -f "$top/node_modules"), which does not hold what package-lock.json names: run npm ci there, or remove the link"
  # fuse-native's binary needs it; without it npm would try to compile one.
  need_commands libfuse.so.2
  say "npm ci"
  (cd "$top" && npm ci --no-audit --no-fund)
}

# is_installed: each package that package-lock.json requires is there in its version.
is_installed() {
  [ -f "$top/node_modules/.package-lock.json" ] || return 1
  node -e '
    const read = (file) => JSON.parse(require("fs").readFileSync(file, "utf8")).packages;
    const [wanted, found] = process.argv.slice(1).map(read);
    const isThere = ([name, { version, optional }]) => name === "" || optional || found[name]?.version === version;
    process.exit(Object.entries(wanted).every(isThere) ? 0 : 1);
  ' "$top/package-lock.json" "$top/node_modules/.package-lock.json"
}

# pack FOLDER: sets $packed to what npm pack makes of the checkout, in that folder. What is built already, and newer than its sources, is packed
# as it is, for other tests may run it.
pack() {
  local built=$top/dist/cli/main.js
  if ! [ -f "$built" ] || [ -n "$(find "$top/src" -newer "$built" -print -quit)" ]; then npm --prefix "$top" run --silent build; fi
  (cd "$top" && npm pack --silent --ignore-scripts --pack-destination "$1" >/dev/null)
  packed=$(find "$1" -maxdepth 1 -name 'thinfuse-*.tgz')
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
  local tools
  mapfile -t tools < <(tools_of required)
  need_commands "${tools[@]}"
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
    const text = typeof value === "object" ? JSON.stringify(value) : String(value);
    try {
      require("fs").writeFileSync(1, text + "\n");
    } catch (error) {
      if (error.code !== "EPIPE") throw error;
      process.exitCode = 141;
    }
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

# containerd_config NAME SNAPSHOTTER: for a containerd below $scratch, on $socket, with a snapshotter of that name behind the socket SNAPSHOTTER.
containerd_config() {
  cat <<CONFIG
version = 2
root = "$scratch/containerd"
state = "$scratch/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$socket"
[ttrpc]
  address = "$socket.ttrpc"
[proxy_plugins.$1]
  type = "snapshot"
  address = "$2"
CONFIG
}

# A tree as one stream: names, contents, owners, modes, times, links, devices and extended attributes. Of its root only the mode and
# the owner: no layer has it, so its time is that of the unpacking.
as_tar() {
  stat --format '%a %u %g' "$1"
  (cd "$1" && find . -mindepth 1 -print0 | LC_ALL=C sort -z) |
    tar -C "$1" --null --no-recursion --files-from - --numeric-owner --xattrs --xattrs-include='*' \
      --format=pax --pax-option=delete=atime,delete=ctime,exthdr.name=%d/%f -c
}
same_files() {
  cmp <(as_tar "$1") <(as_tar "$2") && return
  diff <(as_tar "$1" | tail -n +2 | tar -tvv --full-time --xattrs) <(as_tar "$2" | tail -n +2 | tar -tvv --full-time --xattrs) | head -n 20
  return 1
}

nothing_left() {
  local left
  left=$(mounts_below "$THINFUSE_ROOT"; loops_below "$THINFUSE_ROOT")
  [ -z "$left" ] || { say "still there: $left"; return 1; }
}

# --- a Debian root ------------------------------------------------------------------------------------------------------

# debian_suite SUITE: sets $debian_suite to it, or where it is empty to this machine's release of Debian, or to one that is sure to be there, and $debian_mirror to where its
# own apt gets that suite, or any, from; empty on a machine that is no Debian, for the tools know a default.
debian_suite() {
  debian_suite=${1:-$(. /etc/os-release && [ "$ID" = debian ] && echo "$VERSION_CODENAME")} || debian_suite=bookworm
  debian_mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)' 'Created-By: Packages' 2>/dev/null |
    awk -v suite="$debian_suite" '$3 != "main" || $2 ~ /-/ { next } $2 == suite { same = $1 } $4 == "Debian" { any = $1 } END { print same ? same : any }' || true)
}

# debian_root [PACKAGE...]: sets $debian_root to a tar of a minimal Debian with these packages, made once.
debian_root() {
  local with="${*:+-with-$(IFS=- && echo "$*")}"
  debian_suite ''
  debian_root=$cache/debian-$debian_suite-minbase$with.tar
  make_debian minbase "$debian_root" "$@"
}

# make_debian VARIANT TAR [PACKAGE...]: of $debian_suite; a tar that is there already is taken as it is.
make_debian() {
  local variant=$1 tar=$2 include part
  shift 2
  include=${*:+--include=$(IFS=, && echo "$*")}
  if [ -s "$tar" ]; then
    say "from the cache: $tar"
    return
  fi
  has_tool mmdebstrap || has_tool debootstrap || need_commands mmdebstrap
  mkdir -p "$cache"
  say "making a minimal Debian $debian_suite once, into $tar"
  part=$(mktemp -d "$cache/debian.XXXXXX")
  at_exit rm -rf --one-file-system "$part"
  if has_tool mmdebstrap; then
    mmdebstrap --quiet --mode=root --variant="$variant" ${include:+"$include"} --format=tar "$debian_suite" "$part/tar" ${debian_mirror:+"$debian_mirror"}
  else
    # It knows no less than this.
    debootstrap --variant=minbase ${include:+"$include"} "$debian_suite" "$part/root" ${debian_mirror:+"$debian_mirror"} >/dev/null
    tar -C "$part/root" --xattrs --xattrs-include='*' --numeric-owner -cf "$part/tar" .
  fi
  mv "$part/tar" "$tar"
  rm -rf --one-file-system "$part"
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
