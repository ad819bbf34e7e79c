-- How pandoc prints the manual: `code` is bold, comments stay, and each hyphen is one that can be copied.

local function roff(text)
  return (text:gsub('\\', '\\e'):gsub('-', '\\-'):gsub("'", '\\[aq]'):gsub('^%.', '\\&.'))
end

function Code(code)
  return pandoc.RawInline('man', '\\fB' .. roff(code.text) .. '\\fR')
end

function CodeBlock(block)
  local lines = block.text:gsub('\\', '\\e'):gsub('-', '\\-'):gsub("'", '\\[aq]'):gsub('^%.', '\\&.'):gsub('\n%.', '\n\\&.')
  return pandoc.RawBlock('man', '.PP\n.nf\n' .. lines .. '\n.fi')
end

function Str(str)
  if str.text:find('-', 1, true) then
    return pandoc.RawInline('man', roff(str.text))
  end
end

function RawBlock(raw)
  return pandoc.RawBlock('man', '.\\" ' .. raw.text:match('<!%-%- (.-) %-%->'))
end
