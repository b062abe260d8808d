-- Takes over claims of a lost worker, some thousand jobs or 4 MiB at once. They get new ids, which fences the lost worker;
-- from now on it changes nothing here. KEYS[1]: the queue. ARGV: lost worker, its name, heir.
-- Reply: {claims that are left, {id, claim, records...}...}.
local base, lost, name, heir = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local now = clock()
redis.call('ZADD', base .. ':marks', int(now), lost)
local replies, jobs, bytes = { 0 }, 0, 0
-- An heir that was itself taken for dead gets nothing.
local mark = redis.call('ZSCORE', base .. ':marks', heir)
if not mark or tonumber(mark) < GONE then
  for _, id in ipairs(redis.call('SRANDMEMBER', base .. ':held:' .. lost, 100)) do
    local raw = redis.call('HGET', base .. ':claims', id)
    local claim = raw and readClaim(raw)
    if claim and jobs > 0 and jobs + claim.size > MOST then break end
    local records, open = {}, false
    if claim then records, open = recordsOf(base, claim) end
    if open then
      local fresh = claimId(base, now)
      claim.worker = heir
      if claim.lost == '' then
        local _, held = string.gsub(claim.open, '1', '')
        claim.lost = cjson.encode({ worker = name, at = now, open = held })
      end
      redis.call('HSET', base .. ':claims', fresh, writeClaim(claim))
      redis.call('SADD', base .. ':held:' .. heir, fresh)
      redis.call('ZADD', base .. ':holders', int(now), heir)
      for _, field in ipairs({ ':cancels', ':progress' }) do
        local told = redis.call('HGET', base .. field, id)
        if told then redis.call('HSET', base .. field, fresh, told) end
      end
      local reply = { fresh, writeClaim(claim) }
      for number, run in ipairs(runsOf(claim)) do
        -- A job of it that was handed back may be in another claim by now.
        if redis.call('HGET', base .. ':taken', run.key) == id then redis.call('HSET', base .. ':taken', run.key, fresh) end
        bytes = bytes + #records[number]
        reply[#reply + 1] = records[number]
      end
      jobs = jobs + claim.size
      replies[#replies + 1] = reply
    end
    dropClaim(base, id, lost)
    if jobs >= MOST or bytes >= MOST_BYTES then break end
  end
end
replies[1] = redis.call('SCARD', base .. ':held:' .. lost)
return replies
