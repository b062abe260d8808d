-- Stores progress and counts, and tells a worker what it should know of these queues, of other workers, and what is asked of it.
-- KEYS: queues, and behind them, where they are asked about, leases, descriptions, requests, watched, counts.
-- ARGV: worker, how many queues, number of the counts or '', counts as JSON ({task, queue, outcome, jobs, waited, ran}..., the last two
-- as {bucket, jobs}...), then for each claim with progress: number of its queue, id, {place: value} as JSON.
-- Reply: {1 if it was taken for dead, bits of suspects that wait (1: by tens, 2: alone), 1 if the lease of another worker has
-- run out, claims that the worker holds, {number and body of each request}, 1 if somebody listens to events, cancellations as
-- "claim:bits"...}.
local worker, queues = ARGV[1], tonumber(ARGV[2])
for i = 5, #ARGV, 3 do
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
        local raw = redis.call('HGET', base .. ':claims', id)
        if raw then cancels[#cancels + 1] = id .. ':' .. both(asked, readClaim(raw).open) end
      end
    end
  end
end
local lost, asked, watched = 0, {}, 0

-- Adds what the worker has counted in this minute, once for each number.
local function addCounts(descriptions, counts)
  local number = tonumber(ARGV[3])
  if number <= tonumber(redis.call('HGET', descriptions, 'counted:' .. worker) or '0') then return end
  redis.call('HSET', descriptions, 'counted:' .. worker, int(number))
  local key = counts .. ':' .. math.floor(clock() / 60000)
  for _, one in ipairs(cjson.decode(ARGV[4])) do
    local name = table.concat({ one[1], one[2], one[3] }, RS) .. RS
    redis.call('HINCRBY', key, name .. 'n', one[4])
    for _, pair in ipairs(one[5]) do redis.call('HINCRBY', key, name .. 'w' .. pair[1], pair[2]) end
    for _, pair in ipairs(one[6]) do redis.call('HINCRBY', key, name .. 'r' .. pair[1], pair[2]) end
  end
  redis.call('PEXPIRE', key, 25 * HOUR)
end

if #KEYS > queues then
  local leases, descriptions, requests, watch, counts = unpack(KEYS, queues + 1)
  if not leased(leases, worker) then gone = 1 end
  if #lostWorkers(leases, descriptions, worker, 1) > 0 then lost = 1 end
  if ARGV[3] ~= '' and gone == 0 then addCounts(descriptions, counts) end
  watched = redis.call('EXISTS', watch)
  local numbers = redis.call('HGET', descriptions, 'asked:' .. worker)
  for _, number in ipairs(numbers and split(numbers, ',') or {}) do
    local body = redis.call('HGET', requests .. ':' .. number, 'body')
    if body then
      asked[#asked + 1] = number
      asked[#asked + 1] = body
    else
      dropAsked(descriptions, worker, number)
    end
  end
end
return { gone, lanes, lost, held, asked, watched, unpack(cancels) }
