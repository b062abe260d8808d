-- How many jobs stand where. KEYS: queues. Reply: for each {ready, scheduled, running, dead, when the oldest that waits was enqueued or ''}.
local replies = {}
for _, base in ipairs(KEYS) do
  local ready, running = unpack(redis.call('HMGET', base .. ':meta', 'ready', 'running'))
  local front = redis.call('ZRANGE', base .. ':ready', 0, 0, 'WITHSCORES')
  local oldest = ''
  if #front > 0 and tonumber(front[2]) < LANE then oldest = int(read(redis.call('HGET', base .. ':jobs', front[1])).enqueued) end
  replies[#replies + 1] = { ready or '0', redis.call('ZCARD', base .. ':due'), running or '0', redis.call('ZCARD', base .. ':died'), oldest }
end
return replies
