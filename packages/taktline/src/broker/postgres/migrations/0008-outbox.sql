-- What an outbox needs of the broker: to send a batch again and make no second jobs, to enqueue in a caller's transaction,
-- and to hear which jobs have ended.

-- Names what is kept here.
create table origin (id uuid not null default gen_random_uuid());
insert into origin default values;

-- A copy of the database, restored beside it, has a table of its own.
create function origin_name() returns text language sql stable
as $$ select o.id || ':' || o.tableoid from origin o $$;

-- The highest number of a batch of each producer.
create table producers (
  id text collate "C" primary key,
  sequence bigint not null
) with (fillfactor = 50);

-- Whether a producer's batch is one more; then it counts as made. An earlier one that is under way is waited for.
create function next_batch(p_producer text, p_sequence bigint) returns boolean language sql volatile
as $$
  with put as (
    insert into producers as p (id, sequence) values (p_producer, p_sequence)
    on conflict (id) do update set sequence = excluded.sequence where p.sequence < excluded.sequence returning 1
  ) select exists (select 1 from put)
$$;

-- Whether the caller has opened a transaction. A procedure that was called outside of one may commit, and one inside may not: it
-- is told so before it is told that it may not here in any case. The two say it with one code, and in the server's language.
create function refusal_inside() returns text language plpgsql
as $$ begin commit; return null; exception when invalid_transaction_termination then return sqlerrm; end $$;

-- Procedures with a search_path of their own could not tell.
do $do$ begin execute format($make$
create procedure require_transaction(p_origin text) language plpgsql
as $$
declare v_said text;
begin
  begin
    commit;
  exception when invalid_transaction_termination then v_said := sqlerrm;
  end;
  if v_said <> 'invalid transaction termination' and v_said <> %1$I.refusal_inside() then
    raise no_active_sql_transaction using message = 'no transaction is open';
  end if;
  if not exists (select from %1$I.origin o where o.id || ':' || o.tableoid = p_origin) then
    raise object_not_in_prerequisite_state using message = 'the transaction is in another database than the broker';
  end if;
end $$
$make$, current_schema()); end $do$;

-- enqueue() as a part of a caller's transaction. xid: when that has ended, sleeping workers are to be woken.
do $do$ begin execute format($make$
create procedure enqueue_in(
  p_origin text,
  p_ids text, p_envelopes text, p_sizes smallint[], p_firsts text, p_lasts text, p_queues smallint[], p_priorities smallint[],
  p_due bigint[], p_expires bigint[], p_prints text, p_keep bigint[],
  inout xid text default null, inout replies smallint[] default null
) language plpgsql
as $$
begin
  call %1$I.require_transaction(p_origin);
  xid := pg_current_xact_id()::text;
  select e.replies into replies
  from %1$I.enqueue(p_ids, p_envelopes, p_sizes, p_firsts, p_lasts, p_queues, p_priorities, p_due, p_expires, p_prints, p_keep,
    null, null, true) e;
end $$
$make$, current_schema()); end $do$;

-- The same for one job that may run now, under an id that was made for it, which is what most transactions enqueue.
do $do$ begin execute format($make$
create procedure enqueue_one_in(p_origin text, p_id text, p_envelope text, p_queue smallint, p_priority smallint, inout xid text default null)
language plpgsql
as $$
begin
  call %1$I.require_transaction(p_origin);
  if p_id = '' or p_envelope = '' or p_queue is null or translate(p_id || p_envelope, E'\x1d\x1e', '') <> p_id || p_envelope then
    raise invalid_parameter_value using message = 'an id or an envelope is empty or holds a separator';
  end if;
  xid := pg_current_xact_id()::text;
  insert into %1$I.ready (queue, rank, enqueued_at, id, envelopes)
  values (p_queue, ((10 - p_priority)::bigint << 56) | nextval('%1$I.arrivals'), %1$I.now_ms(), p_id, p_envelope);
end $$
$make$, current_schema()); end $do$;

-- Ends of jobs of queues that keep_ends() was called for, until somebody has dealt with them, or for seven days.
alter table queues add column kept boolean not null default false;
create table finished (
  id bigint generated always as identity primary key,
  queue smallint not null,
  ids text not null,
  at bigint not null
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 20000);
create index finished_at on finished using brin (at) with (pages_per_range = 64);

create function tell_ended() returns trigger language plpgsql
as $$
begin
  insert into finished (queue, ids, at) select n.queue, coalesce(n.ids, n.id), now_ms() from new_rows n join queues q on q.id = n.queue and q.kept;
  return null;
end $$;

create function tell_dead() returns trigger language plpgsql
as $$
begin
  insert into finished (queue, ids, at) select n.queue, n.id, now_ms() from new_rows n join queues q on q.id = n.queue and q.kept;
  return null;
end $$;

-- From now on ends of jobs of these queues are told. Only then are there triggers: nobody else pays for them.
create function keep_ends(p_queues smallint[]) returns void language plpgsql
as $$
begin
  if not exists (select 1 from queues q where q.id = any (p_queues) and not q.kept) then return; end if;
  perform pg_advisory_xact_lock(hashtext(current_schema()), 4);
  if not exists (select 1 from pg_trigger t where t.tgrelid = 'ended'::regclass and t.tgname = 'tell_ended') then
    create trigger tell_ended after insert on ended referencing new table as new_rows for each statement execute function tell_ended();
    create trigger tell_dead after insert on dead referencing new table as new_rows for each statement execute function tell_dead();
  end if;
  update queues q set kept = true where q.id = any (p_queues) and not q.kept;
end $$;
