"""Sampling programs with `transformers` generation. Plain torch: the Ray actor around it is actors/actor.py."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    StoppingCriteriaList,
)

from actors.behaviour import BehaviourPolicy
from actors.stopping import StopTexts
from contracts.errors import RunError
from contracts.records import Group, Problem, Program
from contracts.sections import PromptConfig, SamplingConfig
from models.answers import AnswerForm
from models.load import end_tokens, forget_generation_defaults
from models.offsets import decode_with_offsets
from models.prompts import Prompt, build_prompt
from models.scoring import pad_rows


class Sampler:
    """Owns a model copy, used for nothing else, and turns batches of problems into groups of programs."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, sampling: SamplingConfig, prompt: PromptConfig
    ) -> None:
        self.model = model.eval()
        self._tokenizer = tokenizer
        self._sampling = sampling
        self._prompt_config = prompt
        self._prompts: dict[str, Prompt] = {}
        self._ends = end_tokens(model, tokenizer)
        forget_generation_defaults(model)

    @torch.inference_mode()
    def sample(
        self,
        problems: Sequence[Problem],
        *,
        batch: int,
        version: int,
        seed: str,
        greedy: bool,
        sampling: SamplingConfig | None = None,
    ) -> list[Group]:
        """One group per problem: n sampled programs and, where `greedy`, one decoded greedily.

        The result is a function of the weights and the arguments: `seed` decides all draws. `sampling` replaces the
        recipe's parameters (in evaluations); samples_per_problem may then be 0 for greedy programs alone. Raises RunError
        where the model's logits are not finite.
        """
        how = sampling or self._sampling
        prompts = [self._prompt(problem) for problem in problems]
        per_problem = how.samples_per_problem + greedy
        is_greedy = [greedy and i == how.samples_per_problem for _ in problems for i in range(per_problem)]
        asked = [problem for problem in problems for _ in range(per_problem)]
        form = AnswerForm(self._prompt_config.answer, how.stop)
        drawn = self._generate(asked, is_greedy, how, form, seed)
        programs = [
            self._program(ids, values, greedy_row, form, problem)
            for (ids, values), greedy_row, problem in zip(drawn, is_greedy, asked, strict=True)
        ]
        return [
            Group(
                id=f"{batch:06d}-{problem.id}",
                problem_id=problem.id,
                batch=batch,
                policy_version=version,
                temperature=how.temperature,
                prompt_ids=prompt.token_ids,
                prompt_cut=prompt.cut,
                programs=programs[i * per_problem : (i + 1) * per_problem],
            )
            for i, (problem, prompt) in enumerate(zip(problems, prompts, strict=True))
        ]

    def _prompt(self, problem: Problem) -> Prompt:
        if problem.id not in self._prompts:
            self._prompts[problem.id] = build_prompt(problem, self._tokenizer, self._prompt_config)
        return self._prompts[problem.id]

    def _generate(
        self, asked: list[Problem], greedy: list[bool], how: SamplingConfig, form: AnswerForm, seed: str
    ) -> list[tuple[list[int], list[float]]]:
        """Each row's generated token ids and their behaviour log-probs; what follows an end token means nothing."""
        device = self.model.device
        policy = BehaviourPolicy(how.temperature, how.top_p, how.top_k, torch.tensor(greedy, device=device))
        ids, mask = pad_rows([self._prompt(problem).token_ids for problem in asked], self._tokenizer.pad_token_id, left=True)
        start = 1 if self.model.config.is_encoder_decoder else ids.shape[1]
        fn_names = [problem.fn_name for problem in asked]
        stops = StopTexts(form, self._tokenizer, start, fn_names) if form.stop else None
        seed_torch(seed)
        output = self.model.generate(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            logits_processor=LogitsProcessorList([policy]),
            stopping_criteria=StoppingCriteriaList([stops] if stops else []),
            generation_config=self._generation_config(how.max_new_tokens),
        )
        lengths = [stops.lengths.get(row) if stops else None for row in range(len(asked))]
        generated, logprobs = output[:, start:].tolist(), policy.logprobs(output).tolist()
        return [(row[:n], values[:n]) for row, values, n in zip(generated, logprobs, lengths, strict=True)]

    def _generation_config(self, max_new_tokens: int) -> GenerationConfig:
        """Everything that shapes the distribution is off: BehaviourPolicy alone does that."""
        return GenerationConfig(
            max_new_tokens=max_new_tokens,
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            repetition_penalty=1.0,
            num_beams=1,
            eos_token_id=self._ends,
            pad_token_id=self._tokenizer.pad_token_id,
            decoder_start_token_id=getattr(self.model.config, "decoder_start_token_id", None),
        )

    def _program(self, ids: list[int], logprobs: list[float], greedy: bool, form: AnswerForm, problem: Problem) -> Program:
        written = next((at for at, token in enumerate(ids) if token in self._ends), len(ids))
        ended = written < len(ids)
        if any(map(math.isnan, logprobs[: written + ended])):
            raise RunError(
                f"the model's logits are not finite, in {self.model.dtype} (problem {problem.id})",
                "Choose another deepspeed.precision: bf16 or fp32 for what fp16 cannot hold; in fp32 the weights are broken",
            )
        goes_on = form.kind == "completion" and problem.starter_code and not self.model.config.is_encoder_decoder
        before = self._prompt(problem).token_ids[-1:] if goes_on else ()
        text, starts, ends = decode_with_offsets(ids[:written], self._tokenizer, before)
        after = [len(text)] * ended  # the end token's span is empty, also where the tokenizer takes it for text
        answer = form.read(text, problem.starter_code, problem.fn_name)
        return Program(
            text=text,
            token_ids=ids[: written + ended],
            logprobs=logprobs[: written + ended],
            starts=starts + after,
            ends=ends + after,
            truncated=not ended and not answer.stopped and answer.end is None,
            greedy=greedy,
            prefix=answer.prefix,
            code_start=answer.start,
            code_end=answer.end,
        )


def seed_torch(seed: str) -> None:
    """Seed torch's global generator, which `generate` draws from, with a text."""
    torch.manual_seed(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "little"))
