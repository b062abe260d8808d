-- Removes jobs that wait, are scheduled or are dead, and lets their ids be made again here. KEYS[1]: the queue.
-- ARGV: for each id: id, highest last id of a pack with it or ''. Reply: for each 1 when it went.
local base = KEYS[1]
-- wanted: ids that may be in packs, sorted; windows: where to look for those of the same 256 ms.
local gone, wanted, isWanted, windows = {}, {}, {}, {}

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

for i = 1, #ARGV, 2 do
  local id, last = ARGV[i], ARGV[i + 1]
  if single(id) then
    gone[id] = true
  elseif last ~= '' then
    wanted[#wanted + 1] = id
    isWanted[id] = true
    local name = string.sub(id, 1, 11)
    local window = windows[name] or { from = id, to = last }
    windows[name] = window
    if id < window.from then window.from = id end
    if last > window.to then window.to = last end
  end
end
table.sort(wanted)

local function anyBetween(first, last)
  local low, high = 1, #wanted + 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    if wanted[middle] < first then low = middle + 1 else high = middle end
  end
  return wanted[low] and wanted[low] <= last
end

-- All of a pack that are wanted at once: one by one, it would be written anew for each.
local function fromPack(key)
  local rank = redis.call('ZSCORE', base .. ':ready', key)
  if not rank then return end
  local it = open(read(redis.call('HGET', base .. ':jobs', key)))
  local parts, from, went = {}, nil, 0
  for place = 1, it.size do
    local id = it.ids[place]
    if isWanted[id] then
      gone[id] = true
      went = went + 1
      if from then parts[#parts + 1] = { from, place - 1 } end
      from = nil
    else
      from = from or place
    end
  end
  if went == 0 then return end
  if from then parts[#parts + 1] = { from, it.size } end
  redis.call('ZREM', base .. ':ready', key)
  forget(base, key)
  for _, part in ipairs(parts) do putPart(base, it, tonumber(rank), part[1], part[2]) end
  count(base, 'ready', -went)
end

for _, window in pairs(windows) do
  for _, key in ipairs(redis.call('ZRANGE', base .. ':packs', '[\31' .. window.from, '[\31' .. window.to, 'BYLEX')) do
    if anyBetween(string.sub(key, 39), string.sub(key, 2, 37)) then fromPack(key) end
  end
end

local replies = {}
for i = 1, #ARGV, 2 do
  local went = gone[ARGV[i]]
  if went then redis.call('ZREM', base .. ':named', ARGV[i]) end
  replies[#replies + 1] = went and 1 or 0
end
return replies
