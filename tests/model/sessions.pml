/* Sessions that come and go. -DCFG_… chooses what is modelled; -DM_… breaks it. */

#if defined(CFG_ADMIT)          /* two log in and out for one seat; a reaper */
#define N 2
#define NP 3
#define LIM 1
#define REFUSALS
#define SCRIPT0 login(DENY); leave()
#define SCRIPT1 login(DENY); leave()
#define SCRIPT2 reap()

#elif defined(CFG_BIND)         /* two reserve, bind and leave; a reaper */
#define N 3
#define NP 3
#define LIM 2
#define SCRIPT0 login(DENY); bind(); leave()
#define SCRIPT1 login(DENY); bind()
#define SCRIPT2 reap()

#elif defined(CFG_REUSE)        /* a slot used again while somebody settles its former MOVE */
#define N 2
#define NP 3
#define LIM 2
#define FINE
#define SCRIPT0 login(DENY); bind(); leave()
#define SCRIPT1 login(DENY); bind(); leave()
#define SCRIPT2 op_nop(NOTHING)

#elif defined(CFG_LIMIT)        /* the limit lowered and raised while two log in */
#define N 2
#define NP 3
#define LIM 2
#define REFUSALS
#define SCRIPT0 login(DENY); leave()
#define SCRIPT1 login(DENY)
#define SCRIPT2 set_limit(1); set_limit(2)

#elif defined(CFG_REFUSE)       /* refused at once, without a search */
#define N 2
#define NP 3
#define LIM 2
#define REFUSALS
#define SEARCHED
#define SCRIPT0 login(DENY); leave()
#define SCRIPT1 login(DENY)
#define SCRIPT2 set_limit(1); set_limit(2)

#elif defined(CFG_REVOKE)       /* a third revokes what is in slot 0, and in slot 1 */
#define N 2
#define NP 3
#define LIM 2
#define REVOKE
#define TAKEN
#define SCRIPT0 login(DENY); bind(); leave()
#define SCRIPT1 login(DENY)
#define SCRIPT2 revoke(0); revoke(1)

#elif defined(CFG_USER)         /* a user's limit; bucket distances raised and lowered */
#define N 3
#define NP 3
#define LIM 3
#define REFUSALS
#define USERS
#define USER(p) ((p) == 2)
#define ULIM(u) 1
#define HOME(u) 0
#define STRAY 1
#define NBUCKETS 1
#define SCRIPT0 login(DENY)
#define SCRIPT1 lower_stray(0); login(DENY)
#define SCRIPT2 login(DENY); leave()

#elif defined(CFG_TAKE)         /* idle take, waking and return: two for one seat */
#define N 2
#define NP 2
#define LIM 1
#define REFUSALS
#define IDLE
#define TAKEN
#define TAKES
#define VICTIM(k, policy) (!(act[k] & 1))
#define SCRIPT0 login(PARKED); touch(); leave()
#define SCRIPT1 login(PARKED); touch(); leave()

#elif defined(CFG_TAKE_USER)    /* idle take and return with a user's limit: three for two seats */
#define N 3
#define NP 3
#define LIM 2
#define USERS
#define USER(p) ((p) == 2)
#define ULIM(u) 1
#define IDLE
#define TAKEN
#define TAKES
#define VICTIM(k, policy) (!(act[k] & 1))
#define SCRIPT0 login(PARKED); touch()
#define SCRIPT1 login(PARKED)
#define SCRIPT2 login(PARKED); leave()

#elif defined(CFG_EVICT)        /* evict: two of one user, and a reaper */
#define N 3
#define NP 3
#define LIM 2
#define USERS
#define USER(p) 0
#define ULIM(u) 1
#define TAKEN
#define TAKES
#define VICTIM(k, policy) (USER(SOWN(st[k])) == USER(me))
#define SCRIPT0 login(EVICTED); leave()
#define SCRIPT1 login(EVICTED); leave()
#define SCRIPT2 reap()

#elif defined(CFG_GROUP)        /* a group's limit: two of it, and a reaper */
#define N 3
#define NP 3
#define LIM 3
#define REFUSALS
#define GROUPS
#define GRP(p) ((p) < 2)
#define GLIM 1
#define SCRIPT0 login(DENY); leave()
#define SCRIPT1 login(DENY)
#define SCRIPT2 reap()

#elif defined(CFG_GROUP_TAKE)   /* group words under MOVE and RETURN */
#define N 3
#define NP 3
#define LIM 1
#define GROUPS
#define GRP(p) ((p) < 1)
#define GLIM 1
#define IDLE
#define TAKEN
#define TAKES
#define VICTIM(k, policy) (!(act[k] & 1))
#define SCRIPT0 login(PARKED); touch(); leave()
#define SCRIPT1 login(PARKED); leave()
#define SCRIPT2 op_nop(NOTHING)

/* Larger ones, for run --large. */

#elif defined(CFG_BIND_ALL)     /* three reserve, bind and leave; a reaper */
#define N 3
#define NP 4
#define LIM 2
#define REFUSALS
#define SCRIPT0 login(DENY); bind(); leave()
#define SCRIPT1 login(DENY); bind(); leave()
#define SCRIPT2 login(DENY); bind()
#define SCRIPT3 reap()

#elif defined(CFG_REVOKE_ALL)   /* the record word by word, revoked, the limit lowered, a reaper */
#define N 3
#define NP 4
#define LIM 2
#define FINE
#define REVOKE
#define TAKEN
#define REFUSALS
#define SCRIPT0 login(DENY); bind(); leave()
#define SCRIPT1 login(DENY); leave()
#define SCRIPT2 revoke(0); set_limit(1)
#define SCRIPT3 reap()

#elif defined(CFG_TAKE_ALL)     /* idle take, waking, return, user limit: all of it, thrice */
#define N 4
#define NP 3
#define LIM 2
#define REFUSALS
#define USERS
#define USER(p) ((p) == 2)
#define ULIM(u) 1
#define IDLE
#define TAKEN
#define TAKES
#define VICTIM(k, policy) (!(act[k] & 1))
#define SCRIPT0 login(PARKED); touch(); leave()
#define SCRIPT1 login(PARKED); touch(); leave()
#define SCRIPT2 login(PARKED); touch(); leave()

#elif defined(CFG_EVICT_BIND)   /* evict against bind, with a user's limit */
#define N 4
#define NP 3
#define LIM 2
#define USERS
#define USER(p) 0
#define ULIM(u) 1
#define TAKEN
#define TAKES
#define VICTIM(k, policy) (USER(SOWN(st[k])) == USER(me))
#define SCRIPT0 login(EVICTED); bind(); leave()
#define SCRIPT1 login(EVICTED); bind(); leave()
#define SCRIPT2 reap()

#elif defined(CFG_GROUP_ALL)    /* two of a group, one not, idle take and return */
#define N 4
#define NP 3
#define LIM 2
#define REFUSALS
#define GROUPS
#define GRP(p) ((p) < 2)
#define GLIM 1
#define IDLE
#define TAKEN
#define TAKES
#define VICTIM(k, policy) (!(act[k] & 1))
#define SCRIPT0 login(PARKED); touch(); leave()
#define SCRIPT1 login(PARKED); leave()
#define SCRIPT2 login(PARKED); leave()

#elif defined(CFG_STRAY_ALL)    /* distances lowered by a fourth, while three log in and two leave */
#define N 3
#define NP 4
#define LIM 3
#define USERS
#define USER(p) ((p) == 2)
#define ULIM(u) 1
#define HOME(u) 0
#define STRAY 1
#define NBUCKETS 1
#define SCRIPT0 login(DENY); leave()
#define SCRIPT1 login(DENY)
#define SCRIPT2 login(DENY); leave()
#define SCRIPT3 lower_stray(0)

#else
#error no configuration
#endif

#include "gate.pml.inc"


#define ACTOR(i) active proctype A##i() { LOCALS; SCRIPT##i }
ACTOR(0)
ACTOR(1)
#if NP > 2
ACTOR(2)
#endif
#if NP > 3
ACTOR(3)
#endif

/* Deaths, and the last reaper: at any time. */
active proctype World() {
end:
  do
#ifndef NO_DEATH
  :: d_step { !DEAD(0) -> dead = dead | 1; c_code { note(); } }
  :: d_step { !DEAD(1) -> dead = dead | 2; c_code { note(); } }
#if NP > 2
  :: d_step { !DEAD(2) -> dead = dead | 4; c_code { note(); } }
#endif
#if NP > 3
  :: d_step { !DEAD(3) -> dead = dead | 8; c_code { note(); } }
#endif
#endif
#ifndef NO_DEATH
  :: d_step { true -> c_code { last_reaper(); } }
#else
  :: false
#endif
  od
}
