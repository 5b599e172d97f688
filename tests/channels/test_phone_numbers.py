"""One phone, one key: the Mexican, Argentine and Brazilian spellings meet, different people never do."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatalker.phones import canonical, display, is_valid, masked, region, same, variants

SPELLINGS = [
    ("525512345678", ["5215512345678", "+52 1 55 1234 5678", "+52 55 1234-5678", "52 55 12345678", "005215512345678"]),
    ("5491123456789", ["541123456789", "+54 9 11 2345-6789", "+54 11 15 2345-6789", "54111523456789", "5491123456789", "+54 011 15 2345 6789"]),
    ("5493814567890", ["543814567890", "54381154567890", "+54 381 15 456-7890", "+54 9 381 456-7890"]),
    ("5492966456789", ["542966456789", "54296615456789", "+54 9 2966 45-6789"]),
    ("5541988887777", ["554188887777", "+55 41 98888-7777", "+55 (41) 8888-7777", "55 041 98888 7777"]),
    ("5511987654321", ["551187654321", "+55 11 9 8765-4321"]),
    ("573001234918", ["+57 300 123 4918", "57-300-123-4918", "00573001234918", "５７３００１２３４９１８", "\u202a+57 300 1234918\u202c"]),
    ("16505551234", ["+1 (650) 555-1234", "1 650 555 1234"]),
    ("390612345678", ["+39 06 12345678"]),
]  # fmt: skip


@pytest.mark.parametrize(("key", "spellings"), SPELLINGS)
def test_every_spelling_meets_under_one_key(key: str, spellings: list[str]) -> None:
    assert {canonical(spelling) for spelling in [*spellings, key]} == {key}
    assert all(same(spelling, key) for spelling in spellings)


@pytest.mark.parametrize(("key", "expected"), [
    ("525512345678", ("525512345678", "5215512345678")), ("5541988887777", ("5541988887777", "554188887777")),
    ("5491123456789", ("5491123456789", "541123456789", "54111523456789")), ("573001234918", ("573001234918",)),
    ("551133334444", ("551133334444",)), ("nobody", ()),
])  # fmt: skip
def test_the_variants_of_a_phone(key: str, expected: tuple[str, ...]) -> None:
    assert variants(key) == expected


@pytest.mark.parametrize("number", ["551133334444", "5511933334444"])
def test_a_brazilian_fixed_line_is_not_a_mobile_with_a_nine_before_it(number: str) -> None:
    assert canonical(number) == number
    assert not same("551133334444", "5511933334444")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+",
        "12345",
        "1" * 17,
        "US.13491208655302741918",
        "ana",
        "wamid.X",
        "+57 300 CALL NOW",
        "++",
        "()",
        "\0",
        "٪",
    ],
)
def test_what_is_no_phone_has_no_key(text: str) -> None:
    assert canonical(text) is None and variants(text) == () and not same(text, text)


@pytest.mark.parametrize(("text", "home", "key"), [
    ("300 123 4918", "CO", "573001234918"), ("044 55 1234 5678", "MX", "525512345678"), ("55 1234 5678", "MX", "525512345678"),
    ("011 15 2345 6789", "AR", "5491123456789"), ("(041) 8888-7777", "BR", "5541988887777"), ("+1 650 555 1234", "CO", "16505551234"),
])  # fmt: skip
def test_a_national_number_is_read_with_its_country(text: str, home: str, key: str) -> None:
    assert canonical(text, home) == key


@pytest.mark.parametrize(("number", "shown", "hidden", "where"), [
    ("573001234918", "+57 300 1234918", "+57 ••• ••• 4918", "CO"), ("5215512345678", "+52 55 1234 5678", "+52 ••• ••• 5678", "MX"),
    ("5491123456789", "+54 9 11 2345-6789", "+54 ••• ••• 6789", "AR"), ("554188887777", "+55 41 98888-7777", "+55 ••• ••• 7777", "BR"),
    ("541143211234", "+54 11 4321-1234", "+54 ••• ••• 1234", "AR"), ("16505551234", "+1 650-555-1234", "+1 ••• ••• 1234", "US"),
    ("14165551234", "+1 416-555-1234", "+1 ••• ••• 1234", "CA"), ("US.13491208655302741918", "US.13491208655302741918", "…1918", None),
])  # fmt: skip
def test_numbers_are_shown_and_masked(number: str, shown: str, hidden: str, where: str | None) -> None:
    assert (display(number), masked(number), region(number)) == (shown, hidden, where)


def test_valid_means_the_plan_knows_it() -> None:
    assert is_valid("573001234918") and is_valid("5215512345678") and is_valid("554188887777")
    assert (
        not is_valid("57999") and not is_valid("5730012349188") and not is_valid("ana") and not is_valid("99912345678")
    )


@given(st.text(max_size=60))
def test_any_text_is_answered(text: str) -> None:
    key = canonical(text)
    assert key is None or (key.isascii() and key.isdigit() and len(key) <= 15)
    display(text)
    assert len(masked(text)) < 30
    region(text)
    is_valid(text)


@given(st.from_regex(r"(52|521|54|549|55)[1-9][0-9]{7,11}", fullmatch=True))
def test_a_key_is_its_own_key_and_each_variant_has_it(number: str) -> None:
    key = canonical(number)
    assert key is not None
    assert all(canonical(variant) == key for variant in variants(number))


def test_the_geocoder_is_never_loaded() -> None:
    probe = (
        "import sys, whatalker.phones; sys.exit(any('geocoder' in name or 'geodata' in name for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0
