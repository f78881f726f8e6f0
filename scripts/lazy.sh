#!/usr/bin/env bash
# Lazy images through containerd: a real registry behind a link of its own, Debian's containerd on a pool of one host, which pulls an ordinary
# image in the ordinary way and puts block images beside it (thinfuse push --oci), and another host, which pulls the same image through the CRI
# with lazy=on. Measures the time to the first output of both ways, and compares every file with overlayfs. As root; installs what is missing,
# and everything goes away at the end.
#
#   scripts/lazy.sh [--rtt MS] [--rounds N] [--rate RATE]
#
#   --rtt      round trip to the registry in milliseconds (25)
#   --rounds   of each measurement (3)
#   --rate     what the registry sends at most, as tc has it (1gbit)

. "$(dirname "$(readlink -f "$0")")/lib.sh"

rtt=25 rounds=3 rate=1gbit
while [ $# -gt 0 ]; do
  case $1 in
    --rtt | --rounds | --rate)
      [ $# -gt 1 ] || die "$1 needs a value; see $0 --help"
      case $1 in
        --rtt) rtt=$2 ;;
        --rounds) rounds=$2 ;;
        --rate) rate=$2 ;;
      esac
      shift
      ;;
    -h | --help) print_help; exit 0 ;;
    *) die "unknown option $1; see $0 --help" ;;
  esac
  shift
done

step "What the trial needs"
need_thinfuse
need_commands containerd ctr runc umoci skopeo mmdebstrap
if ! [ -x /bin/busybox ] || ldd /bin/busybox >/dev/null 2>&1; then install_packages busybox-static; fi
scratch lazy
. "$top/scripts/remote/lab.sh"
need_store oci
debian_root python3 git perl nodejs

step "A registry and two hosts"
lab oci maker user
direct=$THINFUSE_OCI_PLAIN_HTTP

step "An ordinary image of three layers, in the registry"
layout=$scratch/layout
umoci init --layout "$layout"
umoci new --image "$layout:debian"
umoci raw add-layer --image "$layout:debian" "$debian_root"
layer=$scratch/layer
mkdir -p "$layer/opt/app"
printf 'print("hello from python")\n' >"$layer/opt/app/hello.py"
tar -C "$layer" --sort=name -cf "$layer.tar" .
umoci raw add-layer --image "$layout:debian" "$layer.tar"
echo 'import json, hashlib, ssl; print("hello, all of it")' >"$layer/opt/app/hello.py"
tar -C "$layer" --sort=name -cf "$layer.tar" .
umoci raw add-layer --image "$layout:debian" "$layer.tar"
umoci config --image "$layout:debian" --config.cmd /usr/bin/python3 --config.cmd /opt/app/hello.py
umoci new --image "$layout:pause"
mkdir -p "$scratch/pause"/{bin,dev,proc,sys}
install -m 755 /bin/busybox "$scratch/pause/bin/busybox"
ln "$scratch/pause/bin/busybox" "$scratch/pause/bin/sleep"
tar -C "$scratch/pause" -cf "$scratch/pause.tar" .
umoci raw add-layer --image "$layout:pause" "$scratch/pause.tar"
umoci config --image "$layout:pause" --config.cmd /bin/sleep --config.cmd 86400
for name in debian pause; do
  on maker skopeo copy --quiet --dest-tls-verify=false "oci:$layout:$name" "docker://$direct/trial/$name:12"
done
delay "$rtt" "$rate"
registry=$THINFUSE_OCI_PLAIN_HTTP
image=$registry/trial/debian:12
say "$(stat --format %s "$debian_root" | numfmt --to=iec) of files"

# host NAME SNAPSHOTTER-OPTIONS: a pool and a containerd of that host; use them after `as NAME`.
hosts=()
host() {
  as "$1"
  hosts+=("$1")
  mkdir -p "$folder"
  on "$1" "$thinfuse_cli" init --base-size 2G --data-size 8G
  on "$1" "$thinfuse_cli" start --snapshotter "thinfuse=$folder/snapshotter.sock$2"
  cat >"$folder/config.toml" <<CONFIG
version = 2
root = "$folder/containerd"
state = "$folder/state"
[grpc]
  address = "$socket"
[ttrpc]
  address = "$socket.ttrpc"
[proxy_plugins.thinfuse]
  type = "snapshot"
  address = "$folder/snapshotter.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$registry/trial/pause:12"
  disable_apparmor = true
  restrict_oom_score_adj = true
  stream_server_port = "0"
[plugins."io.containerd.grpc.v1.cri".cni]
  conf_dir = "$folder/cni"
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "thinfuse"
  disable_snapshot_annotations = false
  discard_unpacked_layers = false
[plugins."io.containerd.grpc.v1.cri".registry.mirrors."$registry"]
  endpoint = ["http://$registry"]
CONFIG
  # Without a function in between: it is this process that is ended.
  nsenter --net=/run/netns/tf-"$1-$lab_id" containerd -c "$folder/config.toml" >"$folder/containerd.log" 2>&1 &
  containerd_pids[$1]=$!
  containerd_answers() { ctr version >/dev/null 2>&1; }
  wait_for "containerd of $1 answers" 30 containerd_answers
}
declare -A containerd_pids
as() {
  host=$1
  folder=$scratch/$1
  export THINFUSE_ROOT=$folder/pool
  socket=$folder/containerd.sock
}
ctr() { on "$host" ctr --address "$socket" "$@"; }
cri() { on "$host" node --import "$top/node_modules/tsx/dist/loader.mjs" "$top/scripts/cri/call.ts" "$socket" "$@"; }
stop_hosts() {
  local name shim task
  for name in "${hosts[@]}"; do
    as "$name"
    for task in $(ctr --namespace k8s.io task ls -q 2>/dev/null; ctr task ls -q 2>/dev/null); do
      ctr --namespace k8s.io task kill -s KILL "$task" 2>/dev/null || ctr task kill -s KILL "$task" 2>/dev/null
    done
    kill "${containerd_pids[$name]}" 2>/dev/null && wait "${containerd_pids[$name]}" 2>/dev/null
    { pgrep -f "containerd-shim-runc-v2 .* -address $socket" || true; } | while read -r shim; do kill -9 "$shim"; done
    { mounts_below "$folder/state" || true; } | tac | while read -r target; do umount -l "$target" 2>/dev/null; done
    stop_own_pool
  done
}
at_exit stop_hosts

# sandbox: a pod of this host, made once; what is measured is an image and its container.
sandbox() {
  mkdir -p "$folder/pod"
  cri PullImage "{\"image\": {\"image\": \"$registry/trial/pause:12\"}}" >/dev/null
  sandbox_config="{\"metadata\": {\"name\": \"pod\", \"uid\": \"u-$host\", \"namespace\": \"default\", \"attempt\": 0}, \"log_directory\": \"$folder/pod\", \"linux\": {\"security_context\": {\"namespace_options\": {\"network\": 2}}}}"
  pod=$(cri RunPodSandbox "{\"config\": $sandbox_config}" | json it.pod_sandbox_id)
}
# first_output NAME: pulls the image through the CRI, runs its container, and waits for its first line; sets $took and $pull_ms, and $output.
first_output() {
  local found
  rm -f "$folder/pod/$1.log"
  found=$(on "$host" node --import "$top/node_modules/tsx/dist/loader.mjs" "$top/scripts/cri/first-output.ts" "$socket" "$image" "$pod" "$sandbox_config" "$1")
  took=$(json it.all <<<"$found") pull_ms=$(json it.pull <<<"$found") output=$(json it.line <<<"$found")
}
# forget: the image, its snapshots and its contents are gone.
is_forgotten() { [ "$(ctr --namespace k8s.io snapshots --snapshotter thinfuse ls | grep -c sha256 || true)" -le 2 ] && [ "$(pool pendingDeletes)" = 0 ]; }
forget() {
  cri RemoveImage "{\"image\": {\"image\": \"$image\"}}" >/dev/null
  ctr --namespace k8s.io content prune references >/dev/null 2>&1 || true
  wait_for "the image is gone" 60 is_forgotten
}
# rounds_of NAME: first outputs, each of an image that is not here, into $times.
rounds_of() {
  local round
  times=()
  for ((round = 1; round <= rounds; round++)); do
    [ "$round" = 1 ] || forget
    first_output "$1-$round"
    expect_equal "its first output" "$output" 'hello, all of it'
    say "$took ms, of which the pull $pull_ms ms"
    times+=("$took")
  done
}
median() { printf '%s\n' "$@" | sort -n | sed -n "$((($# + 1) / 2))p"; }

step "The ordinary pull, on the host that makes the block images"
host maker ''
sandbox
rounds_of ordinary
ordinary=("${times[@]}")

step "Block images beside it"
before=$(on maker skopeo inspect --raw --tls-verify=false "docker://$image" | sha256sum)
on maker "$thinfuse_cli" push --oci "oci://$image"
expect_equal "the ordinary image is as it was" "$(on maker skopeo inspect --raw --tls-verify=false "docker://$image" | sha256sum)" "$before"
expect_equal "a second push sends nothing" "$(on maker "$thinfuse_cli" push --oci --json "oci://$image" | json it.sent)" 0

step "The lazy pull, on the other host"
host user ,lazy=on
sandbox
rounds_of lazy
lazy=("${times[@]}")
say "$(thinfuse status --json | json 'Math.round(it.remote.fetched / 2 ** 20)') MiB fetched since the daemon began"
expect "no layer was fetched as a tar" sh -c "! find '$folder/containerd/io.containerd.content.v1.content' -size +5000k | grep -q ."

step "Every file is as with overlayfs"
as user
chain=$(ctr --namespace k8s.io snapshots --snapshotter thinfuse ls | awk 'NR > 1 && $NF == "Committed" { all[$1]; if (NF > 2) parent[$2] } END { for (key in all) if (!(key in parent)) print key }')
as maker
ctr images pull --plain-http --snapshotter overlayfs "$image" >/dev/null
mkdir "$scratch/overlay" "$scratch/thin"
release_views() { umount "$scratch/overlay" "$scratch/thin" 2>/dev/null; }
at_exit release_views
ctr images mount --snapshotter overlayfs "$image" "$scratch/overlay" >/dev/null
as user
for key in $chain; do
  eval "$(ctr --namespace k8s.io snapshots --snapshotter thinfuse view --target "$scratch/thin" "look-$RANDOM" "$key")"
  [ -e "$scratch/thin/opt/app" ] && break
  umount "$scratch/thin"
done
expect "$(find "$scratch/overlay" | wc -l) files are the same" same_files "$scratch/overlay" "$scratch/thin"
release_views

stop_hosts || true
hosts=()
for name in maker user; do
  as "$name"
  expect "nothing of $name is left" nothing_left
  thinfuse check
done

step "What it comes to"
printf '   %-10s %8s ms (%s)\n' ordinary "$(median "${ordinary[@]}")" "${ordinary[*]}" lazy "$(median "${lazy[@]}")" "${lazy[*]}"
say "lazy / ordinary: $(node -p "($(median "${lazy[@]}") / $(median "${ordinary[@]}")).toFixed(2)")"
