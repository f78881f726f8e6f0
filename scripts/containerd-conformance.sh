#!/usr/bin/env bash
# containerd's own conformance suite of snapshotters (snapshots/testsuite, in Go, from Debian's packages), driven over the socket of a daemon
# on a pool of the script's own. As root; everything goes away at the end.
#
#   scripts/containerd-conformance.sh [--run PATTERN]
#
#   --run PATTERN   only the cases that match, as `go test -run` has it: --run /Basic

. "$(dirname "$(readlink -f "$0")")/lib.sh"

pattern=''
while [ $# -gt 0 ]; do
  case $1 in
    --run) [ $# -gt 1 ] || die "--run needs a pattern"; pattern=$2; shift ;;
    -h | --help) print_help; exit 0 ;;
    *) die "unknown option $1; see $0 --help" ;;
  esac
  shift
done
# What the suite has, and what it skips for every snapshotter (Rename).
cases=21 skips=1

step "What the suite needs"
need_thinfuse
need_commands go
library=/usr/share/gocode
[ -d "$library/src/github.com/containerd/containerd/snapshots/testsuite" ] ||
  install_packages golang-github-containerd-containerd-dev
scratch conformance
export THINFUSE_ROOT=$scratch/pool
own_pool

step "The suite"
mkdir -p "$scratch/go/src/conformance"
cp "$top/scripts/conformance/"*_test.go "$scratch/go/src/conformance/"
(cd "$scratch/go/src/conformance" &&
  GOCACHE=$scratch/cache GO111MODULE=off GOPATH=$scratch/go:$library go test -c -o "$scratch/suite" .)
ok "built"

step "A pool"
thinfuse init --base-size 1G --data-size 20G
thinfuse start --snapshotter
empty=$(pool used)

step "The cases"
# Its cases use the same keys, and all meet one daemon: one at a time.
export TMPDIR=$scratch/work THINFUSE_SNAPSHOTTER=$THINFUSE_ROOT/snapshotter.sock
mkdir "$TMPDIR"
(cd "$scratch" && ./suite -test.v -test.root -test.parallel 1 -test.timeout 20m ${pattern:+-test.run "$pattern"}) >"$scratch/log" 2>&1 || {
  cat "$scratch/log"
  die "a case failed"
}
grep -E '^ +--- ' "$scratch/log"
if [ -z "$pattern" ]; then
  expect_equal "those that passed" "$(grep -c '^ *--- PASS: TestSnapshotter/' "$scratch/log")" $((cases - skips))
  expect_equal "those that are skipped for everybody" "$(grep -c '^ *--- SKIP: TestSnapshotter/' "$scratch/log")" "$skips"
fi

step "What is left"
no_snapshots() { [ "$(thinfuse ls --json | json it.length)" = 1 ]; }
wait_for "no device but the base" 60 no_snapshots
thinfuse stop
expect_equal "the pool holds what it held at first" "$(pool used)" "$empty"
expect "nothing is mounted or attached" nothing_left
thinfuse check
printf '\n%sThe snapshotter conforms.%s\n' "$bold" "$plain"
