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

local clock, clock_of_rq -- they stand still while a script runs
local function redis_time()
  if not clock then
    local time = call('TIME')
    clock = string.format('%d.%06d', time[1], time[2])
  end
  return clock
end

-- What jobs of calls in progress amount to: seconds of work and bytes, of a caller or ('') of all. A charge is given back
-- when nobody waits for the job any more; one whose giving back was lost is forgotten by and by.
local budgets = {}
local function spent(of, ttl)
  if not budgets[of] then
    local f = call('HMGET', 'unikat:budget:' .. of, 'seconds', 'bytes', 'at')
    local kept = f[3] and math.max(0, 1 - math.max(0, tonumber(redis_time()) - tonumber(f[3])) / ttl) or 0
    budgets[of] = {seconds = tonumber(f[1] or '0') * kept, bytes = tonumber(f[2] or '0') * kept}
  end
  return budgets[of]
end

local function spend(of, seconds, bytes, ttl)
  local level = spent(of, ttl)
  level.seconds, level.bytes = math.max(0, level.seconds + seconds), math.max(0, level.bytes + bytes)
  level.changed = true
end

local function charged(caller, seconds, bytes) return string.format('%.3f %d %s', seconds, bytes, caller or '') end

local function refund(job, ttl)
  local seconds, bytes, caller = string.match(call('HGET', 'rq:job:' .. job, 'unikat_charge') or '', '^(%S+) (%d+) (.*)$')
  if not seconds then return end
  call('HDEL', 'rq:job:' .. job, 'unikat_charge')
  for _, of in ipairs(caller ~= '' and {caller, ''} or {''}) do spend(of, -tonumber(seconds), -tonumber(bytes), ttl) end
end

local function settle_budgets(ttl)
  for of, level in pairs(budgets) do
    if level.changed and level.seconds < 0.001 and level.bytes < 1 then
      call('DEL', 'unikat:budget:' .. of)
    elseif level.changed then
      call('HSET', 'unikat:budget:' .. of, 'seconds', string.format('%.3f', level.seconds), 'bytes',
        string.format('%d', level.bytes), 'at', redis_time())
      call('EXPIRE', 'unikat:budget:' .. of, ttl)
    end
  end
end

-- The same as RQ writes times. Lua has no calendar here: the date is counted from 1 March of the year 0, so that leap days
-- come last (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
local function rq_time()
  if clock_of_rq then return clock_of_rq end
  local seconds, micro = string.match(redis_time(), '(%d+)%.(%d+)')
  local days, floor = math.floor(seconds / 86400) + 719468, math.floor
  local era = floor(days / 146097)
  local of_era = days - era * 146097
  local year = floor((of_era - floor(of_era / 1460) + floor(of_era / 36524) - floor(of_era / 146096)) / 365)
  local of_year = of_era - (365 * year + floor(year / 4) - floor(year / 100))
  local month = floor((5 * of_year + 2) / 153)
  local day = of_year - floor((153 * month + 2) / 5) + 1
  month = month < 10 and month + 3 or month - 9
  year = year + era * 400 + (month < 3 and 1 or 0)
  local hour, minute, second = floor(seconds / 3600) % 24, floor(seconds / 60) % 60, seconds % 60
  clock_of_rq = string.format('%04d-%02d-%02dT%02d:%02d:%02d.%sZ', year, month, day, hour, minute, second, micro)
  return clock_of_rq
end

-- One call for all jobs instead of one for each: `later` notes what to add to a command (`head`: what the calls have in
-- common), `flush` calls.
local noted, heads, finished_by = {}, {}, {}
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
  for worker, total in pairs(finished_by) do
    call('HINCRBY', 'rq:worker:' .. worker, 'successful_job_count', total.jobs)
    call('HINCRBYFLOAT', 'rq:worker:' .. worker, 'total_working_time', string.format('%.6f', total.seconds))
  end
  noted, heads, finished_by = {}, {}, {}
end

-- A batch has changed; returns the number of the change. One that was damaged begins again.
local function revise(key)
  if not string.match(call('HGET', key, 'revision') or '0', '^%d+$') then call('HDEL', key, 'revision') end
  return call('HINCRBY', key, 'revision', 1)
end

local LARGEST = 4194304 -- bytes of a field: `MAX_PAYLOAD` in job.py

-- Fields of a hash; one that is too large reads as empty. nil for what is no hash.
local function read(key, fields)
  for _, name in ipairs({'data', 'unikat', 'meta'}) do
    local size = redis.pcall('HSTRLEN', key, name) -- a read, of which only the key's type can be wrong
    if type(size) == 'table' then return nil end
    if size > LARGEST then
      local short = {}
      for i, field in ipairs(fields) do
        short[i] = '' -- what is not there must stay false: an empty `exc_info` is what `rq requeue` leaves
        if call('HSTRLEN', key, field) <= LARGEST then short[i] = call('HGET', key, field) end
      end
      return short
    end
  end
  return call('HMGET', key, unpack(fields))
end

local FIELDS = {
  'status', 'data', 'unikat', 'unikat_deadline', 'unikat_attempts', 'unikat_crashes', 'result_ttl', 'repeats_left',
  'rate_limit_key', 'success_callback_name', 'failure_callback_name', 'stopped_callback_name', 'webhooks', 'exc_info',
  'unikat_refused',
}
local WAITING = {queued = true, created = true, started = true, scheduled = true}

-- 1 for a job that RQ itself has to settle (it repeats, has a rate limit, or its result is kept for ever or not at all),
-- 2 for one with callbacks, else 0.
local function foreign(f)
  for i = 10, 13 do
    if f[i] and f[i] ~= '' then return 2 end
  end
  if (tonumber(f[7] or '') or 0) < 1 or f[8] or f[9] then return 1 end
  return 0
end

-- Begins a job as RQ does: it is started, and in the registries for `ttl` seconds. Returns {id, queue, execution, data,
-- extra, deadline, attempts, crashes, last entry's number, code of its end, seconds that its result is kept, foreign,
-- begun (s), numbers of the entries that are refusals}; nil for what is not a job that waits. `flush` comes after.
local function begin(id, queue, execution, worker, ttl)
  local key = 'rq:job:' .. id
  local f = read(key, FIELDS)
  if not f or not f[2] or not WAITING[f[1] or ''] then return nil end
  local stream = 'unikat:stream:' .. id
  local number, code = stream_end(stream)
  if code > -1 and f[14] then -- `rq requeue`: nobody else leaves `exc_info`. How it ended before counts no more.
    call('DEL', stream)
    call('HDEL', key, 'exc_info', 'unikat_deadline', 'unikat_crashes', 'unikat_crashed_at',
      'unikat_untried', 'unikat_refused')
    number, code, f[4], f[6], f[15] = 0, -1, '', '0', ''
  end
  local member, attempts = id .. ':' .. execution, (tonumber(f[5] or '0') or 0) + 1
  local now, text = redis_time(), rq_time()
  local until_ = math.floor(tonumber(now)) + ttl
  call('HSET', key, 'last_heartbeat', text, 'status', 'started', 'started_at', text, 'worker_name', worker,
    'unikat_attempts', attempts)
  call('PERSIST', key)
  call('HSET', 'rq:execution:' .. member, 'id', execution, 'job_id', id, 'created_at', now, 'last_heartbeat', now,
    'worker_name', worker)
  call('EXPIRE', 'rq:execution:' .. member, ttl)
  call('ZADD', 'rq:executions:' .. id, until_ + 60, execution)
  call('EXPIRE', 'rq:executions:' .. id, ttl + 60)
  later({'ZADD', 'rq:wip:' .. queue}, until_, member)
  later({'SADD', 'rq:worker:' .. worker .. ':executions'}, member)
  return {
    id, queue, execution, f[2], f[3] or '', f[4] or '', attempts, tonumber(f[6] or '0') or 0, number, code,
    tonumber(f[7] or '') or 0, foreign(f), now, f[15] or '',
  }
end

-- What keeps a worker from telling of a job that it has begun: 'canceled' (RQ took it out of its registries as well) or
-- 'lost', not this worker's any more; nil if nothing does.
local function gone(job, queue, execution)
  local status = call('HGET', 'rq:job:' .. job, 'status')
  if status == 'canceled' then return status end
  if status ~= 'started' or not call('ZSCORE', 'rq:wip:' .. queue, job .. ':' .. execution) then return 'lost' end
  return nil
end

-- Finishes a job as RQ does; `flush` comes after. `result` is RQ's text of its result, `begun` the time (s) that `begin`
-- told, `kept` the seconds that the result is kept. Returns 'finished', or 'dependents' for one that RQ itself has to finish:
-- others wait for it, or its result is not kept.
local function finish(worker, job, queue, execution, result, begun, kept)
  local key, member = 'rq:job:' .. job, job .. ':' .. execution
  if tonumber(kept) < 1 or call('EXISTS', key .. ':dependents') == 1 then return 'dependents' end
  local now = redis_time()
  call('HSET', key, 'status', 'finished', 'ended_at', rq_time())
  call('EXPIRE', key, kept)
  local results = 'rq:results:' .. job
  call('XADD', results, 'MAXLEN', '~', 10, '*', 'type', '1', 'worker_name', worker, 'return_value', result,
    'execution_id', execution, 'execution_started_at', begun, 'execution_ended_at', now)
  call('EXPIRE', results, kept)
  call('ZREM', 'rq:executions:' .. job, execution)
  call('EXPIRE', 'unikat:calls:' .. job, kept)
  later({'ZADD', 'rq:finished:' .. queue}, math.floor(tonumber(now)) + tonumber(kept), job)
  later({'ZREM', 'rq:wip:' .. queue}, member)
  later({'SREM', 'rq:worker:' .. worker .. ':executions'}, member)
  later({'DEL'}, 'rq:execution:' .. member)
  local before = finished_by[worker] or {jobs = 0, seconds = 0}
  finished_by[worker] = {jobs = before.jobs + 1, seconds = before.seconds + math.max(0, now - begun)}
  return 'finished'
end
