-- Schedules, and the beat that leads.

create table schedules (
  name text primary key,
  definition text not null,
  source text not null,
  paused boolean not null default false,
  since bigint not null,
  state text,
  version bigint not null
);

-- One row. changes: see broker/timetable.ts; versions of schedules are drawn from it too.
create table beat (
  one boolean primary key default true check (one),
  leader text,
  fence bigint not null default 0,
  until bigint not null default 0,
  changes bigint not null default 0
);
insert into beat default values;

create function lead(p_beat text, p_lease bigint, out fence bigint, out now bigint, out changes bigint) language plpgsql
as $$
begin
  now := now_ms();
  update beat b set leader = p_beat, until = lead.now + p_lease,
    fence = b.fence + case when b.leader = p_beat and b.until > lead.now then 0 else 1 end
  where b.until <= lead.now or b.leader = p_beat
  returning b.fence into fence;
  select b.changes into changes from beat b;
end $$;

create function put_schedules(p_names text[], p_definitions text[], p_sources text[]) returns void language plpgsql
as $$
declare
  v_version bigint;
begin
  update beat b set changes = b.changes + 1 returning b.changes into v_version;
  insert into schedules as s (name, definition, source, since, version)
  select t.n, t.d, t.s, now_ms(), v_version from unnest(p_names, p_definitions, p_sources) as t(n, d, s) order by 1
  on conflict (name) do update set definition = excluded.definition, source = excluded.source, version = excluded.version
  where s.definition <> excluded.definition;
  update schedules s set source = t.s from unnest(p_names, p_sources) as t(n, s) where s.name = t.n and s.source <> t.s;
end $$;

create function pause_schedules(p_names text[], p_paused boolean) returns text[] language plpgsql
as $$
declare
  v_version bigint;
begin
  update beat b set changes = b.changes + 1 returning b.changes into v_version;
  update schedules s set paused = p_paused, version = v_version, since = case when p_paused then s.since else now_ms() end
  where s.name = any (p_names) and s.paused <> p_paused;
  return array(select s.name from schedules s where s.name = any (p_names));
end $$;

create function remove_schedules(p_names text[]) returns setof text language plpgsql
as $$
begin
  update beat b set changes = b.changes + 1;
  return query delete from schedules s where s.name = any (p_names) returning s.name;
end $$;

-- The lock on the row of beat lets no other lead begin until this has committed.
create function advance(p_fence bigint, p_names text[], p_versions bigint[], p_states text[]) returns setof text language plpgsql
as $$
begin
  perform 1 from beat b where b.fence = p_fence for share;
  if not found then return; end if;
  return query update schedules s set state = t.x from unnest(p_names, p_versions, p_states) as t(n, v, x)
    where s.name = t.n and s.version = t.v returning s.name;
end $$;
