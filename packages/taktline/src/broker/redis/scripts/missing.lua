-- The claims of a worker here beside those that it knows. Exchanges that it sent before, with a lower epoch, change nothing
-- from now on. KEYS[1]: the queue. ARGV: worker, epoch, known claims.
-- Reply: for each claim {id, claim, records...}.
local base, worker = KEYS[1], ARGV[1]
local mark = redis.call('ZSCORE', base .. ':marks', worker)
if not mark or tonumber(mark) < tonumber(ARGV[2]) then redis.call('ZADD', base .. ':marks', ARGV[2], worker) end
local known = {}
for i = 3, #ARGV do known[ARGV[i]] = true end
local replies = {}
local ids = redis.call('SMEMBERS', base .. ':held:' .. worker)
table.sort(ids)
for _, id in ipairs(ids) do
  if not known[id] then
    local raw = redis.call('HGET', base .. ':claims', id)
    local claim = raw and readClaim(raw)
    local records, open = {}, false
    if claim then records, open = recordsOf(base, claim) end
    if open then
      redis.call('HSET', base .. ':claims', id, writeClaim(claim))
      replies[#replies + 1] = { id, writeClaim(claim), unpack(records) }
    else
      dropClaim(base, id, worker)
    end
  end
end
return replies
