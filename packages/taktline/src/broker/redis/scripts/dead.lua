-- A page of a queue's dead letters, the newest first, of about 4 MiB at most. KEYS[1]: the queue. ARGV: died at the latest (a
-- score), how many, how many to skip.
-- Reply: {1 if there are more, then for each {id, died at, record}...}.
local base, bytes = KEYS[1], MOST_BYTES
local found = redis.call('ZRANGE', base .. ':died', ARGV[1], '-inf', 'BYSCORE', 'REV', 'LIMIT', ARGV[3], ARGV[2], 'WITHSCORES')
local replies = { #found == 2 * ARGV[2] and 1 or 0 }
for i = 1, #found, 2 do
  if bytes <= 0 then
    replies[1] = 1
    break
  end
  local letter = redis.call('HGET', base .. ':dead', found[i])
  bytes = bytes - #letter
  replies[#replies + 1] = { found[i], found[i + 1], letter }
end
return replies
