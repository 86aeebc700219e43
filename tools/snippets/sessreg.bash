# Marks the session as used at bash's prompts, for sites where sessions without a terminal of their
# own (containers, remote development) would look idle. Source it from ~/.bashrc:
#
#   . @datadir@/sessreg.bash
#
# At most one mark per minute and shell, in the background: a prompt waits for a fork, not for an
# answer. Silent except in one case: if the session is refused (because it was revoked, or because
# it has lost its seat and the site is full), the next prompt says so once. See sessreg(8), "touch".

case $- in
  *i*) ;;
  *) return 0 ;;
esac
[ -z "${__sessreg_at-}" ] || return 0 # sourced before

__sessreg_tool=@tool@
__sessreg_at=0     # of the last mark, in seconds since 1970
__sessreg_refused= # the message of the last refusal; empty: none since the last mark
if [ -n "${XDG_RUNTIME_DIR-}" ] && [ -O "$XDG_RUNTIME_DIR" ]; then
  __sessreg_note=$XDG_RUNTIME_DIR
else
  __sessreg_note=/tmp
fi
# Nobody can guess the name, and the file is only read if it is our own.
__sessreg_note=$__sessreg_note/sessreg-note-$$-$RANDOM$RANDOM$RANDOM

# Makes the mark, in the background. Leaves a note if there is something to tell the shell.
__sessreg_mark() {
  local said status
  # Not as an argument: everybody can see those.
  said=$(SESSREG_TOKEN=$SESSREG_TOKEN "$__sessreg_tool" touch 2>&1 </dev/null)
  status=$?
  case $status in
    6) [ "$said" != "$__sessreg_refused" ] || return 0 ;;
    0) [ -n "$__sessreg_refused" ] || return 0; said= ;;
    *) return 0 ;;
  esac
  umask 077
  set -C
  printf '%s' "$said" >"$__sessreg_note.new" && command mv -f -- "$__sessreg_note.new" "$__sessreg_note"
}

__sessreg_prompt() {
  local status=$? now
  if [ -f "$__sessreg_note" ] && [ -O "$__sessreg_note" ] && [ ! -L "$__sessreg_note" ]; then
    __sessreg_refused=$(<"$__sessreg_note")
    command rm -f -- "$__sessreg_note"
    [ -z "$__sessreg_refused" ] || printf '%s\n' "$__sessreg_refused" >&2
  fi
  [ -n "${SESSREG_TOKEN-}" ] || return $status
  printf -v now '%(%s)T' -1
  # The clock may have been set back.
  if ((now >= __sessreg_at + 60 || now < __sessreg_at)) && [ -x "$__sessreg_tool" ]; then
    __sessreg_at=$now
    # In a subshell of a subshell: no job of this shell, no zombie, and $! stays as it was.
    (__sessreg_mark >/dev/null 2>&1 &)
  fi
  return $status
}

if ((BASH_VERSINFO[0] > 5 || (BASH_VERSINFO[0] == 5 && BASH_VERSINFO[1] >= 1))); then
  PROMPT_COMMAND+=(__sessreg_prompt)
else
  PROMPT_COMMAND=__sessreg_prompt${PROMPT_COMMAND:+$'\n'$PROMPT_COMMAND}
fi
