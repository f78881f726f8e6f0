#!/usr/bin/env bash
# containerd's images and containers in a pool, for real: a containerd and a pool of the script's own in a scratch folder, with the fragment
# of config.toml from docs/containerd.md. An image of several layers with all that layers can hold is compared, file by file, with what the
# overlayfs snapshotter makes of it. As root; installs what is missing, and everything goes away at the end.
#
#   scripts/containerd.sh [--short]
#
#   --short   without the Debian root, and with fewer containers: under a minute

. "$(dirname "$(readlink -f "$0")")/lib.sh"

short=''
case ${1:-} in
  '') ;;
  --short) short=1 ;;
  -h | --help) print_help; exit 0 ;;
  *) die "unknown option $1; see $0 --help" ;;
esac
many=20
[ -z "$short" ] || many=5

step "What the trial needs"
need_thinfuse
need_commands containerd ctr runc umoci skopeo setfattr setcap
# Not the one that needs libraries.
if ! [ -x /bin/busybox ] || ldd /bin/busybox >/dev/null 2>&1; then install_packages busybox-static; fi
[ -n "$short" ] || need_commands mmdebstrap
scratch containerd
export THINFUSE_ROOT=$scratch/pool
own_pool
socket=$scratch/containerd.sock
containerd_log=$scratch/containerd.log

# Mounts that a step made by hand; they go before the daemons do.
hand_mounts=()
release_hand_mounts() {
  local target
  for target in "${hand_mounts[@]}"; do umount "$target" 2>/dev/null || true; done
}

start_containerd() {
  containerd -c "$scratch/config.toml" >>"$containerd_log" 2>&1 &
  containerd_pid=$!
  wait_for "containerd answers" 30 containerd_answers
}
containerd_answers() { ctr version >/dev/null 2>&1; }
stop_containerd() {
  kill "$containerd_pid" 2>/dev/null || true
  wait "$containerd_pid" 2>/dev/null || true
}
# Shims outlive containerd.
stop_everything() {
  local namespace task
  for namespace in default other k8s.io; do
    for task in $(runc --root "$scratch/runc/$namespace" list -q 2>/dev/null || true); do
      runc --root "$scratch/runc/$namespace" delete --force "$task" >/dev/null 2>&1 || true
    done
  done
  release_hand_mounts
  stop_containerd
  { pgrep -f "containerd-shim-runc-v2 .* -address $socket" || true; } | while read -r shim; do kill -9 "$shim"; done
  { mounts_below "$scratch" | grep -v "^$THINFUSE_ROOT" || true; } | tac | while read -r target; do umount -l "$target"; done
}
ctr() { command ctr --address "$socket" "$@"; }

step "A pool, and containerd on it"
# Where the kernel can ask again what a daemon that died has not answered.
supervised=()
if printf '6.9\n%s\n' "$(uname -r)" | sort --check --version-sort 2>/dev/null; then supervised=(--supervised); fi
thinfuse init --base-size 2G --data-size 2G
thinfuse start --snapshotter "${supervised[@]}"
cat >"$scratch/config.toml" <<CONFIG
version = 2
root = "$scratch/containerd"
state = "$scratch/state"

[grpc]
  address = "$socket"
[ttrpc]
  address = "$socket.ttrpc"
CONFIG
# The fragment of the manual, with this pool's socket.
# shellcheck disable=SC2129 # one after the other, each with what is said of it
sed -n '/^\[proxy_plugins/,/^```/{/^```/q;p}' "$top/docs/containerd.md" |
  sed "s|/var/lib/thinfuse|$THINFUSE_ROOT|" >>"$scratch/config.toml"
# And that of the CRI, beside what this trial needs of it: no network, and a sandbox image of its own.
sed -n '/^\[plugins."io.containerd.grpc.v1.cri".containerd\]/,/^```/{/^```/d;p}' "$top/docs/containerd.md" >>"$scratch/config.toml"
cat >>"$scratch/config.toml" <<CONFIG
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/library/pause:latest"
  disable_apparmor = true
  restrict_oom_score_adj = true
  stream_server_port = "0"
[plugins."io.containerd.grpc.v1.cri".cni]
  conf_dir = "$scratch/cni"
CONFIG
at_exit stop_everything
start_containerd
# What snapshots start from is made with the first one, and stays.
ctr snapshots --snapshotter thinfuse prepare first >/dev/null
ctr snapshots --snapshotter thinfuse rm first
bases_alone() { [ "$(thinfuse ls --json | json it.length)" = 2 ] && [ "$(pool pendingDeletes)" = 0 ]; }
wait_for "there are two empty filesystems" 30 bases_alone
empty=$(pool used)
expect "the snapshotter is there" sh -c "command ctr --address $socket plugins ls | grep -q 'thinfuse .* ok'"

step "An image of three layers"
image=docker.io/library/layers:latest
layout=$scratch/layout
umoci init --layout "$layout"
umoci new --image "$layout:layers"
# add_layer FOLDER: what is in it becomes the image's next layer, names that say what a layer takes away (`.wh.`) as they are.
add_layer() {
  tar -C "$1" --sort=name --numeric-owner --xattrs --xattrs-include='*' --format=pax -cf "$1.tar" .
  umoci raw add-layer --image "$layout:layers" "$1.tar"
}

first=$scratch/first
mkdir -p "$first"/{bin,etc,dev,proc,sys,tmp,usr/lib,going/down,opaque,becomes-file}
chmod 1777 "$first/tmp"
install -m 755 /bin/busybox "$first/bin/busybox"
for applet in sh cat echo sleep sync touch mkdir rm ls id true stat mount head yes; do ln "$first/bin/busybox" "$first/bin/$applet"; done
echo 'root:x:0:0:root:/:/bin/sh' >"$first/etc/passwd"
echo first >"$first/etc/layer"
echo below >"$first/opaque/below"
echo gone >"$first/going/down/file"
echo file >"$first/becomes-folder"
add_layer "$first"

second=$scratch/second
mkdir -p "$second"/{etc,dev,tmp,usr}
chmod 1777 "$second/tmp"
echo second >"$second/etc/layer"
mknod "$second/dev/null-of-ours" c 1 3
mknod "$second/dev/disk-of-ours" b 7 77
mkfifo "$second/tmp/fifo"
ln -s ../etc/layer "$second/usr/link"
ln "$second/etc/layer" "$second/usr/hard-link"
printf 'bytes' >"$second/usr/binary"
setfattr -n user.binary -v 0xff00fe0a80c3 "$second/usr/binary"
setfattr -n trusted.thing -v 0x0001 "$second/usr/binary"
cp /bin/busybox "$second/usr/capable"
setcap cap_net_raw,cap_net_bind_service+ep "$second/usr/capable"
install -m 4755 -o 65534 -g 12345 /dev/null "$second/usr/setuid"
touch -d '2001-02-03 04:05:06.789012345Z' "$second/usr/setuid"
touch "$second/usr/$(printf 'na\303\257ve name with spaces')"
truncate -s 8M "$second/usr/sparse"
echo data | dd of="$second/usr/sparse" bs=1 seek=5M conv=notrunc status=none
add_layer "$second"

third=$scratch/third
mkdir -p "$third"/{etc,usr,opaque,becomes-folder}
touch "$third/.wh.going" "$third/opaque/.wh..wh..opq"
echo above >"$third/opaque/above"
echo third >"$third/etc/layer"
ln "$third/etc/layer" "$third/usr/hard-link"
echo now a file >"$third/becomes-file"
add_layer "$third"
umoci config --image "$layout:layers" --config.cmd /bin/sh
skopeo copy --quiet "oci:$layout:layers" "oci-archive:$scratch/layers.tar:$image"
# The same again, as what holds a pod's namespaces.
umoci tag --image "$layout:layers" pause
umoci config --image "$layout:pause" --config.cmd /bin/sleep --config.cmd 86400
skopeo copy --quiet "oci:$layout:pause" "oci-archive:$scratch/pause.tar:docker.io/library/pause:latest"

# chain_of NAME: the key of an image's topmost snapshot.
chain_of() {
  skopeo inspect --config --raw "oci:$layout:$1" | node -e '
    const { createHash } = require("crypto");
    const layers = JSON.parse(require("fs").readFileSync(0, "utf8")).rootfs.diff_ids;
    console.log(layers.reduce((chain, layer) =>
      chain === "" ? layer : `sha256:${createHash("sha256").update(`${chain} ${layer}`).digest("hex")}`, ""));'
}
# view SNAPSHOTTER KEY PARENT: mounts a view of a snapshot; sets $view.
view() {
  view=$scratch/views/$1-$2
  mkdir -p "$view"
  eval "$(ctr snapshots --snapshotter "$1" view --target "$view" "$2" "$3")"
  hand_mounts+=("$view")
}
# Nothing refers to a view that was made by hand, so containerd's collector may have been there before.
unview() {
  umount "$scratch/views/$1-$2"
  ctr snapshots --snapshotter "$1" rm "$2" 2>/dev/null || true
}
# compare NAME: what both snapshotters made of an imported image.
compare() {
  local chain
  chain=$(chain_of "$1")
  view overlayfs "compare-$1" "$chain"
  local overlay=$view
  view thinfuse "compare-$1" "$chain"
  expect_equal "the root is a filesystem of its own" "$(stat --file-system --format %T "$view")" ext2/ext3
  expect_failure "a view takes no writes" 1 touch "$view/x"
  expect "every file of $1 is as with overlayfs ($(find "$view" | wc -l) of them)" same_files "$overlay" "$view"
}
uncompare() {
  unview overlayfs "compare-$1"
  unview thinfuse "compare-$1"
}

step "The image, with overlayfs and with the pool"
ctr images import --snapshotter overlayfs "$scratch/layers.tar" >/dev/null
ctr images import --snapshotter thinfuse "$scratch/layers.tar"
compare layers
expect_equal "binary attributes are whole" "$(getfattr --absolute-names --only-values -n user.binary "$view/usr/binary" | od -An -tx1 | tr -d ' ')" ff00fe0a80c3
expect "capabilities of files are there" sh -c "getcap '$view/usr/capable' | grep -q cap_net_raw"
expect_equal "devices are" "$(stat --format '%F %t %T' "$view/dev/disk-of-ours")" 'block special file 7 4d'
expect_equal "hard links are" "$(stat --format %h "$view/usr/hard-link")" 2
expect_equal "times are, to the nanosecond" "$(stat --format %y "$view/usr/setuid")" '2001-02-03 04:05:06.789012345 +0000'
expect "what a layer took away is gone" test ! -e "$view/going" -a ! -e "$view/opaque/below" -a -d "$view/becomes-folder" -a -f "$view/becomes-file"
uncompare layers

step "Run"
run() { ctr run --runc-root "$scratch/runc" --rm --snapshotter thinfuse "$image" "$@"; }
expect_equal "a container runs" "$(run hello /bin/cat /etc/layer)" third
expect "and nothing of it stays" sh -c "! command ctr --address $socket snapshots --snapshotter thinfuse ls | grep -q '^hello '"

step "A container that runs: exec, diff, commit"
ctr run --runc-root "$scratch/runc" --detach --snapshotter thinfuse "$image" live /bin/sh -c 'echo one > /written; while :; do sleep 1; done'
inside() { ctr task exec --exec-id "exec-$RANDOM$RANDOM" live "$@"; }
wait_for "it has begun" 10 inside /bin/true
expect "its root is the pool's" sh -c "command ctr --address $socket task exec --exec-id root live /bin/mount | grep -q 'on / type ext4'"
inside /bin/sh -c 'echo changed > /etc/layer; rm /usr/sparse; mkdir /new; echo two > /new/file'
ctr snapshots --snapshotter thinfuse diff live >"$scratch/diff.tar"
expect_equal "a diff shows what changed" "$(tar -tf "$scratch/diff.tar" | grep -v '/$' | sort | tr '\n' ' ')" \
  'etc/layer new/file usr/.wh.sparse usr/hard-link written '
expect_equal "with its contents" "$(tar -xOf "$scratch/diff.tar" new/file)" two
say "$(ctr snapshots --snapshotter thinfuse usage live)"
began=$(date +%s%N)
ctr snapshots --snapshotter thinfuse commit live-image live
say "committed while it runs, in $((($(date +%s%N) - began) / 1000000)) ms"
inside /bin/sh -c 'echo later > /later; echo later > /new/file; sync -f /later'
view thinfuse live-view live-image
expect_equal "the image has what was written before" "$(cat "$view/new/file")" two
expect "and nothing of what was written later" test ! -e "$view/later"
expect_equal "the container has" "$(inside /bin/cat /later)" later
unview thinfuse live-view
# The label of a device whose snapshot is gone for containerd, while somebody still has its files.
retired() { thinfuse ls --json | json 'it.filter((device) => device.label === "containerd:retired").length'; }
no_retired() { [ "$(retired)" = 0 ]; }
# Others, of containers that have just ended, go within seconds.
only_retired() { [ "$(retired)" = 1 ]; }
wait_for "the device that it writes to has no snapshot any more" 30 only_retired
ctr task kill --signal KILL live
wait_for "it ends" 10 sh -c "command ctr --address $socket task ls | grep -q 'live .*STOPPED'"
ctr task rm live >/dev/null 2>&1 || true
ctr containers rm live
wait_for "and goes after the container" 30 no_retired

step "A container that is full"
limited=containerd.io/snapshot/thinfuse.size
ctr run --runc-root "$scratch/runc" --detach --snapshotter thinfuse --snapshotter-label "$limited=40M" "$image" bounded /bin/sleep 600
fill() { ctr task exec --exec-id "fill-$RANDOM$RANDOM" bounded /bin/sh -c 'yes | head -c 62914560 >/fill'; }
expect_failure "write says so" 1 fill
ctr snapshots --snapshotter thinfuse label bounded "$limited=120M" >/dev/null
expect "and has more when the label says so" fill
ctr task kill --signal KILL bounded
until ctr task rm bounded >/dev/null 2>&1; do sleep 0.2; done
ctr containers rm bounded

step "$many containers at once"
began=$(date +%s%N)
pids=()
for number in $(seq "$many"); do
  ctr run --runc-root "$scratch/runc" --detach --snapshotter thinfuse "$image" "many-$number" /bin/sh -c "echo $number > /number; sync -f /number; sleep 600" >/dev/null &
  pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid" || die "a container did not start"; done
say "started in $((($(date +%s%N) - began) / 1000000)) ms"
for number in $(seq "$many"); do
  [ "$(ctr task exec --exec-id "read-$number" "many-$number" /bin/cat /number)" = "$number" ] || die "container $number has not its own files"
done
ok "each has its own files"
if [ ${#supervised[@]} -gt 0 ]; then
  daemon=$(daemon_pid)
  kill -KILL "$daemon"
  wait_for "the daemon is killed under them, and followed" 30 is_followed "$daemon"
  for number in $(seq "$many"); do
    ctr task exec --exec-id "write-$number" "many-$number" /bin/sh -c 'echo after >>/number; sync -f /number'
    [ "$(ctr task exec --exec-id "more-$number" "many-$number" /bin/cat /number | tr '\n' ' ')" = "$number after " ] || die "container $number met it"
  done
  ok "each goes on"
  expect_equal "and others start" "$(run after /bin/cat /etc/layer)" third
fi
pids=()
for number in $(seq "$many"); do
  (
    ctr task kill --signal KILL "many-$number"
    until ctr task rm "many-$number" >/dev/null 2>&1; do sleep 0.2; done
    ctr containers rm "many-$number"
  ) &
  pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid" || die "a container did not go"; done
ok "and all are removed"

step "A second namespace"
ctr -n other images import --snapshotter thinfuse "$scratch/layers.tar" >/dev/null
ctr -n other snapshots --snapshotter thinfuse prepare same "$(chain_of layers)" >/dev/null
ctr snapshots --snapshotter thinfuse prepare same "$(chain_of layers)" >/dev/null
mkdir "$scratch/same" "$scratch/same-other"
eval "$(ctr snapshots --snapshotter thinfuse mounts "$scratch/same" same)"
eval "$(ctr -n other snapshots --snapshotter thinfuse mounts "$scratch/same-other" same)"
hand_mounts+=("$scratch/same" "$scratch/same-other")
echo default >"$scratch/same/who"
expect "the same key is another snapshot there" test ! -e "$scratch/same-other/who"
umount "$scratch/same" "$scratch/same-other"

step "Through the CRI"
for archive in layers pause; do ctr -n k8s.io images import --snapshotter thinfuse "$scratch/$archive.tar" >/dev/null; done
cri() { node --import "$top/node_modules/tsx/dist/loader.mjs" "$top/scripts/cri/call.ts" "$socket" "$@"; }
on_host='{"namespace_options": {"network": "NODE"}}'
pod='{"metadata": {"name": "pod", "uid": "trial", "namespace": "default"}, "linux": {"security_context": '$on_host'}}'
sandbox_of=$(cri RunPodSandbox '{"config": '"$pod"'}' | json it.pod_sandbox_id)
ok "a pod has its sandbox"
container=$(cri CreateContainer '{"pod_sandbox_id": "'"$sandbox_of"'", "sandbox_config": '"$pod"', "config": {
  "metadata": {"name": "box"}, "image": {"image": "'"$image"'"}, "command": ["/bin/sleep", "600"], "linux": {"security_context": '"$on_host"'}}}' | json it.container_id)
cri StartContainer '{"container_id": "'"$container"'"}' >/dev/null
in_pod() { cri ExecSync '{"container_id": "'"$container"'", "timeout": 600, "cmd": ["/bin/sh", "-c", "'"$1"'"]}' | json it.stdout; }
expect_equal "a container runs in it" "$(in_pod 'cat /etc/layer')" third
expect "its root is the pool's" grep -q 'on / type ext4' <<<"$(in_pod 'mount')"
expect "no overlay is under it" test -z "$(mounts_below "$scratch/state" | while read -r target; do findmnt --noheadings --output FSTYPE "$target"; done | grep overlay || true)"
in_pod 'yes | head -c 3000000 >/grown; sync -f /grown' >/dev/null
# What the kubelet asks for; containerd itself asks the snapshotter every ten seconds.
has_grown() { [ "$(cri ContainerStats '{"container_id": "'"$container"'"}' | json 'it.stats.writable_layer?.used_bytes?.value ?? 0')" -ge 3000000 ]; }
wait_for "what it wrote is in its statistics" 60 has_grown

step "What the kubelet asks for, with a pool that fills"
# containerd 1.6.32 and later take the folder from exports.root; this one names a folder that nobody makes.
named=$(cri ImageFsInfo | json 'it.image_filesystems[0].fs_id.mountpoint')
[ -e "$named" ] || ln -s "$THINFUSE_ROOT/space" "$named"
# fs_of FORMAT: of the folder that the CRI names, as the kubelet looks at it.
fs_of() { stat --dereference --file-system --format "$1" "$named"; }
available() { echo $(($(fs_of %a) * $(fs_of %S))); }
image_used() { cri ImageFsInfo | json 'Number(it.image_filesystems[0].used_bytes.value)'; }
capacity=$(($(fs_of %b) * $(fs_of %S)))
expect_equal "its size is the pool's" "$capacity" "$(pool total)"
expect_equal "what is used of it is what the pool holds" "$((capacity - $(available)))" "$(pool used)"
# cAdvisor, which the kubelet has in it, knows a folder by its device among the mounts of some types; FUSE is none of them.
expect_equal "it is on a mount of a type that the kubelet looks at" \
  "$(findmnt --raw --noheadings --output FSTYPE,MAJ:MIN | awk -v device="$(stat --dereference --format %Hd:%Ld "$named")" '$2 == device { print $1 }' | head -n 1)" overlay
expect "as many inodes are free as there is space" test "$(($(fs_of %d) * 100 / $(fs_of %c)))" = "$(($(fs_of %a) * 100 / $(fs_of %b)))"
before_filling=$(image_used)
expect "the images and containers in it take some" test "$before_filling" -gt 3000000
in_pod 'yes | head -c 1880000000 >/filling; sync -f /filling' >/dev/null
expect "a container that fills the pool takes it below 15 %, where the kubelet evicts" test "$(($(available) * 100 / capacity))" -lt 15
has_counted() { [ "$(image_used)" -ge $((before_filling + 1880000000)) ]; }
wait_for "what the CRI says of the image filesystem has grown by that" 60 has_counted
has_filled() { [ "$(cri ContainerStats '{"container_id": "'"$container"'"}' | json 'it.stats.writable_layer?.used_bytes?.value ?? 0')" -ge 1880000000 ]; }
wait_for "and so has the container's own figure" 60 has_filled
expect_equal "whose filesystem is the same folder" "$(cri ContainerStats '{"container_id": "'"$container"'"}' | json it.stats.writable_layer.fs_id.mountpoint)" "$named"
has_room() { [ "$(($(available) * 100 / capacity))" -gt 80 ]; }
cri StopContainer '{"container_id": "'"$container"'"}' >/dev/null
cri RemoveContainer '{"container_id": "'"$container"'"}' >/dev/null
cri StopPodSandbox '{"pod_sandbox_id": "'"$sandbox_of"'"}' >/dev/null
cri RemovePodSandbox '{"pod_sandbox_id": "'"$sandbox_of"'"}' >/dev/null
expect_equal "and nothing of both is left" "$(ctr -n k8s.io snapshots --snapshotter thinfuse ls | grep -c Active || true)" 0
# As the kubelet does, for the CRI keeps an image under a second name of its own.
for name in "$image" docker.io/library/pause:latest; do cri RemoveImage '{"image": {"image": "'"$name"'"}}' >/dev/null; done
wait_for "the container that was evicted gives its space back" 60 has_room
expect_equal "nor an image" "$(ctr -n k8s.io images ls --quiet)" ''

step "Restart of both"
ctr snapshots --snapshotter thinfuse ls | sort >"$scratch/before"
stop_containerd
thinfuse stop
expect "nothing is mounted or attached" nothing_left
thinfuse check
thinfuse start --snapshotter "${supervised[@]}"
start_containerd
expect_equal "every snapshot is there" "$(ctr snapshots --snapshotter thinfuse ls | sort)" "$(cat "$scratch/before")"
eval "$(ctr snapshots --snapshotter thinfuse mounts "$scratch/same" same)"
expect_equal "with its files" "$(cat "$scratch/same/who")" default
umount "$scratch/same"
expect_equal "and containers start" "$(run again /bin/cat /etc/layer)" third
thinfuse stop
thinfuse start --snapshotter "${supervised[@]}"
reconnected() { ctr snapshots --snapshotter thinfuse ls >/dev/null 2>&1; }
wait_for "containerd finds a pool's daemon that was restarted" 60 reconnected
expect_equal "also when only the pool's daemon was restarted" "$(run again /bin/cat /etc/layer)" third

if [ -z "$short" ]; then
  step "A Debian root"
  debian_root
  debian=docker.io/library/debian:latest
  umoci new --image "$layout:debian"
  umoci raw add-layer --image "$layout:debian" "$debian_root" >/dev/null
  skopeo copy --quiet "oci:$layout:debian" "oci-archive:$scratch/debian.tar:$debian"
  ctr images import --snapshotter overlayfs "$scratch/debian.tar" >/dev/null
  began=$(date +%s%N)
  ctr images import --snapshotter thinfuse "$scratch/debian.tar" >/dev/null
  say "imported in $((($(date +%s%N) - began) / 1000000)) ms"
  compare debian
  uncompare debian
  expect_equal "it runs" "$(ctr run --runc-root "$scratch/runc" --rm --snapshotter thinfuse "$debian" deb dpkg-query --show --showformat '${Version}' base-files)" \
    "$(tar -xOf "$debian_root" ./var/lib/dpkg/status | awk '/^Package:/ { found = $2 == "base-files" } found && /^Version:/ { print $2 }')"
  ctr images rm --sync "$debian" >/dev/null
fi

step "Garbage collection"
# These two had a label that keeps them from being collected.
ctr snapshots --snapshotter thinfuse rm same live-image
ctr -n other snapshots --snapshotter thinfuse rm same
ctr -n other images rm --sync "$image" >/dev/null
ctr images rm --sync "$image" >/dev/null
# The bases of the pool and of its snapshots.
no_snapshots() { [ "$(thinfuse ls --json | json it.length)" = 2 ]; }
wait_for "no snapshot is left" 30 no_snapshots
wait_for "and the pool holds what it held at first" 30 space_is "$empty"

step "The end"
stop_everything
thinfuse stop
expect "nothing is left" nothing_left
thinfuse check
printf '\n%sThe pool holds containerd: every step did.%s\n' "$bold" "$plain"
