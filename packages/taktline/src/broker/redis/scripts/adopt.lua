-- Puts jobs of another broker here as they stood there. Ids of callers have been reserved for this queue (reserve.lua), and
-- putting is idempotent, so that a crash between the two heals when they are sent again.
-- KEYS[1]: the queue. ARGV: how to publish, how long an id stays taken in ms, then for each job: id, state (q queued, s
-- scheduled, d dead), lane or when it is due or when it died, priority, enqueued, expires or '', past, envelope, and of a dead
-- letter what stands at its front (redrive.lua reads it).
-- Reply: for each 1 when it was put.
local base, now, publish = KEYS[1], clock(), ARGV[1]
local till = int(now + tonumber(ARGV[2]))
local fields = 9
local replies = {}

-- Whether the job is here, or was. Not by the ids of a pack alone: while the pack is claimed they stay in it, also of a job
-- that has gone back to its queue and was moved away from there.
local function made(id)
  if known(base, id, now) then return true end
  for _, pack in ipairs(packsOf(base, id)) do
    local raw = redis.call('HGET', base .. ':jobs', pack)
    local place = raw and placeOf(raw, id)
    local claim, run
    if place then claim, run = claimOf(base, pack) end
    if place and not claim and not forgotten(base, pack, now) then return true end
    if run and string.byte(claim.open, run.start + place - 1) == 49 then return true end
  end
  return false
end

for i = 3, #ARGV, fields do
  local id, state, place, priority = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
  local past, envelope = ARGV[i + 6], ARGV[i + 7]
  local new = not made(id)
  if new then
    redis.call('ZADD', base .. ':named', till, id)
    if state == 'd' then
      redis.call('HSET', base .. ':dead', id, ARGV[i + 8] .. GS .. int(place) .. GS .. past .. GS .. envelope)
      redis.call('ZADD', base .. ':died', int(place), id)
    else
      local expires = tonumber(ARGV[i + 5])
      keep(base, id, record(tonumber(ARGV[i + 4]), expires, 1, priority, past, id, envelope), expires)
      if state == 's' then
        redis.call('ZADD', base .. ':due', int(place), id)
      else
        redis.call('ZADD', base .. ':ready', int(place * LANE + (10 - priority) * BAND + arrivals(base, 1)), id)
        count(base, 'ready', 1)
      end
    end
  end
  replies[#replies + 1] = new and 1 or 0
end
wake(base, publish)
return replies
