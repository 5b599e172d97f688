"""The interface speaks Spanish and Portuguese: every text of the code has a translation that says the same with the same blanks."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po
from flask import Flask, g
from flask_babel import gettext, lazy_gettext, ngettext
from flask_security.utils import get_message

from tests import factories
from tests.visiting import anonymous, visit
from whatalker.errors import Invalid
from whatalker.language import LANGUAGES, LOCALES
from whatalker.services.cleaning import one_line

ROOT = Path(__file__).parent.parent.parent
TRANSLATED = sorted(LANGUAGES.keys() - {"en"})
BLANK = re.compile(r"%\(\w+\)[a-z]|\{\{[^}]*\}\}|\{\w*\}")


def _path(folder: Path, language: str) -> Path:
    return folder / language / "LC_MESSAGES" / "messages.po"


def _catalogue(language: str) -> Catalog:
    with _path(ROOT / "whatalker" / "translations", language).open("rb") as file:
        return read_po(file, locale=language)


def _both(message: object) -> list[tuple[str, str]]:
    """Each form of the text with its translation; of a plural the many beside each form the language has."""
    said, told = message.id, message.string
    if isinstance(said, str):
        return [(said, told)]
    return [(said[1], form) for form in told] or [(said[1], "")]


def wrong_blanks(pairs: list[tuple[str, str]]) -> list[str]:
    return [f"{said} -> {told}" for said, told in pairs if sorted(BLANK.findall(said)) != sorted(BLANK.findall(told))]


def test_the_catalogues_are_those_of_the_code(tmp_path: Path) -> None:
    subprocess.run([ROOT / "scripts" / "translate", "--to", tmp_path], check=True, capture_output=True, timeout=60)
    for language in TRANSLATED:
        fresh, kept = (_path(folder, language).read_text() for folder in (tmp_path, ROOT / "whatalker" / "translations"))
        assert fresh == kept, f"run scripts/translate and translate what is new in {language}"


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_text_is_translated(language: str) -> None:
    texts = [message for message in _catalogue(language) if message.id]
    assert len(texts) > 800
    assert [message.id for message in texts if message.fuzzy or not all(told.strip() for _, told in _both(message))] == []


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_translation_has_the_blanks_of_its_text(language: str) -> None:
    assert [line for message in _catalogue(language) if message.id for line in wrong_blanks(_both(message))] == []


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_translation_begins_and_ends_as_its_text(language: str) -> None:
    """Neither the full stop nor the dots of “Delete…” go missing, and a label does not become a sentence."""
    pairs = [pair for message in _catalogue(language) if message.id for pair in _both(message)]
    assert [pair for pair in pairs if (pair[0][-1] in ".…") != (pair[1][-1] in ".…")] == []
    assert [pair for pair in pairs if pair[1] != pair[1].strip() or "\n" in pair[1]] == []


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_text_has_all_plural_forms(language: str) -> None:
    catalogue = _catalogue(language)
    plurals = [message for message in catalogue if message.id and not isinstance(message.id, str)]
    assert plurals
    assert {len(message.string) for message in plurals} == {catalogue.num_plurals} == {2}


def test_a_missing_blank_is_found() -> None:
    assert wrong_blanks([("%(name)s of {team}", "{team}: %(nombre)s")]) != []
    assert wrong_blanks([("%(name)s of {team}", "{team}: %(name)s")]) == []


@pytest.mark.parametrize(("language", "words"), [("es", "Iniciar sesión"), ("pt", "Entrar"), ("en", "Sign in")])
def test_the_sign_in_page_speaks_what_the_browser_asks_for(app: Flask, language: str, words: str) -> None:
    page = anonymous(app).get("/login", headers={"Accept-Language": f"{language},en;q=0.5"}).text
    assert f'<html lang="{language}"' in page
    assert words in page


@pytest.mark.parametrize(
    ("language", "inbox", "nobody"),
    [("es", "Bandeja de entrada", "Nadie espera"), ("pt", "Caixa de entrada", "Ninguém está esperando")],
)
def test_a_person_reads_the_inbox_in_their_own_language(app: Flask, language: str, inbox: str, nobody: str) -> None:
    with app.app_context():
        agent = factories.make_member(factories.make_organization(), "agent", language=language)
    page = visit(app, agent).get("/inbox", headers={"Accept-Language": "en"}, follow_redirects=True).text
    assert f'<html lang="{language}"' in page
    assert inbox in page
    assert nobody in page or "No hay conversaciones abiertas" in page or "Não há conversas abertas" in page


@pytest.mark.parametrize(("language", "words"), [("es", "Plantillas"), ("pt", "Modelos")])
def test_an_admin_reads_the_screens_in_their_own_language(app: Flask, language: str, words: str) -> None:
    with app.app_context():
        owner = factories.make_member(factories.make_organization(), "owner", language=language)
    assert words in visit(app, owner).get("/admin/templates/").text


SAID_BY_FLASK_SECURITY = (
    "TWO_FACTOR_INVALID_TOKEN", "INVALID_RECOVERY_CODE", "PASSWORD_RESET_REQUEST", "PASSWORD_RESET_EXPIRED", "INVALID_PASSWORD",
    "PASSWORD_CHANGE", "PASSWORD_RESET_NO_LOGIN", "REAUTHENTICATION_REQUIRED", "RETYPE_PASSWORD_MISMATCH", "PASSWORD_NOT_PROVIDED",
    "TWO_FACTOR_SETUP_EXPIRED", "TWO_FACTOR_CHANGE_METHOD_SUCCESSFUL", "TWO_FACTOR_DISABLED", "GENERIC_RECOVERY", "UNAUTHENTICATED",
    "GENERIC_AUTHN_FAILED",
)  # fmt: skip


@pytest.mark.parametrize("language", TRANSLATED)
def test_what_flask_security_says_is_translated_too(app: Flask, language: str) -> None:
    def said(language: str) -> dict[str, str]:
        with app.test_request_context(headers={"Accept-Language": language}):
            blanks = {"within": "1 h", "email": "ana@example.com"}
            return {key: str(get_message(key, **blanks)[0]) for key in SAID_BY_FLASK_SECURITY if f"SECURITY_MSG_{key}" in app.config}

    english, theirs = said("en"), said(language)
    assert len(english) >= len(SAID_BY_FLASK_SECURITY) - 1
    assert [key for key in english if english[key] == theirs[key]] == []


@pytest.mark.parametrize(("language", "required"), [("es", "Este campo es obligatorio"), ("pt", "obrigatório")])
def test_what_a_form_field_says_is_translated_too(app: Flask, language: str, required: str) -> None:
    with app.app_context():
        owner = factories.make_member(factories.make_organization(), "owner", language=language)
    page = visit(app, owner).post("/admin/labels/new/", data={"name": "", "colour": "grey"}).text
    assert "This field is required" not in page
    assert required in page


def test_outside_of_a_request_the_text_is_the_source(app: Flask) -> None:
    waiting = lazy_gettext("Save")
    assert (gettext("Save"), str(waiting)) == ("Save", "Save")
    with app.app_context():
        assert (gettext("Save"), str(waiting)) == ("Save", "Save")
    with app.test_request_context():
        g.language = "es"
        assert (gettext("Save"), str(waiting)) == ("Guardar", "Guardar")
        assert ngettext("%(num)d unread", "%(num)d unread", 3) == "3 sin leer"


def test_a_refusal_of_a_service_is_in_the_language_of_who_asked(app: Flask) -> None:
    with app.test_request_context():
        g.language = "pt"
        with pytest.raises(Invalid, match="no máximo 3"):
            one_line("Maria", "name", 3)


def test_each_language_has_a_locale_the_libraries_know() -> None:
    assert LOCALES.keys() == LANGUAGES.keys()
