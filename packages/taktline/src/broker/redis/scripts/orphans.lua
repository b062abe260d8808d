-- Workers that hold claims, though nothing is known of them: their entries can have been lost when another server took over.
-- They are entered as lost. KEYS: leases, descriptions. ARGV: workers that hold claims. Reply: how many were not known.
local unknown = 0
for _, worker in ipairs(ARGV) do unknown = unknown + redis.call('ZADD', KEYS[1], 'NX', 0, worker) end
return unknown
