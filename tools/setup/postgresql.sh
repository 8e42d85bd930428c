#!/usr/bin/env bash
# Installs Debian's PostgreSQL and prints the directory of its programs. No
# server of the system is started or used: tools/postgres.sh runs its own.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

bindir() {
  local d
  for d in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -rV); do
    if [ -x "$d/initdb" ] && [ -x "$d/pg_ctl" ]; then
      echo "$d"
      return
    fi
  done
  # Elsewhere than on Debian the programs are on the path.
  if command -v initdb >/dev/null 2>&1; then
    dirname "$(command -v initdb)"
  fi
}

bin=$(bindir)
if [ -z "$bin" ]; then
  debian postgresql
  bin=$(bindir)
fi
[ -n "$bin" ] || die "PostgreSQL was installed, but no initdb is found under /usr/lib/postgresql"
say "PostgreSQL: $("$bin/postgres" --version)"
echo "$bin"
