"""Stage `batch`: what is handed to labelers, where flow `collect` ends and people begin."""

import shutil
from pathlib import Path

from labeling.household import INSTRUCTIONS
from models.records import Artifact
from tasks.pipeline_run import PipelineRun
from tasks.stage import Work, stage


@stage("batch", kind="batch")
def publish_batch(work: Work, prompts: Artifact, completions: Artifact) -> int:
    """A folder with instructions.md, prompts.jsonl and completions.jsonl."""
    shutil.copy(prompts.folder / "prompts.jsonl", work.folder)
    shutil.copy(completions.folder / "completions.jsonl", work.folder)
    (work.folder / "instructions.md").write_text(INSTRUCTIONS, encoding="utf-8")
    return completions.rows


def hand_out(run: PipelineRun, batch: Artifact) -> Path:
    """A copy of the batch below `batches/` for people to add their rankings.jsonl to; one that is there is never touched."""
    folder = run.root / "batches" / batch.sha256[:16]
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(batch.folder, folder)
    return folder
