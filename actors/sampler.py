"""Sampling programs with `transformers` generation. Plain torch: the Ray actor around it is actors/actor.py."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessorList, PreTrainedModel, PreTrainedTokenizerFast

from actors.behaviour import BehaviourPolicy
from contracts.records import Group, Problem, Program
from contracts.sections import PromptConfig, SamplingConfig
from models.load import forget_generation_defaults
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
        recipe's parameters (in evaluations); samples_per_problem may then be 0 for greedy programs alone.
        """
        how = sampling or self._sampling
        prompts = [self._prompt(problem) for problem in problems]
        per_problem = how.samples_per_problem + greedy
        is_greedy = [greedy and i == how.samples_per_problem for _ in problems for i in range(per_problem)]
        rows = [prompt.token_ids for prompt in prompts for _ in range(per_problem)]
        tokens, logprobs = self._generate(rows, is_greedy, how, seed)
        programs = [
            self._program(ids, values, is_greedy_row)
            for ids, values, is_greedy_row in zip(tokens.tolist(), logprobs.tolist(), is_greedy, strict=True)
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

    def _generate(self, prompts: list[list[int]], greedy: list[bool], how: SamplingConfig, seed: str) -> tuple[Tensor, Tensor]:
        """Generated token ids and their behaviour log-probs, both [B, T]; what follows an end token means nothing."""
        device = self.model.device
        policy = BehaviourPolicy(how.temperature, how.top_p, how.top_k, torch.tensor(greedy, device=device))
        ids, mask = pad_rows(prompts, self._tokenizer.pad_token_id, left=True)
        seed_torch(seed)
        output = self.model.generate(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            logits_processor=LogitsProcessorList([policy]),
            generation_config=self._generation_config(how.max_new_tokens),
        )
        start = 1 if self.model.config.is_encoder_decoder else ids.shape[1]
        return output[:, start:], policy.logprobs(output)

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
            eos_token_id=self._tokenizer.eos_token_id,
            pad_token_id=self._tokenizer.pad_token_id,
            decoder_start_token_id=self.model.generation_config.decoder_start_token_id,
        )

    def _program(self, ids: list[int], logprobs: list[float], greedy: bool) -> Program:
        end = self._tokenizer.eos_token_id
        truncated = end not in ids
        length = len(ids) if truncated else ids.index(end) + 1
        text, starts, ends = decode_with_offsets(ids[:length], self._tokenizer)
        return Program(
            text=text,
            token_ids=ids[:length],
            logprobs=logprobs[:length],
            starts=starts,
            ends=ends,
            truncated=truncated,
            greedy=greedy,
        )


def seed_torch(seed: str) -> None:
    """Seed torch's global generator, which `generate` draws from, with a text."""
    torch.manual_seed(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "little"))
