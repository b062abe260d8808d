-- Enters the list of living workers. KEYS: leases, descriptions. ARGV: description as JSON, lease in ms. Reply: the worker's id.
local now = clock()
contact(KEYS[2], now)
-- The time is in it because a server that was restored may have forgotten how far the count was.
local id = int(now) .. '-' .. redis.call('HINCRBY', KEYS[2], 'last', 1)
redis.call('HSET', KEYS[2], id, ARGV[1], 'started:' .. id, int(now))
redis.call('ZADD', KEYS[1], int(now + tonumber(ARGV[2])), id)
return id
