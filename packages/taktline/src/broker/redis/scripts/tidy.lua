-- A bounded step of upkeep. KEYS: queues; each time from another one on, as those at the end may not have their turn.
-- ARGV: life of dead letters in ms, ended jobs kept at most in each, dead letters kept at most.
-- Reply: {1 when there may be more to do, workers that hold claims and have made none for a minute...}.
local now, budget = clock(), 2000
-- What ended is read to be counted.
local bytes = MOST_BYTES
local more, holders = 0, {}

local function tidy(base)
  local step = math.min(500, budget)
  local function due(key, max)
    local found = redis.call('ZRANGE', base .. key, '-inf', int(max), 'BYSCORE', 'LIMIT', 0, step)
    if #found == step then more = 1 end
    budget = budget - #found
    return found
  end
  for _, key in ipairs(due(':expiry', now)) do
    redis.call('ZREM', base .. ':expiry', key)
    local raw = redis.call('HGET', base .. ':jobs', key)
    local it = raw and read(raw)
    if it and it.expires and it.expires <= now then
      local ready = redis.call('ZREM', base .. ':ready', key) == 1
      if ready then count(base, 'ready', -it.size) end
      if ready or redis.call('ZREM', base .. ':due', key) == 1 then finish(base, key, it.size, 'x', now, HOUR, '', open(it).past) end
    end
  end
  local function dropped(key)
    local size, read = drop(base, key)
    bytes = bytes - read
    if bytes <= 0 then more = 1 end
    return size
  end
  for _, key in ipairs(due(':ends', now)) do
    dropped(key)
    if bytes <= 0 then return end
  end
  local over = tonumber(redis.call('HGET', base .. ':meta', 'ended') or '0') - tonumber(ARGV[2])
  for _ = 1, step do
    if over <= 0 then break end
    local oldest = redis.call('ZRANGE', base .. ':ends', 0, 0)[1]
    if not oldest then break end
    budget = budget - 1
    over = over - dropped(oldest)
    if bytes <= 0 then return end
  end
  if over > 0 then more = 1 end
  local function bury(keys)
    for _, id in ipairs(keys) do
      redis.call('ZREM', base .. ':died', id)
      redis.call('HDEL', base .. ':dead', id)
    end
  end
  bury(due(':died', now - tonumber(ARGV[1])))
  local many = redis.call('ZCARD', base .. ':died') - tonumber(ARGV[3])
  if many > 0 then
    if many > step then more = 1 end
    bury(redis.call('ZRANGE', base .. ':died', 0, math.min(many, step) - 1))
  end
  for _, id in ipairs(due(':named', now)) do
    -- An id whose job is here stays taken.
    if here(base, id) then
      redis.call('ZADD', base .. ':named', int(now + 600000), id)
    else
      redis.call('ZREM', base .. ':named', id)
    end
  end
  for _, id in ipairs(due(':resent', now)) do redis.call('ZREM', base .. ':resent', id) end
  for _, worker in ipairs(redis.call('ZRANGE', base .. ':holders', '-inf', int(now - 60000), 'BYSCORE', 'LIMIT', 0, 100)) do
    if redis.call('EXISTS', base .. ':held:' .. worker) == 1 then
      holders[#holders + 1] = worker
    else
      redis.call('ZREM', base .. ':holders', worker)
    end
  end
  -- What is counted by half a script (../append-only-file.ts) is put right when nothing is there that could be counted.
  for field, key in pairs({ ready = ':ready', running = ':claims', ended = ':ends' }) do
    local counted = redis.call('HGET', base .. ':meta', field)
    if counted and counted ~= '0' and redis.call('EXISTS', base .. key) == 0 then redis.call('HSET', base .. ':meta', field, 0) end
  end
  if keepsEnds(base) then redis.call('XTRIM', base .. ':finished', 'MINID', '~', int(now - 7 * 24 * HOUR)) end
  redis.call('ZREMRANGEBYSCORE', base .. ':marks', int(GONE), int(now - 7 * 24 * HOUR))
end

for _, base in ipairs(KEYS) do
  if budget <= 0 or bytes <= 0 then
    more = 1
    break
  end
  tidy(base)
end
return { more, unpack(holders) }
