/* The expiry bound: a refusal that believes it makes no search.
 *
 * The gate is only a version here: sessions.pml shows what it does. Three slots: a newcomer's, a
 * parked session's that comes back, and one that is seated (and touched). A session expires (or goes
 * idle) D after its last activity; D is 2, or 1 once the configuration has changed. Every seat is
 * taken: whoever logs in must be refused or find an expired session.
 * -DCFG_NEWCOMER or -DCFG_RETURNER.
 */
#define N 3
#define END 3                       /* the clock stops here */
#define D(c) (2 - (c))              /* by identity of the configuration */

#define FREE    0
#define CLAIMED 1
#define SEATED  2
#define PARKED  3

byte clock;
byte gate;                          /* grows at every gate operation */
#ifdef CFG_NEWCOMER                 /* whoever else has a seat is always active */
byte st[N] = { FREE, FREE, FREE };
#else
byte st[N] = { FREE, PARKED, SEATED };
#endif
byte act[N];
byte cf;                            /* identity of the configuration on disk: 0, 1 */
byte bound;                         /* (moment + 1) << 1 | identity; 0: none */
hidden byte h_k;

/* Activity is (re)written between the gate load and the gate CAS, and a search begins with a NOP:
 * so whoever is seated after the search began has an activity no older than the search. */
#define SEAT(s, from) \
  do \
  :: d_step { g = gate }; \
     REFRESH(s) \
     if \
     :: d_step { g != gate -> skip } \
     :: d_step { g == gate -> gate++; st[s] = SEATED }; break \
     fi \
  od; skip

#ifdef M_BOUND_OLD_ACTIVITY         /* the time is read once, when the login begins */
#define REFRESH(s)
#else
#define REFRESH(s) \
  d_step { t = clock }; \
  d_step { if :: act[s] < t -> act[s] = t :: else fi };
#endif

#ifdef CFG_NEWCOMER
active proctype Newcomer() {
  byte t, g;
  d_step { t = clock };
  d_step { st[0] = CLAIMED };
  d_step { act[0] = t };
  SEAT(0, CLAIMED)
}
active proctype Administrator() { d_step { cf = 1 } }
#else

active proctype Returner() {
  byte t, g;
  d_step { st[1] == PARKED -> t = clock };
  d_step { if :: act[1] < t -> act[1] = t :: else fi };
  SEAT(1, PARKED)
}

active proctype Toucher() {
  byte t;
  d_step { t = clock };
  d_step { if :: act[2] < t -> act[2] = t :: else fi; t = 0 }
}

#endif

active proctype Time() {
end:
  do
  :: d_step { clock < END -> clock++ }
  od
}

/* Logins that are refused, by a search or by the bound. */
active [2] proctype Refused() {
  byte c, t, b, k, least, old;
  d_step {                       /* begins; `old`: expired since before */
    c = cf; old = 0; h_k = 0;
    do
    :: h_k < N ->
       if
       :: st[h_k] == SEATED && act[h_k] + D(c) <= clock -> old = old | (1 << h_k)
       :: else
       fi;
       h_k++
    :: else -> break
    od;
    skip
  };
  d_step { b = bound };
  if
  :: d_step {
       b && (b >> 1) > clock + 1 &&
#ifndef M_BOUND_NO_IDENTITY
       (b & 1) == c ->
#else
       true ->
#endif
       t = clock
     };
     /* believed: nobody expired or idle holds a seat that did when this began */
     d_step {
       h_k = 0;
       do
       :: h_k < N ->
          assert(!(old & (1 << h_k)) || st[h_k] != SEATED || act[h_k] + D(c) > t);
          h_k++
       :: else -> break
       od;
       skip
     }
  :: d_step { !(b && (b >> 1) > clock + 1 &&
#ifndef M_BOUND_NO_IDENTITY
       (b & 1) == c
#else
       true
#endif
       ) -> t = clock };
#ifndef M_BOUND_NO_NOP
     d_step { gate++ };
#endif
#ifdef M_BOUND_TOO_HIGH             /* what was found alone, without "scan start + D" */
     least = 30;
#else
     least = t + D(c);
#endif
     k = 0;
     do
     :: d_step {
          k < N ->
          if
          :: st[k] == SEATED && act[k] + D(c) < least -> least = act[k] + D(c)
          :: else
          fi;
          k++
        }
     :: k == N -> break
     od;
     skip;
#ifdef M_BOUND_FROM_END             /* counted from the end of the search */
     d_step { if :: least == t + D(c) -> least = clock + D(c) :: else fi };
#endif
     d_step { bound = (least + 1) << 1 | c }
  fi;
  d_step { b = 0; t = 0; k = 0; least = 0; old = 0; c = 0 }
}

