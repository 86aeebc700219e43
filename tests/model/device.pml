/* Device keys: of one key there is at most one session, whoever logs in with it, uses it or ends it.
 *
 * The gate is a version here, and its operations are settled when they happen: sessions.pml shows why
 * that may be. All sessions but a stranger's have the one key. They stand at its home, slot 0, or behind
 * it: who looks for them reads how far, and then slot by slot. LIM seats. -DCFG_… chooses who does what.
 */
#define FREE    0
#define CLAIMED 1
#define SEATED  2
#define PARKED  3
#define NOTE    4                   /* evicted: kept to tell its holder */
#define EXEMPT  5

#define KEY_SEATED { SEATED, FREE, FREE }
#define KEY_PARKED { PARKED, FREE, FREE }
#define KEY_0 { 1, 0, 0 }

#if defined(CFG_LOGIN)              /* two log in, one of them twice; one closes what is there */
#define LIM 2
#define FAR 0
#define SCRIPT0 login(); login()
#define SCRIPT1 login()
#define SCRIPT2 find(); close()
#elif defined(CFG_USE)              /* two use it, one of them twice; one closes what is there */
#define LIM 2
#define FAR 0
#define SCRIPT0 use(); use()
#define SCRIPT1 use()
#define SCRIPT2 find(); close()
#elif defined(CFG_MIXED)            /* use and login; one of them dies; a reaper */
#define LIM 2
#define DEATHS
#define SCRIPT0 login()
#define SCRIPT1 use(); close()
#define SCRIPT2 reap(); reap()
#elif defined(CFG_HAND_OVER)        /* who logs in anew keeps the seat, also on a full site */
#define STAGES KEY_SEATED
#define KEYS KEY_0
#define COUNT 1
#define SCRIPT0 login(); assert(ref < N)
#define SCRIPT1 newcomer()
#define SCRIPT2 use()
#elif defined(CFG_REUSE)            /* its slot gets another occupant */
#define N 2
#define STAGES { SEATED, FREE }
#define KEYS { 1, 0 }
#define COUNT 1
#define SCRIPT0 use()
#define SCRIPT1 find(); close(); newcomer()
#define SCRIPT2 skip
#elif defined(CFG_PARKED)           /* a stranger has taken the seat, and leaves: it returns, or logs in anew */
#define STAGES { PARKED, SEATED, FREE }
#define KEYS KEY_0
#define COUNT 1
#define SCRIPT0 login()
#define SCRIPT1 find(); touch(); close()
#define SCRIPT2 stranger_leaves()
#elif defined(CFG_TAKE)             /* it loses its seat to a login of its own key, or to a stranger */
#define N 4
#define SCRIPT0 login()
#define SCRIPT1 use()
#define SCRIPT2 stranger(); stranger_leaves()
#elif defined(CFG_REVOKE)           /* one revokes it, and may die; the holder goes on using it, and logs in */
#define DEATHS
#define NOTES_TELL
#define STAGES KEY_SEATED
#define KEYS KEY_0
#define COUNT 1
#define SCRIPT0 find(); revoke()
#define SCRIPT1 find(); touch(); login()
#define SCRIPT2 reap()
#elif defined(CFG_REVOKE_PARKED)    /* the same; it has no seat, and comes back */
#define NOTES_TELL
#define STAGES KEY_PARKED
#define KEYS KEY_0
#define COUNT 0
#define SCRIPT0 find(); revoke()
#define SCRIPT1 find(); touch()
#define SCRIPT2 use()
#elif defined(CFG_NOTES)            /* the notes of two that were revoked: they go where a slot is needed */
#define LIM 2
#define STAGES { NOTE, NOTE, SEATED }
#define KEYS { 1, 1, 0 }
#define COUNT 1
#define SCRIPT0 login(); assert(ref < N)
#define SCRIPT1 use(); assert(ref < N)
#define SCRIPT2 skip
#elif defined(CFG_EXEMPT)           /* exempt, or not any more */
#define SCRIPT0 list_exempt()
#define SCRIPT1 list_exempt(); login()
#define SCRIPT2 use()
#elif defined(CFG_TAKE_OVER)        /* a login of another device takes over what it has been shown */
#define N 4
#define SCRIPT0 use()
#define SCRIPT1 find(); take_over()
#define SCRIPT2 login(); close()
#else
#error no configuration
#endif

#ifndef N
#define N 3
#endif
#ifndef LIM
#define LIM 1
#endif
#ifndef FAR
#define FAR (N - 1)
#endif
#ifndef STAGES
#define STAGES FREE
#define KEYS 0
#define COUNT 0
#endif

byte st[N] = STAGES;
bit key[N] = KEYS;             /* the record's; written with the claim */
byte gen[N];                        /* of the occupancy */
bit marked[N];
byte owner[N];                      /* the claimer */
byte far = FAR;                     /* how far from home they may stand: at first as far as it may be */
byte gate;                          /* grows at every gate operation */
byte count = COUNT;
byte dead;

/* Ghosts */
bit told_revoked;                   /* revoke() has returned: nothing of slot r_slot, r_gen has a seat again */
byte r_slot, r_gen;

#define me _pid
#ifdef DEATHS
#define WHEN(c) (!(dead >> me & 1) && (c))
#else
#define WHEN(c) (c)
#endif
#define LIVES(i) (st[i] == SEATED || st[i] == PARKED || st[i] == EXEMPT)

hidden byte h_i, h_n, h_s;

inline check() {
  h_i = 0; h_n = 0; h_s = 0;
  do
  :: h_i < N ->
     if :: LIVES(h_i) && key[h_i] -> h_n++ :: else fi;
     if :: st[h_i] == SEATED -> h_s++ :: else fi;
     h_i++
  :: else -> break
  od;
  assert(h_n <= 1);
  assert(h_s == count && count <= LIM);
#ifdef NOTES_TELL
  h_i = 0;
  do
  :: h_i < N -> assert(st[h_i] != NOTE || marked[h_i]); h_i++
  :: else -> break
  od;
#endif
  assert(!told_revoked || gen[r_slot] != r_gen || !(st[r_slot] == SEATED || st[r_slot] == PARKED))
}

#define LOCALS \
  byte g, sl = N, ep, v = N, vg, vs, i, d; bit done; \
  byte ref = N, rg

/* The session of the key, as a look that began with the gate load finds it: v, its generation and stage. */
inline look() {
  d_step { WHEN(1) -> d = far; i = 0; v = N };
  do
  :: d_step {
       WHEN(i <= d && i < N) ->
       if
       :: LIVES(i) && key[i] -> v = i; vg = gen[i]; vs = st[i]
       :: else
       fi;
       i++
     }
  :: d_step { WHEN(i > d || i == N) -> i = 0; d = 0 }; break
  od;
  skip
}

/* A slot for a new session: a free one, or else that of a note. sl == N: none. */
inline claim(k) {
  d_step { WHEN(1) -> sl = N; i = 0 };
  do
  :: d_step {
       WHEN(i < N && st[i] == FREE) ->
       st[i] = CLAIMED; gen[i]++; ep = gen[i]; key[i] = k; marked[i] = 0; owner[i] = me; sl = i; i = 0
     };
     break
  :: d_step { WHEN(i < N && st[i] != FREE) -> i++ }
  :: d_step { WHEN(i == N) -> i = 0 };
#ifdef M_NOTES_STAY
     break
#else
     do
     :: d_step { WHEN(i < N && st[i] == NOTE) -> vg = gen[i] };
        d_step { WHEN(1) -> if :: st[i] == NOTE && gen[i] == vg -> st[i] = FREE :: else fi; i = 0; vg = 0 };
        break
     :: d_step { WHEN(i < N && st[i] != NOTE) -> i++ }
     :: d_step { WHEN(i == N) -> skip }; break
     od;
     skip;
     if
     :: d_step { WHEN(i == N) -> i = 0 }; break
     :: d_step { WHEN(i == 0) -> skip }
     fi
#endif
  od;
  skip;
#ifndef M_FAR_AFTER
  if
  :: sl < N -> d_step { WHEN(1) -> if :: far < sl -> far = sl :: else fi }
  :: sl == N
  fi
#else
  skip
#endif
}

inline abandon() {
  d_step { WHEN(1) -> if :: sl < N && st[sl] == CLAIMED && gen[sl] == ep && owner[sl] == me -> st[sl] = FREE :: else fi; sl = N; ep = 0 }
}

#define CHANGE(effect) d_step { WHEN(1) -> if :: gate == g -> gate++; effect; check(); done = 1 :: else fi }
#ifdef M_LOOK_FIRST                 /* looks for the key before it loads the gate */
#define LOAD_AND_LOOK() look(); d_step { WHEN(1) -> g = gate }
#else
#define LOAD_AND_LOOK() d_step { WHEN(1) -> g = gate }; look()
#endif
#define STILL(x) (st[v] == (x) && gen[v] == vg)

/* A newcomer's seat where the key has no session, or a parked one, which has to go first. */
inline add() {
  if
  :: d_step { WHEN(v < N) -> skip };
#ifdef M_PARKED_STAYS
     if :: STILL(PARKED) -> CHANGE(st[sl] = SEATED; count++; owner[sl] = me) :: else fi;
     if :: done -> d_step { WHEN(1) -> if :: STILL(PARKED) -> st[v] = FREE :: else fi } :: !done fi
#else
     if
     :: STILL(PARKED) -> CHANGE(st[v] = FREE); done = 0
     :: else
     fi
#endif
  :: d_step { WHEN(v == N) -> skip };
     CHANGE(st[sl] = SEATED; count++)
  fi;
  skip
}

/* Admit: the session of the key hands its seat to the new one. */
inline login() {
  claim(1);
  do
  :: sl == N -> break
  :: sl < N ->
     LOAD_AND_LOOK();
     if
     :: v < N && vs == SEATED ->
#ifdef M_HAND_OVER_TWO_STEPS         /* frees it, and then takes a seat as anybody */
        if :: STILL(SEATED) -> CHANGE(st[v] = FREE; count--); done = 0 :: else fi
#else
        if :: STILL(SEATED) -> CHANGE(st[v] = FREE; st[sl] = SEATED) :: else fi
#endif
     :: v < N && vs == EXEMPT ->
        d_step { WHEN(1) -> if :: STILL(EXEMPT) -> st[v] = FREE :: else fi }
     :: (v == N || vs == PARKED) && count < LIM -> add()
     :: (v == N || vs == PARKED) && count >= LIM ->
        if
        :: d_step { WHEN(gate == g) -> skip }; abandon(); break
        :: d_step { WHEN(gate != g) -> skip }
        fi
     fi;
     if :: done -> done = 0; v = N; vg = 0; vs = 0; break :: !done fi
  od;
  skip;
#ifdef M_FAR_AFTER
  if :: sl < N -> d_step { WHEN(1) -> if :: far < sl -> far = sl :: else fi } :: sl == N fi;
#endif
  d_step { WHEN(1) -> ref = sl; rg = ep; v = N; vg = 0; vs = 0; g = 0 }
}

/* Use: the session of the key is touched; if there is none, one is opened. */
inline use() {
  do
  :: LOAD_AND_LOOK();
     if
     :: v < N && (vs == SEATED || vs == EXEMPT) ->
        /* a touch: of that occupancy, as long as it has not lost its seat */
        d_step {
          WHEN(1) ->
#ifdef M_USE_NO_GENERATION
          if :: st[v] == vs -> done = 1; ref = v; rg = gen[v]; assert(key[v]) :: else fi
#else
          if :: st[v] == vs && gen[v] == vg -> done = 1; ref = v; rg = vg; assert(key[v]) :: else fi
#endif
        };
        if :: done -> abandon() :: !done fi
     :: v < N && vs == PARKED ->
        if
        :: count < LIM && !marked[v] ->
           if :: STILL(PARKED) -> CHANGE(st[v] = SEATED; count++); ref = v; rg = vg :: else fi;
           if :: done -> abandon() :: !done fi
        :: count >= LIM || marked[v] ->         /* told that the site is full, or that it was revoked */
           d_step { WHEN(1) -> done = 1 };
           abandon()
        fi
     :: v == N && sl == N ->
        claim(1);
        if :: sl == N -> done = 1 :: sl < N fi
     :: v == N && sl < N ->
        if
#ifdef M_USE_ADDS_UNSEEN             /* believes the look that it made before it claimed */
        :: count < LIM -> d_step { WHEN(1) -> g = gate }; CHANGE(st[sl] = SEATED; count++); ref = sl; rg = ep
#else
        :: count < LIM -> CHANGE(st[sl] = SEATED; count++); ref = sl; rg = ep
#endif
        :: count >= LIM ->
           if
           :: d_step { WHEN(gate == g) -> done = 1 }; abandon()
           :: d_step { WHEN(gate != g) -> skip }
           fi
        fi
     fi;
     if :: done -> done = 0; break :: !done fi
  od;
  skip;
  d_step { WHEN(1) -> v = N; vg = 0; vs = 0; g = 0 }
}

/* What a token names: an occupancy. */
inline find() {
  d_step {
    WHEN(1) ->
    h_i = 0;
    do
    :: h_i < N && LIVES(h_i) && key[h_i] -> ref = h_i; rg = gen[h_i]; break
    :: h_i < N && !(LIVES(h_i) && key[h_i]) -> h_i++
    :: h_i == N -> break
    od
  }
}
#define IS(x) (ref < N && st[ref] == (x) && gen[ref] == rg)

/* A token is shown: it comes back if it was parked. */
inline touch() {
  do
  :: d_step { WHEN(1) -> g = gate };
     if
     :: IS(PARKED) && !marked[ref] && count < LIM -> CHANGE(st[ref] = SEATED; count++)
     :: else -> done = 1
     fi;
     if :: done -> done = 0; break :: !done fi
  od;
  g = 0
}

inline close() {
  do
  :: d_step { WHEN(1) -> g = gate };
     if
     :: IS(SEATED) -> CHANGE(st[ref] = FREE; count--)
     :: IS(PARKED) -> CHANGE(st[ref] = FREE)
     :: else -> d_step { WHEN(1) -> if :: IS(EXEMPT) || IS(NOTE) -> st[ref] = FREE :: else fi; done = 1 }
     fi;
     if :: done -> done = 0; break :: !done fi
  od;
  skip;
  d_step { WHEN(1) -> g = 0; ref = N; rg = 0; sl = N; ep = 0 }
}

/* Marked first, then without a seat, then barred: what is marked does not return. */
inline vacate() {
  do
  :: d_step { WHEN(1) -> g = gate };
     if
     :: IS(SEATED) -> CHANGE(st[ref] = PARKED; count--); done = 0
     :: IS(PARKED) -> CHANGE(st[ref] = NOTE)
     :: IS(EXEMPT) -> d_step { WHEN(1) -> if :: IS(EXEMPT) -> st[ref] = NOTE :: else fi; done = 1 }
     :: else -> done = 1
     fi;
     if :: done -> done = 0; break :: !done fi
  od;
  g = 0
}
inline revoke() {
#ifndef M_MARK_LAST
  d_step { WHEN(1) -> if :: ref < N && gen[ref] == rg -> marked[ref] = 1 :: else fi };
#endif
#ifdef M_BAR_ONCE                   /* does not look again whether it is back meanwhile */
  d_step { WHEN(1) -> if :: IS(SEATED) -> gate++; st[ref] = PARKED; count-- :: else fi };
  d_step { WHEN(1) -> if :: IS(PARKED) -> gate++; st[ref] = NOTE :: else fi };
#else
  vacate();
#endif
#ifdef M_MARK_LAST
  d_step { WHEN(1) -> if :: ref < N && gen[ref] == rg -> marked[ref] = 1 :: else fi };
#endif
  d_step { WHEN(1) -> if :: ref < N -> told_revoked = 1; r_slot = ref; r_gen = rg :: else fi; check() }
}

/* Of an exempt session there is one as well: what lists it is a gate operation. */
inline list_exempt() {
  claim(1);
  do
  :: sl == N -> break
  :: sl < N ->
     LOAD_AND_LOOK();
     if
     :: v < N && vs == EXEMPT -> d_step { WHEN(1) -> if :: STILL(EXEMPT) -> st[v] = FREE :: else fi }
     :: v < N && vs == SEATED -> if :: STILL(SEATED) -> CHANGE(st[v] = FREE; count--); done = 0 :: else fi
     :: v < N && vs == PARKED -> if :: STILL(PARKED) -> CHANGE(st[v] = FREE); done = 0 :: else fi
     :: v == N ->
#ifdef M_EXEMPT_NO_GATE
        d_step { WHEN(1) -> st[sl] = EXEMPT; done = 1; check() }
#else
        CHANGE(st[sl] = EXEMPT)
#endif
     fi;
     if :: done -> done = 0; break :: !done fi
  od;
  skip;
  d_step { WHEN(1) -> sl = N; ep = 0; v = N; vg = 0; vs = 0; g = 0 }
}

/* A login without that key takes its seat over: it was shown the session before. */
inline take_over() {
  claim(0);
  do
  :: sl == N -> break
  :: sl < N ->
     d_step { WHEN(1) -> g = gate };
     if
     :: IS(SEATED) -> CHANGE(st[ref] = NOTE; st[sl] = SEATED)
#ifdef M_TAKE_OVER_BLIND            /* it was seated a moment ago */
     :: !IS(SEATED) && ref < N -> CHANGE(st[ref] = NOTE; st[sl] = SEATED)
     :: !IS(SEATED) && ref == N && count < LIM -> CHANGE(st[sl] = SEATED; count++)
     :: !IS(SEATED) && ref == N && count >= LIM -> abandon(); break
#else
     :: !IS(SEATED) && count < LIM -> CHANGE(st[sl] = SEATED; count++)
     :: !IS(SEATED) && count >= LIM ->
        if
        :: d_step { WHEN(gate == g) -> skip }; abandon(); break
        :: d_step { WHEN(gate != g) -> skip }
        fi
#endif
     fi;
     if :: done -> done = 0; break :: !done fi
  od;
  g = 0
}

/* Somebody without the key. */
inline newcomer() {
  claim(0);
  do
  :: sl == N -> break
  :: sl < N ->
     d_step { WHEN(1) -> g = gate };
     if
     :: count < LIM -> CHANGE(st[sl] = SEATED; count++)
     :: count >= LIM -> abandon(); break
     fi;
     if :: done -> done = 0; break :: !done fi
  od;
  g = 0
}

/* The same, who takes an idle session's seat. */
inline stranger() {
  claim(0);
  do
  :: sl == N -> break
  :: sl < N ->
     LOAD_AND_LOOK();
     if
     :: count < LIM -> CHANGE(st[sl] = SEATED; count++)
     :: count >= LIM && v < N && vs == SEATED -> if :: STILL(SEATED) -> CHANGE(st[v] = PARKED; st[sl] = SEATED) :: else fi
     :: count >= LIM && !(v < N && vs == SEATED) ->
        if
        :: d_step { WHEN(gate == g) -> skip }; abandon(); break
        :: d_step { WHEN(gate != g) -> skip }
        fi
     fi;
     if :: done -> done = 0; break :: !done fi
  od;
  skip;
  d_step { WHEN(1) -> ref = sl; rg = ep; v = N; vg = 0; vs = 0; g = 0 }
}
inline stranger_leaves() {
  d_step {
    WHEN(1) ->
    h_i = 0;
    do
    :: h_i < N && st[h_i] == SEATED && !key[h_i] -> gate++; st[h_i] = FREE; count--; break
    :: h_i < N && !(st[h_i] == SEATED && !key[h_i]) -> h_i++
    :: h_i == N -> break
    od;
    check()
  }
}

/* Claims of the dead; and what was marked by somebody who got no further. */
inline reap() {
  i = 0;
  do
  :: d_step { WHEN(i < N) -> vg = gen[i] };
     if
     :: st[i] == CLAIMED && (dead >> owner[i] & 1) -> d_step { WHEN(1) -> if :: st[i] == CLAIMED && gen[i] == vg -> st[i] = FREE :: else fi; check() }
     :: LIVES(i) && marked[i] -> ref = i; rg = vg; vacate(); ref = N; rg = 0
     :: else
     fi;
     skip;
     d_step { WHEN(1) -> vg = 0; i++ }
  :: i == N -> i = 0; break
  od;
  skip
}

active proctype P0() { LOCALS; SCRIPT0 }
active proctype P1() { LOCALS; SCRIPT1 }
active proctype P2() { LOCALS; SCRIPT2 }
#ifdef DEATHS
active proctype World() {
end:
  do
  :: d_step { !(dead & 1) -> dead = dead | 1 }
  :: d_step { !(dead & 2) -> dead = dead | 2 }
  :: d_step { true -> skip }         /* so that the dead are not taken for stuck */
  od;
  skip
}
#endif
