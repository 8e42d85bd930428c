#!/usr/bin/env bash
# Builds the project's tools into .tools. Third-party ones are pinned by a
# go.sum, built once per content of it, and kept outside the tree, so a fresh
# clone on the same machine finds them built.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/muster/tools
out=$root/.tools
mkdir -p "$out"

# pinned DIR NAME=PACKAGE...: builds PACKAGEs of the module in DIR.
pinned() {
  local dir=$1 key store pair name
  shift
  key=$( (go version; cat "$dir/go.mod" "$dir/go.sum") | sha256sum | cut -c1-16)
  store=$cache/$(basename "$dir")-$key
  for pair in "$@"; do
    name=${pair%%=*}
    if [ ! -x "$store/$name" ]; then
      echo "tools: building $name (once for this version)"
      mkdir -p "$store"
      # Built beside its place and renamed: a second build at the same time
      # never sees half a file.
      (cd "$dir" && GOWORK=off CGO_ENABLED=0 go build -trimpath -o "$store/.$name.$$" "${pair#*=}")
      mv "$store/.$name.$$" "$store/$name"
    fi
    ln -sfn "$store/$name" "$out/$name"
  done
}

for group in "${@:-base}"; do
  case $group in
  base)
    pinned "$root/tools" \
      buf=github.com/bufbuild/buf/cmd/buf \
      protoc-gen-go=google.golang.org/protobuf/cmd/protoc-gen-go \
      protoc-gen-go-grpc=google.golang.org/grpc/cmd/protoc-gen-go-grpc
    (cd "$root/tools" && GOWORK=off go build -o "$out/" ./check ./tidycheck)
    ;;
  lint)
    pinned "$root/tools/lint" \
      golangci-lint=github.com/golangci/golangci-lint/v2/cmd/golangci-lint \
      govulncheck=golang.org/x/vuln/cmd/govulncheck
    ;;
  bench)
    (cd "$root/tools/bench" && GOWORK=off CGO_ENABLED=0 go build -o "$out/" . ./benchrules && GOWORK=off go build -o "$out/" ./benchaccess)
    ;;
  *)
    echo "tools/build.sh: no group \"$group\"; there are base, lint, bench" >&2
    exit 2
    ;;
  esac
done
