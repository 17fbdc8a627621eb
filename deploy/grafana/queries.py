"""PromQL from the declared metrics. Every query keeps the label `run`; gauges of a resumed run's two processes are one."""

from __future__ import annotations

from contracts import metrics as m
from contracts.metrics import PREFIX, RUN_LABEL, Metric

CHOSEN = f'{RUN_LABEL}=~"$run"'
WINDOW = "$window"
RANGE = "$__range"
"""The time that the board shows: Grafana's own variable."""


def series(metric: Metric, suffix: str = "", **where: str) -> str:
    """A metric's series of the chosen runs."""
    matchers = [CHOSEN, *(f'{label}="{value}"' for label, value in where.items())]
    return f"{PREFIX}{metric.name}{suffix}{{{', '.join(matchers)}}}"


def newest(metric: Metric, *by: str, **where: str) -> str:
    """A gauge, or a counter's total."""
    return f"max by ({_labels(by)}) ({series(metric, **where)})"


def lately(metric: Metric, *by: str, **where: str) -> str:
    """The last value in the time that the board shows, of runs that have ended too."""
    return f"max by ({_labels(by)}) (last_over_time({series(metric, **where)}[{RANGE}]))"


def rate(metric: Metric, *by: str, suffix: str = "", **where: str) -> str:
    """A counter's growth per second over the board's window."""
    return f"sum by ({_labels(by)}) (rate({series(metric, suffix, **where)}[{WINDOW}]))"


def ratio(part: str, whole: str) -> str:
    """Part of whole, of equal labels: 0 where there is no part yet, nothing where there is no whole."""
    return f"({part} or 0 * {whole}) / ({whole} > 0)"


def shares(metric: Metric, label: str, **where: str) -> str:
    """How a counter's growth is split among a label's values: together they make 1."""
    return f"{rate(metric, label, **where)} / on ({RUN_LABEL}) group_left () ({rate(metric, **where)} > 0)"


def quantile(q: float, metric: Metric) -> str:
    """A quantile of a histogram."""
    return f"histogram_quantile({q}, {rate(metric, 'le', suffix='_bucket')})"


def buckets(metric: Metric) -> str:
    """A histogram's buckets for a heatmap, of the chosen runs together."""
    return f"sum by (le) (rate({series(metric, '_bucket')}[{WINDOW}]))"


def silence() -> str:
    """Seconds since a run last got on."""
    return f"time() - {newest(m.LAST_PROGRESS)}"


def silence_allowed() -> str:
    """Seconds after which that is worrying; the alert RltfNoProgress goes by the same."""
    steps = f"max by ({RUN_LABEL}) (max_over_time({series(m.STEP_SECONDS)}[1d]))"
    online = f"clamp_min(3 * {steps}, 600) and on ({RUN_LABEL}) {newest(m.STAGE, stage='online')} == 1"
    return f"{online} or on ({RUN_LABEL}) 3600 + 0 * {newest(m.LAST_PROGRESS)}"


def _labels(by: tuple[str, ...]) -> str:
    return ", ".join((RUN_LABEL, *by))
