"""Which passwords are good enough; its one rule: decided on this machine, no password or part of it ever leaves it.

zxcvbn knows the 30,000 most frequent passwords of published breaches, names, words, dates, keyboard walks and their usual
disguises, and estimates how many guesses the whole would take; score 3 is 10^8 guesses or more.
"""

from __future__ import annotations

from flask_babel import gettext as _
from flask_security import PasswordUtil
from zxcvbn import zxcvbn

SHORTEST, LONGEST, LOWEST_SCORE = 12, 128, 3
_OWN_PART = 8
"""What is left when the person's own name and address are taken out."""

_EXAMINED = 72
"""zxcvbn's time grows with the square of the length; what comes after adds strength, never takes it away."""


class OfflinePasswordUtil(PasswordUtil):  # type: ignore[misc]
    """Flask-Security asks this whenever a new password is chosen."""

    def validate(self, password: str, is_register: bool, **known: object) -> tuple[list[str] | None, str]:
        plain = self.normalize(password)
        user = known.get("user")
        about = [str(getattr(user, name, "") or "") for name in ("email", "name")]
        return weaknesses(plain, about) or None, plain


def _without(password: str, parts: list[str]) -> str:
    rest = password.casefold()
    for part in sorted(parts, key=len, reverse=True):
        rest = rest.replace(part.casefold(), "") if len(part) > 2 else rest
    return rest


def weaknesses(password: str, about: list[str] | None = None) -> list[str]:
    """What is wrong with it, as sentences; empty: nothing. `about`: the person's own name and address, which it must not lean on."""
    if len(password) < SHORTEST:
        return [_("Use at least %(count)s characters. Several unrelated words work well.", count=SHORTEST)]
    if len(password) > LONGEST:
        return [_("Use at most %(count)s characters.", count=LONGEST)]
    parts = [piece for text in (about or []) for piece in (text, *text.replace("@", " ").replace(".", " ").split()) if piece]
    if len(_without(password, parts)) < _OWN_PART or zxcvbn(password[:_EXAMINED], user_inputs=["whatalker", *parts])["score"] < LOWEST_SCORE:
        return [_("This password is known from breaches or easy to guess. Use several unrelated words.")]
    return []
