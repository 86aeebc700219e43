# Marks the session as used at zsh's prompts, for sites where sessions without a terminal of their
# own (containers, remote development) would look idle. Source it from ~/.zshrc:
#
#   . @datadir@/sessreg.zsh
#
# At most one mark per minute and shell, in the background: a prompt waits for a fork, not for an
# answer. Silent except in one case: if the session is refused (because it was revoked, or because
# it has lost its seat and the site is full), the next prompt says so once. See sessreg(8), "touch".

[[ -o interactive ]] || return 0
[[ -z ${__sessreg_at-} ]] || return 0 # sourced before
zmodload zsh/datetime 2>/dev/null && autoload -Uz add-zsh-hook || return 0

typeset -g __sessreg_tool=@tool@
typeset -gi __sessreg_at=0    # of the last mark, in seconds since 1970
typeset -g __sessreg_refused= # the message of the last refusal; empty: none since the last mark
# Nobody can guess the name, and the file is only read if it is our own.
if [[ -n ${XDG_RUNTIME_DIR-} && -O $XDG_RUNTIME_DIR ]]; then
  typeset -g __sessreg_note=$XDG_RUNTIME_DIR
else
  typeset -g __sessreg_note=/tmp
fi
__sessreg_note+=/sessreg-note-$$-$RANDOM$RANDOM$RANDOM

# Makes the mark, in the background. Leaves a note if there is something to tell the shell.
__sessreg_mark() {
  emulate -L zsh
  local said code
  # Not as an argument: everybody can see those.
  said=$(SESSREG_TOKEN=$SESSREG_TOKEN $__sessreg_tool touch 2>&1 </dev/null)
  code=$?
  case $code in
    (6) [[ $said != $__sessreg_refused ]] || return 0 ;;
    (0) [[ -n $__sessreg_refused ]] || return 0; said= ;;
    (*) return 0 ;;
  esac
  umask 077
  setopt no_clobber
  printf '%s' $said >$__sessreg_note.new && command mv -f -- $__sessreg_note.new $__sessreg_note
}

__sessreg_prompt() {
  local code=$?
  emulate -L zsh
  setopt no_bg_nice
  if [[ -f $__sessreg_note && -O $__sessreg_note && ! -L $__sessreg_note ]]; then
    __sessreg_refused=$(<$__sessreg_note)
    command rm -f -- $__sessreg_note
    [[ -z $__sessreg_refused ]] || print -r -- $__sessreg_refused >&2
  fi
  [[ -n ${SESSREG_TOKEN-} ]] || return $code
  # The clock may have been set back.
  if (( EPOCHSECONDS >= __sessreg_at + 60 || EPOCHSECONDS < __sessreg_at )) &&
    [[ -x $__sessreg_tool ]]; then
    __sessreg_at=$EPOCHSECONDS
    # In a subshell of a subshell: no job of this shell, no zombie, and $! stays as it was.
    ( __sessreg_mark >/dev/null 2>&1 & )
  fi
  return $code
}

add-zsh-hook precmd __sessreg_prompt
