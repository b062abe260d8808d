-- How many jobs stand where. KEYS: queues. Reply: for each {ready, scheduled, running, dead, since when the first that waits could have run or '', 1 if it is paused}.
local replies = {}
for _, base in ipairs(KEYS) do
  local ready, running = unpack(redis.call('HMGET', base .. ':meta', 'ready', 'running'))
  local since = oldest(base)
  replies[#replies + 1] = { ready or '0', redis.call('ZCARD', base .. ':due'), running or '0', redis.call('ZCARD', base .. ':died'), since and int(since) or '', paused(base) and 1 or 0 }
end
return replies
