"""`rltf compare`: two evaluations of the same problems, paired problem by problem."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from contracts.evaluation import PROGRAMS
from contracts.records import Outcome
from rltf.pairing import Difference, Pairs, Side, check_alike, difference, paired, read_side, with_enough
from rltf.progress import Progress
from rltf.tally import Count, grouped

_ERRORS_SHOWN = 8


def compare_evaluations(first: Path, second: Path, console: Console) -> None:
    """Print the comparison. Raises UserError for folders without a finished evaluation and for evaluations that do not match."""
    sides = read_side(first), read_side(second)
    check_alike(*sides)
    progress = Progress(console)
    settings = [setting for setting in sides[0].settings if setting in sides[1].settings]
    main = sides[0].summary.main if sides[0].summary.main in settings else settings[0]
    progress.note(f"A: {sides[0].name}\nB: {sides[1].name}")
    rows, few = [], []
    for setting in settings:
        pairs = paired(sides[0].settings[setting], sides[1].settings[setting])
        for k in sorted(set.intersection(*(side.ks(setting) for side in sides))):
            enough = with_enough(pairs, k)
            rows += [[setting, str(k), *_cells(difference(enough, k))]] if enough else []
            few += [f"pass@{k} at {setting} is about {len(enough)} of {len(pairs)} problems"] if len(enough) < len(pairs) else []
    pairs = paired(sides[0].settings[main], sides[1].settings[main])
    progress.note(f"{len(pairs)} problems; in brackets 95 % intervals of the difference, paired by problem")
    progress.table("pass@k", ["decoding", "k", "A", "B", "B − A", "verdict"], rows)
    at = "" if main == PROGRAMS else f" at {main}"
    _show_difficulties(pairs, at, progress)
    _show_errors(pairs, at, progress)
    _show_solved(pairs, at, progress)
    if few:
        progress.note(f"the others lack programs on one side: {', '.join(few)}")
    for note in _notes(sides, main, len(pairs)):
        progress.note(note)


def _cells(found: Difference) -> list[str]:
    return [
        f"{found.first:.3f}",
        f"{found.second:.3f}",
        f"{found.mean:+.3f} ({found.low:+.3f} … {found.high:+.3f})",
        ("B is ahead" if found.mean > 0 else "A is ahead") if found.told_apart else "cannot be told apart",
    ]


def _show_difficulties(pairs: Pairs, at: str, progress: Progress) -> None:
    names = grouped((first for first, _ in pairs.values()), lambda count: count.difficulty)
    if len(names) < 2:
        return
    rows = []
    for name in names:
        found = difference([pair for pair in pairs.values() if pair[0].difficulty == name], 1)
        rows.append([name, str(found.problems), *_cells(found)])
    progress.table(f"pass@1 by difficulty{at}", ["difficulty", "problems", "A", "B", "B − A", "verdict"], rows)


def _show_errors(pairs: Pairs, at: str, progress: Progress) -> None:
    """Shares of outcomes, and of the commonest errors."""
    outcomes = _summed(pairs, lambda count: count.outcomes)
    errors = _summed(pairs, lambda count: count.errors)
    names = [outcome.value for outcome in Outcome if any(counts[outcome.value] for counts in outcomes)]
    common = [kind for kind, _ in (errors[0] + errors[1]).most_common(_ERRORS_SHOWN)]
    wholes = [counts.total() for counts in outcomes]
    rows = []
    for kinds, counts in ((names, outcomes), (common, errors)):
        for kind in kinds:
            a, b = (count[kind] / whole for count, whole in zip(counts, wholes, strict=True))
            rows.append([kind, f"{a:.1%}", f"{b:.1%}", f"{100 * (b - a):+.1f} points"])
    progress.table(f"what programs came to{at}", ["", "A", "B", "B − A"], rows)


def _summed(pairs: Pairs, part: Callable[[Count], Counter[str]]) -> list[Counter[str]]:
    return [sum((part(count) for count in counts), Counter()) for counts in zip(*pairs.values(), strict=True)]


def _show_solved(pairs: Pairs, at: str, progress: Progress) -> None:
    """Problems that one of the two solves with any of its programs, and the other with none."""
    for name, here, there in (("A", 0, 1), ("B", 1, 0)):
        only = [id_ for id_, counts in pairs.items() if counts[here].passed and not counts[there].passed]
        listed = f": {', '.join(only[:10])}{' …' if len(only) > 10 else ''}" if only else ""
        progress.note(f"solved by {name} alone{at}, by any of its programs: {len(only)}{listed}")


def _notes(sides: Sequence[Side], main: str, common: int) -> list[str]:
    notes = []
    for name, side in zip("AB", sides, strict=True):
        others = len(side.settings[main]) - common
        if others:
            notes.append(f"only common problems are compared; left out of {name}: {others}")
    each = [max(count.scored for count in side.settings[main].values()) for side in sides]
    if each[0] != each[1]:
        notes.append(f"A has {each[0]} programs a problem and B {each[1]}: more of them solve more problems by chance")
    return notes
