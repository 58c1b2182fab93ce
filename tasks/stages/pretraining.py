"""Stage `pretraining`: causal language modelling on raw text of the domain."""

from models.records import Artifact
from models.settings.compute import Compute
from models.settings.training import PretrainingConfig
from tasks.running.stage import Work, stage
from tasks.running.torch_ranks import run_training


@stage("pretraining", kind="language-model", unit="steps")
def pretrain(
    work: Work, config: PretrainingConfig, base: Artifact, texts: Artifact, compute: Compute, seed: int
) -> int:
    """A folder `model/` with the domain-adapted model; gives back the number of optimizer steps."""
    from models.stages import pretraining

    steps = run_training(work, pretraining.train, config, compute, base=base, texts=texts, seed=seed)
    work.metrics["pretraining_loss"] = steps[-1].values["loss"]
    return len(steps)
