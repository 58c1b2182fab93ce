"""`rein score`: what a reward model says of texts in a file."""

import math
from pathlib import Path

from cli.defaults import set_defaults
from labeling.exporters.scores import read_rows_to_score, require_writable, scored_lines, write_scored
from labeling.sources.bad_rows import BadRows, Row
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
        .jsonl, .json, .csv, .tsv or .parquet, with columns `prompt` and `completion`.
    to
        A new file for the rows with their `score`, in JSON Lines or, of .csv and .parquet, in the form of `file`; by default they are printed as JSON Lines.
    root
        The folder of the artifacts (`storage.root`).
    tracking_uri
        Where models are registered (`tracking.uri`).
    """
    if to is not None:
        require_writable(to, file)
    rows = read_rows_to_score(file)
    place = Path(root).resolve()
    set_defaults(place)
    from tasks.lineage.found_model import find_model

    scores = _scores(find_model(model, "reward", place, TrackingConfig(uri=tracking_uri)).folder, rows)
    if to is not None:
        write_scored(rows, scores, to)
        print(f"{to}: {len(rows)} rows with their scores")
        return
    for line in scored_lines(rows, scores, ensure_ascii=True):
        print(line)


def _scores(folder: Path, rows: list[Row]) -> list[float]:
    """Raises DataError naming the rows that are too long for the model, or whose score is no number."""
    from cli.loading import loading
    from models.rewards.scorer import load_scorer

    with loading(folder):
        scorer = load_scorer(folder, Compute())
    prompts, completions = ([row.values[name] for row in rows] for name in ("prompt", "completion"))
    bad = BadRows()
    for row, prompt, completion in zip(rows, prompts, completions, strict=True):
        try:
            if not scorer.reads(prompt, completion):
                bad.add(row, "", "it is longer, with its prompt, than what the reward model reads")
        except DataError as error:
            bad.add(row, "", str(error))
    if bad:
        bad.refuse(str(rows[0].file))
    scores = scorer.score(prompts, completions).tolist()
    for row, one in zip(rows, scores, strict=True):
        if not math.isfinite(one):
            raise DataError(f"{row.file}:{row.line}: the reward model gives {one}; its weights are damaged")
    return scores
