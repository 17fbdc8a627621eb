"""Where the program is in what a model writes: fences, completions, stop texts, and spans that stay exact."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.records import Category, Outcome, Problem, Program, Span, Verdict
from contracts.records import Finding as Fault
from contracts.records import Test as UnitTest
from contracts.sections import ExecutorsConfig, RewardsConfig
from executors.judge import Executor
from executors.labels import label
from models.answers import AnswerForm
from models.offsets import decode_with_offsets
from tests.tiny_models import blank_first_tokenizer, family_tokenizer, tiny_tokenizer

TABLE = RewardsConfig()
PYTHON = "```python\n"
COMPLETION_STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
STARTER = 'def add(a, b):\n    """Add."""\n'


def code_in(text: str, form: AnswerForm, starter: str = "") -> str:
    answer = form.read(text, starter)
    return answer.prefix + text[answer.start : answer.end]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("x = 1\n", "x = 1\n"),
        (f"Here:\n{PYTHON}x = 1\n```\nIt sets x.", "x = 1\n"),
        (f"First\n{PYTHON}a\n```\nno, better\n{PYTHON}b\n```", "b\n"),
        (f"Here:\n{PYTHON}x = 1\ny =", "x = 1\ny ="),
        ("```\nx = 1\n```", "x = 1\n"),
        ("```\nx = 1\n```\nbut no\n```\nx = 2\n```", "x = 2\n"),
        (f"{PYTHON}x = 1\n```\nIt prints\n```\n1\n```", "x = 1\n"),
        ("It reads\n```\n1\n```\n```py\nx = 1\n```\nand prints\n```\n2", "x = 1\n"),
        (f"{PYTHON}a\n```\nor\n``` Python3\nb\n```\n```\nno\n```", "b\n"),
        ("```\nx = 1", "x = 1"),
        ("x = 1\n```", "x = 1\n"),
        ("x = 1\n  ```  \nIt sets x.\n", "x = 1\n"),
        ("\n \n```\nx = 1\n", "x = 1\n"),
        ("x = 1\n```text", "x = 1\n```text"),
        ("```text\n1\n```\n```\nx = 1", "x = 1"),
        (f"{PYTHON}x = 1\n```\nIt prints\n```text\n1\n```", "x = 1\n"),
        ("```text\n1\n```", "```text\n1\n```"),
        ("use `x` and ```y``` in a line", "use `x` and ```y``` in a line"),
        (f"{PYTHON}```", ""),
        ("```python", "```python"),
        ("", ""),
        ("x = 0\n```\nThat was wrong, better:\n```python\nx = 1\n```\n", "x = 1\n"),
        (f"Use the\n``` marker.\n\n{PYTHON}x = 1\n```\n", "x = 1\n"),
        (f"Input:\n```\n1 2\n\nSolution:\n{PYTHON}x = 1\n```\n", "x = 1\n"),
        (f"{PYTHON}x = 1\n```That's it", "x = 1\n"),
        (f"{PYTHON}x = 1\n```text\n1\n```", "x = 1\n"),
        ("```Python 3\r\nx = 1\r\n```\r\n", "x = 1\r\n"),
        ("~~~python\n```\nx = 1\n~~~\nIt sets x.", "```\nx = 1\n"),
        ("````python\n```\nx = 1\n````\n", "```\nx = 1\n"),
        ("```x``` it is\n", "```x``` it is\n"),
        (
            f"{PYTHON}def f():\n    '''\n    ```python\n    f()\n    ```\n    '''\n```",
            "def f():\n    '''\n    ```python\n    f()\n    ```\n    '''\n",
        ),
        (PLAIN := "def f():\n    '''\n    ```\n    f()\n    ```\n    '''\n", PLAIN),
        (f"{PLAIN}```\nIt calls itself.", PLAIN),
    ],
)
def test_the_last_python_fence_is_the_program_and_without_one_all_of_it(text: str, code: str) -> None:
    assert code_in(text, AnswerForm("fence")) == code
    assert code_in(text, AnswerForm("program")) == text


DEFINED, USED = "def f(x):\n    return x\n", "print(f(1))\n"
FUNCTIONS = [
    DEFINED,
    "async def f(x):\n    return x\n",
    "class Solution:\n    def f(self, x): ...\n",
    "class f: ...\n",
    "f = lambda x: x\n",
]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("label", ["python", ""])
def test_the_last_fence_that_defines_the_problems_function_is_the_program(function: str, label: str) -> None:
    text = f"```{label}\n{function}```\nExample usage:\n{PYTHON}{USED}```\n"
    form = AnswerForm("fence")
    answer = form.read(text, fn_name="f")
    assert text[answer.start : answer.end] == function
    assert code_in(text, form) == USED, "nobody says which function"
    answer = form.read(text, fn_name="g")
    assert text[answer.start : answer.end] == (function if "Solution" in function else USED), "none defines it: the last"


def test_the_last_of_two_that_define_it_is_the_program_and_what_a_prompts_fence_holds_counts() -> None:
    form, better = AnswerForm("fence"), DEFINED.replace("x\n", "2 * x\n")
    text = f"{PYTHON}{DEFINED}```\nor\n{PYTHON}{better}```\nThen\n{PYTHON}{USED}```"
    assert text[slice(*form.read(text, fn_name="f")[1:3])] == better
    text = f"{DEFINED}```\nThen\n{PYTHON}{USED}```"
    assert form.read(text, fn_name="f") == ("", 0, len(DEFINED), False)
    text = f"{DEFINED}```\nIt prints\n```\n1\n```"
    assert form.read(text, fn_name="f") == ("", 0, len(DEFINED), False)


def test_an_indented_fence_runs_as_it_is_behind_a_line_that_no_token_wrote() -> None:
    form, text = AnswerForm("fence"), "1. So:\n\n    ```python\n    x = 1\n\n    y = x / 0\n    ```\n"
    start, end = text.index("    x"), text.rindex("    ```")
    assert form.read(text) == ("if True:\n", start, end, False)
    for unindented in (f" {PYTHON}x = 1\n ```", f" {PYTHON}"):
        assert form.read(unindented).prefix == ""
    problem = Problem(id="p", question="", tests=(UnitTest("", ""),))
    program = program_of(text, form)
    with Executor(ExecutorsConfig(), TABLE) as executor:
        verdict = executor.judge(problem, program.code)
    assert (verdict.outcome, verdict.category) == (Outcome.RUNTIME_ERROR, Category.LINE)
    wrong = text.index("y = x / 0")
    assert label(program, verdict, TABLE).penalised == sharing(program, wrong, wrong + len("y = x / 0"))


def test_a_completion_goes_on_from_the_starter_code() -> None:
    form = AnswerForm("completion", COMPLETION_STOPS)
    text = "    return a + b\n\ndef add2(a):\n    return 2\nprint(1)"
    assert form.read(text, STARTER) == (STARTER, 0, 17, True)
    assert code_in(text, form, STARTER) == STARTER + "    return a + b\n"
    assert form.read("    return a", STARTER) == (STARTER, 0, None, False)


def test_a_program_ends_before_the_first_stop_text() -> None:
    assert AnswerForm("program", ("zz", "b\n")).read("ab\nzz") == ("", 0, 1, True)
    assert AnswerForm("program", ("b",)).read("b") == ("", 0, 0, True)


def test_stop_texts_outside_the_fence_mean_nothing() -> None:
    form = AnswerForm("fence", ("\n#",))
    before, after = "Look:\n# Solution\n", "```\n# Notes\n"
    assert form.read(before) == ("", 0, None, False)
    assert form.read(f"{before}{PYTHON}x\n{after}") == ("", len(before) + 10, len(before) + 12, False)
    assert form.read(f"{before}{PYTHON}x\n# y\n{after}") == ("", len(before) + 10, len(before) + 11, True)
    assert not form.read(f"{before}{PYTHON}# x\n").stopped, "the newline before it belongs to the fence"
    assert form.read(f"{before}```") == ("", 0, len(before), False), "a fence that is about to be opened, for all one knows"


def test_corpus_programs_as_answers() -> None:
    whole = STARTER + "    return a + b\n"
    assert AnswerForm("program").write(whole, STARTER) == whole
    assert AnswerForm("completion").write(whole, STARTER) == "    return a + b\n"
    assert AnswerForm("completion").write("def other(a, b):\n    return a + b\n", STARTER) is None
    assert AnswerForm("fence").write(whole) == f"{PYTHON}{whole}```"
    assert AnswerForm("fence").write("x = 1") == f"{PYTHON}x = 1\n```"


def test_programs_that_would_be_read_as_others_are_no_answers() -> None:
    fenced = 'x = """\n```\n"""\n'
    assert AnswerForm("fence").write(fenced) is None
    assert AnswerForm("program").write(fenced) == fenced
    assert AnswerForm("program", ("\nprint",)).write("x = 1\nprint(x)\n") is None
    assert AnswerForm("completion", COMPLETION_STOPS).write(f"{STARTER}    return g(a, b)\n\ndef g(a, b): ...\n", STARTER) is None


@given(st.text("ab`~\n #py", max_size=30), st.sampled_from(["program", "completion", "fence"]), st.sampled_from(["", "a\n"]))
def test_what_is_written_is_read_again(program: str, kind: str, starter: str) -> None:
    form = AnswerForm(kind, ("b#",))  # type: ignore[arg-type]
    text = form.write(program, starter)
    if text is not None:
        assert code_in(text, form, starter).rstrip("\n") == program.rstrip("\n")
    elif kind == "program":
        assert "b#" in program
    elif kind == "fence":
        assert "b#" in program or "```" in program
    else:
        assert "b#" in program or not program.startswith(starter)


def program_of(text: str, form: AnswerForm, starter: str = "", family: str | None = None) -> Program:
    """The program that a sampler makes of a text."""
    tokenizer = family_tokenizer(family) if family else tiny_tokenizer()
    ids = tokenizer(text, add_special_tokens=False).input_ids
    decoded, starts, ends = decode_with_offsets(ids, tokenizer)
    assert decoded == text
    answer = form.read(text, starter)
    return Program(
        text=text,
        token_ids=[*ids, tokenizer.eos_token_id],
        logprobs=[-1.0] * (len(ids) + 1),
        starts=[*starts, len(text)],
        ends=[*ends, len(text)],
        prefix=answer.prefix,
        code_start=answer.start,
        code_end=answer.end,
    )


def sharing(program: Program, first: int, last: int) -> list[bool]:
    """The tokens of which a character is at a place of the text from `first` on and before `last`."""
    place = set(range(first, last))
    return [bool(place & set(range(start, end))) for start, end in zip(program.starts, program.ends, strict=True)]


def located(code: str, bad: str) -> Verdict:
    """An error, and a static finding, at the one place of `bad` in `code`."""
    span = Span(1, 1, code.index(bad), code.index(bad) + len(bad))
    return Verdict(
        outcome=Outcome.RUNTIME_ERROR, category=Category.LINE, span=span, total=1, findings=(Fault("fault", "a fault", span),)
    )


WORDS = st.text("abx=() \n\téß中1", max_size=20)
BAD = "1 / 0"


@settings(deadline=None)
@given(WORDS, WORDS, WORDS, WORDS, st.booleans(), st.sampled_from([None, "t5", "qwen2", "codegen"]))
def test_an_error_in_a_fence_penalises_exactly_the_tokens_that_share_a_character_with_it(
    said: str, before: str, after: str, said_after: str, closed: bool, family: str | None
) -> None:
    opening = f"{said}\n{PYTHON}{before}"
    text = f"{opening}{BAD}{after}" + (f"\n```\n{said_after}" if closed else "")
    program = program_of(text, AnswerForm("fence"), family=family)
    assert program.code == f"{before}{BAD}{after}" + ("\n" if closed else "")
    labels = label(program, located(program.code, BAD), TABLE)
    assert labels.penalised == labels.static == sharing(program, len(opening), len(opening) + len(BAD))
    assert any(labels.penalised)
    assert labels.fine == TABLE.fine


@settings(deadline=None)
@given(WORDS, WORDS, WORDS, st.booleans())
def test_an_error_in_a_completion_penalises_its_tokens_and_one_in_the_prefix_none(
    starter: str, before: str, after: str, in_prefix: bool
) -> None:
    starter += BAD if in_prefix else ""
    text = before + ("" if in_prefix else BAD) + after + "STOP"
    program = program_of(text, AnswerForm("completion", ("STOP",)), starter)
    assert program.code == starter + text.removesuffix("STOP")
    labels = label(program, located(program.code, BAD), TABLE)
    assert labels.penalised == labels.static
    assert labels.penalised == ([False] * len(program.starts) if in_prefix else sharing(program, len(before), len(before) + 5))


def test_an_error_across_prefix_and_text_penalises_what_was_written_of_it() -> None:
    program = program_of("b)\nx", AnswerForm("completion"), "f(a,")
    span = Span(1, 1, 0, len("f(a,b)"))
    verdict = Verdict(outcome=Outcome.RUNTIME_ERROR, category=Category.LINE, span=span, total=1)
    assert label(program, verdict, TABLE).penalised == sharing(program, 0, 2)


@pytest.mark.parametrize(
    ("kind", "starter", "text"),
    [
        ("fence", "", f"It divides:\n{PYTHON}x = int(input())\ny = x / 0\nprint(y)\n```\nThat's all.\n"),
        ("completion", "x = int(input())\n", "y = x / 0\nprint(y)\n# and so on"),
    ],
)
def test_a_real_error_and_a_real_finding_are_found_in_the_text(kind: str, starter: str, text: str) -> None:
    problem = Problem(id="p", question="", tests=(UnitTest("1\n", "1\n"),))
    text = text.replace("print(y)", "print(y)\nprint(undefined_name)")
    program = program_of(text, AnswerForm(kind, ("\n#",)), starter)  # type: ignore[arg-type]
    with Executor(ExecutorsConfig(analyse=True), TABLE) as executor:
        labels = label(program, executor.judge(problem, program.code), TABLE)
    wrong, name = text.index("y = x / 0"), text.index("undefined_name")
    assert labels.penalised == sharing(program, wrong, wrong + len("y = x / 0"))
    assert labels.static == sharing(program, name, name + len("undefined_name"))


def test_a_completion_keeps_its_indent_also_where_decoders_drop_a_first_blank() -> None:
    tokenizer, indented = blank_first_tokenizer(), "    return a\n"
    ids = tokenizer(indented, add_special_tokens=False).input_ids
    before = tokenizer("def f(a):\n").input_ids[-1:]
    text, starts, ends = decode_with_offsets(ids, tokenizer, context=before)
    assert text == indented
    assert (starts, ends) == ([0, *ends[:-1]], [4, 5, 6, 7, 8, 9, 10, 12, 13])
    whole = "def f(a):\n" + indented
    ids = tokenizer(whole, add_special_tokens=False).input_ids
    assert decode_with_offsets(ids, tokenizer).text == whole, "a whole program begins with what the tokenizer put before it"
