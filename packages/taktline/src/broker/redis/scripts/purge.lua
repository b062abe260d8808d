-- Removes at most ARGV[1] waiting jobs of a queue, KEYS[1], and at most about 4 MiB of those that may run. Reply: how many went.
local base, limit = KEYS[1], tonumber(ARGV[1])
local got, left = take(base, '-inf', '+inf', limit, limit, MOST_BYTES, true)
for _, one in ipairs(got) do
  tellEndOf(base, one.key)
  forget(base, one.key)
end
count(base, 'ready', left - limit)
if left > 0 then
  for _, id in ipairs(redis.call('ZRANGE', base .. ':due', 0, left - 1)) do
    redis.call('ZREM', base .. ':due', id)
    tellEnd(base, id)
    forget(base, id)
    left = left - 1
  end
end
return limit - left
