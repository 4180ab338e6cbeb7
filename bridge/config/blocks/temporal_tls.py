"""`iii-temporal.tls`: the encrypted way to Temporal."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, FilePath, SecretStr, ValidationInfo, field_validator

from bridge.config.block import Block, Name, conflict

__all__ = ["TlsBlock"]


class TlsBlock(Block):
    """The encrypted way to Temporal; an empty mapping uses the system's certificate authorities.

    Attributes:
        enabled: Whether there is encryption at all; off beats even an API key.
        ca_data: Certificates to trust, as PEM text instead of a file.
        cert_data: Our own certificate, likewise.
        key_data: Its key, likewise.
        ca_file: Certificates to trust, PEM.
        cert_file: Our own certificate, PEM.
        key_file: Its key, PEM.
        server_name: The name to expect in the server's certificate.
    """

    enabled: bool = True
    # The texts come first: what is wrong with a pair is said about the files.
    ca_data: Name | None = None
    cert_data: Name | None = None
    key_data: SecretStr | None = None
    ca_file: Annotated[FilePath | None, Field(strict=False)] = None
    cert_file: Annotated[FilePath | None, Field(strict=False)] = None
    key_file: Annotated[FilePath | None, Field(strict=False, validate_default=True)] = None
    server_name: Name | None = None

    @field_validator("ca_file", "cert_file", "key_file")
    @classmethod
    def _is_not_given_as_text_too(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        text_key = str(info.field_name).replace("_file", "_data")
        if file is not None and info.data.get(text_key) is not None:
            raise conflict(f"`{info.field_name}` and `{text_key}` exclude each other", "give one of them")
        return file

    @field_validator("key_file")
    @classmethod
    def _goes_with_a_certificate(cls, key_file: Path | None, info: ValidationInfo) -> Path | None:
        if not {"cert_file", "cert_data", "key_data"} <= info.data.keys():
            return key_file  # one of them is wrong by itself
        has_certificate = (info.data["cert_file"] or info.data["cert_data"]) is not None
        if has_certificate != ((key_file or info.data["key_data"]) is not None):
            raise conflict("`cert_file` and `key_file` go together", "give both or neither")
        return key_file
