-- Some workers whose lease has run out; from now on it is not renewed. KEYS: leases, descriptions. ARGV: who asks.
-- Reply: for each {worker, description}; none to one that is itself taken for dead.
local leases, descriptions, worker = KEYS[1], KEYS[2], ARGV[1]
if not leased(leases, worker) then return {} end
local lost = lostWorkers(leases, descriptions, worker, 5)
for _, one in ipairs(lost) do redis.call('ZADD', leases, 0, one[1]) end
return lost
