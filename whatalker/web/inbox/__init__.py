"""The agents' inbox: list, thread and composer at /inbox; its one rule: views read the request, call a service, answer."""

from whatalker.web.inbox import composer, handling, inbox_list, media, template_panel, thread
from whatalker.web.inbox.blueprint import blueprint

__all__ = ["blueprint", "composer", "handling", "inbox_list", "media", "template_panel", "thread"]
