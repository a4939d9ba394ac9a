-- A batch is forgotten: what it took is free again. ARGV: owner, bytes.
for _, of in ipairs({ARGV[1], ''}) do
  if call('HINCRBY', 'unikat:batches:bytes', of, -tonumber(ARGV[2])) <= 0 then call('HDEL', 'unikat:batches:bytes', of) end
end
return 1
