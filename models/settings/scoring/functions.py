"""The Python functions that may be a reward: whoever starts Rein names them in its environment, and no preset and no form can add one."""

import os

FUNCTIONS = "REIN_FUNCTIONS"


def allowed_functions() -> set[str]:
    """The functions, `module:name`, that REIN_FUNCTIONS names, separated by commas: whoever sets it lets Rein import and call them."""
    return {one.strip() for one in os.environ.get(FUNCTIONS, "").split(",")}


def not_allowed(function: str) -> str:
    """What is said of a function that REIN_FUNCTIONS does not name."""
    return f"the environment variable {FUNCTIONS} does not name it; set {FUNCTIONS}={function} where Rein is started, if it is yours"
