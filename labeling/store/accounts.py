"""Labelers and overseers: who they are, how they sign in, and how one withdraws.

Tokens and cookies are 256 random bits, so their plain SHA-256 is safe to keep: there is nothing to guess.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from labeling.store.schema import Assignment, Labeler, SignIn, Withdrawal
from models.errors import DataError
from models.labeler_names import why_no_name

SIGN_IN_DAYS = 30
MAX_NAME_LENGTH = 100


@dataclass(frozen=True)
class Visitor:
    """Someone who is signed in."""

    labeler_id: int
    name: str
    is_overseer: bool
    form_token: str


def add_labeler(session: Session, name: str, is_overseer: bool, now: datetime) -> str:
    """A new labeler's token, which is kept nowhere in plain text. One known from imports gets their first token.

    Raises DataError for a name that is none (models/labeler_names.py) or too long, and for one that is taken.
    """
    if reason := why_no_name(name) or (len(name) > MAX_NAME_LENGTH and f"more than {MAX_NAME_LENGTH} characters"):
        raise DataError(f"{name!a} names no labeler: {reason}")
    known = session.scalar(select(Labeler).where(Labeler.name == name))
    if known is not None and (known.token_sha256 is not None or is_withdrawn(session, known.id)):
        raise DataError(f"labeler {name}: this name is taken; a lost token is renewed, not added")
    token = f"rein_{secrets.token_urlsafe(32)}"
    if known is None:
        known = Labeler(name=name, created_at=now)
        session.add(known)
    known.is_overseer = is_overseer
    known.token_sha256 = _digest(token)
    return token


def renew_token(session: Session, name: str) -> str:
    """A new token for a known labeler; the old one and all browsers signed in with it stop working."""
    labeler = find_labeler(session, name)
    if is_withdrawn(session, labeler.id):
        raise DataError(f"labeler {name}: has withdrawn")
    token = f"rein_{secrets.token_urlsafe(32)}"
    labeler.token_sha256 = _digest(token)
    session.execute(delete(SignIn).where(SignIn.labeler_id == labeler.id))
    return token


def find_labeler(session: Session, name: str) -> Labeler:
    """The labeler of this name. Raises DataError where there is none."""
    labeler = session.scalar(select(Labeler).where(Labeler.name == name))
    if labeler is None:
        raise DataError(f"labeler {name}: no one of this name is in the feedback store")
    return labeler


def sign_in(session: Session, token: str, now: datetime) -> str | None:
    """A new browser's cookie, or None for a token that no one has (or whose owner has withdrawn)."""
    labeler = session.scalar(select(Labeler).where(Labeler.token_sha256 == _digest(token.strip())))
    if labeler is None:
        return None
    session.execute(delete(SignIn).where(SignIn.expires_at <= now))
    cookie = secrets.token_urlsafe(32)
    session.add(
        SignIn(
            cookie_sha256=_digest(cookie),
            labeler_id=labeler.id,
            form_token=secrets.token_urlsafe(32),
            expires_at=now + timedelta(days=SIGN_IN_DAYS),
        )
    )
    return cookie


def visitor_of(session: Session, cookie: str, now: datetime) -> Visitor | None:
    """Who signed in with this cookie; None when no one did, or too long ago."""
    row = session.execute(
        select(Labeler, SignIn)
        .join(SignIn, SignIn.labeler_id == Labeler.id)
        .where(SignIn.cookie_sha256 == _digest(cookie), SignIn.expires_at > now)
    ).one_or_none()
    if row is None:
        return None
    labeler, entry = row
    return Visitor(labeler.id, labeler.name, labeler.is_overseer, entry.form_token)


def sign_out(session: Session, cookie: str) -> None:
    """Forgets a browser."""
    session.execute(delete(SignIn).where(SignIn.cookie_sha256 == _digest(cookie)))


def form_token_fits(visitor: Visitor, given: str) -> bool:
    """Whether a form carries the token of the browser's own sign-in; compared in constant time."""
    return hmac.compare_digest(visitor.form_token.encode(), given.encode())


def withdraw(session: Session, name: str, reason: str, now: datetime) -> Labeler:
    """Marks a labeler as withdrawn: what they said stays, and no later snapshot holds it. They can no longer sign in, and
    their places go to others.

    Raises DataError for an unknown labeler and for one who has withdrawn already.
    """
    labeler = find_labeler(session, name)
    if is_withdrawn(session, labeler.id):
        raise DataError(f"labeler {name}: has withdrawn already")
    session.add(Withdrawal(labeler_id=labeler.id, reason=reason, created_at=now))
    labeler.token_sha256 = None
    places = update(Assignment).where(Assignment.labeler_id == labeler.id, Assignment.state.in_(["open", "done"]))
    session.execute(places.values(state="withdrawn"))
    session.execute(delete(SignIn).where(SignIn.labeler_id == labeler.id))
    return labeler


def is_withdrawn(session: Session, labeler_id: int) -> bool:
    """Whether a labeler has withdrawn."""
    return session.scalar(select(Withdrawal.id).where(Withdrawal.labeler_id == labeler_id)) is not None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
