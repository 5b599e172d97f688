"""Form fields of the admin; their one rule: what can be chosen is what the person may see, asked for again when it comes back."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from flask_babel import gettext as _
from flask_wtf.i18n import translations
from wtforms import Form, PasswordField, SelectField, SelectMultipleField, StringField, TextAreaField
from wtforms.fields.choices import Choice, SelectChoice
from wtforms.fields.core import Field
from wtforms.meta import DefaultMeta
from wtforms.validators import ValidationError
from wtforms.widgets import HiddenInput

from whatalker import security
from whatalker.access import visible
from whatalker.db import Model, session

MOST_CHOICES = 500
"""A longer list needs a look-up field, not a select."""


class Clean(DefaultMeta):
    """Texts arrive trimmed and without the NUL character, which PostgreSQL refuses; WTForms speaks the person's language."""

    def get_translations(self, form: Any) -> Any:
        return translations

    def bind_field(self, form: Any, unbound_field: Any, options: dict[str, Any]) -> Field:
        if issubclass(unbound_field.field_class, StringField) and not issubclass(
            unbound_field.field_class, PasswordField
        ):
            filters = [clean, *unbound_field.kwargs.get("filters", [])]
            return unbound_field.bind(form=form, **{**options, "filters": filters})
        return unbound_field.bind(form=form, **options)


def options(words: Mapping[Any, Any]) -> list[SelectChoice]:
    """What a select offers, from a closed list of values and their words."""
    return [SelectChoice(value=str(value), label=word) for value, word in words.items()]


def clean(value: Any) -> Any:
    return value.replace("\x00", "").strip() if isinstance(value, str) else value


class ScreenForm(Form):
    """The parent of every form of a Screen: exactly the declared fields and nothing of the model."""

    Meta = Clean

    def __init__(self, formdata: Any = None, obj: Any = None, prefix: str = "", **values: Any) -> None:
        super().__init__(formdata=formdata, obj=obj, prefix=prefix, **values)
        self.obj = obj
        self._posted = formdata is not None

    def is_submitted(self) -> bool:
        return self._posted

    def given(self) -> dict[str, Any]:
        """What the person may have typed: values posted for hidden, read-only and disabled fields are ignored."""
        return {field.short_name: field.data for field in self if writable(field)}


def writable(field: Field) -> bool:
    keywords = field.render_kw or {}
    return not (isinstance(field.widget, HiddenInput) or keywords.get("readonly") or keywords.get("disabled"))


def choices_of(model: type[Model], label: str) -> list[tuple[str, str]]:
    """Every row of the model this person may see, as (id, name)."""
    column = getattr(model, label)
    query = visible(security.actor(), model).with_only_columns(model.id, column)  # type: ignore[attr-defined]
    return [(str(id), str(name)) for id, name in session.execute(query.order_by(column).limit(MOST_CHOICES))]


def _id(value: Any) -> uuid.UUID | None:
    if value in (None, "", "None"):
        return None
    return value if isinstance(value, uuid.UUID) else uuid.UUID(str(value))


class PickOne(SelectField):
    """One row of a model, or none; the value is its id."""

    def __init__(
        self, label: Any = None, *, model: type[Model], name_of: str = "name", none: Any = None, **options: Any
    ) -> None:
        super().__init__(label, coerce=_id, choices=[], **options)
        self.model, self.name_of, self.none = model, name_of, none

    def iter_choices(self) -> Iterable[Any]:
        if self.none is not None:
            yield Choice("", str(self.none), self.data is None, {})
        for id, name in choices_of(self.model, self.name_of):
            yield Choice(id, name, str(self.data) == id, {})

    def has_groups(self) -> bool:
        return False

    def pre_validate(self, form: Any) -> None:
        if self.data is None and self.none is not None:
            return
        query = visible(security.actor(), self.model).with_only_columns(self.model.id)  # type: ignore[attr-defined]
        if self.data is None or session.scalar(query.where(self.model.id == self.data)) is None:  # type: ignore[attr-defined]
            raise ValidationError(_("Choose one from the list."))


class PickMany(SelectMultipleField):
    """Any number of rows of a model; the value is the list of their ids."""

    def __init__(self, label: Any = None, *, model: type[Model], name_of: str = "name", **options: Any) -> None:
        super().__init__(label, coerce=_id, choices=[], **options)
        self.model, self.name_of = model, name_of

    def iter_choices(self) -> Iterable[Any]:
        chosen = {str(id) for id in self.data or ()}
        for id, name in choices_of(self.model, self.name_of):
            yield Choice(id, name, id in chosen, {})

    def has_groups(self) -> bool:
        return False

    def pre_validate(self, form: Any) -> None:
        wanted = set(self.data or ())
        if len(wanted) > MOST_CHOICES:
            raise ValidationError(_("Choose fewer."))
        query = visible(security.actor(), self.model).with_only_columns(self.model.id).where(self.model.id.in_(wanted))  # type: ignore[attr-defined]
        if wanted and len(session.scalars(query).all()) != len(wanted):
            raise ValidationError(_("Choose from the list."))


class PermissionsField(SelectMultipleField):
    """Boxes to tick; the template gives them their frame and legend."""


class Secret(PasswordField):
    """A text that goes in and never comes out: the page shows an empty box, and an empty box changes nothing."""

    def __init__(self, label: Any = None, **options: Any) -> None:
        super().__init__(label, filters=[clean], **options)


__all__ = ["PermissionsField", "PickMany", "PickOne", "ScreenForm", "Secret", "TextAreaField", "options"]
