-- Takes jobs and begins them as RQ does: of each model in turn, and of a model's queues in turn.
-- ARGV: most, worker, now (as RQ writes times), now (s), seconds in RQ's registries, n, n model keys, execution ids.
-- A model key of '' stands for the queue `unikat`, into which services of the release before put jobs of all models.
-- Returns {Redis' time, whether jobs are left, jobs}; `begin` says what a job is.
local most, worker, text, now, ttl = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local models, jobs = tonumber(ARGV[6]), {}

local function add(id, queue)
  jobs[#jobs + 1] = begin(id, queue, ARGV[6 + models + #jobs + 1], worker, text, now, ttl)
end

-- Takes one job; false if the model has none.
local function take_one(model)
  if model == '' then
    local id = call('LPOP', 'rq:queue:unikat')
    if id then add(id, 'unikat') end
    return id
  end
  local turns = 'unikat:turns:' .. model
  local queue = call('LPOP', turns)
  if not queue then return false end
  local id = call('LPOP', 'rq:queue:' .. queue)
  if call('EXISTS', 'rq:queue:' .. queue) == 1 then call('RPUSH', turns, queue) end
  if id then add(id, queue) end
  return true
end

local dry, active, looks = {}, models, most + 256 -- what is no job any more is thrown away, some at a time
while #jobs < most and active > 0 and looks > 0 do
  for i = 1, models do
    if #jobs < most and not dry[i] then
      looks = looks - 1
      if not take_one(ARGV[6 + i]) then
        dry[i] = true
        active = active - 1
      end
    end
  end
end

if #jobs > 0 then call('EXPIRE', 'rq:worker:' .. worker .. ':executions', ttl) end

local left = 0
for i = 1, models do
  local model = ARGV[6 + i]
  if model == '' then
    if call('EXISTS', 'rq:queue:unikat') == 1 then left = 1 end
  elseif call('EXISTS', 'unikat:turns:' .. model) == 1 then
    left = 1
    if call('EXISTS', 'unikat:bell:' .. model) == 0 then call('RPUSH', 'unikat:bell:' .. model, '1') end
  else
    call('DEL', 'unikat:bell:' .. model)
  end
end
return {redis_time(), left, jobs}
