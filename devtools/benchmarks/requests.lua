-- Walks the paths in the file BENCH_PATHS, one a line; BENCH_HEADER is one more header, BENCH_PAUSE milliseconds that
-- each connection waits between two requests.
local paths, at = {}, 0
local headers, pause = {}, tonumber(os.getenv("BENCH_PAUSE") or "0")
local name, value = string.match(os.getenv("BENCH_HEADER") or "", "^([^:]+): (.*)$")
if name then headers[name] = value end

local threads = 0
function setup(thread)
  thread:set("first", threads)
  threads = threads + 1
end

function init(args)
  for path in io.lines(os.getenv("BENCH_PATHS")) do paths[#paths + 1] = wrk.format("GET", path, headers) end
  at = first * 7919 -- threads begin at different places
end

function request()
  at = at + 1
  return paths[at % #paths + 1]
end

if pause > 0 then
  function delay() return pause end
end

function done(summary, latency)
  local bad = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout
  io.write(string.format("RESULT %d %d %d %d\n", summary.requests, summary.duration, latency:percentile(99), bad))
end
