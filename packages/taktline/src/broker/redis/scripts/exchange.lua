-- Settles what a worker has finished and claims what it wants next. KEYS: queues, those that are looked through first, in
-- their order; the hands (see keys.ts), where jobs may be handed to idle workers.
-- ARGV: worker, epoch, how to publish, queues looked through, limit (0: only whether jobs wait), bytes, 1 if one job may
-- be larger than that, lane, lowest first (1), idle (1), jobs that it may be handed while it is idle ('': no hands), claims settled; then
-- for each of these: number of its queue in KEYS, id, mask of its jobs that are settled, number of runs that ended whole, for each
-- of them {number of the run, state, keep in ms, results, pasts}, and the other jobs as JSON or ''.
-- A run is a record of the claim. A bit is accepted only if the claim is still this worker's and the bit is open.
-- Reply: {now, next due or '', 1 if records were taken though none is claimed, 1 if the bytes set the end, 1 if jobs wait (limit 0),
-- {mask accepted for each claim}, {claims}}; a claim is {number of its queue, id, now, runs, its records...}.
local worker, epoch, publish = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local now = clock()
local accepted, claims = {}, {}
local wakes = {}

local function without(open, mask)
  local bits = {}
  for i = 1, #open do bits[i] = (string.byte(open, i) == 49 and string.byte(mask, i) ~= 49) and '1' or '0' end
  return table.concat(bits)
end

local at = 13
for settled = 1, tonumber(ARGV[12]) do
  local base, id, mask, whole = KEYS[tonumber(ARGV[at])], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
  local first = at + 4
  local rest = ARGV[first + 5 * whole]
  at = first + 5 * whole + 1
  local raw = alive(base, worker, epoch) and redis.call('HGET', base .. ':claims', id)
  local claim = raw and readClaim(raw)
  if not claim or claim.worker ~= worker then
    accepted[settled] = ''
  else
    local bits = both(mask, claim.open)
    local runs = runsOf(claim)
    local packs = {}
    accepted[settled] = bits
    local function has(place) return string.byte(bits, place) == 49 end
    -- A job of a pack that comes to something else than the others gets a record of its own. nil when the pack is missing.
    local function alone(run, place)
      if run.size == 1 then
        redis.call('HDEL', base .. ':taken', run.key)
        return run.key
      end
      if packs[run] == nil then
        local stored = redis.call('HGET', base .. ':jobs', run.key)
        packs[run] = stored and open(read(stored)) or { ids = {} }
      end
      return packs[run].ids[place - run.start + 1]
    end
    local function runAt(place)
      local low, high = 1, #runs
      while low < high do
        local middle = math.ceil((low + high) / 2)
        if runs[middle].start <= place then low = middle else high = middle - 1 end
      end
      return runs[low]
    end
    local function endOne(place, state, keepMs, result, past)
      local run = runAt(place)
      local key = alone(run, place)
      if not key then return end
      if keepMs == 0 then
        tellEnd(base, key)
        if run.size == 1 then forget(base, key) end
        return
      end
      if run.size > 1 then
        local pack = packs[run]
        keep(base, key, record(pack.enqueued, nil, 1, pack.priority, '', key, pack.envelopes[place - run.start + 1]))
      end
      finish(base, key, 1, state, now, keepMs, result, past)
    end
    for i = first, first + 5 * whole - 1, 5 do
      local run, state, keepMs, results, pasts = runs[tonumber(ARGV[i])], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3], ARGV[i + 4]
      local all = not string.find(string.sub(bits, run.start, run.start + run.size - 1), '0', 1, true)
      if all then
        redis.call('HDEL', base .. ':taken', run.key)
        if keepMs == 0 then
          tellEndOf(base, run.key)
          forget(base, run.key)
        else
          finish(base, run.key, run.size, state, now, keepMs, results, pasts)
        end
      else
        local result, past = split(results, RS), split(pasts, RS)
        for place = run.start, run.start + run.size - 1 do
          if has(place) then endOne(place, state, keepMs, result[place - run.start + 1] or '', past[place - run.start + 1] or '') end
        end
      end
    end
    if rest ~= '' then
      local cancels = redis.call('HGET', base .. ':cancels', id)
      for _, it in ipairs(cjson.decode(rest)) do
        local place, past = it.position + 1, it.past or ''
        if not has(place) then
          -- Nothing: it is settled already.
        elseif it.kind == 'end' then
          endOne(place, it.state, it.keep, it.result or '', past)
        elseif it.kind ~= 'bury' and cancels and string.byte(cancels, place) == 49 then
          -- Its cancellation was asked for while it ran: it does not go back.
          endOne(place, 'c', HOUR, '', past)
        else
          local run = runAt(place)
          local key = alone(run, place)
          if not key then
            -- Settled under another claim.
          elseif it.kind == 'bury' then
            if run.size == 1 then forget(base, key) end
            local band = math.floor((run.rank % LANE) / BAND)
            redis.call('HSET', base .. ':dead', key, '{"priority":' .. (10 - band) .. ',' .. string.sub(it.letter, 2) .. GS .. int(now) .. GS .. past .. GS .. it.envelope)
            redis.call('ZADD', base .. ':died', now, key)
            tellEnd(base, key)
          else
            local rank = run.rank + place - run.start
            local band = math.floor((rank % LANE) / BAND)
            local since = it.kind == 'release' and it.ready or it.delay == 0 and now or nil
            keep(base, key, record(it.enqueued, it.expires, 1, 10 - band, past, key, it.envelope, since), it.expires)
            if it.kind == 'reschedule' and it.delay > 0 then
              redis.call('ZADD', base .. ':due', int(now + it.delay), key)
            else
              local lane = it.kind == 'release' and it.lane or 0
              local order = it.kind == 'release' and rank % BAND or arrivals(base, 1)
              redis.call('ZADD', base .. ':ready', int(lane * LANE + band * BAND + order), key)
              count(base, 'ready', 1)
              wakes[base] = true
            end
          end
        end
      end
    end
    local _, done = string.gsub(bits, '1', '')
    count(base, 'running', -done)
    claim.open = without(claim.open, bits)
    if string.find(claim.open, '1', 1, true) then
      redis.call('HSET', base .. ':claims', id, writeClaim(claim))
    else
      dropClaim(base, id, worker)
      -- Packs of which each job has gone its own way.
      for _, run in ipairs(runs) do
        if run.size > 1 and redis.call('HDEL', base .. ':taken', run.key) == 1 then forget(base, run.key) end
      end
    end
  end
end
for base in pairs(wakes) do wake(base, publish) end

-- Moves jobs whose time has come into their queue, at most a thousand or 4 MiB in all. Returns the time of the next one.
local promotions, promotedBytes = MOST, MOST_BYTES
local function promote(base)
  local due = promotions > 0 and redis.call('ZRANGE', base .. ':due', '-inf', int(now), 'BYSCORE', 'LIMIT', 0, promotions, 'WITHSCORES') or {}
  if #due > 0 then
    local order, moved, added = arrivals(base, #due / 2), {}, 0
    for i = 1, #due, 2 do
      if promotedBytes <= 0 then break end
      local id, raw = due[i], redis.call('HGET', base .. ':jobs', due[i])
      if raw then
        promotedBytes = promotedBytes - #raw
        -- From now on it waits for a worker.
        local head, rest = string.match(raw, '^(%d+,%d*,%d+,%d+),?%d*(' .. GS .. '.*)$')
        redis.call('HSET', base .. ':jobs', id, head .. ',' .. int(tonumber(due[i + 1])) .. rest)
        redis.call('ZADD', base .. ':ready', int((10 - read(raw).priority) * BAND + order + added), id)
        added = added + 1
      end
      moved[#moved + 1] = id
    end
    promotions = promotedBytes > 0 and promotions - #moved or 0
    if #moved > 0 then redis.call('ZREM', base .. ':due', unpack(moved)) end
    count(base, 'ready', added)
  end
  local next = redis.call('ZRANGE', base .. ':due', 0, 0, 'WITHSCORES')
  return tonumber(next[2])
end

local looks, limit, bytes, any, lane = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7] == '1', tonumber(ARGV[8])
local nextDue, takenAny, full = nil, false, false
local left = limit
local enough = limit >= 128 and math.floor(limit / 2) or limit

local function claimPart(number, base, min, max)
  local claim, took
  claim, left, bytes, full, took = claimFrom(base, number, worker, now, lane, min, max, left, enough - (limit - left), bytes, any and not takenAny)
  takenAny = takenAny or took
  if claim then claims[#claims + 1] = claim end
end

local waiting = 0
for number = 1, looks do
  local base = KEYS[number]
  local min, max = int(lane * LANE), '(' .. int((lane + 1) * LANE)
  if alive(base, worker, epoch) then
    local due = promote(base)
    if due and (not nextDue or due < nextDue) then nextDue = due end
    if paused(base) then
      -- As if it were empty.
    elseif limit == 0 then
      waiting = #redis.call('ZRANGE', base .. ':ready', min, max, 'BYSCORE', 'LIMIT', 0, 1)
    elseif left > 0 and bytes > 0 and not full then
      if lane == 0 and ARGV[9] == '1' then
        for band = 9, 0, -1 do
          if left > 0 and bytes > 0 and not full then claimPart(number, base, int(band * BAND), '(' .. int((band + 1) * BAND)) end
        end
      else
        claimPart(number, base, min, max)
      end
    end
  end
end
local hands = ARGV[11] ~= '' and KEYS[#KEYS]
if hands and takenAny then redis.call('HDEL', hands, worker) end
if ARGV[10] == '1' and not takenAny and waiting == 0 then
  local held = 0
  for number = 1, looks do
    redis.call('SADD', KEYS[number] .. ':idle', worker)
    held = held + redis.call('SCARD', KEYS[number] .. ':held:' .. worker)
  end
  -- What another exchange has claimed just before, it has to run first.
  if hands and held == 0 and ARGV[11] ~= '0' and alive(KEYS[1], worker, epoch) then
    redis.call('HSET', hands, worker, int(now) .. ',' .. epoch .. ',' .. ARGV[11])
  end
end
return { int(now), nextDue and int(nextDue) or '', (takenAny and #claims == 0) and 1 or 0, (full or bytes <= 0) and 1 or 0, waiting, accepted, claims }
