"""The plot of an ablation: a dot per seed and an interval per arm, the best arm on top."""

from __future__ import annotations

from matplotlib.axes import Axes

from rltf.ablation_results import Results, by_rank, half
from rltf.plots import LINES, svg


def arms(results: Results) -> str | None:
    """pass@1 at the main temperature by arm, as inline SVG; None before a run is done."""
    main = results.main
    shown = [arm for arm in by_rank(results) if main in arm.spans]
    if main is None or not shown:
        return None

    def draw(axes: Axes) -> None:
        for place, arm in enumerate(shown):
            rates = [run.rates[main][0] for run in arm.runs if main in run.rates]
            span = arm.spans[main]
            axes.errorbar(span.mean, place, xerr=half(span), fmt="none", capsize=4, color=LINES[0], linewidth=1.6)
            axes.plot(span.mean, place, marker="|", markersize=14, color=LINES[0], markeredgewidth=2)
            axes.plot(rates, [place] * len(rates), "o", markersize=4, alpha=0.75, color=LINES[1])
        axes.set_yticks(range(len(shown)), [arm.name for arm in shown])
        axes.set(xlabel=f"held-out pass@1 (share), {main.replace('T=', 'T = ')}", ylim=(len(shown) - 0.5, -0.5))
        axes.set_xlim(*_limits([end for arm in shown for end in (arm.spans[main].low, arm.spans[main].high)]))
        axes.grid(axis="y", visible=False)

    return svg("arms", "Held-out pass@1 by arm", draw, height=0.9 + 0.32 * len(shown))


def _limits(ends: list[float]) -> tuple[float, float]:
    """The intervals' ends with some air, within what a share can be."""
    air = 0.05 * (max(ends) - min(ends)) + 0.01
    return max(0.0, min(ends) - air), min(1.0, max(ends) + air)
