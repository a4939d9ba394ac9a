-- What has become of jobs that calls wait for. Their leases are taken again, in a Redis that lost them, and what they
-- wait for does not expire meanwhile.
-- ARGV: seconds that leases and results are kept, then for each call: job, lease.
-- Returns for each {RQ's status or '', last entry's number, code of its end}.
local kept, out = ARGV[1], {}
for at = 2, #ARGV, 2 do
  local job = ARGV[at]
  local leases, stream = 'unikat:calls:' .. job, 'unikat:stream:' .. job
  local status = call('HGET', 'rq:job:' .. job, 'status') or ''
  if status ~= '' then
    call('SADD', leases, ARGV[at + 1])
    call('EXPIRE', leases, kept)
  end
  call('EXPIRE', stream, kept)
  local number, code = stream_end(stream)
  out[#out + 1] = {status, number, code}
end
return out
