#!/usr/bin/env bash
# Shows Muster at work: starts a gateway for development and two workers with
# policies of their own, one over REST and one over gRPC, registers them, and asks
# what alice, bob and nobody may see of a graph of Debian packages. Then it goes on
# until Ctrl-C, or ends with --once, which also picks free ports.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
here=$root/tools/demo
muster=$root/bin/muster
once=${1:-}
scratch=$(mktemp -d)
pids=()

finish() {
  # Those that have ended already are no fault.
  [ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
  echo "demo: $*" >&2
  for log in "$scratch"/*.log; do tail -n 5 "$log" >&2; done
  exit 1
}

# field NAME FILE: waits for the listening line in FILE and prints one address.
field() {
  local tries
  for tries in $(seq 300); do
    if grep -q '"listening"' "$2" 2>/dev/null; then
      sed -nE 's/.*"'"$1"'":"([^"]*)".*/\1/p' "$2" | head -n 1
      return
    fi
    sleep 0.1 # polling a file: the line comes when the listeners accept
  done
  fail "no listening line in $2 after 30 seconds"
}

ports=()
if [ "$once" = --once ]; then
  ports=(--http 127.0.0.1:0 --grpc 127.0.0.1:0 --ops 127.0.0.1:0 --issuer 127.0.0.1:0)
fi
"$muster" dev --data-dir "$scratch/data" "${ports[@]}" >"$scratch/muster.out" 2>"$scratch/muster.log" &
pids+=($!)
export MUSTER_URL=http://$(field http "$scratch/muster.out")
issuer=http://$(field issuer "$scratch/muster.out")
for person in admin alice bob; do
  "$muster" dev token "$person" --issuer "$issuer" >"$scratch/$person.token" || fail "no token for $person"
done
export MUSTER_TOKEN_FILE=$scratch/admin.token

# worker NAME UUID HTTP-PORT GRPC-PORT: starts one and registers it.
worker() {
  local name=$1 uuid=$2 url
  env -u MUSTER_URL -u MUSTER_TOKEN_FILE \
    WORKER_UUID="$uuid" ISSUER="$issuer/realms/muster" AUDIENCE=muster HOST=127.0.0.1 PORT="$3" GRPC_PORT="$4" \
    "$root/bin/celfilter" -policy "$here/$name.yaml" >"$scratch/$name.out" 2>"$scratch/$name.log" &
  pids+=($!)
  if [ "$4" = off ]; then
    url=http://$(field http "$scratch/$name.out")/api/filter
  else
    url=grpc://$(field grpc "$scratch/$name.out")
  fi
  "$muster" worker register "$url" --uuid "$uuid" --name "$name" >/dev/null || fail "could not register $name at $url"
}
worker maintainers 0b0f5d3e-7a66-4a4b-9d0f-6f5b0d9a3c11 0 off
worker sections 5d1c7f0a-2f0e-4f43-9b56-0b7f3d1f6c22 off 0

echo "The fleet:"
"$muster" worker list

gzip -dc "$root/examples/debgraph/graph.json.gz" >"$scratch/graph.json"
for person in alice bob; do
  echo
  echo "What $person may see of $(grep -c elementId "$scratch/graph.json") nodes and relationships:"
  "$muster" filter "$scratch/graph.json" --token-file "$scratch/$person.token" -o json >"$scratch/$person.json"
  for kind in node relationship; do
    printf '  %5d %ss\n' "$(grep -oE '"elementId": ?"[45]:' "$scratch/$person.json" | grep -c "$([ $kind = node ] && echo '4:' || echo '5:')")" $kind
  done
done
echo
echo "Why those who are not alice see less; the administrator, who is not alice either, may ask:"
"$muster" filter "$scratch/graph.json" --explain 2>/dev/null | awk 'NR == 1 || $4 == "hidden"' | sed -n '1,6p'

[ "$once" != --once ] || exit 0
echo
echo "It goes on until Ctrl-C. The API is at $MUSTER_URL; a token is printed by: bin/muster dev token alice"
wait "${pids[0]}"
