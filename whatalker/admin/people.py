"""The people of an organization, their teams and their roles; who may grant what is decided by services/enrolling.py."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import Select, or_, select
from sqlalchemy.orm import joinedload
from wtforms import IntegerField, SelectField, StringField
from wtforms.fields.choices import Choice
from wtforms.validators import Email, InputRequired, Length, NumberRange, Optional, ValidationError

from whatalker import access, security
from whatalker import models as m
from whatalker.access import ROLES, Actor, Permission
from whatalker.admin import cells
from whatalker.admin.base import Screen, deed
from whatalker.admin.fields import PermissionsField, PickMany, ScreenForm, options
from whatalker.admin.keysets import Order
from whatalker.admin.letters import send_first_letter
from whatalker.admin.words import PERMISSION_WORDS, ROLE_WORDS
from whatalker.db import session
from whatalker.services import enrolling, staffing

M = m.Membership
UPDATE = Permission.USER_UPDATE


def role(view: Any, context: Any, row: m.Membership, name: str) -> str:
    return row.custom_role.name if row.custom_role else str(ROLE_WORDS.get(row.role or "", row.role))


class RoleField(SelectField):
    """A built-in role by its word, or a role of the organization's own by its id; only what the person could grant."""

    def iter_choices(self) -> Any:
        actor = security.actor()
        for key, word in ROLE_WORDS.items():
            if ROLES[key].rank <= actor.rank and ROLES[key].permissions <= actor.permissions:
                yield Choice(key, word, str(self.data) == key, {})
        for own in session.scalars(access.visible(actor, m.Role).order_by(m.Role.name).limit(200)):
            if own.rank <= actor.rank:
                yield Choice(str(own.id), own.name, str(self.data) == str(own.id), {})

    def has_groups(self) -> bool:
        return False

    def pre_validate(self, form: Any) -> None:
        if str(self.data) not in {choice.value for choice in self.iter_choices()}:
            raise ValidationError(_("Choose one from the list."))


def chosen_role(value: str) -> dict[str, Any]:
    return {"role": value, "role_id": None} if value in ROLE_WORDS else {"role": None, "role_id": value}


class PersonForm(ScreenForm):
    email = StringField(
        _l("E-mail"), [InputRequired(), Email(), Length(max=254)],
        description=_l("They get a letter in which they choose their password."),
    )  # fmt: skip
    name = StringField(_l("Name"), [Optional(), Length(max=120)])
    role = RoleField(_l("Role"), default="agent", choices=[])
    team_ids = PickMany(_l("Teams"), model=m.Team)


class MemberForm(ScreenForm):
    role = RoleField(_l("Role"), choices=[])
    team_ids = PickMany(_l("Teams"), model=m.Team)


class Users(Screen):
    of = M
    permission = Permission.USER_READ
    create_permission = edit_permission = export_permission = UPDATE
    form = PersonForm
    title, group, address = _l("Users"), "people", "users"
    intro = _l("The people of your organization and what each of them may do.")
    empty = _l("Nobody but you yet. Add the people who will answer.")
    create_label = _l("Add a person")
    order = Order((M.id,))
    options = (joinedload(M.user), joinedload(M.custom_role))
    choices = {"role": (_l("Role"), tuple(ROLE_WORDS.items()))}
    search_hint = _l("Name or e-mail")
    column_list = ("user.name", "user.email", "role", "active", "created_at")
    column_details_list = (
        "user.name",
        "user.email",
        "role",
        "teams",
        "active",
        "user.language",
        "user.time_zone",
        "created_at",
        "id",
    )
    column_labels = {
        "user.name": _l("Name"), "user.email": _l("E-mail"), "role": _l("Role"), "teams": _l("Teams"),
        "active": _l("May sign in here"), "user.language": _l("Language"), "user.time_zone": _l("Time zone"),
        "created_at": _l("Since"), "id": _l("Id"),
    }  # fmt: skip
    column_formatters = {"role": role}
    column_formatters_detail = {
        "role": role,
        "teams": lambda view, context, row, name: ", ".join(team.name for team in teams_of(row)) or cells.EMPTY,
    }
    details_template = "screens/acting.html"

    def found(self, query: Select[Any], text: str) -> Select[Any]:
        name = m.User.name.icontains(text, autoescape=True)
        return query.join(M.user).where(or_(name, m.User.email.istartswith(text, autoescape=True)))

    def heading(self, row: Any) -> str:
        return str(row.user)

    def details(self, actor: Actor, row: Any) -> dict[str, Any]:
        return {"deeds": self.deeds_for(row, {"admit"} if row.active else {"shut_out"})}

    def get_edit_form(self) -> Any:
        return MemberForm

    def edit_form(self, obj: Any = None) -> Any:
        form = super().edit_form(obj=obj)
        if not form.is_submitted():
            form.role.data = obj.role or str(obj.role_id)
            form.team_ids.data = [team.id for team in teams_of(obj)]
        return form

    def create(self, actor: Actor, values: dict[str, Any]) -> Any:
        given = chosen_role(values["role"])
        membership, is_new = enrolling.add_person(
            actor, values["email"], name=values["name"] or "", team_ids=values["team_ids"] or (), **given
        )
        if is_new:
            send_first_letter(membership.user_id)
        return membership

    def update(self, actor: Actor, row: Any, values: dict[str, Any]) -> None:
        given = chosen_role(values["role"])
        if (row.role, row.role_id and str(row.role_id)) != (given["role"], given["role_id"]):
            enrolling.change_role(actor, row, **given)
        enrolling.set_teams(actor, row, values["team_ids"] or ())

    @deed(
        "shut_out",
        _l("Let in no longer"),
        UPDATE,
        _l("The chosen people can no longer enter your organization. What they did stays."),
    )
    def shut_out(self, rows: list[Any]) -> str:
        for row in rows:
            enrolling.deactivate_member(security.actor(), row)
        return _("Done. Their open pages have closed.")

    @deed(
        "sign_out",
        _l("Sign out everywhere"),
        UPDATE,
        _l("The chosen people will have to sign in again, in every browser."),
    )
    def sign_out(self, rows: list[Any]) -> str:
        for row in rows:
            enrolling.end_sessions(security.actor(), row)
        return _("Done. They have to sign in again.")

    @deed("admit", _l("Let in again"), UPDATE)
    def admit(self, rows: list[Any]) -> str:
        for row in rows:
            enrolling.reactivate_member(security.actor(), row)
        return _("Done. They can enter again with the role they had.")


def teams_of(membership: m.Membership) -> list[m.Team]:
    query = access.visible(security.actor(), m.Team).join(
        m.TeamMember, (m.TeamMember.team_id == m.Team.id) & (m.TeamMember.organization_id == m.Team.organization_id)
    )
    return list(session.scalars(query.where(m.TeamMember.membership_id == membership.id).order_by(m.Team.name)))


class TeamForm(ScreenForm):
    name = StringField(_l("Name"), [InputRequired(), Length(max=80)])


class Teams(Screen):
    of = m.Team
    permission = Permission.USER_READ
    create_permission = edit_permission = delete_permission = Permission.TEAM_UPDATE
    form = TeamForm
    title, group, address = _l("Teams"), "people", "teams"
    intro = _l("A team is an inbox that its members share.")
    empty = _l("No team yet. Without teams everyone who may read conversations shares one inbox.")
    create_label = _l("New team")
    delete_warning = _l("Its members stay in your organization.")
    order = Order((m.Team.name, m.Team.id))
    column_list = ("name",)
    column_details_list = ("name", "members", "id")
    column_labels = {"name": _l("Name"), "members": _l("Members"), "id": _l("Id")}
    column_formatters_detail = {"members": lambda view, context, row, name: ", ".join(members_of(row)) or cells.EMPTY}

    def create(self, actor: Actor, values: dict[str, Any]) -> Any:
        return staffing.create_team(actor, values["name"])

    def update(self, actor: Actor, row: Any, values: dict[str, Any]) -> None:
        staffing.rename_team(actor, row, values["name"])

    def remove(self, actor: Actor, row: Any) -> None:
        staffing.delete_team(actor, row)


def members_of(team: m.Team) -> list[str]:
    """Who is in it, by name; the screen of users is where that changes."""
    inside = select(m.TeamMember.membership_id).where(m.TeamMember.team_id == team.id)
    query = access.visible(security.actor(), M).options(joinedload(M.user)).where(M.id.in_(inside), M.active)
    return sorted(str(membership.user) for membership in session.scalars(query.limit(200)))


def permission_words(view: Any, context: Any, row: m.Role, name: str) -> Any:
    known = {str(permission): str(word) for permission, word in PERMISSION_WORDS.items()}
    return ", ".join(known.get(key, key) for key in row.permissions) or cells.EMPTY


class RoleForm(ScreenForm):
    name = StringField(_l("Name"), [InputRequired(), Length(max=80)])
    rank = IntegerField(
        _l("Rank"), [InputRequired(), NumberRange(1, 99)],
        description=_l("Nobody gives a role that ranks above their own: agent 20, team lead 40, admin 60, owner 80."),
    )  # fmt: skip
    permissions = PermissionsField(_l("Permissions"), choices=options(PERMISSION_WORDS))


class Roles(Screen):
    of = m.Role
    permission = Permission.ROLE_READ
    create_permission = edit_permission = delete_permission = Permission.ROLE_UPDATE
    form = RoleForm
    title, group, address = _l("Roles"), "people", "roles"
    intro = _l("Your own roles, made of the same permissions as the built-in ones.")
    empty = _l(
        "No role of your own yet. The built-in roles (owner, admin, team lead, agent, developer, viewer) are always there."
    )
    create_label = _l("New role")
    delete_warning = _l("Only a role that nobody holds can be deleted.")
    order = Order((m.Role.name, m.Role.id))
    column_list = ("name", "rank", "permissions")
    column_details_list = ("name", "rank", "permissions", "id")
    column_labels = {"name": _l("Name"), "rank": _l("Rank"), "permissions": _l("Permissions"), "id": _l("Id")}
    column_formatters = {
        "permissions": lambda view, context, row, name: _("%(count)s permissions", count=len(row.permissions)),
    }
    column_formatters_detail = {"permissions": permission_words}

    def create(self, actor: Actor, values: dict[str, Any]) -> Any:
        return staffing.create_role(actor, values["name"], values["rank"], values["permissions"] or ())

    def update(self, actor: Actor, row: Any, values: dict[str, Any]) -> None:
        staffing.update_role(
            actor, row, name=values["name"], rank=values["rank"], permissions=values["permissions"] or ()
        )

    def remove(self, actor: Actor, row: Any) -> None:
        staffing.delete_role(actor, row)
