#!/usr/bin/env bash
# The unit, under a systemd: a small Debian boots in a container, thinfuse is installed in it as an operator would, and the service starts, is
# killed, restarts, has its daemon followed under a mount, and stops. As root; installs what is missing, and everything goes away at the end.
#
#   scripts/systemd.sh

. "$(dirname "$(readlink -f "$0")")/lib.sh"

no_options "$@"

step "What the trial needs"
need_thinfuse
need_commands systemd-nspawn mmdebstrap nsenter pgrep
scratch systemd
root=$scratch/root
mkdir "$root"
debian_root systemd dbus attr xfsprogs fuse util-linux mount perl-base
tar -C "$root" --xattrs --xattrs-include='*' -xf "$debian_root"

step "Installed"
(cd "$top" && npm run --silent build && npm pack --silent --ignore-scripts --pack-destination "$scratch" >/dev/null)
npm install --global --prefer-offline --silent --no-audit --no-fund --prefix "$root/usr/local" "$scratch"/thinfuse-*.tgz
cp "$(readlink -f "$(command -v node)")" "$root/usr/local/bin/node"
unit=$root/usr/local/lib/node_modules/thinfuse/scripts/systemd/thinfuse.service
cp "$unit" "$root/etc/systemd/system/"
ok "thinfuse $("$root/usr/local/bin/node" -p "require('$root/usr/local/lib/node_modules/thinfuse/package.json').version")"

step "A machine with systemd"
: >"$root/etc/machine-id"
# Its /dev is its own, so that new loop devices do not appear in it by themselves.
for number in $(seq 0 63); do echo "b /dev/loop$number 0660 root root - 7:$number"; done >"$root/etc/tmpfiles.d/loops.conf"
nspawn_pid='' init_pid=''
inside() { nsenter --target "$init_pid" --mount --uts --ipc --net --pid --root env -i --chdir=/ PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin "$@"; }
is_gone() { ! kill -0 "$nspawn_pid" 2>/dev/null; }
shut_down() {
  [ -n "$nspawn_pid" ] || return 0
  [ -z "$init_pid" ] || inside timeout 60 thinfuse stop --force >/dev/null 2>&1
  kill "$nspawn_pid" 2>/dev/null
  timeout 60 tail --pid="$nspawn_pid" -f /dev/null
  kill -9 "$nspawn_pid" 2>/dev/null
  wait "$nspawn_pid" 2>/dev/null
}
at_exit shut_down
finds_init() { init_pid=$(pgrep --parent "$nspawn_pid" --exact systemd); }
is_up() { { inside systemctl is-system-running 2>/dev/null || true; } | grep -qE 'running|degraded'; }
boot() {
  systemd-nspawn --directory "$root" --machine "trial-$$" --register=no --keep-unit --boot --quiet --console=pipe \
    --bind /dev/fuse --bind /dev/loop-control </dev/null >>"$scratch/console.log" 2>&1 &
  nspawn_pid=$!
  wait_for "it has a first process" 60 finds_init
  wait_for "it is up" 180 is_up
}
boot

thinfuse() { inside thinfuse "$@"; }
unit_has() { inside systemctl show --property "$1" --value thinfuse; }

step "Without a pool"
inside systemctl enable --quiet thinfuse
inside systemctl start thinfuse
expect_equal "the service is skipped" "$(unit_has ConditionResult) $(unit_has ActiveState)" "no inactive"

step "Served"
thinfuse init --base-size 512M --data-size 4G
inside systemctl start thinfuse
expect_equal "it is active once the pool is served" "$(unit_has ActiveState) $(unit_has StatusText)" "active serving /var/lib/thinfuse"
thinfuse status
expect_equal "its main process is the daemon" "$(unit_has MainPID)" "$(daemon_pid)"
inside sh -c 'mkdir /srv/files && echo image >/srv/files/from'
thinfuse image create image --from /srv/files
thinfuse container create web --image image
target=$(thinfuse mount web)
inside sh -c "echo kept >$target/rootfs/file && sync -f $target/rootfs/file"
logged() { inside journalctl --unit thinfuse --output cat | grep -q "$1"; }
expect "the journal has what it logs" logged '"event"'

step "Killed"
first=$(unit_has MainPID)
inside sh -c "kill -KILL $first"
serves_again() { local now; now=$(unit_has MainPID); [ "$(unit_has ActiveState)" = active ] && [ "$now" != "$first" ] && [ "$now" != 0 ]; }
wait_for "another is started" 60 serves_again
target=$(thinfuse mount web)
expect_equal "with what was synced" "$(inside cat "$target/rootfs/file")" kept

step "Restarted"
inside systemctl restart thinfuse
expect_equal "it is active" "$(unit_has ActiveState)" active
expect_equal "and ended well before" "$(unit_has Result)" success

step "Supervised"
inside sh -c 'echo THINFUSE_START=--supervised >/etc/default/thinfuse'
if inside systemctl restart thinfuse; then
  target=$(thinfuse mount web)
  restarts=$(unit_has NRestarts)
  main=$(unit_has MainPID) serving=$(daemon_pid)
  expect "its main process is the supervisor" test "$main" != "$serving"
  inside sh -c "echo before >$target/rootfs/under"
  inside sh -c "kill -KILL $serving"
  inside sh -c "echo after >>$target/rootfs/under && sync -f $target/rootfs/under"
  expect_equal "its daemon is followed under the mount" "$(inside cat "$target/rootfs/under" | tr '\n' ' ')" "before after "
  expect_equal "and the service goes on" "$(unit_has ActiveState) $(unit_has MainPID) $(unit_has NRestarts)" "active $main $restarts"
  expect "another daemon serves" is_followed "$serving"
  serving=$(daemon_pid)
  inside systemctl reload thinfuse
  expect_equal "also where it is replaced" "$(unit_has ActiveState) $(unit_has MainPID)" "active $main"
  expect "by one that is new" is_followed "$serving"
  expect_equal "which has what is mounted" "$(inside cat "$target/rootfs/under" | tail -n 1)" after
else
  expect "without FUSE_NOTIFY_RESEND it says so" logged 'needs Linux'
  inside rm /etc/default/thinfuse
  inside systemctl restart thinfuse
fi

step "Mounted by fstab and by a unit of systemd, at each boot"
# As docs/operations.md has it: mount(8) gives its helpers a PATH without /usr/local/bin.
inside ln -s /usr/local/bin/thinfuse /usr/local/lib/mount.thinfuse
printf '#!/bin/sh\nexec /usr/local/bin/node /usr/local/lib/mount.thinfuse "$@"\n' >"$root/sbin/mount.thinfuse"
inside chmod 755 /sbin/mount.thinfuse
thinfuse image create seed --plain --from /srv/files
thinfuse clone seed db unit own
thinfuse automount own /srv/own --on
echo 'db /srv/db thinfuse _netdev,nofail,noatime,mode=0755,x-systemd.requires=thinfuse.service 0 0' >>"$root/etc/fstab"
cat >"$root/etc/systemd/system/srv-unit.mount" <<'UNIT'
[Unit]
Requires=thinfuse.service
After=thinfuse.service
[Mount]
What=unit
Where=/srv/unit
Type=thinfuse
Options=mode=0755
[Install]
WantedBy=multi-user.target
UNIT
inside systemctl daemon-reload
inside systemctl enable --quiet --now srv-unit.mount
inside mount /srv/db
is_there() { [ "$(inside setpriv --reuid=65534 --regid=65534 --clear-groups cat "$1/from" 2>/dev/null)" = image ]; }
expect "a line of fstab mounts it, for other users too" is_there /srv/db
expect "with its options" inside sh -c "grep -q ' /srv/db .*noatime' /proc/self/mountinfo"
expect "a mount unit mounts it" is_there /srv/unit
inside systemctl restart thinfuse
all_there() { is_there /srv/db && is_there /srv/unit && is_there /srv/own; }
expect "an automount is there after a restart" is_there /srv/own
inside systemctl --no-block poweroff
wait_for "it has shut down" 180 is_gone
boot
wait_for "and all three are there after a boot" 120 all_there
expect_equal "the unit holds" "$(inside systemctl is-active srv-unit.mount srv-db.mount | tr '\n' ' ')" "active active "
inside systemctl stop srv-unit.mount
expect "the unit unmounts it" sh -c "! grep -q ' /srv/unit ' /proc/$init_pid/mountinfo"

step "Stopped"
inside systemctl stop thinfuse
expect_equal "it ended well" "$(unit_has ActiveState) $(unit_has Result)" "inactive success"
expect "nothing is mounted" sh -c "! grep -q /var/lib/thinfuse /proc/$init_pid/mountinfo"
thinfuse check
printf '\n%sThe unit holds: every step did.%s\n' "$bold" "$plain"
