"""Where the program is in what a model writes, and a corpus program as a model should write it. Plain text, nothing heavy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

_FENCED = re.compile(r"^ {0,3}```[ \t]*(\w*)[^\n]*\n(.*?)(?:^ {0,3}```|\Z)", re.MULTILINE | re.DOTALL)
_FENCE_LINE = re.compile(r"^ {0,3}```.*$", re.MULTILINE)
_PYTHON = ("python", "python3", "py")


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

    def read(self, text: str, starter_code: str = "") -> Answer:
        """Where the code is in a sampled text. `starter_code`: of its problem, which a completion goes on from.

        The code ends before the first stop text in it. Stop texts outside an opened fence mean nothing: they are in what is said.
        """
        start, end = (fence(text) if self.kind == "fence" else None) or (0, len(text))
        sought = self.stop if start or self.kind != "fence" else ()
        stops = [at for stop in sought if (at := text.find(stop, start, end)) >= 0]
        end = min(stops, default=end)
        prefix = starter_code if self.kind == "completion" else ""
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


def fence(text: str) -> tuple[int, int] | None:
    """First character and end of the code in a text's fence; None where there is none.

    That is the last fence that says it is Python, or else the last that says nothing: sample output mostly stands in one. It may
    be unclosed. A bare fence line that is the only one, with something before it, closes what a prompt opened: the code is
    what stands before it, from character 0 on.
    """
    lines = list(_FENCE_LINE.finditer(text))
    if len(lines) == 1 and lines[0][0].strip() == "```" and text[: lines[0].start()].strip():
        return 0, lines[0].start()
    blocks = list(_FENCED.finditer(text))
    python = [block for block in blocks if block[1].lower() in _PYTHON]
    found = python or [block for block in blocks if not block[1]]
    return found[-1].span(2) if found else None
