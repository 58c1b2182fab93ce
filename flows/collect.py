"""Flow `collect`: prompts -> completions -> a batch for labelers. Ends where people begin."""

from prefect import flow

from flows.base import adapt_base, open_base
from models.footprint import NetworkSize
from models.records import Artifact
from models.settings.pipeline import PipelineConfig
from tasks.judging.chosen_prompts import choose_prompts
from tasks.running.pipeline_run import PipelineRun, open_run
from tasks.running.space import require_space
from tasks.stages.batch import hand_out, make_batch, publish_batch, read_instructions
from tasks.stages.completions import generate_completions, require_runner
from tasks.stages.prompts import sample_prompts


@flow(name="collect")
def collect(config: PipelineConfig) -> dict[str, str]:
    """Samples prompts, lets the base model complete them, and publishes a batch to rank.

    Gives back the id of the `batch` in the feedback store, and the `folder` of the same batch for ranking by other means.
    """
    with open_run(config, "collect") as run:
        instructions = read_instructions(config, config.batch.instructions, "batch.instructions")
        start, texts, prompts = sample(run)
        *_, completions = complete(run, start, texts, prompts)
        if (choice := config.batch.choose) is not None:
            prompts = completions = choose_prompts(
                run, config=choice, prompts=prompts, completions=completions, compute=config.compute
            )
        batch = make_batch(run, prompts=prompts, completions=completions, instructions=instructions)
        return {"batch": publish_batch(run, batch), "folder": str(hand_out(run, batch))}


def sample(run: PipelineRun) -> tuple[Artifact, Artifact | None, Artifact]:
    """The base as configured, the texts to pretrain it on (as `open_base` gives them), and the sampled prompts."""
    config = run.config
    asked = config.required_prompts
    require_runner(config.generation)
    start, texts = open_base(run)
    require_space(config, NetworkSize.of_folder(start.folder / "model"))
    prompts = sample_prompts(
        run,
        config=asked,
        split=config.split,
        base=start,
        max_new_tokens=config.sampling.max_new_tokens,
        seed=config.seed,
    )
    return start, texts, prompts


def complete(
    run: PipelineRun, start: Artifact, texts: Artifact | None, prompts: Artifact
) -> tuple[Artifact, Artifact, Artifact]:
    """The base before and after SFT, and its completions of the prompts."""
    pretrained, base = adapt_base(run, start, texts)
    return pretrained, base, write_completions(run, base, prompts)


def write_completions(run: PipelineRun, writer: Artifact, prompts: Artifact) -> Artifact:
    """What a base or policy writes to the prompts."""
    config = run.config
    return generate_completions(
        run,
        config=config.generation,
        max_new_tokens=config.sampling.max_new_tokens,
        base=writer,
        prompts=prompts,
        compute=config.compute,
        seed=config.seed,
    )
