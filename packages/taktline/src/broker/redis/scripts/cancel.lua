-- Cancels jobs that wait; for jobs that run, leaves a mark for their worker. KEYS[1]: the queue.
-- ARGV: how to publish, then ids.
-- Reply: for each d done, a asked, e ended, u unknown, l when it was left for the next call, since packs have to be
-- read, and those that wait to be written anew without the jobs that are cancelled.
local base, now, publish = KEYS[1], clock(), ARGV[1]
local replies, asked, parted, packs, bytes = {}, {}, {}, {}, 524288

-- Asks the worker that holds it.
local function ask(key, place)
  local claim, run = claimOf(base, key)
  if not run then return nil end
  local at = run.start + place - 1
  if string.byte(claim.open, at) ~= 49 then return nil end
  asked[claim] = asked[claim] or {}
  asked[claim][at] = true
  return 'a'
end

local function single(id)
  local raw = redis.call('HGET', base .. ':jobs', id)
  if not raw then return redis.call('HEXISTS', base .. ':dead', id) == 1 and 'e' or nil end
  local till = redis.call('ZSCORE', base .. ':ends', id)
  if till then return tonumber(till) > now and 'e' or nil end
  local it = read(raw)
  local ready = redis.call('ZREM', base .. ':ready', id) == 1
  if ready or redis.call('ZREM', base .. ':due', id) == 1 then
    if ready then count(base, 'ready', -1) end
    local late = it.expires and it.expires <= now
    finish(base, id, 1, late and 'x' or 'c', now, HOUR, '', open(it).past)
    return late and 'e' or 'd'
  end
  return ask(id, 1)
end

local function inPack(id)
  for _, key in ipairs(packsOf(base, id)) do
    local raw = packs[key]
    if raw == nil then
      if bytes <= 0 then return 'l' end
      raw = redis.call('HGET', base .. ':jobs', key)
      packs[key] = raw
      bytes = bytes - (raw and #raw or 0)
    end
    local place = raw and placeOf(raw, id)
    if place then
      local till = redis.call('ZSCORE', base .. ':ends', key)
      if till then return tonumber(till) > now and 'e' or nil end
      local rank = redis.call('ZSCORE', base .. ':ready', key)
      if not rank then return ask(key, place) end
      local parting = parted[key] or { it = read(raw), rank = tonumber(rank), places = {} }
      parted[key] = parting
      if parting.places[place] then return 'e' end
      parting.places[place] = true
      return parting.it.expires and parting.it.expires <= now and 'e' or 'd'
    end
  end
end

for i = 2, #ARGV do replies[#replies + 1] = single(ARGV[i]) or inPack(ARGV[i]) or 'u' end

for key, parting in pairs(parted) do
  local it = open(parting.it)
  takeOut(base, key, it, parting.rank, parting.places)
  for place in pairs(parting.places) do
    local id = it.ids[place]
    keep(base, id, record(it.enqueued, nil, 1, it.priority, '', id, it.envelopes[place]))
    finish(base, id, 1, it.expires and it.expires <= now and 'x' or 'c', now, HOUR, '', '')
  end
end

local told = {}
for claim, places in pairs(asked) do
  local before, bits = redis.call('HGET', base .. ':cancels', claim.id) or '', {}
  for at = 1, claim.size do bits[at] = (places[at] or string.byte(before, at) == 49) and '1' or '0' end
  redis.call('HSET', base .. ':cancels', claim.id, table.concat(bits))
  told[claim.worker] = true
end
for worker in pairs(told) do redis.call(publish, base .. ':wake', 'w' .. worker) end
return replies
