-- The tables of the broker. "taktline" stands for the app's namespace, which becomes the schema's name.
-- Times are milliseconds since the Unix epoch by the server's clock. Lists inside one text value are joined by
-- the record separator (U+001E), lists of such lists by the group separator (U+001D): JSON never holds them unescaped,
-- and ids may not contain them.
--
-- A row of ready or ended is one job, or a pack of jobs that came together: upkeep of a row and of its indexes for each
-- job is what costs most. A pack has its number of jobs in size, its lowest and highest id in id and last_id, and all of
-- them in ids, in order; a row of one job has the last two null. Only ids that the engine made within 250 ms share a pack
-- (broker/packs.ts), so a job is found by its id alone: its pack is one of those that end within 250 ms of it.

create table queues (
  id smallint generated always as identity primary key,
  name text not null unique,
  priority smallint not null check (priority between 1 and 10),
  -- No worker claims jobs of it.
  paused boolean not null default false
);
create index queues_paused on queues (id) where paused;

-- Ids that the engine makes: UUIDs of version 8, which begin with the time as those of version 7 do.
create function made_here(id text) returns boolean language sql immutable parallel safe
as $$ select length(id) = 36 and substr(id, 15, 1) = '8' $$;

-- The highest last_id that a pack with this id in it can have; the id itself where it is in no pack.
create function window_end(id text) returns text language sql immutable parallel safe
as $$
  select case when id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-8' then regexp_replace(
      lpad(to_hex(least(('x' || substr(id, 1, 8) || substr(id, 10, 4))::bit(48)::bigint + 250, 281474976710655)), 12, '0'),
      '^(.{8})(.{4})$', '\1-\2~')
    else id end
$$;

-- Whether a pack's last id is where it is looked for. Not in SQL: Postgres would prepare the whole expression for each statement
-- that inserts, of a single job too.
create function in_window(last_id text, id text) returns boolean language plpgsql immutable parallel safe
as $$ begin return last_id <= window_end(id) collate "C"; end $$;

-- The order of arrival, the lowest 56 bits of a rank. Each row takes 128 of them: the jobs of a pack rank one after another.
create sequence arrivals as bigint increment 128 maxvalue 72057594037927800;

-- Jobs that may run now. A claim deletes its rows: a row that is updated on its way costs more than one that goes.
-- rank = lane (bits 60-61: 0 usual, 1 and 2 suspects) | 10 - priority (bits 56-59) | arrival; of a pack, that of its first job
-- ready_at: since when it could have run, where that is not its enqueue: it waited for a time before.
create table ready (
  queue smallint not null,
  size smallint not null default 1,
  rank bigint not null,
  enqueued_at bigint not null,
  ready_at bigint,
  expires_at bigint,
  id text collate "C" not null,
  last_id text collate "C" check (last_id is null or in_window(last_id, id)),
  ids text,
  envelopes text not null,
  past text,
  primary key (queue, rank)
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_insert_scale_factor = 0.5);
create unique index ready_id on ready (id);
create index ready_packs on ready (last_id, id) where last_id is not null;
create index ready_expiry on ready (expires_at) where expires_at is not null;
alter table ready alter column ids set storage external;
alter table ready alter column envelopes set storage external;

-- Jobs that may not run before due_at: an eta, a countdown, or a retry.
create table scheduled (
  id text collate "C" primary key,
  due_at bigint not null,
  queue smallint not null,
  priority smallint not null,
  enqueued_at bigint not null,
  expires_at bigint,
  envelope text not null,
  past text
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 20000);
create index scheduled_due on scheduled (due_at);
create index scheduled_expiry on scheduled (expires_at) where expires_at is not null;
alter table scheduled alter column envelope set storage external;

-- Workers that live. A lease is the worker's: it holds for all of its claims while expires_at is renewed. At 0 the worker
-- was taken for dead, or has left, and its lease is not renewed any more. epoch: see missing(). counted: see count_jobs().
create table workers (
  id bigint generated always as identity primary key,
  name text not null,
  info text not null,
  lease_ms integer not null,
  started_at bigint not null,
  expires_at bigint not null,
  idle boolean not null default false,
  epoch integer not null default 0,
  counted integer not null default 0
) with (fillfactor = 50);

-- One row a claimed batch. The batch is never rewritten; `open` has a bit for each job that is not settled yet.
-- The id is the fence: recovery gives the row a new one. See next_fence().
-- runs: for jobs that came from one row of ready, and follow each other in the claim: their number, queue, rank of the
-- first, enqueued_at, expires_at and ready_at if there are any; "size,queue,rank,enqueued_at,expires_at,ready_at" joined by semicolons.
create sequence fences as bigint;
create table claims (
  id bigint primary key,
  worker bigint not null,
  lane smallint not null,
  size integer not null,
  claimed_at bigint not null,
  open varbit not null,
  cancels varbit,
  progress text,
  lost text,
  runs text not null,
  ids text not null,
  pasts text,
  envelopes text not null
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_threshold = 2000, toast.autovacuum_vacuum_threshold = 20000, toast.autovacuum_vacuum_scale_factor = 0.1);
create index claims_worker on claims (worker);
alter table claims alter column ids set storage external;
alter table claims alter column runs set storage external;
alter table claims alter column envelopes set storage external;
alter table claims alter column pasts set storage external;

-- Jobs that ended, until their result expires. state: s succeeded, c cancelled, x expired
-- enqueued: the times of the jobs of a pack, joined by commas; null when all of them have enqueued_at
create table ended (
  queue smallint not null,
  size smallint not null default 1,
  state "char" not null,
  enqueued_at bigint not null,
  finished_at bigint not null,
  expires_at bigint not null,
  id text collate "C" primary key,
  last_id text collate "C" check (last_id is null or in_window(last_id, id)),
  ids text,
  enqueued text,
  results text,
  pasts text
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 50000);
create index ended_packs on ended (last_id, id) where last_id is not null;
alter table ended alter column ids set storage external;
create index ended_expiry on ended using brin (expires_at) with (pages_per_range = 64);

-- Dead letters: failed jobs kept for a person.
create table dead (
  id text collate "C" primary key,
  queue smallint not null,
  priority smallint not null,
  task text not null,
  code text not null,
  message text not null,
  enqueued_at bigint not null,
  died_at bigint not null,
  envelope text not null,
  past text not null
);
create index dead_order on dead (died_at, id);
alter table dead alter column envelope set storage external;

-- Ids given by callers: first writer wins, until expires_at.
create table ids (
  id text collate "C" primary key,
  fingerprint text not null,
  expires_at bigint not null
);
create index ids_expiry on ids using brin (expires_at) with (pages_per_range = 64);

-- An id that the engine made stands in ids only when its caller has sent its enqueue again.
create index ids_made_here on ids (id) where made_here(id);
