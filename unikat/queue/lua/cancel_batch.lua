-- Calls a batch off, so that no worker takes a shard of it any more.
-- A script and no WATCH: workers change the batch so often that a transaction might never get through.
-- ARGV: batch. Returns the round that is to be closed, or why there is nothing to do. A batch that was called off and has
-- not ended has its round once more: whoever called it off may have died before it dropped what waits.
local key = 'unikat:batch:' .. ARGV[1]
local head = call('HGET', key, 'head')
if not head then return 'missing' end
local is_cancelled = call('HEXISTS', key, 'cancelled') == 1
if call('HEXISTS', key, 'ended') == 1 then return is_cancelled and 'cancelled' or 'ended' end
if is_cancelled then return call('HGET', key, 'round') or '0' end
call('HSET', key, 'cancelled', redis_time())
call('HDEL', key, 'paused', 'paused_since', 'paused_until')
revise(key)
local of_owner = 'unikat:batches:of:' .. cjson.decode(head).owner
call('LREM', of_owner, 0, ARGV[1])
call('LPUSH', of_owner, ARGV[1]) -- its end does not wait for the owner's older batches
return call('HGET', key, 'round') or '0'
