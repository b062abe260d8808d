/** Every statement that the broker and the inspector send, by name, for one schema. */
import type { Statement } from './connection.ts';
import { quoted } from './schema.ts';

export type Statements = ReturnType<typeof statements>;

export function statements(namespace: string) {
  const s = quoted(namespace);
  const make = (name: string, text: string): Statement => ({ name: `tl_${namespace}_${name}`, text });
  const call = (name: string, count: number) =>
    make(name, `select * from ${s}.${name}(${Array.from({ length: count }, (_, index) => `$${index + 1}`).join(', ')})`);
  const filter = `($1::text[] is null or id = any ($1)) and ($2::smallint is null or queue = $2) and ($3::text is null or task = $3)
    and ($4::text is null or code = $4) and ($5::bigint is null or died_at < $5)`;
  return {
    ping: make('ping', 'select 1'),
    declare: make(
      'declare',
      `insert into ${s}.queues as q (name, priority) select * from unnest($1::text[], $2::smallint[]) order by 1
       on conflict (name) do update set priority = excluded.priority where q.priority <> excluded.priority`,
    ),
    keepEnds: make('keep_ends', `select ${s}.keep_ends($1)`),
    queues: make('queues', `select id, name, priority, kept from ${s}.queues`),
    enqueue: make('enqueue', `select * from ${s}.enqueue($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, false)`),
    enqueueIn: make('enqueue_in', `call ${s}.enqueue_in($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`),
    enqueueOneIn: make('enqueue_one_in', `call ${s}.enqueue_one_in($1, $2, $3, $4, $5)`),
    settled: make(
      'settled',
      `select array(select x from unnest($1::text[]) x where pg_xact_status(x::xid8) is distinct from 'in progress') as over,
         exists (select from ${s}.workers w where w.idle and w.expires_at > ${s}.now_ms()) as idle`,
    ),
    database: make(
      'database',
      `select d.oid || ':' || extract(epoch from pg_postmaster_start_time()) as id from pg_database d where d.datname = current_database()`,
    ),
    origin: make('origin', `select ${s}.origin_name() as name`),
    finished: make('finished', `select id, ids from ${s}.finished where queue = any ($1) order by id limit $2`),
    forgetFinished: make('forget_finished', `delete from ${s}.finished where id = any ($1)`),
    exchange: call('exchange', 26),
    pulse: call('pulse', 10),
    backlog: call('backlog', 1),
    lead: call('lead', 2),
    resign: make('resign', `update ${s}.beat set until = 0 where leader = $1`),
    schedules: make('schedules', `select name, definition, source, paused, since, state, version from ${s}.schedules order by name`),
    putSchedules: make('put_schedules', `select ${s}.put_schedules($1, $2, $3)`),
    pauseSchedules: make('pause_schedules', `select ${s}.pause_schedules($1, $2) as names`),
    removeSchedules: make('remove_schedules', `select ${s}.remove_schedules($1) as name`),
    advance: make('advance', `select ${s}.advance($1, $2, $3, $4) as name`),
    place: call('place', 1),
    recover: call('recover', 1),
    tidy: call('tidy', 1),
    adopt: call('adopt', 2),
    remove: make('remove', `select unnest(${s}.remove_jobs($1)) as id`),
    cancel: call('cancel', 1),
    find: call('find', 1),
    leave: call('leave', 1),
    missing: call('missing', 3),
    notify: make('notify', `select set_config('synchronous_commit', 'off', true), pg_notify($1, $2)`),
    join: make(
      'join',
      `insert into ${s}.workers (name, info, lease_ms, started_at, expires_at)
       values ($1, $2, $3, ${s}.now_ms(), ${s}.now_ms() + $3::int) returning id`,
    ),
    announce: make('announce', `update ${s}.workers set info = $2 where id = $1`),
    pause: make('pause', `update ${s}.queues set paused = $2 where id = $1 and paused <> $2`),
    ask: make(
      'ask',
      `with number as materialized (select nextval('${s}.request_numbers') as id)
       insert into ${s}.requests (worker, id, body, expires_at)
       select w, n.id, $2, ${s}.now_ms() + $3::bigint from number n, unnest($1::bigint[]) w returning id`,
    ),
    answer: make('answer', `update ${s}.requests set answer = $3 where worker = $1 and id = $2 and answer is null`),
    answers: make('answers', `select worker, answer as body from ${s}.requests where id = $1 and answer is not null`),
    publish: make('publish', `select set_config('synchronous_commit', 'off', true), count(pg_notify($1, t)) from unnest($2::text[]) t`),
    watch: make('watch', `update ${s}.watch set until = greatest(until, ${s}.now_ms() + $1::bigint)`),
    describe: make(
      'describe',
      `insert into ${s}.catalogue as c (name, description, described_at)
       select t.n, t.d, ${s}.now_ms() from unnest($1::text[], $2::text[]) as t(n, d) order by 1
       on conflict (name) do update set description = excluded.description, described_at = excluded.described_at`,
    ),
    catalogue: make('catalogue', `select name, description, described_at from ${s}.catalogue order by name`),
    jobCounts: make(
      'job_counts',
      `select c.minute, c.task, q.name as queue, c.outcome, c.count, c.waited, c.ran
       from ${s}.counts c join ${s}.queues q on q.id = c.queue where c.minute between $1 and $2 order by c.minute, c.task, q.name, c.outcome`,
    ),
    ended: make(
      'ended',
      `select id, state::text, result, past from ${s}.ended_jobs($1)
       union all select id, 'failed', null, past from ${s}.dead where id = any ($1)`,
    ),
    counts: make(
      'counts',
      `with running as (
         select h.queue, count(*) as n from ${s}.claims c, ${s}.held(c.runs, c.open) h group by 1
       ), waiting as (select queue, sum(size) as n, min(coalesce(ready_at, enqueued_at)) filter (where rank < 1::bigint << 60) as oldest from ${s}.ready group by queue),
       later as (select queue, count(*) as n from ${s}.scheduled group by queue),
       dead as (select queue, count(*) as n from ${s}.dead group by queue)
       select q.name, q.priority, q.paused, coalesce(w.n, 0) as ready, coalesce(l.n, 0) as scheduled, coalesce(r.n, 0) as running, coalesce(d.n, 0) as dead,
         ${s}.now_ms() - w.oldest as wait
       from ${s}.queues q left join waiting w on w.queue = q.id left join later l on l.queue = q.id
         left join running r on r.queue = q.id left join dead d on d.queue = q.id order by q.priority desc, q.name`,
    ),
    workers: make(
      'workers',
      `select w.id, w.name, w.started_at, case when w.expires_at > 0 then w.expires_at - ${s}.now_ms() else 0 end as lease, w.info,
         (select coalesce(sum(length(replace(c.open::text, '0', ''))), 0) from ${s}.claims c where c.worker = w.id) as running
       from ${s}.workers w order by w.name, w.id`,
    ),
    job: make(
      'job',
      `select e.id, e.state::text as state, e.queue, null::int as priority, e.enqueued_at, null::bigint as due_at, null::bigint as expires_at,
           null::bigint as claimed_at, e.finished_at, null::text as worker, null::text as envelope, e.past, e.result, null::text as progress, false as cancel_asked, null::int as lane
         from ${s}.ended_jobs(array[$1]) e
       union all select id, 'failed', queue, priority, enqueued_at, null, null, null, died_at, null, envelope, past, null, null, false, null from ${s}.dead where id = $1
       union all select id, 'queued', queue, 10 - ((rank >> 56) & 15)::int, enqueued_at, null, expires_at, null, null, null, envelope, past, null, null, false, (rank >> 60)::int
         from ${s}.ready_jobs(array[$1])
       union all select id, case when past is null then 'scheduled' else 'retrying' end, queue, priority, enqueued_at, due_at, expires_at, null, null, null, envelope, past, null, null, false, null
         from ${s}.scheduled where id = $1
       union all select m.u, 'running', h.queue, 10 - ((h.rank >> 56) & 15)::int, h.enqueued_at, null, null, c.claimed_at, null, w.name,
           (string_to_array(c.envelopes, E'\\x1e'))[m.n], nullif((string_to_array(c.pasts, E'\\x1e'))[m.n], ''), null,
           (c.progress::jsonb ->> (m.n - 1)::text), coalesce(get_bit(c.cancels, m.n::int - 1) = 1, false), null
         from ${s}.claims c left join ${s}.workers w on w.id = c.worker, string_to_table(c.ids, E'\\x1e') with ordinality as m(u, n), ${s}.held(c.runs, c.open) h
         where m.u = $1 and h.place = m.n
       limit 1`,
    ),
    listQueued: make(
      'list_queued',
      `select m.i as id, 'queued' as state, y.queue, 10 - ((y.rank >> 56) & 15)::int as priority, y.enqueued_at, null::bigint as due_at, y.expires_at,
         null::bigint as claimed_at, null::text as worker, m.e as envelope, y.past, (y.rank >> 60)::int as lane
       from (select *, sum(size) over (order by queue, rank rows unbounded preceding) - size as before
           from (select * from ${s}.ready where $1::smallint is null or queue = $1 order by queue, rank limit $2) first) y,
         rows from (string_to_table(coalesce(y.ids, y.id), E'\\x1e'), string_to_table(y.envelopes, E'\\x1e')) with ordinality as m(i, e, n)
       where y.before < $2 order by y.queue, y.rank, m.n limit $2`,
    ),
    listScheduled: make(
      'list_scheduled',
      `select id, case when past is null then 'scheduled' else 'retrying' end as state, queue, priority, enqueued_at, due_at, expires_at, null::bigint as claimed_at, null::text as worker, envelope, past
       from ${s}.scheduled where $1::smallint is null or queue = $1 order by due_at limit $2`,
    ),
    listRunning: make(
      'list_running',
      `select m.u as id, 'running' as state, h.queue, null::int as priority, h.enqueued_at, null::bigint as due_at, null::bigint as expires_at,
         c.claimed_at, w.name as worker, m.v as envelope, nullif(m.p, '') as past
       from ${s}.claims c left join ${s}.workers w on w.id = c.worker, ${s}.held(c.runs, c.open) h,
         rows from (string_to_table(c.ids, E'\\x1e'), string_to_table(c.envelopes, E'\\x1e'), string_to_table(c.pasts, E'\\x1e')) with ordinality as m(u, v, p, n)
       where m.n = h.place and ($1::smallint is null or h.queue = $1) order by c.claimed_at, m.n limit $2`,
    ),
    deadLetters: make(
      'dead_letters',
      `select id, queue, priority, task, code, message, enqueued_at, died_at, envelope, past from ${s}.dead
       where ${filter} and ($6::bigint is null or (died_at, id) < ($6, $7)) order by died_at desc, id desc limit $8`,
    ),
    redrive: make(
      'redrive',
      `with gone as (delete from ${s}.dead where id = any ($1) returning *)
       insert into ${s}.ready (queue, rank, id, enqueued_at, ready_at, envelopes, past)
       select g.queue, ((10 - g.priority)::bigint << 56) | nextval('${s}.arrivals'), g.id, g.enqueued_at, ${s}.now_ms(), g.envelope, m.past
       from gone g join unnest($1::text[], $2::text[]) as m(id, past) on m.id = g.id order by g.died_at returning id`,
    ),
    wakes: make('wakes', `select exists (select 1 from ${s}.workers where idle and expires_at > ${s}.now_ms()) as idle`),
    discard: make(
      'discard',
      `delete from ${s}.dead where id in (select id from ${s}.dead where ${filter} order by died_at, id limit $6 for update skip locked) returning id`,
    ),
    purge: make(
      'purge',
      `with a as (select size, ids from ${s}.take($1::smallint, -1, 1::bigint << 62, $2::int, $2::int, 9223372036854775807, true)),
       b as (delete from ${s}.scheduled where ctid = any (array(select ctid from ${s}.scheduled where queue = $1
         limit greatest(0, $2::int - (select coalesce(sum(size), 0) from a)) for update skip locked)) returning id),
       told as (insert into ${s}.finished (queue, ids, at) select q.id, g.ids, ${s}.now_ms()
         from (select ids from a where size > 0 union all select id from b) g join ${s}.queues q on q.id = $1 and q.kept)
       select (select coalesce(sum(size), 0) from a) + (select count(*) from b) as n`,
    ),
    examine: make(
      'examine',
      `select version() as version, current_setting('server_version_num')::int as number, ${s}.now_ms() as now, current_setting('fsync') as fsync,
         current_setting('synchronous_commit') as synchronous_commit, current_setting('max_connections')::int as max_connections,
         (select count(*) from pg_stat_activity) as connections, pg_is_in_recovery() as replica, coalesce((select ssl from pg_stat_ssl where pid = pg_backend_pid()), false) as tls,
         (select extract(epoch from max(now() - xact_start))::int from pg_stat_activity where state like 'idle in transaction%') as held,
         pg_size_pretty((select coalesce(sum(pg_total_relation_size(c.oid)), 0) from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 and c.relkind = 'r')) as size`,
    ),
  };
}
