#!/usr/bin/env bash
# Show what Muster does, on this machine alone: a gateway with an issuer of its own,
# two workers (one called over REST, one over gRPC), a third one that makes Graph
# Access Rules of a table of permissions, the contract's documented payloads, and a
# graph of Debian's packages as alice and bob may see it: before there is any rule,
# after the rules were made, and after a permission was withdrawn; and what a grant
# opens. Then it stays up until Ctrl-C.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$(dirname "$here")")
bin=$root/bin
data=$root/data/demo
once=false
http=127.0.0.1:8080 grpc=127.0.0.1:8081 ops=127.0.0.1:9090 issuer=127.0.0.1:8180
rest_port=9001 grpc_port=9002 loader_port=9003
rest_uuid=5e0c7a52-6a5b-4f6e-9c40-0d4be6a1c001
grpc_uuid=5e0c7a52-6a5b-4f6e-9c40-0d4be6a1c002
loader_uuid=5e0c7a52-6a5b-4f6e-9c40-0d4be6a1c003

usage() {
  cat <<END
usage: examples/demo/run.sh [--once] [--free-ports] [--bin DIR] [--data DIR]
  --once        end after the demonstration, with code 0, and keep nothing
  --free-ports  take free ports instead of the usual ones (so does --once)
  --bin DIR     where muster, celfilter and ruleloader are (default bin/)
  --data DIR    where the store is kept (default data/demo)
END
}

fail() { echo "demo: $*" >&2; exit 1; }

free_ports() {
  http=127.0.0.1:0 grpc=127.0.0.1:0 ops=127.0.0.1:0 issuer=127.0.0.1:0
  rest_port=0 grpc_port=0 loader_port=0
}

while (($#)); do
  case $1 in
    --once) once=true; free_ports ;;
    --free-ports) free_ports ;;
    --bin | --data)
      (($# > 1)) || { usage >&2; exit 2; }
      if [[ $1 == --bin ]]; then bin=$2; else data=$2; fi
      shift ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done

for program in muster celfilter ruleloader; do
  [[ -x $bin/$program ]] || fail "$bin/$program is not there: make build"
done
muster=$bin/muster

# Variables of the caller's must not turn this into something else.
while IFS='=' read -r name _; do
  case $name in MUSTER_*) unset "$name" ;; esac
done < <(env)

work=$(mktemp -d)
if $once; then data=$work/data; fi
pids=()

cleanup() {
  trap - EXIT
  trap '' INT TERM
  if ((${#pids[@]})); then
    kill "${pids[@]}" 2>/dev/null || true # those that have ended already are not there
    wait "${pids[@]}" 2>/dev/null || true # their codes have been judged, or do not matter any more
  fi
  rm -rf "$work"
}
trap cleanup EXIT
trap 'echo; echo "demo: stopping"; exit 0' INT TERM

# launch NAME COMMAND...: run it in the background and wait for its listening line,
# which goes to $work/NAME.out. Each has a process group of its own, so that a
# Ctrl-C reaches this script alone, which then ends them in order.
launch() {
  local name=$1
  shift
  set -m
  "$@" >"$work/$name.out" 2>"$work/$name.err" &
  set +m
  local pid=$!
  pids+=("$pid")
  for ((i = 0; i < 300; i++)); do
    [[ -s $work/$name.out ]] && return
    if ! kill -0 "$pid" 2>/dev/null; then
      cat "$work/$name.err" >&2
      fail "$name did not start; the reason stands above (--free-ports avoids ports that are taken)"
    fi
    sleep 0.1
  done
  cat "$work/$name.err" >&2
  fail "$name did not say within 30 s where it listens"
}

# address NAME KEY prints an address of NAME's listening line.
address() { sed -n 's/.*"'"$2"'":"\([^"]*\)".*/\1/p' "$work/$1.out"; }

mkdir -p "$data"
MUSTER_DRAIN_GRACE=0s launch gateway "$muster" dev --data-dir "$data" \
  --http "$http" --grpc "$grpc" --ops "$ops" --issuer "$issuer"
http=$(address gateway http) grpc=$(address gateway grpc) ops=$(address gateway ops) issuer=$(address gateway issuer)
url=http://$http

for who in alice bob admin; do
  "$muster" dev token "$who" --issuer "$issuer" >"$work/$who.token"
done
# as WHO ARGS...: run muster with that person's token.
as() { local who=$1; shift; "$muster" --url "$url" --token-file "$work/$who.token" "$@"; }

echo "== Three workers =="
common=(env ISSUER="http://$issuer/realms/muster" AUDIENCE=muster HOST=127.0.0.1)
launch rest "${common[@]}" WORKER_UUID=$rest_uuid PORT=$rest_port GRPC_PORT=off \
  "$bin/celfilter" -policy "$root/examples/debgraph/sections.yaml"
launch grpc "${common[@]}" WORKER_UUID=$grpc_uuid PORT=off GRPC_PORT=$grpc_port OPS_PORT=0 \
  "$bin/celfilter" -policy "$root/examples/debgraph/details.yaml"

# The loader reads a copy, from which a permission is withdrawn later.
cp "$here/permissions.yaml" "$here/permissions.csv" "$work/"
launch loader "${common[@]}" WORKER_UUID=$loader_uuid PORT=$loader_port OPS_PORT=0 GATEWAY_URL="$url" \
  "$bin/ruleloader" -mapping "$work/permissions.yaml"

# register UUID NAME URL: a store that is kept knows the worker already.
register() {
  if as admin worker get "$1" >/dev/null 2>&1; then
    as admin worker update "$1" --worker-url "$3" >/dev/null
    as admin worker resume "$1" >/dev/null
  else
    as admin worker register "$3" --uuid "$1" --name "$2" --timeout 10s >/dev/null
  fi
}
register $rest_uuid sections "http://$(address rest http)/api/filter"
register $grpc_uuid details "grpc://$(address grpc grpc)"
register $loader_uuid permissions "http://$(address loader http)/api/transform"
as admin worker list

gzip -dc "$root/examples/debgraph/graph.json.gz" >"$work/graph.json"

# sees WHO: how much of the graph of packages somebody sees, in one line.
sees() {
  local who=$1 took
  as $who filter "$work/graph.json" >"$work/$who.table" 2>"$work/$who.decision" || { cat "$work/$who.decision" >&2; exit 1; }
  took=$(sed -n 's/.*, \([0-9.]*[mµn]*s\)$/\1/p' "$work/$who.decision")
  awk -v who="$who" -v took="$took" '
    NR > 1 {
      verdict = /  hidden  / ? "hidden" : /  stripped  / ? "stripped" : "visible"
      count[$1, verdict]++
    }
    END {
      printf "%-8s %8d %9d %9d   %10d %10d   %s\n", who, count["node", "visible"], count["node", "stripped"],
        count["node", "hidden"], count["relationship", "visible"] + count["relationship", "stripped"], count["relationship", "hidden"], took
    }' "$work/$who.table"
}

everybody_sees() {
  printf '%-8s %28s   %21s   %s\n' "" "nodes" "relationships" ""
  printf '%-8s %8s %9s %9s   %10s %10s   %s\n' who visible stripped hidden visible hidden took
  for who in admin alice bob; do sees $who; done
}

# transform: have the worker make rules of its table, and wait for it.
transform() { as admin transform run permissions --wait || fail "the rules could not be made; the reason stands above"; }

echo
echo "== A graph of Debian's packages, before there is a rule for it =="
# A store that is kept has the rules of the last demonstration.
mapfile -t old < <(as admin rule list --name-prefix debian- --limit 0 -o json | sed -n 's/^ *"name": "\(debian-[^"]*\)",*$/\1/p')
if ((${#old[@]})); then as admin rule delete "${old[@]}" 2>/dev/null; fi
as admin model put "$here/model.json" --rebind >/dev/null 2>"$work/model.err" || { cat "$work/model.err" >&2; exit 1; }
everybody_sees

echo
echo "== A rule transformation reads $(wc -l <"$work/permissions.csv") lines of permissions and posts rules =="
as admin transform put permissions --worker permissions --client rule-loader --secret-file rule-loader \
  --groups all --entities all --relationships all >/dev/null
transform
as admin rule list --limit 3

echo
echo "== The documented payloads, as alice and bob see them =="
for kind in nodes relationships; do
  for who in alice bob; do
    echo "-- $kind, $who"
    as $who filter "$root/examples/contract/filter-$kind-request.json"
  done
done

echo
echo "== A graph of Debian's packages =="
everybody_sees
echo
echo "Some of what bob does not see, or not whole:"
awk 'NR == 1 || / stripped / && stripped++ < 2 || / hidden / && hidden++ < 2' "$work/bob.table"

echo
echo "== Engineering may no longer see sections: the line is withdrawn, the transformation run again =="
sed -i '\|^/engineering,Section,|d' "$work/permissions.csv"
transform
everybody_sees

echo
echo "== Bob may see no worker, until a group of his is granted one =="
# A store that is kept has the group of the last demonstration.
if as admin admin group members caretakers >/dev/null 2>&1; then as admin admin group delete caretakers --yes 2>/dev/null; fi
as bob worker list
as admin admin group create caretakers --description 'look after the worker that hides sections' >/dev/null
as admin admin group add-member caretakers bob@example.org >/dev/null
as admin admin grant create caretakers worker $rest_uuid >/dev/null
as bob worker list
as admin admin audit list --limit 3
as admin admin audit verify

if $once; then
  echo
  echo "demo: done"
  exit 0
fi

cat <<END

== It stays up until Ctrl-C ==
API      $url          (gRPC $grpc)
metrics  http://$ops/metrics
issuer   http://$issuer/realms/muster

In another terminal:
  export MUSTER_URL=$url
  export MUSTER_TOKEN=\$($muster dev token admin --issuer http://$issuer)
  $muster worker list
  $muster worker pause details --for 5m
  $muster rule check $work/graph.json --username alice --group /engineering | head
  $muster transform log permissions
  $muster admin user list
  gzip -dc $root/examples/debgraph/graph.json.gz | $muster filter - | head
  $muster conform sections --samples $root/examples/contract/filter-nodes-request.json
END

# Whichever of the three ends first ends the demonstration. Waiting in turns lets
# the traps run at once.
while kill -0 "${pids[@]}" 2>/dev/null; do
  wait -n "${pids[@]}" && code=0 || code=$?
  break
done
for name in gateway rest grpc loader; do
  [[ -s $work/$name.err ]] && tail -n 3 "$work/$name.err" >&2
done
fail "one of the processes ended by itself (code ${code:-?}); its last words stand above"
