#!/bin/sh
# Installs the edge runner with @MODEL@ from this folder; needs Python @PYTHON@ and no network.
# Usage: ./install.sh [--accept-licence NAME] [FOLDER]
set -eu

model='@MODEL@'
python_wanted='@PYTHON@'
licence='@LICENCE@'
restricts='@RESTRICTS@'

here=$(cd "$(dirname "$0")" && pwd -P)
say() { printf 'install: %s\n' "$*"; }
refuse() { printf 'install: %s\n' "$*" >&2; exit 1; }

accepted=
folder=
while [ $# -gt 0 ]; do
  case $1 in
    --accept-licence) [ $# -gt 1 ] || refuse "--accept-licence wants a name"; accepted=$2; shift 2 ;;
    --help) sed -n '2,3s/^# //p' "$0"; exit 0 ;;
    -*) refuse "no option $1" ;;
    *) folder=$1; shift ;;
  esac
done
folder=${folder:-$HOME/shipjury-edge}
case $folder in /*) ;; *) folder=$PWD/$folder ;; esac

[ "$(uname -s) $(uname -m)" = '@SYSTEM@ @MACHINE@' ] ||
  refuse "this bundle is for @SYSTEM@ on @MACHINE@, and this is $(uname -s) on $(uname -m)"
if [ -n "$restricts" ] && [ "$accepted" != "$licence" ]; then
  refuse "$model is under $licence: $restricts." \
    "If you may and want to use it so: ./install.sh --accept-licence $licence"
fi

cd "$here"
say "checking every file"
sha256sum --check --quiet --strict SHA256SUMS ||
  refuse "this bundle is not as it was made; nothing was installed"

python=
for candidate in "${PYTHON:-}" "python$python_wanted" python3 python; do
  [ -n "$candidate" ] || continue
  found=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
  [ "$found" = "$python_wanted" ] && python=$candidate && break
done
[ -n "$python" ] || refuse "Python $python_wanted is needed and not here; name one: PYTHON=/path/to/python ./install.sh"

say "installing into $folder"
mkdir -p "$folder/bin" "$folder/models/$model"
"$python" -m venv "$folder/venv" ||
  refuse "this Python makes no virtual environments (Debian: apt install python$python_wanted-venv)"
"$folder/venv/bin/python" -m pip --isolated --disable-pip-version-check install --quiet --no-index --no-deps \
  --find-links wheels --require-hashes --requirement requirements.txt
for file in "models/$model"/*; do
  # a second name where that can be, else a copy: weights are large
  ln -f "$file" "$folder/models/$model/" 2>/dev/null || cp "$file" "$folder/models/$model/"
done
cp models.toml manifest.json "$folder/"

cat >"$folder/bin/edge-runner" <<WRAPPER
#!/bin/sh
# The edge runner with what came with it; the environment may say otherwise.
export EDGE_MODELS_DIR="\${EDGE_MODELS_DIR:-$folder/models}" EDGE_MODEL_LIST="\${EDGE_MODEL_LIST:-$folder/models.toml}"
export EDGE_MODEL="\${EDGE_MODEL:-$model}" HF_HUB_OFFLINE=1
exec "$folder/venv/bin/edge-runner" "\$@"
WRAPPER
chmod +x "$folder/bin/edge-runner"
# holds the weights against the list once more, and notes their hash beside them
"$folder/bin/edge-runner" pull "$model" ${accepted:+--accept-licence "$accepted"} >/dev/null
say "done. Serve it: $folder/bin/edge-runner serve"
