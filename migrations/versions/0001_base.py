"""The first tables, their row-level security, the append-only ledgers and the guard of the message status."""

import flask_security.datastore  # noqa: F401
import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None

ORGANIZATION_TABLES = (
    "account_notice", "attachment", "canned_reply", "channel_account", "contact", "contact_identity", "conversation",
    "conversation_label", "draft", "label", "membership", "message", "message_event", "note", "role", "send_decision",
    "suppression", "team", "team_member", "template",
)  # fmt: skip
APPEND_ONLY = ("account_notice", "audit_event", "message_event", "send_decision")
ORGANIZATION = "nullif(current_setting('app.org_id', true), '')::uuid"
PERSON = "nullif(current_setting('app.user_id', true), '')::uuid"
REASON = "nullif(current_setting('app.reason', true), '') is not null"

GROUP_ROLES = """
do $$ begin
  if not exists (select from pg_roles where rolname = 'whatalker_app') then create role whatalker_app nologin; end if;
  if not exists (select from pg_roles where rolname = 'whatalker_backoffice') then create role whatalker_backoffice nologin; end if;
end $$
"""

KEEP_APPENDED = """
create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception '% is append-only', tg_table_name using errcode = 'insufficient_privilege';
end $$
"""

STATUS_ONLY_RISES = """
create function refuse_falling_status() returns trigger language plpgsql as $$
begin
  if not (case old.status
    when 'queued'    then new.status in ('claimed', 'sent', 'delivered', 'read', 'blocked', 'expired', 'failed')
    when 'claimed'   then new.status in ('queued', 'sending', 'sent', 'delivered', 'read', 'blocked', 'expired', 'failed')
    when 'sending'   then new.status in ('queued', 'unknown', 'sent', 'delivered', 'read', 'failed')
    when 'unknown'   then new.status in ('queued', 'sent', 'delivered', 'read', 'failed')
    when 'sent'      then new.status in ('delivered', 'read', 'failed')
    when 'delivered' then new.status in ('read')
    when 'failed'    then new.status in ('delivered', 'read')
    else false end)
  then
    raise exception 'message % cannot go from % to %', old.id, old.status, new.status using errcode = 'check_violation';
  end if;
  return new;
end $$
"""

# The gate holds the contacts it sends to FOR SHARE: whoever records a stop waits for the sends that were before it, and every
# send after it sees it, whichever code writes the row.
STOP_MEETS_GATE = """
create function lock_who_said_stop() returns trigger language plpgsql as $$
begin
  perform 1 from contact c
    where c.organization_id = new.organization_id and c.id = any (array(
      select i.contact_id from contact_identity i
      where i.organization_id = new.organization_id and i.channel = new.channel and i.canonical = new.key
      union
      select i.contact_id from contact_identity i
      where i.organization_id = new.organization_id and i.channel = new.channel and i.user_id = new.key))
    order by c.id for no key update;
  return new;
end $$
"""


def protect() -> None:
    """Row-level security on every table of an organization, append-only ledgers, statuses that only rise."""
    op.execute(GROUP_ROLES)
    op.execute("grant usage on schema public to whatalker_app, whatalker_backoffice")
    op.execute("grant select, insert, update, delete on all tables in schema public to whatalker_app")
    op.execute("grant select on all tables in schema public to whatalker_backoffice")
    op.execute("revoke all on alembic_version from whatalker_app")
    op.execute("grant select on alembic_version to whatalker_app")
    op.execute("alter default privileges in schema public grant select, insert, update, delete on tables to whatalker_app")
    op.execute("alter default privileges in schema public grant select on tables to whatalker_backoffice")
    for table in ORGANIZATION_TABLES:
        op.execute(f"alter table {table} enable row level security")
        op.execute(f"alter table {table} force row level security")
        op.execute(
            f"create policy organization on {table} to whatalker_app"
            f" using (organization_id = {ORGANIZATION}) with check (organization_id = {ORGANIZATION})"
        )
        op.execute(f"create policy across on {table} for select to whatalker_backoffice using ({REASON})")
    protect_the_rest()
    op.execute(KEEP_APPENDED)
    for table in APPEND_ONLY:
        op.execute(f"revoke update, delete, truncate on {table} from whatalker_app")
        op.execute(
            f"create trigger append_only before update or delete on {table} for each row execute function refuse_change()"
        )
    op.execute(STATUS_ONLY_RISES)
    op.execute(
        "create trigger status_only_rises before update of status on message for each row"
        " when (old.status is distinct from new.status) execute function refuse_falling_status()"
    )
    op.execute(STOP_MEETS_GATE)
    op.execute(
        "create trigger stop_meets_gate before insert or update on suppression for each row"
        " execute function lock_who_said_stop()"
    )


def protect_the_rest() -> None:
    """The tables whose key holds no organization: models say why in access.GLOBAL."""
    for table in ("organization", "user_account", "audit_event"):
        op.execute(f"alter table {table} enable row level security")
        op.execute(f"alter table {table} force row level security")
        op.execute(f"create policy across on {table} for select to whatalker_backoffice using ({REASON})")
    op.execute(f"create policy organization on organization to whatalker_app using (id = {ORGANIZATION})")
    # The moment after signing in: one's own memberships, and the organizations they are in.
    op.execute(f"create policy own on membership for select to whatalker_app using (user_id = {PERSON})")
    op.execute(
        "create policy own on organization for select to whatalker_app using (exists"
        f" (select from membership m where m.organization_id = organization.id and m.user_id = {PERSON} and m.active))"
    )
    # Signing in finds a person before any organization is in scope; once one is, only its people are there, and oneself.
    op.execute(
        f"create policy people on user_account to whatalker_app using ({ORGANIZATION} is null or id = {PERSON} or exists"
        f" (select from membership m where m.organization_id = {ORGANIZATION} and m.user_id = user_account.id))"
        f" with check ({ORGANIZATION} is null or id = {PERSON} or exists"
        f" (select from membership m where m.organization_id = {ORGANIZATION} and m.user_id = user_account.id))"
    )
    op.execute(f"create policy organization on audit_event for select to whatalker_app using (organization_id = {ORGANIZATION})")
    op.execute(
        "create policy written on audit_event for insert to whatalker_app"
        f" with check (organization_id = {ORGANIZATION} or organization_id is null)"
    )


def unprotect() -> None:
    op.execute("drop function if exists refuse_change() cascade")
    op.execute("drop function if exists refuse_falling_status() cascade")
    op.execute("drop function if exists lock_who_said_stop() cascade")
    for table in ("membership", "organization", "user_account", "audit_event", *ORGANIZATION_TABLES):
        for policy in ("organization", "across", "own", "people", "written"):
            op.execute(f"drop policy if exists {policy} on {table}")


def upgrade() -> None:
    # ### commands auto generated by Alembic - please adjust! ###
    op.create_table('organization',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('name', sa.String(length=120), nullable=False),
    sa.Column('slug', postgresql.CITEXT(), nullable=False),
    sa.Column('standing', sa.String(length=16), nullable=False),
    sa.Column('standing_reason', sa.String(), nullable=False),
    sa.Column('standing_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('country', sa.String(length=2), nullable=False),
    sa.Column('language', sa.String(length=8), nullable=False),
    sa.Column('time_zone', sa.String(length=64), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("standing in ('pending', 'active', 'suspended', 'cancelled')", name=op.f('ck_organization_standing')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_organization')),
    sa.UniqueConstraint('slug', name=op.f('uq_organization_slug'))
    )
    op.create_table('user_account',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('email', postgresql.CITEXT(), nullable=False),
    sa.Column('name', sa.String(length=120), nullable=False),
    sa.Column('staff_role', sa.String(length=24), nullable=True),
    sa.Column('language', sa.String(length=8), nullable=False),
    sa.Column('time_zone', sa.String(length=64), nullable=False),
    sa.Column('enter_sends', sa.Boolean(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('password', sa.String(length=255), nullable=True),
    sa.Column('active', sa.Boolean(), nullable=False),
    sa.Column('fs_uniquifier', sa.String(length=64), nullable=False),
    sa.Column('confirmed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('tf_primary_method', sa.String(length=64), nullable=True),
    sa.Column('tf_totp_secret', sa.String(length=255), nullable=True),
    sa.Column('mf_recovery_codes', sa.UnicodeText(), nullable=True),
    sa.Column('failed_sign_ins', sa.SmallInteger(), nullable=False),
    sa.Column('locked_until', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("staff_role in ('platform_admin', 'back_office', 'compliance_officer')", name=op.f('ck_user_account_staff_role')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_user_account')),
    sa.UniqueConstraint('email', name=op.f('uq_user_account_email')),
    sa.UniqueConstraint('fs_uniquifier', name=op.f('uq_user_account_fs_uniquifier'))
    )
    op.create_table('webhook_call',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('provider', sa.String(length=16), nullable=False),
    sa.Column('body', sa.LargeBinary(), nullable=False),
    sa.Column('received_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('state', sa.String(length=12), nullable=False),
    sa.Column('available_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('claimed_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('attempts', sa.SmallInteger(), nullable=False),
    sa.Column('note', sa.String(), nullable=False),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("state in ('waiting', 'claimed', 'done', 'parked', 'unreadable', 'unrouted')", name=op.f('ck_webhook_call_state')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_webhook_call'))
    )
    op.create_index('ix_webhook_call_open', 'webhook_call', ['state', 'available_at', 'id'], unique=False, postgresql_where="state <> 'done'")
    op.create_table('account_notice',
    sa.Column('channel_account_id', sa.Uuid(), nullable=True),
    sa.Column('event_key', sa.String(length=200), nullable=False),
    sa.Column('field', sa.String(length=80), nullable=False),
    sa.Column('understood', sa.Boolean(), nullable=False),
    sa.Column('payload', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('recorded_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('organization_id', sa.Uuid(), nullable=False),
    sa.ForeignKeyConstraint(['organization_id'], ['organization.id'], name=op.f('fk_account_notice_organization_id_organization')),
    sa.PrimaryKeyConstraint('organization_id', 'id', name=op.f('pk_account_notice')),
    sa.UniqueConstraint('organization_id', 'event_key', name=op.f('uq_account_notice_organization_id_event_key'))
    )
    op.create_table('audit_event',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('organization_id', sa.Uuid(), nullable=True),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('action', sa.String(length=60), nullable=False),
    sa.Column('actor_id', sa.Uuid(), nullable=True),
    sa.Column('actor_kind', sa.String(length=16), nullable=False),
    sa.Column('actor_name', sa.String(length=120), nullable=False),
    sa.Column('object_type', sa.String(length=40), nullable=False),
    sa.Column('object_id', sa.String(length=80), nullable=False),
    sa.Column('reason', sa.String(), nullable=False),
    sa.Column('diff', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('request_id', sa.String(length=64), nullable=False),
    sa.Column('ip', sa.String(length=45), nullable=False),
    sa.ForeignKeyConstraint(['actor_id'], ['user_account.id'], name=op.f('fk_audit_event_actor_id_user_account')),
    sa.ForeignKeyConstraint(['organization_id'], ['organization.id'], name=op.f('fk_audit_event_organization_id_organization')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_audit_event'))
    )
    op.create_index('ix_audit_event_newest', 'audit_event', ['organization_id', 'at', 'id'], unique=False)
    op.create_index('ix_audit_event_object', 'audit_event', ['organization_id', 'object_type', 'object_id', 'at'], unique=False)
    op.create_table('canned_reply',
    sa.Column('shortcut', sa.String(length=40), nullable=False),
    sa.Column('text', sa.String(), nullable=False),
    sa.Column('language', sa.String(length=8), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('organization_id', sa.Uuid(), nullable=False),
    sa.ForeignKeyConstraint(['organization_id'], ['organization.id'], name=op.f('fk_canned_reply_organization_id_organization')),
    sa.PrimaryKeyConstraint('organization_id', 'id', name=op.f('pk_canned_reply')),
    sa.UniqueConstraint('organization_id', 'shortcut', name=op.f('uq_canned_reply_organization_id_shortcut'))
    )
    op.create_table('contact',
    sa.Column('name', sa.String(length=200), nullable=False),
    sa.Column('name_folded', sa.Text(), nullable=False),
    sa.Column('name_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('renamed', sa.Boolean(), nullable=False),
    sa.Column('language', sa.String(length=8), nullable=True),
    sa.Column('country', sa.String(length=2), nullable=True),
    sa.Column('time_zone', sa.String(length=64), nullable=True),
    sa.Column('email', sa.String(length=254), nullable=True),
    sa.Column('fields', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('owner_id', sa.Uuid(), nullable=True),
    sa.Column('blocked_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('merged_into_id', sa.Uuid(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('organization_id', sa.Uuid(), nullable=False),
    sa.ForeignKeyConstraint(['organization_id', 'merged_into_id'], ['contact.organization_id', 'contact.id'], name=op.f('fk_contact_organization_id_merged_into_id_contact')),
    sa.ForeignKeyConstraint(['organization_id'], ['organization.id'], name=op.f('fk_contact_organization_id_organization')),
    sa.PrimaryKeyConstraint('organization_id', 'id', name=op.f('pk_contact'))
    )
    op.create_index('ix_contact_name', 'contact', ['organization_id', 'name_folded'], unique=False, postgresql_ops={'name_folded': 'text_pattern_ops'})
    op.create_index('ix_contact_newest', 'contact', ['organization_id', 'created_at', 'id'], unique=False)
    op.create_table('label',
    sa.Column('name', sa.String(length=40), nullable=False),
    sa.Column('colour', sa.String(length=16), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('organization_id', sa.Uuid(), nullable=False),
    sa.ForeignKeyConstraint(['organization_id'], ['organization.id'], name=op.f('fk_label_organization_id_organization')),
    sa.PrimaryKeyConstraint('organization_id', 'id', name=op.f('pk_label')),
    sa.UniqueConstraint('organization_id', 'name', name=op.f('uq_label_organization_id_name'))
    )
    op.create_table('message_event',
    sa.Column('message_id', sa.Uuid(), nullable=False),
    sa.Column('event_key', sa.String(length=300), nullable=False),
    sa.Column('kind', sa.String(length=24), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('recorded_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('data', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('organization_id', sa.Uuid(), nullable=False),
    sa.ForeignKeyConstraint(['organization_id'], ['organization.id'], name=op.f('fk_message_event_organization_id_organization')),
    sa.PrimaryKeyConstraint('organization_id', 'id', name=op.f('pk_message_event')),
    sa.UniqueConstraint('organization_id', 'event_key', name=op.f('uq_message_event_organization_id_event_key'))
    )
    op.create_index(op.f('ix_message_event_organization_id_message_id_recorded_at'), 'message_event', ['organization_id', 'message_id', 'recorded_at'], unique=False)
    op.create_table('role',
    sa.Column('name', sa.String(length=80), nullable=False),
    sa.Column('rank', sa.SmallInteger(), nullable=False),
    sa.Column('permissions', sa.ARRAY(sa.String()), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('organization_id', sa.Uuid(), nullable=False),
    sa.ForeignKeyConstraint(['organization_id'], ['organization.id'], name=op.f('fk_role_organization_id_organization')),
    sa.PrimaryKeyConstraint('organization_id', 'id', name=op.f('pk_role')),
    sa.UniqueConstraint('organization_id', 'name', name=op.f('uq_role_organization_id_name'))
    )
    op.create_table('send_decision',
    sa.Column('message_id', sa.Uuid(), nullable=False),
    sa.Column('verdict', sa.String(length=8), nullable=False),
    sa.Column('code', sa.String(length=40), nullable=False),
    sa.Column('sentence', sa.String(), nullable=False),
    sa.Column('not_before', sa.DateTime(timezone=True), nullable=True),
    sa.Column('facts', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('trace_hash', sa.String(length=64), nullable=False),
    sa.Column('engine_version', sa.String(length=16), nullable=False),
    sa.Column('decided_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('organization_id', sa.Uuid(), nullable=False),
    sa.CheckConstraint("verdict in ('allow', 'deny', 'defer')", name=op.f('ck_send_decision_verdict')),
    sa.ForeignKeyConstraint(['organization_id'], ['organization.id'], name=op.f('fk_send_decision_organization_id_organization')),
    sa.PrimaryKeyConstraint('organization_id', 'id', name=op.f('pk_send_decision'))
    )
    op.create_index('ix_send_decision_newest', 'send_decision', ['organization_id', 'decided_at', 'id'], unique=False)
    op.create_index(op.f('ix_send_decision_organization_id_message_id'), 'send_decision', ['organization_id', 'message_id'], unique=False)
    op.create_table('suppression',
    sa.Column('channel', sa.String(length=16), nullable=False),
    sa.Column('key', sa.String(length=160), nullable=False),
    sa.Column('purpose', sa.String(length=24), nullable=False),
    sa.Column('source', sa.String(length=32), nullable=False),
    sa.Column('evidence', sa.String(), nullable=False),
    sa.Column('since', sa.DateTime(timezone=True), nullable=False),
    sa.Column('lifted_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('lifted_by', sa.String(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('organization_id', sa.Uuid(), nullable=False),
    sa.ForeignKeyConstraint(['organization_id'], ['organization.id'], name=op.f('fk_suppression_organization_id_organization')),
    sa.PrimaryKeyConstraint('organization_id', 'id', name=op.f('pk_suppression'))
    )
    op.create_index('ix_suppression_active', 'suppression', ['organization_id', 'channel', 'key'], unique=False, postgresql_where='lifted_at is null')
    op.create_table('team',
    sa.Column('name', sa.String(length=80), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('organization_id', sa.Uuid(), nullable=False),
    sa.ForeignKeyConstraint(['organization_id'], ['organization.id'], name=op.f('fk_team_organization_id_organization')),
    sa.PrimaryKeyConstraint('organization_id', 'id', name=op.f('pk_team')),
    sa.UniqueConstraint('organization_id', 'name', name=op.f('uq_team_organization_id_name'))
    )
    op.create_table('template',
    sa.Column('business_id', sa.String(length=64), nullable=False),
    sa.Column('provider_id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=512), nullable=False),
    sa.Column('language', sa.String(length=16), nullable=False),
    sa.Column('category', sa.String(length=24), nullable=False),
    sa.Column('status', sa.String(length=24), nullable=False),
    sa.Column('status_reason', sa.String(), nullable=False),
    sa.Column('quality', sa.String(length=16), nullable=False),
    sa.Column('components', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('heard', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('removed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('synced_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('organization_id', sa.Uuid(), nullable=False),
    sa.ForeignKeyConstraint(['organization_id'], ['organization.id'], name=op.f('fk_template_organization_id_organization')),
    sa.PrimaryKeyConstraint('organization_id', 'id', name=op.f('pk_template')),
    sa.UniqueConstraint('organization_id', 'business_id', 'name', 'language', name=op.f('uq_template_organization_id_business_id_name_language'))
    )
    op.create_index(op.f('ix_template_provider_id'), 'template', ['provider_id'], unique=False)
    op.create_table('user_session',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('user_id', sa.Uuid(), nullable=False),
    sa.Column('token_hash', sa.String(length=64), nullable=False),
    sa.Column('organization_id_chosen', sa.Uuid(), nullable=True),
    sa.Column('reason', sa.String(), nullable=False),
    sa.Column('reason_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('ip', sa.String(length=45), nullable=False),
    sa.Column('agent', sa.String(length=300), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('last_seen_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('revoked_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['organization_id_chosen'], ['organization.id'], name=op.f('fk_user_session_organization_id_chosen_organization')),
    sa.ForeignKeyConstraint(['user_id'], ['user_account.id'], name=op.f('fk_user_session_user_id_user_account'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_user_session')),
    sa.UniqueConstraint('token_hash', name=op.f('uq_user_session_token_hash'))
    )
    op.create_index(op.f('ix_user_session_user_id_revoked_at'), 'user_session', ['user_id', 'revoked_at'], unique=False)
    op.create_table('channel_account',
    sa.Column('channel', sa.String(length=16), nullable=False),
    sa.Column('external_id', sa.String(length=64), nullable=False),
    sa.Column('business_id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=120), nullable=False),
    sa.Column('display_number', sa.String(length=40), nullable=False),
    sa.Column('credentials', sa.Text(), nullable=False),
    sa.Column('team_id', sa.Uuid(), nullable=True),
    sa.Column('state', sa.String(length=16), nullable=False),
    sa.Column('state_reason', sa.String(), nullable=False),
    sa.Column('quality', sa.String(length=16), nullable=False),
    sa.Column('messaging_limit', sa.String(length=32), nullable=False),
    sa.Column('throughput', sa.Integer(), nullable=False),
    sa.Column('health', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('heard', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('organization_id', sa.Uuid(), nullable=False),
    sa.CheckConstraint("state in ('active', 'stopped', 'needs_reauth', 'read_only', 'disconnected')", name=op.f('ck_channel_account_state')),
    sa.ForeignKeyConstraint(['organization_id', 'team_id'], ['team.organization_id', 'team.id'], name=op.f('fk_channel_account_organization_id_team_id_team')),
    sa.ForeignKeyConstraint(['organization_id'], ['organization.id'], name=op.f('fk_channel_account_organization_id_organization')),
    sa.PrimaryKeyConstraint('organization_id', 'id', name=op.f('pk_channel_account')),
    sa.UniqueConstraint('channel', 'external_id', name=op.f('uq_channel_account_channel_external_id'))
    )
    op.create_table('contact_identity',
    sa.Column('contact_id', sa.Uuid(), nullable=False),
    sa.Column('channel', sa.String(length=16), nullable=False),
    sa.Column('wa_id', sa.String(length=64), nullable=True),
    sa.Column('user_id', sa.String(length=160), nullable=True),
    sa.Column('username', sa.String(length=64), nullable=True),
    sa.Column('phone', sa.String(length=20), nullable=True),
    sa.Column('canonical', sa.String(length=64), nullable=True),
    sa.Column('last_digits', sa.String(length=4), nullable=True),
    sa.Column('aliases', sa.ARRAY(sa.String()), nullable=False),
    sa.Column('heard', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('organization_id', sa.Uuid(), nullable=False),
    sa.CheckConstraint('wa_id is not null or user_id is not null or phone is not null', name=op.f('ck_contact_identity_known')),
    sa.ForeignKeyConstraint(['organization_id', 'contact_id'], ['contact.organization_id', 'contact.id'], name=op.f('fk_contact_identity_organization_id_contact_id_contact')),
    sa.ForeignKeyConstraint(['organization_id'], ['organization.id'], name=op.f('fk_contact_identity_organization_id_organization')),
    sa.PrimaryKeyConstraint('organization_id', 'id', name=op.f('pk_contact_identity'))
    )
    op.create_index('ix_contact_identity_last_digits', 'contact_identity', ['organization_id', 'last_digits'], unique=False)
    op.create_index(op.f('ix_contact_identity_organization_id_contact_id'), 'contact_identity', ['organization_id', 'contact_id'], unique=False)
    op.create_index('uq_contact_identity_canonical', 'contact_identity', ['organization_id', 'channel', 'canonical'], unique=True, postgresql_where='canonical is not null')
    op.create_index('uq_contact_identity_user_id', 'contact_identity', ['organization_id', 'channel', 'user_id'], unique=True, postgresql_where='user_id is not null')
    op.create_table('membership',
    sa.Column('user_id', sa.Uuid(), nullable=False),
    sa.Column('role', sa.String(length=24), nullable=True),
    sa.Column('role_id', sa.Uuid(), nullable=True),
    sa.Column('active', sa.Boolean(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('organization_id', sa.Uuid(), nullable=False),
    sa.CheckConstraint("role in ('owner', 'admin', 'team_lead', 'agent', 'developer', 'viewer')", name=op.f('ck_membership_role')),
    sa.CheckConstraint('(role is null) <> (role_id is null)', name=op.f('ck_membership_one_role')),
    sa.ForeignKeyConstraint(['organization_id', 'role_id'], ['role.organization_id', 'role.id'], name=op.f('fk_membership_organization_id_role_id_role')),
    sa.ForeignKeyConstraint(['organization_id'], ['organization.id'], name=op.f('fk_membership_organization_id_organization')),
    sa.ForeignKeyConstraint(['user_id'], ['user_account.id'], name=op.f('fk_membership_user_id_user_account')),
    sa.PrimaryKeyConstraint('organization_id', 'id', name=op.f('pk_membership')),
    sa.UniqueConstraint('organization_id', 'user_id', name=op.f('uq_membership_organization_id_user_id'))
    )
    op.create_index(op.f('ix_membership_user_id'), 'membership', ['user_id'], unique=False)
    op.create_table('conversation',
    sa.Column('contact_id', sa.Uuid(), nullable=False),
    sa.Column('identity_id', sa.Uuid(), nullable=False),
    sa.Column('identity_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('channel_account_id', sa.Uuid(), nullable=False),
    sa.Column('team_id', sa.Uuid(), nullable=True),
    sa.Column('assignee_id', sa.Uuid(), nullable=True),
    sa.Column('assigned_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('status', sa.String(length=16), nullable=False),
    sa.Column('snoozed_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('unread_count', sa.Integer(), nullable=False),
    sa.Column('last_message_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('last_preview', sa.String(length=160), nullable=False),
    sa.Column('last_direction', sa.String(length=3), nullable=False),
    sa.Column('last_inbound_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('window_expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('waiting_since', sa.DateTime(timezone=True), nullable=True),
    sa.Column('failed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('marketing_stopped_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('organization_id', sa.Uuid(), nullable=False),
    sa.CheckConstraint("status in ('open', 'snoozed', 'resolved')", name=op.f('ck_conversation_status')),
    sa.ForeignKeyConstraint(['assignee_id'], ['user_account.id'], name=op.f('fk_conversation_assignee_id_user_account')),
    sa.ForeignKeyConstraint(['organization_id', 'channel_account_id'], ['channel_account.organization_id', 'channel_account.id'], name=op.f('fk_conversation_organization_id_channel_account_id_channel_account')),
    sa.ForeignKeyConstraint(['organization_id', 'contact_id'], ['contact.organization_id', 'contact.id'], name=op.f('fk_conversation_organization_id_contact_id_contact')),
    sa.ForeignKeyConstraint(['organization_id', 'identity_id'], ['contact_identity.organization_id', 'contact_identity.id'], name=op.f('fk_conversation_organization_id_identity_id_contact_identity')),
    sa.ForeignKeyConstraint(['organization_id', 'team_id'], ['team.organization_id', 'team.id'], name=op.f('fk_conversation_organization_id_team_id_team')),
    sa.ForeignKeyConstraint(['organization_id'], ['organization.id'], name=op.f('fk_conversation_organization_id_organization')),
    sa.PrimaryKeyConstraint('organization_id', 'id', name=op.f('pk_conversation')),
    sa.UniqueConstraint('organization_id', 'channel_account_id', 'identity_id', name=op.f('uq_conversation_organization_id_channel_account_id_identity_id'))
    )
    op.create_index('ix_conversation_closing', 'conversation', ['organization_id', 'window_expires_at', 'id'], unique=False, postgresql_where="status = 'open'")
    op.create_index('ix_conversation_mine', 'conversation', ['organization_id', 'assignee_id', 'last_message_at', 'id'], unique=False, postgresql_where="status = 'open'")
    op.create_index('ix_conversation_newest', 'conversation', ['organization_id', 'last_message_at', 'id'], unique=False)
    op.create_index(op.f('ix_conversation_organization_id_contact_id'), 'conversation', ['organization_id', 'contact_id'], unique=False)
    op.create_index('ix_conversation_snoozed', 'conversation', ['snoozed_until'], unique=False, postgresql_where="status = 'snoozed'")
    op.create_index('ix_conversation_unassigned', 'conversation', ['organization_id', 'waiting_since', 'id'], unique=False, postgresql_where="status = 'open' and assignee_id is null")
    op.create_index('ix_conversation_unread', 'conversation', ['organization_id', 'last_message_at', 'id'], unique=False, postgresql_where='unread_count > 0')
    op.create_table('team_member',
    sa.Column('team_id', sa.Uuid(), nullable=False),
    sa.Column('membership_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('organization_id', sa.Uuid(), nullable=False),
    sa.ForeignKeyConstraint(['organization_id', 'membership_id'], ['membership.organization_id', 'membership.id'], name=op.f('fk_team_member_organization_id_membership_id_membership'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['organization_id', 'team_id'], ['team.organization_id', 'team.id'], name=op.f('fk_team_member_organization_id_team_id_team'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['organization_id'], ['organization.id'], name=op.f('fk_team_member_organization_id_organization')),
    sa.PrimaryKeyConstraint('organization_id', 'id', name=op.f('pk_team_member')),
    sa.UniqueConstraint('organization_id', 'team_id', 'membership_id', name=op.f('uq_team_member_organization_id_team_id_membership_id'))
    )
    op.create_index(op.f('ix_team_member_organization_id_membership_id'), 'team_member', ['organization_id', 'membership_id'], unique=False)
    op.create_table('conversation_label',
    sa.Column('conversation_id', sa.Uuid(), nullable=False),
    sa.Column('label_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('organization_id', sa.Uuid(), nullable=False),
    sa.ForeignKeyConstraint(['organization_id', 'conversation_id'], ['conversation.organization_id', 'conversation.id'], name=op.f('fk_conversation_label_organization_id_conversation_id_conversation'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['organization_id', 'label_id'], ['label.organization_id', 'label.id'], name=op.f('fk_conversation_label_organization_id_label_id_label'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['organization_id'], ['organization.id'], name=op.f('fk_conversation_label_organization_id_organization')),
    sa.PrimaryKeyConstraint('organization_id', 'id', name=op.f('pk_conversation_label')),
    sa.UniqueConstraint('organization_id', 'conversation_id', 'label_id', name=op.f('uq_conversation_label_organization_id_conversation_id_label_id'))
    )
    op.create_table('draft',
    sa.Column('conversation_id', sa.Uuid(), nullable=False),
    sa.Column('user_id', sa.Uuid(), nullable=False),
    sa.Column('text', sa.String(), nullable=False),
    sa.Column('client_message_id', sa.Uuid(), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('organization_id', sa.Uuid(), nullable=False),
    sa.ForeignKeyConstraint(['organization_id', 'conversation_id'], ['conversation.organization_id', 'conversation.id'], name=op.f('fk_draft_organization_id_conversation_id_conversation'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['organization_id'], ['organization.id'], name=op.f('fk_draft_organization_id_organization')),
    sa.ForeignKeyConstraint(['user_id'], ['user_account.id'], name=op.f('fk_draft_user_id_user_account'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('organization_id', 'id', name=op.f('pk_draft')),
    sa.UniqueConstraint('organization_id', 'conversation_id', 'user_id', name=op.f('uq_draft_organization_id_conversation_id_user_id'))
    )
    op.create_table('message',
    sa.Column('conversation_id', sa.Uuid(), nullable=False),
    sa.Column('contact_id', sa.Uuid(), nullable=False),
    sa.Column('channel_account_id', sa.Uuid(), nullable=False),
    sa.Column('direction', sa.String(length=3), nullable=False),
    sa.Column('kind', sa.String(length=16), nullable=False),
    sa.Column('content', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('text', sa.String(), nullable=False),
    sa.Column('status', sa.String(length=16), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('provider_id', sa.String(length=200), nullable=True),
    sa.Column('reply_to', sa.String(length=200), nullable=True),
    sa.Column('removed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('author_id', sa.Uuid(), nullable=True),
    sa.Column('author_kind', sa.String(length=16), nullable=False),
    sa.Column('purpose', sa.String(length=24), nullable=False),
    sa.Column('template_id', sa.Uuid(), nullable=True),
    sa.Column('client_message_id', sa.Uuid(), nullable=True),
    sa.Column('lane', sa.String(length=12), nullable=False),
    sa.Column('available_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('hold_reason', sa.String(), nullable=False),
    sa.Column('not_after', sa.DateTime(timezone=True), nullable=True),
    sa.Column('claim_token', sa.Uuid(), nullable=True),
    sa.Column('claimed_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('attempt', sa.SmallInteger(), nullable=False),
    sa.Column('decision_id', sa.Uuid(), nullable=True),
    sa.Column('error_code', sa.String(length=64), nullable=False),
    sa.Column('error_text', sa.String(), nullable=False),
    sa.Column('sent_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('delivered_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('read_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('failed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('organization_id', sa.Uuid(), nullable=False),
    sa.CheckConstraint("direction in ('in', 'out')", name=op.f('ck_message_direction')),
    sa.CheckConstraint("lane in ('interactive', 'bulk')", name=op.f('ck_message_lane')),
    sa.CheckConstraint("status in ('received', 'queued', 'claimed', 'sending', 'unknown', 'sent', 'delivered', 'read', 'failed', 'blocked', 'expired')", name=op.f('ck_message_status')),
    sa.ForeignKeyConstraint(['author_id'], ['user_account.id'], name=op.f('fk_message_author_id_user_account')),
    sa.ForeignKeyConstraint(['organization_id', 'channel_account_id'], ['channel_account.organization_id', 'channel_account.id'], name=op.f('fk_message_organization_id_channel_account_id_channel_account')),
    sa.ForeignKeyConstraint(['organization_id', 'contact_id'], ['contact.organization_id', 'contact.id'], name=op.f('fk_message_organization_id_contact_id_contact')),
    sa.ForeignKeyConstraint(['organization_id', 'conversation_id'], ['conversation.organization_id', 'conversation.id'], name=op.f('fk_message_organization_id_conversation_id_conversation')),
    sa.ForeignKeyConstraint(['organization_id'], ['organization.id'], name=op.f('fk_message_organization_id_organization')),
    sa.PrimaryKeyConstraint('organization_id', 'id', name=op.f('pk_message')),
    sa.UniqueConstraint('organization_id', 'channel_account_id', 'provider_id', 'kind', name=op.f('uq_message_organization_id_channel_account_id_provider_id_kind')),
    sa.UniqueConstraint('organization_id', 'client_message_id', name=op.f('uq_message_organization_id_client_message_id')),
    postgresql_with={'fillfactor': 70}
    )
    op.create_index('ix_message_about', 'message', ['organization_id', 'channel_account_id', 'reply_to'], unique=False, postgresql_where="kind in ('reaction', 'system') and reply_to is not null")
    op.create_index('ix_message_deadline', 'message', ['not_after'], unique=False, postgresql_where="status = 'queued' and not_after is not null")
    op.create_index('ix_message_due', 'message', ['organization_id', 'channel_account_id', 'lane', 'available_at', 'id'], unique=False, postgresql_where="status = 'queued'")
    op.create_index('ix_message_open', 'message', ['status', 'claimed_until'], unique=False, postgresql_where="status in ('claimed', 'sending', 'unknown')")
    op.create_index('ix_message_thread', 'message', ['organization_id', 'conversation_id', 'at', 'id'], unique=False)
    op.create_table('note',
    sa.Column('conversation_id', sa.Uuid(), nullable=False),
    sa.Column('author_id', sa.Uuid(), nullable=False),
    sa.Column('text', sa.String(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('organization_id', sa.Uuid(), nullable=False),
    sa.ForeignKeyConstraint(['author_id'], ['user_account.id'], name=op.f('fk_note_author_id_user_account')),
    sa.ForeignKeyConstraint(['organization_id', 'conversation_id'], ['conversation.organization_id', 'conversation.id'], name=op.f('fk_note_organization_id_conversation_id_conversation'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['organization_id'], ['organization.id'], name=op.f('fk_note_organization_id_organization')),
    sa.PrimaryKeyConstraint('organization_id', 'id', name=op.f('pk_note'))
    )
    op.create_index(op.f('ix_note_organization_id_conversation_id_created_at'), 'note', ['organization_id', 'conversation_id', 'created_at'], unique=False)
    op.create_table('attachment',
    sa.Column('message_id', sa.Uuid(), nullable=False),
    sa.Column('kind', sa.String(length=16), nullable=False),
    sa.Column('filename', sa.String(length=240), nullable=False),
    sa.Column('mime_type', sa.String(length=120), nullable=False),
    sa.Column('size', sa.Integer(), nullable=True),
    sa.Column('sha256', sa.String(length=64), nullable=True),
    sa.Column('provider_media_id', sa.String(length=200), nullable=True),
    sa.Column('state', sa.String(length=8), nullable=False),
    sa.Column('error', sa.String(), nullable=False),
    sa.Column('attempts', sa.SmallInteger(), nullable=False),
    sa.Column('available_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('organization_id', sa.Uuid(), nullable=False),
    sa.CheckConstraint("state in ('wanted', 'stored', 'failed', 'gone')", name=op.f('ck_attachment_state')),
    sa.ForeignKeyConstraint(['organization_id', 'message_id'], ['message.organization_id', 'message.id'], name=op.f('fk_attachment_organization_id_message_id_message')),
    sa.ForeignKeyConstraint(['organization_id'], ['organization.id'], name=op.f('fk_attachment_organization_id_organization')),
    sa.PrimaryKeyConstraint('organization_id', 'id', name=op.f('pk_attachment'))
    )
    op.create_index(op.f('ix_attachment_organization_id_message_id'), 'attachment', ['organization_id', 'message_id'], unique=False)
    op.create_index('ix_attachment_wanted', 'attachment', ['state', 'created_at'], unique=False, postgresql_where="state = 'wanted'")
    # ### end Alembic commands ###

    protect()


def downgrade() -> None:
    unprotect()
    # ### commands auto generated by Alembic - please adjust! ###
    op.drop_index('ix_attachment_wanted', table_name='attachment', postgresql_where="state = 'wanted'")
    op.drop_index(op.f('ix_attachment_organization_id_message_id'), table_name='attachment')
    op.drop_table('attachment')
    op.drop_index(op.f('ix_note_organization_id_conversation_id_created_at'), table_name='note')
    op.drop_table('note')
    op.drop_index('ix_message_thread', table_name='message')
    op.drop_index('ix_message_open', table_name='message', postgresql_where="status in ('claimed', 'sending', 'unknown')")
    op.drop_index('ix_message_deadline', table_name='message', postgresql_where="status = 'queued' and not_after is not null")
    op.drop_index('ix_message_due', table_name='message', postgresql_where="status = 'queued'")
    op.drop_index('ix_message_about', table_name='message', postgresql_where="kind in ('reaction', 'system') and reply_to is not null")
    op.drop_table('message')
    op.drop_table('draft')
    op.drop_table('conversation_label')
    op.drop_index(op.f('ix_team_member_organization_id_membership_id'), table_name='team_member')
    op.drop_table('team_member')
    op.drop_index('ix_conversation_unread', table_name='conversation', postgresql_where='unread_count > 0')
    op.drop_index('ix_conversation_unassigned', table_name='conversation', postgresql_where="status = 'open' and assignee_id is null")
    op.drop_index('ix_conversation_snoozed', table_name='conversation', postgresql_where="status = 'snoozed'")
    op.drop_index(op.f('ix_conversation_organization_id_contact_id'), table_name='conversation')
    op.drop_index('ix_conversation_newest', table_name='conversation')
    op.drop_index('ix_conversation_mine', table_name='conversation', postgresql_where="status = 'open'")
    op.drop_index('ix_conversation_closing', table_name='conversation', postgresql_where="status = 'open'")
    op.drop_table('conversation')
    op.drop_index(op.f('ix_membership_user_id'), table_name='membership')
    op.drop_table('membership')
    op.drop_index('uq_contact_identity_user_id', table_name='contact_identity', postgresql_where='user_id is not null')
    op.drop_index('uq_contact_identity_canonical', table_name='contact_identity', postgresql_where='canonical is not null')
    op.drop_index(op.f('ix_contact_identity_organization_id_contact_id'), table_name='contact_identity')
    op.drop_index('ix_contact_identity_last_digits', table_name='contact_identity')
    op.drop_table('contact_identity')
    op.drop_table('channel_account')
    op.drop_index(op.f('ix_user_session_user_id_revoked_at'), table_name='user_session')
    op.drop_table('user_session')
    op.drop_index(op.f('ix_template_provider_id'), table_name='template')
    op.drop_table('template')
    op.drop_table('team')
    op.drop_index('ix_suppression_active', table_name='suppression', postgresql_where='lifted_at is null')
    op.drop_table('suppression')
    op.drop_index(op.f('ix_send_decision_organization_id_message_id'), table_name='send_decision')
    op.drop_index('ix_send_decision_newest', table_name='send_decision')
    op.drop_table('send_decision')
    op.drop_table('role')
    op.drop_index(op.f('ix_message_event_organization_id_message_id_recorded_at'), table_name='message_event')
    op.drop_table('message_event')
    op.drop_table('label')
    op.drop_index('ix_contact_newest', table_name='contact')
    op.drop_index('ix_contact_name', table_name='contact', postgresql_ops={'name_folded': 'text_pattern_ops'})
    op.drop_table('contact')
    op.drop_table('canned_reply')
    op.drop_index('ix_audit_event_object', table_name='audit_event')
    op.drop_index('ix_audit_event_newest', table_name='audit_event')
    op.drop_table('audit_event')
    op.drop_table('account_notice')
    op.drop_index('ix_webhook_call_open', table_name='webhook_call', postgresql_where="state <> 'done'")
    op.drop_table('webhook_call')
    op.drop_table('user_account')
    op.drop_table('organization')
    # ### end Alembic commands ###
