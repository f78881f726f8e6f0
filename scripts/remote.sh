#!/usr/bin/env bash
# Devices in a store, for real: Ceph's S3 gateway or Docker's registry in a network namespace, and two pools of different kinds whose commands run in two
# others, as two hosts. The contract of stores; push of a live device, pull, then what changed; a container that starts while its image comes; a link that is cut
# and comes back, for a push, a pull and reads; wrong credentials, and ones that end while an image is fetched (S3; for registries, test/e2e/remote-keys.test.ts);
# a killed push; tags that go, and a collection beside a push; a PostgreSQL that comes back on the second host when the first is gone.
# As root; installs what is missing, and everything goes away at the end.
#
#   scripts/remote.sh s3|oci

. "$(dirname "$(readlink -f "$0")")/lib.sh"

case ${1:-} in
  -h | --help) print_help; exit 0 ;;
  s3 | oci) kind=$1 ;;
  *) die "name the store: $0 s3|oci" ;;
esac
no_options "${@:2}"

step "What the trial needs"
need_root
need_thinfuse
need_commands cmp mkfs.xfs xfs_repair
[ -d /usr/lib/postgresql ] || install_packages postgresql
scratch remote
. "$top/scripts/remote/lab.sh"
need_store $kind
A=$scratch/a B=$scratch/b
stop_both() {
  THINFUSE_ROOT=$A stop_own_pool
  THINFUSE_ROOT=$B stop_own_pool
}
at_exit stop_both
a() { THINFUSE_ROOT=$A on a "$thinfuse_cli" "$@"; }
# Host b has its own keys, in a file: the daemon reads them there.
b_keys() { printf '[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n' "$1" "$2" >"$scratch/keys"; }
b() { THINFUSE_ROOT=$B on b env -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY AWS_SHARED_CREDENTIALS_FILE="$scratch/keys" "$thinfuse_cli" "$@"; }
store_keys() { in_store radosgw-admin -c "$scratch/store/ceph.conf" key "$@" >/dev/null; }

step "Three networks: the store, and two hosts"
lab $kind a b
b_keys hostb hostbsecret
if [ "$kind" = s3 ]; then store_keys create --uid test --key-type s3 --access-key hostb --secret-key hostbsecret; fi

step "The contract of stores"
if [ "$kind" = s3 ]; then
  (cd "$top" && THINFUSE_TEST_S3=http://trialkey:trialsecret@10.77.9.1:7480 on a node_modules/.bin/mocha --grep '^S3' test/remote/stores.test.ts)
else
  (cd "$top" && THINFUSE_TEST_REGISTRY=required node_modules/.bin/mocha --grep 'OCI' test/remote/stores.test.ts)
fi

step "Two pools: LevelDB with 64K, a data file with 256K"
a init --base-size 640M --data-size 4G
b init --base-size 640M --data "$scratch/b.data" --data-size 4G --block-size 256K
a start
b start
a snapshot db base
a mount db >/dev/null
db=$A/mnt/db/rootfs
head -c 60000000 /dev/urandom >"$db/big"
echo monday >"$db/page"

# content ROOT NAME: what a device holds.
content() {
  local file
  file=$(THINFUSE_ROOT=$1 thinfuse activate "$2")
  sha256sum <"$file"
  THINFUSE_ROOT=$1 thinfuse deactivate "$2"
}
# field TEXT NAME: of a JSON object.
field() { json "it.$2" <<<"$1"; }

step "A live device goes over, and then what changed in it"
first=$(a push db $place:monday --json)
b pull $place:monday monday
echo tuesday >"$db/page"
head -c 500000 /dev/urandom >"$db/small"
sync -f "$db"
second=$(a push db $place:tuesday --json)
say "$(field "$second" read) bytes read and $(field "$second" sent) sent, after $(field "$first" read) and $(field "$first" sent)"
expect "much less than all of it" test "$(field "$second" sent)" -lt $(($(field "$first" sent) / 10))
b pull $place:tuesday tuesday
b mount tuesday --ro >/dev/null
expect_equal "it has what was written" "$(cat "$B/mnt/tuesday/rootfs/page")" tuesday
b umount tuesday

step "A container starts while its image comes"
mkdir -p "$scratch/root/bin" "$scratch/root/dev" "$scratch/root/data"
cp /bin/sh "$scratch/root/bin/"
ldd /bin/sh | grep -o '/[^ ]*' | while read -r library; do
  mkdir -p "$scratch/root$(dirname "$library")"
  cp "$library" "$scratch/root$library"
done
for number in 1 2 3 4; do head -c 10000000 /dev/urandom >"$scratch/root/data/$number"; done
a image create program --from "$scratch/root"
a push program $place:program --trace true
b pull $place:program program
b container create web --image program
b mount web >/dev/null
chroot "$B/mnt/web/rootfs" /bin/sh -c true
left() { THINFUSE_ROOT=$B thinfuse ls --json | json "it.find((each) => each.name === '$1').remote ?? 0"; }
say "$(left program) bytes are in the store alone"
expect "most of the image is not here yet" test "$(left program)" -gt 35000000

step "The link is cut and comes back under a read, and what is here goes on"
link down b
chroot "$B/mnt/web/rootfs" /bin/sh -c true
ok "what is here is read"
cmp "$B/mnt/web/rootfs/data/1" "$scratch/root/data/1" &
reading=$!
sleep 5
link up b
wait $reading || die "the read did not go on"
ok "the read went on"

if [ "$kind" = s3 ]; then
  step "Credentials end while an image is fetched, and fresh ones come"
  store_keys create --uid test --key-type s3 --access-key hostb2 --secret-key hostb2secret
  store_keys rm --uid test --key-type s3 --access-key hostb
  b set origin_timeout=5 >/dev/null
  expect_failure "what is not here cannot be read" 2 cmp "$B/mnt/web/rootfs/data/2" "$scratch/root/data/2"
  chroot "$B/mnt/web/rootfs" /bin/sh -c true
  ok "what is here is read"
  b_keys hostb2 hostb2secret
  b set origin_timeout=60 >/dev/null
fi
b hydrate --wait program
expect_equal "all of it is here" "$(left program)" 0
for number in 1 2 3 4; do cmp "$B/mnt/web/rootfs/data/$number" "$scratch/root/data/$number"; done
ok "and is what was pushed"
b rm --force web program

step "The link is cut and comes back: under a push, and under a pull"
head -c 80000000 /dev/urandom >"$db/more"
a push db $place:cut >"$scratch/push.out" 2>&1 &
pushing=$!
sleep 2
link down a
sleep 8
link up a
wait $pushing || { cat "$scratch/push.out"; die "the push did not go on"; }
ok "the push went on"
a umount db
a push db $place:whole >/dev/null
b pull --full $place:whole whole >"$scratch/pull.out" 2>&1 &
pulling=$!
sleep 2
link down b
sleep 8
link up b
wait $pulling || { cat "$scratch/pull.out"; die "the pull did not go on"; }
ok "the pull went on"
expect_equal "what came is what was pushed" "$(content "$B" whole)" "$(content "$A" db)"

step "Credentials that are none"
if [ "$kind" = s3 ]; then
  expect_failure "they are refused" 9 env AWS_SECRET_ACCESS_KEY=wrong nsenter --net=/run/netns/tf-b-$lab_id "$thinfuse_cli" remote ls $place
else
  say "this registry asks for none"
fi

step "A push that is killed, and the next"
a mount db >/dev/null
head -c 150000000 /dev/urandom >"$db/again"
sync -f "$db"
a push db $place:killed >/dev/null 2>&1 &
pushing=$!
sleep 6
pkill -9 -P $pushing 2>/dev/null || true
kill -9 $pushing 2>/dev/null || true
wait $pushing 2>/dev/null || true
a push db $place:killed --json >"$scratch/killed.json"
say "$(json it.sent <"$scratch/killed.json") bytes sent by the second"
a remote check --data $place:killed

step "Tags go, and their space, beside a push"
a remote ls $place
a remote rm $place:monday $place:tuesday $place:cut
if [ "$kind" = s3 ]; then
  head -c 20000000 /dev/urandom >"$db/while"
  sync -f "$db"
  a push db $place:beside >/dev/null &
  pushing=$!
  b remote gc --grace 0 $place
  wait $pushing
  b remote gc --grace 0 $place
else
  expect_failure "a registry collects by itself" 8 b remote gc $place
  kill "$registry_pid"
  wait "$registry_pid" 2>/dev/null || true
  docker-registry garbage-collect --delete-untagged "$scratch/store/config.yml" >"$scratch/store/collected" 2>&1
  start_registry
  say "the registry removed $(grep -c 'eligible for deletion' "$scratch/store/collected" || true) blobs and manifests"
  if command -v skopeo >/dev/null; then
    on a skopeo copy --src-tls-verify=false --dest-tls-verify=false \
      docker://10.77.9.1:5055/trial/devices:killed docker://10.77.9.1:5055/trial/copied:killed >/dev/null
    b remote check --data oci://10.77.9.1:5055/trial/copied:killed
    ok "skopeo copies an image whole"
    on a skopeo inspect --tls-verify=false docker://10.77.9.1:5055/trial/devices:killed >/dev/null
    ok "and shows what it is"
  fi
fi
b remote check --data $place

step "A PostgreSQL comes back on the second host, when the first is gone"
bin=$(echo /usr/lib/postgresql/*/bin)
as=(setpriv --reuid=postgres --regid=postgres --init-groups --reset-env)
chmod 711 "$scratch"
mkdir "$scratch/pg-a" "$scratch/pg-b" "$scratch/socket"
chown postgres: "$scratch/socket"
# postgres DATA: serves it, and sets $postgres
serve() {
  "${as[@]}" "$bin/postgres" -D "$1" -k "$scratch/socket" -c listen_addresses= -c shared_buffers=16MB >>"$scratch/postgres.log" 2>&1 &
  postgres=$!
  wait_for "PostgreSQL" 120 sql "select 1"
}
sql() { "${as[@]}" psql --host "$scratch/socket" --username postgres --no-psqlrc --tuples-only --no-align --quiet --command "$1" postgres; }
stop_postgres() { [ -z "${postgres:-}" ] || kill -INT "$postgres" 2>/dev/null || true; }
at_exit stop_postgres
a snapshot pg base
a mount pg "$scratch/pg-a" >/dev/null
mkdir "$scratch/pg-a/data"
chown postgres: "$scratch/pg-a/data"
"${as[@]}" "$bin/initdb" -D "$scratch/pg-a/data" --auth trust --username postgres >/dev/null
serve "$scratch/pg-a/data"
sql "create table t as select n, md5(n::text) as text from generate_series(1, 200000) n"
rows=$(sql "select count(*), md5(string_agg(text, '' order by n)) from t")
a push pg $place:pg >/dev/null
kill -9 "$postgres"
wait "$postgres" 2>/dev/null || true
kill -9 "$(cat "$A/thinfuse.pid")"
b pull $place:pg pg
b mount pg "$scratch/pg-b" >/dev/null
serve "$scratch/pg-b/data"
expect_equal "every row is there" "$(sql "select count(*), md5(string_agg(text, '' order by n)) from t")" "$rows"
sql "insert into t select n, 'new' from generate_series(1, 1000) n"
kill -INT "$postgres"
wait "$postgres" || true
postgres=
b hydrate --wait pg
b umount pg
expect "its filesystem is sound" xfs_repair -n "$(b activate pg)"
b deactivate pg

step "Both pools are sound"
b stop
b check
a check
printf '\nEvery step held.\n'
