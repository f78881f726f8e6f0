# shellcheck shell=bash
# Which Node.js the scripts run with. Sourced by lib.sh and by scripts/thinfuse; it changes nothing but PATH.

NODE_NEEDED=20.19.0
# What is fetched where the machine has none that is new enough.
NODE_FETCHED=22

# Kept between runs, outside the checkout.
if [ -n "${XDG_CACHE_HOME:-}" ] || [ "$(id -u)" = 0 ]; then
  cache=${XDG_CACHE_HOME:-/var/cache}/thinfuse
else
  cache=$HOME/.cache/thinfuse
fi
node_cache=$cache/node-$NODE_FETCHED

# version_at_least VERSION MINIMUM
version_at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# node_version [NODE]: of that program, or of the one in PATH; nothing where there is none that runs.
node_version() { "${1:-node}" --version 2>/dev/null | tr -d v || true; }

# is_enough VERSION: thinfuse runs on it.
is_enough() { [ -n "$1" ] && version_at_least "$1" "$NODE_NEEDED"; }

# find_node: where PATH has none that is new enough, the one in the cache comes first in PATH. Fails where there is none either.
find_node() {
  is_enough "$(node_version)" && return
  is_enough "$(node_version "$node_cache/node_modules/.bin/node")" || return
  PATH=$node_cache/node_modules/.bin:$PATH
  hash -r
}
