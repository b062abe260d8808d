-- What waits. KEYS: queues. Reply: {jobs that could run now, for how long the first of them could have, in ms, or ''}. Paused queues
-- are left out.
local now, waiting, longest = clock(), 0, nil
for _, base in ipairs(KEYS) do
  if not paused(base) then
    waiting = waiting + waits(base)
    local since = oldest(base)
    if since and (not longest or now - since > longest) then longest = now - since end
  end
end
return { waiting, longest and int(math.max(0, longest)) or '' }
