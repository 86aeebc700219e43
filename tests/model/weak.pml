/* The two places that relaxed accesses and fences carry, under C++'s memory model.
 *
 * Memory is a history: each location keeps all that was written to it, each entry with a view (how
 * much of every location it makes known). A load may return any entry that its thread does not know
 * to be overwritten. That is RC11 without cycles of dependencies; README.md says why a store may
 * append here. -DT_… chooses the test, -DM_… leaves an order out.
 */
#define L 4
#define M 8
#define GATE 0
#define ST   1                      /* a slot's state */
#define REC  2                      /* a word of its record; or the limit */
#define ST2  3

#define V(view, l) (((view) >> (3 * (l))) & 7)

byte val[L * M];
short view[L * M];
byte entries[L] = 1;
short cur[4], acq[4], rel[4];       /* of each thread: known; known after an acquire fence; at the last release fence */
hidden short h_a, h_b;
hidden byte h_l;

c_code {
static int join(int a, int b) {
  int l, r = 0;
  for (l = 0; l < L; l++) {
    int x = V(a, l), y = V(b, l);
    r |= (x > y ? x : y) << (3 * l);
  }
  return r;
}
}

inline learn(x, what) { h_a = x; h_b = what; c_code { h_a = join(h_a, h_b); }; x = h_a }
#define ONLY(l, t) ((t) << (3 * (l)))

#define RELAXED 0
#define ACQUIRE 1
#define RELEASE 2
#define ACQ_REL 3

inline load(l, order, r) {
  atomic {
    t = V(cur[_pid], l);
    do
    :: t + 1 < entries[l] -> t++
    :: break
    od;
    r = val[l * M + t];
    learn(cur[_pid], ONLY(l, t));
    learn(acq[_pid], cur[_pid]);
    learn(acq[_pid], view[l * M + t]);
    if :: order & ACQUIRE -> learn(cur[_pid], view[l * M + t]) :: else fi;
    t = 0
  }
}

inline append(l, order, v, carried) {
  t = entries[l]; entries[l]++; assert(t < M);
  learn(cur[_pid], ONLY(l, t)); learn(acq[_pid], cur[_pid]);
  val[l * M + t] = v;
  view[l * M + t] = carried | ONLY(l, t);
  if :: order & RELEASE -> learn(view[l * M + t], cur[_pid]) :: else -> learn(view[l * M + t], rel[_pid]) fi;
  learn(view[l * M + t], ONLY(l, t));
  t = 0
}

/* Only a thread that knows the last entry may store: then to append is no restriction. */
inline store(l, order, v) {
  atomic { assert(V(cur[_pid], l) == entries[l] - 1); append(l, order, v, 0) }
}

/* ok: done. A CAS that succeeds reads the last entry, because all changes of its word are CASes; one
 * that fails has loaded some entry with another value. */
inline cas(l, order, from, v, ok) {
  atomic {
    if
    :: val[l * M + entries[l] - 1] == from ->
       t = entries[l] - 1;
       learn(cur[_pid], ONLY(l, t)); learn(acq[_pid], cur[_pid]); learn(acq[_pid], view[l * M + t]);
       if :: order & ACQUIRE -> learn(cur[_pid], view[l * M + t]) :: else fi;
       h_l = t;
       append(l, order, v, 0);
       learn(view[l * M + entries[l] - 1], view[l * M + h_l]);
       ok = 1
    :: else ->
       t = V(cur[_pid], l);
       do
       :: t + 1 < entries[l] -> t++
       :: val[l * M + t] != from -> break
       od;
       learn(cur[_pid], ONLY(l, t)); learn(acq[_pid], cur[_pid]); learn(acq[_pid], view[l * M + t]);
       if :: order & ACQUIRE -> learn(cur[_pid], view[l * M + t]) :: else fi;
       ok = 0
    fi;
    t = 0
  }
}

inline acquire_fence() { d_step { cur[_pid] = acq[_pid] } }
inline release_fence() { d_step { rel[_pid] = cur[_pid] } }

#ifdef M_NO_RELEASE_FENCE
#define RELEASE_FENCE
#else
#define RELEASE_FENCE release_fence();
#endif
#ifdef M_NO_ACQUIRE_FENCE
#define ACQUIRE_FENCE
#else
#define ACQUIRE_FENCE acquire_fence();
#endif
#ifdef M_GATE_LOAD_RELAXED
#define GATE_LOAD RELAXED
#else
#define GATE_LOAD ACQUIRE
#endif
#ifdef M_GATE_CAS_ACQUIRE
#define GATE_CAS ACQUIRE
#else
#define GATE_CAS ACQ_REL
#endif
#ifdef M_CLAIM_RELAXED
#define CLAIM RELAXED
#else
#define CLAIM ACQUIRE
#endif
#ifdef M_SETTLE_RELAXED
#define SETTLE RELAXED
#else
#define SETTLE ACQ_REL
#endif
#ifdef M_LOOK_RELAXED
#define LOOK RELAXED
#else
#define LOOK ACQUIRE
#endif

#if defined(T_MOVE)
/* write_record() against settle_move(): whoever believes a record read that occupancy's.
 * state: 0 free, 1 claimed by A, 2 seated, 3 free, 4 claimed by B. gate: 1 MOVE of A, 2 REMOVE. */
active proctype A() {
  byte t; bit ok;
  cas(ST, CLAIM, 0, 1, ok);
  RELEASE_FENCE
  store(REC, RELAXED, 1);
  cas(GATE, GATE_CAS, 0, 1, ok);
  cas(ST, SETTLE, 1, 2, ok);
  cas(GATE, GATE_CAS, 1, 2, ok);
  cas(ST, SETTLE, 2, 3, ok)
}
active proctype B() {
  byte t; bit ok;
  cas(ST, CLAIM, 3, 4, ok);
  if
  :: ok ->
     RELEASE_FENCE
     store(REC, RELAXED, 2)
  :: !ok
  fi
}
active proctype Settler() {
  byte t, g, s, r;
  load(GATE, GATE_LOAD, g);
  if
  :: g == 1 ->
     load(ST, ACQUIRE, s);
     if
     :: s == 1 ->
        load(REC, RELAXED, r);
        ACQUIRE_FENCE
        load(ST, ACQUIRE, s);
        assert(s != 1 || r == 1)
     :: s != 1
     fi
  :: g != 1
  fi
}

#elif defined(T_GATE)
/* What a gate load shows: the limit stored before a NOP (REC), and what the operation before it
 * settled (ST), whoever made the gate's later words. gate: 1 REMOVE of ST, 2 NOP, 3 any. */
active proctype Remover() {
  byte t; bit ok;
  cas(GATE, GATE_CAS, 0, 1, ok);
  cas(ST, SETTLE, 0, 1, ok)
}
active proctype Limiter() {
  byte t, g, s; bit ok;
  store(REC, RELEASE, 1);
  load(GATE, GATE_LOAD, g);
  if
  :: g == 1 ->
     load(ST, ACQUIRE, s);
     if :: s == 0 -> cas(ST, SETTLE, 0, 1, ok) :: s != 0 fi;
     cas(GATE, GATE_CAS, 1, 2, ok)
  :: g != 1
  fi
}
active proctype Other() {
  byte t, g; bit ok;
  load(GATE, GATE_LOAD, g);
  if :: g == 2 -> cas(GATE, GATE_CAS, 2, 3, ok) :: g != 2 fi
}
active proctype Looker() {
  byte t, g, s, r;
  load(GATE, GATE_LOAD, g);
  if
  :: g >= 2 ->
     load(REC, ACQUIRE, r);
     load(ST, ACQUIRE, s);
     assert(r == 1 && s == 1)
  :: g < 2
  fi
}

#elif defined(T_REFUSE)
/* A refusal looks at two slots and loads the gate again: what it saw was so at one instant. The
 * remover frees ST (gate 1), then somebody is seated in ST2 (gate 2): seen free and seated, the
 * gate must have been seen to move. */
active proctype Changer() {
  byte t; bit ok;
  cas(GATE, GATE_CAS, 0, 1, ok);
  cas(ST, SETTLE, 0, 1, ok);
  cas(GATE, GATE_CAS, 1, 2, ok);
  cas(ST2, SETTLE, 0, 1, ok)
}
active proctype Refused() {
  byte t, g, g2, s, s2;
  load(GATE, GATE_LOAD, g);
  if
  :: g == 0 ->
     load(ST, LOOK, s);
     load(ST2, LOOK, s2);
     ACQUIRE_FENCE
     load(GATE, ACQUIRE, g2);
     assert(g2 != 0 || (s == 0 && s2 == 0))
  :: g != 0
  fi
}
#endif
