#!/usr/bin/env bash
# Installs all that the tests need beside Go. Every piece is tried, so that one
# that cannot be had does not hide the others; the end fails if any failed.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
failed=()
for piece in postgresql keycloak examples airflow; do
  "$here/$piece.sh" >/dev/null || failed+=("$piece")
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "set-up: these could not be set up: ${failed[*]} (each says why above)" >&2
  exit 1
fi
