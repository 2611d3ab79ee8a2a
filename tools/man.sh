#!/bin/sh
# man.sh TOOL SCDOC PAGE [COMMAND] — a man page from what TOOL COMMAND --help says.
set -eu
tool=$1 scdoc=$2 page=$3 command=${4:-}
name=phosphene${command:+-$command}
if [ -n "$command" ]; then
  summary=$("$tool" --help | sed -n "s/^  $command  *//p" | head -n 1)
  text=$("$tool" "$command" --help)
else
  summary=$("$tool" --help | sed -n '1s/^phosphene: //p')
  text=$("$tool" --help)
fi
{
  printf '%s(1)\n\n# NAME\n\n%s - %s\n\n# DESCRIPTION\n\n```\n' "$name" "$name" "$summary"
  printf '%s\n' "$text"
  printf '```\n\n# SEE ALSO\n\n'
  [ -n "$command" ] && printf '*phosphene*(1)\n' || printf '*phosphene-dream*(1), *phosphene-scan*(1), *phosphene-score*(1)\n'
} | "$scdoc" >"$page.part"
mv "$page.part" "$page"
