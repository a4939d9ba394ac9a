-- Records that a shard failed for good, unless another worker has written it: it would be counted twice.
-- ARGV: batch, shard, why. Returns the batch's new revision, 0 if the shard is written.
local key = 'unikat:batch:' .. ARGV[1]
if call('GETBIT', key .. ':done', ARGV[2]) == 1 then return 0 end
call('HSET', key .. ':failed', ARGV[2], ARGV[3])
return revise(key)
