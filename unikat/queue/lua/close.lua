-- Ends a stream with a status, unless it has ended, and tells the services that wait for it.
-- ARGV: job, number behind which a stream is complete, status, seconds it is kept, entries of an inbox.
-- Returns 1 if this call ended it.
local job, stream = ARGV[1], 'unikat:stream:' .. ARGV[1]
local number, code = stream_end(stream)
if code ~= -1 or number > tonumber(ARGV[2]) then return 0 end
call('XADD', stream, END, 's', ARGV[3])
call('EXPIRE', stream, ARGV[4])
notify(job, ARGV[5], 's', ARGV[3])
return 1
