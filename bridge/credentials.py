"""What Temporal knows a bridge by: texts of the configuration, and files that are read again."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from temporalio.service import TLSConfig

from bridge.errors import EngineError

__all__ = ["CredentialSources", "Credentials", "TlsSources", "read_key"]

_KEY = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What is shown to Temporal; equal ones get in where the others do.

    Attributes:
        api_key: Who we are, if the server knows us by a key.
        tls: Certificates as PEM; `None` is unencrypted.
        headers: What every request carries besides.
    """

    api_key: str | None = field(default=None, repr=False)
    tls: TLSConfig | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class TlsSources:
    """Where certificates come from: PEM, or the file that holds it.

    Attributes:
        authorities: Whom we trust; `None` is whom the system trusts.
        certificate: Our own.
        key: The certificate's.
        server_name: The name to expect in the server's certificate.
    """

    authorities: Path | bytes | None = None
    certificate: Path | bytes | None = None
    key: Path | bytes | None = field(default=None, repr=False)
    server_name: str | None = None

    def read(self) -> TLSConfig:
        """Read what the files hold now.

        Raises:
            EngineError: A file cannot be read.
        """
        return TLSConfig(
            server_root_ca_cert=_pem(self.authorities),
            client_cert=_pem(self.certificate),
            client_private_key=_pem(self.key),
            domain=self.server_name,
        )


@dataclass(frozen=True, slots=True)
class CredentialSources:
    """Where credentials come from.

    Attributes:
        api_key: The key, or the file that holds it.
        tls: Where certificates come from; `None` is unencrypted.
        headers: What every request carries besides.
    """

    api_key: Path | str | None = field(default=None, repr=False)
    tls: TlsSources | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def read(self) -> Credentials:
        """Read what the files hold now.

        Raises:
            EngineError: A file cannot be read, or holds no key.
        """
        return Credentials(_key(self.api_key), self.tls.read() if self.tls else None, self.headers)


def read_key(file: Path) -> str:
    """Return the API key that a file holds; blanks and line ends around it do not count.

    Raises:
        OSError: The file cannot be read.
        ValueError: It holds nothing, or what does not fit in a header; the text does not show it.
    """
    key = file.read_bytes().decode(errors="replace").strip()
    if not key:
        raise ValueError(f"{file} is empty")
    if _KEY.fullmatch(key) is None:
        raise ValueError(f"{file} holds more than one word of visible ASCII")
    return key


def _key(source: Path | str | None) -> str | None:
    if not isinstance(source, Path):
        return source
    try:
        return read_key(source)
    except (OSError, ValueError) as exc:
        raise EngineError(
            f"The API key of Temporal cannot be read: {exc}. "
            "Write the key, and nothing else, into the file that `api_key_file` names."
        ) from exc


def _pem(source: Path | bytes | None) -> bytes | None:
    if not isinstance(source, Path):
        return source
    try:
        return source.read_bytes()
    except OSError as exc:
        raise EngineError(
            f"A certificate for Temporal cannot be read: {exc}. Correct the file, or `tls` of iii-temporal."
        ) from exc
