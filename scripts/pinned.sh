#!/bin/sh
# `sh scripts/pinned.sh FILE [ARGUMENTS]`: runs a script of this repository with the pinned Node.
#
# In a fresh clone there is no such Node yet, and the machine's own may be too old for TypeScript: it
# only has to run npm. So this file is for any sh, and installs what package-lock.json locks where
# that was not done (or was interrupted: npm writes its hidden lock file last). Scripts of packages
# are not run: nothing that is installed needs them (npm-ci(1), --ignore-scripts). The Node is called
# by its own path: npm 9 does not always link it in node_modules/.bin.
set -eu
cd "$(dirname "$0")/.."
case $(uname -m) in
  x86_64) arch=x64 ;;
  aarch64) arch=arm64 ;;
  *) echo "runcell: no support for $(uname -m), only for x86_64 and aarch64" >&2; exit 1 ;;
esac
bin=$PWD/node_modules/node-linux-$arch/bin
if [ ! -x "$bin/node" ] || [ ! -f node_modules/.package-lock.json ]; then
  npm ci --ignore-scripts --no-audit --no-fund >&2
  # The one library of Node's that a small Debian lacks (npm only recommends what brings it).
  if [ -x "$bin/node" ] && ! "$bin/node" --version >/dev/null 2>&1; then
    echo 'installing libatomic1, which Node needs' >&2
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends libatomic1; } >&2 || {
      echo 'runcell: Node does not start; install libatomic1 (Fedora: libatomic)' >&2
      exit 1
    }
  fi
fi
if [ ! -x "$bin/node" ]; then
  echo "runcell: npm ci did not bring $bin/node" >&2
  exit 1
fi
PATH=$bin:$PWD/node_modules/.bin:$PATH
export PATH
exec node "$@"
