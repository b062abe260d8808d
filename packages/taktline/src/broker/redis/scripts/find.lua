-- Tells where jobs stand. KEYS[1]: a queue. ARGV: what is asked (b: everything; e: of ended jobs alone; s: the state alone),
-- then ids.
-- Reply: for each job that was found {its number from 1, state, enqueued, priority, envelope, past, result, finished, due,
-- expires, claimed, worker, cancel asked, progress, lane of one that is queued}; with s the state alone. Many ids of one pack
-- cost little more than one.
local base, now, what = KEYS[1], clock(), ARGV[1]
local replies = {}

local function once(make)
  local made = {}
  return function(key)
    if made[key] == nil then made[key] = make(key) or false end
    return made[key]
  end
end

local jobs = once(function(key)
  local raw = redis.call('HGET', base .. ':jobs', key)
  return raw and { raw = raw, it = read(raw) }
end)
local ends = once(function(key)
  local raw = redis.call('HGET', base .. ':ended', key)
  if not raw then return nil end
  local till = redis.call('ZSCORE', base .. ':ends', key)
  if not till or tonumber(till) <= now then return { gone = true } end
  local parts = split(raw, GS)
  local state, at = string.match(parts[1], '^(%a),(%d+)')
  return { state = state, at = at, results = split(parts[2], RS), pasts = split(parts[3], RS) }
end)
local ready = once(function(key) return redis.call('ZSCORE', base .. ':ready', key) end)
-- What is told of the jobs of a claim.
local told = {}
local function claims(key)
  local claim, run = claimOf(base, key)
  if not run then return nil end
  if not told[claim] then
    told[claim] = {
      cancels = redis.call('HGET', base .. ':cancels', claim.id) or '',
      progress = cjson.decode(redis.call('HGET', base .. ':progress', claim.id) or '{}'),
    }
  end
  return claim, run, told[claim]
end

-- A record that holds the id, and the id's place in it.
local function look(key, place)
  local it = jobs(key).it
  local function envelope() return what == 'b' and open(it).envelopes[place] or '' end
  local done = ends(key)
  if done then
    if done.gone then return nil end
    if what == 's' then return { done.state } end
    return { done.state, int(it.enqueued), '', envelope(), done.pasts[place] or '', done.results[place] or '', done.at, '', '', '', '', '', '' }
  end
  if what == 'e' then return nil end
  local expires = it.expires and int(it.expires) or ''
  local late = it.expires and it.expires <= now
  if ready(key) then
    if what == 's' then return { late and 'x' or 'queued' } end
    return { late and 'x' or 'queued', int(it.enqueued), tostring(it.priority), envelope(), open(it).past, '', '', '', expires, '', '', '', '',
      int(math.floor(ready(key) / LANE)) }
  end
  local claim, run, said = claims(key)
  if claim then
    local at = run.start + place - 1
    if string.byte(claim.open, at) ~= 49 then return nil end
    if what == 's' then return { 'running' } end
    return { 'running', int(it.enqueued), tostring(it.priority), envelope(), open(it).past, '', '', '', '', claim.at, claim.worker,
      string.byte(said.cancels, at) == 49 and '1' or '', said.progress[tostring(at - 1)] or '' }
  end
  local due = redis.call('ZSCORE', base .. ':due', key)
  if not due then return nil end
  local state = late and 'x' or open(it).past == '' and 'scheduled' or 'retrying'
  if what == 's' then return { state } end
  return { state, int(it.enqueued), tostring(it.priority), envelope(), it.past, '', '', int(tonumber(due)), expires, '', '', '', '' }
end

local function inPacks(id)
  for _, key in ipairs(packsOf(base, id)) do
    local pack = jobs(key)
    local place = pack and placeOf(pack.raw, id)
    local found = place and look(key, place)
    if found then return found end
  end
end

local function find(id)
  local found = jobs(id) and look(id, 1)
  if found then return found end
  local dead = redis.call('HGET', base .. ':dead', id)
  if dead then
    if what == 's' then return { 'failed' } end
    local parts = split(dead, GS)
    return { 'failed', parts[1], '', what == 'b' and parts[4] or '', parts[3], '', parts[2], '', '', '', '', '', '' }
  end
  return inPacks(id)
end

for i = 2, #ARGV do
  local found = find(ARGV[i])
  if found then replies[#replies + 1] = { i - 1, unpack(found) } end
end
return replies
