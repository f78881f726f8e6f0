#!/usr/bin/env bash
# A store of Ceph's with one node, for trials: monitor, disk and S3 gateway, without systemd and without authentication among them.
# Packages: ceph-mon ceph-osd radosgw. Stays in the foreground's network namespace; ends with stop-ceph of scripts/remote.sh.
#
#   scripts/remote/ceph.sh FOLDER ADDRESS PORT
set -euo pipefail
folder=$1 address=$2 port=$3
mkdir -p "$folder"/{mon,osd,run,log,rgw}
config=$folder/ceph.conf
cat >"$config" <<X
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon host = [v1:$address:6789]
mon initial members = a
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail crit = 1
osd objectstore = bluestore
osd class update on start = false
osd crush update on start = false
osd crush chooseleaf type = 0
ms bind msgr2 = false
public addr = $address
cluster addr = $address
admin socket = $folder/run/\$name.asok
pid file = $folder/run/\$name.pid
log file = $folder/log/\$name.log
crash dir = $folder/log
mon data = $folder/mon
osd data = $folder/osd
bluestore block size = 8589934592
osd memory target = 939524096
[client.rgw.a]
rgw data = $folder/rgw
rgw frontends = beast endpoint=$address:$port
X
export CEPH_CONF=$config
fsid=$(sed -n 's/^fsid = //p' "$config")
monmaptool --create --addv a "[v1:$address:6789]" --fsid "$fsid" "$folder/monmap" >/dev/null
ceph-mon --mkfs -i a --monmap "$folder/monmap" -c "$config"
ceph-mon -i a -c "$config"
# It refuses commands until it has told itself who it is.
for _ in $(seq 60); do
  if timeout 20 ceph -c "$config" mon stat >/dev/null 2>&1; then break; fi
  sleep 0.5
done
uuid=$(cat /proc/sys/kernel/random/uuid)
timeout 60 ceph -c "$config" osd new "$uuid" >/dev/null
timeout 60 ceph -c "$config" osd crush add osd.0 1 root=default host=one 2>/dev/null
ceph-osd -i 0 --mkfs -c "$config" --osd-uuid "$uuid" 2>/dev/null
ceph-osd -i 0 -c "$config" 2>/dev/null
radosgw -n client.rgw.a -c "$config"
for _ in $(seq 600); do
  if node -e "fetch('http://$address:$port/').then(() => process.exit(0), () => process.exit(1))"; then break; fi
  sleep 0.5
done
timeout 120 radosgw-admin -c "$config" user create --uid test --display-name test --access-key trialkey --secret-key trialsecret >/dev/null
