-- What workers ask about once a second, and what people ask for.

-- Stores progress and counts, and tells a worker what it should know. p_number and behind it: see count_jobs().
-- lanes: which suspects wait in its queues (bit 0: by tens, bit 1: alone). requests: [{id, body}] or null.
create function pulse(p_worker bigint, p_queues smallint[], p_progress jsonb,
  p_number integer, p_tasks text[], p_count_queues smallint[], p_outcomes text[], p_counts bigint[], p_waited text[], p_ran text[],
  out alive boolean, out cancelled text, out lanes integer, out lost boolean, out held integer, out requests json, out watched boolean
) language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off
as $$
declare
  v_now constant bigint := now_ms();
begin
  if p_progress is not null then
    update claims c set progress = (coalesce(c.progress::jsonb, '{}') || n.value)::text
    from jsonb_each(p_progress) as n(claim, value) where c.id = n.claim::bigint and c.worker = p_worker;
  end if;
  alive := exists (select 1 from workers w where w.id = p_worker and w.expires_at > 0);
  select count(*), string_agg(c.id || ':' || (c.cancels & c.open)::text, ',') filter (where c.cancels is not null) into held, cancelled
  from claims c where c.worker = p_worker;
  select coalesce(bit_or(case when exists (
        select 1 from ready y where y.queue = q and y.rank >= (1::bigint << 60) and y.rank < (2::bigint << 60)) then 1 else 0 end
      | case when exists (select 1 from ready y where y.queue = q and y.rank >= (2::bigint << 60)) then 2 else 0 end), 0)
  into lanes from unnest(p_queues) q;
  lost := exists (select 1 from workers w where w.id <> p_worker and w.expires_at <= v_now);
  select json_agg(json_build_object('id', r.id::text, 'body', r.body) order by r.id) into requests
  from requests r where r.worker = p_worker and r.answer is null and r.expires_at > v_now;
  watched := exists (select 1 from watch w where w.until > v_now);
  -- Last, since the rows are other workers' too: they wait until this commits.
  if p_number is not null and alive then
    perform count_jobs(p_worker, p_number, p_tasks, p_count_queues, p_outcomes, p_counts, p_waited, p_ran);
  end if;
end $$;

-- Takes over claims of workers whose lease has run out, of each some hundred claims or 4 MiB. The claims get new ids,
-- which fences the lost worker; from then on it is dead, also for those of its claims that wait for the next recovery.
-- A server that was down longer than a lease gives every worker a lease of time to come back first.
create function recover(p_worker bigint) returns setof claims language plpgsql
set enable_seqscan = off set jit = off
as $$
declare
  v_now constant bigint := now_ms();
  v_up constant bigint := (extract(epoch from pg_postmaster_start_time()) * 1000)::bigint;
  v_worker record;
begin
  perform pg_advisory_xact_lock_shared(hashtextextended(current_schema(), p_worker));
  if not exists (select 1 from workers w where w.id = p_worker and w.expires_at > 0) then return; end if;
  for v_worker in
    select w.id, w.name from workers w
    where w.expires_at <= v_now and (w.expires_at = 0 or v_up + w.lease_ms <= v_now) and w.id <> p_worker
    order by w.id limit 5 for update skip locked
  loop
    update workers w set expires_at = 0, idle = false where w.id = v_worker.id and w.expires_at <> 0;
    return query
      with near as materialized (
        select c.id, c.size, octet_length(c.envelopes) as bytes from claims c
        where c.worker = v_worker.id order by c.id limit 100 for update skip locked
      ), found as (
        select n.id from (select near.*, sum(near.size) over so_far as jobs, sum(near.bytes) over so_far as total
          from near window so_far as (order by near.id rows unbounded preceding)) n
        where (n.jobs <= 1000 and n.total <= 4194304) or n.total = n.bytes
      )
      update claims c set id = next_fence(v_now), worker = p_worker,
        lost = coalesce(c.lost, jsonb_build_object('worker', v_worker.name, 'at', v_now, 'open', length(replace(c.open::text, '0', '')))::text)
      from found where c.id = found.id
      returning c.*;
    perform forget_worker(v_worker.id);
  end loop;
end $$;

-- Removes a dead worker that holds nothing. One of its exchanges may be under way, about to commit a claim: then later.
create function forget_worker(p_worker bigint) returns void language plpgsql
set enable_seqscan = off set jit = off
as $$
begin
  if not pg_try_advisory_xact_lock(hashtextextended(current_schema(), p_worker)) then return; end if;
  delete from workers w where w.id = p_worker and not exists (select 1 from claims c where c.worker = p_worker);
end $$;

create function leave(p_worker bigint) returns void language plpgsql
set enable_seqscan = off set jit = off
as $$
begin
  update workers w set expires_at = 0, idle = false where w.id = p_worker;
  perform forget_worker(p_worker);
end $$;

-- The claims of a worker beside those that it knows, after an exchange without a reply. That one may run still: it is
-- waited for. Or it may arrive only now: each call of missing() has a higher epoch, and exchanges of lower ones do nothing.
create function missing(p_worker bigint, p_known bigint[], p_epoch integer) returns setof claims language plpgsql
set enable_seqscan = off set jit = off
as $$
begin
  perform pg_advisory_xact_lock(hashtextextended(current_schema(), p_worker));
  update workers w set epoch = p_epoch where w.id = p_worker and w.epoch < p_epoch;
  return query select c.* from claims c where c.worker = p_worker and c.id <> all (p_known) order by c.id;
end $$;

-- A bounded step of upkeep; true when there may be more to do. One process at a time.
create function tidy(p_dead_ttl bigint) returns boolean language plpgsql
set enable_seqscan = off set jit = off
as $$
declare
  v_now constant bigint := now_ms();
  v_step constant integer := 2000;
  v_n integer;
  v_most integer := 0;
  v_old text[];
  v_kept text[];
begin
  if not pg_try_advisory_xact_lock(hashtext(current_schema()), 2) then return false; end if;

  with late as materialized (select y.ctid from ready y where y.expires_at <= v_now limit v_step for update skip locked),
    gone as (delete from ready y using late where y.ctid = late.ctid returning y.*)
  insert into ended (id, last_id, ids, size, state, queue, enqueued_at, finished_at, expires_at, pasts)
  select id, last_id, ids, size, 'x', queue, enqueued_at, v_now, v_now + 3600000, past from gone;
  get diagnostics v_n = row_count; v_most := greatest(v_most, v_n);

  with late as materialized (select s.ctid from scheduled s where s.expires_at <= v_now limit v_step for update skip locked),
    gone as (delete from scheduled s using late where s.ctid = late.ctid returning s.*)
  insert into ended (id, state, queue, enqueued_at, finished_at, expires_at, pasts)
  select id, 'x', queue, enqueued_at, v_now, v_now + 3600000, past from gone;
  get diagnostics v_n = row_count; v_most := greatest(v_most, v_n);

  delete from ended where ctid = any (array(select e.ctid from ended e where e.expires_at <= v_now limit v_step));
  get diagnostics v_n = row_count; v_most := greatest(v_most, v_n);

  -- Locked, so that an enqueue that takes an expired id waits. An id whose job is still here stays taken.
  v_old := array(select k.id from ids k where k.expires_at <= v_now limit v_step for update skip locked);
  if cardinality(v_old) > 0 then
    v_kept := array(select f.id from find(v_old) f);
    update ids set expires_at = v_now + 600000 where id = any (v_kept);
    delete from ids where id = any (v_old) and id <> all (v_kept);
  end if;
  v_most := greatest(v_most, cardinality(v_old));

  delete from dead where ctid = any (array(select d.ctid from dead d where d.died_at < v_now - p_dead_ttl order by d.died_at limit v_step));
  get diagnostics v_n = row_count; v_most := greatest(v_most, v_n, tidy_control(v_step));

  delete from finished where ctid = any (array(select f.ctid from finished f where f.at < v_now - 604800000 limit v_step));
  get diagnostics v_n = row_count; v_most := greatest(v_most, v_n);
  return v_most = v_step;
end $$;

-- Where each of the given jobs stands. One snapshot, so a job on the move is seen once.
create function find(p_ids text[]) returns table (id text, state text, result text, past text, worker bigint) language sql stable
set enable_seqscan = off set jit = off
as $$
  select e.id, case e.state when 's' then 'succeeded' when 'c' then 'cancelled' else 'expired' end, e.result, e.past, null::bigint
    from ended_jobs(p_ids) e
  union all select d.id, 'failed', null, d.past, null from dead d where d.id = any (p_ids)
  union all select y.id, case when y.expires_at <= now_ms() then 'expired' else 'queued' end, null, y.past, null from ready_jobs(p_ids) y
  union all select s.id, case when s.expires_at <= now_ms() then 'expired' when s.past is null then 'scheduled' else 'retrying' end, null, s.past, null
    from scheduled s where s.id = any (p_ids)
  union all select m.u, 'running', null, null, c.worker
    from claims c, string_to_table(c.ids, E'\x1e') with ordinality as m(u, n)
    where m.u = any (p_ids) and get_bit(c.open, m.n::int - 1) = 1
$$;

-- Cancels jobs that wait; for jobs that run, leaves a mark for their worker. Looks in the order in which jobs move, and
-- again for one that moved the other way meanwhile. Replies: d done, a asked, e ended, u unknown.
create function cancel(p_ids text[], out replies text[], out workers bigint[]) language plpgsql
set enable_seqscan = off set jit = off
as $$
declare
  v_now constant bigint := now_ms();
  v_done text[] := '{}';
  v_asked text[] := '{}';
  v_some text[];
  v_worker bigint;
  v_open varbit;
  v_over boolean;
  r record;
begin
  workers := '{}';
  for i in 1 .. 10 loop
    with gone as (delete from scheduled s where s.id = any (p_ids) returning s.*),
      put as (insert into ended (id, state, queue, enqueued_at, finished_at, expires_at, pasts)
        select g.id, case when g.expires_at <= v_now then 'x' else 'c' end::"char", g.queue, g.enqueued_at, v_now, v_now + 3600000, g.past
        from gone g returning id, state)
    select coalesce(array_agg(put.id) filter (where put.state = 'c'), '{}') into v_some from put;
    v_done := v_done || v_some;
    with gone as (select * from remove_ready(p_ids)),
      put as (insert into ended (id, state, queue, enqueued_at, finished_at, expires_at, pasts)
        select g.id, case when g.expires_at <= v_now then 'x' else 'c' end::"char", g.queue, g.enqueued_at, v_now, v_now + 3600000, g.past
        from gone g returning id, state)
    select coalesce(array_agg(put.id) filter (where put.state = 'c'), '{}') into v_some from put;
    v_done := v_done || v_some;
    for r in
      select c.id, array_agg(m.n::int - 1) as at, array_agg(m.u) as who
      from claims c, string_to_table(c.ids, E'\x1e') with ordinality as m(u, n)
      where m.u = any (p_ids) and get_bit(c.open, m.n::int - 1) = 1 and m.u <> all (v_asked)
      group by c.id
    loop
      update claims c set cancels = coalesce(c.cancels, (c.open & ~c.open)) |
          (select bit_or(set_bit(c.open & ~c.open, a, 1)) from unnest(r.at) a)
      where c.id = r.id returning c.worker, c.open into v_worker, v_open;
      continue when not found;
      -- Those that were settled while this update waited are found where they are now, in the next round.
      v_some := array(select w.who from unnest(r.at, r.who) as w(a, who) where get_bit(v_open, w.a) = 1);
      continue when v_some = '{}';
      workers := workers || v_worker;
      v_asked := v_asked || v_some;
    end loop;
    v_over := cardinality(v_done) + cardinality(v_asked) >= cardinality(p_ids) or not exists (
      select 1 from find(p_ids) f where f.state in ('queued', 'scheduled', 'retrying', 'running') and f.id <> all (v_asked));
    exit when v_over;
  end loop;
  -- It is tried again as a whole.
  if not v_over then raise serialization_failure using message = 'the jobs were moved about all the time'; end if;
  v_some := array(select f.id from find(p_ids) f where f.state not in ('queued', 'scheduled', 'retrying'));
  select array_agg(case
      when t.i = any (v_done) then 'd' when t.i = any (v_asked) then 'a'
      when t.i = any (v_some) then 'e'
      else 'u' end order by t.n)
  into replies from unnest(p_ids) with ordinality as t(i, n);
end $$;
