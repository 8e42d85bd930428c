#!/bin/sh
# Makes the Python environment of this worker outside the tree, once per content of
# requirements.txt. With --where it only prints where the environment's python is.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
key=$(cat "$here/requirements.txt" "$here/setup.sh" | sha256sum | cut -c1-16)
dir="${XDG_CACHE_HOME:-$HOME/.cache}/muster/python-$key"
if [ "${1:-}" != --where ] && [ ! -e "$dir/.ready" ]; then
	rm -rf "$dir"
	python3 -m venv "$dir"
	"$dir/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$here/requirements.txt"
	"$dir/bin/python" -c 'import jwt, cryptography'
	touch "$dir/.ready"
fi
echo "$dir/bin/python"
