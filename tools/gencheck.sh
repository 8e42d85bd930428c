#!/usr/bin/env bash
# Fails when proto/gen is not what buf generates from proto/, or when a contract
# changed in a way that breaks those who speak the baseline. Changes nothing.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
export PATH=$root/.tools:$PATH
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

cd "$root/proto"
buf generate -o "$tmp"
if ! diff -r "$tmp/gen" gen >"$tmp/diff"; then
  head -40 "$tmp/diff" >&2
  echo 'gen-check: proto/gen is not what buf generates; run "make gen" and commit the result' >&2
  exit 1
fi
# The baseline is a file, so that a shallow clone can check as well.
if ! buf breaking --against baseline.binpb; then
  echo 'gen-check: a contract changed incompatibly; add instead of changing, or, with an ADR, run "make baseline"' >&2
  exit 1
fi
echo 'gen-check: proto/gen is current, and the contracts are compatible with the baseline'
