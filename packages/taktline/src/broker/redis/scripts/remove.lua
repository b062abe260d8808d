-- Removes jobs that wait, are scheduled or are dead, and lets their ids be made again here. KEYS[1]: the queue. ARGV: ids.
-- Reply: for each 1 when it went.
local base = KEYS[1]
local replies, parted = {}, {}

local function single(id)
  if redis.call('HDEL', base .. ':dead', id) == 1 then
    redis.call('ZREM', base .. ':died', id)
    return true
  end
  local ready = redis.call('ZREM', base .. ':ready', id) == 1
  if ready then count(base, 'ready', -1) end
  if not ready and redis.call('ZREM', base .. ':due', id) == 0 then return false end
  forget(base, id)
  return true
end

-- All of a pack that are to go at once, below: one by one, it would be written anew for each.
local function inPack(id)
  for _, key in ipairs(packsOf(base, id)) do
    if parted[key] == nil then
      local rank = redis.call('ZSCORE', base .. ':ready', key)
      parted[key] = rank and { it = read(redis.call('HGET', base .. ':jobs', key)), rank = tonumber(rank), places = {} } or false
    end
    local place = parted[key] and placeOf(parted[key].it.raw, id)
    if place then
      parted[key].places[place] = true
      return true
    end
  end
  return false
end

for i, id in ipairs(ARGV) do
  local went = single(id) or inPack(id)
  if went then redis.call('ZREM', base .. ':named', id) end
  replies[i] = went and 1 or 0
end
for key, parting in pairs(parted) do
  if parting and next(parting.places) then takeOut(base, key, open(parting.it), parting.rank, parting.places) end
end
return replies
