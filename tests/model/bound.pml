/* The next-search word: until then a refusal that believes it makes no search of its own.
 *
 * The gate is only a version here: sessions.pml shows what it does. Three slots: a newcomer's, a
 * parked session's that comes back, and one that is seated (and touched, or its process dies). A
 * session expires (or goes idle) some time after its last activity: D of the configuration it was
 * admitted with. Every seat is taken: whoever logs in must be refused or find an expired session.
 * -DCFG_NEWCOMER, -DCFG_NEWCOMER_BACK, -DCFG_RETURNER or -DCFG_DIES.
 */
#define N 3
#ifndef END                         /* the clock stops here */
#ifdef CFG_NEWCOMER_BACK
#define END 2
#else
#define END 3
#endif
#endif
#define D(c) (2 - (c))              /* by identity of the configuration: the smallest duration in it */
#define NEVER 20
#if (defined(CFG_NEWCOMER_BACK) || defined(CFG_DIES)) && !defined(M_BOUND_LONG_PAUSE)
#define PAUSE 1                     /* no longer than any duration that anybody configured */
#else
#define PAUSE 3
#endif

#define FREE    0
#define CLAIMED 1
#define SEATED  2
#define PARKED  3

byte clock;
byte gate;                          /* grows at every gate operation */
#ifdef CFG_RETURNER
byte st[N] = { FREE, PARKED, SEATED };
byte dur[N] = 2;
#else                               /* whoever else has a seat is always active, or dies */
byte st[N] = { FREE, FREE, SEATED };
byte dur[N] = { 0, 0, NEVER };
#endif
byte act[N];
byte died;                          /* of slot 2: moment + 1; 0: it lives */
byte cf;                            /* identity of the configuration on disk and in the registry: 0, 1 */
byte bound;                         /* (moment + 1) << 1 | identity; 0: none */
hidden byte h_k;

/* Activity is (re)written between the gate load and the gate CAS, and a search begins with a NOP:
 * so whoever is seated after the search began has an activity no older than the search. */
#define SEAT(s, c) \
  do \
  :: d_step { g = gate }; \
     REFRESH(s) \
     if \
     :: d_step { c != cf -> skip }; break          /* another configuration: not admitted */ \
     :: d_step { c == cf -> skip }; \
        if \
        :: d_step { g != gate -> skip } \
        :: d_step { g == gate -> gate++; st[s] = SEATED }; break \
        fi \
     fi \
  od; skip

#ifdef M_BOUND_OLD_ACTIVITY         /* the time is read once, when the login begins */
#define REFRESH(s)
#else
#define REFRESH(s) \
  d_step { t = clock }; \
  d_step { if :: act[s] < t -> act[s] = t :: else fi };
#endif

#if defined(CFG_NEWCOMER) || defined(CFG_NEWCOMER_BACK)
active proctype Newcomer() {
  byte t, g, c;
  d_step { t = clock; c = cf };
  d_step { st[0] = CLAIMED; dur[0] = D(c) };
  d_step { act[0] = t };
  SEAT(0, c)
}
active proctype Administrator() {
#ifdef CFG_NEWCOMER_BACK            /* and changes it back: the same identity again */
  d_step { cf = 1; gate++ };
  d_step { cf = 0; gate++ }
#else
  d_step { cf = 1 };
  d_step { gate++ }
#endif
}
#elif defined(CFG_RETURNER)

active proctype Returner() {
  byte t, g;
  d_step { st[1] == PARKED -> t = clock };
  d_step { if :: act[1] < t -> act[1] = t :: else fi };
  SEAT(1, 0)
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
#ifdef CFG_DIES
  :: d_step { !died -> died = clock + 1 }
#endif
  od
}

#ifdef M_BOUND_NO_IDENTITY
#define BELIEVED (b && (b >> 1) > clock + 1)
#else
#define BELIEVED (b && (b >> 1) > clock + 1 && (b & 1) == c)
#endif

/* Logins that are refused, by a search or by the bound. */
active [2] proctype Refused() {
  byte c, t, b, k, least, old;
  d_step {                       /* begins; `old`: expired since before */
    c = cf; old = 0; h_k = 0;
    do
    :: h_k < N ->
       if
       :: st[h_k] == SEATED && act[h_k] + dur[h_k] <= clock -> old = old | (1 << h_k)
       :: else
       fi;
       h_k++
    :: else -> break
    od;
    skip
  };
  d_step { b = bound };
  if
  :: d_step { BELIEVED -> t = clock };
     /* believed: nobody expired or idle holds a seat that did when this began, and nobody who has been dead
      * for the pause */
     d_step {
       h_k = 0;
       do
       :: h_k < N ->
          assert(!(old & (1 << h_k)) || st[h_k] != SEATED || act[h_k] + dur[h_k] > t);
          h_k++
       :: else -> break
       od;
       assert(!died || st[2] != SEATED || died - 1 + PAUSE > t)
     }
  :: d_step { !BELIEVED -> t = clock };
#ifndef M_BOUND_NO_NOP
     d_step { gate++ };
#endif
#ifdef M_BOUND_CLOCK_AFTER_NOP
     d_step { t = clock };
#endif
     least = t + PAUSE;
#ifdef M_BOUND_NO_PAUSE
     least = 30;
#endif
#ifndef M_BOUND_TOO_HIGH            /* what was found alone, without "start + D" */
     if :: t + D(c) < least -> least = t + D(c) :: else fi;
#endif
     k = 0;
     do
     :: d_step {
          k < N ->
          if
          :: k == 2 && died -> st[k] = FREE
          :: !(k == 2 && died) && st[k] == SEATED && act[k] + dur[k] < least
#ifndef M_BOUND_NO_LEAST            /* what was found is not regarded */
             -> least = act[k] + dur[k]
#endif
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
