/**
 * The tables of the outbox, in a schema of their own in the app's database, and every statement that is sent to them. The
 * app makes them from its own migrations, so that they come and go with its other tables.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { checkSchemaName } from '../support/schema-name.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import { type Database, runOn } from '../support/transaction.ts';

export const defaultSchema = 'taktline_outbox';
/** As many as the migration makes. */
export const laneCount = 16;

/** From src and from dist alike: both lie as deep. */
const folder = new URL('../../src/outbox/migrations/', import.meta.url);

/**
 * Makes the tables of the outbox, or brings them up to date. Call it from a migration of the app, and in a new one after an
 * upgrade whose changelog says so. Called again, or by several at once, it does nothing twice.
 *
 * @param database a client, pool or transaction of `pg`, or an instance or transaction of Kysely
 * @param options.schema as in `createApp({ outbox: { schema } })`; default `taktline_outbox`
 * @throws TaktlineError `INVALID_OPTION`; errors of the database come as they are
 */
export async function migrateOutbox(database: Database, options: { readonly schema?: string } = {}): Promise<void> {
  const schema = checkSchemaName(options.schema ?? defaultSchema, 'schema');
  // One statement, so that it is all done or not at all, in a transaction of the caller's and in none.
  await runOn(database)(migration(schema), []);
}

function files(): readonly string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.sql'))
    .sort();
}

function migration(schema: string): string {
  const steps = files().map((name, index) => {
    const text = readFileSync(new URL(name, folder), 'utf8');
    return `if v_version < ${index + 1} then\nexecute $step$${text}$step$;\ninsert into version (number) values (${index + 1});\nend if;`;
  });
  return `do $migration$
declare
  v_path constant text := current_setting('search_path');
  v_version integer := 0;
  v_function record;
begin
  perform pg_advisory_xact_lock(hashtext('taktline outbox'), hashtext('${schema}'));
  if not exists (select 1 from pg_namespace n where n.nspname = '${schema}') then create schema "${schema}"; end if;
  perform set_config('search_path', '"${schema}", pg_temp', true);
  if not exists (select 1 from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = '${schema}' and c.relname = 'version') then
    create table version (number integer primary key, installed_at timestamptz not null default now());
  end if;
  v_version := coalesce((select max(number) from version), 0);
  ${steps.join('\n')}
  for v_function in select p.oid::regprocedure::text as name from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = '${schema}' and p.prokind = 'f' and p.proname <> 'now_ms' loop
    execute format('alter function %s set search_path = "${schema}", pg_temp', v_function.name);
  end loop;
  perform set_config('search_path', v_path, true);
end $migration$`;
}

export type OutboxStatements = ReturnType<typeof outboxStatements>;

/** @param schema checked */
export function outboxStatements(schema: string) {
  const s = `"${schema}"`;
  const make = (name: string, text: string) => ({ name: `tl_${schema}_${name}`, text });
  return {
    put: make('put', `call ${s}.put($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`),
    take: make('take', `select * from ${s}.take($1, $2, $3, $4, $5, $6, $7)`),
    origin: make('origin', `select id from ${s}.origin`),
    once: make('once', `call ${s}.once($1, $2, $3, $4, $5)`),
    failTransaction: make('fail_transaction', `select ${s}.fail_transaction()`),
    stored: make('stored', `update ${s}.effects set outcome = $3 where task = $1 and key = $2`),
    unmade: make('unmade', `delete from ${s}.effects where task = $1 and key = $2`),
    /** How much waits, for how long, and how many are kept. */
    lag: make(
      'lag',
      `select (select count(*) from ${s}.waiting) + (select coalesce(sum(jobs), 0) from ${s}.lanes) as waiting,
         ${s}.now_ms() - least((select min(created) from ${s}.waiting), (select min(oldest) from ${s}.lanes where batch is not null)) as oldest,
         (select count(*) from ${s}.kept) as kept`,
    ),
    ended: make('ended', `delete from ${s}.kept where id = any ($1)`),
    /** Of these ids with these fingerprints. */
    refused: make(
      'refused',
      `delete from ${s}.kept k using unnest($1::text[], $2::text[]) as r(id, print) where k.id = r.id and k.print = r.print`,
    ),
    /**
     * Jobs that were sent and are not known to have ended; those of batches that are under way left out. The version of a row is another
     * one when it was put back and sent again.
     */
    kept: make(
      'kept',
      `with under_way as materialized (select b ->> 0 as id from ${s}.lanes l, json_array_elements(l.batch::json) b where l.batch is not null)
       select k.id, k.queue, k.xmin::text as version from ${s}.kept k
       where k.id > $1 and not exists (select 1 from under_way u where u.id = k.id) order by k.id limit $2`,
    ),
    keptQueues: make('kept_queues', `select distinct queue from ${s}.kept`),
    /** Those of these ids, with these versions, that still have not ended, and that nobody has put back. */
    stillKept: make(
      'still_kept',
      `select k.id from ${s}.kept k, unnest($1::text[], $2::text[]) as r(id, version) where k.id = r.id and k.xmin::text = r.version`,
    ),
    /** They wait again. */
    again: make(
      'again',
      `with gone as (delete from ${s}.kept k using unnest($1::text[], $2::text[]) as r(id, version)
         where k.id = r.id and k.xmin::text = r.version returning k.*)
       insert into ${s}.waiting (lane, kept, queue, id, priority, due, expires, print, keep, created, envelope)
       select lane, true, queue, id, priority, due, expires, print, keep, created, envelope from gone order by created, id returning id`,
    ),
    /** Those of these ids that have not ended, wherever they are. */
    notEnded: make('not_ended', `select id from ${s}.kept where id = any ($1) union all select id from ${s}.waiting where id = any ($1)`),
    sent: make('sent', `select e.key as queue, sum(e.value::bigint) as jobs from ${s}.lanes l, jsonb_each_text(l.sent) e group by e.key`),
    standing: make('standing', `select queue, jobs, sent, lost from ${s}.standing`),
    seen: make('seen', `select broker from ${s}.seen`),
    /** A row when nobody has done upkeep for so many ms: then it is the caller's turn. */
    turn: make('turn', `update ${s}.seen set at = ${s}.now_ms() where at <= ${s}.now_ms() - $1::bigint returning 1`),
    /** What the broker holds now; unless somebody else has seen meanwhile that it is another one than it was. */
    look: make(
      'look',
      `with looked as (update ${s}.seen set broker = $1 where broker is not distinct from $2 returning 1)
       insert into ${s}.standing as t (queue, jobs, sent, lost) select q, j, s, l from looked, unnest($3::text[], $4::bigint[], $5::bigint[], $6::bigint[]) as u(q, j, s, l)
       on conflict (queue) do update set jobs = excluded.jobs, sent = excluded.sent, lost = t.lost + excluded.lost`,
    ),
    told: make('told', `update ${s}.standing set lost = 0 where lost > 0`),
    oldEffects: make(
      'old_effects',
      `with gone as (delete from ${s}.effects where ctid = any (array(
         select ctid from ${s}.effects where at < ${s}.now_ms() - $1::bigint limit $2::bigint)) returning 1) select count(*) as gone from gone`,
    ),
  };
}

/** What went wrong with a statement, in words that say what to do. */
export function outboxError(error: unknown, schema: string): unknown {
  if (error instanceof TaktlineError) return error;
  const { code, message } = error as { readonly code?: unknown; readonly message?: string };
  // No such schema, table or function; no right to use them.
  if (code === '3F000' || code === '42P01' || code === '42883' || code === '42501') {
    const advice = `call migrateOutbox() from a migration of the app${schema === defaultSchema ? '' : `, with schema ${JSON.stringify(schema)}`}`;
    return new TaktlineError('OUTBOX_SCHEMA', `the outbox cannot be used: ${message ?? ''}; ${advice}`, { cause: error });
  }
  if (code === '25P01') return new TaktlineError('OUTBOX_TRANSACTION', 'no transaction is open on this connection', { cause: error });
  if (code === '25P02') return new TaktlineError('OUTBOX_TRANSACTION', 'the transaction has failed before', { cause: error });
  return error;
}
