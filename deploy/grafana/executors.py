"""Are programs judged fast, and can the verdicts be trusted?"""

from __future__ import annotations

from contracts import metrics as m
from deploy.grafana.board import Row, board
from deploy.grafana.panels import COUNT, OUTCOMES, PHASES, RESULTS, SECONDS, SHARE, WORDS, Query, heat, lines, number
from deploy.grafana.queries import buckets, newest, quantile, rate, ratio
from executors.confine import Tier
from executors.tiers import DESCRIPTIONS
from rltf.plots import LINES

ABOUT = "Are programs judged fast, and can the verdicts be trusted? Execution times, limits, and the sandbox's own faults."
PER_SECOND = f"{WORDS}programs/s"
TIERS = ". ".join(DESCRIPTIONS[tier] for tier in sorted(Tier, reverse=True))


def executors() -> str:
    """The board's JSON."""
    return board("executors", "Executors", ABOUT, [_now(), _speed(), _limits(), _trust()])


def _now() -> Row:
    return Row(
        "Now",
        4,
        [
            number(
                "Judged",
                "Programs per second, evaluations and greedy baselines too.",
                PER_SECOND,
                Query(rate(m.JUDGED)),
                decimals=0,
            ),
            number(
                "Median execution", "CPU time of a program, all its tests together.", SECONDS, Query(quantile(0.5, m.EXECUTION))
            ),
            number(
                "Sandbox errors",
                "The share of programs that executors failed on: their fault, not the program's, and never scored.",
                SHARE,
                Query(ratio(rate(m.SANDBOX_ERRORS), rate(m.JUDGED))),
                worrying=0.01,
                decimals=2,
            ),
            number(
                "Wrong canaries",
                "Known programs that were judged wrongly. One is enough to distrust all verdicts since.",
                COUNT,
                Query(newest(m.CANARIES, result="wrong")),
                worrying=1,
                decimals=0,
            ),
            number(
                "Replaced zygotes",
                "Warm processes that died and were started anew, so far.",
                COUNT,
                Query(newest(m.REPLACED)),
                decimals=0,
            ),
            number(
                "Isolation",
                f"Executors by how they confine programs, the strongest way first. {TIERS}.",
                f"{WORDS}executors",
                Query(newest(m.TIERS, "tier"), "{{run}} · {{tier}}"),
                decimals=0,
            ),
        ],
    )


def _speed() -> Row:
    return Row(
        "Speed",
        9,
        [
            lines(
                "CPU time of a program",
                "All its tests together; programs whose verdict was remembered are not run. Time-outs make the upper end.",
                SECONDS,
                *(Query(quantile(q, m.EXECUTION), f"{{{{run}}}} · {100 * q:.0f} %") for q in (0.5, 0.9, 0.99)),
                log=True,
            ),
            heat(
                "CPU time of programs",
                "How many programs took how long, of all chosen runs together.",
                SECONDS,
                Query(buckets(m.EXECUTION), "{{le}}"),
            ),
        ],
    )


def _limits() -> Row:
    remembered = ratio(rate(m.REMEMBERED), rate(m.JUDGED))
    busy = ratio(rate(m.PHASE_SECONDS, "phase", phase="executing"), newest(m.WORKERS, "phase", phase="executing"))
    return Row(
        "Work",
        8,
        [
            lines("Programs judged", "Evaluations and greedy baselines too.", PER_SECOND, Query(rate(m.JUDGED))),
            lines(
                "Unit tests run",
                "Single tests; train: of programs for training, heldout: of evaluations.",
                f"{WORDS}tests/s",
                Query(rate(m.TESTS_RUN, "split"), "{{run}} · {{split}}"),
            ),
            lines(
                "Busy, and spared",
                "The share of executors' time at work, and the share of programs whose verdict was known from an equal one.",
                SHARE,
                Query(busy, "{{run}} · executing"),
                Query(remembered, "{{run}} · remembered"),
                colours={"executing": PHASES["executing"], "remembered": LINES[0]},
                soft=1,
            ),
            lines(
                "Programs ended, by limit",
                "Over their CPU time, memory or output, or at something that the sandbox refuses.",
                PER_SECOND,
                Query(rate(m.KILLED, "limit"), "{{run}} · {{limit}}"),
            ),
        ],
    )


def _trust() -> Row:
    return Row(
        "Can verdicts be trusted?",
        8,
        [
            lines(
                "Sandbox errors over time",
                "The share of programs that executors failed on. Over the recipe's limit the run stops.",
                SHARE,
                Query(ratio(rate(m.SANDBOX_ERRORS), rate(m.JUDGED)), "{{run}} · sandbox_error"),
                colours=OUTCOMES,
                soft=0.05,
            ),
            lines(
                "Canaries",
                "Programs with a known verdict, judged between the others, so far.",
                f"{WORDS}checks",
                Query(newest(m.CANARIES, "result"), "{{run}} · {{result}}"),
                colours=RESULTS,
            ),
            lines(
                "Zygotes replaced so far",
                "Warm processes that programs are forked from and that had to be started anew, so far.",
                f"{WORDS}processes",
                Query(newest(m.REPLACED)),
            ),
        ],
    )
