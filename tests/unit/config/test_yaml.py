from bridge.config.document import parse_document, parse_scalar, spell


def data(text: str) -> object:
    document = parse_document(text, source="f")
    assert document.problems == []
    return document.data


def test_plain_scalars_follow_the_core_schema_and_not_yaml_1_1() -> None:
    assert data("[on, off, yes, no, 'true', 007, 12:30, 1_000, 2020-01-01, 0b1]") == [
        "on",
        "off",
        "yes",
        "no",
        "true",
        "007",
        "12:30",
        "1_000",
        "2020-01-01",
        "0b1",
    ]
    assert data("[true, False, 5, -5, 0x1f, 0o17, 1.5, 1e3, -.5, ~, null, ]") == [
        True,
        False,
        5,
        -5,
        31,
        15,
        1.5,
        1000.0,
        -0.5,
        None,
        None,
    ]


def test_an_environment_value_is_read_like_a_scalar_of_the_file() -> None:
    assert [parse_scalar(text) for text in ("8080", "true", "1.5", "on", "007", "a: b")] == [
        8080,
        True,
        1.5,
        "on",
        "007",
        "a: b",
    ]


def test_every_value_has_the_line_of_its_key() -> None:
    document = parse_document("a: 1\nb:\n  - c: 2\n  - d:\n      e: 3\n", source="f")
    assert document.line(("b", 1, "d", "e")) == 5
    assert document.line(("b", 1, "d", "missing")) == 4
    assert document.line(("b",)) == 2


def test_a_key_given_twice_is_a_problem_at_the_second_one() -> None:
    document = parse_document("a: 1\nb: 2\na: 3\n", source="f")
    assert [(problem.what, problem.where) for problem in document.problems] == [
        ("`a` is given twice", "f:3 a")
    ]


def test_keys_tags_and_aliases_that_a_configuration_cannot_use_are_problems() -> None:
    document = parse_document("1: x\n? [a]\n: y\nb: !!binary eA==\nc: !!int x\nd: &d [*d]\n", source="f")
    assert [problem.what for problem in document.problems] == [
        "a key must be text",
        "a key must be text",
        "the tag tag:yaml.org,2002:binary cannot be used here",
        "the tag tag:yaml.org,2002:int cannot be used here",
        "`d[0]` contains itself",
    ]
    assert document.problems[0].found == "1"


def test_anchors_can_be_shared() -> None:
    assert data("a: &a {x: 1}\nb: *a\n") == {"a": {"x": 1}, "b": {"x": 1}}


def test_key_paths_are_spelled_so_that_names_with_dots_stay_one_key() -> None:
    assert spell(("workers", 2, "config", "queue_configs", "a.b", "type")) == (
        'workers[2].config.queue_configs."a.b".type'
    )
