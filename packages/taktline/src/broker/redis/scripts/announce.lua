-- What a worker says of itself has changed. KEYS: descriptions. ARGV: worker, description as JSON.
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end
return 1
