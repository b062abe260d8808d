-- Frees ids whose time is over. KEYS[1]: the bucket. ARGV: over at the latest, or '' for whenever, then ids.
-- Those that were given again meanwhile stay.
local latest = ARGV[1] == '' and math.huge or tonumber(ARGV[1])
for i = 2, #ARGV do
  local held = redis.call('HGET', KEYS[1], ARGV[i])
  if not held or tonumber(string.match(held, '^(%d+),')) <= latest then
    redis.call('HDEL', KEYS[1], ARGV[i])
    redis.call('ZREM', KEYS[1] .. ':till', ARGV[i])
  end
end
return 1
