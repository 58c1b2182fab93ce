"""Which architectures Rein learns: the table of docs/own-model.md, written anew.

    OMP_NUM_THREADS=2 .venv/bin/python -m benchmarks.architectures [NAME ...]      prints the rows of these alone

A tiny checkpoint of each, with random weights, goes the way of a base: it is loaded, guarded and saved, tuned by one update of PPO with a
reward model on it, and what was saved is opened by plain transformers. Two minutes.
"""

import argparse
import logging
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
from transformers.utils.logging import disable_progress_bar

from benchmarks.architectures.checkpoints import SHAPES, VOCABULARY, tiny_config, tiny_network
from benchmarks.trials import PROJECT
from models.errors import PipelineError
from models.generation.guards import require_faithful
from models.network.attention import is_padded, set_attention
from models.network.base import load_base, require_known
from models.network.logprobs import token_logprobs
from models.network.networks import RewardModel, ValueModel, load_policy, save_policy, train_tokenizer
from models.network.packing import PackedBatch
from models.rewards.scorer import Scorer
from models.settings.compute import Compute
from models.settings.generation import SamplingConfig
from models.settings.training import PretrainedBase
from models.settings.tuning import PPOConfig
from models.tuning.ppo.loop import train_ppo

PAGE = PROJECT / "docs" / "own-model.md"
BEGIN, END = "<!-- python -m benchmarks.architectures -->", "<!-- end of the table -->"
HEAD = (
    "| architecture | sequences | log-probabilities differ by (nats) | a reward model's score by | policy opens with | reward model opens with |\n"
    "|---|---|---|---|---|---|"
)
CORPUS = ["my sink is leaking, what can I do?", "turn the water off under the sink and tighten the nut."] * 4
PROMPTS = ["my sink", "the nut", "what", "water off"]
SEQUENCES = [[1, 20, 30, 40, 7, 9, 100, 2], [1, 40, 5], [9, 8, 7, 6, 5, 4, 3, 11, 12, 13, 14, 15]]
EQUAL = 1e-4
COMPUTE = Compute(device="cpu", precision="float32")


@dataclass(frozen=True)
class Row:
    """What became of an architecture; a refused one has nothing but the reason."""

    name: str
    sequences: str
    logprobs: float | None = None
    scores: float | None = None
    policy: str = ""
    reward: str = ""

    def __str__(self) -> str:
        gaps = ("" if gap is None else f"{gap:.0e}" for gap in (self.logprobs, self.scores))
        return f"| {self.name} | {self.sequences} | {' | '.join(gaps)} | {self.policy} | {self.reward} |"


def main() -> None:
    """Tries all, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(SHAPES)}")
    names = parser.parse_args().names
    logging.disable(logging.WARNING)
    disable_progress_bar()
    rows = []
    for name in names or SHAPES:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(try_architecture(name, Path(folder)))
        print(rows[-1], flush=True)
    if not names:
        write_table(PAGE, rows)


def try_architecture(name: str, folder: Path) -> Row:
    """A tiny network on its way from a stranger's checkpoint to a tuned policy and a reward model."""
    given = PretrainedBase(model=str(folder / "given"))
    tiny_config(name).save_pretrained(folder / "given")
    has_class = type(tiny_config(name)) in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING  # before Rein registers one
    try:
        require_known(given)
        save_policy(folder / "given", tiny_network(name), train_tokenizer(CORPUS, VOCABULARY))
        network, tokenizer = load_base(given)
        require_faithful(network, tokenizer)
    except PipelineError as error:
        reason = re.sub(r"^base\.model('? '.*?')?: ", "", str(error)).partition(";")[0]
        return Row(name, f"refused: {reason}")
    save_policy(folder / "base", network, tokenizer)
    network, _ = load_policy(folder / "base")
    reward_model = RewardModel.start(folder / "base", seed=0).eval()
    torch.nn.init.normal_(reward_model.model.score.weight)
    reward_model.save(folder / "reward", tokenizer)
    logprobs = largest_gap(learned_logprobs(network), alone(AutoModelForCausalLM, folder / "given", logprobs_of))
    with torch.no_grad():
        scores = largest_gap(
            reward_model.logits(PackedBatch.of(SEQUENCES)),
            alone(AutoModelForSequenceClassification, folder / "reward", score_of),
        )
    update_once(network, reward_model, tokenizer)
    save_policy(folder / "policy", network, tokenizer)
    tuned = largest_gap(learned_logprobs(network), alone(AutoModelForCausalLM, folder / "policy", logprobs_of))
    return Row(
        name,
        "padded" if is_padded(network) else "packed",
        logprobs,
        scores,
        "AutoModelForCausalLM" if tuned < EQUAL else f"differs by {tuned:.1g}",
        "AutoModelForSequenceClassification" if has_class else "the lines above",
    )


def largest_gap(one: Tensor, other: Tensor) -> float:
    """The largest difference."""
    return (one - other).abs().max().item()


@torch.no_grad()
def learned_logprobs(network: PreTrainedModel) -> Tensor:
    """Log-probabilities as Rein computes them."""
    batch = PackedBatch.of(SEQUENCES)
    return token_logprobs(network, batch, batch.last([len(tokens) - 1 for tokens in SEQUENCES]))


@torch.no_grad()
def alone(kind: Any, folder: Path, read: Callable[[PreTrainedModel, Tensor], Tensor]) -> Tensor:
    """The same of plain transformers, eager where it can be, of each sequence by itself."""
    network = kind.from_pretrained(folder, dtype=torch.float32).eval()
    set_attention(network, "eager")
    return torch.cat([read(network, torch.tensor([tokens])) for tokens in SEQUENCES])


def logprobs_of(network: PreTrainedModel, input_ids: Tensor) -> Tensor:
    """Of all tokens but the first."""
    log_p = torch.log_softmax(network(input_ids, use_cache=False).logits[0], dim=-1)
    return log_p[:-1].gather(1, input_ids.T[1:]).squeeze(1)


def score_of(network: PreTrainedModel, input_ids: Tensor) -> Tensor:
    """One number."""
    return network(input_ids, use_cache=False).logits[0]


def update_once(network: PreTrainedModel, reward_model: RewardModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """An update of PPO, in place, with its own checks."""
    scorer = Scorer(lambda prompts, completions: torch.tensor([float(len(text)) for text in completions]))
    config = PPOConfig(num_updates=1, batch_size=4, num_minibatches=1, num_epochs=1)
    sampling = SamplingConfig(max_new_tokens=5)
    value_model = ValueModel.from_reward(reward_model)
    list(train_ppo(network, value_model, tokenizer, scorer, PROMPTS, config, sampling, COMPUTE, seed=0))


def write_table(page: Path, rows: Sequence[Row]) -> None:
    """Puts the table between its marks."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    table = "\n".join([HEAD, *map(str, rows)])
    page.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
