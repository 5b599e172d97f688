"""An emulator of the WhatsApp Cloud API and a phone to play the contact with; a process that imports nothing of ours.

    python -m whatalker.sandbox --port 8100 --callback http://127.0.0.1:8000/callbacks/whatsapp [--state FOLDER]

Every flag is also an environment variable (SANDBOX_PORT, SANDBOX_STATE, SANDBOX_CALLBACK, SANDBOX_APP_SECRET,
SANDBOX_VERIFY_TOKEN, SANDBOX_ACCESS_TOKEN, SANDBOX_PHONE_NUMBER_ID, SANDBOX_WABA_ID, SANDBOX_DISPLAY_PHONE_NUMBER,
SANDBOX_LATENCY_MS, SANDBOX_LEDGER_CAP). When it listens it prints `sandbox listening on http://127.0.0.1:PORT`.

The Graph API, under any version prefix `/vNN.N/`:

    POST   /{phone_number_id}/messages               every type, templates, read receipts, typing
    POST   /{phone_number_id}/media                  multipart; GET, DELETE /{media_id}; the url wants the token
    GET    /{phone_number_id}?fields=…               health of a number; GET /{waba_id}/phone_numbers
    GET POST DELETE /{waba_id}/message_templates     POST /{template_id} edits; "rejectme" in a text is rejected
    GET POST DELETE /{waba_id}/subscribed_apps       a new callback address must pass the handshake

Control, JSON in and out, from this machine only; a wrong call is 400 {"error": "a sentence"}:

    GET    /healthz                    {"ok": true, "waiting": updates not yet answered with 200}
    GET PUT DELETE /_sandbox/faults    keys given are changed, the others stay:
        {"seed": 7, "scope": ["messages", "read", "media", "templates", "numbers"], "latency_ms": 0 or [min, max],
         "rate_429": share, "error_before": share, "hang": share, "reset_before": share,          # not accepted
         "error_after": share, "hang_after": share, "reset_after": share, "malformed": share,    # accepted, answer lost
         "next": [{"do": "rate_429", "times": 3}, {"do": "code", "code": 131000}, {"do": "ok"}], "hang_ms": 30000,
         "fail": {"16505551234": {"code": 131026, "how": "status" or "answer"}},
         "pair_limit": {"count": 1, "seconds": 6} or null,                                        # 131056
         "webhook_duplicate": share, "webhook_shuffle": share, "webhook_hold_ms": 500}
    GET PUT /_sandbox/behaviour        {"sent_ms", "delivered_ms", "read_ms", "reads": share, "offline": bool,
         "fail_share", "fail_code", "window": "async" | "sync" | "off", "batch", "batch_wait_ms", "workers", "retry_ms",
         "retry_cap_ms", "review_ms", "strangers": "trust" | "refuse" (a contact never heard from: is its window open?)}
    POST   /_sandbox/bulk              the preset for load
    GET PUT /_sandbox/callback         {"url", "app_secret", "verify_token"}; secrets are never shown
    POST   /_sandbox/verify            {"url", "verify_token"}, both optional: Meta's handshake now -> {"ok", "status"}
    POST   /_sandbox/reset             {"keep": [contacts, waiting, ledger, faults, behaviour, templates, media]}
    GET POST /_sandbox/numbers         {"phone_number_id", "waba_id", "display_phone_number", "access_token", …}
    POST   /_sandbox/webhooks          {"field", "value", "waba_id"} or {"raw": text, "sign": bool} (raw is sent once)
    POST   /_sandbox/news              {"kind": template_status | template_quality | template_category |
         template_components | number_quality | number_name | account_update | account_review | account_alert |
         capability | security, …}
    GET    /_sandbox/ledger?since=0&limit=1000&kind=call|accepted|refused|webhook   {"entries", "last", "dropped"}
    GET    /_sandbox/ledger/summary    totals, and the correlation keys accepted more than once
    GET    /_sandbox/waiting           {"waiting", "scheduled"}
    POST   /_sandbox/flush             {"timeout_s": 5}: waits until nothing is left -> {"ok", "waiting"}

The contact's side, which the page /phone uses too:

    POST   /_sandbox/phone/messages    {"from", "text"}, {"from", "type", …} or {"messages": […]} -> {"id", "wa_id"};
         optional: "name", "phone_number_id", "reply_to", "referral", "timestamp", "id", "user_id", "username",
         "hide_wa_id";
         media: "media_id", or "data" in base64 with "mime_type"; also "caption", "filename", "voice"
    POST   /_sandbox/phone/media       multipart file -> {"id", "mime_type"}; GET /_sandbox/phone/files/{id} the bytes
    POST   /_sandbox/phone/contacts    {"wa_id", "name", "online": bool, "reads": bool, "user_id", "username"}
    POST   /_sandbox/phone/preferences {"from", "value": "stop" | "resume"}
    POST   /_sandbox/phone/read        {"wa_id", "message_id"}
    GET    /_sandbox/phone             numbers, contacts, one line per thread
    GET    /_sandbox/phone/threads/{phone_number_id}/{wa_id}
    GET    /_sandbox/phone/events      server-sent events: which threads changed
"""
