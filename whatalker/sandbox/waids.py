"""The WhatsApp id Meta answers for a number: digits only, in the one form WhatsApp registered it under."""

import base64
import re
import secrets

_SEPARATORS = re.compile(r"[\s().\-]")


def digits_of(text: str) -> str | None:
    """Digits of a number as Meta accepts it (`+`, spaces, dots, dashes, parentheses), or None when it is no number."""
    digits = _SEPARATORS.sub("", text)
    if digits.startswith("+"):
        digits = digits[1:]
    if not (digits.isascii() and digits.isdigit()) or not 7 <= len(digits) <= 15:
        return None
    return digits


def canonical(digits: str) -> str:
    """The wa_id of a number: 52 becomes 521, 54 becomes 549, and Brazil's ninth digit follows the area code.

    In Brazil area codes 11 to 28 registered with the ninth digit and the others without it, which is how a number
    and its wa_id come to differ there.
    """
    if digits.startswith("55") and len(digits) in (12, 13):
        return _brazil(digits)
    if digits.startswith("52") and len(digits) == 12:
        return "521" + digits[2:]
    if digits.startswith("54") and len(digits) >= 12:
        return _argentina(digits)
    return digits


def _brazil(digits: str) -> str:
    area, local = digits[2:4], digits[4:]
    if int(area) <= 28:
        return f"55{area}9{local}" if len(local) == 8 and local[0] in "6789" else digits
    return f"55{area}{local[1:]}" if len(local) == 9 and local[0] == "9" else digits


def _argentina(digits: str) -> str:
    if len(digits) == 12:  # 54 + area and number, the mobile 9 left out
        return "549" + digits[2:]
    if len(digits) == 14 and digits[4:6] == "15":  # 54 + 11 + 15 + number, as dialled inside the country
        return f"549{digits[2:4]}{digits[6:]}"
    return digits


def new_wamid(number: str, *, inbound: bool = False) -> str:
    """A fresh message id with the inner structure of Meta's: the contact's number and a random key, in base64."""
    key = secrets.token_hex(10 if inbound else 9).upper().encode()
    kind = b"\x12\x18" if inbound else b"\x11\x18"
    raw = (
        b"\x1c\x18"
        + bytes([len(number)])
        + number.encode()
        + b"\x15\x02\x00"
        + kind
        + bytes([len(key)])
        + key
        + b"\x00"
    )
    return "wamid." + base64.b64encode(raw).decode()
