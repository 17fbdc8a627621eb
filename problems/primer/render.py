"""From a family and its constants to the texts of a problem."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from problems.primer.families import Family

Kind = Literal["stdin", "call"]
KINDS: tuple[Kind, ...] = get_args(Kind)
FUNCTION_NAMES = ("f", "g", "solve", "calc")


@dataclass(frozen=True)
class Variant:
    """How a problem is told, all else being equal."""

    opening: int
    task: int
    names: int = 0
    function: int = 0


VARIANTS: dict[Kind, tuple[Variant, ...]] = {
    "stdin": tuple(Variant(o, t) for o in range(2) for t in range(2)),
    "call": tuple(Variant(o, t, n, f) for o in range(2) for t in range(2) for n in range(2) for f in range(len(FUNCTION_NAMES))),
}


@dataclass(frozen=True)
class Text:
    """A problem's texts."""

    question: str
    starter_code: str
    fn_name: str | None
    program: str
    """The reference solution, in the family's one style."""


def render(family: Family, constants: tuple[int | str, ...], kind: Kind, variant: Variant) -> Text:
    """The problem's texts; `constants` are in the order of `family.constants`."""
    names = family.shape.names[variant.names]
    filled = dict(zip("AB", names, strict=False)) | {key: str(v) for key, v in zip(family.constants, constants, strict=True)}

    def fill(text: str) -> str:
        return re.sub(r"\b[ABCDKM]\b", lambda found: filled[found[0]], text)

    task = fill(family.tasks[variant.task])
    *lines, answer = fill(family.code).split("\n")
    imports = [line for line in lines if line.startswith("from ")]
    lines = [line for line in lines if line not in imports]
    if kind == "stdin":
        shown = {"value": answer, "list": f"*{answer}", "yes": f"'YES' if {answer} else 'NO'"}[family.answer]
        say = f"Print YES if {task}, else NO." if family.answer == "yes" else f"Print {task}."
        program = [*imports, fill(family.shape.read), *lines, f"print({shown})"]
        return Text(f"{fill(family.shape.intros[variant.opening])} {say}", "", None, _joined(program))
    fn_name = FUNCTION_NAMES[variant.function]
    header = f"def {fn_name}({', '.join(names)}):"
    say = f"return True if {task}, else False." if family.answer == "yes" else f"return {task}."
    program = [*imports, header, *(f"    {line}" for line in (*lines, f"return {answer}"))]
    return Text(f"{fill(family.shape.givens[variant.opening])} {say}", f"{header}\n", fn_name, _joined(program))


def _joined(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
