"""Which contact a provider's ids mean; its one rule: ids are kept verbatim and matched by canonical number or user id."""

from __future__ import annotations

import hashlib
import unicodedata
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import or_, select

from whatalker import models as m
from whatalker import phones
from whatalker.access import Actor
from whatalker.db import new_id, now, session
from whatalker.errors import Conflict
from whatalker.services.batching import run

LONGEST_ID = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Someone as one piece of news names them; at least one of wa_id and user_id is there."""

    wa_id: str = ""
    user_id: str | None = None
    username: str | None = None
    name: str = ""
    at: datetime
    moved_to: str = ""
    """The wa_id that the provider says is theirs from now on."""


@dataclass(slots=True)
class Known:
    """An identity while a batch is worked through; `new` and `changed` say what has to be written."""

    id: uuid.UUID
    contact_id: uuid.UUID
    canonical: str | None = None
    wa_id: str | None = None
    user_id: str | None = None
    username: str | None = None
    aliases: set[str] = field(default_factory=set)
    heard: dict[str, str] = field(default_factory=dict)
    new: bool = False
    changed: bool = False
    became: Known | None = None
    """The identity it was folded into."""

    @property
    def resolved(self) -> Known:
        return self.became.resolved if self.became else self


@dataclass(slots=True)
class Someone:
    """A contact while a batch is worked through."""

    id: uuid.UUID
    name: str = ""
    name_at: datetime | None = None
    renamed: bool = False
    new: bool = False
    changed: bool = False


def key_of(wa_id: str) -> str | None:
    """The one key for every spelling of a number; an id that is no number is its own key."""
    return phones.canonical(wa_id) or shortened(wa_id) if wa_id else None


def fold_name(name: str) -> str:
    """What a name is searched by: lower case without accents, single spaces."""
    plain = unicodedata.normalize("NFKD", name.casefold())
    return " ".join("".join(c for c in plain if not unicodedata.combining(c)).split())


def shortened(id: str) -> str:
    """Ids of the provider fit; an absurd one is replaced by its hash, so that two stay two."""
    return id if len(id) <= LONGEST_ID else "sha256:" + hashlib.sha256(id.encode()).hexdigest()[: LONGEST_ID - 7]


class Recognition:
    """Finds or makes the contacts of one batch in one organization: reads once, thinks in memory, writes once."""

    def __init__(self, actor: Actor, channel: str) -> None:
        self.actor, self.channel = actor, channel
        self.by_canonical: dict[str, Known] = {}
        self.by_user_id: dict[str, Known] = {}
        self.identities: dict[uuid.UUID, Known] = {}
        self.contacts: dict[uuid.UUID, Someone] = {}
        self.same_contact: list[tuple[uuid.UUID, uuid.UUID, str]] = []
        """(kept, dropped, why): contacts that turned out to be one person."""
        self.same_identity: list[tuple[Known, Known]] = []
        """(kept, dropped): the phone and the user id of one account, until now known apart."""

    def load(self, people: Iterable[Person]) -> None:
        canonicals = {key for p in people for key in (key_of(p.wa_id), key_of(p.moved_to)) if key}
        user_ids = {p.user_id for p in people if p.user_id}
        i, c = m.ContactIdentity, m.Contact
        rows = session.execute(
            select(i.id, i.contact_id, i.canonical, i.wa_id, i.user_id, i.username, i.aliases, i.heard,
                   c.name, c.name_at, c.renamed)
            .join(c, (c.organization_id == i.organization_id) & (c.id == i.contact_id))
            .where(i.organization_id == self.actor.organization_id, i.channel == self.channel,
                   or_(i.canonical.in_(canonicals), i.user_id.in_(user_ids)))
        )  # fmt: skip
        for id, contact_id, canonical, wa_id, user_id, username, aliases, heard, name, name_at, renamed in rows:
            known = Known(id, contact_id, canonical, wa_id, user_id, username, set(aliases), dict(heard))
            self._remember(known)
            self.contacts.setdefault(contact_id, Someone(contact_id, name, name_at, renamed))

    def recognize(self, person: Person) -> Known:
        """The identity to answer to; whatever the news says about it is taken in unless newer news said otherwise."""
        canonical = key_of(person.wa_id)
        by_number = self.by_canonical.get(canonical) if canonical else None
        by_user = self.by_user_id.get(person.user_id) if person.user_id else None
        known = by_number or by_user
        if known is None:
            known = self._make(person, canonical)
        elif by_number and by_user and by_number is not by_user:
            self._join(by_number, by_user)
            known = by_number.resolved
        elif by_number is None and canonical and known.canonical and known.canonical != canonical:
            # The same account under another number: the old one stays known, answers go to the new one.
            known = self._make(person, canonical, known.contact_id, user_id=None)
        self._hear(known, person, canonical)
        if person.moved_to and key_of(person.moved_to) != canonical:
            return self._move(known, person)
        return known.resolved

    def _move(self, known: Known, person: Person) -> Known:
        moved = Person(wa_id=person.moved_to, at=person.at)
        target = self.recognize(moved)
        if self.current(target.contact_id) != self.current(known.contact_id):
            self._same(known.contact_id, target.contact_id, "the provider said that the person changed their number")
        return target

    def _join(self, by_number: Known, by_user: Known) -> None:
        """One message names both. Two that contradict each other (another user id on a passed-on number) stay apart."""
        if by_number.user_id is not None:
            return
        if self.current(by_number.contact_id) != self.current(by_user.contact_id):
            self._same(by_number.contact_id, by_user.contact_id, "one message named both the number and the user id")
        if by_user.canonical is None:
            # A row that is not written yet gives way to the one that is.
            keep, drop = (by_user, by_number) if by_number.new and not by_user.new else (by_number, by_user)
            self._fold(keep, drop)

    def _fold(self, keep: Known, drop: Known) -> None:
        for column in ("canonical", "wa_id", "user_id", "username"):
            setattr(keep, column, getattr(keep, column) or getattr(drop, column))
        keep.aliases |= drop.aliases
        keep.heard = drop.heard | keep.heard
        keep.changed, drop.became = True, keep
        self.identities.pop(drop.id)
        self._remember(keep)
        if not drop.new:
            self.same_identity.append((keep, drop))

    def _same(self, one: uuid.UUID, other: uuid.UUID, why: str) -> None:
        a, b = self.contacts[self.current(one)], self.contacts[self.current(other)]
        keep, drop = (b, a) if (a.new, a.id) > (b.new, b.id) else (a, b)
        if drop.name and not keep.renamed and (drop.renamed or _newer(drop.name_at, drop.name, keep.name_at, keep.name)):
            keep.name, keep.name_at, keep.renamed, keep.changed = drop.name, drop.name_at, drop.renamed, True
        self.same_contact.append((keep.id, drop.id, why))

    def current(self, contact_id: uuid.UUID) -> uuid.UUID:
        """The contact that this one has become in this batch."""
        for keep, drop, _why in self.same_contact:
            if drop == contact_id:
                contact_id = keep
        return contact_id

    def _make(
        self, person: Person, canonical: str | None, contact_id: uuid.UUID | None = None, user_id: str | None = ""
    ) -> Known:
        if contact_id is None:
            someone = Someone(new_id(), new=True)
            self.contacts[someone.id] = someone
            contact_id = someone.id
        known = Known(new_id(), contact_id, canonical, user_id=person.user_id if user_id == "" else user_id, new=True)
        self._remember(known)
        return known

    def _remember(self, known: Known) -> None:
        self.identities[known.id] = known
        if known.canonical:
            self.by_canonical[known.canonical] = known
        if known.user_id:
            self.by_user_id[known.user_id] = known

    def _hear(self, known: Known, person: Person, canonical: str | None) -> None:
        if canonical and known.canonical is None:
            known.canonical, known.changed = canonical, True
            self.by_canonical[canonical] = known
        if person.wa_id:
            self._hear_word(known, "wa_id", shortened(person.wa_id), person.at)
        if person.username:
            self._hear_word(known, "username", person.username[:LONGEST_ID], person.at)
        if person.user_id and known.user_id != person.user_id and person.user_id not in self.by_user_id:
            self._hear_word(known, "user_id", person.user_id, person.at)
            if known.user_id == person.user_id:
                self.by_user_id[person.user_id] = known
        contact = self.contacts[self.current(known.contact_id)]
        name = person.name[:200]
        if name and not contact.renamed and _newer(person.at, name, contact.name_at, contact.name):
            contact.changed |= contact.name != name or contact.name_at != person.at
            contact.name, contact.name_at = name, person.at

    @staticmethod
    def _hear_word(known: Known, column: str, value: str, at: datetime) -> None:
        """The newest word stands, of two at the same moment the greater; other ids of the account become aliases."""
        before, moment = getattr(known, column), at.isoformat()
        if (moment, value) > (known.heard.get(column, ""), before or ""):
            setattr(known, column, value)
            known.heard[column] = moment
            known.changed = True
        if column != "username":
            aliases = (known.aliases | {str(id) for id in (before, value) if id}) - {known.wa_id or "", known.user_id or ""}
            known.changed |= aliases != known.aliases
            known.aliases = aliases

    # -------------------------------------------------------------- writing

    def stored_merges(self) -> list[tuple[uuid.UUID, uuid.UUID, str]]:
        """The merges of rows that were there before; contacts made in this batch were never written twice."""
        return [(keep, drop, why) for keep, drop, why in self.same_contact if not self.contacts[drop].new]

    def write(self) -> None:
        """New rows by one statement each, changed ones by one; Conflict when somebody else has just made the same."""
        dropped = {drop for _keep, drop, _why in self.same_contact}
        contacts = [c for c in self.contacts.values() if c.id not in dropped]
        for known in self.identities.values():
            known.contact_id = self.current(known.contact_id)
        new = [known for known in self.identities.values() if known.new]
        countries = {known.contact_id: phones.region(known.canonical) for known in new if known.canonical}
        self._insert_contacts([c for c in contacts if c.new], countries)
        self._insert_identities(new)
        self._update([c for c in contacts if c.changed and not c.new])

    def update_identities(self) -> None:
        """After the folding: two rows never hold the same id, not even for a moment."""
        rows = [_row(known) for known in self.identities.values() if known.changed and not known.new]
        if rows:
            run(
                """update contact_identity i set canonical = r.canonical, wa_id = r.wa_id, user_id = r.user_id,
                     username = r.username, phone = coalesce(r.phone, i.phone), last_digits = r.last_digits,
                     aliases = array(select jsonb_array_elements_text(r.aliases)), heard = r.heard
                   from jsonb_to_recordset(cast(:rows as jsonb)) as r(id uuid, canonical text, wa_id text, user_id text,
                     username text, phone text, last_digits text, aliases jsonb, heard jsonb)
                   where i.organization_id = :organization and i.id = r.id""",
                rows,
                organization=self.actor.organization_id,
            )

    def _insert_contacts(self, contacts: Sequence[Someone], countries: dict[uuid.UUID, str | None]) -> None:
        rows = [_named(c) | {"country": countries.get(c.id)} for c in sorted(contacts, key=lambda c: c.id)]
        if rows:
            run(
                """insert into contact (organization_id, id, name, name_folded, name_at, renamed, country, fields,
                     created_at, updated_at)
                   select :organization, r.id, r.name, r.name_folded, r.name_at, false, r.country, '{}', :now, :now
                   from jsonb_to_recordset(cast(:rows as jsonb))
                     as r(id uuid, name text, name_folded text, name_at timestamptz, country text)""",
                rows,
                organization=self.actor.organization_id,
                now=now(),
            )

    def _insert_identities(self, new: Sequence[Known]) -> None:
        rows = [_row(known) for known in sorted(new, key=lambda known: (known.canonical or "", known.user_id or ""))]
        if not rows:
            return
        made = run(
            """insert into contact_identity (organization_id, id, contact_id, channel, canonical, wa_id, user_id, username,
                 phone, last_digits, aliases, heard, created_at)
               select :organization, r.id, r.contact_id, :channel, r.canonical, r.wa_id, r.user_id, r.username, r.phone,
                 r.last_digits, array(select jsonb_array_elements_text(r.aliases)), r.heard, :now
               from jsonb_to_recordset(cast(:rows as jsonb)) as r(id uuid, contact_id uuid, canonical text, wa_id text,
                 user_id text, username text, phone text, last_digits text, aliases jsonb, heard jsonb)
               on conflict do nothing""",
            rows,
            organization=self.actor.organization_id,
            channel=self.channel,
            now=now(),
        )
        if made.rowcount != len(rows):
            raise Conflict(_("Somebody else has just added this contact; try again."), "contact_just_made")

    def _update(self, contacts: Sequence[Someone]) -> None:
        if contacts:
            run(
                """update contact c set name = r.name, name_folded = r.name_folded, name_at = r.name_at,
                     renamed = r.renamed, updated_at = :now
                   from jsonb_to_recordset(cast(:rows as jsonb))
                     as r(id uuid, name text, name_folded text, name_at timestamptz, renamed boolean)
                   where c.organization_id = :organization and c.id = r.id""",
                [_named(c) for c in contacts],
                organization=self.actor.organization_id,
                now=now(),
            )


def _newer(at: datetime | None, value: str, than: datetime | None, other: str) -> bool:
    if at is None or than is None:
        return than is None
    return (at, value) > (than, other)


def _named(contact: Someone) -> dict[str, Any]:
    return {
        "id": contact.id, "name": contact.name, "name_folded": fold_name(contact.name), "name_at": contact.name_at,
        "renamed": contact.renamed,
    }  # fmt: skip


def _row(known: Known) -> dict[str, Any]:
    number = known.canonical if known.canonical and known.canonical.isdigit() else ""
    shown = number or known.wa_id or known.user_id or ""
    return {
        "id": known.id, "contact_id": known.contact_id, "canonical": known.canonical, "wa_id": known.wa_id,
        "user_id": known.user_id, "username": known.username, "aliases": sorted(known.aliases), "heard": known.heard,
        "phone": f"+{number}" if number and phones.is_valid(number) else None, "last_digits": shown[-4:] or None,
    }  # fmt: skip
