"""How Meta says no: every refusal is a GraphError, whose code decides its title and HTTP status."""

import secrets
from typing import Any

# code: (title, HTTP status), after Meta's page of error codes.
CODES: dict[int, tuple[str, int]] = {
    1: ("API Unknown", 400),
    2: ("API Service", 503),
    3: ("API Method", 500),
    4: ("API Too Many Calls", 429),
    10: ("Permission Denied", 403),
    33: ("Parameter value is not valid", 400),
    100: ("Invalid parameter", 400),
    190: ("Access token has expired", 401),
    200: ("API Permission", 403),
    368: ("Temporarily blocked for policies violations", 403),
    80007: ("Rate limit issues", 429),
    130429: ("Rate limit hit", 429),
    130472: ("User's number is part of an experiment", 400),
    130497: ("Business account is restricted from messaging users in this country", 403),
    131000: ("Something went wrong", 500),
    131005: ("Access denied", 403),
    131008: ("Required parameter is missing", 400),
    131009: ("Parameter value is not valid", 400),
    131016: ("Service unavailable", 500),
    131021: ("Recipient cannot be sender", 400),
    131026: ("Message undeliverable", 400),
    131030: ("Recipient phone number not in allowed list", 400),
    131031: ("Account has been locked", 403),
    131037: ("Display name needs approval", 400),
    131042: ("Business eligibility payment issue", 400),
    131045: ("Incorrect certificate", 500),
    131047: ("Re-engagement message", 400),
    131048: ("Spam rate limit hit", 429),
    131049: ("This message was not delivered to maintain healthy ecosystem engagement.", 400),
    131050: ("User has stopped receiving marketing messages from this business", 400),
    131051: ("Unsupported message type", 400),
    131052: ("Media download error", 400),
    131053: ("Media upload error", 400),
    131056: ("(Business Account, Consumer Account) pair rate limit hit", 429),
    131057: ("Account in maintenance mode", 500),
    131062: ("Business-scoped user ID is not supported for this message", 400),
    132000: ("Number of parameters does not match the expected number of params", 400),
    132001: ("Template name does not exist in the translation", 404),
    132005: ("Translated text too long", 400),
    132007: ("Template content policy violated", 400),
    132012: ("Parameter format does not match format in the created template", 400),
    132015: ("Template is paused", 400),
    132016: ("Template is disabled", 400),
    132018: ("There was an issue with the parameters in the template", 400),
    133004: ("Server temporarily unavailable", 503),
    133010: ("Phone number not registered", 400),
    135000: ("Generic user error", 400),
}

HELP = "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/"


def trace_id() -> str:
    """An `fbtrace_id` in Meta's look: 23 characters that begin with A."""
    return "A" + secrets.token_urlsafe(18)[:22]


class GraphError(Exception):
    """One refused call; `body()` is what Meta answers and `status` its HTTP status."""

    def __init__(
        self,
        code: int,
        message: str = "",
        *,
        details: str = "",
        status: int = 0,
        subcode: int = 0,
        kind: str = "OAuthException",
        user_title: str = "",
        user_message: str = "",
    ) -> None:
        title, usual = CODES.get(code, ("Something went wrong", 400))
        self.code = code
        self.message = message or f"(#{code}) {title}"
        self.details = details
        self.status = status or usual
        self.subcode = subcode
        self.kind = kind
        self.user = (user_title, user_message)
        super().__init__(self.message)

    def body(self) -> dict[str, Any]:
        """The JSON of the answer; keys Meta leaves out when empty are left out here too."""
        error: dict[str, Any] = {"message": self.message, "type": self.kind, "code": self.code}
        if self.details:
            error["error_data"] = {"messaging_product": "whatsapp", "details": self.details}
        if self.subcode:
            error["error_subcode"] = self.subcode
        if self.user[0]:
            error |= {"is_transient": False, "error_user_title": self.user[0], "error_user_msg": self.user[1]}
        error["fbtrace_id"] = trace_id()
        return {"error": error}


def required(name: str) -> GraphError:
    """A missing parameter, named the way Meta names it: text['body']."""
    return GraphError(100, f"(#100) The parameter {name} is required.")


def wrong(sentence: str) -> GraphError:
    """A structurally wrong parameter (code 100)."""
    return GraphError(100, f"(#100) {sentence}")


def invalid(details: str) -> GraphError:
    """A parameter of the right shape with a value Meta does not take (code 131009)."""
    return GraphError(131009, details=details)


def missing(details: str) -> GraphError:
    """A piece that this kind of message needs (code 131008)."""
    return GraphError(131008, details=details)


def unknown_object(object_id: str, verb: str = "post") -> GraphError:
    """No such id, or a token that may not see it: Meta does not say which."""
    return GraphError(
        100,
        f"Unsupported {verb} request. Object with ID '{object_id}' does not exist, cannot be loaded due to missing "
        "permissions, or does not support this operation. Please read the Graph API documentation at "
        "https://developers.facebook.com/docs/graph-api",
        subcode=33,
        kind="GraphMethodException",
    )


def status_error(code: int, details: str = "") -> dict[str, Any]:
    """One entry of `errors` in a failed status."""
    title = CODES.get(code, ("Something went wrong", 400))[0]
    return {
        "code": code,
        "title": title,
        "message": title,
        "error_data": {"details": details or DETAILS.get(code, title)},
        "href": HELP,
    }


DETAILS = {
    131026: "Message Undeliverable.",
    131047: "Message failed to send because more than 24 hours have passed since the customer last replied to this "
    "number.",
    131049: "In order to maintain a healthy ecosystem engagement, the message failed to be delivered.",
    131050: "Message failed to send because the user has stopped marketing messages from this business.",
    131056: "Message failed to send because there were too many messages sent from this phone number to the same "
    "phone number in a short period of time.",
    130429: "Message failed to send because there were too many messages sent from this phone number in a short "
    "period of time.",
}
