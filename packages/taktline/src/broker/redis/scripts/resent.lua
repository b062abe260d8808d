-- A first enqueue of these ids that is still on its way here makes no job any more. KEYS[1]: the queue that the ids were made for.
-- ARGV: for each id: id, for how long in ms.
local base, now = KEYS[1], clock()
for i = 1, #ARGV, 2 do redis.call('ZADD', base .. ':resent', 'GT', int(now + tonumber(ARGV[i + 1])), ARGV[i]) end
return 1
