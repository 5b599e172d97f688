"""The forms of Flask-Security with what it leaves to us; its one rule: they refuse alike, whether or not there is such a person."""

from __future__ import annotations

from typing import Any

from flask_security import (
    ForgotPasswordForm,
    LoginForm,
    MfRecoveryForm,
    TwoFactorVerifyCodeForm,
    hash_password,
)  # fmt: skip
from flask_security.utils import get_message


class SignInForm(LoginForm):  # type: ignore[misc]
    """Email and password; no "remember me": a session row lasts as long as it should, and can be ended."""

    remember = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Without one, Flask-Security would carry the full address of this very page through the second step.
        self.next.data = self.next.data or "/"


class ForgotForm(ForgotPasswordForm):  # type: ignore[misc]
    """Takes as long for somebody as for nobody, and is a way out of a locked account."""

    def validate(self, **kwargs: Any) -> bool:
        if not super(ForgotPasswordForm, self).validate(**kwargs):
            return False  # the view hashes once for an address that is not known
        hash_password("as long as for an unknown address")
        return bool(self.user and self.user.is_active)


class CodeForm(TwoFactorVerifyCodeForm):  # type: ignore[misc]
    """A locked account takes no codes either, or the second factor could be tried through."""

    def validate(self, **kwargs: Any) -> bool:
        if self.user is not None and self.user.is_locked():
            super(TwoFactorVerifyCodeForm, self).validate(**kwargs)
            self.code.errors = [get_message("TWO_FACTOR_INVALID_TOKEN")[0]]
            return False
        return bool(super().validate(**kwargs))


class RecoveryForm(MfRecoveryForm):  # type: ignore[misc]
    """The same for recovery codes; a wrong one counts as a wrong password does."""

    def validate(self, **kwargs: Any) -> bool:
        locked = self.user is not None and self.user.is_locked()
        if not locked and super().validate(**kwargs):
            return True
        if self.user is not None and not locked:
            self.user.track_failed_authn("recovery_code", True)
        self.code.errors = [get_message("INVALID_RECOVERY_CODE")[0]]
        return False


REPLACED: dict[str, Any] = {
    "login_form": SignInForm,
    "forgot_password_form": ForgotForm,
    "two_factor_verify_code_form": CodeForm,
    "mf_recovery_form": RecoveryForm,
}
