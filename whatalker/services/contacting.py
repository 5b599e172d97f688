"""Contacts: found, made, named, merged, blocked, searched; its one rule: a number or an id is matched, never shown, by a search."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from flask_babel import gettext as _
from sqlalchemy import Select, and_, exists, or_, select

from whatalker import models as m
from whatalker import phones
from whatalker.access import Actor, Permission, get, require, visible
from whatalker.db import now, session
from whatalker.errors import Conflict, Invalid
from whatalker.events import Event, publish
from whatalker.services import auditing, merging
from whatalker.services.recognizing import Known, Person, Recognition, fold_name, key_of

LONGEST_NAME = 200

__all__ = [
    "Person", "add_contact", "block", "display_name", "find_or_create", "fold_name", "masked", "merge", "rename", "search",
    "unblock",
]  # fmt: skip


def find_or_create(actor: Actor, people: Sequence[Person], channel: str = "whatsapp") -> list[Known]:
    """The identity of each, made where nobody of the organization knows it; two that turn out to be one person are merged.

    A fixed number of statements, plus a few for each merge. Conflict when somebody else made one at the same moment.
    """
    if not people:
        return []
    recognition = Recognition(actor, channel)
    recognition.load(people)
    found = [recognition.recognize(person) for person in people]
    recognition.write()
    for keep_id, drop_id, why in recognition.stored_merges():
        merging.merge_rows(actor, keep_id, drop_id, why)
    for keep, drop in recognition.same_identity:
        merging.fold_identity(actor, keep.id, drop.id)
    recognition.update_identities()
    return [known.resolved for known in found]


def add_contact(actor: Actor, number: str, name: str = "", *, region: str | None = None) -> m.Contact:
    """By hand, from a phone number in any usual spelling; Conflict when the organization has the number already."""
    require(actor, Permission.CONTACT_UPDATE)
    canonical = phones.canonical(number, region)
    if canonical is None or not phones.is_valid(canonical):
        raise Invalid(_("This is not a phone number; write it with its country code, such as +57 300 1234567."), "bad_number")
    i = m.ContactIdentity
    here = (i.organization_id == actor.organization_id, i.channel == "whatsapp", i.canonical == canonical)
    if session.scalar(select(exists().where(*here))):
        raise Conflict(_("A contact with this number is there already."), "contact_exists")
    (known,) = find_or_create(actor, [Person(wa_id=canonical, at=now())])
    contact = get(actor, m.Contact, known.contact_id)
    auditing.record(actor, "contact.created", contact, diff={})
    if name.strip():
        rename(actor, contact, name)
    return contact


def rename(actor: Actor, contact: m.Contact, name: str) -> None:
    """What our people call them from now on; an empty name gives the profile name its place back with the next message."""
    require(actor, Permission.CONTACT_UPDATE)
    name = " ".join(name.split())
    if len(name) > LONGEST_NAME:
        raise Invalid(_("A name has at most %(most)s characters.", most=LONGEST_NAME), "name_too_long")
    if name == contact.name and contact.renamed == bool(name):
        return
    contact.name, contact.name_folded = name, fold_name(name)
    contact.renamed, contact.name_at = bool(name), now() if name else None
    auditing.record(actor, "contact.renamed", contact)
    publish(Event.CONTACT_CHANGED, contact.organization_id, contact_id=contact.id)


def merge(actor: Actor, keep: m.Contact, drop: m.Contact, reason: str) -> m.Contact:
    """Make two contacts one: identities and threads move, what either of them forbade stays forbidden; cannot be undone."""
    require(actor, Permission.CONTACT_MERGE)
    if keep.id == drop.id:
        raise Invalid(_("Choose two different contacts."), "same_contact")
    if keep.merged_into_id or drop.merged_into_id:
        raise Conflict(_("One of them has been merged already; look again."), "merged_already")
    if not reason.strip():
        raise Invalid(_("Say why they are the same person; it is kept with the merge."), "reason_missing")
    return merging.merge_rows(actor, keep.id, drop.id, reason.strip())


def block(actor: Actor, contact: m.Contact, reason: str = "") -> None:
    """Nobody writes to them any more until someone unblocks them; what they write still arrives."""
    _set_blocked(actor, contact, True, reason)


def unblock(actor: Actor, contact: m.Contact, reason: str = "") -> None:
    _set_blocked(actor, contact, False, reason)


def _set_blocked(actor: Actor, contact: m.Contact, blocked: bool, reason: str) -> None:
    require(actor, Permission.CONTACT_UPDATE)
    if (contact.blocked_at is not None) == blocked:
        return
    contact.blocked_at = now() if blocked else None
    auditing.record(actor, "contact.blocked" if blocked else "contact.unblocked", contact, reason=reason)
    publish(Event.CONTACT_CHANGED, contact.organization_id, contact_id=contact.id)


def search(actor: Actor, words: str, limit: int = 50) -> list[m.Contact]:
    """Those this person may see, by the beginning of a name, the last four digits, or a whole number or id; newest first.

    Parts of a number other than its end find nothing: trying digits one by one must not reveal it.
    """
    return list(session.scalars(matching(actor, words).order_by(m.Contact.created_at.desc()).limit(limit)))


def matching(actor: Actor, words: str) -> Select[m.Contact]:
    """The query behind search(), for lists that join more to it."""
    c, i = m.Contact, m.ContactIdentity
    words = words.strip()[:200].replace("\0", "")
    folded = fold_name(words)
    tests = []
    if folded:
        # A range by bytes instead of LIKE: under row-level security only it can use the index.
        begins, ends = c.name_folded.op("~>=~", is_comparison=True), c.name_folded.op("~<~", is_comparison=True)
        tests.append(and_(begins(folded), ends(folded + "\U0010ffff")))
    digits = "".join(character for character in words if character.isdigit())
    mine = and_(i.organization_id == c.organization_id, i.contact_id == c.id)
    if len(digits) == 4 and len(words) <= 6:
        tests.append(exists().where(mine, i.last_digits == digits))
    exact = {key for key in (key_of(words.lstrip("+")), phones.canonical(words)) if key}
    if len(words) >= 7:
        tests.append(exists().where(mine, or_(i.canonical.in_(exact), i.user_id == words, i.username == words.lstrip("@"))))
    query = visible(actor, c).where(c.merged_into_id.is_(None))
    return query.where(or_(*tests)) if tests else query


def display_name(contact: m.Contact, identity: m.ContactIdentity | None = None) -> str:
    """What a list calls them: the name, the username, the masked number, or the end of the provider's id."""
    if contact.name:
        return contact.name
    if identity is not None and identity.username:
        return identity.username
    return masked(identity) if identity is not None else _("Unknown contact")


def masked(identity: m.ContactIdentity) -> str:
    """Enough to tell two apart, not enough to call or write: "+57 ••• ••• 4918", "WhatsApp user …4918"."""
    number = identity.phone or identity.wa_id
    if number:
        return phones.masked(number)
    return _("WhatsApp user %(end)s", end=phones.masked(identity.user_id or ""))


def signpost(actor: Actor, id: uuid.UUID | str) -> m.Contact:
    """The contact behind an id that may have been merged since; NotFound like any other."""
    contact = get(actor, m.Contact, id)
    return get(actor, m.Contact, contact.merged_into_id) if contact.merged_into_id else contact
