"""Is the model getting better, and by what?"""

from __future__ import annotations

from contracts import metrics as m
from deploy.grafana.board import Row, board
from deploy.grafana.panels import (
    COUNT,
    EVALUATIONS,
    OUTCOMES,
    SCORED,
    SHARE,
    WORDS,
    WORRYING,
    Query,
    bars,
    lines,
    name,
    number,
    stacked,
)
from deploy.grafana.queries import lately, newest, rate, ratio, shares

ABOUT = "Is the model getting better, and by what? Pass rates of sampled and of held-out programs, rewards, training signals."
NATS = f"{WORDS}nats"
_TRAIN_PASS = ratio(rate(m.PROGRAMS, split="train", outcome="pass"), rate(m.PROGRAMS, split="train"))


def _held_out(metric: m.Metric, *by: str, **where: str) -> list[Query]:
    """A query for each evaluation, in the order in which they are made."""
    legend = " · ".join(f"{{{{{label}}}}}" for label in ("run", *by, "stage"))
    legend = legend.replace("{{k}}", "pass@{{k}}")
    return [Query(f"sort({lately(metric, *by, 'stage', stage=stage, **where)})", legend) for stage in EVALUATIONS]


def learning() -> str:
    """The board's JSON."""
    return board(
        "learning", "Learning", ABOUT, [_now(), _programs(), _outcomes(), _errors(), _evaluations(), _rewards(), _signals()]
    )


def _now() -> Row:
    now = Query(f"{newest(m.STAGE, 'stage')} == 1", "{{stage}}")
    held_out = [newest(m.EVAL_PASS, "stage", stage=stage, setting="$setting", k="1") for stage in EVALUATIONS]
    return Row(
        "Now",
        4,
        [
            name("Stage", "What the run is at: a supervised start, online training, or an evaluation.", now, "not running"),
            number(
                "Training done",
                "Optimizer steps of the online stage whose weights were published, of those that it will make.",
                SHARE,
                Query(f"{newest(m.POLICY_VERSION)} / {newest(m.STEPS_WANTED)}"),
                decimals=0,
            ),
            number(
                "Pass rate",
                "Of the programs sampled for training, the share that passes all visible tests.",
                SHARE,
                Query(_TRAIN_PASS),
                decimals=1,
            ),
            number(
                "Held-out pass@1",
                "How likely one program for a problem never trained on passes tests never trained on: before training, "
                "after as many supervised steps (control), after training (final).",
                SHARE,
                *(Query(expr, "{{run}} · {{stage}}") for expr in held_out),
                decimals=1,
            ),
            number(
                "Policy lag",
                "How many optimizer steps old the weights were that wrote the programs of the newest step.",
                f"{WORDS}steps",
                Query(newest(m.LAG_MEAN)),
                decimals=1,
            ),
        ],
        (4, 4, 4, 8, 4),
    )


def _programs() -> Row:
    by_difficulty = ratio(
        rate(m.PROGRAMS, "difficulty", split="train", outcome="pass"), rate(m.PROGRAMS, "difficulty", split="train")
    )
    tests = ratio(rate(m.TESTS_PASSED, "split"), rate(m.TESTS_RUN, "split"))
    return Row(
        "Programs sampled for training",
        8,
        [
            lines(
                "Pass rate by difficulty",
                "Of the sampled programs, the share that passes all visible tests. Rising everywhere is learning; rising "
                "only where problems are easy often means that the hard ones never earn a reward.",
                SHARE,
                Query(by_difficulty, "{{run}} · {{difficulty}}"),
            ),
            lines(
                "Unit tests passed",
                "The share of single tests passed: it moves before whole programs pass. train: programs for training; "
                "heldout: programs of evaluations.",
                SHARE,
                Query(tests, "{{run}} · {{split}}"),
            ),
        ],
    )


def _outcomes() -> Row:
    sampled = rate(m.PROGRAMS, split="train")
    return Row(
        "Outcomes",
        8,
        [
            stacked(
                "Outcomes",
                "What became of the sampled programs: all tests passed, a wrong answer, an exception, no valid code.",
                SHARE,
                *(Query(ratio(rate(m.PROGRAMS, split="train", outcome=outcome), sampled), outcome) for outcome in SCORED),
                colours=OUTCOMES,
            )
        ],
    )


def _errors() -> Row:
    return Row(
        "Errors",
        8,
        [
            bars(
                "Most frequent errors",
                "Programs of the online stage by the exception they raised or the limit they met, so far.",
                COUNT,
                Query(f"sort_desc(topk by (run) (8, {lately(m.ERRORS, 'error')}))", "{{run}} · {{error}}"),
            ),
            lines(
                "Where errors are located",
                "Errors by what they are blamed on: a statement (line), the whole program (global), or nothing (ignore). "
                "Only the tokens of a located statement can be penalised by themselves.",
                SHARE,
                Query(shares(m.LOCATED, "category"), "{{run}} · {{category}}"),
            ),
            lines(
                "Penalised tokens",
                "The share of a step's tokens that lie in a located error, and in a fault that static analysis found.",
                SHARE,
                Query(newest(m.PENALISED), "{{run}} · located error"),
                Query(newest(m.STATIC), "{{run}} · static finding"),
                soft=0.2,
            ),
        ],
    )


def _evaluations() -> Row:
    return Row(
        "Held-out problems, judged by hidden tests",
        8,
        [
            bars(
                "pass@k",
                "How likely at least one of k programs passes, by evaluation, with the decoding chosen above.",
                SHARE,
                *_held_out(m.EVAL_PASS, "k", setting="$setting"),
                colours=EVALUATIONS,
            ),
            bars(
                "pass@1 by difficulty",
                "At the recipe's first temperature.",
                SHARE,
                *_held_out(m.EVAL_DIFFICULTY, "difficulty"),
                colours=EVALUATIONS,
            ),
            bars(
                "Visible–hidden gap",
                "The share of held-out programs that pass the tests shown in the problem and fail the hidden ones. "
                "A gap that training widens means that it learns to please weak tests.",
                SHARE,
                *_held_out(m.EVAL_GAP),
                colours=EVALUATIONS,
            ),
        ],
    )


def _rewards() -> Row:
    return Row(
        "Rewards and losses",
        8,
        [
            lines(
                "Rewards",
                "Means of the newest step: coarse, by a program's outcome; adaptive, by the share of tests that it passes.",
                COUNT,
                Query(newest(m.REWARD_COARSE), "{{run}} · coarse"),
                Query(newest(m.REWARD_ADAPTIVE), "{{run}} · adaptive"),
            ),
            lines(
                "Advantages",
                "How far the step's rewards lie from what was expected: with a size near 0 there is nothing to learn from.",
                COUNT,
                Query(newest(m.ADVANTAGE_MEAN), "{{run}} · mean"),
                Query(newest(m.ADVANTAGE_SIZE), "{{run}} · mean size"),
            ),
            lines(
                "Losses",
                "Each term as it enters the total. One that dwarfs the others decides alone what is learnt.",
                COUNT,
                Query(newest(m.LOSS, "term"), "{{run}} · {{term}}"),
            ),
            lines(
                "Gradient norm",
                "Before clipping. Peaks are steps that clipping had to tame.",
                COUNT,
                Query(newest(m.GRAD_NORM)),
                log=True,
            ),
        ],
    )


def _signals() -> Row:
    return Row(
        "Is the policy still healthy?",
        8,
        [
            lines(
                "Entropy",
                "How undecided the policy is over the sampled tokens. A fall towards 0: it writes one program for ever.",
                NATS,
                Query(newest(m.POLICY_ENTROPY), "{{run}} · learner"),
                Query(newest(m.ENTROPY), "{{run}} · sampler"),
            ),
            lines(
                "KL divergence",
                "Distance per token to the policy that sampled, and to the frozen reference where the objective has one.",
                NATS,
                Query(newest(m.KL_BEHAVIOUR), "{{run}} · sampler"),
                Query(newest(m.KL_REFERENCE), "{{run}} · reference"),
            ),
            lines(
                "Importance ratios",
                "The learner's probability of the sampled tokens over the sampler's: 1 where programs are fresh.",
                COUNT,
                Query(newest(m.RATIO_MEAN), "{{run}} · mean"),
                Query(newest(m.RATIO_MAX), "{{run}} · largest"),
                log=True,
            ),
            lines(
                "Shares of a step",
                "Groups whose programs all earned the same teach nothing; clipped tokens teach less; truncated programs "
                "met the token limit; effective: tokens that count as if freshly sampled; skipped updates overflowed.",
                SHARE,
                Query(newest(m.ZERO_VARIANCE), "{{run}} · groups without contrast"),
                Query(newest(m.CLIPPED), "{{run}} · clipped tokens"),
                Query(newest(m.TRUNCATED), "{{run}} · truncated programs"),
                Query(newest(m.EFFECTIVE), "{{run}} · effective tokens"),
                Query(ratio(rate(m.UPDATES, result="skipped"), rate(m.UPDATES)), "{{run}} · skipped updates"),
                colours={"skipped updates": WORRYING},
            ),
        ],
    )
