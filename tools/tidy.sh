#!/usr/bin/env bash
# Tidies the go.mod and go.sum of every module. "go work sync" comes first, for it
# raises versions whose sums only tidy adds.
#
# The module tools needs buf, and tidying looks at the tests of everything that is
# needed: buf's import modules that its own build does not and that some proxies
# refuse. There tidy goes on without them, says so, and fails for any other reason.
set -euo pipefail
cd "$(dirname "$0")/.."

# Modules that only tests of tools import, and that need not be had.
unneeded='connectrpc\.com/grpcreflect/v2|github\.com/jhump/protoreflect/v2'

go work sync
for m in "$@"; do
  [ -f "$m/go.mod" ] || continue
  echo "tidy $m"
  if [ "$m" != tools ]; then
    (cd "$m" && GOWORK=off go mod tidy)
    continue
  fi
  said=$(cd "$m" && GOWORK=off go mod tidy -e 2>&1) || { echo "$said" >&2; exit 1; }
  [ -n "$said" ] || continue
  # An error is a chain of imports, "A imports", "B tested by", that ends in
  # "MODULE: why"; the lines that are neither tell of downloads or of the server.
  other=$(grep -E '^\s*[^ ]+\.[^ ]+/[^ ]*: |^go: [^ ]+: ' <<<"$said" | grep -Ev "^\s*(go: )?($unneeded)(/[^ ]*)?: " || true)
  if [ -n "$other" ]; then
    echo "$said" >&2
    echo "tidy: $m: the above is more than the two modules that may be missing there" >&2
    exit 1
  fi
  grep -Eo "($unneeded)@[^ :]+" <<<"$said" | sort -u |
    sed 's/$/ cannot be had; only tests of the tools import it, so its sums are left out/; s/^/  /'
done
