-- The hot transitions, one function each: one statement, one plan, one round trip, through a pooler too.

-- A moment given by a client: positive is a time, negative is a distance from now.
create function moment(given bigint, now_ms bigint) returns bigint language sql immutable parallel safe
as $$ select case when given < 0 then now_ms - given else given end $$;

-- Whether all bits of one mask, given as text and perhaps shorter, are set in another.
create function covers(mask varbit, part text) returns boolean language sql immutable parallel safe
as $$ select length(part) <= length(mask) and (mask & rpad(part, length(mask), '0')::varbit) = rpad(part, length(mask), '0')::varbit $$;

-- Enqueues a batch of rows: packs, or single jobs. p_lasts: '' for a single job. Only packs and single jobs that are due now
-- and whose caller gave no id come without p_due and p_prints; with either of them each row is one job.
-- p_due and p_expires: see moment(); p_prints: the fingerprints of jobs whose caller gave the id, '' for the others.
-- p_producer, p_sequence: whose batch it is; see next_batch().
-- p_caller: it is a part of a caller's transaction, which may stay open for long. A lock that others wait for would hold up every
-- enqueue behind it. Such a job is not sent again under an id of the engine's (see the outbox in docs), so none is needed.
-- replies: 0 made, 1 there already, 2 there with another input; null when all were made. idle: a worker waits and should
-- be woken.
create function enqueue(
  p_ids text, p_envelopes text, p_sizes smallint[], p_firsts text, p_lasts text, p_queues smallint[], p_priorities smallint[],
  p_due bigint[], p_expires bigint[], p_prints text, p_keep bigint[],
  p_producer text, p_sequence bigint, p_caller boolean,
  out replies smallint[], out idle boolean
) language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off
as $$
declare
  v_now constant bigint := now_ms();
  v_ids text[] := string_to_array(p_ids, E'\x1d');
  v_envelopes text[] := string_to_array(p_envelopes, E'\x1d');
  v_prints text[];
  v_go boolean[];
  v_doubt text[];
  v_put text[];
  v_more text[];
  v_found text[];
begin
  -- A text that holds a separator would push its neighbours into each other's places.
  if exists (select 1 from unnest(v_ids, v_envelopes, p_sizes, p_queues) as t(i, e, n, q)
      where cardinality(string_to_array(t.i, E'\x1e')) is distinct from t.n or cardinality(string_to_array(t.e, E'\x1e')) is distinct from t.n or t.q is null)
  then
    raise invalid_parameter_value using message = 'an id or an envelope is empty or holds a separator';
  end if;
  if p_producer is not null and not next_batch(p_producer, p_sequence) then
    replies := array_fill(1::smallint, array[(select sum(n) from unnest(p_sizes) n)::integer]);
    idle := false;
    return;
  end if;
  if p_due is null and p_prints is null then
    -- An id of the engine's that stands in ids was sent again by its caller, while this first enqueue was on its way. The
    -- lock lets that one wait for this, see below.
    if not p_caller then perform pg_advisory_xact_lock_shared(hashtext(current_schema()), 3); end if;
    if exists (select 1 from ids k where made_here(k.id))
      and exists (select 1 from ids k where k.id = any (string_to_array(translate(p_ids, E'\x1d', E'\x1e'), E'\x1e'))) then
      raise unique_violation using message = 'the job was enqueued again under its id';
    end if;
    insert into ready (queue, size, rank, enqueued_at, expires_at, id, last_id, ids, envelopes)
    select t.q, t.n, ((10 - t.p)::bigint << 56) | nextval('arrivals'), v_now, moment(t.x, v_now), t.f, nullif(t.l, ''),
      case when t.n > 1 then t.i end, t.e
    from unnest(v_ids, v_envelopes, p_sizes, string_to_array(p_firsts, E'\x1d'), string_to_array(p_lasts, E'\x1d'), p_queues, p_priorities, p_expires)
      as t(i, e, n, f, l, q, p, x);
  else
    -- The first enqueue of a job that is sent again may be under way, in a pack or here: it is waited for. One that comes
    -- later sees the row in ids.
    if exists (select 1 from unnest(v_ids, string_to_array(p_prints, E'\x1d')) as t(i, f) where t.f <> '' and made_here(t.i)) then
      perform pg_advisory_xact_lock(hashtext(current_schema()), 3);
    elsif not p_caller then
      perform pg_advisory_xact_lock_shared(hashtext(current_schema()), 3);
    end if;
    v_prints := coalesce(string_to_array(p_prints, E'\x1d'), array_fill(''::text, array[cardinality(v_ids)]));
    -- go: to be made. An id that stands twice in a batch is its first job.
    -- doubt: an id that the engine made may have been sent before without a row in ids, by an enqueue whose reply was
    -- lost; an expired one may name a job that lives still. They are looked for below.
    -- Sorted, so that two batches with the same ids wait for each other instead of dead-locking.
    with given as materialized (
      select t.i, t.f, t.k, t.n, row_number() over (partition by t.i order by t.n) = 1 as first
      from unnest(v_ids, v_prints, p_keep) with ordinality as t(i, f, k, n)
    ), made as (
      insert into ids as k (id, fingerprint, expires_at)
      select g.i, g.f, v_now + g.k from given g where g.first and g.f <> '' order by g.i
      on conflict (id) do update set fingerprint = excluded.fingerprint, expires_at = excluded.expires_at
        where k.expires_at <= v_now
      returning k.id, xmax <> 0 or made_here(k.id) as doubt
    )
    select array_agg(g.first and case when g.f = '' then not exists (select 1 from ids k where k.id = g.i) else m.id is not null end
        order by g.n),
      coalesce(array_agg(g.i) filter (where g.first and m.doubt), '{}')
    into v_go, v_doubt
    from given g left join made m on m.id = g.i;

    -- A job with a due time waits here even when that has come: so it meets an unfinished insert of the same id that was
    -- made before it had.
    with put as (
      insert into scheduled (id, due_at, queue, priority, enqueued_at, expires_at, envelope)
      select t.i, greatest(moment(t.d, v_now), v_now), t.q, t.p, v_now, moment(t.x, v_now), t.e
      from unnest(v_ids, v_envelopes, v_go, p_queues, p_priorities, p_due, p_expires) as t(i, e, go, q, p, d, x)
      where t.go and t.d is not null
      order by t.i
      on conflict do nothing returning id
    ) select coalesce(array_agg(id), '{}') into v_put from put;
    with put as (
      insert into ready (queue, rank, id, enqueued_at, expires_at, envelopes)
      select t.q, ((10 - t.p)::bigint << 56) | nextval('arrivals'), t.i, v_now, moment(t.x, v_now), t.e
      from unnest(v_ids, v_envelopes, v_go, p_queues, p_priorities, p_due, p_expires) as t(i, e, go, q, p, d, x)
      where t.go and t.d is null
      on conflict do nothing returning id
    ) select coalesce(array_agg(id), '{}') into v_more from put;

    -- Every unfinished insert of the same id has been waited for, so a new snapshot sees each older job in exactly one place.
    if cardinality(v_doubt) > 0 then
      delete from ended e where e.id = any (v_doubt) and e.expires_at <= v_now;
      select array_agg(id) into v_found from (
        select id from ended_jobs(v_doubt)
        union all select id from dead where id = any (v_doubt)
        union all select id from ready_jobs(v_doubt) group by id having count(*) > case when id = any (v_more) then 1 else 0 end
        union all select id from scheduled where id = any (v_doubt) and id = any (v_more)
        union all select u from claims, string_to_table(claims.ids, E'\x1e') with ordinality as m(u, n)
          where u = any (v_doubt) and get_bit(claims.open, n::int - 1) = 1
      ) as elsewhere(id);
      if v_found is not null then
        delete from ready where id = any (v_found) and id = any (v_more) and last_id is null;
        delete from scheduled where id = any (v_found) and id = any (v_put);
      end if;
    end if;

    if v_found is not null or cardinality(v_put) + cardinality(v_more) < cardinality(v_ids) then
      select array_agg(case
          when t.go and p.id is not null and t.i <> all (coalesce(v_found, '{}')) then 0
          when t.f = '' or k.fingerprint = t.f then 1 else 2 end::smallint order by t.n)
      into replies
      from unnest(v_ids, v_prints, v_go) with ordinality as t(i, f, go, n)
      left join unnest(v_put || v_more) as p(id) on p.id = t.i
      left join ids k on k.id = t.i;
    end if;
  end if;
  idle := exists (select 1 from workers w where w.idle and w.expires_at > v_now);
end $$;

-- Moves jobs whose time has come into their queues, at most a thousand, those after p_floor only: dead index entries
-- that vacuum may not remove yet are not walked again. Returns the last moment moved and the next one to come.
create function promote(p_floor bigint, p_now bigint, out floor bigint, out next_due bigint) language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off
as $$
begin
  select s.due_at into next_due from scheduled s where s.due_at > p_floor order by s.due_at limit 1;
  floor := p_floor;
  if next_due is null or next_due > p_now then return; end if;
  with due as materialized (
    select ctid from scheduled where due_at > p_floor and due_at <= p_now order by due_at limit 1000 for update skip locked
  ), gone as (
    delete from scheduled s using due where s.ctid = due.ctid returning s.*
  ), put as (
    insert into ready (queue, rank, id, enqueued_at, ready_at, expires_at, envelopes, past)
    select queue, ((10 - priority)::bigint << 56) | nextval('arrivals'), id, enqueued_at, due_at, expires_at, envelope, past
    from (select * from gone order by due_at, id) g returning 1
  ) select coalesce(max(due_at) - 1, p_floor) into floor from gone;
  select s.due_at into next_due from scheduled s where s.due_at > floor order by s.due_at limit 1;
end $$;

-- The id of a claim. The time is in it because a crash may forget how far the sequence was, along with claims that were
-- handed out: a worker that still holds such a claim must not meet another one under its id.
create function next_fence(now_ms bigint) returns bigint language sql volatile
as $$ select (now_ms << 20) | (nextval('fences') & 1048575) $$;

-- Settles what a worker has finished and claims what it wants next.
-- A worker that was taken for dead, or that has asked since for what it misses (p_epoch), changes nothing. The lock, which
-- ends with the transaction, lets recover(), leave() and missing() wait until no exchange of the worker is under way:
-- else one that commits late would leave a claim that nobody knows.
-- Settling: p_claims with, for each, a mask of the jobs that are settled (p_masks). p_end_*: rows of ended, each with jobs of
-- one claim: p_end_at is the index into p_claims, p_end_masks says which of its jobs, in order. p_end_enqueued: one time, or
-- one for each job. p_moves: the rare outcomes (reschedule, release, bury), as JSON.
-- A bit is accepted only if the claim is still this worker's and the bit is open; `accepted` returns what was.
-- Claiming: walks the given ranges of the ready index in their order until p_limit jobs or p_bytes are reached. When they
-- are empty and p_starts is given, it looks in front of them too; `looked` says how many milliseconds that took.
-- floors: the highest rank taken in each range. rests: where what stays of a pack begins, see take().
-- idle: jobs wait again, and another worker sleeps.
create function exchange(
  p_worker bigint, p_epoch integer,
  p_claims bigint[], p_masks text[],
  p_end_at integer[], p_end_masks text[], p_end_sizes smallint[], p_end_states text, p_end_queues smallint[], p_end_keep bigint[],
  p_end_firsts text, p_end_lasts text, p_end_ids text, p_end_enqueued text, p_end_results text, p_end_pasts text,
  p_moves jsonb,
  p_queues smallint[], p_from bigint[], p_to bigint[], p_starts bigint[], p_limit integer, p_bytes integer, p_lane smallint,
  p_due_floor bigint, p_idle boolean,
  out accepted text[], out now bigint, out claim bigint, out size integer, out runs text, out ids text, out envelopes text, out pasts text,
  out floors bigint[], out rests bigint[], out taken integer,
  out due_floor bigint, out next_due bigint, out looked double precision, out idle boolean
) language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off
as $$
declare
  v_now constant bigint := now_ms();
  v_open varbit;
  v_mask varbit;
  v_cancels varbit;
  v_accepted varbit[] := '{}';
  v_cancelled varbit[] := '{}';
  v_from bigint[] := p_from;
  v_paused smallint[];
  v_since timestamptz;
  v_left integer := p_limit;
  v_bytes bigint := p_bytes;
  r record;
begin
  now := v_now;
  taken := 0;
  due_floor := p_due_floor;
  perform pg_advisory_xact_lock_shared(hashtextextended(current_schema(), p_worker));
  if not exists (select 1 from workers w where w.id = p_worker and w.expires_at > 0 and w.epoch <= p_epoch) then return; end if;
  -- A claim alone need not wait for the disk: were it lost in a crash, its jobs would stand in their queue as before.
  if p_claims is null then perform set_config('synchronous_commit', 'off', true); end if;

  for i in 1 .. coalesce(cardinality(p_claims), 0) loop
    select c.open, c.cancels into v_open, v_cancels from claims c where c.id = p_claims[i] and c.worker = p_worker for update;
    if not found then
      v_accepted := v_accepted || B''::varbit;
      v_cancelled := v_cancelled || null::varbit;
      continue;
    end if;
    v_mask := v_open & rpad(p_masks[i], length(v_open), '0')::varbit;
    v_accepted := v_accepted || v_mask;
    v_cancelled := v_cancelled || v_cancels;
    if v_mask = v_open then
      delete from claims c where c.id = p_claims[i];
    else
      update claims c set open = v_open & ~v_mask where c.id = p_claims[i];
    end if;
  end loop;
  accepted := v_accepted::text[];

  if p_end_ids is not null then
    -- A text that holds a separator would push its neighbours into each other's places.
    if exists (select 1 from unnest(string_to_array(p_end_ids, E'\x1d'), string_to_array(p_end_results, E'\x1d'),
          string_to_array(p_end_pasts, E'\x1d'), p_end_sizes, p_end_at) as t(i, r, p, n, a)
        where t.a is null or cardinality(string_to_array(t.i, E'\x1e')) is distinct from t.n
          or greatest(cardinality(string_to_array(t.r, E'\x1e')), cardinality(string_to_array(t.p, E'\x1e'))) > t.n) then
      raise invalid_parameter_value using message = 'a result or a past holds a separator';
    end if;
    insert into ended (queue, size, state, enqueued_at, finished_at, expires_at, id, last_id, ids, enqueued, results, pasts)
    select t.q, t.n, t.s::"char", split_part(t.e, ',', 1)::bigint, v_now, v_now + t.k, t.f, nullif(t.l, ''),
      case when t.n > 1 then t.i end, case when position(',' in t.e) > 0 then t.e end, nullif(t.r, ''), nullif(t.p, '')
    from unnest(p_end_at, p_end_masks, p_end_sizes, string_to_array(p_end_states, null), p_end_queues, p_end_keep,
        string_to_array(p_end_firsts, E'\x1d'), string_to_array(p_end_lasts, E'\x1d'), string_to_array(p_end_ids, E'\x1d'),
        string_to_array(p_end_enqueued, E'\x1d'), string_to_array(p_end_results, E'\x1d'), string_to_array(p_end_pasts, E'\x1d'))
      as t(a, m, n, s, q, k, f, l, i, e, r, p)
    where covers(v_accepted[t.a], t.m);
    -- Of the others, the jobs that were accepted, one by one.
    if exists (select 1 from unnest(p_end_at, p_end_masks) as t(a, m) where not covers(v_accepted[t.a], t.m)) then
      insert into ended (queue, state, enqueued_at, finished_at, expires_at, id, results, pasts)
      select t.q, t.s::"char", coalesce(nullif(split_part(t.e, ',', j.n::int), ''), split_part(t.e, ',', 1))::bigint, v_now, v_now + t.k,
        split_part(t.i, E'\x1e', j.n::int), nullif(split_part(t.r, E'\x1e', j.n::int), ''), nullif(split_part(t.p, E'\x1e', j.n::int), '')
      from unnest(p_end_at, p_end_masks, string_to_array(p_end_states, null), p_end_queues, p_end_keep, string_to_array(p_end_ids, E'\x1d'),
          string_to_array(p_end_enqueued, E'\x1d'), string_to_array(p_end_results, E'\x1d'), string_to_array(p_end_pasts, E'\x1d'))
        as t(a, m, s, q, k, i, e, r, p),
        lateral (select b.at, row_number() over (order by b.at) as n
          from generate_series(1, length(t.m)) as b(at) where substr(t.m, b.at, 1) = '1') j
      where not covers(v_accepted[t.a], t.m) and length(v_accepted[t.a]) >= j.at and get_bit(v_accepted[t.a], j.at - 1) = 1;
    end if;
  end if;

  if p_moves is not null then
    for r in
      select m.*, coalesce(get_bit(v_cancelled[m.at], m.position) = 1, false) as cancelled
      from jsonb_to_recordset(p_moves) as m(at int, position int, kind text, id text, queue smallint, rank bigint, lane smallint,
        delay bigint, enqueued bigint, ready bigint, expires bigint, task text, code text, message text, envelope text, past text)
      where length(v_accepted[m.at]) > m.position and get_bit(v_accepted[m.at], m.position) = 1
    loop
      if r.kind = 'bury' then
        insert into dead (id, queue, priority, task, code, message, enqueued_at, died_at, envelope, past)
        values (r.id, r.queue, 10 - ((r.rank >> 56) & 15), r.task, r.code, r.message, r.enqueued, v_now, r.envelope, r.past);
      elsif r.cancelled then
        -- Its cancellation was asked for while it ran: it does not go back.
        insert into ended (id, state, queue, enqueued_at, finished_at, expires_at, pasts)
        values (r.id, 'c', r.queue, r.enqueued, v_now, v_now + 3600000, r.past);
      elsif r.kind = 'reschedule' and r.delay > 0 then
        insert into scheduled (id, due_at, queue, priority, enqueued_at, expires_at, envelope, past)
        values (r.id, v_now + r.delay, r.queue, 10 - ((r.rank >> 56) & 15), r.enqueued, r.expires, r.envelope, r.past);
      else
        insert into ready (queue, rank, id, enqueued_at, ready_at, expires_at, envelopes, past)
        values (r.queue, case when r.kind = 'release'
            then (r.rank & ((1::bigint << 60) - 1)) | (r.lane::bigint << 60)
            else (r.rank & (15::bigint << 56)) | nextval('arrivals') end,
          r.id, r.enqueued, case when r.kind = 'release' then r.ready else v_now end, r.expires, r.envelope, r.past);
      end if;
    end loop;
    idle := exists (select 1 from workers w where w.idle and w.expires_at > v_now and w.id <> p_worker);
  end if;

  if v_left > 0 then
    -- Whole from the start: an array that begins with its second element reaches the client as if that were the first.
    floors := array_fill(null::bigint, array[cardinality(p_queues)]);
    rests := floors;
    v_paused := array(select q.id from queues q where q.paused);
    select p.floor, p.next_due into due_floor, next_due from promote(p_due_floor, v_now) p;
    for v_look in 1 .. 2 loop
      for i in 1 .. cardinality(p_queues) loop
        continue when p_queues[i] = any (v_paused);
        with got as materialized (
          select * from take(p_queues[i], v_from[i], p_to[i], v_left,
            case when p_limit >= 128 then p_limit / 2 - taken else p_limit end, v_bytes, taken = 0)
        ), late as (
          insert into ended (id, last_id, ids, size, state, queue, enqueued_at, finished_at, expires_at, pasts)
          select g.id, g.last_id, case when g.size > 1 then g.ids end, g.size, 'x', p_queues[i], g.enqueued_at, v_now, v_now + 3600000, g.past
          from got g where g.expires_at <= v_now
        )
        select sum(g.size) filter (where g.live) as size,
          string_agg(concat_ws(',', g.size, p_queues[i], g.rank, g.enqueued_at,
            case when g.ready_at is null then g.expires_at::text else concat(g.expires_at, ',', g.ready_at) end), ';') filter (where g.live) as runs,
          string_agg(g.ids, E'\x1e') filter (where g.live) as ids, string_agg(g.envelopes, E'\x1e') filter (where g.live) as envelopes,
          case when bool_or(g.live and g.past is not null) then
            string_agg(coalesce(g.past, repeat(E'\x1e', g.size - 1)), E'\x1e') filter (where g.live) end as pasts,
          sum(g.size) as taken, max(g.rank) as top, sum(octet_length(g.envelopes)) as bytes, bool_or(g.size = 0) as full,
          max(g.rank + g.size) filter (where g.cut) as rest
        into r from (
          select got.*, got.size > 0 and (got.expires_at is null or got.expires_at > v_now) as live from got order by got.rank
        ) g;
        continue when r.taken is null;
        floors[i] := r.top;
        rests[i] := r.rest;
        taken := taken + r.taken;
        v_left := v_left - r.taken;
        v_bytes := v_bytes - r.bytes;
        if r.size > 0 then
          if size is null then
            size := r.size; runs := r.runs; ids := r.ids; envelopes := r.envelopes; pasts := r.pasts;
          else
            if pasts is not null or r.pasts is not null then
              pasts := coalesce(pasts, repeat(E'\x1e', size - 1)) || E'\x1e' || coalesce(r.pasts, repeat(E'\x1e', r.size::int - 1));
            end if;
            size := size + r.size; runs := runs || ';' || r.runs; ids := ids || E'\x1e' || r.ids; envelopes := envelopes || E'\x1e' || r.envelopes;
          end if;
        end if;
        exit when v_left <= 0 or v_bytes <= 0 or r.full;
      end loop;
      exit when v_look = 2 or taken > 0 or p_starts is null;
      -- Empty, as far as the floors can tell: what was handed back or committed late lies in front of them.
      v_since := clock_timestamp();
      v_from := p_starts;
      if p_due_floor > 0 then
        select p.floor, p.next_due into due_floor, next_due from promote(0, v_now) p;
      end if;
    end loop;
    looked := extract(epoch from clock_timestamp() - v_since) * 1000;
    if size is not null then
      -- Not the time when this began: a job that another worker has promoted since would seem to be claimed before it was due.
      now := now_ms();
      insert into claims as c (id, worker, lane, size, claimed_at, open, runs, ids, pasts, envelopes)
      values (next_fence(v_now), p_worker, p_lane, size, now, repeat('1', size)::varbit, runs, ids, pasts, envelopes)
      returning c.id into claim;
    end if;
    -- While a pack was cut, another worker may have found it locked and gone to sleep.
    if idle is not true and exists (select 1 from unnest(rests) as t(rank) where t.rank is not null) then
      idle := exists (select 1 from workers w where w.idle and w.expires_at > v_now and w.id <> p_worker);
    end if;
  end if;

  -- Idle workers are woken by NOTIFY, so that an enqueue pays for it only while somebody sleeps.
  if p_idle is not null then
    update workers w set idle = p_idle and taken = 0 where w.id = p_worker and w.idle <> (p_idle and taken = 0);
  end if;
end $$;
