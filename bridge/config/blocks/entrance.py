"""How clients get into a listener: keys that every block with a port has. Ours; iii knows neither."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, FilePath, SecretStr, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from bridge.certificates import CertificateFiles, server_context
from bridge.config.block import Block, conflict

__all__ = ["ServerTlsBlock", "Tokens"]

_TOKEN = re.compile(r"[!-~]+")


def _fits_a_header(token: SecretStr) -> SecretStr:
    if not _TOKEN.fullmatch(token.get_secret_value()):
        raise PydanticCustomError(
            "token",
            "a token is empty, or cannot be sent in a header",
            {"allowed": "visible ASCII, no blanks"},
        )
    return token


def _not_empty(tokens: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    if not tokens:
        raise conflict("`tokens` lists no token", "list one, or leave the key out to let everyone in")
    return tokens


Tokens = Annotated[
    tuple[Annotated[SecretStr, AfterValidator(_fits_a_header)], ...],
    Field(strict=False, description="a list of at least one token"),
    AfterValidator(_not_empty),
]
"""Bearer tokens, each of which lets a client in. An empty list would let everyone in, so it is an error."""


class ServerTlsBlock(Block):
    """The encryption of a listener.

    Attributes:
        cert_file: Its certificate and those between it and the authority, PEM.
        key_file: The certificate's key, PEM, without a passphrase.
        client_ca_file: Who signs the certificates that clients must show, PEM; `None` asks for none.
    """

    cert_file: Annotated[FilePath, Field(strict=False)]
    key_file: Annotated[FilePath, Field(strict=False)]
    client_ca_file: Annotated[FilePath | None, Field(strict=False)] = None

    @field_validator("key_file")
    @classmethod
    def _goes_with_the_certificate(cls, key_file: Path, info: ValidationInfo) -> Path:
        if cert_file := info.data.get("cert_file"):
            try:
                server_context(CertificateFiles(cert_file, key_file))
            except OSError as exc:
                raise conflict(
                    f"`cert_file` and `key_file` cannot be used: {exc}",
                    "give a PEM certificate and its own key, readable and without a passphrase",
                ) from exc
        return key_file

    @field_validator("client_ca_file")
    @classmethod
    def _holds_certificates(cls, client_ca_file: Path | None, info: ValidationInfo) -> Path | None:
        if client_ca_file is not None and {"cert_file", "key_file"} <= info.data.keys():
            try:
                server_context(
                    CertificateFiles(info.data["cert_file"], info.data["key_file"], client_ca_file)
                )
            except OSError as exc:
                raise conflict(
                    f"`client_ca_file` cannot be used: {exc}", "give a file of PEM certificates"
                ) from exc
        return client_ca_file
