import json
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import RemoteProtocolError
from bridge.protocol import codec, inbound, outbound

ID = "5b0c2d2e-0000-4000-8000-000000000001"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
TEXT = st.text(max_size=20)
UUIDS = st.uuids().map(str)
ERRORS = st.fixed_dictionaries({"code": TEXT, "message": TEXT}, optional={"stacktrace": TEXT | st.none()})
ACTIONS = st.just({"type": "void"}) | TEXT.map(lambda queue: {"type": "enqueue", "queue": queue})

# What each type of frame requires and what it may carry (spec 01 §2).
FIELDS = {
    "registerfunction": (
        {"id": TEXT},
        {"description": TEXT, "request_format": JSON, "response_format": JSON, "metadata": JSON},
    ),
    "unregisterfunction": ({"id": TEXT}, {"namespace": TEXT}),
    "registerservice": ({"id": TEXT}, {"name": TEXT, "description": TEXT, "parent_service_id": TEXT}),
    "registertriggertype": (
        {"id": TEXT, "description": TEXT},
        {"trigger_request_format": JSON, "call_request_format": JSON, "namespace": TEXT},
    ),
    "unregistertriggertype": ({"id": TEXT}, {"namespace": TEXT}),
    "registertrigger": (
        {"id": TEXT, "trigger_type": TEXT, "function_id": TEXT},
        {"config": JSON, "metadata": JSON, "namespace": TEXT, "trigger_namespace": TEXT},
    ),
    "unregistertrigger": ({"id": TEXT}, {"trigger_type": TEXT}),
    "triggerregistrationresult": (
        {"id": TEXT, "trigger_type": TEXT, "function_id": TEXT},
        {"error": ERRORS},
    ),
    "invokefunction": (
        {"function_id": TEXT},
        {
            "data": JSON,
            "invocation_id": UUIDS,
            "traceparent": TEXT,
            "baggage": TEXT,
            "action": ACTIONS,
            "metadata": JSON,
            "namespace": TEXT,
        },
    ),
    "invocationresult": ({"invocation_id": UUIDS, "function_id": TEXT}, {"result": JSON, "error": ERRORS}),
    "reattach": ({"previous_worker_id": TEXT}, {"reattach_token": TEXT}),
    "ping": ({}, {}),
    "pong": ({}, {}),
}


@st.composite
def frames(draw):
    kind = draw(st.sampled_from(sorted(FIELDS)))
    required, optional = FIELDS[kind]
    known = draw(st.fixed_dictionaries(required, optional={k: v | st.none() for k, v in optional.items()}))
    unknown = draw(st.dictionaries(st.text(min_size=1, max_size=5).map("x-{}".format), JSON, max_size=2))
    entries = [*known.items(), *unknown.items(), ("type", kind)]
    draw(st.randoms(use_true_random=False)).shuffle(entries)
    return dict(entries)


def plain(value):
    """Return a decoded message as the frame it came from would say it."""
    if isinstance(value, msgspec.Raw):
        return json.loads(bytes(value)) if bytes(value) else None
    if isinstance(value, msgspec.Struct):
        fields = {name: plain(getattr(value, name)) for name in value.__struct_fields__}
        tag = value.__struct_config__.tag
        return {name: each for name, each in fields.items() if each is not None} | (
            {"type": tag} if tag else {}
        )
    return value


def without_nulls(value):
    return {k: without_nulls(v) if k in ("error", "action") else v for k, v in value.items() if v is not None}


@given(frame=frames(), binary=st.booleans(), indent=st.sampled_from([None, 2]))
def test_every_frame_decodes_to_what_it_says(frame, binary, indent):
    text = json.dumps(frame, indent=indent, ensure_ascii=False)

    message = codec.decode(text.encode() if binary else text)

    known = {k: v for k, v in without_nulls(frame).items() if not k.startswith("x-")}
    assert plain(message) == known


@given(frame=frames(), seed=st.integers(0, 2**32))
def test_a_damaged_frame_is_refused_or_has_valid_payloads(frame, seed):
    dice = random.Random(seed)
    damaged = list(json.dumps(frame))
    for _ in range(dice.randint(1, 4)):
        damaged[dice.randrange(len(damaged))] = dice.choice(['"', "{", "}", ",", "\\", "0", "\x01", "", "é"])
    try:
        message = codec.decode("".join(damaged))
    except RemoteProtocolError:
        return
    for name in message.__struct_fields__:
        value = getattr(message, name)
        if isinstance(value, msgspec.Raw) and bytes(value):
            json.loads(bytes(value))


def test_a_payload_keeps_its_bytes():
    message = codec.decode('{"type":"invokefunction","function_id":"f","data": {"b": 1.50, "a":[1e2]} }')

    assert isinstance(message, inbound.InvokeFunction)
    assert bytes(message.data) == b'{"b": 1.50, "a":[1e2]}'


def test_missing_data_is_null():
    message = codec.decode('{"type":"invokefunction","function_id":"f"}')

    assert isinstance(message, inbound.InvokeFunction)
    assert bytes(message.data) == b"null"


def test_a_missing_trigger_config_is_null():
    message = codec.decode('{"type":"registertrigger","id":"t","trigger_type":"x","function_id":"f"}')

    assert isinstance(message, inbound.RegisterTrigger)
    assert bytes(message.config) == b"null"


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "not json",
        "[]",
        "null",
        '"text"',
        "{}",
        '{"type":"unheardof"}',
        '{"type":"observe"}',
        '{"type":1}',
        '{"type":"registerfunction"}',
        '{"type":"registerfunction","id":null}',
        '{"type":"registerfunction","id":7}',
        '{"type":"registertriggertype","id":"t"}',
        '{"type":"invokefunction","function_id":"f","invocation_id":"not-a-uuid"}',
        '{"type":"invokefunction","function_id":"f","action":{"type":"unheardof"}}',
        '{"type":"invokefunction","function_id":"f","action":{"type":"enqueue"}}',
        '{"type":"invokefunction","function_id":"f","data":NaN}',
        '{"type":"invokefunction","function_id":"f","data":{"a":}}',
        f'{{"type":"invocationresult","function_id":"f","invocation_id":"{ID}","error":"text"}}',
        '{"type":"invocationresult","function_id":"f"}',
        '{"type":"invocationresult","function_id":"f","invocation_id":"nope"}',
        '{"type":"ping"}{"type":"ping"}',
    ],
)
def test_a_frame_that_is_not_of_the_protocol_is_refused(frame):
    with pytest.raises(RemoteProtocolError):
        codec.decode(frame)


def test_deep_nesting_is_refused_with_a_remedy():
    with pytest.raises(RemoteProtocolError, match="flatten"):
        codec.decode(
            '{"type":"invokefunction","function_id":"f","data":' + "[" * 100_000 + "]" * 100_000 + "}"
        )


def test_bytes_that_are_not_text_are_refused_even_inside_a_payload():
    with pytest.raises(RemoteProtocolError):
        codec.decode(b'{"type":"invokefunction","function_id":"f","data":"\xff\xfe"}')


def test_a_broken_call_is_found_if_it_can_be_answered():
    call = codec.find_undecodable_call(
        f'{{"function_id":"f","invocation_id":"{ID}","data":1,"action":{{"type":"new"}},"type":"invokefunction"}}'
    )

    assert call is not None
    assert (call.invocation_id, call.function_id) == (ID, "f")


@pytest.mark.parametrize(
    "frame",
    [
        "not json",
        f'{{"type":"invokefunction","invocation_id":"{ID}"}}',
        '{"type":"invokefunction","function_id":"f","action":{"type":"new"}}',
        f'{{"type":"registerfunction","function_id":"f","invocation_id":"{ID}"}}',
        b'{"type":"invokefunction","function_id":"\xff"}',
    ],
)
def test_what_cannot_be_answered_is_no_broken_call(frame):
    assert codec.find_undecodable_call(frame) is None


@pytest.mark.parametrize(
    ("message", "frame"),
    [
        (
            outbound.WorkerRegistered("w", "t"),
            {"type": "workerregistered", "worker_id": "w", "reattach_token": "t"},
        ),
        (
            outbound.CallFunction("i", "f", msgspec.Raw(b"null")),
            {"type": "invokefunction", "invocation_id": "i", "function_id": "f", "data": None},
        ),
        (
            outbound.CallResult("i", "f"),
            {"type": "invocationresult", "invocation_id": "i", "function_id": "f"},
        ),
        (
            outbound.CallResult("i", "f", result=msgspec.Raw(b"null")),
            {"type": "invocationresult", "invocation_id": "i", "function_id": "f", "result": None},
        ),
        (
            outbound.CallResult("i", "f", error=inbound.ErrorBody("c", "m")),
            {
                "type": "invocationresult",
                "invocation_id": "i",
                "function_id": "f",
                "error": {"code": "c", "message": "m"},
            },
        ),
        (
            outbound.TriggerBound("t", "x", "f", msgspec.Raw(b"{}")),
            {"type": "registertrigger", "id": "t", "trigger_type": "x", "function_id": "f", "config": {}},
        ),
        (
            outbound.TriggerUnbound("t", "x"),
            {"type": "unregistertrigger", "id": "t", "trigger_type": "x"},
        ),
        (
            outbound.TriggerRejected("t", "x", "f", inbound.ErrorBody("c", "m", "s")),
            {
                "type": "triggerregistrationresult",
                "id": "t",
                "trigger_type": "x",
                "function_id": "f",
                "error": {"code": "c", "message": "m", "stacktrace": "s"},
            },
        ),
        (
            outbound.RegistrationRejected("c", "default", "w", function_id="f"),
            {
                "type": "registrationrejected",
                "code": "c",
                "namespace": "default",
                "owner_worker_id": "w",
                "function_id": "f",
            },
        ),
        (outbound.PongReply(), {"type": "pong"}),
    ],
)
def test_a_message_says_what_it_has_and_leaves_out_the_rest(message, frame):
    assert json.loads(codec.encode(message)) == frame


@given(JSON)
def test_a_payload_travels_verbatim(value):
    raw = msgspec.Raw(json.dumps(value, indent=1).encode())

    assert bytes(raw) in codec.encode(outbound.CallFunction("i", "f", raw))
