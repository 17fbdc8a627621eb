"""The critic: learnt from judged programs, told apart from the majority's outcome, and used in a run."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path

import msgspec
import pytest
import torch
from rich.console import Console

from contracts.config import Recipe
from contracts.errors import UserError
from contracts.objective import ObjectiveConfig, ReferenceConfig
from contracts.records import Outcome, Problem, Test
from contracts.sections import ModelConfig, PrimerConfig, ProblemsConfig, PromptConfig, SamplingConfig
from contracts.training import CriticConfig, LearnerConfig, OptimizerConfig
from learner.advantages import Row
from learner.critic import CriticReport, assess, class_weights, hold_out, load_untrained, train_critic
from learner.engine import TorchEngine
from learner.frozen import CLASSES, Frozen, critic_logits
from models.load import load_tokenizer
from models.scoring import TokenBatch, collate
from models.tiny import build_model, train_tokenizer
from problems.primer import generate
from rltf.critic import judged_programs, make_critic
from tests.tiny_models import tiny_model, tiny_tokenizer


def test_outcomes_weigh_the_same_however_many_tokens_have_them() -> None:
    lengths = ((6, Outcome.PASS), (3, Outcome.FAILURE), (3, Outcome.FAILURE), (4, Outcome.SYNTAX_ERROR))
    rows = [Row([1], [2] * length, outcome=outcome) for length, outcome in lengths]
    weights = class_weights(rows)
    assert weights.tolist() == pytest.approx([16 / 18, 16 / 18, 0.0, 16 / 12])
    assert (weights * torch.tensor([6, 6, 0, 4])).sum() == pytest.approx(16)


def test_no_problem_is_on_both_sides_and_one_side_is_never_empty() -> None:
    programs = {f"p{i}": [Row([i], [j], outcome=CLASSES[j % 2]) for j in range(3)] for i in range(10)}
    train, heldout = hold_out(programs, 0.2, 0)
    assert (len(train), len(heldout)) == (24, 6)
    assert not {row.prompt_ids[0] for row in train} & {row.prompt_ids[0] for row in heldout}
    assert len(hold_out(programs, 0.01, 0)[1]) == 3
    assert hold_out(programs, 0.2, 1)[1] != heldout
    for few in ({"p": programs["p1"]}, {key: rows[:1] for key, rows in programs.items()}):
        with pytest.raises(UserError, match="fewer than two outcomes"):
            hold_out(few, 0.2, 0)


def test_the_first_steps_loss_is_the_weighted_cross_entropy_whatever_the_micro_batch(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path)
    rows = [Row([3, 4, 5], [30, 31], outcome=Outcome.PASS), Row([6], [40, 41, 42], outcome=Outcome.SYNTAX_ERROR)]
    losses = []
    for micro_batch in (1, 8):
        torch.manual_seed(0)
        critic = load_untrained(str(tmp_path)).eval()
        recipe = Recipe(name="t", critic=CriticConfig(steps=1, batch=8), learner=LearnerConfig(micro_batch=micro_batch))
        drawn = random.Random("critic/0").choices(rows, k=8)
        weights, above, below = class_weights(rows).tolist(), 0.0, 0.0
        with torch.no_grad():
            for row in drawn:
                logits = critic(torch.tensor([[*row.prompt_ids, *row.token_ids]])).logits[0, len(row.prompt_ids) :]
                label = CLASSES.index(row.outcome)
                above -= weights[label] * logits.log_softmax(-1)[:, label].sum().item()
                below += weights[label] * len(row.token_ids)
        losses += list(train_critic(TorchEngine(critic, OptimizerConfig(lr=1e-3), 1), rows, recipe, 0))
        assert losses[-1] == pytest.approx(above / below, rel=1e-5)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_the_report_counts_what_is_said_at_the_last_token(monkeypatch: pytest.MonkeyPatch) -> None:
    true = (Outcome.PASS, Outcome.PASS, Outcome.PASS, Outcome.FAILURE, Outcome.SYNTAX_ERROR)
    said = (Outcome.PASS, Outcome.PASS, Outcome.FAILURE, Outcome.FAILURE, Outcome.PASS)
    rows = [
        Row([9], [20 + CLASSES.index(answer)] * (i + 1), outcome=outcome)
        for i, (outcome, answer) in enumerate(zip(true, said, strict=True))
    ]

    def logits(_: object, batch: TokenBatch) -> torch.Tensor:
        ids = batch.program_ids
        answers = torch.nn.functional.one_hot((ids - 20).clamp(0, 3), 4).float()
        answers[:, :-1] *= torch.where(ids[:, 1:] > 0, -1, 1).unsqueeze(-1)  # the opposite at all tokens but the last
        return answers

    monkeypatch.setattr("learner.critic.critic_logits", logits)
    report = assess(tiny_model(), rows, rows[:1], 0, 2)
    assert report.accuracy == pytest.approx(3 / 5)
    assert report.majority == pytest.approx(3 / 5)
    assert report.recall == pytest.approx({"pass": 2 / 3, "failure": 1.0, "syntax_error": 0.0})
    assert report.trained == {"pass": 1}


def test_families_without_a_token_classifier_are_refused(tmp_path: Path) -> None:
    tiny_model("codegen").save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"transformers has none for codegen\. Name with --model a model of another family"):
        load_untrained(str(tmp_path))


@pytest.mark.parametrize("family", ["llama", "t5", "gpt2", "qwen2"])
def test_other_families_keep_the_models_weights(family: str, tmp_path: Path) -> None:
    model = tiny_model(family)
    model.save_pretrained(tmp_path)
    critic = load_untrained(str(tmp_path)).train()
    assert [module.p for module in critic.modules() if isinstance(module, torch.nn.Dropout) and module.p] == []
    assert torch.equal(critic.get_input_embeddings().weight, model.get_input_embeddings().weight)
    with torch.no_grad():
        assert critic_logits(critic, collate([[3], [4, 5]], [[6, 7], [8]], 0)).shape == (2, 2, 4)


PROMPT = PromptConfig(template="{question}\n", max_tokens=200)


def sample(key: str, outcome: str | None, **fields: object) -> str:
    return json.dumps({"problem_id": key, "outcome": outcome, **fields}) + "\n"


def test_rows_are_read_with_what_cannot_be_learnt_from_counted(tmp_path: Path) -> None:
    test = (Test("1\n", "1\n"),)
    problems = {key: Problem(id=key, question="Print n.", tests=test, solutions=("x = 1\n",)) for key in "ab"}
    file, tokenizer = tmp_path / "samples.jsonl", tiny_tokenizer()
    file.write_text(
        sample("a", "pass", code="print(1)") + "\n" + sample("a", "failure", text="print(2)", code="other")
        + sample("c", "pass", code="x") + sample("b", "sandbox_error", code="x") + sample("b", None, code="x")
        + sample("b", "syntax_error", code="x" * 500)
    )  # fmt: skip
    recipe = Recipe(name="t", prompt=PROMPT, sampling=SamplingConfig(max_new_tokens=40), critic=CriticConfig(solutions=True))
    programs, left_out = judged_programs([file], problems, tokenizer, recipe)
    told = {key: [(tokenizer.decode(row.token_ids[:-1]), row.outcome.value) for row in rows] for key, rows in programs.items()}
    assert told == {"a": [("print(1)", "pass"), ("print(2)", "failure"), ("x = 1\n", "pass")]}
    assert programs["a"][0].prompt_ids == tokenizer("Print n.\n").input_ids
    assert sorted(left_out.values()) == [1, 1, 2]
    assert left_out["they have no verdict"] == 2
    for line, words in (
        ("{", "line 2: Input data was truncated"),
        ('{"problem_id": "a", "outcome": "pass"}', "line 2: it has no text"),
    ):
        file.write_text(sample("a", "pass", code="x") + line + "\n")
        with pytest.raises(UserError, match=words):
            judged_programs([file], problems, tokenizer, recipe)


def broken(text: str, draws: random.Random) -> tuple[str, str]:
    """A program and its outcome, known from how it was broken."""
    how = draws.choice(["pass", "pass", "syntax_error", "runtime_error"])
    lines = text.splitlines()
    place = draws.randrange(len(lines) + 1)
    if how == "syntax_error":
        lines.insert(place, "print((1, 2)")
    elif how == "runtime_error":
        lines.insert(0, "missing_name += 1")
    return "\n".join(lines) + "\n", how


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Recipe, CriticReport, str]:
    """A critic of primer programs, some of them broken, and what was printed."""
    folder = tmp_path_factory.mktemp("critic")
    recipe = Recipe(
        name="t",
        problems=ProblemsConfig(primer=PrimerConfig(train=60, heldout=6, bug_rate=0.0)),
        prompt=PROMPT,
        sampling=SamplingConfig(max_new_tokens=200),
        critic=CriticConfig(steps=120, batch=16, optimizer=OptimizerConfig(lr=2e-3, warmup_steps=5)),
        learner=LearnerConfig(micro_batch=16),
    )
    problems, draws = generate(recipe.problems.primer, recipe.seed).train, random.Random(0)
    tokenizer = train_tokenizer([text for p in problems for text in (p.question, *p.solutions)], 400, 420)
    torch.manual_seed(0)
    build_model(ModelConfig(width=48, layers=2), tokenizer).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    with (folder / "samples.jsonl").open("w") as file:
        for problem in problems:
            for _ in range(4):
                code, outcome = broken(problem.solutions[0], draws)
                file.write(sample(problem.id, outcome, code=code))
    shown = io.StringIO()
    report = make_critic(recipe, [folder], folder / "critic", str(folder / "model"), Console(file=shown, width=110))
    return folder, recipe, report, shown.getvalue()


def test_a_critic_of_broken_programs_beats_the_majority(trained: tuple[Path, Recipe, CriticReport, str]) -> None:
    folder, _, report, shown = trained
    assert sum(report.heldout.values()) == 48
    assert sum(report.trained.values()) == 192
    assert report.accuracy > report.majority + 0.2
    assert report.recall["runtime_error"] > 0.8
    assert msgspec.json.decode((folder / "critic" / "critic.json").read_bytes(), type=CriticReport) == report
    assert f"{report.accuracy:.3f}" in shown
    assert f"{report.majority:.3f}" in shown


def test_a_run_finds_in_it_the_critic_that_it_asks_for(trained: tuple[Path, Recipe, CriticReport, str]) -> None:
    folder, recipe, _, _ = trained
    objective = ObjectiveConfig(kind="rltf_reference", reference=ReferenceConfig(critic=folder / "critic"))
    frozen = Frozen(recipe.model_copy(update={"objective": objective}), str(folder / "model"), "cpu")
    tokenizer = load_tokenizer(str(folder / "critic"))
    prompt = tokenizer("Print the sum.\n").input_ids
    program = tokenizer("missing_name += 1\nprint(1)\n").input_ids
    batch = collate([prompt] * 2, [program] * 2, 0)
    weights = frozen.critic_weights(batch, [Outcome.RUNTIME_ERROR, Outcome.PASS])
    assert weights is not None
    assert weights[0, -1] > 0.8 > 0.2 > weights[1, -1]


def test_a_critic_needs_a_model_and_replaces_nothing_else(tmp_path: Path) -> None:
    recipe, console = Recipe(name="t"), Console(file=io.StringIO())
    with pytest.raises(UserError, match=r"no model to begin with\. Name one with --model"):
        make_critic(recipe, [tmp_path], tmp_path / "critic", None, console)
    (tmp_path / "critic").mkdir()
    (tmp_path / "critic" / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="holds something else than a critic"):
        make_critic(recipe, [tmp_path], tmp_path / "critic", "model", console)
    with pytest.raises(UserError, match="no samples at"):
        make_critic(recipe, [tmp_path / "nowhere"], tmp_path / "other", "model", console)
