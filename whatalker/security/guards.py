"""Who may reach which address; its one rule: an address without a declared guard is closed to everyone.

A view declares its guard with one of the three decorators. Views of libraries cannot carry one: they are in ELSEWHERE, each with
its reason. A Flask-Admin view answers through its Screen's `guard_of_view(name)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial, update_wrapper
from inspect import ismethod
from typing import Literal, TypeVar

from flask import Flask

from whatalker.access import Permission

View = TypeVar("View", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class Guard:
    """What an address asks of whoever comes.

    kind         "permissions": a member, or staff, who holds all of `permissions`; their rows are in scope.
                 "signed_in": anyone who is signed in; only the person is in scope, no organization.
                 "public": anyone. "closed": nobody; it answers 404 as if it were not there.
    reason       why it is not "permissions"; shown by the access matrix.
    fresh        the password must have been given within the last half hour.
    unfinished   open to staff who still have to set up their second factor or recovery codes.
    signed       calls are proven by a provider's signature, so they carry no CSRF token.
    any_of       at least one of these besides, when there are any.
    by_itself    an open page asks it by itself, so it does not count as use: a browser left open still times out.
    """

    kind: Literal["permissions", "signed_in", "public", "closed"]
    permissions: frozenset[Permission] = frozenset()
    reason: str = ""
    fresh: bool = False
    unfinished: bool = False
    signed: bool = False
    by_itself: bool = False
    any_of: frozenset[Permission] = frozenset()

    def missing(self, held: frozenset[Permission]) -> Permission | None:
        """A permission that is asked for and not held; None when nothing is missing."""
        wanted = sorted(self.permissions - held) or (sorted(self.any_of) if not self.any_of & held else [])
        return wanted[0] if wanted else None


def guard(*permissions: Permission, fresh: bool = False, by_itself: bool = False) -> Callable[[View], View]:
    """Only for members and staff who hold every one of the permissions."""
    if not permissions:
        raise ValueError("A guard names at least one permission; use signed_in(reason) or public(reason) for none.")
    return _declare(Guard("permissions", frozenset(permissions), fresh=fresh, by_itself=by_itself))


def signed_in(reason: str, *, fresh: bool = False, unfinished: bool = False) -> Callable[[View], View]:
    """For anyone who is signed in, whatever their role; no organization's rows are in scope."""
    return _declare(Guard("signed_in", reason=_stated(reason), fresh=fresh, unfinished=unfinished))


def public(reason: str, *, signed: bool = False) -> Callable[[View], View]:
    """For everyone; `signed`: a provider calls it and the view verifies the signature over the raw body itself."""
    return _declare(Guard("public", reason=_stated(reason), unfinished=True, signed=signed))


def _stated(reason: str) -> str:
    if not reason.strip():
        raise ValueError("An address without a permission needs a reason.")
    return reason


def _declare(declared: Guard) -> Callable[[View], View]:
    def mark(view: View) -> View:
        if ismethod(view):  # a library's own: it cannot carry a mark, a function around it can
            return mark(update_wrapper(partial(view), view))  # type: ignore[arg-type, return-value]
        view.guard = declared  # type: ignore[attr-defined]
        return view

    return mark


def _open(reason: str) -> Guard:
    return Guard("public", reason=reason, unfinished=True)


def _own(reason: str) -> Guard:
    return Guard("signed_in", reason=reason, unfinished=True)


ELSEWHERE: dict[str, Guard] = {
    "security.login": _open("signing in"),
    "security.logout": _open("signing out never fails, also when the session has just ended"),
    "security.forgot_password": _open("asking for a letter with a reset link"),
    "security.reset_password": _open("the link in that letter, which is signed and expires"),
    "security.two_factor_token_validation": _open("the second step of signing in; the first one is kept in the signed cookie"),
    "security.two_factor_setup": _open("staff set up their second factor between the steps of signing in; others once signed in"),
    "security.two_factor_setup_validate": _own("confirming one's own new second factor"),
    "security.mf_recovery": _open("a recovery code as the second step of signing in"),
    "security.mf_recovery_codes": _own("making one's own recovery codes"),
    "security.change_password": _own("changing one's own password"),
    "security.verify": _own("giving one's own password again before something sensitive"),
    "security.two_factor_rescue": Guard("closed", reason="a second factor is never sent by mail: recovery codes are the way"),
    "security.tf_select": Guard("closed", reason="there is one second factor to choose from"),
    "admin.static": _open("Flask-Admin's own style sheets and scripts, the same for everyone"),
}  # fmt: skip
"""The views of libraries, which cannot carry a decorator."""


def guard_of(app: Flask, endpoint: str) -> Guard | None:
    """The declared guard of an endpoint; None when nobody declared one, and then it stays closed."""
    view = app.view_functions.get(endpoint)
    declared = getattr(view, "guard", None)
    if isinstance(declared, Guard):
        return declared
    screen = getattr(view, "__self__", None)
    answer = getattr(screen, "guard_of_view", None)
    if answer is not None and view is not None:
        found = answer(view.__name__)
        return found if isinstance(found, Guard) else None
    return ELSEWHERE.get(endpoint)


def every_guard(app: Flask) -> Iterator[tuple[str, Guard | None]]:
    """Each endpoint that has an address, with its guard: what the access matrix walks."""
    for endpoint in sorted({rule.endpoint for rule in app.url_map.iter_rules()}):
        yield endpoint, guard_of(app, endpoint)
