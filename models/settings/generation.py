"""The settings of prompts and of what a model writes to them."""

from typing import Annotated, Literal

from pydantic import Field

from models.settings.addresses import RayAddress
from models.settings.base import Count, Positive, Settings
from models.settings.sources import PromptSource


class SamplingConfig(Settings):
    """How policy and base write when the policy is tuned and when the two are compared."""

    max_new_tokens: Count = 32
    """Length limit of a completion, in tokens; of the completions that people rank as well."""
    temperature: Positive = 1.0
    """Sampling temperature; log-probabilities are taken at the same temperature."""


class PromptsConfig(Settings):
    """Prompt sampling: read, de-duplicate, shuffle, take the first ones."""

    source: PromptSource
    """Where the prompts come from."""
    num_prompts: Count = 500
    """How many different prompts to keep."""
    bad_rows: Literal["refuse", "set_aside"] = "refuse"
    """Of rows without a prompt, and prompts too long for the model. refuse: they stop the run; set_aside: they go to rejected.jsonl with their reasons."""


class LocalRunner(Settings):
    """Shards one after another, in the process of the run."""

    kind: Literal["local"] = "local"


class RayRunner(Settings):
    """Shards at the same time, on the workers of a Ray cluster. Needs the extra `ray`, and folders that the workers see too."""

    kind: Literal["ray"] = "ray"
    address: RayAddress = "local"
    """`local` starts a Ray on this machine for the stage; `auto`, `host:6379` and `ray://host:10001` are running clusters."""


class GenerationConfig(Settings):
    """Completion generation: several completions per prompt, for people to rank."""

    uncounted_fields = ("runner",)
    num_completions: Annotated[int, Field(ge=2, le=9)] = 4
    """K, completions per prompt. InstructGPT used 4 to 9 (Ouyang et al. 2022, section 3.5)."""
    temperature: Positive | None = None
    """Sampling temperature of the completions that people rank; left out, that of the model's generation config, or else 1."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    """Sample from the smallest set of tokens that holds this probability, 1 = all; left out, as for the temperature."""
    batch_size: Count = 128
    """Sequences generated at once."""
    num_attempts: Count = 3
    """How often an empty or repeated completion is sampled anew before the prompt goes on with fewer."""
    shard_size: Count = 128
    """Prompts that are completed together, by whichever runner; another size changes completions by rounding alone."""
    runner: Annotated[LocalRunner | RayRunner, Field(discriminator="kind")] = LocalRunner()
    """Where the shards are completed; changes nothing in the completions."""
