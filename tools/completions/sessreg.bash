# Completion of sessreg(8) for bash. Sessions, users and hosts come from the tool itself, in its
# tab-separated form; what it cannot tell (not root, no registry) is not offered.

# What the tool prints for these words, for the site that the earlier words choose.
_@FUNCTION@_tool() {
  local -a site=()
  local i
  for ((i = 1; i < COMP_CWORD; ++i)); do
    # bash splits words at "=".
    case ${COMP_WORDS[i]} in
      --site | --conf)
        local value=${COMP_WORDS[i + 1]}
        [[ $value != = ]] || value=${COMP_WORDS[i + 2]}
        # Passed on as typed, so not if it has quotes or backslashes.
        [[ $value == *[\'\"\\\$\`]* ]] || site+=("${COMP_WORDS[i]}" "$value")
        ;;
    esac
  done
  command "${COMP_WORDS[0]/#\~/$HOME}" "${site[@]}" "$@" 2>/dev/null </dev/null
}

# The fields of all sessions.
_@FUNCTION@_sessions() {
  _@FUNCTION@_tool list --tsv
}

# Hosts with failed authentications.
_@FUNCTION@_failing_hosts() {
  _@FUNCTION@_tool failures | sed -n '2,$s/  .*//p'
}

# Offers the lines of standard input that begin as the word does, quoted for the shell.
_@FUNCTION@_offer() {
  local line quoted
  while IFS= read -r line; do
    [[ $line == "$1"* ]] || continue
    printf -v quoted %q "$line"
    COMPREPLY+=("$quoted")
  done
}

# Offers those of the words $2 that are not in the list $1 yet, which has commas and is being typed.
_@FUNCTION@_sequence() {
  local given='' word
  local -a left=()
  [[ $1 != *,* ]] || given=${1%,*},
  for word in $2; do
    [[ ,$given == *,"$word",* ]] || left+=("$word")
  done
  mapfile -t COMPREPLY < <(compgen -P "$given" -W "${left[*]}" -- "${1##*,}")
}

_@FUNCTION@_sites() {
  local file
  echo default
  for file in /etc/security/sessreg.d/*.conf; do
    [[ -e $file ]] || continue
    file=${file##*/}
    echo "${file%.conf}"
  done
}

# Ids, each with whose session it is; just the id if only one is left.
_@FUNCTION@_ids() {
  local id site user uid service host rest
  local -a found=() described=()
  while IFS=$'\t' read -r id site user uid service host rest; do
    [[ $id == "$1"* ]] || continue
    found+=("$id")
    described+=("$id  ($user, $service, $host)")
  done < <(_@FUNCTION@_sessions)
  if ((${#found[@]} > 1)) && [[ ${COMP_TYPE:-} == 63 ]]; then
    COMPREPLY=("${described[@]}")  # this list is only shown
  else
    COMPREPLY=("${found[@]}")
  fi
}

_@FUNCTION@() {
  COMPREPLY=()
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
  if [[ $word == = ]]; then
    word=''
  elif [[ $before == = ]]; then
    before=${COMP_WORDS[COMP_CWORD - 2]}
  fi
  [[ $before != = ]] || before=${COMP_WORDS[COMP_CWORD - 2]}

  local commands='list show status metrics revoke message limit reload purge failures touch token explain check'
  local command='' i
  for ((i = 1; i < COMP_CWORD; ++i)); do
    case ${COMP_WORDS[i]} in
      --site | --conf) ((++i)); [[ ${COMP_WORDS[i]:-} != = ]] || ((++i)) ;;
      -*) ;;
      *) command=${COMP_WORDS[i]}; break ;;
    esac
  done

  case $before in
    --site) _@FUNCTION@_offer "$word" < <(_@FUNCTION@_sites); return ;;
    --conf | --file | --public-key)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$word")
      return
      ;;
    --user) _@FUNCTION@_offer "$word" < <(_@FUNCTION@_sessions | cut -f 3 | sort -u); return ;;
    --service) _@FUNCTION@_offer "$word" < <(_@FUNCTION@_sessions | cut -f 5 | sort -u); return ;;
    --reset) _@FUNCTION@_offer "$word" < <(_@FUNCTION@_failing_hosts); return ;;
    --host)
      _@FUNCTION@_offer "$word" < <(_@FUNCTION@_sessions | cut -f 6 | grep -vx -e - | sort -u)
      return
      ;;
    --state)
      _@FUNCTION@_sequence "$word" 'active parked reserved orphaned left ending exempt observed'
      return
      ;;
    --sort)
      local orders='activity opened user host service state'
      [[ " ${COMP_WORDS[*]} " != *' --by-user '* ]] ||
        orders='dangling sessions activity opened user'
      mapfile -t COMPREPLY < <(compgen -W "$orders" -- "$word")
      return
      ;;
    --idle) mapfile -t COMPREPLY < <(compgen -W '15m 1h 8h 1d 4d 2w' -- "$word"); return ;;
    --grace) mapfile -t COMPREPLY < <(compgen -W '5s 10s 30s 1m' -- "$word"); return ;;
    --output) mapfile -t COMPREPLY < <(compgen -W 'table json csv tsv ids' -- "$word"); return ;;
    --kind) _@FUNCTION@_sequence "$word" 'process device'; return ;;
    --reason | --device) return ;;
  esac

  local options='--site --conf --json --help'
  local filters='--user --service --host --device --kind --state --idle --dangling'
  case $command in
    '') options+=' --version' ;;
    list)
      options+=" $filters --by-user --all-sites --sort --reverse --csv --tsv --watch --quiet --output --wide"
      ;;
    status) options+=' --all-sites' ;;
    metrics) options='--all-sites --site --conf --help' ;;
    revoke) options+=" $filters --all --reason --grace --dry-run --yes --self" ;;
    message) options+=" $filters --all" ;;
    check) options+=' --file' ;;
    limit) options+=' --configured' ;;
    purge) options+=' --rebuild' ;;
    failures) options+=' --reset --reset-all' ;;
    touch) options+=' --quiet' ;;
    token) [[ " ${COMP_WORDS[*]} " != *' verify '* ]] || options+=' --public-key' ;;
    explain) options+=' --service --host' ;;
  esac
  if [[ $word == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
    return
  fi
  case $command in
    '') mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$word") ;;
    show | revoke | message) _@FUNCTION@_ids "$word" ;;
    token) mapfile -t COMPREPLY < <(compgen -W 'inspect verify keygen rotate public' -- "$word") ;;
    explain) mapfile -t COMPREPLY < <(compgen -u -- "$word") ;;
  esac
}

complete -F _@FUNCTION@ @TOOL@ @USER_TOOL@
