"""The errors Rein raises on purpose.

PipelineError
├── ConfigError     a preset, an override or a combination of settings is wrong
├── DataError       a file, a row or a record is wrong
├── ArtifactError   a stored artifact is missing, incomplete or altered
├── TrainingError   a loop met numbers it must not go on with
└── TrackingError   MLflow has not answered for too long

All of them carry one message and nothing else, so they survive pickling between processes.
"""

from pydantic import ValidationError


class PipelineError(Exception):
    """What every deliberate error of Rein is an instance of."""


class ConfigError(PipelineError):
    """A setting is unknown, out of bounds or contradicts another. The message names the key and what to do."""


class DataError(PipelineError):
    """Input data is unusable. The message names the file and line (or the record) and what to do."""


class ArtifactError(PipelineError):
    """A stored artifact does not match its manifest. The message names the folder."""


class TrainingError(PipelineError):
    """Training met a state in which going on would waste the run. The message says what to try."""


class TrackingError(PipelineError):
    """MLflow's server or database is away. The message says where it should be."""


def describe_validation(error: ValidationError) -> str:
    """All complaints of a pydantic error on one line: `field: what is wrong; …`."""
    complaints = []
    for item in error.errors():
        field = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        complaints.append(f"{field}: {message}" if field else message)
    return "; ".join(complaints)
