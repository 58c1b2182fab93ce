"""Stage `batch`: what is handed to labelers, where flow `collect` ends and people begin."""

import shutil

from labeling.household import INSTRUCTIONS
from models.records import Artifact
from tasks.stage import Work, stage


@stage("batch", kind="batch")
def publish_batch(work: Work, prompts: Artifact, completions: Artifact) -> int:
    """A folder with instructions.md, prompts.jsonl and completions.jsonl; rankings.jsonl is for people to add."""
    shutil.copy(prompts.folder / "prompts.jsonl", work.folder)
    shutil.copy(completions.folder / "completions.jsonl", work.folder)
    (work.folder / "instructions.md").write_text(INSTRUCTIONS, encoding="utf-8")
    return completions.rows
