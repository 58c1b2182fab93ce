"""A judge model in the run's own process: a causal language model, whose probabilities of the answers are taken from it exactly."""

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from models.conversation import conversation
from models.generation.guards import require_faithful
from models.generation.sampling import sample_tokens
from models.judge_model.judge_model import Answer, Question
from models.network.architecture import context_length
from models.network.base import load_base, require_known
from models.network.dialogue import decode_completion, encode_completion, encode_prompt
from models.network.networks import freeze
from models.network.precision import autocast, pick_device, round_frozen
from models.settings.asked.judge_models import LocalModel
from models.settings.compute import Compute
from models.shapes import Float

GREEDY = 1e-5  # a temperature at which the likeliest token is drawn


def open_model(config: LocalModel) -> "_Local":
    """The model, loaded and frozen. Raises ConfigError as a base does: not found, no chat template, no decoder."""
    model, tokenizer = load_base(config.base)
    require_faithful(model, tokenizer)
    model = round_frozen(freeze(model), config.compute).to(pick_device(config.compute))
    return _Local(config.base.model_dump_json(), model, tokenizer, config.compute)


def tells_probabilities(config: LocalModel) -> bool:
    """It does. Raises ConfigError where there is no such model; it is not loaded yet."""
    require_known(config.base)
    return True


class _Local:
    num_at_once = 1
    price_prompt = price_completion = 0.0

    def __init__(
        self, identity: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, compute: Compute
    ) -> None:
        self.identity, self.model, self.tokenizer, self.compute = identity, model, tokenizer, compute

    def ask(self, question: Question) -> Answer:
        """Of a question with options the likeliest one, and the log-probabilities of all; else what it says, token by token the likeliest.

        A question that is longer than what the model reads gets no answer, and so no label.
        """
        asked = encode_prompt(self.tokenizer, conversation(question.messages))
        if len(asked) + question.max_tokens > context_length(self.model.config):
            return Answer(text=f"(the question has {len(asked)} tokens, which the model cannot read)")
        with autocast(self.compute):
            if not question.options:
                return self._said(asked, question.max_tokens)
            logprobs = self._of_options(asked, question.options)
        likeliest = max(logprobs, key=logprobs.__getitem__)
        return Answer(text=likeliest, logprobs=logprobs, prompt_tokens=len(asked), completion_tokens=1)

    def stop(self) -> None:
        """It never asks twice."""

    def _said(self, asked: list[int], max_tokens: int) -> Answer:
        given = {"temperature": GREEDY, "top_p": 1.0, "batch_size": 1, "seed": 0}
        (row,) = sample_tokens(self.model, [asked], max_new_tokens=max_tokens, **given)
        text = decode_completion(self.tokenizer, row.tokens)
        return Answer(text=text, prompt_tokens=len(asked), completion_tokens=len(row.tokens))

    def _of_options(self, asked: list[int], options: tuple[str, ...]) -> dict[str, float]:
        """Of each option the sum of its tokens' log-probabilities; nearly always it is one token, and one pass serves all."""
        first = self._next(asked)
        logprobs = {}
        for option in options:
            tokens = encode_completion(self.tokenizer, option, ended=False)
            rest = (self._next(asked + tokens[:place])[tokens[place]] for place in range(1, len(tokens)))
            logprobs[option] = (first[tokens[0]] + sum(rest)).item()
        return logprobs

    @torch.no_grad()
    def _next(self, tokens: list[int]) -> Float[Tensor, " V"]:
        """Log-probabilities of what comes next."""
        logits = self.model(torch.tensor([tokens], device=self.model.device), use_cache=False, logits_to_keep=1).logits
        return logits[0, -1].float().log_softmax(dim=-1)
