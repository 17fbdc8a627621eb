"""Interrupts wait for what belongs together."""

from __future__ import annotations

import signal

import pytest

from rltf.interrupts import uninterrupted


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_takes_effect_at_the_end_and_once(number: signal.Signals) -> None:
    heard: list[int] = []
    before = signal.signal(number, lambda came, _: heard.append(came))
    try:
        with uninterrupted():
            signal.raise_signal(number)
            assert heard == []
        assert heard == [number]
        signal.raise_signal(number)
        assert heard == [number, number], "the handler is the one that was there before"
    finally:
        signal.signal(number, before)


def test_the_second_takes_effect_at_once_and_the_first_at_the_end() -> None:
    done: list[str] = []

    def interrupted(at: int) -> None:
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            done.append("once")
            if at:
                signal.raise_signal(signal.SIGINT)
            done.append("whole")

    for at, reached in ((0, ["once", "whole"]), (1, ["once"])):
        done.clear()
        with pytest.raises(KeyboardInterrupt):
            interrupted(at)
        assert done == reached


def within_both(*numbers: signal.Signals) -> None:
    with uninterrupted(), uninterrupted():
        for number in numbers:
            signal.raise_signal(number)


def test_what_is_ignored_stays_so_and_another_signal_is_a_second_one() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with uninterrupted():
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        heard: list[int] = []
        signal.signal(signal.SIGTERM, lambda came, _: heard.append(came))
        with pytest.raises(KeyboardInterrupt):
            within_both(signal.SIGINT, signal.SIGTERM)
        assert heard == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_ctrl_c_is_raised_behind_what_was_to_be_whole() -> None:
    done = []

    def both() -> None:
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            done.append("whole")
        done.append("never")

    with pytest.raises(KeyboardInterrupt):
        both()
    assert done == ["whole"]


def test_an_error_within_is_not_lost() -> None:
    def fails() -> None:
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            raise OSError("disk full")

    with pytest.raises(KeyboardInterrupt) as told:
        fails()
    assert isinstance(told.value.__context__, OSError)
