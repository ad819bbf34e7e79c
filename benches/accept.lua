-- Signed push deliveries, each with an id of its own. The body and its signature come from the environment.
local body = io.open(os.getenv("BENCH_BODY"), "rb"):read("*a")
local signature = os.getenv("BENCH_SIGNATURE")
local run = os.getenv("BENCH_RUN")
local threads = 0
local count = 0

function setup(thread)
  thread:set("id", threads)
  threads = threads + 1
end

function request()
  count = count + 1
  local headers = {
    ["Content-Type"] = "application/json",
    ["X-GitHub-Event"] = "push",
    ["X-GitHub-Delivery"] = run .. "-" .. id .. "-" .. count,
    ["X-Hub-Signature-256"] = "sha256=" .. signature,
  }
  return wrk.format("POST", nil, headers, body)
end

function done(summary, latency, _)
  local seconds = summary.duration / 1e6
  local failed = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  -- An answer that refuses is none of the deliveries that were taken.
  local taken = summary.requests - summary.errors.status
  io.write(string.format("RESULT %.1f %.2f %.2f %d\n", taken / seconds, latency:percentile(50) / 1000,
    latency:percentile(99) / 1000, failed))
end
