"""Installs a bundle and serves from it; run in a network namespace of its own, with the standard library only.

``python airgapped.py FOLDER_OF_BUNDLE TARGET`` prints what the node answered, as JSON.
"""

import errno
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

SIOCSIFFLAGS, IFF_UP = 0x8914, 1
PORT, OPERATORS = 8180, 8181


def main() -> None:
    unpacked, target = Path(sys.argv[1]), Path(sys.argv[2])
    there_is_no_network()
    loopback_up()
    home = {"PATH": os.environ["PATH"], "HOME": str(target.parent)}
    installed = subprocess.run(
        ["sh", str(unpacked / "install.sh"), str(target)],
        env=home | {"PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    if installed.returncode:
        sys.exit(f"install.sh: {installed.stdout}{installed.stderr}")
    with (target / "log").open("wb") as log:
        node = subprocess.Popen([target / "bin" / "edge-runner", "serve"], env=home, stdout=log, stderr=log)
    try:
        until_ready(node, target / "log")
        answer = ask()
    finally:
        node.send_signal(signal.SIGTERM)
        ended = node.wait(60)
    json.dump({"said": installed.stdout, "answer": answer, "ended": ended, "packages": packages(target)}, sys.stdout)


def there_is_no_network() -> None:
    with socket.socket() as probe:
        try:
            probe.connect(("192.0.2.1", 443))
        except OSError as error:
            if error.errno == errno.ENETUNREACH:
                return
    sys.exit("there is a network here")


def loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


def until_ready(node: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and node.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{OPERATORS}/edge/readyz", timeout=5)
        except (OSError, urllib.error.URLError):
            time.sleep(0.1)
        else:
            return
    sys.exit(f"the node was not ready: {log.read_text()[-2000:]}")


def ask() -> object:
    body = {
        "model": "smollm2-135m-instruct",
        "messages": [{"role": "user", "content": "Say hello."}],
        "max_tokens": 8,
        "temperature": 0,
    }
    request = urllib.request.Request(
        f"http://127.0.0.1:{PORT}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    return json.load(urllib.request.urlopen(request, timeout=120))  # noqa: S310  # made above


def packages(target: Path) -> list[str]:
    """What was installed where: nothing may come from outside of the target."""
    script = "import edge_runner, shipjury_delivery; print(edge_runner.__file__); print(shipjury_delivery.__file__)"
    asked = subprocess.run(
        [target / "venv" / "bin" / "python", "-c", script], env={}, capture_output=True, text=True, check=True
    )
    return asked.stdout.split()


main()
