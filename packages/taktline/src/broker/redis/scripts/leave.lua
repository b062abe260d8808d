-- A worker claims and settles nothing here from now on. KEYS[1]: the queue. ARGV: worker. Reply: how many claims it holds.
redis.call('ZADD', KEYS[1] .. ':marks', int(clock()), ARGV[1])
redis.call('SREM', KEYS[1] .. ':idle', ARGV[1])
return redis.call('SCARD', KEYS[1] .. ':held:' .. ARGV[1])
