"""The demo's first contacts write, through the sandbox like everybody else, so that the first inbox is not empty; only ever once."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any

MINUTE, HOUR = 60, 3600
VISITORS: tuple[tuple[str, str, tuple[tuple[int, dict[str, Any]], ...]], ...] = (
    ("573001234918", "Mariana Gómez", (
        (95 * MINUTE, {"text": "Hola, ¿el pedido 20418 ya salió?"}),
        (93 * MINUTE, {"text": "Es para un cumpleaños el viernes 🎂"}),
    )),
    ("5511987654321", "João Pereira", (
        (41 * MINUTE, {"text": "Bom dia! Vocês têm a jaqueta azul no tamanho M?"}),
        (40 * MINUTE, {"type": "location", "location": {
            "latitude": -23.5614, "longitude": -46.6559, "name": "Av. Paulista", "address": "São Paulo"}}),
    )),
    ("16315551181", "Kerry Fisher", (
        (23 * HOUR + 15 * MINUTE, {"text": "Can I still return the shoes I bought last week?"}),
    )),
    ("34612345678", "Lucía Ortega", (
        (7 * MINUTE, {"text": "¿A qué hora cerráis hoy?"}),
    )),
)  # fmt: skip
"""Who wrote what, and how many seconds ago; one of the windows is about to close."""


def write(port: int) -> bool:
    """Let them write at the sandbox on this port; False, and nothing written, when somebody has written there before."""
    if _call(port, "GET", "/_sandbox/phone", None)["contacts"]:
        return False
    moment = int(time.time())
    messages = [
        {"from": number, "name": name, "timestamp": moment - ago, **said}
        for number, name, lines in VISITORS
        for ago, said in lines
    ]
    _call(port, "POST", "/_sandbox/phone/messages", {"messages": messages})
    return True


def _call(port: int, method: str, path: str, body: Any) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()
