-- What people and workers tell each other: requests, counts, the catalogue of tasks, whether somebody listens.

-- What is asked of workers, and their answers: one row for each worker that is asked.
create sequence request_numbers as bigint;
create table requests (
  worker bigint not null,
  id bigint not null,
  body text not null,
  answer text,
  expires_at bigint not null,
  primary key (worker, id)
);
create index requests_id on requests (id);

-- What jobs came to, by the minute in which it was told. waited, ran: how many of them in each of the 64 buckets of
-- support/histogram.ts. Rows are updated once a second by each worker, in place as far as they fit.
create table counts (
  minute integer not null,
  task text not null,
  queue smallint not null,
  outcome text not null,
  count bigint not null,
  waited bigint[] not null,
  ran bigint[] not null,
  primary key (minute, task, queue, outcome)
) with (fillfactor = 30, autovacuum_vacuum_scale_factor = 0.2, autovacuum_vacuum_threshold = 500);
alter table counts alter column waited set storage plain;
alter table counts alter column ran set storage plain;

-- Tasks as workers have described them.
create table catalogue (
  name text primary key,
  description text not null,
  described_at bigint not null
);

-- Until when somebody listens to events, if nobody says so again. One row.
create table watch (
  one boolean primary key default true check (one),
  until bigint not null
);
insert into watch (until) values (0);

create function added(p_one bigint[], p_other bigint[]) returns bigint[] language sql immutable
as $$ select array_agg(coalesce(a, 0) + coalesce(b, 0) order by n) from unnest(p_one, p_other) with ordinality as t(a, b, n) $$;

-- Adds what a worker has counted, once for each number. Sorted, so that two workers wait for each other instead of dead-locking.
create function count_jobs(p_worker bigint, p_number integer, p_tasks text[], p_queues smallint[], p_outcomes text[], p_counts bigint[],
  p_waited text[], p_ran text[]) returns void language plpgsql
set enable_seqscan = off set jit = off
as $$
begin
  update workers w set counted = p_number where w.id = p_worker and w.counted < p_number;
  if not found then return; end if;
  insert into counts as c (minute, task, queue, outcome, count, waited, ran)
  select now_ms() / 60000, t.k, t.q, t.o, t.n, t.w::bigint[], t.r::bigint[]
  from unnest(p_tasks, p_queues, p_outcomes, p_counts, p_waited, p_ran) as t(k, q, o, n, w, r) order by 2, 3, 4
  on conflict (minute, task, queue, outcome) do update
  set count = c.count + excluded.count, waited = added(c.waited, excluded.waited), ran = added(c.ran, excluded.ran);
end $$;

-- A bounded step of the upkeep of all this; how many rows went. Counts are kept for 25 hours, what was described for 30 days.
create function tidy_control(p_step integer) returns integer language plpgsql
set enable_seqscan = off set jit = off
as $$
declare
  v_now constant bigint := now_ms();
  v_n integer;
  v_most integer;
begin
  delete from requests where ctid = any (array(select r.ctid from requests r where r.expires_at <= v_now limit p_step));
  get diagnostics v_most = row_count;
  delete from counts where ctid = any (array(select c.ctid from counts c where c.minute < v_now / 60000 - 25 * 60 order by c.minute limit p_step));
  get diagnostics v_n = row_count;
  delete from catalogue where described_at < v_now - 30::bigint * 86400000;
  return greatest(v_most, v_n);
end $$;

-- What waits in some queues: jobs of the first thousand rows of each, and the time since which the one waits that could have
-- run first. Suspects wait for something else, and paused queues for a person.
create function backlog(p_queues smallint[], out waiting bigint, out wait bigint) language sql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off set jit = off
as $$
  select coalesce(sum(x.n), 0), now_ms() - min(x.since)
  from queues q cross join lateral (
    select sum(f.size) as n, min(f.since) as since from (
      select y.size, coalesce(y.ready_at, y.enqueued_at) as since from ready y
      where y.queue = q.id and y.rank < 1::bigint << 60 order by y.rank limit 1000
    ) f
  ) x where q.id = any (p_queues) and not q.paused
$$;

-- How many jobs are before a waiting one in its queue, and how many wait there; no row when it does not wait.
create function place(p_id text) returns table (before bigint, of bigint) language sql stable
set enable_seqscan = off set jit = off
as $$
  select (select coalesce(sum(least(y.size, m.rank - y.rank)), 0)::bigint from ready y where y.queue = m.queue and y.rank < m.rank),
    (select sum(y.size)::bigint from ready y where y.queue = m.queue)
  from (select j.queue, j.rank from ready_jobs(array[p_id]) j limit 1) m
$$;
