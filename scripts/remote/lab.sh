# shellcheck shell=bash
# A store in a network namespace and hosts in others. Source it after lib.sh, and after `scratch`.
#
#   lab s3|oci HOST...   namespaces tf-store-PID and tf-HOST-PID, the store, and how to reach it: $place, and the variables of clients
#   on HOST COMMAND...   runs a command on a host
#   link up|down HOST    the store's end of the host's cable
#   delay MILLISECONDS [RATE]   a round trip takes so long from now on, and the store sends no faster; $place changes

lab_id=$$
store_ns=tf-store-$lab_id
lab_hosts=()
on() {
  local host=$1
  shift
  nsenter --net=/run/netns/tf-"$host-$lab_id" "$@"
}
in_store() { nsenter --net=/run/netns/$store_ns "$@"; }
link() { in_store ip link set "to-$2" "$1"; }

remove_network() {
  local host
  for host in "${lab_hosts[@]}"; do ip netns del "tf-$host-$lab_id" 2>/dev/null; done
  ip netns del $store_ns 2>/dev/null
}

stop_store() {
  local file
  for file in "$scratch"/store/run/*.pid; do [ -f "$file" ] && kill -9 "$(cat "$file")" 2>/dev/null; done
  [ -z "${registry_pid:-}" ] || kill "$registry_pid" 2>/dev/null
  [ -z "${link_pid:-}" ] || kill "$link_pid" 2>/dev/null
}

need_store() {
  local tool
  if [ "$1" = s3 ]; then
    for tool in ceph-mon ceph-osd radosgw; do command -v $tool >/dev/null || install_packages $tool; done
  else
    command -v docker-registry >/dev/null || install_packages docker-registry
  fi
  command -v ip >/dev/null || install_packages iproute2
}

lab() {
  local kind=$1 host number=1
  shift
  lab_hosts=("$@")
  at_exit stop_store
  at_exit remove_network
  ip netns add $store_ns
  in_store ip link set lo up
  for host in "$@"; do
    ip netns add "tf-$host-$lab_id"
    on "$host" ip link set lo up
    in_store ip link add "to-$host" type veth peer name eth0 netns "tf-$host-$lab_id"
    in_store ip address add 10.77.$number.1/24 dev "to-$host"
    in_store ip link set "to-$host" up
    on "$host" ip address add 10.77.$number.2/24 dev eth0
    on "$host" ip link set eth0 up
    on "$host" ip route add default via 10.77.$number.1
    number=$((number + 1))
  done
  in_store ip address add 10.77.9.1/32 dev lo
  mkdir -p "$scratch/store/run"
  if [ "$kind" = s3 ]; then
    in_store "$top/scripts/remote/ceph.sh" "$scratch/store" 10.77.9.1 7480
    export AWS_ENDPOINT_URL=http://10.77.9.1:7480 AWS_ACCESS_KEY_ID=trialkey AWS_SECRET_ACCESS_KEY=trialsecret
    place=s3://thinfuse-test/trial
    on "$1" node --import "$top/node_modules/tsx/dist/loader.mjs" "$top/scripts/remote/make-bucket.ts" "$AWS_ENDPOINT_URL/thinfuse-test"
  else
    start_registry
    export THINFUSE_OCI_PLAIN_HTTP=10.77.9.1:5055
    place=oci://10.77.9.1:5055/trial/devices
  fi
}

# At 10.77.9.1:5055.
start_registry() {
  cat >"$scratch/store/config.yml" <<X
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $scratch/store/data}, delete: {enabled: true}}
http: {addr: "10.77.9.1:5055"}
X
  nsenter --net=/run/netns/$store_ns docker-registry serve "$scratch/store/config.yml" >>"$scratch/store/log" 2>&1 &
  registry_pid=$!
}

# The store once more, behind a link of its own (remote/slow-link.ts: not every kernel has netem); the store sends no faster than RATE to a host.
delay() {
  local host port inner
  case $place in s3:*) inner=7480 port=7481 ;; *) inner=5055 port=5056 ;; esac
  [ -z "${link_pid:-}" ] || { kill "$link_pid"; wait "$link_pid" 2>/dev/null || true; }
  nsenter --net=/run/netns/$store_ns node --import "$top/node_modules/tsx/dist/loader.mjs" "$top/scripts/remote/slow-link.ts" 10.77.9.1:$port 10.77.9.1:$inner "$1" &
  link_pid=$!
  for host in "${lab_hosts[@]}"; do
    if [ -n "${2:-}" ]; then in_store tc qdisc replace dev "to-$host" root tbf rate "$2" burst 1mb latency 200ms; fi
  done
  wait_for "the link of $1 ms" 60 in_store node -e "require('net').connect($port, '10.77.9.1').on('connect', () => process.exit(0)).on('error', () => process.exit(1))"
  case $place in
    s3:*) export AWS_ENDPOINT_URL=http://10.77.9.1:$port ;;
    *)
      export THINFUSE_OCI_PLAIN_HTTP=10.77.9.1:$port
      place=oci://10.77.9.1:$port/trial/devices
      ;;
  esac
}
