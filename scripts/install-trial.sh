#!/usr/bin/env bash
# An operator's first minutes: thinfuse packed and installed with npm, in a bare Debian that has nothing but the packages that the documents
# call required; a pool, a mounted device, files in it, and everything gone at the end.
#
#   scripts/install-trial.sh [--suite SUITE]    as root; fresh.sh makes the Debian
#   scripts/install-trial.sh --here TARBALL     in such a Debian already; what another trial installed there goes first

. "$(dirname "$(readlink -f "$0")")/lib.sh"

suite='' tarball=''
while [ $# -gt 0 ]; do
  case $1 in
    --suite) [ $# -gt 1 ] || die "--suite needs a name"; suite=$2; shift ;;
    --suite=*) suite=${1#*=} ;;
    --here) [ $# -gt 1 ] || die "--here needs what npm pack made"; tarball=$(readlink -f "$2"); shift ;;
    -h | --help) print_help; exit 0 ;;
    *) die "unknown option $1; see $0 --help" ;;
  esac
  shift
done
need_root "$(basename "$0")"
[ -z "$tarball" ] || [ -n "${THINFUSE_FRESH:-}" ] || die "--here removes packages: run it in a Debian that fresh.sh made"

if [ -z "$tarball" ]; then
  step "Packed"
  need_node
  need_packages
  scratch pack
  pack "$scratch"
  "$top/scripts/fresh.sh" ${suite:+--suite "$suite"} --bring "$packed" scripts/install-trial.sh --here "$(basename "$packed")"
  exit
fi

step "Node.js, and nothing of this checkout"
need_node
cd /
scratch trial
export THINFUSE_ROOT=$scratch/pool
end_trial() { [ ! -e "$THINFUSE_ROOT" ] || thinfuse stop --force >/dev/null 2>&1 || true; }
# Its own prefix may be that of a Node.js in the cache.
export npm_config_prefix=/usr/local
npm install --global --no-audit --no-fund --loglevel=error "$tarball"
thinfuse() { /usr/local/bin/thinfuse "$@"; }
ok "thinfuse $(thinfuse --version)"

step "What the machine lacks"
documented=$(sed -n 's/^| Debian, Ubuntu *| `apt-get install \([^`]*\)`.*/\1/p' "$top/README.md")
# Those that every Debian has stay.
# shellcheck disable=SC2086 # packages, one a word
mapfile -t installed < <(
  dpkg-query --show --showformat '${Package} ${Essential} ${Priority} ${db:Status-Abbrev}\n' $documented 2>/dev/null |
    awk '$2 == "no" && $3 != "required" && $4 == "ii" { print $1 }'
)
if [ ${#installed[@]} -gt 0 ]; then apt-get purge -y -qq "${installed[@]}" >/dev/null; fi
# getfattr and mkfs.xfs are in no package that every Debian has.
expect_failure "it says so" 8 thinfuse doctor --host
advice=$({ thinfuse doctor --host 2>/dev/null || true; } | sed -n 's/^ *MISSING  *mkfs\.xfs .*install it: //p')
expect_equal "and what to do" "$advice" "apt-get install xfsprogs"
refused=0
thinfuse init --base-size 512M --data-size 4G 2>"$scratch/refused" || refused=$?
expect_equal "init refuses" "$refused" 8
expect "and names the package" grep -q 'apt-get install' "$scratch/refused"

step "The packages that the documents call required"
# shellcheck disable=SC2086 # packages, one a word
install_packages $documented
need_devices
thinfuse doctor --host
at_exit end_trial

step "A pool"
thinfuse init --base-size 512M --data-size 4G
thinfuse start
expect_equal "the daemon serves" "$(thinfuse status --json | json it.transport)" kernel
thinfuse snapshot web base
folder=$(thinfuse mount web)
echo 'a thin device' >"$folder/file"
sync --file-system "$folder"
thinfuse snapshot later web
expect_equal "a snapshot has what was written" "$(cat "$(thinfuse mount later)/file")" 'a thin device'
thinfuse image create debian --from /etc/apt
thinfuse container create box --image debian
box=$(thinfuse mount box)
rm -r "$box/rootfs/apt.conf.d"
expect_equal "diff sees it" "$(thinfuse diff box | grep -x 'D /apt.conf.d')" 'D /apt.conf.d'
for id in box later web; do thinfuse umount "$id"; done
thinfuse rm box later
thinfuse trim --all >/dev/null
thinfuse stop
thinfuse check
expect "nothing is mounted or attached any more" nothing_left

step "Gone again"
npm uninstall --global --loglevel=error thinfuse
expect "its command is gone" test ! -e /usr/local/bin/thinfuse
printf '\n%sThe trial is through: what npm installs works.%s\n' "$bold" "$plain"
