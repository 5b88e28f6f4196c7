"""Listeners whose TLS fails: a certificate that nobody has vouched for, and a handshake that is broken off."""

import asyncio
import datetime
import ipaddress
import ssl
import tempfile
from pathlib import Path

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


async def listen(app: web.AppRunner) -> dict[str, str]:
    """Start both listeners; their addresses by name."""
    with tempfile.TemporaryDirectory() as folder:
        context = _self_signed(Path(folder))
    site = web.TCPSite(app, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = app.addresses[-1][1]
    broken = await asyncio.start_server(_break_off, "127.0.0.1", 0)
    return {
        "self_signed": f"https://127.0.0.1:{port}",
        "broken_off": f"https://127.0.0.1:{broken.sockets[0].getsockname()[1]}",
    }


async def _break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(64)
    writer.transport.abort()


def _self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "simulated provider")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "both.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    return context
