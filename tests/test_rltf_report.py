"""The report: its numbers, its honesty, and that nothing a program says gets out of its box."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
import yaml
from fake_run import (
    example,
    passing,
    record_steps,
    result,
    summary,
    tokens,
    undefined_on_a_path_not_taken,
    write_run,
)

from contracts.config import Recipe
from contracts.errors import UserError
from contracts.recipe import write_recipe
from contracts.records import Outcome
from contracts.sections import MonitorConfig
from contracts.summary import Figures, Gap, StageResult, write_summary
from rltf import plots
from rltf.examples import append_examples, read_examples
from rltf.monitor import Monitor
from rltf.report import write_report


class Page(HTMLParser):
    """What a browser makes of the page: its text, its marked tokens, its tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.marks: list[tuple[str, str]] = []
        self.programs: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in {"meta", "br", "img", "link"}:
            self._open.append(tag)
        if tag in {"td", "th"}:
            self.text += " "
        if tag == "mark":
            self.marks.append(("", dict(attributes).get("title") or ""))
        if tag == "pre" and "article" in self._open:
            self.programs.append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        self.text += data
        if "mark" in self._open:
            self.marks[-1] = (self.marks[-1][0] + data, self.marks[-1][1])
        if "pre" in self._open and "article" in self._open:
            self.programs[-1] += data


def _page(folder: Path) -> Page:
    return Page(write_report(folder).read_text(encoding="utf-8"))


def _words(page: Page) -> str:
    return " ".join(page.text.split())


# -- the page


def test_page_shows_the_run(tmp_path: Path) -> None:
    page = _page(write_run(tmp_path / "run"))
    words = _words(page)
    assert "RLTF is ahead by 0.19 ± 0.03." in words.replace("\u00a0", " ")
    assert "pass@1, T = 1.0 0.30 ± 0.02 0.33 ± 0.02 0.52 ± 0.02" in words
    assert "pass@5, T = 0.6 0.75 0.78 0.97" in words
    assert "pass@1, greedy 0.77 ± 0.02 0.78 ± 0.02 0.79 ± 0.02" in words
    assert "syntax error 30% 27% 14%" in words
    assert "it was 1.7 on average and 3 at most; it can never exceed 4 (sync_every" in words
    assert "labelled 14,464 used by an optimizer step 14,080" in words
    assert "displaced 256 too old 128" in words
    assert "SyntaxError 2,700 NameError 1,480 ValueError 410 IndentationError 264" in words
    assert "warm start 148.0" in words
    assert "sampling 71.5 executing 55.0 learning 77.0" in words
    assert "torch 2.13.0" in words
    assert "samples_per_problem: 20" in words
    assert "corpus, in which 50% of the programs carry an injected bug" in words
    assert "not finished" not in words
    assert "Not drawn" not in words
    assert len(re.findall("<svg ", (tmp_path / "run" / "report.html").read_text())) == 14
    assert "The objective is RLTF's own, a term" in words


def test_page_needs_no_network_and_runs_no_script(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    page = _page(folder)
    html = (folder / "report.html").read_text()
    assert page.tags.isdisjoint({"script", "link", "img", "iframe", "object", "image"})
    assert "default-src 'none'" in html
    assert set(re.findall(r'(?:src|href)="([^#"][^"]*)"', html)) == set()
    assert all(address.startswith("#") for address in re.findall(r"url\(([^)]*)\)", html))


def test_page_is_the_same_twice_and_nothing_else_is_left(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    first = write_report(folder).read_bytes()
    assert write_report(folder).read_bytes() == first
    assert {file.name for file in folder.iterdir()} == {
        "config.yaml",
        "metrics.jsonl",
        "summary.json",
        "examples.jsonl",
        "report.html",
    }


def test_hostile_text_is_shown_and_never_becomes_markup(tmp_path: Path) -> None:
    folder = write_run(tmp_path, errors={"<script>error()</script>": 5}, error="<script>why()</script>", status="failed")
    attack = "</pre></title><script>alert(1)</script>"
    hostile = example(
        **tokens(attack, '"><img src=x onerror=alert(2)>', "{{ 7*7 }}"),
        penalised=[False, True, True],
        question="<script>question()</script>",
        problem_id="<b>id</b>",
        message="<script>message()</script>",
        error_type="<i>Error</i>",
    )
    append_examples(folder, [hostile])
    page = _page(folder)
    assert page.tags.isdisjoint({"script", "img"})
    assert page.programs[-1].strip("\n") == hostile.text
    for text in ("<script>error()", "<script>why()", "<script>question()", "<script>message()", "<b>id</b>", "<i>Error</i>"):
        assert text in page.text
    assert "{{ 7*7 }}" in page.text


def test_marks_cover_exactly_the_penalised_tokens(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    page = _page(folder)
    legend, *marks = page.marks
    assert legend[0] == "coloured"
    line = ["for", " x", " in", " input", "()", ".split", "()", "\n"]
    assert [text for text, _ in marks] == [*line, "n", " =", " len", "n", "(s)"]
    assert marks[-3][1] == "token “ len”, fine reward -0.3"
    assert [text.removeprefix("\n") for text in page.programs] == [kept.text for kept in read_examples(folder)]


def test_static_findings_are_marked_apart_from_penalties(tmp_path: Path) -> None:
    both = example(static=[place == 7 for place in range(15)], findings=["undefined name 'lenn'"])
    write_summary(summary(), tmp_path / "summary.json")
    append_examples(tmp_path, [undefined_on_a_path_not_taken(), both])
    page = _page(tmp_path)
    assert page.marks == [
        ("coloured", ""),
        ("underlined", ""),
        ("cou", "token “cou”, in a static finding"),
        ("tn", "token “tn”, in a static finding"),
        ("n", "token “n”, fine reward -0.3"),
        (" =", "token “ =”, fine reward -0.3"),
        (" len", "token “ len”, fine reward -0.3, in a static finding"),
        ("n", "token “n”, fine reward -0.3"),
        ("(s)", "token “(s)”, fine reward -0.3"),
    ]
    classes = re.findall(r'<mark class="([^"]*)"', (tmp_path / "report.html").read_text())
    assert classes == ["fine", "static", "static", "static", "fine", "fine", "fine static", "fine", "fine"]
    assert "static analysisundefined name 'coutn' rewards" in _words(page)
    assert [text.removeprefix("\n") for text in page.programs] == [kept.text for kept in read_examples(tmp_path)]


def test_findings_say_nothing_as_markup(tmp_path: Path) -> None:
    write_summary(summary(), tmp_path / "summary.json")
    append_examples(tmp_path, [example(findings=["undefined name '<script>'"])])
    page = _page(tmp_path)
    assert "undefined name '<script>'" in page.text
    assert "script" not in page.tags


def test_a_wrong_answer_is_called_one_and_told(tmp_path: Path) -> None:
    write_summary(summary(), tmp_path / "summary.json")
    words = "test 2: expected '<4>', got '2'; the input is '2'"
    wrong = example(outcome=Outcome.FAILURE, detail=None, error_type=None, category=None, message=words, passed=1)
    append_examples(tmp_path, [wrong])
    assert f"wrong answer{words} rewards" in _words(_page(tmp_path))


def test_examples_of_runs_without_static_analysis_are_read(tmp_path: Path) -> None:
    row = json.loads(msgspec.json.encode(passing()))
    del row["static"], row["findings"]
    (tmp_path / "examples.jsonl").write_text(json.dumps(row) + "\n")
    assert read_examples(tmp_path) == [passing()]
    assert "underlined" not in _words(_page(tmp_path))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"status": "running"}, "not finished: step 110 of 110 at the last look"),
        ({"status": "interrupted", "steps": 110}, "interrupted at step 110 of 110; it can be taken up again"),
        ({"status": "failed", "error": "disk full"}, "failed at step 110: disk full"),
    ],
)
def test_page_of_an_unfinished_run_says_so(tmp_path: Path, changes: dict, words: str) -> None:
    assert words in _words(_page(write_run(tmp_path, **changes)))


def test_page_of_a_run_that_has_only_begun(tmp_path: Path) -> None:
    write_recipe(Recipe(name="new", steps=7), tmp_path / "config.yaml")
    words = _words(_page(tmp_path))
    assert "No model of this run has been evaluated yet." in words
    assert "Not in the run's folder yet: the measurements of each step, the results, sample programs." in words
    assert "step 0 of 7" in words
    assert words.count("Not drawn") == 7


def test_page_before_the_first_summary_counts_by_the_measurements(tmp_path: Path) -> None:
    record_steps(tmp_path, steps=10)
    words = _words(_page(tmp_path))
    assert "not finished: step 10 at the last look" in words
    assert "labelled 1,280 used" in words
    assert words.count("Not drawn") == 1  # pass@1


def test_page_with_a_single_step_draws_no_lines(tmp_path: Path) -> None:
    record_steps(tmp_path, steps=1)
    assert _words(_page(tmp_path)).count("Not drawn") == 7


def test_page_without_a_recipe_says_nothing_of_the_objective(tmp_path: Path) -> None:
    write_summary(summary(), tmp_path / "summary.json")
    assert "The objective" not in _words(_page(tmp_path))


def test_page_without_an_evaluation_of_the_control(tmp_path: Path) -> None:
    words = _words(_page(write_run(tmp_path, control=None)))
    assert "pass@1, T = 1.0 0.30 ± 0.02 0.52 ± 0.02" in words
    assert "+ 110 supervised steps" not in words


def test_page_of_a_run_without_online_training(tmp_path: Path) -> None:
    folder = write_run(tmp_path, final=None, steps=0)
    (folder / "metrics.jsonl").unlink()
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump(config | {"online": False}))
    words = _words(_page(folder))
    assert "the recipe asks for no online training." in words
    assert "+ 110 supervised steps" in words, "the control's steps are the recipe's, not those of the online stage"
    assert "not finished" not in words


def test_page_says_what_supervised_steps_imitated(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["problems"]["primer"] |= {"misunderstood": 0.3, "misconception_rate": 0.6}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert "in 30% of the problem families, 60% follow a wrong idea" in _words(_page(folder))
    config["problems"]["path"] = "apps"
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert "imitated the problem set's own corpus where it ships one" in _words(_page(folder))
    config["problems"]["corpus"] = "verified"
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert "imitated those programs that pass their problem's tests of the problem set's own corpus" in _words(_page(folder))


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no run"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_evaluations_folder_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "samples.jsonl").touch()
    (tmp_path / "summary.json").write_text('{"status": "done", "problems": 1}')
    with pytest.raises(UserError) as caught:
        write_report(tmp_path)
    assert caught.value.message == f"{tmp_path} is an evaluation"
    assert caught.value.remedy == "`rltf compare` reads it, `rltf report` is for runs"


@pytest.mark.parametrize("name", ["summary.json", "examples.jsonl", "config.yaml"])
def test_a_broken_file_is_named_as_bad_input(tmp_path: Path, name: str) -> None:
    write_run(tmp_path)
    (tmp_path / name).write_text("{broken: [\n")
    with pytest.raises(UserError, match="cannot be read"):
        write_report(tmp_path)


def test_an_objective_that_this_version_does_not_know_is_named_as_bad_input(tmp_path: Path) -> None:
    write_run(tmp_path)
    (tmp_path / "config.yaml").write_text("objective: {kind: unheard-of}\n")
    with pytest.raises(UserError, match=r"cannot be read(.|\n)*unheard-of"):
        write_report(tmp_path)


# -- plots


def test_outcome_shares_are_of_new_programs_not_of_totals() -> None:
    rows = [
        {
            "step": step,
            "programs_total": {"train|easy|pass": 6.0 * step, "train|hard|pass": 4.0 * step, "train|easy|failure": 90.0},
        }
        for step in range(1, 5)
    ]
    assert list(plots._gains(rows, outcome=Outcome.PASS)) == [10, 10, 10, 10]
    assert list(plots._gains(rows, outcome=Outcome.FAILURE)) == [90, 0, 0, 0]
    assert list(plots._gains(rows, difficulty="hard")) == [4, 4, 4, 4]
    assert list(plots._gains(rows)) == [100, 10, 10, 10]


def test_a_figure_is_rounded_alike_as_a_rate_and_as_a_share(tmp_path: Path) -> None:
    words = _words(_page(write_run(tmp_path, final=result(0.665, 0.8, (0.665, 0.335, 0.0, 0.0)))))
    assert "pass@1, T = 1.0 0.30 ± 0.02 0.33 ± 0.02 0.67 ± 0.02" in words
    assert "pass 30% 33% 67%" in words


def test_busy_time_is_that_of_the_online_stage(tmp_path: Path) -> None:
    seconds = [("evaluate start", 2.0), ("online", 5.0), ("online", 7.25), ("evaluate final", 50.0)]
    with Monitor("mine", tmp_path, MonitorConfig(prometheus_port=0)) as monitor:
        for stage, sampling in seconds:
            learning = {"learning": 1.5} if stage == "online" else {}
            monitor.record(stage, {"phase_seconds_total": {"sampling": sampling, **learning}})
    text = _words(_page(tmp_path))
    assert "Busy time by part, online training seconds sampling 5.2 learning 1.5 " in text, text[text.index("Busy") :][:99]


def test_long_runs_make_no_longer_drawings() -> None:
    def drawing(steps: int) -> str:
        rows = [{"step": step, "step_seconds": 1.0 + step % 7} for step in range(steps)]
        return plots.seconds_per_step(rows) or ""

    assert len(drawing(20_000)) < 1.2 * len(drawing(500))


def test_lag_bound_is_drawn_only_where_it_fits() -> None:
    rows = [{"step": step, "lag_max_steps": 2.0, "lag_mean_steps": 1.0} for step in range(9)]
    assert ">bound<" in (plots.lag(rows, 4) or "")
    assert ">bound<" not in (plots.lag(rows, 1000) or "")
    assert ">bound<" not in (plots.lag(rows, None) or "")


def test_numbers_that_are_not_there_leave_gaps() -> None:
    rows = [{"step": step, "reward_adaptive": None if step % 2 else 0.5, "reward_coarse": 0.1} for step in range(8)]
    assert "adaptive reward" in (plots.rewards(rows) or "")
    assert "coarse reward" in (plots.rewards(rows) or "")
    assert plots.rewards([{"step": step, "reward_adaptive": None} for step in range(8)]) is None


def test_summary_alone_is_enough_for_a_page(tmp_path: Path) -> None:
    write_summary(summary(), tmp_path / "summary.json")
    assert "RLTF is ahead by" in _words(_page(tmp_path))


# -- difficulties, and what visible tests hide


def _figures(rate: float, problems: int) -> Figures:
    interval = {"1": (rate - 0.1, rate + 0.1)}
    return Figures(problems=problems, programs=8 * problems, pass_at_k={"1": rate}, intervals=interval, outcomes={}, errors={})


def _with(found: StageResult, **changes: object) -> StageResult:
    """The result with its evaluation at T = 1.0 changed."""
    changed = msgspec.structs.replace(found.evaluations["T=1.0"], **changes)
    return msgspec.structs.replace(found, evaluations=found.evaluations | {"T=1.0": changed})


def test_page_compares_models_by_difficulty_and_by_what_visible_tests_hide(tmp_path: Path) -> None:
    parts = {"competition": _figures(0.2, 50), "introductory": _figures(0.6, 100)}
    gap = Gap(programs=1200, visible=0.554, both=0.501, overfit=64)
    text = _words(_page(write_run(tmp_path, final=_with(result(0.52, 0.79), by_difficulty=parts, gap=gap))))
    assert "pass@1 at T = 1.0 by difficulty, with 95 % intervals over problems" in text
    assert "introductory, 100 problems – – 0.60 (0.50 … 0.70) competition, 50 problems – – 0.20 (0.10 … 0.30)" in text
    assert "pass the visible tests – – 55.4% pass the hidden ones as well – – 50.1%" in text


def test_summaries_from_before_difficulties_were_kept_are_still_read(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    written = json.loads((folder / "summary.json").read_bytes())
    for stage in ("start", "control", "final"):
        for evaluation in written[stage]["evaluations"].values():
            for key in ("intervals", "errors", "by_difficulty", "gap", "passed"):
                del evaluation[key]
    (folder / "summary.json").write_text(json.dumps(written))
    text = _words(_page(folder))
    assert "Held-out pass@1 at T = 1.0 rose" in text
    assert "with 95 % intervals" not in text
    assert "visible tests" not in text.replace("hidden and visible tests", "")
