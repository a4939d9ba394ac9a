-- Finishes a job of a batch whose files are written: first the shard counts as written, then RQ hears of it.
-- ARGV: worker, now (as RQ writes times), now (s), batch, shard ('' for the job that closes the batch), images, entries
-- of the batch's pace, then id, queue, execution, RQ's result, begun (s), ended (s), seconds, seconds a result is kept.
-- Returns {state, whether the batch may be closed}; state is 'finished', 'dependents', 'canceled' or 'lost', as in publish.
local worker, text, now, shard, key = ARGV[1], ARGV[2], ARGV[3], ARGV[5], 'unikat:batch:' .. ARGV[4]
local f = call('HMGET', key, 'head', 'shards', 'cancelled')
local settled = 0
if shard ~= '' and f[1] then -- else the batch was deleted meanwhile
  call('SETBIT', key .. ':done', shard, 1)
  call('HDEL', key .. ':failed', shard)
  call('LPUSH', key .. ':pace', string.format('%.3f:%s', now, ARGV[6]))
  call('LTRIM', key .. ':pace', 0, ARGV[7] - 1)
  call('HDEL', key, 'paused', 'paused_since', 'paused_until')
  call('HINCRBY', key, 'revision', 1)
  local told = call('BITCOUNT', key .. ':done') + call('HLEN', key .. ':failed')
  if f[3] or told >= tonumber(f[2]) then settled = 1 end
end
local state = gone(ARGV[8], ARGV[9], ARGV[10])
state = state or finish(worker, text, now, unpack(ARGV, 8))
flush()
return {state, settled}
