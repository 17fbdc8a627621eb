"""The packing benchmark compares the same work."""

from __future__ import annotations

import re

import pytest

from benchmarks.packing import main


def test_both_ways_of_training_come_to_the_same_losses(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--width", "16", "--layers", "1", "--batch", "6", "--micro-batch", "2", "--pack-tokens", "150", "--steps", "2"])
    shown = capsys.readouterr().out
    assert len(re.findall(r"^(?:padded|packed): [\d,]+ tokens/s", shown, re.MULTILINE)) == 2
    assert float(re.findall(r"losses agree within (\S+) nats", shown)[0]) < 1e-5
