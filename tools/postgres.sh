#!/usr/bin/env bash
# Runs a throw-away PostgreSQL for tests, on a free port of 127.0.0.1, in a
# directory of its own under the system's temporary directory.
#
#   tools/postgres.sh start       starts one and prints its DSN, for
#                                 MUSTER_TEST_POSTGRES_DSN
#   tools/postgres.sh stop DSN    stops the one of that DSN and removes its files
#
# PostgreSQL refuses to run as root, so as root it runs as the user "postgres",
# or "nobody" where there is none. It is tuned to be fast to start, not to be
# durable on power loss; commits still survive kill -9 of the server.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
base=${TMPDIR:-/tmp}/muster-postgres

# unprivileged COMMAND...: runs it as a user that PostgreSQL accepts.
unprivileged() {
  if [ "$(id -u)" = 0 ]; then
    setpriv --reuid="$owner" --regid="$(id -g "$owner")" --clear-groups env HOME="$dir" "$@"
  else
    "$@"
  fi
}

owner=$(id -un)
if [ "$(id -u)" = 0 ]; then
  owner=nobody
  if id postgres >/dev/null 2>&1; then owner=postgres; fi
fi

start() {
  local bin port try
  bin=$("$here/setup/postgresql.sh")
  for try in 1 2 3 4 5; do
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    dir=$base-$port
    [ ! -e "$dir" ] || continue
    mkdir -m 700 "$dir"
    [ "$(id -u)" != 0 ] || chown "$owner" "$dir"
    unprivileged "$bin/initdb" -D "$dir/data" -U muster -A trust -E UTF8 --locale=C --no-sync >"$dir/initdb.log" 2>&1 || {
      cat "$dir/initdb.log" >&2
      exit 1
    }
    if unprivileged "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w -t 60 start \
      -o "-h 127.0.0.1 -p $port -k '$dir' -c max_connections=200 -c shared_buffers=64MB" >/dev/null 2>&1 </dev/null; then
      "$bin/createdb" -h 127.0.0.1 -p "$port" -U muster muster
      echo "postgres://muster@127.0.0.1:$port/muster?sslmode=disable"
      return
    fi
    # The port may have been taken in the meantime: try another.
    tail -n 5 "$dir/log" >&2 || true
    rm -rf "$dir"
  done
  echo "postgres.sh: PostgreSQL did not start in 5 tries; its log is above" >&2
  exit 1
}

stop() {
  local bin port
  port=$(sed -E 's|.*@127\.0\.0\.1:([0-9]+)/.*|\1|' <<<"$1")
  dir=$base-$port
  if [ ! -d "$dir/data" ]; then
    echo "postgres.sh: no server of ours has the DSN $1" >&2
    exit 1
  fi
  bin=$("$here/setup/postgresql.sh" 2>/dev/null)
  unprivileged "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null 2>&1 || true # may be gone already
  rm -rf "$dir"
}

case ${1:-} in
start) start ;;
stop) stop "${2:?stop wants the DSN that start printed}" ;;
*)
  sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
  exit 2
  ;;
esac
