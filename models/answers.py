"""Where the program is in what a model writes, and a corpus program as a model should write it. Plain text, nothing heavy."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import dropwhile
from typing import Literal, NamedTuple

_FENCE_LINE = re.compile(r"^([ \t]*)(`{3,}|~{3,})[ \t]*(\w*)([^`\n]*)$", re.MULTILINE)
_PYTHON = ("python", "python3", "py")
_DEEPER = 4
"""Columns: a fence line is indented by fewer than these, or by fewer more than the fence that it closes."""
_INDENTED = "if True:\n"
"""Run before code that is indented as a whole: it is what it would be without its indent, and no character moves."""


class Answer(NamedTuple):
    """The place of the code in a text, as `contracts.records.Program` has it: prefix + text[start:end] is run."""

    prefix: str
    start: int
    end: int | None
    """None: the code goes on to the end of the text."""
    stopped: bool
    """A stop text follows the code."""


class AnswerForm(NamedTuple):
    """How answers are written: `prompt.answer` and `sampling.stop` of a recipe."""

    kind: Literal["program", "completion", "fence"]
    stop: Sequence[str] = ()

    def read(self, text: str, starter_code: str = "", fn_name: str | None = None) -> Answer:
        """Where the code is in a sampled text. `starter_code`: of its problem, which a completion goes on from; `fn_name`: the
        function that its tests call.

        The code ends before the first stop text in it. Stop texts outside an opened fence mean nothing: they are in what is said.
        """
        prefix, start, end = starter_code if self.kind == "completion" else "", 0, len(text)
        if self.kind == "fence" and (fence := _fence(text, fn_name)):
            prefix, start, end = _INDENTED if fence.indents(text) else "", fence.start, fence.end
        sought = self.stop if start or self.kind != "fence" else ()
        stops = [at for stop in sought if (at := text.find(stop, start, end)) >= 0]
        end = min(stops, default=end)
        return Answer(prefix, start, end if end < len(text) else None, bool(stops))

    def write(self, program: str, starter_code: str = "") -> str | None:
        """A corpus program as an answer; None where it cannot be one.

        That is a completion that does not begin with the starter code, or a text that is read as another program, since it has
        a stop text or a fence in it.
        """
        text = program
        if self.kind == "completion":
            if not program.startswith(starter_code):
                return None
            text = program[len(starter_code) :]
        elif self.kind == "fence":
            newline = "" if program.endswith("\n") else "\n"
            text = f"```python\n{program}{newline}```"
        answer = self.read(text, starter_code)
        again = answer.prefix + text[answer.start : answer.end]
        return text if again.rstrip("\n") == program.rstrip("\n") else None


class _Fence(NamedTuple):
    """The place of a fence's content in a text, without the fence lines."""

    label: str
    indent: int
    start: int
    end: int

    def indents(self, text: str) -> bool:
        """Whether its code is indented as the fence is, which stands in a list."""
        return self.indent > 0 and text[self.start : self.end].lstrip("\r\n")[:1] in (" ", "\t")

    def defines(self, text: str, fn_name: str) -> bool:
        """Whether its code has the function, or a class Solution for it."""
        name = re.escape(fn_name)
        pattern = rf"^[ \t]*(?:(?:async[ \t]+)?def[ \t]+{name}\b|{name}[ \t]*=[ \t]*lambda\b|class[ \t]+(?:{name}|Solution)\b)"
        return re.search(pattern, text[self.start : self.end], re.MULTILINE) is not None


def _fence(text: str, fn_name: str | None) -> _Fence | None:
    """The fence that has the program; None where there is none.

    That is the last that says it is Python, or else the last that says nothing: sample output mostly stands in one. With
    `fn_name` it is the last of both that defines the function, if any does: others show how to use it. It may be unclosed.

    A bare fence line that comes first, with something before it, may close what a prompt opened: the code is what stands before
    it, from character 0 on. So it is where no other fence line follows, or where only there the function is defined. Deeply
    indented lines that come first are a docstring's, unless they say Python: then they are a list's.
    """
    lines = list(dropwhile(lambda line: _indent(line) >= _DEEPER and _label(line) not in _PYTHON, _FENCE_LINE.finditer(text)))
    if not lines:
        return None
    before = [_Fence("", 0, 0, lines[0].start())] if not _label(lines[0]) and text[: lines[0].start()].strip() else []
    if before and len(lines) == 1:
        return before[0]
    fences = [fence for fence in _fences(text, lines) if fence.label in ("", *_PYTHON)]
    defining = [fence for fence in (*before, *fences) if fn_name and fence.defines(text, fn_name)]
    found = defining or [fence for fence in fences if fence.label] or fences
    return found[-1] if found else None


def _fences(text: str, lines: Sequence[re.Match[str]]) -> Iterator[_Fence]:
    """A bare line closes the fence that is open; one with a label opens another in any case: nobody closes a fence with it."""
    opening: re.Match[str] | None = None
    for line in lines:
        if opening:
            if not line[2].startswith(opening[2]) or _indent(line) >= _indent(opening) + _DEEPER:
                continue  # part of what is inside
            yield _Fence(_label(opening), _indent(opening), opening.end() + 1, line.start())
        opening = line if (not opening or _label(line)) and line.end() < len(text) else None
    if opening:
        yield _Fence(_label(opening), _indent(opening), opening.end() + 1, len(text))


def _label(line: re.Match[str]) -> str:
    return (line[3] or line[4].strip()).lower()


def _indent(line: re.Match[str]) -> int:
    return len(line[1].expandtabs(4))
