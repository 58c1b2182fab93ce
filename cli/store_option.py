"""The option that says where the feedback store is, alike in all commands."""

from typing import Annotated

from cyclopts import Parameter

from models.settings.batch import FeedbackConfig

Store = Annotated[
    str,
    Parameter(env_var="REIN_STORE", help="The feedback store: sqlite:///FILE or postgresql+psycopg://user@host/name."),
]
DEFAULT_STORE = FeedbackConfig().url
