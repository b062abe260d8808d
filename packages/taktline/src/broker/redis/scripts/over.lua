-- Ids whose time was over so long ago. KEYS[1]: the bucket. ARGV: how long in ms, how many at most. Reply: {now, ids...}.
local now = clock()
return { int(now), unpack(redis.call('ZRANGE', KEYS[1] .. ':till', '-inf', int(now - tonumber(ARGV[1])), 'BYSCORE', 'LIMIT', 0, ARGV[2])) }
