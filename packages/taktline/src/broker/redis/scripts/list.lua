-- The first jobs of a queue, KEYS[1], of about 4 MiB at most. ARGV: queued, scheduled or running; how many; records to skip (not
-- of running ones).
-- Reply: {1 if there are more within the limit, then for each record {score or claimed at, worker, open bits, record}...}.
local base, limit, bytes = KEYS[1], tonumber(ARGV[2]), MOST_BYTES
local replies = { 0 }
if ARGV[1] == 'running' then
  -- Not by HGETALL: a busy queue has many claims.
  local found, cursor = 0, '0'
  repeat
    local page = redis.call('HSCAN', base .. ':claims', cursor, 'COUNT', 100)
    cursor = page[1]
    for i = 2, #page[2], 2 do
      local claim = readClaim(page[2][i])
      for _, run in ipairs(runsOf(claim)) do
        local open = string.sub(claim.open, run.start, run.start + run.size - 1)
        if string.find(open, '1', 1, true) then
          local raw = redis.call('HGET', base .. ':jobs', run.key) or ''
          replies[#replies + 1] = { claim.at, claim.worker, open, raw }
          found = found + run.size
          bytes = bytes - #raw
          if found >= limit or bytes <= 0 then return replies end
        end
      end
    end
  until cursor == '0'
else
  local skip = tonumber(ARGV[3])
  local found = redis.call('ZRANGE', base .. (ARGV[1] == 'queued' and ':ready' or ':due'), skip, skip + math.min(limit, MOST) - 1, 'WITHSCORES')
  for i = 1, #found, 2 do
    local raw = redis.call('HGET', base .. ':jobs', found[i])
    replies[#replies + 1] = { found[i + 1], '', '', raw }
    limit = limit - read(raw).size
    bytes = bytes - #raw
    if limit <= 0 or bytes <= 0 then break end
  end
  if limit > 0 and #found > 0 then replies[1] = 1 end
end
return replies
