-- Enqueues the job that closes a batch, once every shard is written or failed, or the batch was called off.
-- ARGV: batch, round, id of the job, '1' to enqueue it although there is one (its queue was lost), its fields and values.
-- Returns 1 if there is such a job now, 0 if it is too early, or too late.
local key, queue, job = 'unikat:batch:' .. ARGV[1], 'rq:queue:unikat-batch-' .. ARGV[1], ARGV[3]
local f = call('HMGET', key, 'head', 'shards', 'ended', 'cancelled', 'round')
if not f[1] or f[3] or f[5] ~= ARGV[2] then return 0 end
if not f[4] then
  local shards, settled = tonumber(f[2]), call('BITCOUNT', key .. ':done')
  for _, shard in ipairs(call('HKEYS', key .. ':failed')) do -- a job written by hand may be of a shard that there is not
    if tonumber(shard) < shards and call('GETBIT', key .. ':done', shard) == 0 then settled = settled + 1 end
  end
  if settled < shards then return 0 end
end
if ARGV[4] ~= '1' and call('EXISTS', 'rq:job:' .. job) == 1 then return 1 end
call('LREM', queue, 0, job)
call('HSET', 'rq:job:' .. job, unpack(ARGV, 5))
call('SADD', 'rq:queues', queue)
call('RPUSH', queue, job)
return 1
