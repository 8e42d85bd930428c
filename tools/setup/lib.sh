# Read by the set-up scripts; not run by itself. Every script says on standard
# error what it does, may be run again at any time, and prints on standard
# output one line: where what it installed is found.

cache=${XDG_CACHE_HOME:-$HOME/.cache}/muster

say() { echo "set-up: $*" >&2; }

die() {
  say "$*"
  exit 1
}

# as_root COMMAND...: runs it as root, directly or through sudo.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    sudo -n "$@"
  else
    die "\"$*\" needs root, and neither are we root nor does sudo work without a password; run it yourself and try again"
  fi
}

# debian PACKAGE...: installs the packages that are missing. Package lists are
# fetched only when a package cannot be found in those that are there.
debian() {
  local missing=() p
  for p in "$@"; do
    dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$p")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null 2>&1 ||
    die "wants the Debian packages ${missing[*]}, and there is no apt-get; install their like with your system's package manager"
  say "installing ${missing[*]} with apt-get"
  if ! as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" >&2; then
    say "that failed; fetching new package lists and trying again"
    as_root apt-get update >&2 || die "apt-get update failed; is Debian's archive reachable?"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" >&2 ||
      die "apt-get could not install ${missing[*]}"
  fi
}
