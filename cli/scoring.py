"""`rein score`: what a reward model says of texts in a file."""

import math
from pathlib import Path

from cli.starting.defaults import set_defaults
from labeling.exporters.scores import RowToScore, read_rows_to_score, require_writable, scored_lines, write_scored
from labeling.sources.bad_rows import BadRows
from models.errors import DataError
from models.settings.compute import Compute
from models.settings.pipeline import StorageConfig, TrackingConfig


def score(
    model: str,
    file: Path,
    *,
    to: Path | None = None,
    root: str = StorageConfig().root,
    tracking_uri: str = TrackingConfig().uri,
) -> None:
    """Scores the rows of a file with a reward model: higher is better, 0 and 1 are mean and spread of what it was trained on.

    Parameters
    ----------
    model
        The number or alias of a registered version, such as `champion`; or a folder with a reward of any kind.
    file
        .jsonl, .json, .csv, .tsv or .parquet, with columns `prompt` and `completion`: texts or lists of messages {role, content}.
    to
        A new file for the rows with their `score`, in JSON Lines or, of .csv and .parquet, in the form of `file`; by default they are printed as JSON Lines.
    root
        The folder of the artifacts (`storage.root`).
    tracking_uri
        Where models are registered (`tracking.uri`).
    """
    if to is not None:
        require_writable(to, file)
    read = read_rows_to_score(file)
    place = Path(root).resolve()
    set_defaults(place)
    from tasks.lineage.found_model import find_model

    scores = _scores(find_model(model, "reward", place, TrackingConfig(uri=tracking_uri)).folder, read)
    rows = [one.row for one in read]
    if to is not None:
        write_scored(rows, scores, to)
        print(f"{to}: {len(rows)} rows with their scores")
        return
    for line in scored_lines(rows, scores, ensure_ascii=True):
        print(line)


def _scores(folder: Path, rows: list[RowToScore]) -> list[float]:
    """Raises DataError naming the rows that are too long for the model, or whose score is no number."""
    from cli.loading import loading
    from models.rewards.scorer import load_scorer

    with loading(folder):
        scorer = load_scorer(folder, Compute())
    bad = BadRows()
    for row, prompt, completion in rows:
        try:
            if not scorer.reads(prompt, completion):
                bad.add(row, "", "it is longer, with its prompt, than what the reward model reads")
        except DataError as error:
            bad.add(row, "", str(error))
    if bad:
        bad.refuse(str(rows[0].row.file))
    scores = scorer.score([one.prompt for one in rows], [one.completion for one in rows]).tolist()
    for (row, *_), one in zip(rows, scores, strict=True):
        if not math.isfinite(one):
            raise DataError(f"{row.file}:{row.line}: the reward model gives {one}; its weights are damaged")
    return scores
