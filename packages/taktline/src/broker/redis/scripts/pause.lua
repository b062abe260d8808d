-- Lets no worker claim jobs of a queue, KEYS[1], or lets them again. ARGV: how to publish, 1 to pause it.
if ARGV[2] == '1' then
  redis.call('HSET', KEYS[1] .. ':meta', 'paused', '1')
else
  redis.call('HDEL', KEYS[1] .. ':meta', 'paused')
  wake(KEYS[1], ARGV[1])
end
return 1
