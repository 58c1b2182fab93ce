"""Stage `chosen-prompts`: of the sampled prompts those that are handed out to people, where not all are."""

from pathlib import Path

from models.errors import ConfigError
from models.evaluation.rewards.acquisition import most_disputed
from models.records import Artifact, Completion, Prompt, read_records, write_records
from models.settings.batch import PromptChoice
from models.settings.compute import Compute
from tasks.running.stage import Work, stage


@stage(
    "chosen-prompts",
    kind="chosen-prompts",
    unit="completions",
    reads={"prompts": ("prompts.jsonl",), "completions": ("completions.jsonl",)},
)
def choose_prompts(work: Work, config: PromptChoice, prompts: Artifact, completions: Artifact, compute: Compute) -> int:
    """prompts.jsonl and completions.jsonl of those that were chosen; gives back the number of completions. Raises ConfigError for a reward that has no members to disagree."""
    from models.rewards.scorer import load_scorer

    scorer = load_scorer(Path(config.reward), compute)
    if scorer.members is None:
        raise ConfigError(
            f"batch.choose.reward: {config.reward} has no members that could disagree; take a reward of kind ensemble"
        )
    sampled = read_records(prompts.folder / "prompts.jsonl", Prompt)
    written = read_records(completions.folder / "completions.jsonl", Completion)
    text_of = {one.id: one.text for one in sampled}
    texts = [text_of[one.prompt_id] for one in written]
    scores = scorer.members.score(texts, scorer.readable(texts, [one.text for one in written]))
    logits = scorer.logit_std * scores.double().numpy()
    chosen = most_disputed(sampled, logits, [one.prompt_id for one in written], config.num_prompts)
    write_records(work.folder / "prompts.jsonl", [one for one in sampled if one.id in chosen])
    return write_records(work.folder / "completions.jsonl", [one for one in written if one.prompt_id in chosen])
