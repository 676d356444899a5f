-- Moves entries of the ledger from one state to the next, each only if it is still in a state that allows it.
-- (ledger_lease.lua says what an entry is.)
--
-- KEYS: the entry of each move; after it, where the move is to S, the notification's cancel mark.
-- ARGV: token, retention in ms, lease in ms; then for each move the states it may come from (3, filled with blanks), the
-- state it goes to (1), its serial (10) and the new body, as one string: clients pack arguments slowly. L and S count
-- only with our own token, X is anybody's sending whose time is up. An entry that is gone (Redis was emptied) may always
-- be written. A move that was made already, and whose answer got lost, is made again: its serial is the entry's. One that
-- was given up, and reaches the server after a later one of ours, is refused: its serial is lower.
-- Answers for each: 1 moved, 0 refused, 2 refused because the cancel mark is set.
local token, retention, lease = ARGV[1], ARGV[2], ARGV[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local deadline = string.format('%013d', now + lease)

local function allowed(entry, from, serial)
  if not entry then
    return true
  end
  local state = string.sub(entry, 1, 1)
  if state == 'A' then
    return false
  end
  local ours = string.sub(entry, 2, 17) == token
  if ours then
    local last = string.sub(entry, 18, 27)
    if last >= serial then
      return last == serial
    end
  end
  if state == 'L' or state == 'S' then
    return ours and string.find(from, state, 1, true)
      or state == 'S' and string.find(from, 'X', 1, true) and tonumber(string.sub(entry, 28, 40)) <= now
  end
  return string.find(from, state, 1, true)
end

local answers = {}
local k = 1
for i = 4, #ARGV do
  local key, move = KEYS[k], ARGV[i]
  local from, to = string.sub(move, 1, 3), string.sub(move, 4, 4)
  local serial, body = string.sub(move, 5, 14), string.sub(move, 15)
  k = k + 1
  local answer = 0
  if to == 'S' then
    if redis.call('EXISTS', KEYS[k]) == 1 then
      answer = 2
    end
    k = k + 1
  end
  if answer == 0 and allowed(redis.call('GET', key), from, serial) then
    local head = to == 'A' and 'A' or to .. token .. serial
    if to == 'S' then
      head = head .. deadline
    end
    redis.call('SET', key, head .. body, 'PX', retention)
    answer = 1
  end
  answers[#answers + 1] = answer
end
return answers
