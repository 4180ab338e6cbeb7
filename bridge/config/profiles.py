"""Profiles of Temporal's own tools (`temporal.toml`): what they say, as settings of our block."""

from collections.abc import Iterator
from pathlib import Path

from temporalio.envconfig import ClientConfig, ClientConfigProfile, ClientConfigTLS, DataSource

from bridge.config.environment import Setting
from bridge.config.problems import InvalidConfigError, Problem, suggest

__all__ = ["profile_settings"]

_DEFAULT_PROFILE = "default"


def profile_settings(profile: str | None, file: Path | None) -> Iterator[Setting]:
    """Read what a profile says.

    Args:
        profile: Its name; `None` is `default`, as for Temporal's own tools.
        file: Where it stands; `None` is where Temporal's own tools keep the file of this user.

    Raises:
        InvalidConfigError: The file cannot be read, or has no such profile.
    """
    name = profile or _DEFAULT_PROFILE
    source = str(file) if file else "temporal.toml"
    try:
        # The variables are ours to read (`environment.py`); without any the SDK only knows the usual place.
        known = ClientConfig.load(config_source=file, override_env_vars={}).profiles
    except (RuntimeError, OSError, ValueError) as exc:
        raise InvalidConfigError(
            [
                Problem(
                    what=f"{source} cannot be read: {exc}",
                    source=source,
                    allowed="TOML with profiles, as `temporal config set` writes it",
                )
            ]
        ) from exc
    if name not in known:
        raise InvalidConfigError(
            [
                Problem(
                    what=f"there is no profile '{name}' in {source}",
                    source=source,
                    found=", ".join(sorted(known)) or "no profiles",
                    remedy=suggest(name, known) or "correct `profile` or `config_file` of iii-temporal",
                )
            ]
        )
    return _settings(known[name], f"profile '{name}' of {source}")


def _settings(profile: ClientConfigProfile, source: str) -> Iterator[Setting]:
    values: dict[tuple[str, ...], object] = {
        ("address",): profile.address,
        ("namespace",): profile.namespace,
        ("api_key",): profile.api_key,
    }
    if profile.tls is not None:
        values |= dict(_tls(profile.tls))
    values |= {("grpc_meta", name): value for name, value in profile.grpc_meta.items()}
    for path, value in values.items():
        if value is not None:
            yield Setting(path=path, value=value, source=source)


def _tls(tls: ClientConfigTLS) -> Iterator[tuple[tuple[str, ...], object]]:
    yield ("tls", "enabled"), not tls.disabled
    yield ("tls", "server_name"), tls.server_name
    yield _certificate("ca", tls.server_root_ca_cert)
    yield _certificate("cert", tls.client_cert)
    yield _certificate("key", tls.client_private_key)


def _certificate(key: str, given: DataSource | None) -> tuple[tuple[str, ...], object]:
    if isinstance(given, Path):
        return ("tls", f"{key}_file"), str(given)
    return ("tls", f"{key}_data"), given.decode() if isinstance(given, bytes) else given
