"""What a provider's error code means for the message, the number and the agent; everything is read from provider_errors.csv."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources

__all__ = ["ACTIONS", "CLASSES", "LANGUAGES", "ErrorFact", "catalogue", "explain", "load"]

LANGUAGES = ("en", "es", "pt")
CLASSES = {
    "transient", "rate", "permanent", "config", "account", "window", "recipient", "recipient_policy",
    "recipient_optout", "template", "content", "ok", "unknown", "policy",
}  # fmt: skip
MESSAGES = {"retry", "hold", "fail", "check"}
ACTIONS = {
    "none", "slow_down", "hold_number", "stop_account", "stop_campaigns", "hold_template", "stop_marketing",
    "stop_list", "stop_all", "count_unreachable", "drop_address",
}  # fmt: skip
WHO = {"nobody", "agent", "admin", "billing", "compliance", "contact"}
STOPS_NUMBER = {"hold_number", "stop_account"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorFact:
    """One code, decided.

    class_        what kind of trouble it is (CLASSES).
    retry         whether the same message is tried again without a person; then `waits` has one entry per further try.
    waits         seconds; with retry False the first entry is the earliest moment at which a person may try again.
    message       what becomes of the message: "retry", "hold" (until somebody mends the number), "fail", or "check" (unknown outcome).
    action        what becomes of number, template, campaign or person (ACTIONS).
    who           who can help: nobody (it mends itself), agent, admin, billing, compliance, contact.
    agent_text    what the agent reads, by language.
    known         False for a code that the catalogue does not have: log it for the catalogue.
    """

    provider: str
    code: str
    meaning: str
    class_: str
    retry: bool
    waits: tuple[int, ...]
    message: str
    action: str
    who: str
    advice: str
    agent_text: Mapping[str, str]
    known: bool = True

    @property
    def stops_number(self) -> bool:
        """Whether nothing more leaves through this number (or all numbers of its account) until somebody mends it."""
        return self.action in STOPS_NUMBER

    @property
    def stops_account(self) -> bool:
        return self.action == "stop_account"

    def text(self, language: str = "en", *, details: str = "", reference: str = "") -> str:
        """What the agent reads, with what the provider said and its reference where they help."""
        said = self.agent_text.get(language.partition("_")[0].partition("-")[0]) or self.agent_text["en"]
        parts = [said]
        if details and self.message == "fail" and self.who == "agent":
            parts.append(f"WhatsApp: {details}" if self.provider == "meta" else details)
        if reference:
            parts.append(f"({reference})")
        return " ".join(parts)


def explain(
    provider: str,
    code: str | int | None,
    *,
    title: str = "",
    reference: str = "",
    http_status: int | None = None,
    transient: bool = False,
) -> ErrorFact:
    """The catalogue's row for a code. Never raises.

    A code the catalogue does not have shows the provider's own title, the code and its reference, and is tried again
    only where the provider (`transient`) or the HTTP class (429, 5xx) says that the trouble will pass.
    """
    text = "" if code is None else str(code)
    rows = catalogue()
    fact = rows.get((provider, text)) or rows.get(("network", text))
    if fact is None and http_status is not None and http_status >= 500:
        fact = rows.get((provider, "5xx"))
    return fact or _unlisted(provider, text, title, reference, http_status, transient)


SAID = {
    "en": ("The provider refused the message: {0}.", "Show this to an admin if it happens again."),
    "es": ("El proveedor rechazó el mensaje: {0}.", "Muéstrelo a un administrador si vuelve a ocurrir."),
    "pt": ("O provedor recusou a mensagem: {0}.", "Mostre isto a um administrador se acontecer de novo."),
}
NO_TITLE = {"en": "no reason given", "es": "sin motivo", "pt": "sem motivo"}
CODE = {"en": "code", "es": "código", "pt": "código"}
REFERENCE = {"en": "reference", "es": "referencia", "pt": "referência"}


def _unlisted(
    provider: str, code: str, title: str, reference: str, http_status: int | None, transient: bool
) -> ErrorFact:
    passing = transient or http_status == 429 or (http_status is not None and http_status >= 500)
    texts = {}
    for language in LANGUAGES:
        marks = [f"{CODE[language]} {code}"] if code else []
        marks += [f"{REFERENCE[language]} {reference}"] if reference else []
        what = (title or NO_TITLE[language]).rstrip(". ")
        refused, then = SAID[language]
        shown = f"{what} ({', '.join(marks)})" if marks else what
        texts[language] = f"{refused.format(shown)} {then}"
    return ErrorFact(
        provider=provider,
        code=code,
        meaning=title,
        class_="transient" if passing else "permanent",
        retry=passing,
        waits=(60, 120, 240) if passing else (),
        message="retry" if passing else "fail",
        action="slow_down" if http_status == 429 else "none",
        who="nobody" if passing else "admin",
        advice="",
        agent_text=texts,
        known=False,
    )


@cache
def catalogue() -> Mapping[tuple[str, str], ErrorFact]:
    """Every listed code by (provider, code); ranges and alternatives (200-299, 401/403) are spread out."""
    text = resources.files(__package__).joinpath("provider_errors.csv").read_text(encoding="utf-8")
    return load(text)


def load(text: str) -> dict[tuple[str, str], ErrorFact]:
    """Rows of a catalogue file. Raises ValueError naming the line that is not as it must be."""
    facts: dict[tuple[str, str], ErrorFact] = {}
    for line, row in enumerate(csv.DictReader(text.splitlines()), start=2):
        try:
            fact = _fact(row)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"provider_errors.csv line {line}: {error}") from None
        for code in _codes(fact.code):
            if (fact.provider, code) in facts:
                raise ValueError(f"provider_errors.csv line {line}: {fact.provider} {code} is listed twice")
            facts[fact.provider, code] = replace(fact, code=code)
    return facts


def _fact(row: Mapping[str, str]) -> ErrorFact:
    retry = {"yes": True, "no": False}[row["retry"]]
    fact = ErrorFact(
        provider=_one_of(row, "provider", {row["provider"].strip()} - {""}),
        code=_one_of(row, "code", {row["code"].strip()} - {""}),
        meaning=row["meaning"],
        class_=_one_of(row, "class", CLASSES),
        retry=retry,
        waits=_waits(row, retry),
        message=_one_of(row, "message", MESSAGES),
        action=_one_of(row, "action", ACTIONS),
        who=_one_of(row, "who", WHO),
        advice=row["advice"],
        agent_text={language: _sentence(row, language) for language in LANGUAGES},
    )
    if fact.retry != (fact.message == "retry"):
        raise ValueError("retry is yes exactly where the message is tried again")
    return fact


def _one_of(row: Mapping[str, str], column: str, allowed: set[str]) -> str:
    if row[column] not in allowed:
        raise ValueError(f"{column} is {row[column]!r}, not one of {', '.join(sorted(allowed))}")
    return row[column]


def _sentence(row: Mapping[str, str], language: str) -> str:
    said = row[language].strip()
    if not said.endswith("."):
        raise ValueError(f"{language} needs a sentence for the agent")
    return said


def _waits(row: Mapping[str, str], retry: bool) -> tuple[int, ...]:
    if not row["wait_seconds"]:
        if retry:
            raise ValueError("a retry needs wait_seconds")
        return ()
    first, factor = int(row["wait_seconds"]), int(row["wait_factor"] or 1)
    tries = int(row["max_retries"]) if retry else 1
    if first < 1 or factor < 1 or not 1 <= tries <= 10:
        raise ValueError("waits are whole seconds, factors at least 1, further tries between 1 and 10")
    return tuple(first * factor**nth for nth in range(tries))


def _codes(text: str) -> list[str]:
    first, dash, last = text.partition("-")
    if dash and first.isdigit() and last.isdigit():
        return [str(code) for code in range(int(first), int(last) + 1)]
    return text.split("/")
