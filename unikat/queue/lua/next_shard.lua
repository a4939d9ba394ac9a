-- Takes the next shard by the owners' turns and moves it to its queue's intermediate list, where a crash leaves it.
-- ARGV: what is left out, "owner <name>" or "batch <id>". Returns {batch, job} or nothing.
local OWNERS = 'unikat:batches:owners'
local left_out = {}
for _, name in ipairs(ARGV) do left_out[name] = true end
local now = tonumber(redis_time())
for _ = 1, call('LLEN', OWNERS) do
  local owner = call('LMOVE', OWNERS, OWNERS, 'LEFT', 'RIGHT')
  if not left_out['owner ' .. owner] then
    local batches = call('LRANGE', 'unikat:batches:of:' .. owner, 0, -1)
    if #batches == 0 then call('LREM', OWNERS, 0, owner) end
    for _, batch in ipairs(batches) do
      local paused = call('HGET', 'unikat:batch:' .. batch, 'paused_until')
      if not left_out['batch ' .. batch] and (not paused or tonumber(paused) <= now) then
        local queue = 'rq:queue:unikat-batch-' .. batch
        local job = call('LMOVE', queue, queue .. ':intermediate', 'LEFT', 'RIGHT')
        if job then return {batch, job} end
      end
    end
  end
end
return false
