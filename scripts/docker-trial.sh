#!/usr/bin/env bash
# Builds the Dockerfile and runs the daemon in a privileged container of a Docker daemon of its own, which needs no network of its
# own: the base image is made here from Debian's packages and this machine's Node.js. As root; everything goes away at the end.

. "$(dirname "$(readlink -f "$0")")/lib.sh"

need_root "$(basename "$0")"
step "What the trial needs"
need_commands mmdebstrap findmnt losetup capsh
# By their full paths: another docker client may come first in the PATH.
need_commands /usr/sbin/dockerd /usr/bin/docker
need_node
need_devices
scratch docker
state=$scratch/state
mkdir -p "$state"
at_exit rm -rf "$scratch/docker"

# What Docker mounts goes when dockerd does; the trial's own state is a shared mount, as a host with systemd has.
mount --bind "$state" "$state"
mount --make-rshared "$state"
export THINFUSE_ROOT=$state

step "A Docker daemon"
export DOCKER_HOST=unix://$scratch/docker.sock
docker() { /usr/bin/docker "$@"; }
dockerd_log=$scratch/dockerd.log

# --privileged asks for every capability there is, and where this machine itself has fewer, runc refuses. So that the trial works there
# too, those that nobody here can have are left out of what runc is asked for.
bounding=$((16#$(awk '/^CapBnd/ { print $2 }' /proc/self/status)))
every=$(((1 << ($(cat /proc/sys/kernel/cap_last_cap) + 1)) - 1))
absent=$(capsh --decode="$(printf '%x' $((every & ~bounding)))" | cut -d= -f2)
runtime=()
if [ -n "$absent" ]; then
  say "capabilities that this machine lacks, so that the container does too: $absent"
  cat >"$scratch/runc" <<'RUNTIME'
#!/usr/bin/env node
const fs = require('fs');
const { spawnSync } = require('child_process');
const absent = process.env.THINFUSE_TRIAL_ABSENT.toUpperCase().split(',');
const args = process.argv.slice(2);
function trim(file, processOf) {
  const spec = JSON.parse(fs.readFileSync(file, 'utf8'));
  const sets = processOf(spec).capabilities ?? {};
  for (const name of Object.keys(sets)) sets[name] = sets[name].filter((capability) => !absent.includes(capability));
  fs.writeFileSync(file, JSON.stringify(spec));
}
const after = (option) => args[args.indexOf(option) + 1];
if (args.includes('--bundle')) trim(`${after('--bundle')}/config.json`, (spec) => spec.process);
if (args.includes('--process')) trim(after('--process'), (spec) => spec);
process.exit(spawnSync('runc', args, { stdio: 'inherit' }).status ?? 1);
RUNTIME
  chmod +x "$scratch/runc"
  export THINFUSE_TRIAL_ABSENT=$absent
  runtime=(--add-runtime "trimmed=$scratch/runc" --default-runtime trimmed)
fi
/usr/sbin/dockerd --host "$DOCKER_HOST" --data-root "$scratch/docker" --exec-root "$scratch/exec" --pidfile "$scratch/docker.pid" \
  --bridge=none --iptables=false --ip6tables=false --storage-driver="${DOCKER_STORAGE_DRIVER:-overlay2}" \
  "${runtime[@]}" >"$dockerd_log" 2>&1 &
dockerd_pid=$!
stop_dockerd() {
  timeout 60 /usr/bin/docker rm -f thinfuse >/dev/null 2>&1
  kill "$dockerd_pid" 2>/dev/null
  wait "$dockerd_pid" 2>/dev/null
  release_below "$scratch"
}
at_exit stop_dockerd
docker_answers() { docker version >/dev/null 2>&1 || { kill -0 "$dockerd_pid" || { tail -n 5 "$dockerd_log"; die "dockerd ended"; }; false; }; }
wait_for "dockerd answers" 60 docker_answers

step "A base image: Debian and Node.js $(node --version)"
debian_root
base=$scratch/base
mkdir "$base"
tar -C "$base" --xattrs --xattrs-include='*' --numeric-owner -xf "$debian_root"
npm_folder=$(npm root --global)/npm
install -D "$(readlink -f "$(command -v node)")" "$base/usr/local/bin/node"
mkdir -p "$base/usr/local/lib/node_modules"
cp -a "$npm_folder" "$base/usr/local/lib/node_modules/npm"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$base/usr/local/bin/npm"
# Whatever lets this machine reach its registries has to hold while the image is built.
if [ -f /etc/ssl/certs/ca-certificates.crt ]; then
  install -D /etc/ssl/certs/ca-certificates.crt "$base/etc/ssl/certs/ca-certificates.crt"
fi
npm_global=$(npm config get globalconfig 2>/dev/null)
if [ -f "$npm_global" ]; then install -D "$npm_global" "$base/usr/local/etc/npmrc"; fi
if [ -f "$HOME/.npmrc" ]; then install -D -m 600 "$HOME/.npmrc" "$base/root/.npmrc"; fi
tar -C "$base" --numeric-owner -c . | docker import - thinfuse-trial-base >/dev/null
rm -rf "$base"
ok "imported"

step "The image"
arguments=()
for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
  if [ -n "${!name:-}" ]; then arguments+=(--build-arg "$name"); fi
done
DOCKER_BUILDKIT=0 docker build --quiet --network host --build-arg BASE_IMAGE=thinfuse-trial-base "${arguments[@]}" \
  --tag thinfuse-trial "$top" || die "the build failed"

step "The daemon in a container"
run_container() {
  docker run --detach --name thinfuse --network none --privileged --device /dev/fuse --volume /dev:/dev \
    --volume "$state:/var/lib/thinfuse:rshared" --health-interval 2s \
    --env THINFUSE_INIT='--base-size 1G' --env THINFUSE_START='--cache-size 64M' thinfuse-trial >/dev/null
  wait_for "it serves" 60 serves
}
serves() {
  in_container status >/dev/null 2>&1 && return
  [ "$(docker inspect --format '{{.State.Running}}' thinfuse)" = true ] || { docker logs thinfuse; die "the container ended"; }
  return 1
}
in_container() { docker exec thinfuse thinfuse "$@"; }
health_is() { [ "$(docker inspect --format '{{.State.Health.Status}}' thinfuse)" = "$1" ]; }
run_container
in_container status
expect_equal "the image says what it is" \
  "$(docker inspect --format '{{index .Config.Labels "org.opencontainers.image.title"}}' thinfuse-trial)" thinfuse
expect_equal "init had its options" "$(in_container ls base --format size_bytes --no-headers | tr -d ' ')" $((1 << 30))
expect_equal "and start" "$(in_container get cache_size)" 64M
expect_equal "it has every tool but systemd's" \
  "$(in_container doctor --host | awk '$1 == "missing" { print $2 }')" systemd-notify
expect "and the manual page" docker exec thinfuse man --where thinfuse
wait_for "it is healthy" 60 health_is healthy
daemon=$(cat "$state/thinfuse.pid")
docker exec thinfuse sh -c "kill -STOP $daemon"
wait_for "and unhealthy while it does not answer" 120 health_is unhealthy
docker exec thinfuse sh -c "kill -CONT $daemon"
wait_for "and healthy again" 60 health_is healthy

step "An image and a container, mounted in there and seen out here"
docker exec thinfuse sh -c 'mkdir -p /tmp/tree/etc && echo inside >/tmp/tree/etc/where'
in_container image create tree --from /tmp/tree
in_container container create box --image tree
in_container mount box
expect "the host sees the mount" mountpoint -q "$state/mnt/box"
expect_equal "and the file in it" "$(cat "$state/mnt/box/rootfs/etc/where")" inside
echo outside >"$state/mnt/box/rootfs/etc/where"
expect_equal "and the container sees what the host writes" \
  "$(docker exec thinfuse cat /var/lib/thinfuse/mnt/box/rootfs/etc/where)" outside

step "Stop and start"
docker stop --time 60 thinfuse >/dev/null
expect_equal "it ended in order" "$(docker inspect --format '{{.State.ExitCode}}' thinfuse)" 0
expect "nothing is mounted below it" test -z "$(mounts_below "$state" | grep -vxF "$state" || true)"
expect "nor attached" test -z "$(loops_below "$state")"
docker rm thinfuse >/dev/null
run_container
in_container mount box >/dev/null
expect_equal "the file is as it was written" "$(cat "$state/mnt/box/rootfs/etc/where")" outside
in_container check
in_container umount box
docker stop --time 60 thinfuse >/dev/null
expect_equal "it ended in order again" "$(docker inspect --format '{{.State.ExitCode}}' thinfuse)" 0
printf '\n%sThe container holds: every step did.%s\n' "$bold" "$plain"
