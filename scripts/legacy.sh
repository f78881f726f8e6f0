#!/usr/bin/env bash
# Old pools, for real: a pool of Docker's devicemapper driver as it would have left it (real xfs on its devices, metadata by Debian's
# thin_restore, Docker's own files beside it) is listed, mounted, exported and imported, and a second one with ext4 on it is read from
# block devices, as LVM's are. Then the way back: the pool as a kernel's dm-thin has it. All of it without device mapper. As root;
# installs what is missing, and everything goes away at the end.
#
#   scripts/legacy.sh

. "$(dirname "$(readlink -f "$0")")/lib.sh"

no_options "$@"

step "What the trial needs"
need_thinfuse
need_commands thin_restore thin_check cmp
scratch legacy
export THINFUSE_ROOT=$scratch/pool
own_pool

size=$((320 * 1024 * 1024))
images=$scratch/images
mkdir "$images"

# derive FROM TO FSTYPE: a copy of one image; the script on standard input changes the filesystem on it, in its root.
derive() {
  local folder=$scratch/change
  cp --sparse=always "$images/$1" "$images/$2"
  mkdir -p "$folder"
  mount -o loop"$([ "$3" != xfs ] || echo ,nouuid)" "$images/$2" "$folder"
  (cd "$folder" && bash -e /dev/stdin)
  umount "$folder"
}
# cut FOLDER < DEVICES: the pool that dm-thin would have left with these devices, in FOLDER/data and FOLDER/metadata.
cut_pool() {
  mkdir -p "$1"
  json "({ data: '$1/data', xml: '$1/pool.xml', blockSize: 65536, dataBlocks: 4096, time: 9, transaction: it.length, devices: it })" |
    node "$top/scripts/cut-pool.js"
  truncate -s 8M "$1/metadata"
  thin_restore -i "$1/pool.xml" -o "$1/metadata" >/dev/null
  rm "$1/pool.xml"
  thin_check -q "$1/metadata"
}
# device_json ID IMAGE ORIGIN
device_json() {
  printf '{"id":%s,"image":"%s",%s"creationTime":%s,"snapTime":9,"transaction":%s}' \
    "$1" "$images/$2" "${3:+\"origin\":$3,}" "$1" "$1"
}

step "A pool of Docker's devicemapper driver, as it would have left it"
truncate -s "$size" "$images/base"
mkfs.xfs -q "$images/base"
derive base debian xfs <<'CHANGE'
mkdir -p rootfs/etc rootfs/usr/bin
echo layer >id
echo debian >rootfs/etc/os
head -c 5000000 /dev/urandom >rootfs/usr/bin/big
CHANGE
derive debian nginx xfs <<'CHANGE'
head -c 1000000 /dev/urandom >rootfs/usr/bin/nginx
CHANGE
derive nginx web xfs <<'CHANGE'
echo hello >rootfs/page
CHANGE
docker=$scratch/docker
graph=$docker/devicemapper
printf '[%s,%s,%s,%s]' "$(device_json 1 base '')" "$(device_json 2 debian 1)" "$(device_json 3 nginx 2)" "$(device_json 4 web 3)" |
  cut_pool "$graph/devicemapper"

# The files that Docker kept beside it, as far as names need them.
hash_of() { printf '%064d' "$1"; }
mkdir -p "$graph/metadata" "$docker/image/devicemapper/imagedb/content/sha256"
device_file() { printf '{"device_id":%s,"size":%s,"transaction_id":%s,"initialized":%s,"deleted":false}' "$2" "$size" "$2" "${3:-false}" >"$graph/metadata/$1"; }
echo '{"next_device_id":5,"BaseDeviceUUID":"","BaseDeviceFilesystem":"xfs"}' >"$graph/metadata/deviceset-metadata"
device_file base 1 true
device_file "$(hash_of 2)" 2
device_file "$(hash_of 3)" 3
device_file "$(hash_of 4)" 4
debian_diff=sha256:$(echo debian | sha256sum | cut -d' ' -f1)
nginx_diff=sha256:$(echo nginx | sha256sum | cut -d' ' -f1)
nginx_chain=sha256:$(printf '%s %s' "$debian_diff" "$nginx_diff" | sha256sum | cut -d' ' -f1)
layer_folder() {
  local folder=$docker/image/devicemapper/layerdb/sha256/${1#sha256:}
  mkdir -p "$folder"
  printf %s "$2" >"$folder/cache-id"
  [ -z "${3:-}" ] || printf %s "$3" >"$folder/parent"
}
layer_folder "$debian_diff" "$(hash_of 2)"
layer_folder "$nginx_chain" "$(hash_of 3)" "$debian_diff"
references=''
# image_of REFERENCE DIFF...
image_of() {
  local reference=$1 config digest
  shift
  config=$(printf '"%s",' "$@")
  config="{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[${config%,}]}}"
  digest=$(printf %s "$config" | sha256sum | cut -d' ' -f1)
  printf %s "$config" >"$docker/image/devicemapper/imagedb/content/sha256/$digest"
  references="$references,\"${reference%:*}\":{\"$reference\":\"sha256:$digest\"}"
}
image_of debian:12 "$debian_diff"
image_of nginx:1 "$debian_diff" "$nginx_diff"
echo "{\"Repositories\":{${references#,}}}" >"$docker/image/devicemapper/repositories.json"
container=$(printf 'c%063d' 0)
mkdir -p "$docker/image/devicemapper/layerdb/mounts/$container" "$docker/containers/$container"
printf %s "$(hash_of 4)" >"$docker/image/devicemapper/layerdb/mounts/$container/mount-id"
printf %s "$nginx_chain" >"$docker/image/devicemapper/layerdb/mounts/$container/parent"
echo '{"Name":"/web1"}' >"$docker/containers/$container/config.v2.json"
traces() { find "$docker" -type f -printf '%P %s %T@\n' | sort; find "$docker" -type f -print0 | sort -z | xargs -0 sha256sum; }
traces >"$scratch/before"

step "Its devices, by the names that people know"
thinfuse legacy ls "$graph"
expect_equal "images and containers" "$(thinfuse legacy ls "$graph" --json | json "it.map((device) => device.name).join(' ')")" \
  'base debian:12 nginx:1 web1'
thinfuse legacy info "$graph"

step "One of them mounted, without changing it"
here=$scratch/here
thinfuse legacy mount "$graph" web1 "$here"
expect_equal "its files are there" "$(cat "$here/rootfs/page")" hello
expect_equal "on a filesystem of their own" "$(stat --file-system --format %T "$here")" xfs
expect_failure "which takes no writes" 1 touch "$here/new"
umount "$here"
gone() { [ ! -e "$here" ]; }
wait_for "and umount is all that ends it" 20 gone

step "Exported"
thinfuse legacy export "$graph" web1 --format raw --output "$scratch/web.img"
expect "the image is what the device held, byte for byte" cmp "$scratch/web.img" "$images/web"
expect "and has its holes" test "$(stat --format '%b' "$scratch/web.img")" -lt $((60 * 2048))
thinfuse legacy export "$graph" debian:12 --format tar --output "$scratch/debian.tar"
expect_equal "a tar has the files of its rootfs" "$(tar -xOf "$scratch/debian.tar" ./etc/os)" debian

step "All of it imported, sharing kept"
thinfuse init --base-size 320M --data-size 2G
empty=$(pool used)
thinfuse start
thinfuse legacy import "$graph" --all
thinfuse tree
old=$(thinfuse legacy info "$graph" --json | json it.dataUsed)
expect "the pool holds no more than the old one did" test "$(($(pool used) - empty))" -le "$old"
thinfuse mount web1 >/dev/null
expect_equal "web1 has its files" "$(cat "$THINFUSE_ROOT/mnt/web1/rootfs/page")" hello
echo changed >"$THINFUSE_ROOT/mnt/web1/rootfs/page"
thinfuse container create web2 --image nginx:1
thinfuse mount web2 >/dev/null
expect "its image starts others" test -e "$THINFUSE_ROOT/mnt/web2/rootfs/usr/bin/nginx"
thinfuse diff web1
thinfuse umount web1
thinfuse umount web2

step "A pool of LVM, on block devices, with ext4 in it"
truncate -s "$size" "$images/data-1"
mkfs.ext4 -q "$images/data-1"
derive data-1 data-2 ext4 <<'CHANGE'
echo 'a table' >table
head -c 3000000 /dev/urandom >rows
CHANGE
printf '[%s,%s]' "$(device_json 1 data-1 '')" "$(device_json 2 data-2 1)" | cut_pool "$scratch/lvm"
# Once: a number that was given back may be another program's.
detach_lvm() { [ -z "$metadata" ] || losetup --detach "$metadata" "$data"; metadata=''; }
metadata=$(losetup --find --show --read-only "$scratch/lvm/metadata")
data=$(losetup --find --show --read-only "$scratch/lvm/data")
at_exit detach_lvm
thinfuse legacy ls --metadata "$metadata" --data "$data"
thinfuse legacy export --metadata "$metadata" --data "$data" 2 --format raw --output "$scratch/data.img"
expect "a device by its number, byte for byte" cmp "$scratch/data.img" "$images/data-2"
thinfuse legacy import --metadata "$metadata" --data "$data" 2 --name tables
thinfuse mount tables >/dev/null
expect_equal "imported, its filesystem mounts" "$(cat "$THINFUSE_ROOT/mnt/tables/table")" 'a table'
thinfuse umount tables
detach_lvm

step "A damaged one"
cp "$scratch/lvm/metadata" "$scratch/lvm/broken"
# The superblock is the only block that everything needs.
printf '\377' | dd of="$scratch/lvm/broken" bs=1 seek=100 conv=notrunc status=none
expect_failure "a superblock that is not as it was written is found out" 7 thinfuse legacy ls --metadata "$scratch/lvm/broken"

step "The way out: the pool as dm-thin has it"
need_commands qemu-img
thinfuse mount web1 >/dev/null
echo live >"$THINFUSE_ROOT/mnt/web1/rootfs/live"
out=$scratch/out
thinfuse export --format dm-thin --output "$out"
expect "thin_check finds it sound" thin_check "$out/metadata"
for name in nginx:1 tables web2; do
  id=$(json "it.find((device) => device.name === '$name').id" <"$out/devices.json")
  thinfuse legacy export --metadata "$out/metadata" --data "$out/data" "$id" --size 320M --output "$scratch/back.img" >/dev/null
  expect "$name is in it, byte for byte" cmp "$scratch/back.img" "$(thinfuse activate "$name")"
  thinfuse deactivate "$name"
done
id=$(json "it.find((device) => device.name === 'web1').id" <"$out/devices.json")
thinfuse legacy mount --metadata "$out/metadata" --data "$out/data" "$id" "$here"
expect_equal "one that was in use has what was written until then" "$(cat "$here/rootfs/live")" live
umount "$here"
wait_for "and is unmounted again" 20 gone
thinfuse export web1 --format qcow2 --output "$scratch/web1.qcow2"
thinfuse export web1 --format raw --output "$scratch/web1.img"
expect "qcow2 and raw image of a device in use" qemu-img check -q "$scratch/web1.qcow2"
expect "with its holes" test "$(stat --format '%b' "$scratch/web1.img")" -lt $((60 * 2048))
thinfuse umount web1

step "The end"
traces >"$scratch/after"
expect "nothing of the old pool was written" cmp "$scratch/before" "$scratch/after"
thinfuse check
thinfuse stop
expect "nothing is left" nothing_left
printf '\n%sOld pools are read: every step held.%s\n' "$bold" "$plain"
