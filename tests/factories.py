"""Small records for tests."""

from __future__ import annotations

from contracts.records import Group, LabelledGroup, Labels, Outcome, Program, Verdict


def program(text: str = "ab", *, greedy: bool = False) -> Program:
    """A program of one token per character."""
    size = len(text)
    return Program(
        text=text,
        token_ids=[ord(char) for char in text],
        logprobs=[-0.5] * size,
        starts=list(range(size)),
        ends=list(range(1, size + 1)),
        greedy=greedy,
    )


def labelled(
    key: str, *, version: int = 0, samples: int = 2, coarse: tuple[float, ...] | None = None, greedy: float | None = None
) -> LabelledGroup:
    """A group of `samples` programs with these coarse rewards, and a greedy one where its reward is given."""
    rewards = list(coarse or (1.0,) * samples)
    programs = [program() for _ in rewards]
    if greedy is not None:
        rewards.append(greedy)
        programs.append(program(greedy=True))
    return LabelledGroup(
        group=Group(
            id=key, problem_id="p", batch=0, policy_version=version, temperature=1.0, prompt_ids=[1, 2], programs=programs
        ),
        verdicts=[Verdict(outcome=Outcome.PASS if reward > 0 else Outcome.FAILURE, total=1) for reward in rewards],
        labels=[Labels(coarse=reward, fine=0.0, adaptive=reward, penalised=[False, False]) for reward in rewards],
    )
