"""Progress: plain lines where there is no terminal, a live panel where there is one."""

import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from rltf.progress import Progress, duration, shares


class Clock:
    """A clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Iterator[Clock]:
    return Clock()


def _console(terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=80, _environ={})


def _lines(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_plain_lines_at_stage_borders_and_every_five_seconds(clock: Clock) -> None:
    console = _console()
    with Progress(console, clock) as progress:
        progress.stage("online", total=10)
        for step in range(1, 11):
            clock.now += 2
            progress.update(step, pass_rate=step / 10, lag="1 of 4")
        clock.now += 1
    assert _lines(console) == [
        "online: started, 10 steps",
        "online: step 3/10 | pass rate 0.3 | lag 1 of 4 | 6 s elapsed, about 14 s left",
        "online: step 6/10 | pass rate 0.6 | lag 1 of 4 | 12 s elapsed, about 8 s left",
        "online: step 9/10 | pass rate 0.9 | lag 1 of 4 | 18 s elapsed, about 2 s left",
        "online: done after 21 s | step 10/10 | pass rate 1 | lag 1 of 4",
    ]


def test_time_left_counts_from_where_a_resumed_stage_began(clock: Clock) -> None:
    console = _console()
    with Progress(console, clock) as progress:
        progress.stage("online", total=110)
        clock.now += 30  # start-up is no part of the rate
        progress.update(101)
        clock.now += 6
        progress.update(104)
    assert "online: step 104/110 | 36 s elapsed, about 12 s left" in _lines(console)


def test_a_new_stage_ends_the_one_before(clock: Clock) -> None:
    console = _console()
    with Progress(console, clock) as progress:
        progress.stage("problems")
        clock.now += 62
        progress.stage("warm start", total=1)
        progress.update(1, loss=0.25)
    assert _lines(console) == [
        "problems: started",
        "problems: done after 1 min 02 s",
        "warm start: started, 1 steps",
        "warm start: done after 0 s | step 1/1 | loss 0.25",
    ]


def test_an_interrupted_stage_is_not_called_done(clock: Clock) -> None:
    console = _console()

    def run() -> None:
        with Progress(console, clock) as progress:
            progress.stage("online", total=9)
            progress.update(4)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert _lines(console)[-1] == "online: stopped after 0 s | step 4/9"


def test_notes_are_shown_as_they_are_and_not_wrapped(clock: Clock) -> None:
    console = _console()
    note = "[bold]not markup[/bold] :smile: " + "x" * 200
    with Progress(console, clock) as progress:
        progress.note(note)
    assert _lines(console) == [note]


def test_a_table_shows_every_cell(clock: Clock) -> None:
    console = _console()
    with Progress(console, clock) as progress:
        progress.table(
            "Held-out", ["", "start", "RLTF"], [["pass@1, T = 1.0", "0.30 ± 0.02", "0.52 ± 0.02"], ["[greedy]", "0.77", "0.79"]]
        )
    cells = [line.split() for line in _lines(console)]
    assert ["start", "RLTF"] in cells
    assert ["pass@1,", "T", "=", "1.0", "0.30", "±", "0.02", "0.52", "±", "0.02"] in cells
    assert ["[greedy]", "0.77", "0.79"] in cells


def test_a_terminal_gets_a_panel_and_no_plain_lines(clock: Clock) -> None:
    console = _console(terminal=True)
    with Progress(console, clock) as progress:
        progress.stage("online", total=10)
        clock.now += 60
        progress.update(3, pass_rate=0.25)
        progress.note("published version 3")
    shown = "".join(_lines(console))
    assert "╭─ online " in shown
    assert "step 3/10" in shown
    assert "published version 3" in shown
    assert "online: started" not in shown
    assert "online: done after 1 min 00 s | step 3/10 | pass rate 0.25" in shown


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (3599.6, "1 h 00 min"), (7500, "2 h 05 min")]
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_shares_are_of_their_sum_and_the_largest_comes_first() -> None:
    assert shares({"syntax error": 30, "pass": 60, "failure": 10}) == "pass 60% · syntax error 30% · failure 10%"
    assert shares({}) == ""
