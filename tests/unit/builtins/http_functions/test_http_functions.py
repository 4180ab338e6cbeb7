"""HTTP-invoked functions without a network (spec 04 §7, §8.7)."""

import json
from collections.abc import Sequence
from typing import Any

import httpcore
import msgspec
import pytest

from bridge.builtins.http_functions import HttpFunctionsSettings
from bridge.builtins.http_functions.guard import UrlGuard, is_public
from bridge.builtins.http_functions.invocation import (
    Secrets,
    decode_invocation,
    request_headers,
    signature,
)
from bridge.builtins.http_functions.network import GuardedNetwork
from bridge.builtins.http_functions.reply import result_of
from bridge.errors import ConfigError, FunctionFailedError, InvalidInputError
from bridge.protocol import payload

PUBLIC = "93.184.215.14"


async def no_lookup(host: str, _: int) -> Sequence[str]:
    raise OSError(f"unexpected lookup of {host}")


def guard_of(lookup: Any = no_lookup, **settings: Any) -> UrlGuard:
    return UrlGuard(HttpFunctionsSettings(**settings), lookup)


def refusal_of(guard: UrlGuard, url: str) -> str:
    with pytest.raises(FunctionFailedError) as caught:
        guard.check(url)
    assert caught.value.failure_code == "url_validation_failed"
    return caught.value.message


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("not a url", "Invalid URL"),
        ("https://", "Invalid URL"),
        ("ftp://example.com/", "Invalid URL"),
        ("file:///etc/passwd", "Invalid URL"),
        ("https://exa mple.com:port/", "Invalid URL"),
        ("http://example.com/", "HTTPS is required"),
        ("https://10.0.0.1/", "Private IP blocked"),
        ("https://172.16.0.1/", "Private IP blocked"),
        ("https://192.168.1.1/", "Private IP blocked"),
        ("https://[::1]/", "Private IP blocked"),
    ],
)
def test_a_url_is_refused_for_the_first_rule_it_breaks(url: str, message: str) -> None:
    assert refusal_of(guard_of(), url).startswith(message)


def test_a_mapped_loopback_address_is_private_without_tls_too() -> None:
    assert refusal_of(guard_of(require_https=False), "http://[::ffff:127.0.0.1]/").startswith("Private IP")


@pytest.mark.parametrize("url", ["https://8.8.8.8/", "https://example.com/a?b=c"])
def test_a_public_url_is_allowed(url: str) -> None:
    guard_of().check(url)


def test_private_addresses_are_allowed_when_the_settings_say_so() -> None:
    guard_of(block_private_ips=False).check("https://10.0.0.1/")


@pytest.mark.parametrize(
    ("allowlist", "host", "is_allowed"),
    [
        (("*.example.com",), "api.example.com", True),
        (("*.example.com",), "example.com", False),
        (("api-[12].example.com",), "api-2.example.com", True),
        (("api-[12].example.com",), "api-3.example.com", False),
        ((), "anything.example", True),
        (("localhost", "127.0.0.1"), "localhost", True),
        (("https://api.example.com/*",), "api.example.com", False),
    ],
)
def test_the_allow_list_looks_at_the_host_alone(
    allowlist: tuple[str, ...], host: str, is_allowed: bool
) -> None:
    guard = guard_of(url_allowlist=allowlist)
    if is_allowed:
        guard.check(f"https://{host}/path")
    else:
        assert refusal_of(guard, f"https://{host}/path").startswith("URL not in allowlist")


def test_a_malformed_glob_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="bracket"):
        guard_of(url_allowlist=("api-[12.example.com",))


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.31.0.1", "192.168.0.1", "169.254.169.254", "255.255.255.255"),
        *("0.0.0.0", "192.0.2.1", "198.51.100.1", "203.0.113.1", "100.64.0.1", "224.0.0.1", "240.0.0.1"),
        *("::1", "::", "fc00::1", "fe80::1", "fe80::1%eth0", "ff02::1", "2001:db8::1"),
        *("::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"),
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", PUBLIC, "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(address)


async def test_one_private_address_of_a_host_is_enough_to_refuse_it() -> None:
    async def lookup(_: str, __: int) -> Sequence[str]:
        return [PUBLIC, "10.0.0.1"]

    with pytest.raises(FunctionFailedError, match="Private IP blocked"):
        await guard_of(lookup).addresses("mixed.example", 443)


async def test_an_unresolvable_host_is_refused() -> None:
    with pytest.raises(FunctionFailedError, match="DNS lookup failed"):
        await guard_of().addresses("nowhere.invalid", 443)


class RecordingNetwork(httpcore.AsyncNetworkBackend):
    def __init__(self, reachable: set[str]) -> None:
        self.reachable = reachable
        self.tried: list[str] = []

    async def connect_tcp(self, host: str, *_: Any, **__: Any) -> Any:
        self.tried.append(host)
        if host not in self.reachable:
            raise httpcore.ConnectError("refused")
        return self


async def test_a_name_that_changes_its_mind_is_judged_by_the_address_in_use() -> None:
    answers = iter([[PUBLIC], ["127.0.0.1"]])

    async def rebinding(_: str, __: int) -> Sequence[str]:
        return next(answers)

    network = GuardedNetwork(guard_of(rebinding))
    network._network = recorder = RecordingNetwork({PUBLIC})
    await network.connect_tcp("rebind.example", 443)
    with pytest.raises(FunctionFailedError, match="Private IP blocked"):
        await network.connect_tcp("rebind.example", 443)
    assert recorder.tried == [PUBLIC]


async def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    async def lookup(_: str, __: int) -> Sequence[str]:
        return ["9.9.9.9", PUBLIC]

    network = GuardedNetwork(guard_of(lookup))
    network._network = recorder = RecordingNetwork({PUBLIC})
    await network.connect_tcp("two.example", 443)
    assert recorder.tried == ["9.9.9.9", PUBLIC]
    recorder.reachable.clear()
    with pytest.raises(httpcore.ConnectError):
        await network.connect_tcp("two.example", 443)


def test_the_signature_matches_the_published_vector() -> None:
    assert signature(b"s3cr3t", "1700000000", b'{"a":1}') == (
        "sha256=c7794b229f55092ec3ef3cb6e82c193f74a014ffab595e5d7cf60ac0c2708361"
    )


def test_the_signature_depends_on_secret_time_and_body() -> None:
    base = signature(b"s", "1", b"{}")
    assert base == signature(b"s", "1", b"{}")
    assert (
        len({base, signature(b"t", "1", b"{}"), signature(b"s", "2", b"{}"), signature(b"s", "1", b"[]")})
        == 4
    )


def headers_of(invocation: dict[str, Any], environ: dict[str, str] | None = None) -> dict[str, str]:
    decoded = decode_invocation(payload.encode({"url": "https://a.example", **invocation}))
    headers = request_headers(
        "billing::charge",
        decoded,
        Secrets(decoded.auth, environ or {}),
        invocation_id="id-1",
        timestamp="1700000000",
        body=b'{"a":1}',
    )
    assert len({name.lower() for name, _ in headers}) == len(headers)
    return dict(headers)


def test_every_request_says_what_is_called_and_when() -> None:
    assert headers_of({}) == {
        "Accept": "*/*",
        "Content-Type": "application/json",
        "x-iii-Function-Path": "billing::charge",
        "x-iii-Invocation-ID": "id-1",
        "x-iii-Timestamp": "1700000000",
    }


def test_a_configured_header_replaces_ours() -> None:
    headers = headers_of({"headers": {"content-type": "application/vnd.x+json", "X-Service": "iii"}})
    assert headers["content-type"] == "application/vnd.x+json"
    assert headers["X-Service"] == "iii"
    assert "Content-Type" not in headers


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ({"type": "bearer", "token_key": "KEY"}, "Authorization", "Bearer s3cr3t"),
        ({"type": "api_key", "header": "X-Key", "value_key": "KEY"}, "X-Key", "s3cr3t"),
        (
            {"type": "hmac", "secret_key": "KEY"},
            "x-iii-Signature",
            "sha256=c7794b229f55092ec3ef3cb6e82c193f74a014ffab595e5d7cf60ac0c2708361",
        ),
    ],
)
def test_each_kind_of_auth_proves_itself_in_a_header(auth: dict[str, str], header: str, value: str) -> None:
    assert headers_of({"auth": auth}, {"KEY": "s3cr3t"})[header] == value


@pytest.mark.parametrize(
    ("auth", "code"),
    [
        ({"type": "bearer", "token_key": "NONE"}, "token_not_found"),
        ({"type": "api_key", "header": "X-Key", "value_key": "NONE"}, "api_key_not_found"),
        ({"type": "hmac", "secret_key": "NONE"}, "secret_not_found"),
    ],
)
def test_a_missing_secret_is_named(auth: dict[str, str], code: str) -> None:
    with pytest.raises(FunctionFailedError, match="NONE") as caught:
        headers_of({"auth": auth})
    assert caught.value.failure_code == code


@pytest.mark.parametrize(
    "invocation",
    [
        {},
        {"url": 7},
        {"url": "https://a", "method": "get"},
        {"url": "https://a", "timeout_ms": 0},
        {"url": "https://a", "auth": {"type": "basic"}},
        {"url": "https://a", "headers": {"a": 1}},
    ],
)
def test_a_malformed_invocation_is_refused(invocation: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        decode_invocation(payload.encode(invocation))


def test_an_invocation_has_defaults() -> None:
    invocation = decode_invocation(payload.encode({"url": "https://a", "auth": None, "headers": None}))
    assert (invocation.method, invocation.timeout_s) == ("POST", 30.0)


@pytest.mark.parametrize(
    ("status", "body", "result"),
    [
        (200, b'{"a": 1}', b'{"a": 1}'),
        (201, b"null", b"null"),
        (200, b"", b""),
        (204, b"", b""),
        (302, b"<html>", b""),
        (304, b"", b""),
        (302, b'{"moved":1}', b'{"moved":1}'),
    ],
)
def test_a_reply_that_is_no_error_is_the_result(status: int, body: bytes, result: bytes) -> None:
    assert bytes(result_of(status, body)) == result


@pytest.mark.parametrize(
    ("status", "body", "code", "message"),
    [
        (200, b"not-json", "invalid_response", "The reply with status 200"),
        (200, b'{"a":"\xff"}', "invalid_response", "The reply with status 200"),
        (502, b'{"error":{"code":"C","message":"M","x":1}}', "C", "M"),
        (502, b'{"error":{}}', "http_error", "HTTP request failed"),
        (502, b'{"error":"text"}', "http_error", "HTTP request failed"),
        (502, b'{"error":null}', "http_error", "HTTP request failed"),
        (502, b'{"error":{"code":7,"message":[]}}', "http_error", "HTTP request failed"),
        (400, b"text", "http_error", "HTTP 400 Bad Request"),
        (400, b'{"detail":1}', "http_error", "HTTP 400 Bad Request"),
        (500, b"", "http_error", "HTTP 500 Internal Server Error"),
        (599, b"", "http_error", "HTTP 599"),
    ],
)
def test_a_reply_that_is_an_error_fails_the_call(status: int, body: bytes, code: str, message: str) -> None:
    with pytest.raises(FunctionFailedError) as caught:
        result_of(status, body)
    assert caught.value.failure_code == code
    assert caught.value.message.startswith(message)


def test_a_result_is_not_looked_into() -> None:
    reply = json.dumps({"status_code": 404, "body": "x"}).encode()
    assert msgspec.json.decode(result_of(200, reply)) == {"status_code": 404, "body": "x"}
