-- How many jobs are before one that waits. KEYS[1]: the queue. ARGV: id. Reply: {jobs before it, jobs that wait}, or {} when it does not
-- wait here. Of more than a hundred records before it their average size is taken, since each would have to be read.
local base, id = KEYS[1], ARGV[1]

local function found()
  if redis.call('ZSCORE', base .. ':ready', id) then return id, 1 end
  for _, key in ipairs(packsOf(base, id)) do
    local rank = redis.call('ZSCORE', base .. ':ready', key)
    local place = rank and placeOf(redis.call('HGET', base .. ':jobs', key), id)
    if place then return key, place end
  end
end

local key, place = found()
if not key then return {} end
local records, all = redis.call('ZRANK', base .. ':ready', key), waits(base)
local before = place - 1
if records <= 100 then
  if records > 0 then
    for _, other in ipairs(redis.call('ZRANGE', base .. ':ready', 0, records - 1)) do
      before = before + read(redis.call('HGET', base .. ':jobs', other)).size
    end
  end
else
  before = before + math.floor(records * all / redis.call('ZCARD', base .. ':ready'))
end
return { math.min(before, math.max(0, all - 1)), all }
