-- Takes the next shard of a batch by the owners' turns, or the job that closes a batch, and begins it as RQ does.
-- ARGV: worker, seconds in RQ's registries, id of the execution, n, n fields and values of the hash of a shard's job, then
-- what is left out, "owner <name>" or "batch <id>".
-- Returns nothing, or {batch, head, shards, cancelled, ended, round, shards that are written, whether this one is, job,
-- content}; `begin` says what a job is.
local OWNERS = 'unikat:batches:owners'
local left_out, fields = {}, 2 * tonumber(ARGV[4])
for i = 5 + fields, #ARGV do left_out[ARGV[i]] = true end
local time = tonumber(redis_time())

local function shard_of(batch, id)
  local prefix = 'b-' .. batch .. '-'
  local digits = string.sub(id, 1, #prefix) == prefix and string.match(id, '^%d%d%d%d%d$', #prefix + 1)
  return digits and tonumber(digits)
end

-- The job of a shard that waits as an id only. Its payload says which one it is; the worker that has begun it fills in
-- the rest (`unikat.queue.batches.progress`).
local function make(batch, key, queue, id)
  local shard, job = shard_of(batch, id), 'rq:job:' .. id
  if not shard or call('EXISTS', job) == 1 then return end
  local f = call('HMGET', key, 'shards', 'cancelled', 'ended')
  if not f[1] or f[2] or f[3] or shard >= (tonumber(f[1]) or 0) then return end
  if call('GETBIT', key .. ':done', shard) == 1 or call('HEXISTS', key .. ':failed', shard) == 1 then return end
  local data = string.format('["worker.jobs.draw_shard",null,[],{"batch":"%s","shard":%d}]', batch, shard)
  call('HSET', job, 'data', data, 'origin', queue, 'created_at', rq_time(), 'enqueued_at', rq_time(),
    unpack(ARGV, 5, 4 + fields))
end

local function take(batch)
  local key, queue = 'unikat:batch:' .. batch, 'unikat-batch-' .. batch
  for _ = 1, 256 do -- what is no job any more is thrown away
    local id = call('LPOP', 'rq:queue:' .. queue)
    if not id then return nil end
    make(batch, key, queue, id)
    local job = begin(id, queue, ARGV[3], ARGV[1], tonumber(ARGV[2]))
    if job then
      flush()
      call('EXPIRE', 'rq:worker:' .. ARGV[1] .. ':executions', ARGV[2])
      local f = call('HMGET', key, 'head', 'shards', 'cancelled', 'ended', 'round', 'content')
      if f[1] and not f[3] and not f[4] and call('HSETNX', key, 'started', redis_time()) == 1 then
        revise(key)
      end
      local shard = shard_of(batch, id)
      local written = call('BITCOUNT', key .. ':done')
      local this = shard and call('GETBIT', key .. ':done', shard) or 0
      return {batch, f[1] or '', tonumber(f[2] or '') or 0, f[3] or '', f[4] or '', tonumber(f[5] or '') or 0, written, this, job, f[6] or ''}
    end
  end
end

for _ = 1, call('LLEN', OWNERS) do
  local owner = call('LMOVE', OWNERS, OWNERS, 'LEFT', 'RIGHT')
  if not left_out['owner ' .. owner] then
    local batches = call('LRANGE', 'unikat:batches:of:' .. owner, 0, -1)
    if #batches == 0 then call('LREM', OWNERS, 0, owner) end
    for _, batch in ipairs(batches) do
      local paused = call('HGET', 'unikat:batch:' .. batch, 'paused_until')
      if not left_out['batch ' .. batch] and (not paused or (tonumber(paused) or 0) <= time) then
        local found = take(batch)
        if found then return found end
      end
    end
  end
end
return false
