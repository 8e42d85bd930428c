#!/bin/sh
# Installs this worker's modules and compiles it outside the tree, once per content
# of package-lock.json and of the sources. With --where it only prints where the
# compiled worker is.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
lock=$(cat "$here/package-lock.json" "$here/setup.sh" | sha256sum | cut -c1-16)
source=$(cat "$here/tsconfig.json" "$here"/src/*.ts | sha256sum | cut -c1-16)
dir="${XDG_CACHE_HOME:-$HOME/.cache}/muster/typescript-$lock"
build="$dir/build-$source"
if [ "${1:-}" != --where ] && [ ! -e "$build/dist/worker.js" ]; then
	mkdir -p "$dir"
	cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$dir/"
	[ -e "$dir/.ready" ] || (cd "$dir" && npm ci --silent && touch .ready)
	rm -rf "$build"
	mkdir -p "$build"
	cp -r "$here/src" "$here/tsconfig.json" "$here/package.json" "$build/"
	"$dir/node_modules/.bin/tsc" --project "$build" --outDir "$build/new"
	mv "$build/new" "$build/dist"
fi
echo "$build/dist/worker.js"
