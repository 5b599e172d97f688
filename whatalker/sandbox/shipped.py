"""The templates a fresh sandbox has: one of every part a product must be able to fill, and two it must not send."""

from typing import Any


def _row(name: str, language: str, category: str, components: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "language": language,
        "category": category,
        "status": "APPROVED",
        "components": components,
    } | more


def _body(text: str, *examples: str) -> dict[str, Any]:
    return {"type": "BODY", "text": text} | ({"example": {"body_text": [list(examples)]}} if examples else {})


def _track(label: str, thanks: str) -> dict[str, Any]:
    url = {"type": "URL", "text": label, "url": "https://shop.example/orders/{{1}}", "example": ["860198"]}
    return {"type": "BUTTONS", "buttons": [url, {"type": "QUICK_REPLY", "text": thanks}]}


def shipped_templates() -> list[dict[str, Any]]:
    """Fresh copies of the shipped templates, without ids."""
    return _utility() + _marketing() + _others()


def _utility() -> list[dict[str, Any]]:
    header = {"type": "HEADER", "format": "TEXT", "text": "Hello World"}
    welcome = "Welcome and congratulations! This message shows that you can send messages from your number."
    return [
        _row(
            "hello_world", "en_US", "UTILITY", [header, _body(welcome), {"type": "FOOTER", "text": "WhatsApp sandbox"}]
        ),
        _row(
            "order_update",
            "en_US",
            "UTILITY",
            [_body("Hi {{1}}, your order {{2}} is on its way.", "Mark", "860198"), _track("Track order", "Thank you")],
        ),
        _row(
            "order_update",
            "es",
            "UTILITY",
            [_body("Hola {{1}}, tu pedido {{2}} está en camino.", "Marcos", "860198"), _track("Ver pedido", "Gracias")],
        ),
        _row(
            "order_update",
            "pt_BR",
            "UTILITY",
            [
                _body("Olá {{1}}, seu pedido {{2}} está a caminho.", "Marcos", "860198"),
                _track("Ver pedido", "Obrigado"),
            ],
        ),
        _appointment(),
        _row(
            "delivery_location",
            "es",
            "UTILITY",
            [
                {"type": "HEADER", "format": "LOCATION"},
                _body("Hola {{1}}, tu pedido llega hoy a esta dirección.", "Marcos"),
            ],
        ),
    ]


def _appointment() -> dict[str, Any]:
    return _row(
        "appointment_reminder",
        "en_US",
        "UTILITY",
        [
            {"type": "HEADER", "format": "TEXT", "text": "Your appointment"},
            {
                "type": "BODY",
                "text": "Hi {{first_name}}, we look forward to seeing you on {{date}}. Is the time still good?",
                "example": {
                    "body_text_named_params": [
                        {"param_name": "first_name", "example": "Mark"},
                        {"param_name": "date", "example": "3 May, 10:00"},
                    ]
                },
            },
            {"type": "FOOTER", "text": "Reply to change it"},
            {
                "type": "BUTTONS",
                "buttons": [
                    {"type": "QUICK_REPLY", "text": "I will be there"},
                    {"type": "QUICK_REPLY", "text": "Change the time"},
                ],
            },
        ],
        parameter_format="NAMED",
    )


def _marketing() -> list[dict[str, Any]]:
    return [
        _row(
            "summer_sale",
            "en_US",
            "MARKETING",
            [
                {"type": "HEADER", "format": "IMAGE", "example": {"header_handle": ["4::aW1hZ2UvcG5n:sample"]}},
                _body("Hi {{1}}, our summer sale is on: 25 % off everything until Sunday.", "Mark"),
                {"type": "FOOTER", "text": "Tap Stop promotions to hear no more of them"},
                {
                    "type": "BUTTONS",
                    "buttons": [
                        {"type": "COPY_CODE", "text": "Copy offer code", "example": ["SUMMER25"]},
                        {"type": "QUICK_REPLY", "text": "Stop promotions"},
                    ],
                },
            ],
        ),
        _row(
            "seasonal_offer",
            "pt_BR",
            "MARKETING",
            [
                {"type": "HEADER", "format": "TEXT", "text": "Oferta de {{1}}", "example": {"header_text": ["verão"]}},
                _body("Oi {{1}}, use o código {{2}} e ganhe frete grátis.", "Marcos", "FRETE"),
                {"type": "FOOTER", "text": "Responda SAIR para não receber mais"},
            ],
        ),
        _row(
            "flash_deal",
            "en_US",
            "MARKETING",
            [_body("Only today, {{1}}: two for the price of one.", "Mark")],
            status="PAUSED",
            quality="RED",
        ),
        _row(
            "win_big",
            "en_US",
            "MARKETING",
            [_body("You win! Claim your prize now.")],
            status="REJECTED",
            rejected_reason="ABUSIVE_CONTENT",
        ),
    ]


def _others() -> list[dict[str, Any]]:
    return [
        _row(
            "login_code",
            "en_US",
            "AUTHENTICATION",
            [
                _body("*{{1}}* is your verification code. For your security, do not share this code.", "123456")
                | {"add_security_recommendation": True},
                {"type": "FOOTER", "text": "This code expires in 10 minutes.", "code_expiration_minutes": 10},
                {
                    "type": "BUTTONS",
                    "buttons": [
                        {
                            "type": "URL",
                            "text": "Copy code",
                            "url": "https://www.whatsapp.com/otp/code/?code={{1}}",
                            "example": ["https://www.whatsapp.com/otp/code/?code=123456"],
                        }
                    ],
                },
            ],
        ),
    ]
