# Marks the session as used at bash's prompts, for sites where sessions without a terminal of their
# own (containers, remote development) would look idle. Source it from ~/.bashrc:
#
#   . @datadir@/sessreg.bash
#
# At most one mark a minute and shell, in the background: a prompt waits for a fork, not for an
# answer. Silent but for one case: a session that is refused (the site is full, and the seat is lost;
# or it was revoked) says so once, at the next prompt. See sessreg(8), "touch".

case $- in
  *i*) ;;
  *) return 0 ;;
esac
[ -z "${__sessreg_at-}" ] || return 0 # sourced before

__sessreg_tool=@tool@
__sessreg_at=0     # of the last mark, in seconds since 1970
__sessreg_refused= # what was said of the last refusal; empty: none since the last mark
if [ -n "${XDG_RUNTIME_DIR-}" ] && [ -O "$XDG_RUNTIME_DIR" ]; then
  __sessreg_note=$XDG_RUNTIME_DIR
else
  __sessreg_note=/tmp
fi
# Nobody can guess it, and only a file of our own is read.
__sessreg_note=$__sessreg_note/sessreg-note-$$-$RANDOM$RANDOM$RANDOM

# The mark, in the background. Leaves a note where the shell must know something.
__sessreg_mark() {
  local said status
  # Not as an argument: those can be seen by everybody.
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
    # Twice in a subshell: no job of this shell, no zombie, and $! stays what it was.
    (__sessreg_mark >/dev/null 2>&1 &)
  fi
  return $status
}

if ((BASH_VERSINFO[0] > 5 || (BASH_VERSINFO[0] == 5 && BASH_VERSINFO[1] >= 1))); then
  PROMPT_COMMAND+=(__sessreg_prompt)
else
  PROMPT_COMMAND=__sessreg_prompt${PROMPT_COMMAND:+$'\n'$PROMPT_COMMAND}
fi
