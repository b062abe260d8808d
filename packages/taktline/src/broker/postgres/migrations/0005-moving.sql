-- Moving jobs from one broker to another.

-- The jobs that adopt() is given. first: it stands here for the first time.
create function moved_jobs(p_jobs jsonb) returns table (
  n bigint, first boolean, id text, print text, state text, queue smallint, priority smallint, lane smallint, enqueued bigint, due bigint,
  expires bigint, envelope text, past text, task text, code text, message text, died bigint
) language sql immutable
as $$
  select t.n, row_number() over (partition by t.id order by t.n) = 1, t.id, t.print, t.state, t.queue, t.priority, t.lane, t.enqueued, t.due,
    t.expires, t.envelope, t.past, t.task, t.code, t.message, t.died
  from rows from (jsonb_to_recordset(p_jobs) as (
    id text, print text, state text, queue smallint, priority smallint, lane smallint, enqueued bigint, due bigint, expires bigint,
    envelope text, past text, task text, code text, message text, died bigint
  )) with ordinality
    as t(id, print, state, queue, priority, lane, enqueued, due, expires, envelope, past, task, code, message, died, n)
$$;

-- Puts jobs of another broker here as they stood there, those that are queued in the order given. p_keep: how long their ids
-- stay taken at least, in ms: a repetition finds them in ids though they have run since and are forgotten.
-- replies: 0 put here, 1 there already, 2 there with other work. idle: a worker waits and should be woken.
create function adopt(p_jobs jsonb, p_keep bigint, out replies smallint[], out idle boolean) language plpgsql
set enable_seqscan = off set jit = off
as $$
declare
  v_now constant bigint := now_ms();
  v_new text[];
begin
  perform pg_advisory_xact_lock_shared(hashtext(current_schema()), 3);
  -- Sorted, so that two batches with the same ids wait for each other instead of dead-locking. An id whose time is over keeps
  -- its fingerprint for now, since its job may be here still.
  with made as (
    insert into ids as k (id, fingerprint, expires_at)
    select m.id, m.print, v_now + p_keep from moved_jobs(p_jobs) m where m.first order by m.id collate "C"
    on conflict (id) do update set expires_at = excluded.expires_at where k.expires_at <= v_now
    returning k.id
  ) select coalesce(array_agg(made.id), '{}') into v_new from made;

  -- Ids of the engine's stand in ids only after they were sent again, so a job that is here is looked for by itself. Whoever
  -- was about to adopt it too has been waited for, and a new snapshot sees it.
  delete from ended e where e.id = any (v_new) and e.expires_at <= v_now;
  v_new := array(select t.id from unnest(v_new) as t(id) where t.id not in (select f.id from find(v_new) f));
  update ids k set fingerprint = m.print from moved_jobs(p_jobs) m
  where m.first and m.id = any (v_new) and k.id = m.id and k.fingerprint <> m.print;

  insert into scheduled (id, due_at, queue, priority, enqueued_at, expires_at, envelope, past)
  select m.id, m.due, m.queue, m.priority, m.enqueued, m.expires, m.envelope, m.past
  from moved_jobs(p_jobs) m where m.state = 'scheduled' and m.first and m.id = any (v_new);
  insert into ready (queue, rank, id, enqueued_at, expires_at, envelopes, past)
  select m.queue, (m.lane::bigint << 60) | ((10 - m.priority)::bigint << 56) | nextval('arrivals'), m.id, m.enqueued, m.expires, m.envelope, m.past
  from (select * from moved_jobs(p_jobs) order by n) m where m.state = 'queued' and m.first and m.id = any (v_new);
  insert into dead (id, queue, priority, task, code, message, enqueued_at, died_at, envelope, past)
  select m.id, m.queue, m.priority, m.task, m.code, m.message, m.enqueued, m.died, m.envelope, m.past
  from moved_jobs(p_jobs) m where m.state = 'dead' and m.first and m.id = any (v_new);

  select array_agg(case when m.first and m.id = any (v_new) then 0 when k.fingerprint = m.print then 1 else 2 end::smallint order by m.n)
  into replies from moved_jobs(p_jobs) m join ids k on k.id = m.id;
  idle := exists (select 1 from workers w where w.idle and w.expires_at > v_now);
end $$;

-- Removes jobs that wait, are scheduled or are dead, and frees their ids. Returns the ids of those that went; one that moves
-- from one table to another meanwhile may stay.
create function remove_jobs(p_ids text[]) returns text[] language plpgsql
set enable_seqscan = off set jit = off
as $$
declare
  v_gone text[];
begin
  with later as (delete from scheduled s where s.id = any (p_ids) returning s.id),
    letters as (delete from dead d where d.id = any (p_ids) returning d.id)
  select coalesce(array_agg(g.id), '{}') into v_gone from (select id from later union all select id from letters) g;
  v_gone := v_gone || array(select r.id from remove_ready(p_ids) r);
  delete from ids where id = any (v_gone);
  return v_gone;
end $$;
