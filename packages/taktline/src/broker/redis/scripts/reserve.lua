-- Gives ids to queues, first come first served. KEYS: the buckets of the ids.
-- ARGV: for each id: the number of its bucket in KEYS, id, queue, fingerprint, how long it stays taken in ms, and the
-- time up to which it may be taken from its holder ('' for not at all): see below.
-- Reply: for each "status,queue": n given now, s given before to the same work, d to other work, and S or D when that
-- time is over; then the caller looks whether its job is still there, and asks again with the time that was told.
local now = clock()
local replies = {}
for i = 1, #ARGV, 6 do
  local bucket, id, queue, print = KEYS[tonumber(ARGV[i])], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local till = int(now + tonumber(ARGV[i + 4]))
  local held = redis.call('HGET', bucket, id)
  local reply
  if held then
    local heldTill, heldQueue, heldPrint = string.match(held, '^(%d+),([^,]*),(.*)$')
    local same = heldPrint == print
    if tonumber(heldTill) > now then reply = (same and 's' or 'd') .. ',' .. heldQueue
    elseif ARGV[i + 5] ~= heldTill then reply = (same and 'S' or 'D') .. ',' .. heldQueue .. ',' .. heldTill end
  end
  if not reply then
    redis.call('HSET', bucket, id, till .. ',' .. queue .. ',' .. print)
    redis.call('ZADD', bucket .. ':till', till, id)
    reply = 'n,' .. queue
  end
  replies[#replies + 1] = reply
end
return replies
