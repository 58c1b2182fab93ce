"""How the commands of this folder end."""

import sys

from cyclopts import App

from models.errors import PipelineError


def run_command(app: App) -> None:
    """Runs the command; a deliberate error is shown as one message, exit status 1."""
    try:
        app()
    except PipelineError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
