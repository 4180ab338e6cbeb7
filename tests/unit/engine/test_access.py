from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from bridge.engine.access import (
    INFRASTRUCTURE,
    OPEN,
    Access,
    AccessRules,
    ExposedIds,
    ExposedMetadata,
    Pattern,
    Rights,
)
from bridge.protocol import payload
from bridge.protocol.payload import ABSENT


def guarded(*exposed: ExposedIds | ExposedMetadata, **rights: Any) -> Access:
    return Access(AccessRules(is_guarded=True, exposed=exposed), Rights(**rights))


def may_call(
    access: Access, function_id: str, namespace: str = "default", metadata: Iterable[msgspec.Raw] = ()
) -> bool:
    return access.refusal_of_call(function_id, namespace, metadata) is None


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("a::b", ["a::b"], ["a::bc", "xa::b", ""]),
        ("a::*", ["a::", "a::b", "a::b::c"], ["a:", "b::a::"]),
        ("*::b", ["::b", "a::b"], ["a::b::c", ":b"]),
        ("*mid*", ["mid", "a mid b", "midmid"], ["mi d", ""]),
        ("a*b*c", ["abc", "a1b2c", "abbc"], ["acb", "abcd", "ac"]),
        ("aba*aba", ["abaaba", "aba-aba"], ["aba", "ababa"]),
        ("a**b", ["ab", "a*b"], ["a"]),
        ("*", ["", "anything"], []),
        ("a.c", ["a.c"], ["abc"]),
        ("", [""], ["a"]),
    ],
)
def test_a_star_is_any_run_of_characters_and_the_only_wildcard(
    pattern: str, matching: list[str], others: list[str]
) -> None:
    assert [text for text in matching if not Pattern(pattern).matches(text)] == []
    assert [text for text in others if Pattern(pattern).matches(text)] == []


def test_a_listener_without_rules_allows_everything() -> None:
    assert may_call(OPEN, "anything", "anywhere")
    assert OPEN.may_bind("anything")
    assert OPEN.rights.allow_trigger_type_registration
    assert OPEN.refusal_of_namespace("anywhere") is None
    assert OPEN.refusal_of_binding("engine::register_trigger", "default", ()) is None


def test_rules_that_expose_nothing_allow_nothing_but_the_infrastructure() -> None:
    assert not may_call(guarded(), "api::x")
    assert not may_call(guarded(), "engine::functions::list")
    assert not may_call(guarded(), "engine::channels::createx")
    assert all(may_call(guarded(), each) for each in INFRASTRUCTURE)


def test_what_is_forbidden_by_name_is_refused_whatever_else_allows_it() -> None:
    for function_id in ("api::x", "engine::log::info"):
        access = guarded(
            ExposedIds(Pattern("*")),
            forbidden_functions=frozenset({function_id}),
            allowed_functions=frozenset({function_id}),
            namespaces={"default": ("*",)},
        )
        refusal = access.refusal_of_call(function_id, "default", ())
        assert refusal is not None
        assert refusal.failure_code == "FORBIDDEN"
        assert function_id in refusal.message
        assert "rbac.forbidden_functions" in refusal.message
        assert "expose_functions" not in refusal.message


def test_a_refusal_says_where_to_expose_the_function() -> None:
    refusal = guarded().refusal_of_call("api::x", "default", ())
    assert refusal is not None
    assert refusal.message == "function 'api::x' not allowed (add to rbac.expose_functions)"


def test_allowed_ids_are_exact_and_of_the_default_namespace() -> None:
    access = guarded(allowed_functions=frozenset({"api::x", "other::*"}))
    assert may_call(access, "api::x")
    assert not may_call(access, "api::x", "shop")
    assert not may_call(access, "other::y")


def test_grants_of_a_namespace_are_patterns_and_hold_there_only() -> None:
    access = guarded(namespaces={"shop": ("order::*", "pay")})
    assert may_call(access, "order::new", "shop")
    assert may_call(access, "pay", "shop")
    assert not may_call(access, "order::new")
    assert not may_call(access, "refund", "shop")


def test_naming_a_namespace_alone_grants_nothing() -> None:
    assert not may_call(guarded(namespaces={"shop": ()}), "pay", "shop")


def test_an_exposed_pattern_holds_in_its_namespace_only() -> None:
    access = guarded(ExposedIds(Pattern("api::*")), ExposedIds(Pattern("pay"), "shop"))
    assert may_call(access, "api::x")
    assert not may_call(access, "api::x", "shop")
    assert may_call(access, "pay", "shop")
    assert not may_call(access, "pay")


@pytest.mark.parametrize(
    ("wanted", "metadata", "is_met"),
    [
        ({"public": True}, {"public": True, "more": 1}, True),
        ({"public": True}, {"public": 1}, False),
        ({"level": 1}, {"level": 1.0}, False),
        ({"public": True}, {}, False),
        ({"absent": None}, {}, False),
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": 2, "x": 1}}, True),
        ({"tier": Pattern("free*")}, {"tier": "free-1"}, True),
        ({"tier": Pattern("free*")}, {"tier": "paid"}, False),
        ({"tier": Pattern("*")}, {"tier": 5}, False),
        ({"tier": "free*"}, {"tier": "free-1"}, False),
        ({"a": 1, "b": 2}, {"a": 1}, False),
        ({}, {"a": 1}, False),
        ({"a": 1}, [1], False),
        ({"a": 1}, None, False),
    ],
)
def test_exposed_metadata_must_be_met_key_by_key(wanted: dict[str, Any], metadata: Any, is_met: bool) -> None:
    access = guarded(ExposedMetadata(wanted))
    assert may_call(access, "x", metadata=[payload.encode(metadata)]) is is_met


def test_exposed_metadata_must_be_met_by_every_offer_and_by_one_at_least() -> None:
    access = guarded(ExposedMetadata({"public": True}))
    public = payload.encode({"public": True})
    assert may_call(access, "x", metadata=[public, public])
    assert not may_call(access, "x", metadata=[public, ABSENT])
    assert not may_call(access, "x", metadata=[])


def test_exposed_metadata_holds_in_its_namespace_only() -> None:
    access = guarded(ExposedMetadata({"public": True}, "shop"))
    public = payload.encode({"public": True})
    assert may_call(access, "x", "shop", [public])
    assert not may_call(access, "x", metadata=[public])


def test_a_trigger_may_call_what_the_session_may_but_no_function_of_the_engine() -> None:
    access = guarded(ExposedIds(Pattern("*")), forbidden_functions=frozenset({"private"}))
    assert access.refusal_of_binding("api::x", "default", ()) is None
    assert access.refusal_of_binding("engine::register_trigger", "default", ()) is not None
    refusal = access.refusal_of_binding("private", "shop", ())
    assert refusal is not None
    assert refusal.message == "function 'private' not allowed in namespace 'shop'"


def test_a_session_registers_in_the_namespaces_it_was_given() -> None:
    access = guarded(namespaces={"b": (), "a": ("*",)})
    assert access.refusal_of_namespace("a") is None
    refusal = access.refusal_of_namespace("default")
    assert refusal is not None
    assert refusal.message == "namespace 'default' not allowed for this session (permitted: a, b)"
    assert guarded().refusal_of_namespace("any") is None


def test_trigger_types_are_any_unless_they_are_listed() -> None:
    assert guarded().may_bind("http")
    assert guarded(allowed_trigger_types=frozenset({"http"})).may_bind("http")
    assert not guarded(allowed_trigger_types=frozenset({"http"})).may_bind("cron")
    assert not guarded(allowed_trigger_types=frozenset()).may_bind("http")


def test_a_prefix_begins_the_id_of_what_is_registered() -> None:
    assert guarded(function_registration_prefix="acme").stored_id("x") == "acme::x"
    assert guarded().stored_id("x") == "x"


def test_rights_have_the_published_defaults() -> None:
    rights = msgspec.json.decode(b'{"unknown": 1}', type=Rights)
    assert rights == Rights()
    assert not rights.allow_trigger_type_registration
    assert rights.allow_function_registration
    assert rights.allowed_trigger_types is None
    assert rights.context == msgspec.Raw(b"{}")


@pytest.mark.parametrize(
    "answer",
    [b"[]", b'{"allowed_functions": "x"}', b'{"function_registration_prefix": ""}', b'{"namespaces": []}'],
)
def test_rights_of_another_shape_are_none(answer: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(answer, type=Rights)
