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
    local reply = { id, raw }
    for _, run in ipairs(runsOf(readClaim(raw))) do reply[#reply + 1] = redis.call('HGET', base .. ':jobs', run.key) or '' end
    replies[#replies + 1] = reply
  end
end
return replies
