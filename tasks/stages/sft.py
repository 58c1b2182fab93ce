"""Stage `sft`: supervised fine-tuning on demonstrations, the loss on the completion alone."""

from models.records import Artifact
from models.settings.compute import Compute
from models.settings.training import SFTConfig
from tasks.running.stage import Work, stage
from tasks.running.torch_ranks import run_training


@stage("sft", kind="language-model", unit="steps")
def fine_tune(
    work: Work, config: SFTConfig, base: Artifact, demonstrations: Artifact, compute: Compute, seed: int
) -> int:
    """A folder `model/` with the fine-tuned model; gives back the number of optimizer steps."""
    from models.stages import sft

    steps = run_training(work, sft.train, config, compute, base=base, demonstrations=demonstrations, seed=seed)
    work.metrics["sft_loss"] = steps[-1].values["loss"]
    return len(steps)
