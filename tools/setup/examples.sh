#!/usr/bin/env bash
# Prepares the example workers in other languages: checks for Python 3.11 and
# Node 20 or newer, installs Debian's when missing, and runs every example's own
# setup.sh (workers/examples/*/setup.sh), which installs what that example needs
# below its directory or the cache. Prints the directory of the examples.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

examples=$(cd "$(dirname "$0")/../.." && pwd)/workers/examples
export MUSTER_CACHE=$cache
mkdir -p "$cache"

command -v python3 >/dev/null 2>&1 || debian python3 python3-venv
command -v node >/dev/null 2>&1 || debian nodejs npm
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  die "the Python example needs Python 3.11 or newer; this is $(python3 --version)"
node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' ||
  die "the TypeScript example needs Node 20 or newer; this is $(node --version)"

for own in "$examples"/*/setup.sh; do
  [ -e "$own" ] || continue
  say "example $(basename "$(dirname "$own")")"
  (cd "$(dirname "$own")" && ./setup.sh </dev/null >&2) || die "$own failed"
done
echo "$examples"
