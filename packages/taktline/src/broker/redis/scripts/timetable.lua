-- The timetable, one verb a call. KEYS: schedules, beat. A schedule is a field of the first: JSON of its source, paused, since, version,
-- and behind GS its definition, and its state. beat: leader, fence, until, changes.
-- ARGV: the verb, and what it takes; replies stand with the verbs.
local schedules, beat, now = KEYS[1], KEYS[2], clock()

local function number(field) return tonumber(redis.call('HGET', beat, field) or '0') end

local function load(name)
  local raw = redis.call('HGET', schedules, name)
  if not raw then return nil end
  local parts = split(raw, GS)
  local one = cjson.decode(parts[1])
  one.definition, one.state = parts[2], parts[3]
  return one
end

local function store(name, one)
  local head = cjson.encode({ source = one.source, paused = one.paused, since = one.since, version = one.version })
  redis.call('HSET', schedules, name, head .. GS .. one.definition .. GS .. one.state)
end

local verbs = {}

-- beat, lease in ms. Reply: {fence or '', now, changes}.
function verbs.lead(who, lease)
  local fence = ''
  local leader = redis.call('HGET', beat, 'leader')
  local leads = leader == who and number('until') > now
  if leads or number('until') <= now or leader == who then
    if not leads then redis.call('HINCRBY', beat, 'fence', 1) end
    redis.call('HSET', beat, 'leader', who, 'until', int(now + tonumber(lease)))
    fence = int(number('fence'))
  end
  return { fence, int(now), int(number('changes')) }
end

-- beat.
function verbs.resign(who)
  if redis.call('HGET', beat, 'leader') == who then redis.call('HSET', beat, 'until', '0') end
  return 1
end

-- name, definition and source of each.
function verbs.put(...)
  local given = { ... }
  local version = redis.call('HINCRBY', beat, 'changes', 1)
  for i = 1, #given, 3 do
    local name, definition, source = given[i], given[i + 1], given[i + 2]
    local one = load(name)
    one = one or { paused = false, since = now, state = '' }
    if one.definition ~= definition then one.version = version end
    one.definition, one.source = definition, source
    store(name, one)
  end
  return 1
end

-- 1 to pause or '', names. Reply: 1 for each that is there.
function verbs.pause(paused, ...)
  local replies, version = {}, redis.call('HINCRBY', beat, 'changes', 1)
  for i, name in ipairs({ ... }) do
    local one = load(name)
    replies[i] = one and 1 or 0
    if one and one.paused ~= (paused == '1') then
      one.paused, one.version = paused == '1', version
      if not one.paused then one.since = now end
      store(name, one)
    end
  end
  return replies
end

-- names. Reply: 1 for each that was there.
function verbs.remove(...)
  local replies = {}
  redis.call('HINCRBY', beat, 'changes', 1)
  for i, name in ipairs({ ... }) do replies[i] = redis.call('HDEL', schedules, name) end
  return replies
end

-- fence, then name, version and state of each. Reply: 1 for each that was written.
function verbs.advance(fence, ...)
  local given, replies = { ... }, {}
  local newest = fence == int(number('fence'))
  for i = 1, #given, 3 do
    local one = newest and load(given[i])
    local written = one and one.version == tonumber(given[i + 1])
    if written then
      one.state = given[i + 2]
      store(given[i], one)
    end
    replies[#replies + 1] = written and 1 or 0
  end
  return replies
end

return verbs[ARGV[1]](unpack(ARGV, 2))
