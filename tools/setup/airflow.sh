#!/usr/bin/env bash
# Installs Apache Airflow, and what the tests of the Airflow provider need beside
# it, from PyPI into a virtual environment in the cache, and prints where that is,
# for MUSTER_TEST_AIRFLOW. Every version is pinned with its digest by
# workers/examples/airflow/requirements.lock; a new lock makes a new environment.
# Needs Python 3.11; installs Debian's when there is no Python.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

lock=$(cd "$(dirname "$0")/../.." && pwd)/workers/examples/airflow/requirements.lock
command -v python3 >/dev/null 2>&1 || debian python3 python3-venv
version=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
[ "$version" = 3.11 ] ||
  die "the lock file of the Airflow provider is made for Python 3.11; this is $version. Its README says how to make another"

home=$cache/airflow-$(cat "$lock" "$0" | sha256sum | cut -c1-16)
if [ ! -e "$home/.ready" ]; then
  mkdir -p "$cache"
  # Not made elsewhere and renamed: the scripts of an environment hold its path. The
  # mark tells that it is whole.
  rm -rf "$home"
  say "installing Airflow and $(grep -c '==' "$lock") pinned packages from PyPI"
  python3 -m venv "$home"
  "$home/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
    --require-hashes -r "$lock" </dev/null >&2 || die "pip could not install $lock; is PyPI reachable?"
  "$home/bin/python" -m pip check --disable-pip-version-check >&2 || die "what was installed does not fit together"
  "$home/bin/airflow" version >&2 || die "Airflow does not start; remove $home and run this again"
  touch "$home/.ready"
fi
say "Airflow: $home"
echo "$home"
