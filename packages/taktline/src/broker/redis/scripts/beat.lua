-- Renews a worker's lease. KEYS: leases, descriptions. ARGV: worker, lease in ms. Reply: 1, or 0 when it was taken for dead.
local now = clock()
contact(KEYS[2], now)
if not leased(KEYS[1], ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[1], int(now + tonumber(ARGV[2])), ARGV[1])
return 1
