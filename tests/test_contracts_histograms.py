"""Histograms: which bucket a value falls into, and what adds up."""

from contracts.histograms import bounds, counted
from contracts.metrics import EXECUTION, LAG, Metric

SMALL = Metric("small", "histogram", "seconds", "", buckets=(0.5, 1, 30))


def test_bounds_are_text_as_prometheus_client_writes_numbers() -> None:
    assert bounds(SMALL) == ("0.5", "1.0", "30.0", "+Inf")
    assert bounds(EXECUTION)[:2] == ("0.001", "0.0025")
    assert bounds(LAG)[-2:] == ("1024.0", "+Inf")


def test_a_bound_belongs_to_its_own_bucket() -> None:
    assert counted(SMALL, [0, 0.5, 0.50001, 1, 30, 31]) == {"0.5": 2, "1.0": 2, "30.0": 1, "+Inf": 1, "sum": 63.00001}


def test_nothing_is_a_sum_of_nothing() -> None:
    assert counted(SMALL, []) == {"sum": 0.0}
