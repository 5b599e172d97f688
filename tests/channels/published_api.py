"""Meta's published description as JSON Schemas, with its own faults repaired one by one; run as a module it lists the repairs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from referencing import Registry
from referencing.jsonschema import DRAFT202012

HERE = Path(__file__).parent
FILE = HERE / "whatsapp-business-api.yaml"
MESSAGES = "/{Version}/{Phone-Number-ID}/messages"
KINDS = [
    "Text",
    "Audio",
    "Video",
    "Document",
    "Image",
    "Location",
    "Sticker",
    "Reaction",
    "Interactive",
    "Template",
    "Contacts",
]

Schemas = dict[str, Any]
REPAIRS: list[tuple[str, str, Callable[[Schemas], None]]] = []


def repair(reason: str) -> Callable[[Callable[[Schemas], None]], Callable[[Schemas], None]]:
    def note(function: Callable[[Schemas], None]) -> Callable[[Schemas], None]:
        REPAIRS.append((function.__name__, reason, function))
        return function

    return note


@repair(
    "additionalProperties: false inside one branch of allOf forbids what the other branch demands (messaging_product, to), "
    "so no message at all is valid; it becomes unevaluatedProperties: false over the whole."
)
def closed_branches(schemas: Schemas) -> None:
    for kind in KINDS:
        schemas[f"{kind}Message"]["allOf"][1].pop("additionalProperties", None)
        schemas[f"{kind}Message"]["unevaluatedProperties"] = False


@repair("recipient_type is required, yet the file's own examples leave it out; its default is individual.")
def recipient_type_is_optional(schemas: Schemas) -> None:
    schemas["BaseMessageProperties"]["required"].remove("recipient_type")


@repair("biz_opaque_callback_data, which comes back with every status, is described for calls only.")
def callback_data(schemas: Schemas) -> None:
    schemas["BaseMessageProperties"]["properties"]["biz_opaque_callback_data"] = {"type": "string", "maxLength": 512}


@repair(
    "recipient (a business-scoped user id) came later: it stands instead of `to` for people without a phone number."
)
def recipient_by_user_id(schemas: Schemas) -> None:
    base = schemas["BaseMessageProperties"]
    base["properties"]["recipient"] = {"type": "string", "pattern": r"^[A-Z]{2}\.[A-Za-z0-9.]{1,128}$"}
    base["required"].remove("to")
    base["oneOf"] = [{"required": ["to"]}, {"required": ["recipient"]}]


@repair("latitude and longitude are said to be strings; the file's own examples, and incoming messages, have numbers.")
def places_are_numbers(schemas: Schemas) -> None:
    place = schemas["LocationMessage"]["allOf"][1]["properties"]["location"]
    place["required"] = ["latitude", "longitude"]
    for name in ("latitude", "longitude"):
        place["properties"][name] = {"type": "number"}


@repair("text.body is not required, though a text without it is refused; its limit of 4,096 is missing.")
def text_needs_a_body(schemas: Schemas) -> None:
    text = schemas["TextMessage"]["allOf"][1]["properties"]["text"]
    text["required"] = ["body"]
    text["properties"]["body"] |= {"minLength": 1, "maxLength": 4096}


@repair(
    "MediaObject, used for every file, knows neither caption nor filename nor voice, which the examples have, and is open to "
    "anything else; MediaObject_1 has captions but nobody refers to it."
)
def files_have_captions(schemas: Schemas) -> None:
    extra = {"image": ["caption"], "video": ["caption"], "document": ["caption", "filename"], "audio": ["voice"]}
    types = {
        "caption": {"type": "string", "maxLength": 1024},
        "filename": {"type": "string"},
        "voice": {"type": "boolean"},
    }
    for kind, names in extra.items():
        more = {name: types[name] for name in names}
        schemas[f"{kind.title()}Message"]["allOf"][1]["properties"][kind] = file_schema(more)
    for kind in ("image", "video", "document"):
        more = {"filename": types["filename"]} if kind == "document" else {}
        schemas[f"{kind.title()}Parameter"]["allOf"][1]["properties"][kind] = file_schema(more)
        schemas["HeaderObject"]["properties"][kind] = file_schema(more)


def file_schema(more: dict[str, Any]) -> dict[str, Any]:
    link = {"type": "string", "pattern": "^https?://"}
    return {
        "oneOf": [
            {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}, **more}, "additionalProperties": False},
            {"type": "object", "required": ["link"], "properties": {"link": link, **more}, "additionalProperties": False},
        ]
    }  # fmt: skip


@repair("interactive type cta_url and its action are missing.")
def call_to_action(schemas: Schemas) -> None:
    schemas["InteractiveObject"]["properties"]["type"]["enum"].append("cta_url")
    parameters = {
        "type": "object",
        "required": ["display_text", "url"],
        "properties": {"display_text": {"type": "string", "maxLength": 20}, "url": {"type": "string"}},
        "additionalProperties": False,
    }
    schemas["ActionObject"]["oneOf"].append(
        {"required": ["name", "parameters"], "properties": {"name": {"const": "cta_url"}, "parameters": parameters}}
    )


@repair("interactive, its action and a reaction do not require what they cannot do without, and take unknown names.")
def interactive_is_closed(schemas: Schemas) -> None:
    schemas["InteractiveObject"]["additionalProperties"] = False
    for name in ("HeaderObject", "BodyObject", "FooterObject", "SectionObject"):
        schemas[name]["additionalProperties"] = False
    schemas["ActionObject"]["unevaluatedProperties"] = False
    schemas["ReactionMessage"]["allOf"][1]["properties"]["reaction"]["required"] = ["message_id", "emoji"]


@repair(
    "language.policy is required, yet most of the file's own examples leave it out; deterministic is the only value."
)
def language_policy_is_optional(schemas: Schemas) -> None:
    schemas["LanguageObject"]["required"].remove("policy")


@repair("a button's index must match ^[2-6, 11-14]$, which forbids 0 and 1 (page numbers of the source); it is 0 to 9.")
def button_index(schemas: Schemas) -> None:
    for part in (schemas["TemplateComponent"], schemas["ButtonComponent"]["allOf"][1]):
        part["properties"]["index"]["pattern"] = "^[0-9]$"


@repair("button sub_type lacks copy_code, and its coupon_code parameter is missing.")
def copy_code(schemas: Schemas) -> None:
    for part in (schemas["TemplateComponent"], schemas["ButtonComponent"]["allOf"][1]):
        part["properties"]["sub_type"]["enum"].append("copy_code")
    schemas["ButtonParameterObject"]["properties"]["type"]["enum"].append("coupon_code")
    schemas["ButtonCouponParameter"] = {
        "type": "object",
        "required": ["type", "coupon_code"],
        "properties": {"type": {"const": "coupon_code"}, "coupon_code": {"type": "string", "maxLength": 15}},
    }


@repair("named parameters (parameter_name) and the location header came later and are missing.")
def named_and_location_parameters(schemas: Schemas) -> None:
    schemas["ParameterObject"]["properties"]["type"]["enum"].append("location")
    schemas["TextParameter"]["allOf"][1]["properties"]["parameter_name"] = {"type": "string", "pattern": "^[a-z0-9_]+$"}
    place = schemas["LocationMessage"]["allOf"][1]["properties"]["location"]
    schemas["LocationParameter"] = {
        "type": "object",
        "required": ["type", "location"],
        "properties": {"type": {"const": "location"}, "location": place},
    }


@repair(
    "a discriminator means nothing to JSON Schema, and no oneOf stands beside it: components and parameters of a template are "
    "not checked at all; they get the oneOf they mean."
)
def discriminators(schemas: Schemas) -> None:
    def one_of(*names: str) -> dict[str, Any]:
        return {"oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in names]}

    schemas["TemplateObject"]["properties"]["components"]["items"] = one_of(
        "HeaderComponent", "BodyComponent", "ButtonComponent"
    )
    values = one_of(
        *(f"{kind}Parameter" for kind in ["Text", "Currency", "DateTime", "Document", "Image", "Video", "Location"])
    )
    for name in ("HeaderComponent", "BodyComponent"):
        schemas[name]["allOf"][1]["properties"]["parameters"]["items"] = values
    schemas["ButtonComponent"]["allOf"][1]["properties"]["parameters"]["items"] = one_of(
        "ButtonPayloadParameter", "ButtonTextParameter", "ButtonCouponParameter"
    )
    for name in ("Text", "Currency", "DateTime", "Document", "Image", "Video", "Location"):
        schemas[f"{name}Parameter"]["unevaluatedProperties"] = False


@repair("template.name, language and components are not closed: a misspelt name would pass.")
def templates_are_closed(schemas: Schemas) -> None:
    schemas["TemplateObject"]["additionalProperties"] = False
    schemas["LanguageObject"]["additionalProperties"] = False
    for name in ("HeaderComponent", "BodyComponent", "ButtonComponent"):
        schemas[name]["unevaluatedProperties"] = False


@repair("a read receipt goes to the same address as messages, but its schema is not among those of the body.")
def read_receipts(schemas: Schemas) -> None:
    schemas["Message"]["oneOf"].append({"$ref": "#/components/schemas/MarkMessageRequestPayload"})
    receipt = schemas["MarkMessageRequestPayload"]
    receipt["properties"]["status"] = {"const": "read"}
    receipt["additionalProperties"] = False


@repair("typing_indicator stands in an example of the read receipt and not in its schema.")
def typing_indicator(schemas: Schemas) -> None:
    schemas["MarkMessageRequestPayload"]["properties"]["typing_indicator"] = {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"const": "text"}},
        "additionalProperties": False,
    }


@repair("incoming messages refer to the outgoing schemas of the same name instead of those with a number behind them.")
def incoming_schemas(schemas: Schemas) -> None:
    numbered = {
        "Text": 2,
        "Reaction": 1,
        "Audio": 1,
        "Document": 1,
        "Image": 1,
        "Sticker": 1,
        "Video": 1,
        "Location": 1,
    }
    for item in schemas["IncomingMessage"]["oneOf"]:
        name = item["$ref"].rpartition("/")[2].removesuffix("Message")
        if name in numbered:
            item["$ref"] = f"#/components/schemas/{name}Message_{numbered[name]}"
    for name in [*(f"{kind}Message_{number}" for kind, number in numbered.items()), "ContactSharingMessage",
                 "UnsupportedMessage", "ButtonMessage", "InteractiveMessageReply", "OrderMessage", "SystemMessage"]:  # fmt: skip
        schemas[name]["allOf"][0]["$ref"] = "#/components/schemas/BaseMessageProperties_1"
    schemas["ContactSharingMessage"]["allOf"][1]["properties"]["contacts"]["items"]["$ref"] += "_1"
    schemas["UnsupportedMessage"]["allOf"][1]["properties"]["errors"]["items"]["$ref"] += "_2"


@repair(
    "a status' own shape lacks recipient_user_id and biz_opaque_callback_data, and demands recipient_id of everybody."
)
def status_recipients(schemas: Schemas) -> None:
    schemas["Statuses"]["required"].remove("recipient_id")
    for name in ("recipient_user_id", "biz_opaque_callback_data"):
        schemas["Statuses"]["properties"][name] = {"type": "string"}


@repair("group news: timestamps are said to be integers and wa_ids strings; in the examples it is the other way round.")
def group_types(schemas: Schemas) -> None:
    schemas["Groups"]["properties"]["timestamp"]["type"] = ["integer", "string"]
    for name in ("input", "wa_id"):
        schemas["GroupParticipant"]["properties"][name]["type"] = ["integer", "string"]


@repair("the field of the third group example is group_participants_update, in the schema group_participant_update.")
def group_field(schemas: Schemas) -> None:
    schemas["Change"]["properties"]["field"]["enum"].append("group_participants_update")


@repair("a quoted message's context demands a referred product, which only one of its uses has.")
def plain_context(schemas: Schemas) -> None:
    schemas["ContextObject"]["required"].remove("referred_product")


@cache
def description() -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(FILE.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return found


@cache
def repaired() -> Registry[Any]:
    schemas = copy.deepcopy(description()["components"]["schemas"])
    for _name, _reason, mend in REPAIRS:
        mend(schemas)
    resource = DRAFT202012.create_resource({"components": {"schemas": schemas}})
    return Registry().with_resource("urn:published", resource)


def validator(schema: str) -> Draft202012Validator:
    """Of one schema of the repaired description."""
    return Draft202012Validator({"$ref": f"urn:published#/components/schemas/{schema}"}, registry=repaired())


def faults(schema: str, body: Any) -> list[str]:
    """Why a body does not fit, in words; empty when it fits."""
    found = []
    for error in validator(schema).iter_errors(body):
        found.append(f"{error.json_path}: {error.message[:300]}")
        found += [f"  {inner.json_path}: {inner.message[:200]}" for inner in error.context or []]
    return found


def request_examples() -> dict[str, Any]:
    content = description()["paths"][MESSAGES]["post"]["requestBody"]["content"]["application/json"]
    return {name: example["value"] for name, example in content["examples"].items()}


if __name__ == "__main__":
    for name, reason, _mend in REPAIRS:
        print(f"{name}: {reason}")
