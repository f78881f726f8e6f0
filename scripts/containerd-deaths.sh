#!/usr/bin/env bash
# containerd pulls an image of many layers from a registry while the daemon below it is killed (SIGKILL) again and again and replaced once. The
# pull has to succeed, and every file has to be as the overlayfs snapshotter makes it. As root, with Linux 6.9; installs what is missing, and
# everything goes away at the end.
#
#   scripts/containerd-deaths.sh [--layers N] [--deaths N]     100 layers, 5 deaths

. "$(dirname "$(readlink -f "$0")")/lib.sh"

layers=100 deaths=5
while [ $# -gt 0 ]; do
  case $1 in
    --layers) [ $# -gt 1 ] || die "--layers needs a number"; layers=$2; shift ;;
    --deaths) [ $# -gt 1 ] || die "--deaths needs a number"; deaths=$2; shift ;;
    -h | --help) print_help; exit 0 ;;
    *) die "unknown option $1; see $0 --help" ;;
  esac
  shift
done

step "What the trial needs"
need_root
need_thinfuse
need_commands containerd ctr umoci skopeo
command -v docker-registry >/dev/null || install_packages docker-registry
scratch containerd-deaths
export THINFUSE_ROOT=$scratch/pool
own_pool
socket=$scratch/containerd.sock
ctr() { command ctr --address "$socket" "$@"; }

step "An image of $layers layers in a registry"
layout=$scratch/layout
umoci init --layout "$layout"
umoci new --image "$layout:many"
layer=$scratch/layer
mkdir -p "$layer/layers"
for ((number = 1; number <= layers; number++)); do
  rm -f "$layer"/layers/*
  echo "$number" >"$layer/layers/$number"
  echo "$number" >"$layer/last"
  head -c 20000 /dev/urandom >"$layer/random-$((number % 7))"
  tar -C "$layer" --sort=name -cf "$layer.tar" .
  umoci raw add-layer --image "$layout:many" "$layer.tar" 2>/dev/null
done
port=$((20000 + RANDOM % 20000))
cat >"$scratch/registry.yml" <<CONFIG
version: 0.1
storage: {filesystem: {rootdirectory: $scratch/registry}}
http: {addr: "127.0.0.1:$port"}
CONFIG
docker-registry serve "$scratch/registry.yml" >"$scratch/registry.log" 2>&1 &
registry=$!
at_exit kill "$registry"
copy() { skopeo copy --quiet --dest-tls-verify=false "oci:$layout:many" "docker://127.0.0.1:$port/many:latest" 2>/dev/null; }
wait_for "the registry has it" 60 copy
image=127.0.0.1:$port/many:latest

step "A pool, and containerd on it"
thinfuse init --base-size 1G --data-size 8G
thinfuse start --supervised --snapshotter
containerd_config thinfuse "$THINFUSE_ROOT/snapshotter.sock" >"$scratch/config.toml"
containerd -c "$scratch/config.toml" >"$scratch/containerd.log" 2>&1 &
containerd=$!
stop_containerd() { kill "$containerd" 2>/dev/null && wait "$containerd"; }
at_exit stop_containerd
containerd_answers() { ctr version >/dev/null 2>&1; }
wait_for "containerd answers" 30 containerd_answers

step "A pull under $deaths deaths and a restart"
pull() { ctr images pull --plain-http --snapshotter "$1" "$image" >"$scratch/pull-$1.log" 2>&1; }
pull thinfuse &
pull=$!
at_exit eval "kill $pull 2>/dev/null || true"
is_pulling() { kill -0 "$pull" 2>/dev/null; }
# unpacked COUNT: containerd has so many layers in the pool.
unpacked() { [ "$(ctr snapshots --snapshotter thinfuse ls | grep -c Committed || true)" -ge "$1" ] || ! is_pulling; }
for ((death = 1; death <= deaths; death++)); do
  wait_for "$((death * layers / (deaths + 2))) layers are unpacked" 300 unpacked $((death * layers / (deaths + 2)))
  is_pulling || { cat "$scratch/pull-thinfuse.log"; die "the pull ended before death $death"; }
  pid=$(daemon_pid)
  kill -KILL "$pid"
  wait_for "death $death is followed" 60 is_followed "$pid"
done
wait_for "more layers are unpacked" 300 unpacked $(((deaths + 1) * layers / (deaths + 2)))
is_pulling || { cat "$scratch/pull-thinfuse.log"; die "the pull ended before the restart"; }
thinfuse restart
wait "$pull" || { tail -n 3 "$scratch/pull-thinfuse.log"; die "the pull failed"; }
ok "the pull succeeded"

step "What came of it"
pull overlayfs
mkdir "$scratch/overlay" "$scratch/thin"
release_views() { umount "$scratch/overlay" "$scratch/thin" 2>/dev/null; }
at_exit release_views
ctr images mount --snapshotter overlayfs "$image" "$scratch/overlay" >/dev/null
# `ctr images mount` of containerd 1.6 asks overlayfs, whatever it is told.
chain=$(ctr snapshots --snapshotter thinfuse ls | awk 'NR > 1 { all[$1]; if (NF > 2) parent[$2] } END { for (key in all) if (!(key in parent)) print key }')
ctr snapshots --snapshotter thinfuse view --target "$scratch/thin" look "$chain" | sh
expect "the files are the pool's" grep -q "/dev/loop.* $scratch/thin " /proc/mounts
expect "every file is as with overlayfs" diff -r "$scratch/overlay" "$scratch/thin"
expect_equal "to the last layer" "$(cat "$scratch/thin/last")" "$layers"
release_views
expect_equal "and there is no snapshot more" "$(ctr snapshots --snapshotter thinfuse ls | grep -c Committed)" "$layers"
stop_containerd || true
thinfuse stop
expect "nothing is left" nothing_left
thinfuse check
printf '\n%sThe pull noticed nothing of %s deaths.%s\n' "$bold" "$deaths" "$plain"
