-- Finishes a job of a batch whose files are written: first the shard counts as written, then RQ hears of it.
-- ARGV: worker, batch, shard ('' for the job that closes the batch), images, how many of them were refused, entries of the
-- batch's pace, then id, queue, execution, RQ's result, begun (s), seconds a result is kept.
-- Returns {state, whether the batch may be closed}; state is 'finished', 'dependents', 'canceled' or 'lost', as in publish.
local worker, shard, key = ARGV[1], ARGV[3], 'unikat:batch:' .. ARGV[2]
local f = call('HMGET', key, 'head', 'shards', 'cancelled')
local settled = 0
if shard ~= '' and f[1] then -- else the batch was deleted meanwhile
  call('SETBIT', key .. ':done', shard, 1)
  call('HDEL', key .. ':failed', shard)
  if ARGV[5] ~= '0' then call('HSET', key .. ':refused', shard, ARGV[5]) end
  call('LPUSH', key .. ':pace', string.format('%.3f:%s', redis_time(), ARGV[4]))
  call('LTRIM', key .. ':pace', 0, ARGV[6] - 1)
  call('HDEL', key, 'paused', 'paused_since', 'paused_until')
  revise(key)
  local told = call('BITCOUNT', key .. ':done') + call('HLEN', key .. ':failed')
  if f[3] or told >= tonumber(f[2]) then settled = 1 end
end
local state = gone(ARGV[7], ARGV[8], ARGV[9])
state = state or finish(worker, unpack(ARGV, 7))
flush()
return {state, settled}
