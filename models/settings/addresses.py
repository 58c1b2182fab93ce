"""Addresses of servers, databases and storage in settings. None may hold a secret, since settings are shown and kept.

The JSON schema says so too: Prefect's server then refuses such a parameter before it is stored.
"""

import re
from functools import partial
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

# Read by Python here, and by whatever checks a form: nothing in it that JavaScript does not know.
NO_SECRET = (
    r"^(?!.*://[^@]*:[^@]*@)"  # user:password@
    r"(?![Hh][Tt][Tt][Pp][Ss]?://[^/]*@)"  # a token in place of a user
    r"(?!.*[?&][A-Za-z_]*([Pp][Aa][Ss][Ss]|[Tt][Oo][Kk][Ee][Nn]|[Ss][Ee][Cc][Rr][Ee][Tt])[A-Za-z_]*=)"
)

NO_SECRET_INSIDE = (
    r"^(?![\s\S]*://[^@\s/]*:[^@\s]*@)"
    r"(?![\s\S]*[Hh][Tt][Tt][Pp][Ss]?://[^/\s]*@)"
    r"(?![\s\S]*[?&][A-Za-z_]*([Pp][Aa][Ss][Ss]|[Tt][Oo][Kk][Ee][Nn]|[Ss][Ee][Cc][Rr][Ee][Tt])[A-Za-z_]*=)"
)
"""The same of a text with addresses somewhere in it."""


def _refuse_secret(address: str, instead: str) -> str:
    if not re.match(NO_SECRET, address):
        raise ValueError(f"holds a password or token, and settings are shown and kept: {instead}")
    return address


def _refuse_chain(address: str) -> str:
    if not re.fullmatch(r"[a-z0-9]+://[^:]+", address):
        raise ValueError("expected one address with its kind, such as s3://bucket/folder or file:///mnt/share")
    return address


def _no_secret(instead: str) -> AfterValidator:
    return AfterValidator(partial(_refuse_secret, instead=instead))


_FORM = WithJsonSchema({"type": "string", "pattern": NO_SECRET})
SettingsText = Annotated[str, WithJsonSchema({"type": "string", "pattern": NO_SECRET_INSIDE})]
TrackingAddress = Annotated[str, _no_secret("set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"), _FORM]
DatabaseAddress = Annotated[str, _no_secret("set PGPASSWORD, or use ~/.pgpass"), _FORM]
RayAddress = Annotated[str, Field(min_length=1), _no_secret("set RAY_AUTH_TOKEN"), _FORM]
MirrorAddress = Annotated[
    str, _no_secret("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"), AfterValidator(_refuse_chain), _FORM
]
EndpointAddress = Annotated[
    str,
    Field(pattern=r"^[Hh][Tt][Tt][Pp][Ss]?://"),
    _no_secret("put the key into an environment variable and name it in key_variable"),
    _FORM,
]
