-- Records that have ended in these queues; they are told from the first call on. KEYS: the queues. ARGV: how many at most of each.
-- Reply: for each queue {id of the entry, ids of its jobs, ...}.
local replies = {}
for i, base in ipairs(KEYS) do
  redis.call('HSETNX', base .. ':meta', 'kept', 1)
  local found = {}
  for _, entry in ipairs(redis.call('XRANGE', base .. ':finished', '-', '+', 'COUNT', ARGV[1])) do
    found[#found + 1] = entry[1]
    found[#found + 1] = entry[2][2]
  end
  replies[i] = found
end
return replies
