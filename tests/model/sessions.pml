/* Sessions that come and go. -DCFG_… chooses what is modelled; -DM_… breaks it. */

/* For SEED_STATES, where spin wants numbers: SW(SEATED, 2, 0), SW(SEATED, 2, 1), SW(PARKED, 3, 0) */
#define SEATED_0 18
#define SEATED_1 274
#define PARKED_0 27

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
#define VICTIM(k, policy) (!(act[k] & 2))
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
#define VICTIM(k, policy) (!(act[k] & 2))
#define SCRIPT0 login(PARKED); touch()
#define SCRIPT1 login(PARKED)
#define SCRIPT2 login(PARKED)

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
#define VICTIM(k, policy) (!(act[k] & 2))
#define SCRIPT0 login(PARKED); touch(); leave()
#define SCRIPT1 login(PARKED); leave()
#define SCRIPT2 op_nop(NOTHING)

#elif defined(CFG_WAKE)         /* two touch one idle session while its seat is taken; it comes back */
#define N 2
#define NP 3
#define LIM 1
#define IDLE
#define TAKEN
#define TAKES
#define VICTIM(k, policy) (!(act[k] & 2))
#define SEED_STATES { SEATED_0, FREE }
#define SEED_EPOCHS { 1, 0 }
#define SEED_ACTS { 4, 0 }
#define SEED_PHASES { P_SEATED, P_OUT, P_OUT }
#define SEED_HOLDERS 1
#define SEED_COUNT 1
#define SCRIPT0 attach(0, 1); touch(); leave()
#define SCRIPT1 login(PARKED); leave()
#define SCRIPT2 attach(0, 1); touch()

#elif defined(CFG_PARK)         /* two seated, the limit lowered to one: one is touched, one parked, a newcomer */
#define N 3
#define NP 3
#define LIM 1
#define REFUSALS
#define IDLE
#define TAKEN
#define TAKES
#define VICTIM(k, policy) (!(act[k] & 2))
#define SEED_STATES { SEATED_0, SEATED_1, FREE }
#define SEED_EPOCHS { 1, 1, 0 }
#define SEED_ACTS { 4, 4, 0 }
#define SEED_PHASES { P_SEATED, P_SEATED, P_OUT }
#define SEED_HOLDERS 3
#define SEED_COUNT 2
#define SCRIPT0 attach(0, 1); touch(); leave()
#ifdef ALONE                    /* all others are idle: the newcomer is admitted */
#define SCRIPT1 skip
#undef SCRIPT0
#define SCRIPT0 skip
#define SCRIPT2 login(PARKED); assert(adm)
#else
#define SCRIPT1 set_limit(2)
#define SCRIPT2 login(PARKED); leave()
#endif

#elif defined(CFG_PARK_GROUP)   /* the same with a group: the word under PARK and RETURN */
#define N 3
#define NP 3
#define LIM 1
#define GROUPS
#define GRP(p) ((p) != 1)
#define GLIM 2
#define IDLE
#define TAKEN
#define TAKES
#define VICTIM(k, policy) (!(act[k] & 2))
#define SEED_STATES { SEATED_0, SEATED_1, FREE }
#define SEED_EPOCHS { 1, 1, 0 }
#define SEED_ACTS { 4, 4, 0 }
#define SEED_PHASES { P_SEATED, P_SEATED, P_OUT }
#define SEED_HOLDERS 3
#define SEED_COUNT 2
#define SEED_IN_GROUP 1
#define SCRIPT0 attach(0, 1); touch()
#define SCRIPT1 attach(1, 1); leave()
#define SCRIPT2 login(PARKED)

#elif defined(CFG_RESERVED)     /* two seats, one of them not for 1 and 2 */
#define N 3
#define NP 3
#define LIM 2
#define REFUSALS
#define HELD(p) ((p) > 0)
#define SCRIPT0 login(DENY); leave()
#define SCRIPT1 login(DENY)
#define SCRIPT2 login(DENY)

#elif defined(CFG_RESERVED_TAKE) /* the same: 0 and 1 are seated, 2 would take an idle one's seat */
#define N 3
#define NP 3
#define LIM 2
#define REFUSALS
#define HELD(p) ((p) > 0)
#define IDLE
#define TAKEN
#define TAKES
#define VICTIM(k, policy) (!(act[k] & 2))
#define SEED_STATES { SEATED_0, SEATED_1, FREE }
#define SEED_EPOCHS { 1, 1, 0 }
#define SEED_ACTS { 4, 4, 0 }
#define SEED_PHASES { P_SEATED, P_SEATED, P_OUT }
#define SEED_HOLDERS 3
#define SEED_COUNT 2
#define SCRIPT0 attach(0, 1); touch()
#define SCRIPT1 attach(1, 1); touch(); leave()
#define SCRIPT2 login(PARKED)

#elif defined(CFG_RETURN_ADMIT) /* a parked session comes back over the limit; a newcomer */
#define N 3
#define NP 3
#define LIM 1
#define REFUSALS
#define USERS
#define USER(p) ((p) == 2)
#define ULIM(u) 1
#define OVER
#define IDLE
#define TAKEN
#define TAKES
#define VICTIM(k, policy) (!(act[k] & 2))
#define SEED_STATES { PARKED_0, SEATED_1, FREE }
#define SEED_EPOCHS { 1, 1, 0 }
#define SEED_ACTS { 4, 4, 0 }
#define SEED_PHASES { P_SEATED, P_SEATED, P_OUT }
#define SEED_HOLDERS 2
#define SEED_COUNT 1
#define SCRIPT0 attach(0, 1); touch(); leave()
#define SCRIPT1 attach(1, 1); touch(); leave()
#define SCRIPT2 login(PARKED)

#elif defined(CFG_GROUP_LATER)  /* a group that gets its limit while its members come and go */
#define N 3
#define NP 2
#define LIM 3
#define GROUPS
#define GRP(p) 1
#define GLIM 1
#define CHANGING
#define SCRIPT0 login(DENY); bind(); leave()
#define SCRIPT1 limit_group(); login(DENY); leave()

#elif defined(CFG_EXEMPT)       /* one is listed only; one logs in for one seat; a reaper */
#define N 2
#define NP 3
#define LIM 1
#define REFUSALS
#define SCRIPT0 list_exempt(); leave()
#define SCRIPT1 login(DENY); leave()
#define SCRIPT2 reap()

#elif defined(CFG_GIVE_BACK)    /* 1 evicts by a reservation, which ends; 0 leaves or comes back, 2 wants the seat */
#define N 3
#define NP 3
#define LIM 1
#define RESERVATIONS
#define USERS
#define USER(p) ((p) == 2)
#define ULIM(u) 1
#define TAKEN
#define TAKES
#define VICTIM(k, policy) (SOWN(st[k]) == 0)
#define SEED_STATES { SEATED_0, FREE, FREE }
#define SEED_EPOCHS { 1, 0, 0 }
#define SEED_PHASES { P_SEATED, P_OUT, P_OUT }
#define SEED_HOLDERS 1
#define SEED_COUNT 1
#define SCRIPT0 attach(0, 1); come_back(); leave()
#define SCRIPT1 login(AT_BIND); leave()
#define SCRIPT2 login(DENY)

#elif defined(CFG_GIVE_BACK_USER) /* 1 takes 0's seat by a reservation; the limit is raised, 2 of the same user as 0 */
#define N 3
#define NP 3
#define LIM 1
#define RESERVATIONS
#define USERS
#define USER(p) ((p) == 1)
#define ULIM(u) 1
#define TAKEN
#define TAKES
#define VICTIM(k, policy) (SOWN(st[k]) == 0)
#define SEED_STATES { SEATED_0, FREE, FREE }
#define SEED_EPOCHS { 1, 0, 0 }
#define SEED_PHASES { P_SEATED, P_OUT, P_OUT }
#define SEED_HOLDERS 1
#define SEED_COUNT 1
#define SCRIPT0 attach(0, 1); come_back()
#define SCRIPT1 login(PARKED); leave()
#define SCRIPT2 set_limit(2); login(DENY)

#elif defined(CFG_GIVE_BACK_GROUP) /* the same with a group: the word under RETURN */
#define N 3
#define NP 3
#define LIM 1
#define RESERVATIONS
#define GROUPS
#define GRP(p) ((p) != 1)
#define GLIM 1
#define TAKEN
#define TAKES
#define VICTIM(k, policy) (SOWN(st[k]) == 0)
#define SEED_STATES { SEATED_0, FREE, FREE }
#define SEED_EPOCHS { 1, 0, 0 }
#define SEED_PHASES { P_SEATED, P_OUT, P_OUT }
#define SEED_HOLDERS 1
#define SEED_COUNT 1
#define SEED_IN_GROUP 1
#define SCRIPT0 skip
#define SCRIPT1 login(PARKED); leave()
#define SCRIPT2 set_limit(2); login(DENY)

#elif defined(CFG_GIVE_BACK_REUSE) /* a slot used again while somebody settles what its former reservation gave back */
#define N 2
#define NP 3
#define LIM 1
#define RESERVATIONS
#define USERS
#define USER(p) 0
#define ULIM(u) 1
#define TAKEN
#define TAKES
#define VICTIM(k, policy) (SOWN(st[k]) == 0)
#define SEED_STATES { SEATED_0, FREE }
#define SEED_EPOCHS { 1, 0 }
#define SEED_PHASES { P_SEATED, P_OUT, P_OUT }
#define SEED_HOLDERS 1
#define SEED_COUNT 1
#define SCRIPT0 attach(0, 1); come_back()
#define SCRIPT1 login(AT_BIND); leave(); login(AT_BIND); leave()
#define SCRIPT2 op_nop(NOTHING)

#elif defined(CFG_BAR)          /* 1 evicts 0 by a reservation and binds; 0 comes back over the limits, leaves; a settler */
#define N 3
#define NP 3
#define LIM 1
#define RESERVATIONS
#define KIND(p) (((p) == 1) << 6)
#define USERS
#define USER(p) ((p) == 2)
#define ULIM(u) 1
#define OVER
#define TAKEN
#define TAKES
#define VICTIM(k, policy) (SOWN(st[k]) == 0)
#define SEED_STATES { SEATED_0, FREE, FREE }
#define SEED_EPOCHS { 1, 0, 0 }
#define SEED_PHASES { P_SEATED, P_OUT, P_OUT }
#define SEED_HOLDERS 1
#define SEED_COUNT 1
#define SCRIPT0 attach(0, 1); come_back(); leave()
#define SCRIPT1 login(AT_BIND); bind(); leave()
#define SCRIPT2 op_nop(NOTHING)

#elif defined(CFG_GIVE_WAY)     /* 1 reserves, binds, or logs in anew if that gave way to 2; the limit is raised */
#define N 3
#define NP 3
#define LIM 1
#define RESERVATIONS
#define KIND(p) (((p) == 1) << 6)
#define GIVE_WAY
#define REFUSALS
#define TAKEN
#define SCRIPT0 set_limit(2)
#define SCRIPT1 login(DENY); bind(); anew(DENY)
#define SCRIPT2 login(WAY); leave()

#elif defined(CFG_GIVE_WAY_REUSE) /* 1's reservation ends and 1 comes again, in the same slot, while 2 would have it give way */
#define N 2
#define NP 3
#define LIM 1
#define RESERVATIONS
#define KIND(p) (((p) == 1) << 6)
#define GIVE_WAY
#define TAKEN
#define SCRIPT0 op_nop(NOTHING)
#define SCRIPT1 login(DENY); leave(); login(DENY); bind(); anew(DENY)
#define SCRIPT2 login(WAY)

#elif defined(CFG_GIVE_WAY_OWNER) /* the same, and 1 had taken 0's seat, who comes back */
#define N 3
#define NP 3
#define LIM 1
#define RESERVATIONS
#define KIND(p) (((p) == 1) << 6)
#define GIVE_WAY
#define USERS
#define USER(p) ((p) == 2)
#define ULIM(u) 1
#define TAKEN
#define TAKES
#define VICTIM(k, policy) (SOWN(st[k]) == 0)
#define SEED_STATES { SEATED_0, FREE, FREE }
#define SEED_EPOCHS { 1, 0, 0 }
#define SEED_PHASES { P_SEATED, P_OUT, P_OUT }
#define SEED_HOLDERS 1
#define SEED_COUNT 1
#define SCRIPT0 attach(0, 1); come_back()
#define SCRIPT1 login(AT_BIND); bind(); anew(DENY)
#define SCRIPT2 login(WAY)

#elif defined(CFG_VACATE)       /* 1 reserves and takes 0's seat, ends, 0 comes back; 2 takes 0's seat away for good */
#define N 3
#define NP 3
#define LIM 1
#define RESERVATIONS
#define KIND(p) (((p) == 1) << 6)
#define VACATES(p) ((p) == 2)
#define USERS
#define USER(p) 0
#define ULIM(u) 1
#define TAKEN
#define TAKES
#define VICTIM(k, policy) (SOWN(st[k]) == 0)
#define SEED_STATES { SEATED_0, FREE, FREE }
#define SEED_EPOCHS { 1, 0, 0 }
#define SEED_PHASES { P_SEATED, P_OUT, P_OUT }
#define SEED_HOLDERS 1
#define SEED_COUNT 1
#define SCRIPT0 attach(0, 1); come_back()
#define SCRIPT1 login(PARKED); leave()
#define SCRIPT2 vacate(0, 1)

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
#define VICTIM(k, policy) (!(act[k] & 2))
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
#define VICTIM(k, policy) (!(act[k] & 2))
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

#elif defined(CFG_GROUP_LATER_ALL) /* the same, and a third logs in and binds */
#define N 3
#define NP 3
#define LIM 3
#define GROUPS
#define GRP(p) 1
#define GLIM 1
#define CHANGING
#define SCRIPT0 login(DENY); bind(); leave()
#define SCRIPT1 limit_group(); login(DENY)
#define SCRIPT2 login(DENY); bind()

#elif defined(CFG_PARK_ALL)     /* the limit lowered while two are seated and two more come; all touch */
#define N 4
#define NP 4
#define LIM 2
#define REFUSALS
#define IDLE
#define TAKEN
#define TAKES
#define VICTIM(k, policy) (!(act[k] & 2))
#define SEED_STATES { SEATED_0, SEATED_1, FREE, FREE }
#define SEED_EPOCHS { 1, 1, 0, 0 }
#define SEED_ACTS { 4, 4, 0, 0 }
#define SEED_PHASES { P_SEATED, P_SEATED, P_OUT, P_OUT }
#define SEED_HOLDERS 3
#define SEED_COUNT 2
#define SCRIPT0 attach(0, 1); touch(); leave()
#define SCRIPT1 attach(1, 1); set_limit(1); touch()
#define SCRIPT2 login(PARKED); touch(); leave()
#define SCRIPT3 login(PARKED); leave()

#elif defined(CFG_BAR_ALL)      /* 1 evicts 0 by a reservation and binds; 2 takes 0's seat as an idle one; 0 comes back over the limits */
#define N 3
#define NP 3
#define LIM 1
#define RESERVATIONS
#define KIND(p) (((p) == 1) << 6)
#define USERS
#define USER(p) ((p) == 2)
#define ULIM(u) 1
#define OVER
#define TAKEN
#define TAKES
#define VICTIM(k, policy) (SOWN(st[k]) == 0)
#define SEED_STATES { SEATED_0, FREE, FREE }
#define SEED_EPOCHS { 1, 0, 0 }
#define SEED_PHASES { P_SEATED, P_OUT, P_OUT }
#define SEED_HOLDERS 1
#define SEED_COUNT 1
#define SCRIPT0 attach(0, 1); come_back(); leave()
#define SCRIPT1 login(AT_BIND); bind(); leave()
#define SCRIPT2 login(PARKED); leave()

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
