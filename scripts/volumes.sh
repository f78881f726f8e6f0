#!/usr/bin/env bash
# A pool's volumes under Docker and podman, for real: a PostgreSQL of Debian's own on a volume, cloned in a moment while it is written to; both start and
# go their own ways. Each engine is the script's own, in a scratch folder. As root; installs what is missing, and everything goes away at the end.
#
#   scripts/volumes.sh [docker|podman]
#
# Without an engine, both.

. "$(dirname "$(readlink -f "$0")")/lib.sh"

case ${1:-} in
  '') engines=(docker podman) ;;
  docker | podman) engines=("$1") ;;
  -h | --help) print_help; exit 0 ;;
  *) die "unknown engine $1; see $0 --help" ;;
esac

step "What the trial needs"
need_thinfuse
for engine in "${engines[@]}"; do
  case $engine in
    # By their full paths: another docker client may come first in the PATH.
    docker) need_commands /usr/sbin/dockerd /usr/bin/docker ;;
    podman) need_commands podman runc ;;
  esac
done
debian_root postgresql
scratch volumes
export THINFUSE_ROOT=$scratch/pool
own_pool
# Where Docker looks for plugins; the name of the driver is the file's.
driver=thinfuse-trial-$$
plugin=/run/docker/plugins/$driver.sock

step "An image with Debian's PostgreSQL"
serve=$scratch/serve
mkdir -p "$serve/usr/local/bin"
cat >"$serve/usr/local/bin/serve" <<'SERVE'
#!/bin/sh
# A server on the data in /data, made at the first start.
set -eu
bin=$(echo /usr/lib/postgresql/*/bin)
as="setpriv --reuid=postgres --regid=postgres --init-groups --reset-env"
chown postgres:postgres /data
chmod 700 /data
cd /tmp
[ -s /data/PG_VERSION ] || $as "$bin/initdb" --auth=trust --pgdata=/data >/dev/null
exec $as "$bin/postgres" -D /data -k /tmp -c listen_addresses= -c shared_buffers=32MB
SERVE
chmod 755 "$serve/usr/local/bin/serve"
image_tar=$scratch/image.tar
cp --reflink=auto "$debian_root" "$image_tar"
tar -C "$serve" --owner=0 --group=0 --append -f "$image_tar" ./usr/local/bin/serve
ok "$(du -h "$image_tar" | cut -f1)"

# --- the engines --------------------------------------------------------------------------------------------------------

# Each defines `engine ARGUMENT...`, as its users call it.

start_docker() {
  local sockets=$scratch/docker.sock log=$scratch/dockerd.log
  /usr/sbin/dockerd --host "unix://$sockets" --data-root "$scratch/docker" --exec-root "$scratch/docker-exec" \
    --pidfile "$scratch/docker.pid" --bridge=none --iptables=false --ip6tables=false \
    --storage-driver="${DOCKER_STORAGE_DRIVER:-overlay2}" >"$log" 2>&1 &
  docker_pid=$!
  at_exit stop_docker
  engine() { /usr/bin/docker --host "unix://$scratch/docker.sock" "$@"; }
  docker_answers() { engine version >/dev/null 2>&1 || { kill -0 "$docker_pid" || { tail -n 5 "$log"; die "dockerd ended"; }; false; }; }
  wait_for "dockerd answers" 60 docker_answers
  say "$(engine version --format 'Docker {{.Server.Version}}')"
}
stop_docker() {
  [ -n "${docker_pid:-}" ] || return 0
  engine ps --quiet --all 2>/dev/null | xargs -r timeout 60 /usr/bin/docker --host "unix://$scratch/docker.sock" rm -f >/dev/null 2>&1
  kill "$docker_pid" 2>/dev/null
  wait "$docker_pid" 2>/dev/null
  docker_pid=''
  release_engine "$scratch/docker" "$scratch/docker-exec"
}

start_podman() {
  cat >"$scratch/containers.conf" <<CONF
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
[engine.volume_plugins]
$driver = "$plugin"
CONF
  printf '{"default":[{"type":"insecureAcceptAnything"}]}' >"$scratch/policy.json"
  engine() {
    CONTAINERS_CONF=$scratch/containers.conf command podman --root "$scratch/podman" --runroot "$scratch/podman-run" \
      --tmpdir "$scratch/podman-tmp" --storage-driver "${PODMAN_STORAGE_DRIVER:-overlay}" "$@"
  }
  at_exit stop_podman
  say "$(engine --version)"
}
stop_podman() {
  engine rm --all --force --time 5 >/dev/null 2>&1 || true
  release_engine "$scratch/podman" "$scratch/podman-run" "$scratch/podman-tmp"
}

release_engine() {
  local folder
  for folder in "$@"; do
    mounts_below "$folder" | tac | while read -r target; do umount -l "$target" 2>/dev/null || true; done
    rm -rf --one-file-system "$folder"
  done
}

# --- what is tried with each --------------------------------------------------------------------------------------------

# server VOLUME: starts a server on it, in a container of the same name.
server() {
  engine run --detach --stop-signal INT --name "$1" --network none --volume "$1:/data" thinfuse-trial /usr/local/bin/serve >/dev/null
  wait_for "PostgreSQL on $1 answers" 90 answers "$1"
}
answers() { sql "$1" 'select 1' >/dev/null 2>&1; }
sql() { engine exec "$1" psql --host /tmp --username postgres --no-psqlrc --tuples-only --no-align --quiet --command "$2"; }
milliseconds() { echo $((($(date +%s%N) - $1) / 1000000)); }

trial() {
  local began cloned before rows
  step "$1: a pool, and its volumes"
  thinfuse init --base-size 1G --data-size 8G
  thinfuse start --volume-plugin "$plugin"
  empty=$(pool used)
  "start_$1"
  if [ "$1" = docker ]; then engine import "$image_tar" thinfuse-trial >/dev/null; else engine import --quiet "$image_tar" thinfuse-trial >/dev/null; fi
  began=$(date +%s%N)
  engine volume create --driver "$driver" --opt size=2G db1 >/dev/null
  ok "a volume is made, in $(milliseconds "$began") ms"
  expect_equal "it is the driver's" "$(engine volume inspect db1 --format '{{.Driver}}')" "$driver"
  expect "and is listed" sh -c "$(declare -f engine); scratch='$scratch' engine volume ls --quiet | grep -qx db1"
  expect_equal "a device of that size" "$(device volume-db1 size)" $((2 << 30))

  step "$1: a server on it, cloned while it writes"
  server db1
  sql db1 "create table t (id serial primary key, who text, made timestamptz default now());
           insert into t (who) select 'before' from generate_series(1, 100000); checkpoint"
  before=$(sql db1 'select count(*) from t')
  # One row after the other, each a commit, for as long as the clone takes and longer.
  engine exec "--detach" db1 sh -c 'while :; do echo "insert into t (who) values ('"'during'"');"; done | psql --host /tmp --username postgres --quiet' >/dev/null
  writes() { [ "$(sql db1 'select count(*) from t')" -gt "$((before + 20))" ]; }
  wait_for "it writes" 30 writes
  rows=$(sql db1 'select count(*) from t')
  began=$(date +%s%N)
  engine volume create --driver "$driver" --opt from=db1 db2 >/dev/null
  cloned=$(milliseconds "$began")
  say "cloned in $cloned ms, with $(device volume-db2 shared) bytes shared and $(device volume-db2 exclusive) of its own"
  went_on() { [ "$(sql db1 'select count(*) from t')" -gt "$((rows + 20))" ]; }
  wait_for "the server goes on writing" 30 went_on

  step "$1: both serve, and go their own ways"
  server db2
  rows_of_clone=$(sql db2 'select count(*) from t')
  say "the clone has $rows_of_clone rows; $rows were committed before it was made"
  expect "every row that was committed before the clone is in it" test "$rows_of_clone" -ge "$rows"
  expect "and none of after" test "$rows_of_clone" -lt "$(sql db1 'select count(*) from t')"
  expect_equal "its index holds, too" "$(sql db2 'set enable_seqscan = off; select count(*) from t where id > 0')" "$rows_of_clone"
  sql db2 "insert into t (who) values ('the clone only')"
  sql db1 "insert into t (who) values ('the origin only')"
  expect_equal "the clone has what is written to it" "$(sql db2 "select who from t where who like '%only'")" 'the clone only'
  expect_equal "and the origin what is written to that" "$(sql db1 "select who from t where who like '%only'")" 'the origin only'

  step "$1: what it refuses"
  refuses() {
    local wanted=$1 said
    shift
    said=$("$@" 2>&1) && die "expected a refusal: $*"
    printf '%s\n' "$said" | grep -q "$wanted" || die "expected '$wanted' in: $said"
    ok "$(printf '%s' "$said" | tail -n 1 | cut -c1-150)"
  }
  refuses 'did you mean size' engine volume create --driver "$driver" --opt sise=2G wrong
  refuses 'no volume or device' engine volume create --driver "$driver" --opt from=nobody wrong
  refuses 'in use\|being used' engine volume rm db1
  refuses 'volume-db1 cannot be\|in use\|is mounted\|belongs to' thinfuse rm volume-db1

  step "$1: another filesystem"
  engine volume create --driver "$driver" --opt fs=ext4 other >/dev/null
  expect_equal "the container sees it" \
    "$(engine run --rm --network none --volume other:/data thinfuse-trial stat --file-system --format %T /data)" ext2/ext3
  engine volume rm other >/dev/null

  step "$1: a restart of the pool's daemon"
  engine stop --time 30 db1 db2 >/dev/null
  expect "nothing is mounted any more" test -z "$(mounts_below "$THINFUSE_ROOT/mnt")"
  thinfuse stop
  expect "nothing is left" nothing_left
  thinfuse check
  thinfuse start --volume-plugin "$plugin"
  engine start db1 db2 >/dev/null
  wait_for "the origin answers again" 60 answers db1
  wait_for "and the clone" 60 answers db2
  expect_equal "with its own rows" "$(sql db2 "select who from t where who like '%only'")" 'the clone only'

  step "$1: the end"
  engine rm --force db1 db2 >/dev/null
  engine volume rm db1 db2 >/dev/null
  expect_equal "no volume is left" "$(thinfuse ls --json | json it.length)" 1
  wait_for "and the pool holds what it held at first" 30 space_is "$empty"
  "stop_$1"
  thinfuse stop
  expect "nothing is left" nothing_left
  thinfuse check
  rm -rf --one-file-system "$THINFUSE_ROOT"
}

for engine in "${engines[@]}"; do trial "$engine"; done
printf '\n%sThe pool holds volumes of %s: every step did.%s\n' "$bold" "${engines[*]}" "$plain"
