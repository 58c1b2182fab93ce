"""Stage `demonstrations`: prompts with completions to imitate, none of them held out, all of them short enough to be read."""

from labeling.sources.read_source import read_demonstrations
from models.errors import DataError
from models.preferences.splits import side_of, sides_of
from models.records import Artifact, Demonstration, Prompt, read_records, write_records
from models.settings.pipeline import SplitConfig
from models.settings.sources import DemonstrationSource
from tasks.running.stage import Work, stage


@stage(
    "demonstrations",
    kind="demonstrations",
    unit="demonstrations",
    reads={"sides": ("prompts.jsonl",)},
    reads_data=True,
)
def prepare_demonstrations(
    work: Work,
    source: DemonstrationSource,
    base: Artifact,
    feedback: Artifact | None,
    sides: Artifact | None,
    split: SplitConfig,
    seed: int,
) -> int:
    """demonstrations.jsonl: those whose prompt is a training prompt.

    The others are left aside, and counted: no prompt stands on both sides. `sides`: the feedback, where it is known already;
    it says on which side its prompts stand, `split` says it of all others. (Those that come from the feedback are of
    training prompts already.) Raises DataError for demonstrations that the base cannot read whole.
    """
    from transformers import AutoConfig, AutoTokenizer

    from models.network.architecture import context_length
    from models.training.causal_lm import encode_demonstrations

    read = read_demonstrations(source, seed, feedback and feedback.folder)
    kept = read
    if not source.from_feedback:
        known = sides_of(read_records(sides.folder / "prompts.jsonl", Prompt) if sides else ())
        kept = [row for row in read if side_of(row[0], known, split, seed) == "train"]
    if not kept:
        raise DataError("no demonstration is left: the prompts of all of them are held out")
    tokenizer = AutoTokenizer.from_pretrained(base.folder / "model")
    longest = context_length(AutoConfig.from_pretrained(base.folder / "model"))
    encode_demonstrations(tokenizer, kept, longest)
    work.metrics["demonstrations"] = len(kept)
    work.metrics["demonstrations_held_out"] = len(read) - len(kept)
    demonstrations = [Demonstration(prompt=prompt, completion=completion) for prompt, completion in kept]
    return write_records(work.folder / "demonstrations.jsonl", demonstrations)
