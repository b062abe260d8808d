-- A worker's lease ends, or it is forgotten. KEYS: leases, descriptions, hands. ARGV: worker, 1 to forget it.
redis.call('HDEL', KEYS[3], ARGV[1])
if ARGV[2] == '1' then
  redis.call('ZREM', KEYS[1], ARGV[1])
  redis.call('HDEL', KEYS[2], ARGV[1], 'started:' .. ARGV[1], 'asked:' .. ARGV[1], 'counted:' .. ARGV[1])
else
  -- Also one that is not in the list any more: it may hold claims all the same.
  redis.call('ZADD', KEYS[1], 0, ARGV[1])
end
return 1
