"""Phone numbers and WhatsApp ids: matched by one canonical key, shown and masked; provider ids themselves are never rewritten."""

from __future__ import annotations

import re
import unicodedata

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat

__all__ = ["canonical", "display", "is_valid", "masked", "region", "same", "variants"]

SHORTEST, LONGEST = 7, 15
"""Digits of an international number without its plus sign (ITU-T E.164 allows at most 15)."""
LONGEST_TYPED = 16
"""Argentina typed with trunk 0, mobile 9 and 15 at once is one digit longer before it is made canonical."""

DOT = "•"
WORDS = re.compile(r"[^\W\d_]", re.UNICODE)
MEXICO = re.compile(r"52(?:1|01|04[45])?(\d{10})")
ARGENTINA = re.compile(r"549?(\d{10})")
BRAZIL = re.compile(r"550?([1-9]\d)(\d{8,9})")
BRAZIL_NINTH = re.compile(r"55([1-9]\d)9([6-9]\d{7})")


def canonical(number: str, region: str | None = None) -> str | None:
    """The digits under which every spelling of one phone meets: country code first, no plus; None when it is no phone.

    A key for matching (contacts, opt-outs), not an address: send to the id the provider gave, verbatim. Mexico loses the
    1 after 52, Argentina gains the 9 after 54 and loses the 15, Brazilian mobiles gain the ninth digit.
    `region` (two letters) reads numbers written the national way; without it a country code is expected.
    """
    digits = _digits(number, region)
    if digits is None:
        return None
    key = RULES[digits[:2]](digits) if digits[:2] in RULES else digits
    return key if len(key) <= LONGEST else None


def _mexico(digits: str) -> str:
    match = MEXICO.fullmatch(digits)
    return "52" + match[1] if match else digits


def _argentina(digits: str) -> str:
    match = ARGENTINA.fullmatch(digits)
    return "549" + match[1] if match else _without_15(digits) or digits


def _brazil(digits: str) -> str:
    match = BRAZIL.fullmatch(digits)
    if not match:
        return digits
    area, local = match.groups()
    ninth = "9" if len(local) == 8 and local[0] in "6789" else ""  # eight digits from 2 to 5 are fixed lines
    return f"55{area}{ninth}{local}"


RULES = {"52": _mexico, "54": _argentina, "55": _brazil}


def variants(number: str, region: str | None = None) -> tuple[str, ...]:
    """Every spelling under which a provider may know this phone, the canonical one first; empty when it is no phone."""
    key = canonical(number, region)
    if key is None:
        return ()
    if match := MEXICO.fullmatch(key):
        return key, "521" + match[1]
    if key.startswith("549") and (match := ARGENTINA.fullmatch(key)):
        return key, "54" + match[1], *_with_15(match[1])
    if match := BRAZIL_NINTH.fullmatch(key):
        return key, "55" + match[1] + match[2]
    return (key,)


def same(one: str, other: str) -> bool:
    """Whether two spellings mean one phone; two texts that are no phones never do."""
    key = canonical(one)
    return key is not None and key == canonical(other)


def region(number: str) -> str | None:
    """The two letters of the territory a number belongs to (CA and US differ although both are +1); None when unsure."""
    parsed = _parsed(number)
    found = phonenumbers.region_code_for_number(parsed) if parsed else None
    return found if found and found != "001" else None


def is_valid(number: str) -> bool:
    """Whether the numbering plan knows such a number; says nothing about anybody answering it."""
    parsed = _parsed(number)
    return parsed is not None and phonenumbers.is_valid_number(parsed)


def display(number: str) -> str:
    """For people who may see it: "+57 300 1234918"; what is no phone comes back as it is."""
    parsed = _parsed(number)
    if parsed is None:
        return number
    return phonenumbers.format_number(parsed, PhoneNumberFormat.INTERNATIONAL)


def masked(number: str) -> str:
    """For everybody else: "+57 ••• ••• 4918"; of an id that is no phone only its last four characters remain."""
    parsed = _parsed(number)
    if parsed is None:
        tail = number[-4:] if len(number) > 7 else ""
        return f"…{tail}"
    hidden = f"{DOT * 3} {DOT * 3}"
    return f"+{parsed.country_code} {hidden} {str(parsed.national_number)[-4:]}"


def _digits(number: str, region: str | None = None) -> str | None:
    """Country code and national number without any sign, spelled as it was given."""
    text = unicodedata.normalize("NFKC", number[:200]).strip()
    if not text.isascii():  # marks of writing direction come along when a number is copied from a page
        text = "".join(letter for letter in text if unicodedata.category(letter) != "Cf").strip()
    if text.isascii() and text.isdigit() and region is None:
        digits = text.removeprefix("00")
        return digits if SHORTEST <= len(digits) <= LONGEST_TYPED else None
    if WORDS.search(text) or len(text) > 40:
        return None
    if text.startswith("00"):
        text = "+" + text[2:]
    elif region is None and not text.startswith("+"):
        text = "+" + text
    try:
        parsed = phonenumbers.parse(text, region)
    except NumberParseException:
        return None
    digits = f"{parsed.country_code}{phonenumbers.national_significant_number(parsed)}"
    return digits if SHORTEST <= len(digits) <= LONGEST_TYPED else None


def _parsed(number: str) -> PhoneNumber | None:
    """The spelling the numbering plan knows: as given if it is valid so, else the canonical one."""
    as_given, key = _digits(number), canonical(number)
    found = None
    for digits in (as_given, key):
        if digits is None:
            continue
        try:
            found = phonenumbers.parse("+" + digits, None)
        except NumberParseException:
            continue
        if phonenumbers.is_valid_number(found):
            return found
    return found


def _without_15(digits: str) -> str | None:
    """54 [9] [0] area 15 local -> 549 area local; area (two to four digits) and local are ten together."""
    body = digits[2:].removeprefix("9").removeprefix("0")
    for area in (2, 3, 4):
        if len(body) == 12 and body[area : area + 2] == "15" and _is_area(body[:area]):
            return "549" + body[:area] + body[area + 2 :]
    return None


def _with_15(national: str) -> tuple[str, ...]:
    return tuple(f"54{national[:area]}15{national[area:]}" for area in (2, 3, 4) if _is_area(national[:area]))


def _is_area(text: str) -> bool:
    return text == "11" or (len(text) > 2 and text[0] in "23")
