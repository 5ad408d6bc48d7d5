#!/bin/sh
# `sh scripts/pinned.sh FILE.ts [ARGUMENTS]`: runs a script of this repository with the pinned Node.
#
# In a fresh clone there is no such Node yet, and the machine's own may be too old for TypeScript: it
# only has to run npm. So this file is for any sh, and installs what package-lock.json locks where
# that was not done (or was interrupted: npm writes its hidden lock file last). Scripts of packages
# are not run: nothing that is installed needs them (npm-ci(1), --ignore-scripts).
set -eu
cd "$(dirname "$0")/.."
node=node_modules/.bin/node
if [ ! -x "$node" ] || [ ! -f node_modules/.package-lock.json ]; then
  npm ci --ignore-scripts --no-audit --no-fund >&2
fi
if [ ! -x "$node" ]; then
  echo "runcell: npm ci brought no Node for $(uname -m): x86_64 and aarch64 Linux with glibc are supported" >&2
  exit 1
fi
exec "$node" "$@"
