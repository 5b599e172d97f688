"""The admin: one Screen for each thing people look after; its one rule: a screen is a list of what it opens, services do the rest."""

from __future__ import annotations

from flask import Blueprint, Flask
from flask_admin import Admin
from flask_admin.theme import Bootstrap4Theme


def init_app(app: Flask) -> None:
    """Registers every Screen and Page of `screens()`; one that declares no permission stops the application here."""
    from whatalker import security
    from whatalker.admin import sidebars
    from whatalker.admin.home import Home

    theme = Blueprint(
        "admin_theme", __name__, template_folder="templates", static_folder="static", static_url_path="/admin/theme"
    )
    app.register_blueprint(theme)
    app.view_functions["admin_theme.static"] = security.public("style sheets and scripts, the same for everyone")(
        app.view_functions["admin_theme.static"]
    )
    admin = Admin(
        app, name="WhaTalker", index_view=Home(), theme=Bootstrap4Theme(base_template="screens/base.html"),
        csp_nonce_generator=security.csp_nonce,
    )  # fmt: skip
    for page in screens():
        admin.add_view(page())
    app.jinja_env.globals["admin_sidebar"] = lambda: sidebars.sidebar(admin)


def screens() -> list[type]:
    """Every admin page, in the order of the sidebar."""
    from whatalker.admin import connections, contacts, conversations, decisions, organizations, people, records, texts

    return [
        conversations.Conversations, conversations.Messages, decisions.Decisions,
        contacts.Contacts,
        people.Users, people.Teams, people.Roles,
        texts.Templates, texts.CannedReplies, texts.Labels,
        connections.Connections, connections.AccountNotices,
        organizations.Organizations, records.Audit, records.WebhookCalls,
    ]  # fmt: skip
