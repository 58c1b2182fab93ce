"""Prompts to sampled completions, with our own decode loop: one place decides how tokens are drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from models.config import GenerationConfig
from models.shapes import Float, Int
from models.tokens import check_lengths, decode_completion, encode_prompt, pad, positions


@dataclass(frozen=True)
class Sample:
    """One sampled completion: its tokens (the end token included), its text, and whether it ended by itself."""

    tokens: list[int]
    text: str
    ended: bool


@torch.no_grad()
def sample_tokens(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    tokenizer: PreTrainedTokenizerBase,
    max_new_tokens: int,
    temperature: float,
    top_p: float,
    generator: torch.Generator,
) -> list[list[int]]:
    """Tokens of one completion per prompt, all in one batch; each stops after its end token or at the limit.

    Prompts are padded on the left and masked, so a prompt's distribution does not depend on its neighbours.
    """
    device = model.device
    batch = pad(prompts, tokenizer.pad_token_id, side="left").to(device)
    is_token = batch.is_token
    cache = DynamicCache()
    input_ids, position_ids = batch.input_ids, positions(is_token)
    running = torch.ones(len(batch), dtype=torch.bool, device=device)
    drawn = []
    for _ in range(max_new_tokens):
        logits = model(
            input_ids=input_ids,
            attention_mask=is_token.long(),
            position_ids=position_ids,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        tokens = _draw(logits.float() / temperature, top_p, generator)
        tokens = torch.where(running, tokens, tokenizer.pad_token_id)
        drawn.append(torch.where(running, tokens, -1))
        running = running & (tokens != tokenizer.eos_token_id)
        if not running.any():
            break
        input_ids = tokens.unsqueeze(-1)
        position_ids = position_ids[:, -1:] + 1
        is_token = torch.cat([is_token, torch.ones_like(is_token[:, :1])], dim=1)
    return [[token for token in row if token >= 0] for row in torch.stack(drawn, dim=1).tolist()]


def _draw(logits: Float[Tensor, "B V"], top_p: float, generator: torch.Generator) -> Int[Tensor, " B"]:
    """One token per row; with `top_p` below 1 only from the smallest set that holds that probability (Holtzman 2020)."""
    probabilities = torch.softmax(logits, dim=-1)
    if top_p < 1:
        descending, order = probabilities.sort(dim=-1, descending=True)
        outside = descending.cumsum(dim=-1) - descending >= top_p
        probabilities = probabilities.masked_fill(outside.scatter(-1, order, outside), 0.0)
    return torch.multinomial(probabilities, 1, generator=generator).squeeze(-1)


def sample_completions(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    temperature: float,
    batch_size: int,
    seed: int,
    top_p: float = 1.0,
) -> list[Sample]:
    """One completion per prompt text (repeat a prompt to get several), in the order given.

    Raises DataError for prompts that leave no room in the context for `max_new_tokens`.
    """
    encoded = [encode_prompt(tokenizer, prompt) for prompt in prompts]
    room = model.config.max_position_embeddings - max_new_tokens
    check_lengths(encoded, prompts, room, f"max_new_tokens={max_new_tokens}")
    generator = torch.Generator(device=model.device).manual_seed(seed)
    samples: list[Sample] = []
    for start in range(0, len(encoded), batch_size):
        rows = sample_tokens(
            model,
            encoded[start : start + batch_size],
            tokenizer,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_p=top_p,
            generator=generator,
        )
        samples.extend(
            Sample(tokens, decode_completion(tokenizer, tokens), ended=tokens[-1] == tokenizer.eos_token_id)
            for tokens in rows
        )
    return samples


def sample_distinct(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    config: GenerationConfig,
    seed: int,
) -> list[list[Sample]]:
    """Up to K different, non-empty completions of each prompt, in the order they were drawn.

    What is empty or a repetition is drawn anew, `num_attempts` times in all; then the prompt goes on with fewer.
    """
    kept: list[dict[str, Sample]] = [{} for _ in prompts]
    for attempt in range(config.num_attempts):
        missing = [row for row, own in enumerate(kept) for _ in range(config.num_completions - len(own))]
        if not missing:
            break
        samples = sample_completions(
            model,
            tokenizer,
            [prompts[row] for row in missing],
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature,
            top_p=config.top_p,
            batch_size=config.batch_size,
            seed=seed + attempt,
        )
        for row, sample in zip(missing, samples, strict=True):
            if sample.text:
                kept[row].setdefault(sample.text, sample)
    return [list(own.values()) for own in kept]
