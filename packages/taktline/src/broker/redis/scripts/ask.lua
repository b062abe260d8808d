-- Asks workers something. KEYS: descriptions, requests. ARGV: how to publish, how long the request is there in ms, what is asked, the
-- beginning of the workers' own channels, workers. Reply: the number of the request.
local descriptions, requests, publish = KEYS[1], KEYS[2], ARGV[1]
local number = redis.call('INCR', requests)
local request = requests .. ':' .. number
redis.call('HSET', request, 'body', ARGV[3])
redis.call('PEXPIRE', request, ARGV[2])
for i = 5, #ARGV do
  local field = 'asked:' .. ARGV[i]
  local before = redis.call('HGET', descriptions, field)
  redis.call('HSET', descriptions, field, (before and before .. ',' or '') .. number)
  redis.call(publish, ARGV[4] .. ARGV[i], 'w')
end
return tostring(number)
