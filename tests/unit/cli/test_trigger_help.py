"""What `iii-temporal trigger FUNCTION --help` says about a function."""

from typing import Any

from bridge.cli.trigger_help import describe_function
from bridge.protocol import payload


def describe(**info: Any) -> str:
    return describe_function(payload.encode({"function_id": "orders::get"} | info))


def test_title_description_and_parameters_are_shown() -> None:
    text = describe(
        description="Reads an order.",
        request_schema={
            "title": "GetOrder",
            "type": "object",
            "properties": {
                "id": {"type": "string", "description": "The order's\n  id."},
                "depth": {"type": ["integer", "null"]},
            },
            "required": ["id"],
        },
    )
    assert text.splitlines() == [
        "orders::get: GetOrder",
        "",
        "Reads an order.",
        "",
        "Parameters:",
        "  NAME   TYPE          REQUIRED  DESCRIPTION",
        "  id     string        yes       The order's id.",
        "  depth  integer|null  no",
    ]


def test_the_older_name_of_the_schema_is_read_too() -> None:
    text = describe(request_format={"properties": {"id": {"type": "string"}}})
    assert "\n  id    string  no" in text


def test_the_type_of_a_choice_names_every_alternative() -> None:
    choice = {"anyOf": [{"$ref": "#/$defs/Order"}, {"type": "null"}]}
    text = describe(request_schema={"properties": {"order": choice, "free": {}}})
    assert "\n  order  Order|null  no" in text
    assert "\n  free   any         no" in text


def test_a_function_without_a_schema_is_shown_all_the_same() -> None:
    text = describe(description="Reads an order.", request_schema=None)
    assert text.startswith("orders::get\n\nReads an order.\n\n")
    assert "Parameters:" not in text


def test_a_schema_that_makes_no_sense_is_left_out() -> None:
    assert "Parameters:" not in describe(request_schema={"properties": ["id"]})
    assert "Parameters:" not in describe(request_schema=True)
