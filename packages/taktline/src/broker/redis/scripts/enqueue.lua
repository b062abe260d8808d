-- Adds records: packs, single jobs, and jobs whose callers gave the ids. Those have been reserved for this queue
-- (reserve.lua), and adding them is idempotent, so that a crash between the two heals when the job is sent again.
-- KEYS: the queue; the hands (see keys.ts), where jobs may be handed to idle workers. ARGV: how to publish, 1 if ends of jobs of the
-- queue are told, the producer or '', the number of its batch, then for each record: key, size, priority, due, expires (see
-- moment()), ids, envelopes, how long a given id stays taken in ms or ''.
-- Reply: for each record 1 when it was added; or, when nothing is done, 'sent again' for a job of which nobody gave the id and that was
-- enqueued again under it meanwhile, 'known' for a batch of a producer that is here.
local base, now = KEYS[1], clock()
local producer, sequence = ARGV[3], tonumber(ARGV[4])
local first, fields = 5, 8
if producer ~= '' and sequence <= (tonumber(redis.call('HGET', base .. ':producers', producer)) or 0) then return 'known' end

-- Whether the job of a given id was made before.
local function made(id)
  if known(base, id, now) then return true end
  for _, pack in ipairs(packsOf(base, id)) do
    local raw = redis.call('HGET', base .. ':jobs', pack)
    if raw and placeOf(raw, id) and not forgotten(base, pack, now) then return true end
  end
  return false
end

local resent = redis.call('EXISTS', base .. ':resent') == 1
for i = first, #ARGV, fields do
  if ARGV[i + 7] == '' then
    if ARGV[i + 1] == '1' and here(base, ARGV[i]) then return 'sent again' end
    if resent then
      for _, id in ipairs(split(ARGV[i + 5], RS)) do
        if redis.call('ZSCORE', base .. ':resent', id) then return 'sent again' end
      end
    end
  end
end

if ARGV[2] == '1' then redis.call('HSET', base .. ':meta', 'kept', 1) end
local replies, later = {}, false
for i = first, #ARGV, fields do
  local key, size, priority, given = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), ARGV[i + 7]
  local new = given == '' or not made(key)
  if new then
    local due, expires = moment(ARGV[i + 3], now), moment(ARGV[i + 4], now)
    keep(base, key, record(now, expires, size, priority, '', ARGV[i + 5], ARGV[i + 6]), expires)
    if due then
      later = true
      redis.call('ZADD', base .. ':due', int(due), key)
    else
      redis.call('ZADD', base .. ':ready', int((10 - priority) * BAND + arrivals(base, size)), key)
      count(base, 'ready', size)
    end
  end
  if given ~= '' then
    local till = int(now + tonumber(given))
    -- Also for one that was there: a first enqueue that is still on its way must find it.
    redis.call('ZADD', base .. ':named', new and 'GT' or 'NX', till, key)
    if madeHere(key) then redis.call('ZADD', base .. ':resent', 'GT', till, key) end
  end
  replies[#replies + 1] = new and 1 or 0
end
-- Not before its jobs are there: a batch that is known is not made again.
if producer ~= '' then redis.call('HSET', base .. ':producers', producer, int(sequence)) end
if KEYS[2] then hand(base, KEYS[2], ARGV[1], now) end
-- What is left, or has to wait for its time, is for whoever comes first.
if later or waits(base) > 0 then wake(base, ARGV[1]) end
return replies
