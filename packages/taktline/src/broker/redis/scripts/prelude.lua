-- Stands before every script that works on a queue. Lists inside one text are joined by RS, lists of other things by GS: JSON never holds
-- them unescaped, and ids may not contain them. What the keys hold is in ../keys.ts and docs/redis-layout.md.
-- A record can be missing where its key stands: a Redis that was killed twice can have run half a script (../append-only-file.ts). Its
-- job was settled under another claim. No script may fail on that, for it would fail for good.
local RS, GS = '\30', '\29'
-- Bits of a rank: lane (51-52) | 10 - priority (47-50) | arrival (0-46). A sorted set's score is exact up to 53 bits.
local LANE, BAND = 2251799813685248, 140737488355328
-- A mark of a worker that is no less than this is the time when it was taken for dead, or left; a lesser one is its epoch.
local GONE = 1000000000000
local HOUR = 3600000
-- Records that a script touches at most. Also: no more than some 8,000 values can be handed to a call.
local MOST = 1000
-- Bytes of records that a script reads at most, about: one larger record still fits.
local MOST_BYTES = 4194304

-- On a Cluster the last key is one that never exists: see ../connection.ts.
if string.sub(KEYS[#KEYS], -5) == ':none' then KEYS[#KEYS] = nil end

local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- A whole number as text: Lua's own way loses digits.
local function int(number)
  return string.format('%.0f', number)
end

local function split(text, separator)
  local parts, count, from = {}, 0, 1
  while true do
    local at = string.find(text, separator, from, true)
    count = count + 1
    if not at then
      parts[count] = string.sub(text, from)
      return parts, count
    end
    parts[count] = string.sub(text, from, at - 1)
    from = at + 1
  end
end

-- A moment given by a client: positive is a time, negative is a distance from now; '' is none.
local function moment(given, now)
  local number = tonumber(given)
  if number and number < 0 then return now - number end
  return number
end

-- Records: one job, or a pack of jobs that came together. The key of a single job is its id, that of a pack the
-- character US and "highest id,lowest id" of it. since: when it could have run, where that was not its enqueue.
local function record(enqueued, expires, size, priority, past, ids, envelopes, since)
  return int(enqueued) .. ',' .. (expires and int(expires) or '') .. ',' .. size .. ',' .. priority .. (since and ',' .. int(since) or '')
    .. GS .. past .. GS .. ids .. GS .. envelopes
end

local function read(raw)
  local enqueued, expires, size, priority, since, at = string.match(raw, '^(%d+),(%d*),(%d+),(%d+),?(%d*)' .. GS .. '()')
  return {
    enqueued = tonumber(enqueued), expires = tonumber(expires), size = tonumber(size), priority = tonumber(priority),
    since = tonumber(since), at = at, raw = raw,
  }
end

-- Its lists, which are long: only where they are needed.
local function open(it)
  if it.ids then return it end
  local past = string.find(it.raw, GS, it.at, true)
  local ids = string.find(it.raw, GS, past + 1, true)
  it.past = string.sub(it.raw, it.at, past - 1)
  it.ids = split(string.sub(it.raw, past + 1, ids - 1), RS)
  it.envelopes = split(string.sub(it.raw, ids + 1), RS)
  return it
end

local function keyOf(ids, from, to)
  if from == to then return ids[from] end
  local first, last = ids[from], ids[from]
  for i = from + 1, to do
    if ids[i] > last then last = ids[i] end
    if ids[i] < first then first = ids[i] end
  end
  return '\31' .. last .. ',' .. first
end

-- Queues in which anything expires: most have nothing to clear there.
local expiring = {}

local function forget(base, key)
  redis.call('HDEL', base .. ':jobs', key)
  if string.byte(key) == 31 then redis.call('ZREM', base .. ':packs', key) end
  if expiring[base] == nil then expiring[base] = redis.call('EXISTS', base .. ':expiry') == 1 end
  if expiring[base] then redis.call('ZREM', base .. ':expiry', key) end
end

local function keep(base, key, raw, expires)
  redis.call('HSET', base .. ':jobs', key, raw)
  if string.byte(key) == 31 then redis.call('ZADD', base .. ':packs', 0, key) end
  if expires then
    redis.call('ZADD', base .. ':expiry', expires, key)
    expiring[base] = true
  end
end

local function count(base, field, by)
  if by ~= 0 then redis.call('HINCRBY', base .. ':meta', field, by) end
end

local function arrivals(base, number)
  return redis.call('HINCRBY', base .. ':meta', 'arrivals', number) - number
end

-- Puts jobs of a removed pack back as a record of their own.
local function putPart(base, it, rank, from, to)
  local key = keyOf(it.ids, from, to)
  local ids, envelopes = {}, {}
  for i = from, to do ids[#ids + 1] = it.ids[i]; envelopes[#envelopes + 1] = it.envelopes[i] end
  keep(base, key, record(it.enqueued, it.expires, to - from + 1, it.priority, it.past, table.concat(ids, RS), table.concat(envelopes, RS)), it.expires)
  redis.call('ZADD', base .. ':ready', int(rank + from - 1), key)
end

-- Takes jobs, given by their places, out of a pack that waits. The others are put back.
local function takeOut(base, key, it, rank, places)
  redis.call('ZREM', base .. ':ready', key)
  forget(base, key)
  local from, gone = nil, 0
  for place = 1, it.size + 1 do
    local goes = places[place]
    if (goes or place > it.size) and from then
      putPart(base, it, rank, from, place - 1)
      from = nil
    end
    if goes then gone = gone + 1 elseif not from then from = place end
  end
  count(base, 'ready', -gone)
end

-- Whether ends of jobs of a queue are told.
local keepers = {}
local function keepsEnds(base)
  if keepers[base] == nil then keepers[base] = redis.call('HEXISTS', base .. ':meta', 'kept') == 1 end
  return keepers[base]
end

-- Tells that jobs have ended, where that is wanted.
local function tellEnd(base, ids)
  if keepsEnds(base) then redis.call('XADD', base .. ':finished', '*', 'ids', ids) end
end

-- The same of a whole record, while it is here.
local function tellEndOf(base, key)
  if not keepsEnds(base) then return end
  if string.byte(key) ~= 31 then return tellEnd(base, key) end
  local raw = redis.call('HGET', base .. ':jobs', key)
  if raw then tellEnd(base, table.concat(open(read(raw)).ids, RS)) end
end

-- A record has ended: state s succeeded, c cancelled, x expired. It stays readable, input and all, until its time is over.
local function finish(base, key, size, state, now, keepMs, results, pasts)
  redis.call('HSET', base .. ':ended', key, state .. ',' .. int(now) .. ',' .. size .. GS .. results .. GS .. pasts)
  redis.call('ZADD', base .. ':ends', now + keepMs, key)
  tellEndOf(base, key)
  count(base, 'ended', size)
end

-- Forgets what has ended. Gives how many jobs it was, and how many bytes were read to know it.
local function drop(base, key)
  local raw = redis.call('HGET', base .. ':ended', key)
  redis.call('ZREM', base .. ':ends', key)
  if not raw then return 0, 0 end
  local size = tonumber(string.match(raw, '^%a,%d+,(%d+)'))
  count(base, 'ended', -size)
  redis.call('HDEL', base .. ':ended', key)
  forget(base, key)
  return size, #raw
end

-- Whether the engine made an id, as madeHere() in ../../../support/ids.ts has it: only such ids are in packs.
local HEX = '[0-9a-f]'
local OURS = table.concat({ '^' .. HEX:rep(8), HEX:rep(4), '8' .. HEX:rep(3), HEX:rep(4), HEX:rep(12) .. '$' }, '%-')
local function madeHere(id)
  return string.find(id, OURS) ~= nil
end

-- The packs that may hold ids of 256 ms, which begin with the same 11 characters: see ../../packs.ts. They are read once, and
-- stand in the order of their last ids; lowest: the lowest first id of a pack and those behind it.
local windows = {}
local function windowOf(base, id)
  local name = string.sub(id, 1, 11)
  local window = windows[name]
  if not window then
    local till = string.format('%010x', tonumber(string.sub(name, 1, 8) .. string.sub(name, 10), 16) + 2)
    local keys = redis.call('ZRANGE', base .. ':packs', '[\31' .. name, '(\31' .. string.sub(till, 1, 8) .. '-' .. string.sub(till, 9), 'BYLEX')
    local lowest, least = {}, '~'
    for i = #keys, 1, -1 do
      local first = string.sub(keys[i], 39)
      if first < least then least = first end
      lowest[i] = least
    end
    window = { keys = keys, lowest = lowest }
    windows[name] = window
  end
  return window
end

-- The keys of the packs that may hold an id, most often none or one.
local function packsOf(base, id)
  local found = {}
  if not madeHere(id) then return found end
  local window = windowOf(base, id)
  local keys = window.keys
  local low, high = 1, #keys + 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    if string.sub(keys[middle], 2, 37) < id then low = middle + 1 else high = middle end
  end
  while low <= #keys and window.lowest[low] <= id do
    if string.sub(keys[low], 39) <= id then found[#found + 1] = keys[low] end
    low = low + 1
  end
  return found
end

-- The place of an id in a record, or nil. All ids in a pack have 36 characters.
local function placeOf(raw, id)
  local from = string.find(raw, GS, string.find(raw, GS, 1, true) + 1, true)
  local to = string.find(raw, GS, from + 1, true)
  local at = string.find(raw, id, from, true)
  if not at or at > to then return nil end
  return (at - from - 1) / 37 + 1
end

-- Whether a job with an id of its own stands here as a record, whatever its state.
local function here(base, id)
  return redis.call('HEXISTS', base .. ':jobs', id) == 1 or redis.call('HEXISTS', base .. ':dead', id) == 1
end

-- Whether a record has ended and its time is over: then it is dropped.
local function forgotten(base, key, now)
  local over = redis.call('ZSCORE', base .. ':ends', key)
  if not over or tonumber(over) > now then return false end
  drop(base, key)
  return true
end

-- Whether a given id was made before, or its job is here as a record of its own. Packs are left to look through.
local function known(base, id, now)
  local till = redis.call('ZSCORE', base .. ':named', id)
  if till and tonumber(till) > now then return true end
  return not forgotten(base, id, now) and here(base, id)
end

-- Claims: "worker,lane,claimed at,size" GS lost GS open bits GS runs; a run is a record of it: "size,rank,key".
local function readClaim(raw)
  local parts = split(raw, GS)
  local worker, lane, at, size = string.match(parts[1], '^([^,]*),(%d),(%d+),(%d+)$')
  return { worker = worker, lane = tonumber(lane), at = at, size = tonumber(size), lost = parts[2], open = parts[3], runs = parts[4] }
end

local function writeClaim(claim)
  return claim.worker .. ',' .. claim.lane .. ',' .. claim.at .. ',' .. claim.size .. GS .. claim.lost .. GS .. claim.open .. GS .. claim.runs
end

local function runsOf(claim)
  local runs, start = {}, 1
  for _, run in ipairs(split(claim.runs, RS)) do
    local size, rank, key = string.match(run, '^(%d+),(%d+),(.*)$')
    size = tonumber(size)
    runs[#runs + 1] = { size = size, rank = tonumber(rank), key = key, start = start }
    start = start + size
  end
  return runs
end

-- An id for a new claim. The time is in it because a server that was restored may have forgotten how far the count was, and
-- the queue because a worker holds claims of several queues side by side.
local function claimId(base, now)
  return int(now) .. '-' .. redis.call('HINCRBY', base .. ':meta', 'claims', 1) .. '-' .. string.sub(redis.sha1hex(base), 1, 12)
end

-- The records of a claim, in the order of its runs, '' for one that is missing; what is open of those is open no more. Then whether
-- anything is open yet.
local function recordsOf(base, claim)
  local raws, gone = {}, 0
  for number, run in ipairs(runsOf(claim)) do
    raws[number] = redis.call('HGET', base .. ':jobs', run.key) or ''
    local last = run.start + run.size - 1
    local closed, bits = string.gsub(string.sub(claim.open, run.start, last), '1', '0')
    if raws[number] == '' and bits > 0 then
      claim.open = string.sub(claim.open, 1, run.start - 1) .. closed .. string.sub(claim.open, last + 1)
      gone = gone + bits
    end
  end
  count(base, 'running', -gone)
  return raws, string.find(claim.open, '1', 1, true) ~= nil
end

-- A claim of which nothing is open any more.
local function dropClaim(base, id, worker)
  redis.call('HDEL', base .. ':claims', id)
  redis.call('SREM', base .. ':held:' .. worker, id)
  redis.call('HDEL', base .. ':cancels', id)
  redis.call('HDEL', base .. ':progress', id)
end

-- The claim that holds a record, and its run there, or nil. Read once, since many that are asked about may be in one claim.
local claimsRead = {}
local function claimOf(base, key)
  local id = redis.call('HGET', base .. ':taken', key)
  if not id then return nil end
  local claim = claimsRead[id]
  if not claim then
    local raw = redis.call('HGET', base .. ':claims', id)
    if not raw then return nil end
    claim = readClaim(raw)
    claim.id, claim.byKey = id, {}
    for _, run in ipairs(runsOf(claim)) do claim.byKey[run.key] = run end
    claimsRead[id] = claim
  end
  return claim, claim.byKey[key]
end

-- The bits that are set in a mask and in the open ones of a claim; a mask may be shorter.
local function both(mask, open)
  if mask == open then return mask end
  local bits = {}
  for i = 1, #open do bits[i] = (string.byte(mask, i) == 49 and string.byte(open, i) == 49) and '1' or '0' end
  return table.concat(bits)
end

-- Whether a worker may still settle and claim here.
local function alive(base, worker, epoch)
  local mark = redis.call('ZSCORE', base .. ':marks', worker)
  return not mark or tonumber(mark) <= epoch
end

-- Wakes those who have said that they sleep, once.
local function wake(base, publish)
  if redis.call('DEL', base .. ':idle') == 1 then redis.call(publish, base .. ':wake', 'j') end
end

-- Removes the first records of a part of a queue from the ready ones, as far as `limit` jobs and `bytes` go; the first record
-- may be larger than that when `any` is set. When there are `enough` and the next pack does not fit whole, it is left alone;
-- else its first jobs are taken, and the others go back in parts of an eighth of it, or of what was wanted, so that small
-- claims from a large pack do not copy all of it each time. Records are read one by one, since nobody knows before how large
-- they are, and a thousand at most. Returns {key, rank, it, n} for each.
local function take(base, min, max, limit, enough, bytes, any)
  local taken, left, each, stop = {}, limit, 128, false
  while left > 0 and bytes > 0 do
    if #taken == MOST or #taken > 0 and left < each and limit - left >= enough then return taken, left, bytes, true end
    local wanted = math.min(MOST - #taken, math.max(1, math.floor(left / each)))
    local found = redis.call('ZRANGE', base .. ':ready', min, max, 'BYSCORE', 'LIMIT', 0, wanted, 'WITHSCORES')
    if #found == 0 then break end
    local keys = {}
    for i = 1, #found, 2 do keys[#keys + 1] = found[i] end
    local jobs, last = 0, nil
    for i = 1, #keys do
      local stored, rank = redis.call('HGET', base .. ':jobs', keys[i]), tonumber(found[2 * i])
      if not stored then
        redis.call('ZREM', base .. ':ready', keys[i])
      else
        local it = read(stored)
        if #stored > bytes and not (any and #taken == 0) then stop = true break end
        bytes = bytes - #stored
        last = rank
        if it.size > left then
          open(it)
          redis.call('ZREM', base .. ':ready', keys[i])
          forget(base, keys[i])
          local part = math.max(left, math.ceil(it.size / 8))
          for from = left + 1, it.size, part do putPart(base, it, rank, from, math.min(from + part - 1, it.size)) end
          local key = keyOf(it.ids, 1, left)
          local raw = record(it.enqueued, it.expires, left, it.priority, it.past, table.concat(it.ids, RS, 1, left), table.concat(it.envelopes, RS, 1, left))
          keep(base, key, raw, it.expires)
          it = read(raw)
          keys[i] = key
        end
        taken[#taken + 1] = { key = keys[i], rank = rank, it = it }
        left = left - it.size
        jobs = jobs + it.size
        if left <= 0 or bytes <= 0 then stop = true break end
      end
    end
    if last then redis.call('ZREMRANGEBYSCORE', base .. ':ready', min, int(last)) end
    if stop or #keys < wanted then break end
    each = math.max(1, math.floor(jobs / #keys))
  end
  return taken, left, bytes, stop
end

-- Claims jobs for a worker from a part of a queue; see take(). Gives the claim, {name, id, now, runs, its records...} with what the
-- caller names the queue, or false; then how many jobs and bytes are left of what was wanted, whether the bytes set the end, and
-- whether records were taken.
local function claimFrom(base, name, worker, now, lane, min, max, limit, enough, bytes, any)
  local got, left, rest, full = take(base, min, max, limit, enough, bytes, any)
  if #got == 0 then return false, left, rest, full, false end
  local runs, raws, taken, size, all = {}, {}, {}, 0, 0
  for _, one in ipairs(got) do
    all = all + one.it.size
    if one.it.expires and one.it.expires <= now then
      finish(base, one.key, one.it.size, 'x', now, HOUR, '', '')
    else
      runs[#runs + 1] = one.it.size .. ',' .. int(one.rank) .. ',' .. one.key
      raws[#raws + 1] = one.it.raw
      taken[#taken + 1] = one.key
      size = size + one.it.size
    end
  end
  count(base, 'ready', -all)
  if size == 0 then return false, left, rest, full, true end
  local id = claimId(base, now)
  local pairs = {}
  for i, key in ipairs(taken) do pairs[2 * i - 1] = key; pairs[2 * i] = id end
  for i = 1, #pairs, 2000 do redis.call('HSET', base .. ':taken', unpack(pairs, i, math.min(i + 1999, #pairs))) end
  local claim = { worker = worker, lane = lane, at = int(now), size = size, lost = '', open = string.rep('1', size), runs = table.concat(runs, RS) }
  redis.call('HSET', base .. ':claims', id, writeClaim(claim))
  redis.call('SADD', base .. ':held:' .. worker, id)
  redis.call('ZADD', base .. ':holders', int(now), worker)
  count(base, 'running', size)
  return { name, id, int(now), claim.runs, unpack(raws) }, left, rest, full, true
end

-- How many jobs wait, suspects too.
local function waits(base)
  return tonumber(redis.call('HGET', base .. ':meta', 'ready')) or 0
end

-- Whether nobody may claim from a queue.
local function paused(base)
  return redis.call('HEXISTS', base .. ':meta', 'paused') == 1
end

-- Since when the first job could have run that waits for nothing but a worker, or nil.
local function oldest(base)
  local front = redis.call('ZRANGE', base .. ':ready', 0, 0, 'WITHSCORES')
  if #front == 0 or tonumber(front[2]) >= LANE then return nil end
  local raw = redis.call('HGET', base .. ':jobs', front[1])
  local it = raw and read(raw) or {}
  return it.since or it.enqueued
end

-- A worker need not be told a request any more.
local function dropAsked(descriptions, worker, number)
  local field, left = 'asked:' .. worker, {}
  for _, other in ipairs(split(redis.call('HGET', descriptions, field) or '', ',')) do
    if other ~= '' and other ~= number then left[#left + 1] = other end
  end
  if #left == 0 then redis.call('HDEL', descriptions, field) else redis.call('HSET', descriptions, field, table.concat(left, ',')) end
end

-- Hands what waits in a queue to a worker that has nothing to do, with the wake-up, so that it need not ask: when that is no more
-- than it can run at once, and small. Only to one that has said so within three seconds and listens yet: one that was killed or
-- frozen since would keep the jobs.
local function hand(base, hands, publish, now)
  if paused(base) then return end
  -- In a fixed order when there are no more: each of them comes first at some time.
  local idle = redis.call('SRANDMEMBER', base .. ':idle', 3)
  for turn = 1, #idle do
    local worker = idle[(now + turn) % #idle + 1]
    local at, epoch, slots = string.match(redis.call('HGET', hands, worker) or '', '^(%d+),(%d+),(%d+)$')
    local channel = hands .. ':' .. worker
    if at and tonumber(at) > now - 3000 and waits(base) <= tonumber(slots) and alive(base, worker, tonumber(epoch))
        and redis.call('PUBSUB', 'NUMSUB', channel)[2] > 0 then
      local claim = claimFrom(base, base, worker, now, 0, '-inf', '(' .. int(LANE), tonumber(slots), tonumber(slots), 65536, false)
      if claim then
        redis.call('SREM', base .. ':idle', worker)
        redis.call('HDEL', hands, worker)
        redis.call(publish, channel, cjson.encode(claim))
      end
      return
    end
  end
end

-- Notes that a worker is in touch, and gives the silences before: {how long, until when} of those that matter yet, the
-- longest first. After an outage everybody gets a lease of time to come back: a lease is renewed each third of it, so that a
-- silence of two thirds can have ended it.
local function contact(descriptions, now)
  local silences = {}
  local seen, noted = string.match(redis.call('HGET', descriptions, 'contact') or '', '^(%d+)(.*)$')
  local gap = now - tonumber(seen or now)
  for length, ended in string.gmatch(noted or '', ';(%d+),(%d+)') do
    length, ended = tonumber(length), tonumber(ended)
    -- A later one that was longer says more.
    if ended + 1.5 * length > now and length > gap then silences[#silences + 1] = { length, ended } end
  end
  -- Workers that live pulse once a second.
  if gap > 1500 then silences[#silences + 1] = { gap, now } end
  local note = int(now)
  for _, silence in ipairs(silences) do note = note .. ';' .. int(silence[1]) .. ',' .. int(silence[2]) end
  redis.call('HSET', descriptions, 'contact', note)
  return silences
end

-- Whether a worker is in the list and was not taken for dead.
local function leased(leases, worker)
  local till = redis.call('ZSCORE', leases, worker)
  return till and tonumber(till) > 0
end

-- {worker, description} of others whose lease has run out, or who have left without having given back all they held.
local function lostWorkers(leases, descriptions, worker, limit)
  local now, found = clock(), {}
  local silences = contact(descriptions, now)
  local function excused(lease)
    for _, silence in ipairs(silences) do
      if silence[1] * 1.5 > lease and silence[2] + lease > now then return true end
    end
    return false
  end
  for _, id in ipairs(redis.call('ZRANGE', leases, '-inf', int(now), 'BYSCORE', 'LIMIT', 0, 100)) do
    if id ~= worker then
      local description = redis.call('HGET', descriptions, id) or '{}'
      if not leased(leases, id) or not excused(cjson.decode(description).leaseMs or 0) then found[#found + 1] = { id, description } end
      if #found == limit then break end
    end
  end
  return found
end
