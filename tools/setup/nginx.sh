#!/usr/bin/env bash
# Installs nginx, the proxy that "make bench" measures against, and prints its
# path. The system's own nginx is not started.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

PATH=$PATH:/usr/sbin
if ! command -v nginx >/dev/null 2>&1; then
  # Debian starts a service on installation; the policy below says no.
  policy=/usr/sbin/policy-rc.d
  if [ -d /usr/sbin ] && [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
    as_root chmod +x $policy
    trap 'as_root rm -f '$policy EXIT
  fi
  debian nginx-light
fi
command -v nginx >/dev/null 2>&1 || die "nginx was installed, but there is no program of that name"
say "$(nginx -v 2>&1)"
command -v nginx
