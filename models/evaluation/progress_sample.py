"""A completion on the way, as a record."""

from models.records import Record

PROGRESS = "progress.jsonl"
"""The file beside a tuned policy that holds them."""

KEPT = "kept.json"
"""The file beside it that says before which update the policy was the one that was kept, where a judge chose."""


class ProgressSample(Record):
    """A completion of a validation prompt, by the policy as it was before an update (numbered from 0)."""

    update: int
    prompt: str
    completion: str
