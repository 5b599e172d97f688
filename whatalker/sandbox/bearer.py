"""Who may call the Graph API: a bearer token that the sandbox gave, for the number it was given for."""

from aiohttp import web

from .emulator import Emulator
from .refusals import GraphError, unknown_object

EMULATOR: web.AppKey[Emulator] = web.AppKey("emulator", Emulator)


def check_token(emulator: Emulator, request: web.Request, number_id: str = "") -> None:
    """Refuse a missing or unknown bearer token, and one that belongs to another number."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise GraphError(190, "An access token is required to request this resource.")
    token = token.strip()
    number = emulator.numbers.get(number_id)
    if number and number.access_token:
        if token == number.access_token:
            return
    elif token == emulator.settings.access_token:
        return
    known = {one.access_token for one in emulator.numbers.values() if one.access_token} | {
        emulator.settings.access_token
    }
    if token not in known:
        raise GraphError(190, "Invalid OAuth access token - Cannot parse access token")
    if number:
        raise unknown_object(number_id)
