-- Shared by all scripts: `scripts.py` puts it in front of each.
local END = '18446744073709551615-18446744073709551615'
local call = redis.call

local function kind(key) return call('TYPE', key).ok end

-- The number of a stream's last entry (0: none) and the code of the status that ended it: -1 none, -2 it is no stream.
local function stream_end(key)
  local found = redis.pcall('XREVRANGE', key, '+', '-', 'COUNT', 1) -- a read, of which only the key's type can be wrong
  if found.err then return 0, -2 end
  local last = found[1]
  if not last then return 0, -1 end
  if last[2][1] == 's' then
    -- A serialized google.rpc.Status begins with its code: field 1, a varint below 128.
    local code = string.byte(last[2][2], 1) == 8 and string.byte(last[2][2], 2) or 2
    return 0, code
  end
  return tonumber(string.match(last[1], '^%d+')), -1
end

-- Adds an entry about a job to the inbox of each service with a lease on it. An inbox that has expired stays away.
local function notify(job, length, ...)
  local told = {}
  for _, lease in ipairs(call('SMEMBERS', 'unikat:calls:' .. job)) do
    local service = string.match(lease, '^[^/]+')
    if service and not told[service] then
      told[service] = true
      call('XADD', 'unikat:inbox:' .. service, 'NOMKSTREAM', 'MAXLEN', '~', length, '*', 'j', job, ...)
    end
  end
end

-- A queue has jobs: it takes part in the turns of its model, and a worker that waits for the model wakes up.
local function ring(model, queue)
  local turns, bell = 'unikat:turns:' .. model, 'unikat:bell:' .. model
  if not call('LPOS', turns, queue) then call('RPUSH', turns, queue) end
  if call('EXISTS', bell) == 0 then call('RPUSH', bell, '1') end
end

local clock -- stands still while a script runs
local function redis_time()
  if not clock then
    local time = call('TIME')
    clock = string.format('%d.%06d', time[1], time[2])
  end
  return clock
end

-- One call for all jobs instead of one for each: `later` notes what to add to a command (`head`: what the calls have in
-- common), `flush` calls.
local noted, heads = {}, {}
local function later(head, ...)
  local id = table.concat(head, '\n')
  if not noted[id] then
    noted[id] = head
    heads[#heads + 1] = head
  end
  for _, each in ipairs({...}) do table.insert(noted[id], each) end
end

local function flush()
  for _, command in ipairs(heads) do call(unpack(command)) end
  noted, heads = {}, {}
end
