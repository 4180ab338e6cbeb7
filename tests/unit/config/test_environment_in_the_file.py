"""Placeholders: spec 05 §4.2, 02 §1.6."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.config.environment import ENGINE_VERSION, expand

Build = Callable[..., Any]


@pytest.mark.parametrize(
    ("text", "environ", "expanded"),
    [
        ("port: ${P}", {"P": "1"}, "port: 1"),
        ("port: ${P:3111}", {}, "port: 3111"),
        ("port: ${P:3111}", {"P": "1"}, "port: 1"),
        ("port: ${P:3111}", {"P": ""}, "port: "),
        ("url: ${U:redis://h:6379/0}", {}, "url: redis://h:6379/0"),
        ("x: ${U:}", {}, "x: "),
        ("x: ${U:-x}", {}, "x: -x"),
        ("x: ${A}${B:b}", {"A": "a"}, "x: ab"),
        ("x: ${A B.c-d:1}", {"A B.c-d": "odd"}, "x: odd"),
        ("# ${C:comment}", {}, "# comment"),
        ("x: $NAME", {"NAME": "no"}, "x: $NAME"),
        ("x: ${NAME", {"NAME": "no"}, "x: ${NAME"),
        ("x: ${}", {}, "x: ${}"),
        ("x: ${A:${B}}", {"B": "no"}, "x: ${B}"),
        ("x: ${A}", {"A": "${B}", "B": "no"}, "x: ${B}"),
        (r"x: \${A}", {"A": "a"}, r"x: \a"),
        ("v: ${V:__III_ENGINE_VERSION__}", {}, f"v: {ENGINE_VERSION}"),
        ("v: ${V:__III_ENGINE_VERSION__}", {"V": "9"}, "v: 9"),
        ("v: ${V:x__III_ENGINE_VERSION__}", {}, "v: x__III_ENGINE_VERSION__"),
    ],
)
def test_placeholders_become_values(text: str, environ: dict[str, str], expanded: str) -> None:
    expansion = expand(text, environ, source="f")
    assert expansion.text == expanded
    assert expansion.problems == []


def test_a_variable_without_value_and_default_is_named_with_its_line() -> None:
    problems = expand("a: 1\nb: ${MISSING}\n# ${ALSO_MISSING}\n", {}, source="iii-config.yaml").problems
    assert [(problem.what, problem.where) for problem in problems] == [
        ("Environment variable 'MISSING' not set and no default provided", "iii-config.yaml:2"),
        ("Environment variable 'ALSO_MISSING' not set and no default provided", "iii-config.yaml:3"),
    ]
    assert problems[0].remedy == "set MISSING, or give a default: ${MISSING:value}"


@given(st.text())
def test_text_without_placeholders_is_untouched(text: str) -> None:
    assert expand(text.replace("${", ""), {}, source="f").text == text.replace("${", "")


def test_expanded_values_get_yaml_types(load: Build) -> None:
    config = load(
        """
        workers:
          - name: iii-http
            config: {port: ${P:3111}}
          - name: iii-state
            config: {triggers_enabled: ${ON:false}}
        """
    )
    assert config.http.port == 3111
    assert config.state.triggers_enabled is False


def test_an_unset_variable_is_reported_with_the_other_problems_but_not_with_its_consequences(
    reject: Build,
) -> None:
    problems = reject(
        """
        workers:
          - name: iii-http
            config:
              port: ${NOT_SET}
              prot: 1
        """
    )
    assert [problem.what for problem in problems] == [
        "Environment variable 'NOT_SET' not set and no default provided",
        "iii-http: unknown key `prot`",
    ]
