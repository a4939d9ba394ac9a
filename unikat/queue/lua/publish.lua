-- Adds images to the streams of jobs, tells the services that wait for them, and finishes jobs that are complete.
-- ARGV: worker, ms a stream and the leases on it are kept, entries of an inbox, bytes that go into an inbox, then for each
-- job: id, queue, execution, number of its first entry, n, n entries, and either '' or for a complete job: number of its
-- last entry, RQ's result, begun (s), seconds a result is kept.
-- What a stream holds already is not added again, and nothing is added behind a hole.
-- Returns for each job {state, last entry's number, code}: 'open'; 'finished'; 'dependents', complete, and jobs wait for
-- it, so that RQ has to finish it; 'ended', its stream by a status with a code; 'canceled', for RQ; 'lost', not this
-- worker's any more.
local worker, ttl = ARGV[1], ARGV[2]
local inbox, inline = ARGV[3], tonumber(ARGV[4])
local out, at = {}, 5
local REFUSED = 34 -- first byte of a GenerateResponse that is a refusal: field 4, with a length

local function add(job, stream, number, first, last)
  local size, news, refused = 0, {}, ''
  for i = first, last do
    call('XADD', stream, string.format('%d-0', number + i - first), 'r', ARGV[i])
    size = size + #ARGV[i]
    if string.byte(ARGV[i], 1) == REFUSED then refused = refused .. ' ' .. number + i - first end
    news[#news + 1] = 'r'
    news[#news + 1] = ARGV[i]
  end
  if refused ~= '' then
    call('HSET', 'rq:job:' .. job, 'unikat_refused', (call('HGET', 'rq:job:' .. job, 'unikat_refused') or '') .. refused)
  end
  call('PEXPIRE', stream, ttl)
  call('PEXPIRE', 'unikat:calls:' .. job, ttl) -- a call that gets images all the time never looks after its lease
  if size > inline then
    notify(job, inbox, 'n', number)
  else
    notify(job, inbox, 'n', number, unpack(news))
  end
end

local function publish(job, queue, execution, number, first, last, done)
  local why = gone(job, queue, execution)
  if why then return {why, 0, -1} end
  local stream = 'unikat:stream:' .. job
  local there, code = stream_end(stream)
  if code ~= -1 then return {'ended', there, code} end
  local skipped = there + 1 - number
  if skipped < 0 then return {'open', there, -1} end -- Redis has lost what was published before
  if first + skipped <= last then
    add(job, stream, there + 1, first + skipped, last)
    there = number + last - first
  end
  if done and there >= tonumber(ARGV[done]) then
    return {finish(worker, job, queue, execution, unpack(ARGV, done + 1, done + 3)), there, -1}
  end
  return {'open', there, -1}
end

while at <= #ARGV do
  local job, queue, execution, number = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
  local first = at + 5
  local last = at + 4 + tonumber(ARGV[at + 4])
  local done = ARGV[last + 1] ~= '' and last + 1 or nil
  out[#out + 1] = publish(job, queue, execution, number, first, last, done)
  at = last + (done and 5 or 2)
end
flush()
return out
