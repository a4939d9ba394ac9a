-- Changes what is served by whom, and puts it on the record.
-- ARGV: name of this try, entries that the record keeps, action, subject, who, why, field that is set ('' none), and the
-- fields that are removed. The same try a second time changes nothing.
-- Returns the id of the entry; its first part is Redis' time in ms.
local KEY, RECORD = 'unikat:control', 'unikat:control:record'
for _, entry in ipairs(call('XREVRANGE', RECORD, '+', '-', 'COUNT', 32)) do
  if entry[2][2] == ARGV[1] then return entry[1] end
end
local id = call('XADD', RECORD, 'MAXLEN', '~', ARGV[2], '*', 'try', ARGV[1], 'action', ARGV[3], 'subject', ARGV[4], 'who',
  ARGV[5], 'why', ARGV[6])
for i = 8, #ARGV do call('HDEL', KEY, ARGV[i]) end
if ARGV[7] ~= '' then call('HSET', KEY, ARGV[7], table.concat({id, ARGV[4], ARGV[5], ARGV[6]}, '\n')) end
return id
