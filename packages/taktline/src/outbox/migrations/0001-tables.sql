-- The outbox: what an app's transactions enqueue, in the app's own database, until a relay has handed it to the broker.
-- Times are milliseconds since the Unix epoch by the clock of this server.

-- The name under which batches are sent; see Producer in broker/broker.ts. Another one for each outbox.
create table origin (id uuid not null default gen_random_uuid());
insert into origin default values;

-- Jobs that no batch has taken yet. lane: of a job with a key. kept: its queue is declared keepUntilEnd.
-- print and keep: the fingerprint of a job whose caller gave the id, and how long that stays taken.
create table waiting (
  seq bigint generated always as identity primary key,
  lane smallint,
  kept boolean not null,
  queue text not null,
  id text not null,
  priority smallint not null,
  due bigint,
  expires bigint,
  print text,
  keep bigint,
  created bigint not null,
  envelope text not null
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 20000);
create index waiting_free on waiting (seq) where lane is null;
create index waiting_keyed on waiting (lane, seq) where lane is not null;

-- Jobs of queues that are declared keepUntilEnd and that a batch has taken, until they have ended.
create table kept (
  id text collate "C" primary key,
  lane smallint,
  queue text not null,
  priority smallint not null,
  due bigint,
  expires bigint,
  print text,
  keep bigint,
  created bigint not null,
  envelope text not null
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 20000);

-- Each lane has one batch under way at most, and the next one has a higher number: so a batch that is sent again makes no
-- second jobs, and jobs of one lane keep their order. Whoever takes a lane has it until `till`; then another relay sends its batch.
-- oldest: when the oldest job of the batch was enqueued. sent: how many jobs of each queue it has sent.
create table lanes (
  number smallint primary key,
  sequence bigint not null default 0,
  batch text,
  jobs integer not null default 0,
  oldest bigint,
  owner text,
  till bigint not null default 0,
  sent jsonb not null default '{}'
) with (fillfactor = 50);
insert into lanes (number) select generate_series(0, 15);

-- What the broker held of each queue when somebody looked, and how many jobs it was known to have lost.
create table standing (
  queue text primary key,
  jobs bigint not null,
  sent bigint not null,
  lost bigint not null default 0
);
create table seen (broker text, at bigint not null default 0);
insert into seen default values;

-- Effects that tasks have made once: which attempt of which job, and what came of it.
create table effects (
  task text not null,
  key text not null,
  job text not null,
  fence bigint not null,
  outcome text,
  at bigint not null,
  primary key (task, key)
);
create index effects_job on effects (job);
create index effects_at on effects using brin (at) with (pages_per_range = 64);

create function now_ms() returns bigint language sql volatile parallel safe
as $$ select (extract(epoch from clock_timestamp()) * 1000)::bigint $$;

-- Whether the caller has opened a transaction. A procedure that was called outside of one may commit, and one inside may not: it
-- is told so before it is told that it may not here in any case. The two say it with one code, and in the server's language.
create function refusal_inside() returns text language plpgsql
as $$ begin commit; return null; exception when invalid_transaction_termination then return sqlerrm; end $$;

-- Procedures with a search_path of their own could not tell.
do $do$ begin execute format($make$
create procedure require_transaction() language plpgsql
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
end $$
$make$, current_schema()); end $do$;

-- Puts jobs in the outbox. p_dues and p_expires: positive is a time, negative is a distance from now.
create function put_all(
  p_lanes smallint[], p_kept boolean[], p_queues text[], p_ids text[], p_priorities smallint[], p_dues bigint[], p_expires bigint[],
  p_prints text[], p_keeps bigint[], p_envelopes text[]
) returns void language plpgsql
as $$
declare
  v_now constant bigint := now_ms();
begin
  insert into waiting (lane, kept, queue, id, priority, due, expires, print, keep, created, envelope)
  select t.l, t.k, t.q, t.i, t.p, case when t.d < 0 then v_now - t.d else t.d end, case when t.x < 0 then v_now - t.x else t.x end, t.f, t.u, v_now, t.e
  from unnest(p_lanes, p_kept, p_queues, p_ids, p_priorities, p_dues, p_expires, p_prints, p_keeps, p_envelopes)
    with ordinality as t(l, k, q, i, p, d, x, f, u, e, n)
  order by t.n;
end $$;

do $do$ begin execute format($make$
create procedure put(
  p_lanes smallint[], p_kept boolean[], p_queues text[], p_ids text[], p_priorities smallint[], p_dues bigint[], p_expires bigint[],
  p_prints text[], p_keeps bigint[], p_envelopes text[]
) language plpgsql
as $$
begin
  call %1$I.require_transaction();
  perform %1$I.put_all(p_lanes, p_kept, p_queues, p_ids, p_priorities, p_dues, p_expires, p_prints, p_keeps, p_envelopes);
end $$
$make$, current_schema()); end $do$;

-- Confirms the batch that a relay has sent, or, where p_sent is null, leaves it to be tried again later; and gives the relay the
-- next one: one that somebody left behind, or a new one of at most p_most jobs and 4 MiB, and none at all for 0.
-- p_floor: no job with a lower seq is looked for, which spares the dead entries that vacuum may not remove yet. Whoever gives
-- one looks from 0 again soon: a transaction that began early may commit late.
-- A new batch is numbered by the clock, so that a database that was put back to an earlier state gives no number that was given
-- before: the broker would leave such a batch out.
-- floor: the lowest seq of the new batch.
create function take(
  p_owner text, p_lane smallint, p_sequence bigint, p_sent jsonb, p_most integer, p_floor bigint, p_lease bigint,
  out number smallint, out sequence bigint, out batch text, out jobs integer, out floor bigint
) language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off
as $$
#variable_conflict use_column
declare
  v_now constant bigint := now_ms();
  v_lane record;
  v_oldest bigint;
begin
  if p_lane is not null and p_sent is null then
    update lanes l set owner = null, till = v_now + p_lease where l.number = p_lane and l.owner = p_owner and l.sequence = p_sequence;
  elsif p_lane is not null then
    update lanes l set batch = null, jobs = 0, owner = null, till = 0, sent = (
      select coalesce(jsonb_object_agg(k.queue, coalesce((l.sent ->> k.queue)::bigint, 0) + coalesce((p_sent ->> k.queue)::bigint, 0)), '{}')
      from (select jsonb_object_keys(l.sent) union select jsonb_object_keys(p_sent)) as k(queue))
    where l.number = p_lane and l.owner = p_owner and l.sequence = p_sequence and l.batch is not null;
  end if;
  if p_most = 0 then return; end if;

  select l.* into v_lane from lanes l
  where l.batch is not null and (l.owner = p_owner or l.till < v_now) order by l.number limit 1 for update skip locked;
  if found then
    update lanes l set owner = p_owner, till = v_now + p_lease where l.number = v_lane.number;
    number := v_lane.number; sequence := v_lane.sequence; batch := v_lane.batch; jobs := v_lane.jobs;
    return;
  end if;

  select l.* into v_lane from lanes l
  where l.batch is null and exists (select 1 from waiting w where w.lane = l.number) order by l.sequence limit 1 for update skip locked;
  if not found then
    select l.* into v_lane from lanes l where l.batch is null order by l.number limit 1 for update skip locked;
    if not found then return; end if;
  end if;
  with keyed as materialized (
    select w.ctid, w.seq, octet_length(w.envelope) as bytes from waiting w where w.lane = v_lane.number order by w.seq limit p_most for update
  ), free as materialized (
    select w.ctid, w.seq, octet_length(w.envelope) as bytes from waiting w where w.lane is null and w.seq > p_floor
    order by w.seq limit greatest(0, p_most - (select count(*) from keyed)) for update skip locked
  ), measured as (
    select k.ctid, k.bytes, sum(k.bytes) over (order by k.turn, k.seq) as through
    from (select 0 as turn, * from keyed union all select 1, * from free) k
  ), gone as (
    delete from waiting w where w.ctid = any (array(select m.ctid from measured m where m.through <= 4 << 20 or m.through = m.bytes)) returning w.*
  ), put as (
    insert into kept (id, lane, queue, priority, due, expires, print, keep, created, envelope)
    select g.id, g.lane, g.queue, g.priority, g.due, g.expires, g.print, g.keep, g.created, g.envelope from gone g where g.kept
    on conflict (id) do nothing
  )
  select json_agg(json_build_array(g.id, g.queue, g.priority, g.envelope, g.due, g.expires, g.print, g.keep) order by g.seq)::text,
    count(*), min(g.seq) filter (where g.lane is null) - 1, min(g.created)
  into batch, jobs, floor, v_oldest from gone g;
  if jobs = 0 then return; end if;
  update lanes l set sequence = greatest(l.sequence + 1, v_now), batch = take.batch, jobs = take.jobs, oldest = v_oldest,
    owner = p_owner, till = v_now + p_lease
  where l.number = v_lane.number returning l.number, l.sequence into number, sequence;
end $$;

-- Records that an effect of a task is about to be made, in the transaction that makes it. p_fence: the claim's of the attempt.
-- state: new, or there (its outcome), or stale: a later attempt of the job has made an effect, so this one may make none.
create function begin_effect(p_task text, p_key text, p_job text, p_fence bigint, p_lease bigint, out state text, out outcome text) language plpgsql
as $$
declare
  v_idle constant bigint := extract(epoch from current_setting('idle_in_transaction_session_timeout')::interval) * 1000;
begin
  -- An attempt that is frozen in its transaction must not hold up the next one for longer than its lease.
  if v_idle = 0 or v_idle > p_lease then perform set_config('idle_in_transaction_session_timeout', p_lease::text, true); end if;
  -- Before anything is written: whoever goes on all the same has made nothing.
  if exists (select 1 from effects e where e.job = p_job and e.fence > p_fence) then
    state := 'stale';
    return;
  end if;
  insert into effects (task, key, job, fence, at) values (p_task, p_key, p_job, p_fence, now_ms()) on conflict (task, key) do nothing;
  if found then
    state := 'new';
    return;
  end if;
  -- It may have been waited for.
  select case when e.job = p_job and e.fence > p_fence then 'stale' else 'there' end, e.outcome into state, outcome
  from effects e where e.task = p_task and e.key = p_key;
end $$;

-- Whoever goes on all the same commits nothing.
create function fail_transaction() returns void language plpgsql
as $$ begin raise sqlstate 'TL001' using message = 'this attempt may not commit'; end $$;

do $do$ begin execute format($make$
create procedure once(p_task text, p_key text, p_job text, p_fence bigint, p_lease bigint, inout state text default null, inout outcome text default null)
language plpgsql
as $$
begin
  call %1$I.require_transaction();
  select e.state, e.outcome into state, outcome from %1$I.begin_effect(p_task, p_key, p_job, p_fence, p_lease) e;
  if state = 'stale' then perform %1$I.fail_transaction(); end if;
end $$
$make$, current_schema()); end $do$;
