#!/usr/bin/env bash
# What scripts/test.sh runs in one bare Debian: trials.sh TARBALL, which npm pack made. It says `trial passed: NAME` or `trial failed: NAME` of each.

. "$(dirname "$(readlink -f "$0")")/../lib.sh"

failed=0
# The demo first, for it installs what it needs.
try() {
  local name=$1
  shift
  if "$@"; then printf 'trial passed: %s\n' "$name"; else
    printf 'trial failed: %s\n' "$name"
    failed=1
  fi
}
try "every step of the demo held" "$top/scripts/demo.sh"
try "what npm installs works" "$top/scripts/install-trial.sh" --here "$1"
exit $failed
