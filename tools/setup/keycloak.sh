#!/usr/bin/env bash
# Fetches Keycloak with Maven, unpacks it into the cache, and prints its home,
# for MUSTER_TEST_KEYCLOAK_HOME. Needs Java 17 or newer and Maven; installs
# Debian's when there is none.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

version=${MUSTER_SETUP_KEYCLOAK_VERSION:-26.7.3}
home=$cache/keycloak-$version

if [ ! -x "$home/bin/kc.sh" ]; then
  command -v java >/dev/null 2>&1 || debian default-jre-headless
  java=$(java -version 2>&1 | sed -nE 's/.* version "([0-9]+).*/\1/p' | head -n 1)
  [ "${java:-0}" -ge 17 ] || die "Keycloak $version needs Java 17 or newer; \"java -version\" says ${java:-nothing}"
  command -v mvn >/dev/null 2>&1 || debian maven
  command -v unzip >/dev/null 2>&1 || debian unzip

  mkdir -p "$cache"
  tmp=$(mktemp -d "$cache/keycloak.XXXXXX")
  trap 'rm -rf "$tmp"' EXIT
  say "fetching Keycloak $version with Maven"
  (cd "$tmp" && mvn --batch-mode --quiet dependency:copy \
    -Dartifact="org.keycloak:keycloak-quarkus-dist:$version:zip" -DoutputDirectory="$tmp" </dev/null >&2) ||
    die "Maven could not fetch org.keycloak:keycloak-quarkus-dist:$version:zip; is Maven Central reachable?"
  unzip -q "$tmp/keycloak-quarkus-dist-$version.zip" -d "$tmp/unpacked"
  # Renamed when whole, so that an interrupted run leaves no half of it.
  mv "$tmp/unpacked/keycloak-$version" "$home"
fi
[ -x "$home/bin/kc.sh" ] || die "$home has no bin/kc.sh; remove the directory and run this again"
say "Keycloak: $home"
echo "$home"
