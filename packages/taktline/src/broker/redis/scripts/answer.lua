-- Keeps a worker's answer as long as the request is there. KEYS: descriptions, requests. ARGV: worker, number of the request, answer.
local request = KEYS[2] .. ':' .. ARGV[2]
if redis.call('EXISTS', request) == 1 then redis.call('HSETNX', request, 'by:' .. ARGV[1], ARGV[3]) end
dropAsked(KEYS[1], ARGV[1], ARGV[2])
return 1
