"""The command `rein`, called in the test's own process, where everything is imported already."""

import contextlib
import io
import os
import subprocess
import sys
import warnings
from unittest import mock

from cli.command import main


def call_rein(*words: str) -> subprocess.CompletedProcess[str]:
    """Exit status and output, as a shell would see them; the environment is as before."""
    command, status = ["rein", *words], 0
    output, errors = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ),
        mock.patch.object(sys, "argv", command),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "Cyclopts application invoked without tokens")  # it takes them from argv
        try:
            main()
        except SystemExit as ended:
            status = ended.code
    return subprocess.CompletedProcess(command, status, output.getvalue(), errors.getvalue())
