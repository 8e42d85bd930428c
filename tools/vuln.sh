#!/usr/bin/env bash
# Looks for known vulnerabilities in what each module calls. Needs the
# vulnerability database; where that cannot be reached it says so and fails with
# status 3, so that nobody takes silence for health.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for module in "$@"; do
  echo "vuln $module"
  if (cd "$root/$module" && "$root/.tools/govulncheck" ./...) >"$log" 2>&1; then
    tail -n 3 "$log"
  elif grep -qiE 'fetching vulnerabilities|vuln\.go\.dev|dial tcp|no such host|(403|503|404) ' "$log"; then
    tail -n 3 "$log" >&2
    echo "vuln: the vulnerability database cannot be reached from here; nothing was checked" >&2
    exit 3
  else
    cat "$log"
    exit 1
  fi
done
