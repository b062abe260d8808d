-- What knows how packs are kept: finding, taking and removing single jobs of them.

create function now_ms() returns bigint language sql volatile parallel safe
as $$ select (extract(epoch from clock_timestamp()) * 1000)::bigint $$;

-- Puts some jobs of a removed pack back as a row of their own. Places count from 1; both are included.
create function put_part(p_pack ready, p_ids text[], p_envelopes text[], p_from integer, p_to integer) returns void language sql
as $$
  insert into ready (queue, size, rank, enqueued_at, expires_at, id, last_id, ids, envelopes, past)
  select p_pack.queue, p_to - p_from + 1, p_pack.rank + p_from - 1, p_pack.enqueued_at, p_pack.expires_at,
    (select min(i collate "C") from unnest(p_ids[p_from:p_to]) i),
    case when p_to > p_from then (select max(i collate "C") from unnest(p_ids[p_from:p_to]) i) end,
    case when p_to > p_from then array_to_string(p_ids[p_from:p_to], E'\x1e') end,
    array_to_string(p_envelopes[p_from:p_to], E'\x1e'), p_pack.past
$$;

-- Removes the first jobs of a part of a queue from ready and returns them: at most p_limit, and rows of at most p_bytes,
-- the first of which may be larger when p_any is set. Rows that others have locked are passed over.
-- When there are p_enough and the next pack may be too large, it is left alone: a row of size 0 says so. Else only its first
-- jobs are taken (cut). What stays of it goes back in parts of an eighth, or of what was wanted, so that small claims from
-- a large pack do not copy all of it each time.
create function take(p_queue smallint, p_from bigint, p_to bigint, p_limit integer, p_enough integer, p_bytes bigint, p_any boolean)
returns table (size smallint, rank bigint, enqueued_at bigint, ready_at bigint, expires_at bigint, id text, last_id text, ids text, envelopes text, past text, cut boolean)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off
as $$
#variable_conflict use_column
declare
  v_from bigint := p_from;
  v_left integer := p_limit;
  v_bytes bigint := p_bytes;
  v_any boolean := p_any;
  v_rows tid[] := '{}';
  -- Jobs in a row, as far as is known: no more rows are looked at, and locked, than seem to be needed.
  v_each integer := 128;
  v_wanted integer;
  v_keep integer;
  v_part integer;
  v_ids text[];
  v_envelopes text[];
  v_pack ready;
  r record;
begin
  while v_left > 0 and v_bytes > 0 loop
    if v_rows <> '{}' and v_left < v_each and p_limit - v_left >= p_enough then
      return query select 0::smallint, null::bigint, null::bigint, null::bigint, null::bigint, null, null, null, null, null, false;
      exit;
    end if;
    v_wanted := greatest(1, v_left / v_each);
    select count(*) as seen, count(*) filter (where w.fits) as n, array_agg(w.c order by w.r) filter (where w.fits) as rows,
      max(w.r) filter (where w.fits) as top, sum(w.size) filter (where w.fits) as jobs, sum(w.n) filter (where w.fits) as bytes
    into r from (
      select s.*, sum(s.size) over so_far - s.size < v_left
        and (sum(s.n) over so_far <= v_bytes or (v_any and sum(s.n) over so_far = s.n)) as fits
      from (
        select y.ctid as c, y.rank as r, y.size, octet_length(y.envelopes) as n from ready y
        where y.queue = p_queue and y.rank > v_from and y.rank < p_to
        order by y.rank limit v_wanted for update skip locked
      ) s window so_far as (order by s.r rows unbounded preceding)
    ) w;
    exit when r.n = 0;
    v_rows := v_rows || r.rows;
    v_left := v_left - r.jobs;
    v_bytes := v_bytes - r.bytes;
    v_from := r.top;
    v_any := false;
    v_each := greatest(1, r.jobs / r.n);
    exit when r.n < r.seen or r.seen < v_wanted;
  end loop;
  if v_left < 0 then
    delete from ready y where y.ctid = v_rows[cardinality(v_rows)] returning y.* into v_pack;
    v_rows := v_rows[:cardinality(v_rows) - 1];
  end if;
  return query delete from ready y where y.ctid = any (v_rows)
    returning y.size, y.rank, y.enqueued_at, y.ready_at, y.expires_at, y.id, y.last_id, coalesce(y.ids, y.id), y.envelopes, y.past, false;
  if v_left < 0 then
    v_ids := string_to_array(v_pack.ids, E'\x1e');
    v_envelopes := string_to_array(v_pack.envelopes, E'\x1e');
    v_keep := v_pack.size + v_left;
    v_part := greatest(v_keep, (v_pack.size + 7) / 8);
    perform put_part(v_pack, v_ids, v_envelopes, g + 1, least(g + v_part, v_pack.size)) from generate_series(v_keep, v_pack.size - 1, v_part) g;
    return query select v_keep::smallint, v_pack.rank, v_pack.enqueued_at, null::bigint, v_pack.expires_at, min(t.i), case when v_keep > 1 then max(t.i) end,
      array_to_string(v_ids[:v_keep], E'\x1e'), array_to_string(v_envelopes[:v_keep], E'\x1e'), v_pack.past, true
      from (select i collate "C" as i from unnest(v_ids[:v_keep]) i) t;
  end if;
end $$;

-- Where to look for packs that may hold some of the ids: a range of last_id for all ids of the same 256 ms, and the highest
-- of them. Only ids that the engine made stand in packs.
create function windows(p_ids text[]) returns table (low text, high text, top text) language sql immutable
as $$
  select min(t.i collate "C"), max(window_end(t.i) collate "C"), max(t.i collate "C")
  from unnest(p_ids) as t(i) where made_here(t.i) group by left(t.i, 11)
$$;

-- The given jobs, as far as they are ready.
-- Here and below, `offset 0` and the order keep the planner from other ways to the few rows of a range, whatever it
-- believes of the table's size.
create function ready_jobs(p_ids text[])
returns table (id text, queue smallint, rank bigint, enqueued_at bigint, expires_at bigint, envelope text, past text) language sql stable
set enable_seqscan = off set enable_bitmapscan = off set jit = off
as $$
  select y.id, y.queue, y.rank, y.enqueued_at, y.expires_at, y.envelopes, y.past from ready y where y.id = any (p_ids) and y.last_id is null
  union all
  select m.i, y.queue, y.rank + m.n - 1, y.enqueued_at, y.expires_at, m.e, null
  from ready y, rows from (string_to_table(y.ids, E'\x1e'), string_to_table(y.envelopes, E'\x1e')) with ordinality as m(i, e, n)
  where y.ctid = any (array(
      select p.ctid from windows(p_ids) w
      cross join lateral (select y.ctid from ready y where y.last_id between w.low and w.high and y.id <= w.top order by y.last_id offset 0) p))
    and m.i in (select unnest(p_ids))
$$;

-- Removes the given jobs from ready, as far as they are there, and returns them. The others of their packs stay in place.
create function remove_ready(p_ids text[]) returns table (id text, queue smallint, enqueued_at bigint, expires_at bigint, past text)
language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set jit = off
as $$
#variable_conflict use_column
declare
  v_ids text[];
  v_envelopes text[];
  v_gone text[];
  v_pack ready;
  r record;
begin
  return query delete from ready y where y.id = any (p_ids) and y.last_id is null returning y.id, y.queue, y.enqueued_at, y.expires_at, y.past;
  -- In one order, so that two of them wait for each other instead of dead-locking.
  for r in
    select p.ctid as at from windows(p_ids) w
    cross join lateral (
      select y.ctid, y.last_id, y.ids from ready y where y.last_id between w.low and w.high and y.id <= w.top order by y.last_id offset 0) p
    where exists (select 1 from string_to_table(p.ids, E'\x1e') as m(i) where m.i in (select unnest(p_ids)))
    order by p.last_id
  loop
    delete from ready y where y.ctid = r.at returning y.* into v_pack;
    continue when not found;
    v_ids := string_to_array(v_pack.ids, E'\x1e');
    v_envelopes := string_to_array(v_pack.envelopes, E'\x1e');
    v_gone := array(select t.i from unnest(v_ids) as t(i) where t.i in (select unnest(p_ids)));
    perform put_part(v_pack, v_ids, v_envelopes, min(t.n)::integer, max(t.n)::integer)
    from (select t.n, t.n - row_number() over (order by t.n) as island from unnest(v_ids) with ordinality as t(i, n) where t.i <> all (v_gone)) t
    group by t.island;
    return query select t.i, v_pack.queue, v_pack.enqueued_at, v_pack.expires_at, null::text from unnest(v_gone) as t(i);
  end loop;
end $$;

-- The given jobs, as far as they have ended and their time is not over.
create function ended_jobs(p_ids text[])
returns table (id text, state "char", queue smallint, enqueued_at bigint, finished_at bigint, result text, past text) language sql stable
set enable_seqscan = off set enable_bitmapscan = off set jit = off
as $$
  select e.id, e.state, e.queue, e.enqueued_at, e.finished_at, e.results, e.pasts
  from ended e where e.id = any (p_ids) and e.last_id is null and e.expires_at > now_ms()
  union all
  select m.i, e.state, e.queue, coalesce(m.q::bigint, e.enqueued_at), e.finished_at, nullif(m.r, ''), nullif(m.p, '')
  from ended e, rows from (string_to_table(e.ids, E'\x1e'), string_to_table(e.enqueued, ','), string_to_table(e.results, E'\x1e'),
      string_to_table(e.pasts, E'\x1e')) as m(i, q, r, p)
  where e.ctid = any (array(
      select p.ctid from windows(p_ids) w
      cross join lateral (select e.ctid from ended e where e.last_id between w.low and w.high and e.id <= w.top order by e.last_id offset 0) p))
    and e.expires_at > now_ms() and m.i in (select unnest(p_ids))
$$;

-- The jobs of a claim that are not settled: their place in it (from 1), and what its runs say of them. Not of the claim's row:
-- that would read its payloads.
create function held(p_runs text, p_open varbit) returns table (place integer, queue smallint, rank bigint, enqueued_at bigint, expires_at bigint)
language sql stable
as $$
  select j.place::integer, j.queue, j.rank, j.enqueued_at, j.expires_at from (
    select row_number() over (order by t.n, g.g) as place, split_part(t.r, ',', 2)::smallint as queue, split_part(t.r, ',', 3)::bigint + g.g as rank,
      split_part(t.r, ',', 4)::bigint as enqueued_at, nullif(split_part(t.r, ',', 5), '')::bigint as expires_at
    from string_to_table(p_runs, ';') with ordinality as t(r, n), generate_series(0, split_part(t.r, ',', 1)::integer - 1) as g(g)
  ) j where get_bit(p_open, j.place::integer - 1) = 1
$$;
