-- Keeps the inbox of a service, or makes it.
-- ARGV: service, seconds it is kept (0: it ends), id of the last entry that the service has read.
-- Returns the id of the last entry that it ever had.
local inbox = 'unikat:inbox:' .. ARGV[1]
if call('EXPIRE', inbox, ARGV[2]) == 0 then
  if ARGV[2] == '0' then return '0-0' end
  call('XADD', inbox, '*', 'j', '')
  call('EXPIRE', inbox, ARGV[2])
end
if call('EXISTS', inbox) == 0 then return '0-0' end
call('XTRIM', inbox, 'MINID', '~', ARGV[3])
local found = call('XINFO', 'STREAM', inbox)
for i = 1, #found, 2 do
  if found[i] == 'last-generated-id' then return found[i + 1] end
end
