"""The certificates of encrypted listeners: loaded at the start, and again whenever their files change."""

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import structlog

__all__ = ["LOOK_INTERVAL_S", "CertificateFiles", "Certificates", "server_context"]

log = structlog.get_logger("bridge.tls")

LOOK_INTERVAL_S = 10.0
"""How often files with secrets are looked at."""

_Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """What an encrypted listener is made of; all are PEM.

    Attributes:
        cert_file: Its certificate, followed by those between it and the authority.
        key_file: The certificate's key, without a passphrase.
        client_ca_file: Who signs the certificates of clients; `None` asks them for none.
    """

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None = None

    def stamp(self) -> _Stamp:
        """Return what changes when the certificate or its key is replaced, also behind a symbolic link."""
        found = [path.stat() for path in (self.cert_file, self.key_file)]
        return tuple((each.st_ino, each.st_mtime_ns, each.st_size) for each in found)


def server_context(files: CertificateFiles) -> ssl.SSLContext:
    """Load the files.

    Raises:
        OSError: A file cannot be read, is not PEM, or the key is not the certificate's. `ssl.SSLError` is
            one of these errors.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_pair(context, files)
    if files.client_ca_file is not None:
        context.load_verify_locations(files.client_ca_file)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class Certificates:
    """The certificates of one bridge.

    Args:
        look_interval_s: How often the files are looked at.
    """

    def __init__(self, *, look_interval_s: float = LOOK_INTERVAL_S) -> None:
        self._look_interval_s = look_interval_s
        self._served: list[_Served] = []

    def open(self, files: CertificateFiles) -> ssl.SSLContext:
        """Load a listener's files; connections made later have what the files hold then.

        Raises:
            OSError: They cannot be used.
        """
        served = _Served(files, server_context(files), files.stamp())
        self._served.append(served)
        return served.context

    async def watch(self) -> NoReturn:
        """Look at the files now and then.

        Cancellation: safe.
        """
        while True:
            await asyncio.sleep(self._look_interval_s)
            await self.refresh()

    async def refresh(self) -> None:
        """Load again what has changed; files that cannot be used leave the certificate as it was."""
        for served in self._served:
            await served.refresh()


@dataclass(slots=True)
class _Served:
    """A certificate in use.

    Attributes:
        stamp: Of the files as they were looked at last.
    """

    files: CertificateFiles
    context: ssl.SSLContext
    stamp: _Stamp

    async def refresh(self) -> None:
        try:
            stamp = await asyncio.to_thread(self.files.stamp)
            if stamp == self.stamp:
                return
            # One file may be replaced before the other: only a pair that fits gets into the context in use.
            await asyncio.to_thread(server_context, self.files)
            _load_pair(self.context, self.files)
        except OSError as exc:
            log.warning(
                "certificate not replaced: its files cannot be used; the old one stays",
                cert_file=str(self.files.cert_file),
                reason=str(exc),
            )
        else:
            self.stamp = stamp
            log.info("certificate replaced", cert_file=str(self.files.cert_file))


def _load_pair(context: ssl.SSLContext, files: CertificateFiles) -> None:
    # Without a passphrase of ours OpenSSL would ask for one on the terminal, and wait.
    context.load_cert_chain(files.cert_file, files.key_file, password="")  # nosec B106
