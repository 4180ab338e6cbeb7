import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.builtins.update_ops import OpError, UpdateResult, apply_update, decode_ops
from bridge.errors import InvalidInputError

Op = dict[str, Any]

MISSING = object()
MAX_I64 = 2**63 - 1
POLLUTING = ["__proto__", "constructor", "prototype"]


def op_maker(kind: str, field: str) -> Any:
    def make(*path: Any, **fields: Any) -> Op:
        *place, argument = path
        return {"type": kind, field: argument} | ({"path": place[0]} if place else {}) | fields

    return make


S, M, A = op_maker("set", "value"), op_maker("merge", "value"), op_maker("append", "value")
I, D = op_maker("increment", "by"), op_maker("decrement", "by")  # noqa: E741 - the letters of the spec
R = op_maker("remove", "path")


def encode(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def update(start: Any, *ops: Op, dotted_paths: bool = False) -> UpdateResult:
    current = None if start is MISSING else encode(start)
    return apply_update(current, decode_ops(encode(ops)), dotted_paths=dotted_paths)


def codes(result: UpdateResult) -> list[str]:
    return [f"{error.op_index}:{error.code}" for error in result.errors]


def nested(depth: int) -> Any:
    return {"a": nested(depth - 1)} if depth else 1


APPENDIX_A = [
    (MISSING, [], {}, []),
    (MISSING, [R("x")], {}, []),
    (MISSING, [A("", "hello")], "hello", []),
    (MISSING, [A("", {"k": 1})], [{"k": 1}], []),
    (MISSING, [I("", 4)], 4, []),
    (MISSING, [M(["a", "b"], {"x": 1})], {"a": {"b": {"x": 1}}}, []),
    ({}, [A("t", "hi"), A("e", {"k": 1})], {"t": "hi", "e": [{"k": 1}]}, []),
    ({"t": "hi"}, [A("t", " you")], {"t": "hi you"}, []),
    ({"t": "hi"}, [A("t", 5)], {"t": "hi"}, ["0:append.type_mismatch"]),
    ({"e": {}}, [A("e", "c")], {"e": {}}, ["0:append.type_mismatch"]),
    ({"e": []}, [A("e", ["x", "y"])], {"e": [["x", "y"]]}, []),
    ({"s": None}, [A("s", "c")], {"s": "c"}, []),
    ({"s": {"b": None}}, [A(["s", "b"], "c")], {"s": {"b": "c"}}, []),
    ({"s": {}}, [A(["s", "b"], "c")], {"s": {"b": ["c"]}}, []),
    ({"a": [1, 2]}, [A(["a", "b"], 42)], {"a": {"b": [42]}}, []),
    ([1, 2], [A(["a", "b"], "x")], [1, 2], ["0:append.target_not_object"]),
    ([], [A("x")], ["x"], []),
    (
        {"n": 2, "w": "v"},
        [I("n", 3), I("w", 3), I("m", 3)],
        {"n": 5, "w": "v", "m": 3},
        ["1:increment.not_number"],
    ),
    ({"n": None}, [D("n", 1)], {"n": None}, ["0:decrement.not_number"]),
    ({}, [D("n", 3)], {"n": -3}, []),
    ({"n": MAX_I64}, [I("n", 1)], {"n": 2**63}, []),
    ({"n": 1.5}, [I("n", 2), D("n", 1)], {"n": 2.5}, []),
    (5, [D("", 3)], 2, []),
    ("leaf", [S("f", 1)], "leaf", ["0:set.target_not_object"]),
    (None, [S("f", 1)], None, ["0:set.target_not_object"]),
    ({"k": 1}, [{"type": "set", "path": ""}], None, []),
    ({"k": 1}, [R("")], None, []),
    ({"a": 1}, [M({"b": 2})], {"a": 1, "b": 2}, []),
    ("leaf", [M({"a": 1})], "leaf", []),
    ("leaf", [M("k", {"a": 1})], {"k": {"a": 1}}, []),
    ({"s": {"x": "old", "y": 1}}, [M("s", {"x": "new"})], {"s": {"x": "new", "y": 1}}, []),
    ({"s": {"b": "g"}}, [M(["s", "b"], {"x": 1})], {"s": {"b": {"x": 1}}}, []),
    ({"a": {"b": 1}}, [M(["a.b"], {"x": 1})], {"a": {"b": 1}, "a.b": {"x": 1}}, []),
    ({"a": 1}, [M("f", "no")], {"a": 1}, ["0:merge.value.not_an_object"]),
    ({}, [M("f", {"__proto__": {}})], {}, ["0:merge.value.proto_polluted"]),
    ({}, [A(["a", "constructor", "b"], 1)], {}, ["0:append.path.proto_polluted"]),
    ({}, [M(["a", ""], {})], {}, ["0:merge.path.empty_segment"]),
    (
        {"w": "v", "e": {}},
        [I("w", 1), S("__proto__", True), A("e", 1), S("ok", True)],
        {"w": "v", "e": {}, "ok": True},
        ["0:increment.not_number", "1:set.path.proto_polluted", "2:append.type_mismatch"],
    ),
]


@pytest.mark.parametrize(
    ("start", "ops", "expected", "errors"),
    APPENDIX_A,
    ids=[str(row) for row in range(1, len(APPENDIX_A) + 1)],
)
def test_vectors_of_appendix_a(start: Any, ops: list[Op], expected: Any, errors: list[str]) -> None:
    result = update(start, *ops)
    assert result.new_value == encode(expected)
    assert codes(result) == errors


def test_appendix_a_is_complete() -> None:
    assert len(APPENDIX_A) == 38


@pytest.mark.parametrize(
    ("start", "ops", "expected"),
    [
        ({"events": [1]}, [A("events", {"k": 1}), A("events", [2])], {"events": [1, {"k": 1}, [2]]}),
        ({"s": None}, [A("s", {"k": 1})], {"s": [{"k": 1}]}),
        ({"s": {"b": None}}, [A(["s", "b"], {"k": 1})], {"s": {"b": [{"k": 1}]}}),
        (None, [A("x")], "x"),
        (None, [A(1)], [1]),
        (None, [A([], "x")], "x"),
        ("a", [A("b")], "ab"),
        ({"user": {"name": "n"}}, [A("user.name", "x")], {"user": {"name": "n"}, "user.name": "x"}),
        ({}, [A(["a"], "x")], {"a": "x"}),
        ({}, [A(["a", "b"], "x")], {"a": {"b": ["x"]}}),
        ({}, [A(["a", "b"], {"k": 1})], {"a": {"b": [{"k": 1}]}}),
        (MISSING, [A(["a", "b"], "x")], {"a": {"b": ["x"]}}),
        ({"a": "leaf"}, [A(["a", "b"], 1)], {"a": {"b": [1]}}),
        ({"a": {"b": []}}, [A(["a", "b"], "x")], {"a": {"b": ["x"]}}),
        ({"a": [1]}, [A(["a", "0"], "x")], {"a": {"0": ["x"]}}),
        ({}, [A("a", None)], {"a": [None]}),
        (MISSING, [I("counter", 1)], {"counter": 1}),
        ({"n": -1.5}, [D("n", 1)], {"n": -2.5}),
        (7, [I("", 1)], 8),
        (MISSING, [D("", 4)], -4),
        ({"user.name": 1}, [I("user.name", 1), S("a.b", 1)], {"user.name": 2, "a.b": 1}),
        ({"a": 1, "b": 2}, [R("a"), R("missing")], {"b": 2}),
        ({"a": {"b": 1}}, [R("a.b")], {"a": {"b": 1}}),
        ({"a": 1}, [S("a", {"x": None})], {"a": {"x": None}}),
        ({"a": 1}, [{"type": "set", "path": "a"}], {"a": None}),
        ({"a": 1}, [S("", [1])], [1]),
        ({"s": {"a": 1}}, [M("s", {"b": 2}), M(["s"], {"c": 3})], {"s": {"a": 1, "b": 2, "c": 3}}),
        ({"s": None}, [M(["s", "t"], {"b": 2})], {"s": {"t": {"b": 2}}}),
        ({"s": 5, "t": 1}, [M(["s", "t"], {"b": 2})], {"s": {"t": {"b": 2}}, "t": 1}),
        ({"s": {"t": "leaf", "u": 1}}, [M(["s", "t"], {"b": 2})], {"s": {"t": {"b": 2}, "u": 1}}),
        ({"s": [1]}, [M("s", {"b": 2})], {"s": {"b": 2}}),
        ({"s": {"b": {"x": 1}}}, [M("s", {"b": {"y": 1}})], {"s": {"b": {"y": 1}}}),
        ({"a": 1}, [M({"a": None})], {"a": None}),
        (None, [M(["k"], {"a": 1})], {"k": {"a": 1}}),
        ([1], [M({"a": 1})], [1]),
        (MISSING, [M({"a": 1})], {"a": 1}),
        ({}, [M("", {"a": 1}), M([], {"b": 2}), M(None, {"c": 3})], {"a": 1, "b": 2, "c": 3}),
        ({}, [M("f", {"old": 1}), R("f"), M("f", {"new": 1})], {"f": {"new": 1}}),
        (
            {},
            [S("a", {"__proto__": 1}), A("b", {"constructor": 1})],
            {"a": {"__proto__": 1}, "b": [{"constructor": 1}]},
        ),
        ({"b": 1, "a": {"d": 1, "c": 2}}, [S("0", 1)], {"b": 1, "a": {"d": 1, "c": 2}, "0": 1}),
        ({"": 1}, [S("a", 2)], {"": 1, "a": 2}),
        ({}, [M({"": 1})], {"": 1}),
    ],
)
def test_operations_that_succeed(start: Any, ops: list[Op], expected: Any) -> None:
    assert update(start, *ops) == UpdateResult(encode(expected))


@pytest.mark.parametrize("value", [1, 1.5, True, {}, {"a": 1}])
@pytest.mark.parametrize(
    ("wrap", "path"), [(lambda v: {"f": v}, "f"), (lambda v: {"g": {"f": v}}, ["g", "f"])]
)
def test_append_takes_no_number_boolean_or_object(wrap: Any, path: Any, value: Any) -> None:
    result = update(wrap(value), A(path, "x"))
    assert (result.new_value, codes(result)) == (encode(wrap(value)), ["0:append.type_mismatch"])


@pytest.mark.parametrize("value", [5, None, ["x"], {"k": 1}])
@pytest.mark.parametrize(
    ("wrap", "path"), [(lambda v: v, ""), (lambda v: {"f": v}, "f"), (lambda v: {"g": {"f": v}}, ["g", "f"])]
)
def test_only_text_lengthens_text(wrap: Any, path: Any, value: Any) -> None:
    result = update(wrap("hi"), A(path, value))
    assert (result.new_value, codes(result)) == (encode(wrap("hi")), ["0:append.type_mismatch"])


@pytest.mark.timeout(60)  # copying the text for each append would take minutes
@pytest.mark.parametrize(("wrap", "path"), [(lambda v: v, ""), (lambda v: {"g": {"f": v}}, ["g", "f"])])
def test_many_appends_to_a_long_text_do_not_copy_it_each_time(wrap: Any, path: Any) -> None:
    ops = decode_ops(encode([A(path, "y")] * 200_000))
    result = apply_update(encode(wrap("x" * 10_000_000)), ops)
    assert result == UpdateResult(encode(wrap("x" * 10_000_000 + "y" * 200_000)))


@pytest.mark.parametrize("value", [1, True, {}, {"a": 1}])
def test_append_to_such_a_root_is_a_mismatch(value: Any) -> None:
    result = update(value, A("x"))
    assert (result.new_value, codes(result)) == (encode(value), ["0:append.type_mismatch"])


@pytest.mark.parametrize("root", [1, "leaf", None, True, [1], []])
@pytest.mark.parametrize("op", [S("f", 1), I("f", 1), D("f", 1), R("f"), A("f", 1), A(["f", "g"], 1)])
def test_only_an_object_has_fields(root: Any, op: Op) -> None:
    result = update(root, op)
    assert (result.new_value, codes(result)) == (encode(root), [f"0:{op['type']}.target_not_object"])


@pytest.mark.parametrize("value", ["1", None, True, False, [1], {}])
@pytest.mark.parametrize("op", [I, D])
@pytest.mark.parametrize("by", [0, 1])
def test_only_numbers_can_be_counted(value: Any, op: Any, by: int) -> None:
    result = update({"f": value}, op("f", by))
    assert result.new_value == encode({"f": value})
    assert codes(result) == [f"0:{op('f', by)['type']}.not_number"]
    assert codes(update(value, op("", by))) == codes(result)


def test_a_root_once_touched_is_no_number() -> None:
    for touch in (R("x"), M({}), S("", {})):
        assert codes(update(MISSING, touch, I("", 4))) == ["1:increment.not_number"]
        assert codes(update(MISSING, touch, A("x"))) == ["1:append.type_mismatch"]


def test_a_failed_operation_leaves_a_missing_root_untouched() -> None:
    result = update(MISSING, S("__proto__", 1), M("no"), I("", 4))
    assert result.new_value == b"4"
    assert codes(result) == ["0:set.path.proto_polluted", "1:merge.value.not_an_object"]


@pytest.mark.parametrize(
    ("start", "op", "total"),
    [
        (2**63, I("n", MAX_I64), 2**64 - 1),
        (2**64 - 1, D("n", 1), 2**64 - 2),
        (-(2**63), I("n", 0), -(2**63)),
        (0, D("n", -(2**63)), 2**63),
        (2**64 - 1, D("n", MAX_I64), 2**63),
        (-1, D("n", MAX_I64), -(2**63)),
        (2**53, I("n", 1), 2**53 + 1),
    ],
)
def test_integers_stay_exact(start: int, op: Op, total: int) -> None:
    assert update({"n": start}, op) == UpdateResult(encode({"n": total}))


def test_a_missing_field_can_be_decremented_to_two_to_the_sixty_third() -> None:
    assert update({}, D("n", -(2**63))) == UpdateResult(encode({"n": 2**63}))


@pytest.mark.parametrize(("start", "op"), [(2**64 - 1, I("n", 1)), (-(2**63), D("n", 1))])
def test_integers_beyond_sixty_four_bits_are_refused(start: int, op: Op) -> None:
    result = update({"n": start}, op)
    assert (result.new_value, codes(result)) == (encode({"n": start}), [f"0:{op['type']}.not_number"])


@given(st.integers(-(2**63), 2**64 - 1), st.integers(-(2**63), MAX_I64))
def test_counting_is_exact_or_refused(start: int, by: int) -> None:
    for op, total in ((I("n", by), start + by), (D("n", by), start - by)):
        result = update({"n": start}, op)
        fits = -(2**63) <= total < 2**64
        assert result.new_value == encode({"n": total if fits else start})
        assert len(result.errors) == (not fits)


def test_integers_no_64_bits_hold_become_doubles() -> None:
    huge = b'{"a":[18446744073709551616,{"b":-9223372036854775809}],"n":100000000000000000000}'
    result = apply_update(huge, decode_ops(encode([I("n", 1), S("s", 2**64), S("kept", 2**64 - 1)])))
    assert result.new_value == (
        b'{"a":[1.8446744073709552e19,{"b":-9.223372036854776e18}],"n":1e20,'
        b'"s":1.8446744073709552e19,"kept":18446744073709551615}'
    )


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1" + "0" * 400, "1" + "0" * 9000])
def test_a_number_no_double_holds_rejects_the_call(number: str) -> None:
    with pytest.raises(InvalidInputError, match="a value of the update"):
        apply_update(b"{}", decode_ops(b'[{"type":"set","path":"a","value":[%b]}]' % number.encode()))
    with pytest.raises(InvalidInputError, match="the stored value"):
        apply_update(number.encode(), ())


def test_endless_nesting_rejects_the_call() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    with pytest.raises(InvalidInputError):
        decode_ops(b'[{"type":"set","path":"a","value":%b}]' % deep)
    with pytest.raises(InvalidInputError, match="the stored value"):
        apply_update(deep, ())


def append_at_growing_depths() -> None:
    path = encode(["a"] * 32)
    for depth in range(500, 1000, 10):  # how deep is too deep depends on the caller's own depth
        deep = b"[" * depth + b"]" * depth
        apply_update(b"{}", decode_ops(b'[{"type":"append","path":%b,"value":%b}]' % (path, deep)))


def test_nesting_the_value_too_deeply_rejects_the_call() -> None:
    with pytest.raises(InvalidInputError, match="nests the value too deeply"):
        append_at_growing_depths()


def test_text_that_is_not_utf_8_rejects_the_call() -> None:
    with pytest.raises(InvalidInputError, match="ops of the update"):
        decode_ops(b'[{"type":"remove","path":"\xff"}]')
    with pytest.raises(InvalidInputError, match="a value of the update"):
        apply_update(b"{}", decode_ops(b'[{"type":"set","path":"a","value":"\xff"}]'))


@pytest.mark.parametrize(
    "ops",
    [
        "null",
        "{}",
        "[null]",
        '[{"path":"a","value":1}]',
        '[{"type":"SET","path":"a"}]',
        '[{"type":"push","path":"a","value":1}]',
        *(f'[{{"type":"{kind}","by":1,"value":1}}]' for kind in ("set", "increment", "decrement", "remove")),
        *(
            f'[{{"type":"{kind}","path":null,"by":1}}]'
            for kind in ("set", "increment", "decrement", "remove")
        ),
        *(
            f'[{{"type":"{kind}","path":["a"],"by":1}}]'
            for kind in ("set", "increment", "decrement", "remove")
        ),
        *(f'[{{"type":"{kind}","path":"a"}}]' for kind in ("increment", "decrement", "merge", "append")),
        *(f'[{{"type":"{kind}","path":["a",1],"value":{{}}}}]' for kind in ("merge", "append")),
        *(f'[{{"type":"{kind}","path":7,"value":{{}}}}]' for kind in ("merge", "append")),
        *(
            f'[{{"type":"increment","path":"a","by":{by}}}]'
            for by in ("1.5", "2.0", "1e3", '"1"', "true", "null", 2**63, -(2**63) - 1)
        ),
        '[{"type":"set","path":"ok","value":1},{"type":"remove"}]',
    ],
)
def test_ops_of_another_shape_reject_the_call(ops: str) -> None:
    with pytest.raises(InvalidInputError, match="ops of the update"):
        decode_ops(ops.encode())


def test_unknown_fields_are_ignored() -> None:
    assert update({}, S("a", 1, comment="x")) == UpdateResult(b'{"a":1}')


@pytest.mark.parametrize("name", POLLUTING)
@pytest.mark.parametrize("op", [S, M, I, D, A])
def test_a_polluting_name_is_no_path(name: str, op: Any) -> None:
    argument = {"x": 1} if op is M else 1
    result = update(MISSING, op(name, argument))
    assert (result.new_value, codes(result)) == (b"{}", [f"0:{op(1)['type']}.path.proto_polluted"])
    assert name in result.errors[0].message


@pytest.mark.parametrize("name", POLLUTING)
def test_a_polluting_name_is_refused_anywhere_in_a_path(name: str) -> None:
    for path in (["a", name], [name, "a"], ["a", name, "b"]):
        for op in (M(path, {}), A(path, 1)):
            result = update(MISSING, op)
            assert (result.new_value, codes(result)) == (b"{}", [f"0:{op['type']}.path.proto_polluted"])
    assert codes(update({name: 1}, R(name))) == ["0:remove.path.proto_polluted"]


@pytest.mark.parametrize("kind", ["merge", "append"])
def test_the_limits_of_array_paths(kind: str) -> None:
    op = {"type": kind, "value": {}}
    assert codes(update({}, op | {"path": ["a"] * 32})) == []
    assert codes(update({}, op | {"path": ["a"] * 33})) == [f"0:{kind}.path.too_deep"]
    assert codes(update({}, op | {"path": ["é" * 128]})) == []
    assert codes(update({}, op | {"path": ["é" * 128 + "a"]})) == [f"0:{kind}.path.segment_too_long"]
    assert codes(update({}, op | {"path": ["__proto__", ""]})) == [f"0:{kind}.path.proto_polluted"]
    assert codes(update({}, op | {"path": ["", "__proto__"]})) == [f"0:{kind}.path.empty_segment"]


@pytest.mark.parametrize("op", [S("a" * 257, 1), I("a" * 257, 1), D("a" * 257, 1), R("a" * 257)])
def test_the_limit_of_a_name(op: Op) -> None:
    assert codes(update({}, op)) == [f"0:{op['type']}.path.segment_too_long"]
    assert codes(update({}, op | {"path": "a" * 256})) == []


def test_the_limits_of_a_merged_value() -> None:
    assert codes(update({}, M(nested(16)))) == []
    assert codes(update({}, M(nested(17)))) == ["0:merge.value.too_deep"]
    assert codes(update({}, M({"a": [[[]]] * 2 + [nested(14)]}))) == []
    assert codes(update({}, M({"a": [nested(15)]}))) == ["0:merge.value.too_deep"]
    assert codes(update({}, M({str(number): 1 for number in range(1024)}))) == []
    assert codes(update({}, M({str(number): 1 for number in range(1025)}))) == ["0:merge.value.too_many_keys"]
    assert codes(update({}, M({"a": {"__proto__": 1}}))) == []


@pytest.mark.parametrize("name", POLLUTING)
def test_a_polluting_key_is_not_merged(name: str) -> None:
    result = update({}, M({"ok": 1, name: nested(20)}))
    assert (result.new_value, codes(result)) == (b"{}", ["0:merge.value.proto_polluted"])
    assert name in result.errors[0].message


@pytest.mark.parametrize("value", [1, "a", None, True, [{}]])
@pytest.mark.parametrize("start", [{}, "leaf"])
def test_only_objects_are_merged(start: Any, value: Any) -> None:
    assert codes(update(start, M(value))) == ["0:merge.value.not_an_object"]


def test_an_error_names_its_operation_its_path_and_the_documentation() -> None:
    result = update({"user.name": "n"}, S("ok", 1), I("user.name", 1))
    (error,) = msgspec.json.decode(msgspec.json.encode(result.errors))
    assert "user.name" in error.pop("message")
    assert error == {
        "op_index": 1,
        "code": "increment.not_number",
        "doc_url": "https://iii.dev/docs/workers/iii-state#error-codes",
    }


def test_a_message_stays_short_for_an_endless_path() -> None:
    (error,) = update({}, A(["a" * 10_000] * 40, 1)).errors
    assert "aaa" in error.message
    assert len(error.message) < 500


@pytest.mark.parametrize(
    ("start", "ops", "expected", "errors"),
    [
        ({}, [S("a.b", 1)], {"a": {"b": 1}}, []),
        ({"a": 5}, [S("a.b", 1)], {"a": {"b": 1}}, []),
        ({"a": {"b": 1}}, [I("a.b", 2), D("a.c", 2)], {"a": {"b": 3, "c": -2}}, []),
        ({"a": {"b": 1, "c": 2}}, [R("a.b"), R("a.x.y"), R("x.y")], {"a": {"c": 2}}, []),
        ({"a": 5}, [R("a.b")], {"a": 5}, []),
        ({}, [M("a.b", {"x": 1})], {"a": {"b": {"x": 1}}}, []),
        ({}, [A("a.b", "x")], {"a": {"b": ["x"]}}, []),
        ({}, [A(["a.b"], "x"), M(["c.d"], {})], {"a.b": "x", "c.d": {}}, []),
        ({"k": 1}, [S("", 2)], 2, []),
        ("leaf", [S("a.b", 1)], "leaf", ["0:set.target_not_object"]),
        ({}, [S("a..b", 1)], {}, ["0:set.path.empty_segment"]),
        ({}, [I(".a", 1)], {}, ["0:increment.path.empty_segment"]),
        ({}, [S(".".join("a" * 33), 1)], {}, ["0:set.path.too_deep"]),
        ({}, [D("a.__proto__", 1)], {}, ["0:decrement.path.proto_polluted"]),
    ],
)
def test_dotted_paths_walk(start: Any, ops: list[Op], expected: Any, errors: list[str]) -> None:
    result = update(start, *ops, dotted_paths=True)
    assert (result.new_value, codes(result)) == (encode(expected), errors)


names = st.sampled_from(["", "a", "b", "a.b", "__proto__"])
paths = names | st.lists(names, max_size=3) | st.none()
values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("xy", max_size=2),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(names, children, max_size=3),
    max_leaves=6,
)
any_ops = st.one_of(
    st.builds(S, names, values),
    st.builds(I, names, st.integers(-3, 3)),
    st.builds(D, names, st.integers(-3, 3)),
    st.builds(R, names),
    st.builds(M, paths, values),
    st.builds(A, paths, values),
)
starts = st.just(MISSING) | values


@given(values, st.lists(any_ops, max_size=6), st.booleans())
def test_an_update_is_the_sum_of_its_operations(start: Any, ops: list[Op], dotted_paths: bool) -> None:
    together = update(start, *ops, dotted_paths=dotted_paths)
    errors: list[OpError] = []
    value = encode(start)
    for index, op in enumerate(ops):
        step = apply_update(value, decode_ops(encode([op])), dotted_paths=dotted_paths)
        value = step.new_value
        errors += [msgspec.structs.replace(error, op_index=index) for error in step.errors]
    assert together == UpdateResult(value, tuple(errors))


@given(starts, st.lists(any_ops, max_size=6))
def test_decoded_ops_can_be_applied_again(start: Any, ops: list[Op]) -> None:
    current = None if start is MISSING else encode(start)
    decoded = decode_ops(encode(ops))
    assert apply_update(current, decoded) == apply_update(current, decoded)


@given(starts, any_ops)
def test_a_failed_operation_changes_nothing(start: Any, op: Op) -> None:
    result = update(start, op)
    if result.errors:
        assert result.new_value == encode({} if start is MISSING else start)
