"""Page and Screen: every admin view is one of them; their one rule: closed and read-only, and rows only through access.visible.

A Screen lists a model. What it does not open explicitly does not exist: the address is not even registered. Writes go to one
service function inside one transaction; this is the only module that knows flash.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from flask import flash, redirect, request
from flask_admin import BaseView, expose
from flask_admin.actions import action as flask_admin_action
from flask_admin.contrib.sqla import ModelView
from flask_admin.helpers import get_redirect_target
from flask_babel import gettext as _
from sqlalchemy.exc import DataError, IntegrityError

from whatalker import access, security
from whatalker.access import Actor, Permission
from whatalker.admin import cells, keysets
from whatalker.admin.fields import ScreenForm
from whatalker.admin.lookups import Lookup
from whatalker.admin.rows import MOST_EXPORTED, PAGE, Rows
from whatalker.db import db, session, transaction
from whatalker.errors import NotAllowed, NotFound, WhatalkerError
from whatalker.models import Organization
from whatalker.services import auditing


def needs(permission: Permission) -> Callable[[Any], Any]:
    """What an extra address of a Page asks for, besides what the Page itself does."""

    def mark(view: Any) -> Any:
        view.needs = permission
        return view

    return mark


def deed(name: str, label: Any, permission: Permission, confirmation: Any = None) -> Callable[[Any], Any]:
    """Something done to chosen rows: the method gets the rows, all of them the person's own, and answers a sentence."""

    def mark(method: Any) -> Any:
        method.permission = permission
        return flask_admin_action(name, label, confirmation)(method)

    return mark


class Page(BaseView):
    """An admin page. `permission` must be declared; `any_of` asks for at least one of these besides."""

    permission: ClassVar[Permission]
    any_of: ClassVar[frozenset[Permission]] = frozenset()
    title: ClassVar[Any]
    group: ClassVar[str] = "work"
    """Where the sidebar shows it: work, people, messages, settings, provider; empty: nowhere."""
    address: ClassVar[str]
    """The last part of its URL; also names its endpoint."""

    def __init__(self, **options: Any) -> None:
        if not isinstance(getattr(type(self), "permission", None), Permission):
            raise TypeError(f"{type(self).__name__} must declare which permission opens it.")
        super().__init__(name=self.title, endpoint=f"admin_{self.address}", url=self.address, **options)

    def guard_of_view(self, name: str) -> security.Guard:
        """What reaching this view takes; the access matrix walks these."""
        wanted = {Permission.ADMIN_OPEN, self.permission}
        extra = self.needed_by(name)
        return security.Guard("permissions", frozenset(wanted | ({extra} if extra else set())), any_of=self.any_of)

    def needed_by(self, name: str) -> Permission | None:
        return getattr(getattr(type(self), name, None), "needs", None)

    def is_accessible(self) -> bool:
        actor = security.actor()
        wanted = {Permission.ADMIN_OPEN, self.permission}
        return wanted <= actor.permissions and (not self.any_of or bool(self.any_of & actor.permissions))

    def _handle_view(self, name: str, **kwargs: Any) -> None:
        # Asked again, although the guard in front has asked: this line alone must be enough.
        actor = security.actor()
        for permission in sorted(self.guard_of_view(name).permissions):
            access.require(actor, permission)
        if not self.is_accessible():
            raise NotAllowed(
                _("Your role does not include this page; an owner or admin of your organization can change that.")
            )

    def _run_view(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        # Flask-Admin's own calls the view a second time when it raises TypeError.
        return fn(self, *args, **kwargs)

    def render(self, template: str, **known: Any) -> str:
        # The theme of base.html is a word (light or dark); Flask-Admin's own of that name is an object.
        self._template_args["theme"] = (
            request.cookies.get("theme") if request.cookies.get("theme") in ("light", "dark") else ""
        )
        return super().render(template, moment=lambda at: cells.moment(self, at, ""), **known)

    def attempt(self, work: Callable[[], Any]) -> Any:
        """Do it in one transaction; a refusal is shown as its sentence, and then the answer is None and nothing is stored."""
        try:
            with transaction():
                return work()
        except WhatalkerError as error:
            tell(error)
        except (IntegrityError, DataError):
            flash(_("This could not be saved: it is already taken, or still in use. Nothing was changed."), "error")
        return None

    def attempt_outside(self, work: Callable[[], Any]) -> Any:
        """Do it outside every transaction, which is where providers are asked; a refusal is shown, and the answer is None."""
        session.commit()
        try:
            return work()
        except WhatalkerError as error:
            tell(error)
        return None


def tell(error: WhatalkerError) -> None:
    """Show a refusal to the person; what they typed stays in the form."""
    flash(error.message, "error")


class Screen(Page, Rows, ModelView):  # type: ignore[misc]
    """The list, details and forms of one model; which rows those are is said by Rows.

    create_permission, edit_permission, delete_permission, export_permission: empty means that the address does not exist.
    form               the ScreenForm of both; create() and update() hand its values to one service function.
    """

    intro: ClassVar[Any] = ""
    empty: ClassVar[Any] = None
    """What an empty list says: why, and what to do next."""
    create_permission: ClassVar[Permission | None] = None
    edit_permission: ClassVar[Permission | None] = None
    delete_permission: ClassVar[Permission | None] = None
    export_permission: ClassVar[Permission | None] = None
    create_label: ClassVar[Any] = None
    delete_warning: ClassVar[Any] = ""

    can_view_details = True
    simple_list_pager = True
    page_size = PAGE
    column_editable_list = None
    column_display_pk = False
    column_type_formatters = cells.TYPES
    column_type_formatters_detail = cells.IN_FULL
    column_type_formatters_export = cells.PLAIN
    export_types: ClassVar[list[str]] = ["csv"]
    export_max_rows = MOST_EXPORTED
    form_base_class = ScreenForm
    list_template = "screens/list.html"
    details_template = "screens/details.html"
    edit_template = "screens/edit.html"
    create_template = "screens/edit.html"
    action_delete = None

    def __init__(self) -> None:
        if not isinstance(getattr(type(self), "permission", None), Permission):
            raise TypeError(f"{type(self).__name__} must declare which permission opens it.")
        if (self.create_permission or self.edit_permission) and not issubclass(self.form or object, ScreenForm):
            raise TypeError(f"{type(self).__name__} can be written to and must name its form, a ScreenForm.")
        if any(not isinstance(loader, Lookup) for loader in (self.form_ajax_refs or {}).values()):
            raise TypeError(f"{type(self).__name__} may look up rows only through a Lookup.")
        ModelView.__init__(self, self.of, db, name=self.title, endpoint=f"admin_{self.address}", url=self.address)
        written = list(vars(type(self)))
        self._actions.sort(key=lambda deed: written.index(self._actions_data[deed[0]][0].__name__))
        declared: Any = type(self)
        self._urls = [rule for rule in declared._urls if self._is_open(rule[-2])]

    # ------------------------------------------------------------ what is open

    def _is_open(self, name: str) -> bool:
        permissions = {
            "create_view": self.create_permission, "edit_view": self.edit_permission,
            "delete_view": self.delete_permission, "export": self.export_permission,
        }  # fmt: skip
        if name in permissions:
            return permissions[name] is not None
        shut = {"ajax_update": True, "ajax_lookup": not self.form_ajax_refs, "action_view": not self._actions}
        return not shut.get(name, False)

    def needed_by(self, name: str) -> Permission | None:
        return {
            "create_view": self.create_permission, "edit_view": self.edit_permission,
            "delete_view": self.delete_permission, "export": self.export_permission,
            "ajax_lookup": self.edit_permission or self.create_permission,
        }.get(name) or super().needed_by(name)  # fmt: skip

    def may(self, permission: Permission | None) -> bool:
        actor = security.actor()
        if permission is None or not access.can(actor, permission):
            return False
        # The provider's people read organizations; what is an organization's own is changed by nobody but its people.
        return actor.kind != "staff" or permission in access.PLATFORM_ONLY

    can_create = property(lambda self: self.may(self.create_permission))
    can_edit = property(lambda self: self.may(self.edit_permission))
    can_delete = property(lambda self: self.may(self.delete_permission))
    can_export = property(lambda self: self.may(self.export_permission))

    # ------------------------------------------------------------ pages

    def _get_list_value(self, context: Any, model: Any, name: str, *formatters: Any, **more: Any) -> Any:
        if name == "organization_id":
            return cells.named(Organization)(self, context, model, name)
        return super()._get_list_value(context, model, name, *formatters, **more)

    @expose("/")
    def index_view(self) -> Any:
        if request.args.get("page", "0") != "0":
            raise NotFound(_("This list has no page numbers; open it again."))
        query, order = self.asked()
        stretch = keysets.fetch(query, order, request.args.get("at"), self.page_size)
        self.look_up_names(stretch.rows)
        actions, confirmations = self.get_actions_list()
        return self.render(
            self.list_template, rows=stretch.rows, stretch=stretch, columns=self.columns(self._list_columns), actions=actions,
            confirmations=confirmations, narrowed=self.narrowed(),
            get_value=self.get_list_value, here=self.here, sort=request.args.get("sort", ""),
        )  # fmt: skip

    @expose("/details/")
    def details_view(self) -> Any:
        row = self.get_one(request.args.get("id"))
        return self.render(
            self.details_template, row=row, columns=self.columns(self._details_columns), get_value=self.get_detail_value,
            heading=self.heading(row), **self.details(security.actor(), row),
        )  # fmt: skip

    def heading(self, row: Any) -> str:
        return str(row)

    def columns(self, declared: Any) -> list[Any]:
        """The declared ones; whoever looks at several organizations also sees whose each row is."""
        whose = [("organization_id", _("Organization"))] if self.of_several() else []
        return [*declared, *whose]

    def details(self, actor: Actor, row: Any) -> dict[str, Any]:
        """What the details template of this Screen shows besides the columns."""
        return {}

    @expose("/new/", methods=("GET", "POST"))
    def create_view(self) -> Any:
        self._refuse_unless(self.can_create)
        return self._form_page(self.create_form(), None)

    @expose("/edit/", methods=("GET", "POST"))
    def edit_view(self) -> Any:
        self._refuse_unless(self.can_edit)
        row = self.get_one(request.args.get("id"))
        return self._form_page(self.edit_form(obj=row), row)

    def _form_page(self, form: Any, row: Any) -> Any:
        heading = self.heading(row) if row is not None else ""
        status = 200
        if self.validate_form(form):
            saved = self.create_model(form) if row is None else row if self.update_model(form, row) else None
            if saved is not None:
                flash(_("Saved."), "success")
                return redirect(self.get_url(".details_view", id=saved.id))
            status = 409
        elif request.method == "POST":
            flash(_("Nothing was saved yet: look at the fields marked below."), "error")
            status = 422
        page = self.render(self.edit_template, form=form, row=row, heading=heading)
        return page, status

    @expose("/delete/", methods=("POST",))
    def delete_view(self) -> Any:
        self._refuse_unless(self.can_delete)
        row = self.get_one(request.form.get("id"))
        if self.delete_model(row):
            flash(_("Deleted."), "success")
            return redirect(self.get_url(".index_view"))
        return redirect(self.get_url(".details_view", id=row.id))

    @expose("/export/<export_type>/")
    def export(self, export_type: str) -> Any:
        self._refuse_unless(self.can_export)
        if export_type not in self.export_types:
            raise NotFound(_("There is no such export."))
        with transaction():
            self.exported(security.actor())
        return super().export(export_type)

    def exported(self, actor: Actor) -> None:
        """Leave a trace of the export: of which list, and with which filters; without the trace there is no export."""
        filters = {"filters": [None, request.args.to_dict()]}
        auditing.record_many(actor, [{"action": "export.taken", "object_type": self.of.__tablename__, "diff": filters}])

    def get_export_value(self, model: Any, name: Any) -> str:
        return cells.guarded(super().get_export_value(model, name))

    def say(self, sentence: str, category: str = "success") -> None:
        """Show the person a sentence on the next page."""
        flash(sentence, category)

    def _refuse_unless(self, may: bool) -> None:
        if not may:
            raise NotAllowed(_("This page is for reading; nothing here can be changed by you."))

    # ------------------------------------------------------------ writing

    def get_form(self) -> Any:
        return self.form or ScreenForm

    def create(self, actor: Actor, values: dict[str, Any]) -> Any:
        """Call the one service function that makes such a row, and answer the row."""
        raise NotImplementedError

    def update(self, actor: Actor, row: Any, values: dict[str, Any]) -> None:
        raise NotImplementedError

    def remove(self, actor: Actor, row: Any) -> None:
        raise NotImplementedError

    def create_model(self, form: Any) -> Any:
        return self.attempt(lambda: self.create(security.actor(), form.given()))

    def update_model(self, form: Any, model: Any) -> bool:
        def work() -> bool:
            self.update(security.actor(), model, form.given())
            return True

        return bool(self.attempt(work))

    def delete_model(self, model: Any) -> bool:
        def work() -> bool:
            self.remove(security.actor(), model)
            return True

        return bool(self.attempt(work))

    # ------------------------------------------------------------ deeds

    def is_action_allowed(self, name: str) -> bool:
        method = getattr(type(self), self._actions_data[name][0].__name__) if name in self._actions_data else None
        return method is not None and self.may(method.permission)

    def deeds_for(self, row: Any, useless: set[str]) -> list[tuple[str, str, str | None]]:
        """(name, label, confirmation) of what the person may do with this row, without what would do nothing."""
        actions, confirmations = self.get_actions_list()
        return [(key, label, confirmations.get(key)) for key, label in actions if key not in useless]

    def handle_action(self, return_view: str | None = None) -> Any:
        name = request.form.get("action", "")
        if name not in self._actions_data:
            raise NotFound(_("There is no such action."))
        self._refuse_unless(self.is_action_allowed(name))
        ids = request.form.getlist("rowid")
        rows = self.get_many(ids)
        if not rows:
            flash(_("Choose at least one row first."), "error")
        elif sentence := self.attempt(lambda: self._actions_data[name][0](rows)):
            flash(sentence, "success")
        return redirect(get_redirect_target() or self.get_url(".index_view"))
