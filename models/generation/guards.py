"""Whether Rein reads a network as its makers' code does, asked before anybody labels and before anything is learned.

What is compared, on a few short texts, with the network as it was loaded (transformers' plainest attention, a text by itself, no cache):
log-probabilities as they are learned from, those that are sampled from, and the score that a reward model on the same body gives.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from models.errors import ConfigError
from models.generation.decoding import Decoder, Row
from models.network.architecture import context_length
from models.network.attention import is_padded, pad_rows, set_attention
from models.network.logprobs import token_logprobs
from models.network.networks import RewardModel
from models.network.packing import PackedBatch

TEXTS = (
    "Boil the rice for twelve minutes, pour the water off and let it stand; the lid stays on.",
    "Why do leaves fall?",
    "The ship sailed at dawn, and by noon the coast had gone.",
)
MAX_TOKENS = 16
TOLERANCE = 1e-4
"""As a share of the largest number. Rounding in float32 makes 1e-6 of it; attention sinks, caps or positions that are dropped make tenths."""

Tokens = Sequence[list[int]]


@torch.no_grad()
def require_faithful(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Lays a network's sequences out so that its numbers are those of its makers' code: packed or, where only that gives them, as padded
    rows, which is slower. The choice is kept in the network's config, and saved with it: `is_padded`.

    Raises ConfigError where neither gives them.
    """
    longest = min(MAX_TOKENS, context_length(model.config))
    sequences = [tokenizer(text, add_special_tokens=False).input_ids[:longest] for text in TEXTS]
    was_training = model.training
    reward_model = RewardModel.over(model.eval())
    expected = _as_loaded(model, reward_model, sequences)
    complaint = _complaint(model, reward_model, sequences, expected)
    if complaint and not is_padded(model):
        for network in (model, reward_model.model):
            pad_rows(network)
        complaint = _complaint(model, reward_model, sequences, expected)
    if complaint:
        raise ConfigError(
            f"base.model: {type(model).__name__} is not read as transformers reads it: {complaint}; use another base, such as "
            "Llama, Qwen, Gemma or GPT-2"
        )
    model.train(was_training)


def _as_loaded(model: PreTrainedModel, reward_model: RewardModel, sequences: Tokens) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities of all tokens but the first ones, of those that are sampled here, and the scores."""
    set_attention(model, "eager")
    learned, sampled, scores = [], [], []
    for tokens in sequences:
        input_ids = torch.tensor([tokens], device=model.device)
        log_p = torch.log_softmax(model(input_ids=input_ids, use_cache=False).logits[0].float(), dim=-1)
        learned.append(log_p[:-1].gather(1, input_ids.T[1:]).squeeze(1))
        sampled.append(learned[-1][_num_given(tokens) - 1 :])
        scores.append(reward_model.model(input_ids=input_ids, use_cache=False).logits[0])
    return torch.cat(learned), torch.cat(sampled), torch.cat(scores).float()


def _complaint(
    model: PreTrainedModel, reward_model: RewardModel, sequences: Tokens, expected: tuple[Tensor, Tensor, Tensor]
) -> str | None:
    """What comes out otherwise, and by how much."""
    batch = PackedBatch.of(sequences, model.device)
    ways: tuple[tuple[str, Callable[[], Tensor]], ...] = (
        ("log-probabilities", lambda: token_logprobs(model, batch, batch.last([len(one) - 1 for one in sequences]))),
        ("log-probabilities while sampling", lambda: _sampled(model, sequences)),
        ("scores of a reward model", lambda: reward_model.logits(batch)),
    )
    for (what, read), wanted in zip(ways, expected, strict=True):
        try:
            gap = (read() - wanted).abs().max().item()
        except Exception as error:  # it is the code of any network, called in a way that it may not know
            return f"its {what} end in {type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        if not gap <= TOLERANCE * max(1.0, wanted.abs().max().item()):
            return f"its {what} differ by {gap:.2g}"
    return None


def _sampled(model: PreTrainedModel, sequences: Tokens) -> Tensor:
    """Of every sequence the second half, as if sampling had drawn it: the prompts together, and then a token a step."""
    rows = [Row(number, tokens[: _num_given(tokens)]) for number, tokens in enumerate(sequences)]
    decoder = Decoder(model, len(rows), max(len(row.prompt) for row in rows), max(map(len, sequences)))
    found: list[list[Tensor]] = [[] for _ in rows]
    logits = decoder.join(rows)
    while True:
        for row, log_p in zip(decoder.rows, torch.log_softmax(logits.float(), dim=-1), strict=True):
            row.tokens.append(sequences[row.number][len(row.prompt) + len(row.tokens)])
            found[row.number].append(log_p[row.tokens[-1]])
        decoder.leave([place for place, row in enumerate(decoder.rows) if _is_whole(row, sequences)])
        if not decoder.rows:
            return torch.stack([logprob for of_row in found for logprob in of_row])
        logits = decoder.step()


def _num_given(tokens: Sequence[int]) -> int:
    return max(1, len(tokens) // 2)


def _is_whole(row: Row, sequences: Tokens) -> bool:
    return len(row.prompt) + len(row.tokens) == len(sequences[row.number])
