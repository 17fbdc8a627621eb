"""Problems of all kinds, for properties."""

from __future__ import annotations

from hypothesis import strategies as st

from contracts.records import Problem
from contracts.records import Test as UnitTest

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcé -"), inner, max_size=3),
    max_leaves=6,
)
IDS = st.text("abcdefXYZ0189-_ é", min_size=1, max_size=12)
ASSERTIONS = st.builds("assert f({!r}) == {!r}\n".format, st.text(), st.integers() | st.text())
PROGRAMS = st.lists(st.text(), max_size=3).map(tuple)


KINDS = ("stdin", "call", "assert")


@st.composite
def problems(draw: st.DrawFn, id_: str, kinds: tuple[str, ...]) -> Problem:
    kind = draw(st.sampled_from(kinds))
    fn_name = None if kind == "stdin" else draw(st.text("abcdef_", min_size=1))
    if kind == "stdin":
        tests = st.builds(UnitTest, st.text(), st.text())
    elif kind == "assert":
        tests = st.builds(UnitTest, ASSERTIONS, st.none())
    else:
        tests = st.builds(UnitTest, st.lists(JSON_VALUES, max_size=3), JSON_VALUES)
    return Problem(
        id=id_,
        question=draw(st.text()),
        starter_code=draw(st.text()),
        fn_name=fn_name,
        test_setup=draw(st.sampled_from(["", "import math", "x = '\\u2028'\n"])) if kind == "assert" else None,
        tests=tuple(draw(st.lists(tests, min_size=1, max_size=3))),
        hidden_tests=tuple(draw(st.lists(tests, max_size=3))),
        solutions=draw(PROGRAMS),
        corpus=draw(PROGRAMS),
        difficulty=draw(st.text()),
        split=draw(st.text()),
        source=draw(st.text()),
        reference_seconds=draw(st.none() | st.floats(0, 100)),
    )


@st.composite
def problem_sets(draw: st.DrawFn, *, asserts: bool) -> list[Problem]:
    """Sets of distinct ids in order, of all kinds or of those that an APPS folder can hold."""
    ids = draw(st.lists(IDS, min_size=1, max_size=4, unique=True))
    return [draw(problems(id_, KINDS if asserts else KINDS[:2])) for id_ in sorted(ids)]
