"""Short texts that people type, made fit to be stored; its one rule: refused with a sentence, never silently cut."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from email_validator import EmailNotValidError, validate_email
from flask_babel import gettext as _

from whatalker.errors import Invalid

_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\u00ad]")
"""Zero-width characters and those that turn the direction of reading: a name must look like what it is."""


def one_line(text: str, what: Literal["name", "reason"], longest: int, *, may_be_empty: bool = False) -> str:
    """The text on one line, composed (NFC), without control and invisible characters; Invalid when empty or too long."""
    plain = _INVISIBLE.sub("", unicodedata.normalize("NFC", text))
    plain = " ".join("".join(" " if unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") else sign for sign in plain).split())
    if not plain and not may_be_empty:
        raise Invalid(_("Give a name.") if what == "name" else _("Give a reason."), f"{what}_missing")
    if len(plain) > longest:
        raise Invalid(_("This is too long: at most %(longest)s characters.", longest=longest), f"{what}_too_long")
    return plain


def an_email(text: str) -> str:
    """The address, normalized and in lower case; no network is asked."""
    try:
        found = validate_email(text.strip(), check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise Invalid(_("This is not an email address."), "invalid_email") from error
    return found.normalized.casefold()
