"""What all contenders run on: the model, its tokenizer, prompts and rankings. Needs torch and transformers alone, so that the
environments of the peers can import it too.

The model is a Llama with random weights and a bias on its end token: completions end naturally, after about a third of the limit,
or never. The padding token is never sampled.
"""

import copy
import math

import torch
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers import models as tokenizer_models
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification, PreTrainedTokenizerFast

VOCAB_SIZE, BATCH_SIZE, PROMPT_TOKENS, MAX_NEW_TOKENS = 8192, 64, 32, 64
PAD, START, END = 0, 1, 2
END_PROBABILITY = 0.05  # were all other logits 0; as they are it gives a mean length near 21, a third of the limit
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


def llama_config(**changes) -> LlamaConfig:
    """7 million weights in the body and its embedding; `changes` for other sizes."""
    sizes = {
        "vocab_size": VOCAB_SIZE,
        "hidden_size": 256,
        "intermediate_size": 768,
        "num_hidden_layers": 6,
        "num_attention_heads": 8,
        "max_position_embeddings": 256,
    }
    return LlamaConfig(**(sizes | changes), pad_token_id=PAD, bos_token_id=START, eos_token_id=END)


def build_policy(end_probability: float, **changes) -> LlamaForCausalLM:
    """Random weights; at each step the end token comes with about this probability, the padding token never."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(llama_config(**changes))
    head = nn.Linear(model.config.hidden_size, model.config.vocab_size)
    with torch.no_grad():
        head.weight.copy_(model.lm_head.weight)
        head.bias.zero_()
        head.bias[PAD] = -1e4
        odds = end_probability / (1 - end_probability)
        head.bias[END] = math.log(odds * model.config.vocab_size) if odds else -1e4
    model.lm_head = head
    return model.eval()


def build_scorer(seed: int, **changes) -> LlamaForSequenceClassification:
    """A reward or value model of the policy's size, random weights."""
    torch.manual_seed(seed)
    return LlamaForSequenceClassification(llama_config(num_labels=1, **changes)).eval()


def build_networks(end_probability: float, **changes) -> dict[str, nn.Module]:
    """The four networks of PPO as TRL has them: `policy`, `reference` (its copy), `value` and `reward`."""
    policy = build_policy(end_probability, **changes)
    return {
        "policy": policy,
        "reference": copy.deepcopy(policy),
        "value": build_scorer(1, **changes),
        "reward": build_scorer(1, **changes),
    }


def build_tokenizer(vocab_size: int = VOCAB_SIZE) -> PreTrainedTokenizerFast:
    """One word, one token: `w3` is token 3. Its chat template is the bare text, so that a prompt has the same tokens everywhere."""
    words = {"<pad>": PAD, "<s>": START, "</s>": END} | {f"w{number}": number for number in range(3, vocab_size)}
    tokenizer = Tokenizer(tokenizer_models.WordLevel(words, unk_token="w3"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        padding_side="left",
        chat_template=TEMPLATE,
    )


def build_prompts(num_prompts: int, length: int = PROMPT_TOKENS, vocab_size: int = VOCAB_SIZE) -> list[list[int]]:
    """Prompts of random tokens, all of one length."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(3, vocab_size, (num_prompts, length), generator=generator).tolist()


def text_of(tokens: list[int]) -> str:
    """The text that `build_tokenizer` reads as these tokens."""
    return " ".join(f"w{token}" for token in tokens)


def build_rankings(num_prompts: int, num_completions: int) -> list[list[list[int]]]:
    """For each prompt its K completions, best first: prompt and completion as one token sequence, the end token last.

    Lengths are those of natural ends: at each step the end comes with one chance in 21, at the limit the completion is cut
    (a third of the limit on average, as the policy's).
    """
    generator = torch.Generator().manual_seed(2)
    rankings = []
    for prompt in build_prompts(num_prompts):
        completions = []
        for _ in range(num_completions):
            uniform = 1 - torch.rand((), generator=generator).item()  # in (0, 1]
            length = min(MAX_NEW_TOKENS, 1 + int(math.log(uniform) / math.log(1 - 1 / 21)))
            words = torch.randint(3, VOCAB_SIZE, (length - 1,), generator=generator).tolist()
            completions.append([*prompt, *words, END])
        rankings.append(completions)
    return rankings


def ranked_pairs(num_completions: int) -> list[tuple[int, int]]:
    """All C(K, 2) pairs of a ranking as places (better, worse)."""
    return [(better, worse) for worse in range(num_completions) for better in range(worse)]
