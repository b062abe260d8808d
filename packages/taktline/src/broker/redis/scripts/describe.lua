-- Enters tasks in the catalogue, and forgets what nobody has described for 30 days. KEYS: catalogue. ARGV: name and description of each.
local now = clock()
for i = 1, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], int(now) .. GS .. ARGV[i + 1]) end
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if tonumber(string.match(all[i + 1], '^%d+')) < now - 720 * HOUR then redis.call('HDEL', KEYS[1], all[i]) end
end
return 1
