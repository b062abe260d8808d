-- Puts dead letters back in their queue, KEYS[1], or removes them. ARGV: how to publish, then for each: id, priority and past to put it back
-- with ('' and '' to remove it). Reply: the ids of those that were there.
local base, now = KEYS[1], clock()
local replies = {}
for i = 2, #ARGV, 3 do
  local id, priority = ARGV[i], tonumber(ARGV[i + 1])
  local raw = redis.call('HGET', base .. ':dead', id)
  if raw then
    redis.call('HDEL', base .. ':dead', id)
    redis.call('ZREM', base .. ':died', id)
    if priority then
      local parts = split(raw, GS)
      keep(base, id, record(cjson.decode(parts[1]).enqueued, nil, 1, priority, ARGV[i + 2], id, parts[4], now))
      redis.call('ZADD', base .. ':ready', int((10 - priority) * BAND + arrivals(base, 1)), id)
      count(base, 'ready', 1)
      wake(base, ARGV[1])
    end
    replies[#replies + 1] = id
  end
end
return replies
