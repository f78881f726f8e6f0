#!/usr/bin/env bash
# All checks of thinfuse, from nothing: installs what is missing, builds, lints and runs every test.
# Then looks whether the tests left a mount, a loop device or a process behind, which fails them. At last
# the demo, and what npm installs of a packed checkout, run in a bare Debian, which counts as two tests.
#
#   scripts/test.sh [--grep PATTERN] [--skip-mounts] [--no-lint] [--no-fresh]
#
#   --grep PATTERN   only tests whose full title matches
#   --skip-mounts    leave out the tests that need root, FUSE, loop devices and xfs
#   --no-lint        no build, lint, type and format checks
#   --no-fresh       nothing in a bare Debian; it is left out with --grep and --skip-mounts, and where this is one already
#
# The last line reads `N passed, N failed`; the exit code is 0 only when nothing failed.

. "$(dirname "$(readlink -f "$0")")/lib.sh"

arguments=("$@") grep_pattern='' lint=1 skip_mounts='' fresh=1
while [ $# -gt 0 ]; do
  case $1 in
    --grep) [ $# -gt 1 ] || die "--grep needs a pattern"; grep_pattern=$2; shift ;;
    --grep=*) grep_pattern=${1#*=} ;;
    --skip-mounts) skip_mounts=1 ;;
    --no-lint) lint='' ;;
    --no-fresh) fresh='' ;;
    -h | --help) print_help; exit 0 ;;
    *) die "unknown option $1; see $0 --help" ;;
  esac
  shift
done

[ -z "$grep_pattern$skip_mounts${THINFUSE_FRESH:-}" ] || fresh=''

# Some tests make mount namespaces, and a copy there of what another test has mounted would be one more user of it. Where the root is shared,
# what is unmounted goes from all of them; the host's may not be, so the tests have one of their own.
if [ -z "$skip_mounts${THINFUSE_TEST_NAMESPACE:-}" ] && unshare --mount --propagation shared true 2>/dev/null; then
  export THINFUSE_TEST_NAMESPACE=1
  exec unshare --mount --propagation shared "$0" "${arguments[@]}"
fi
unset THINFUSE_TEST_NAMESPACE

step "What the tests need"
need_node
need_commands fish zsh mandoc
if [ -n "$skip_mounts" ]; then
  export THINFUSE_TEST_SKIP_MOUNTS=1
  need_packages
else
  need_thinfuse
  need_commands taskset fuser fio grep setfattr setfacl setcap umoci thin_dump containerd mkfs.ext4 qemu-img python3 cmp bzip2 gzip xz zstd
fi
say "Node.js $(node --version), npm $(npm --version 2>/dev/null), $(uname -sr)"
cd "$top"

# A check that fails counts as one failed test; the tests run all the same.
failed_checks=0
check() {
  step "$1"
  shift
  npm run --silent "$@" || failed_checks=$((failed_checks + 1))
}
if [ -n "$lint" ]; then
  check Build build
  export THINFUSE_TEST_BUILT=$top/dist/cli/main.js
  step "Types, lint and format"
  npm run --silent typecheck &
  types=$!
  npm run --silent lint || failed_checks=$((failed_checks + 1))
  wait "$types" || failed_checks=$((failed_checks + 1))
fi

# Everything that the tests start carries this variable, and everything they make lies below it.
scratch tests
export TMPDIR=$scratch THINFUSE_TEST_RUN=$scratch THINFUSE_TEST_COUNTS=$scratch.counts
at_exit rm -rf "$THINFUSE_TEST_COUNTS" "$scratch.trials" "$scratch.pack"

processes_of_run() {
  local environment pid
  for environment in /proc/[0-9]*/environ; do
    pid=${environment#/proc/}
    pid=${pid%/environ}
    if tr '\0' '\n' <"$environment" 2>/dev/null | grep -qxF "THINFUSE_TEST_RUN=$THINFUSE_TEST_RUN"; then
      printf '%s %s\n' "$pid" "$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | cut -c1-160)"
    fi
  done 2>/dev/null
}

step "Tests"
status=0
# Those that run the whole program first, for they are the longest: the others fill the time until the last of them ends.
mapfile -t files < <({ printf '%s\n' test/e2e/*.test.ts test/crash/*.test.ts; find test -name '*.test.ts' | sort; } | awk '!seen[$0]++')
# Far more than they take: a test that hangs must not hang whoever waits for this. Three at a time on two cores, for they wait a third of the time:
# for disks, for daemons, and for what is killed at random moments.
timeout --foreground --signal=INT --kill-after=60 40m \
  node_modules/.bin/mocha --parallel --jobs 3 --reporter "$top/scripts/counting-reporter.js" ${grep_pattern:+--grep "$grep_pattern"} \
  "${files[@]}" || status=$?
counts='{"passes":0,"failures":1,"pending":0}'
if [ -s "$THINFUSE_TEST_COUNTS" ]; then
  counts=$(cat "$THINFUSE_TEST_COUNTS")
else
  say "mocha ended (exit code $status; 124 and 137: it took too long) before its tests did"
fi

export -n THINFUSE_TEST_RUN
leaks=$(
  mounts_below "$scratch" | sed 's/^/mount /'
  loops_below "$scratch" | sed 's/^/loop device /'
  processes_of_run | sed 's/^/process /'
)
leak_count=0
if [ -n "$leaks" ]; then
  leak_count=1
  printf 'left behind by the tests:\n%s\n' "$leaks"
  printf '%s\n' "$leaks" | sed -n 's/^process \([0-9]*\) .*/\1/p' | while read -r pid; do kill -9 "$pid" 2>/dev/null || true; done
fi

passed=$(json it.passes <<<"$counts")
failed=$(($(json it.failures <<<"$counts") + failed_checks + leak_count))
skipped=$(json it.pending <<<"$counts")

if [ -n "$fresh" ]; then
  step "The demo and what npm installs, in a bare Debian"
  trials=2
  mkdir "$scratch.pack"
  pack "$scratch.pack"
  # Far more than they take, as above.
  timeout --kill-after=60 20m "$top/scripts/fresh.sh" --suite bookworm --bring "$packed" scripts/fresh/trials.sh "$(basename "$packed")" \
    >"$scratch.trials" 2>&1 </dev/null || sed 's/^/   | /' "$scratch.trials"
  held=$(grep -c '^trial passed: ' "$scratch.trials" || true)
  sed -n 's/^trial passed: //p' "$scratch.trials" | while IFS= read -r name; do ok "$name"; done
  passed=$((passed + held))
  failed=$((failed + trials - held))
fi
if [ "$status" != 0 ] && [ "$failed" = 0 ]; then failed=1; fi
if [ "$passed" = 0 ] && [ "$failed" = 0 ]; then
  say "no test ran"
  failed=1
fi
line="$passed passed, $failed failed"
[ "$skipped" = 0 ] || line="$line, $skipped skipped"
printf '\n%s\n' "$line"
exit $((failed > 0))
