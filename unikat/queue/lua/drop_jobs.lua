-- Deletes jobs of a queue that nobody has begun: those that wait, and those that wait for another try.
-- ARGV: queue, most. Returns how many were deleted: fewer than `most` when none is left.
local waiting, scheduled = 'rq:queue:' .. ARGV[1], 'rq:scheduled:' .. ARGV[1]
local most, dropped = tonumber(ARGV[2]), 0
for _, job in ipairs(call('LPOP', waiting, most) or {}) do
  call('DEL', 'rq:job:' .. job)
  dropped = dropped + 1
end
for _, job in ipairs(call('ZRANGE', scheduled, 0, most - dropped - 1)) do
  if dropped == most then break end
  call('DEL', 'rq:job:' .. job)
  call('ZREM', scheduled, job)
  dropped = dropped + 1
end
return dropped
