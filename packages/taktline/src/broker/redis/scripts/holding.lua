-- How many jobs a worker holds here. KEYS[1]: the queue. ARGV: worker.
local jobs = 0
for _, id in ipairs(redis.call('SMEMBERS', KEYS[1] .. ':held:' .. ARGV[1])) do
  local _, open = string.gsub(readClaim(redis.call('HGET', KEYS[1] .. ':claims', id)).open, '1', '')
  jobs = jobs + open
end
return jobs
