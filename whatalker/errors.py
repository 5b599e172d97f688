"""Every error raised on purpose; none of them knows HTTP, and the message is for the person who asked."""

from __future__ import annotations

from typing import Any, Literal


class WhatalkerError(Exception):
    """The parent of every error we raise on purpose.

    `code` is a stable snake_case word for programs, `message` a sentence for people, `details` what helps to mend it.
    """

    code = "error"

    def __init__(self, message: str, code: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.details = details


class Invalid(WhatalkerError):
    """What was given cannot be used; nothing was stored."""

    code = "invalid"


class NotFound(WhatalkerError):
    """There is no such thing, or it is not this person's to see; the two are never told apart."""

    code = "not_found"


class NotAllowed(WhatalkerError):
    """The person may not do this; `details["permission"]` names what is missing, when one permission would do."""

    code = "not_allowed"


class Conflict(WhatalkerError):
    """Somebody else was faster, or the thing is no longer in the state this needs."""

    code = "conflict"


class ProviderError(WhatalkerError):
    """A provider did not plainly accept a call.

    outcome     "refused": the provider said, or it is certain, that it did not accept: safe to send again by its class.
                "unknown": 5xx, timeout, reset or an unreadable answer: it may have accepted.
    code        the provider's own code as text, None where there was none.
    retry_after seconds the provider asked us to wait, None where it did not say.
    """

    code = "provider_error"

    def __init__(
        self,
        message: str,
        *,
        outcome: Literal["refused", "unknown"],
        provider_code: str | None = None,
        title: str = "",
        retry_after: float | None = None,
        permanent: bool = False,
        **details: Any,
    ) -> None:
        super().__init__(message, **details)
        self.outcome = outcome
        self.provider_code = provider_code
        self.title = title or message
        self.retry_after = retry_after
        self.permanent = permanent
