"""Pretraining text mixed into PPO (PPO-ptx), against forgetting what pretraining taught."""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from models.distributed.collectives import sum_over_ranks
from models.settings.compute import Compute
from models.settings.tuning import PTXConfig
from models.training.causal_lm import add_gradient, pack_texts
from models.training.loop import EpochBatches


class PretrainingMix:
    """Pretraining text whose gradient is added to that of PPO, a batch of packed sequences in each optimizer step.

    The policy then descends on `L_PPO + coef * mean(-log pi(token | tokens before it))`. Source: Ouyang et al. 2022,
    equation 2 (PPO-ptx), both gradients added up in each minibatch as in its appendix C.4. The order of the text is its own:
    it changes neither prompts nor minibatches.

    Raises DataError when the texts do not fill one sequence.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        texts: Sequence[str],
        config: PTXConfig,
        microbatch_tokens: int,
        compute: Compute,
        seed: int,
    ) -> None:
        self.config, self.compute, self.microbatch_tokens = config, compute, microbatch_tokens
        self.sequences = pack_texts(tokenizer, texts, config.sequence_length)
        self._batches = EpochBatches(len(self.sequences), config.batch_size, torch.Generator().manual_seed(seed))

    def add_gradient(self, policy: PreTrainedModel) -> float:
        """The mean loss of the next token over the next batch (nats), after adding the gradient of `coef` times it."""
        rows = [self.sequences[number] for number in next(self._batches)]
        loss = add_gradient(policy, rows, self.microbatch_tokens, self.compute, self.config.coef)
        return sum_over_ranks({"loss": loss})["loss"]

    def state_dict(self) -> dict:
        """What a checkpoint keeps."""
        return self._batches.state_dict()

    def load_state_dict(self, state_dict: dict) -> None:
        """Goes on from what a checkpoint kept."""
        self._batches.load_state_dict(state_dict)
