-- Stores progress and tells a worker what it should know of these queues, and of other workers. KEYS: queues, and behind
-- them leases and descriptions where they are asked about.
-- ARGV: worker, how many queues, then for each claim with progress: number of its queue, id, {place: value} as JSON.
-- Reply: {1 if it was taken for dead, bits of suspects that wait (1: by tens, 2: alone), 1 if the lease of another worker has
-- run out, claims that the worker holds, cancellations as "claim:bits"...}.
local worker, queues = ARGV[1], tonumber(ARGV[2])
for i = 3, #ARGV, 3 do
  local base, id = KEYS[tonumber(ARGV[i])], ARGV[i + 1]
  local raw = redis.call('HGET', base .. ':claims', id)
  if raw and readClaim(raw).worker == worker then
    local told = redis.call('HGET', base .. ':progress', id)
    local all = told and cjson.decode(told) or {}
    for place, value in pairs(cjson.decode(ARGV[i + 2])) do all[place] = value end
    redis.call('HSET', base .. ':progress', id, cjson.encode(all))
  end
end
local gone, lanes, held, cancels = 0, 0, 0, {}
for number = 1, queues do
  local base = KEYS[number]
  local mark = redis.call('ZSCORE', base .. ':marks', worker)
  if mark and tonumber(mark) >= GONE then gone = 1 end
  held = held + redis.call('SCARD', base .. ':held:' .. worker)
  local last = redis.call('ZRANGE', base .. ':ready', -1, -1, 'WITHSCORES')
  if #last > 0 and tonumber(last[2]) >= LANE then
    if redis.call('ZCOUNT', base .. ':ready', int(LANE), '(' .. int(2 * LANE)) > 0 then lanes = lanes % 2 == 0 and lanes + 1 or lanes end
    if tonumber(last[2]) >= 2 * LANE and lanes < 2 then lanes = lanes + 2 end
  end
  if redis.call('EXISTS', base .. ':cancels') == 1 then
    for _, id in ipairs(redis.call('SMEMBERS', base .. ':held:' .. worker)) do
      local asked = redis.call('HGET', base .. ':cancels', id)
      if asked then
        cancels[#cancels + 1] = id .. ':' .. both(asked, readClaim(redis.call('HGET', base .. ':claims', id)).open)
      end
    end
  end
end
local lost = 0
if #KEYS > queues then
  local leases, descriptions = KEYS[queues + 1], KEYS[queues + 2]
  if not leased(leases, worker) then gone = 1 end
  if #lostWorkers(leases, descriptions, worker, 1) > 0 then lost = 1 end
end
return { gone, lanes, lost, held, unpack(cancels) }
