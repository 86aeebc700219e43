/* Waking: whoever's touch has returned is not parked by a look of before. With a clock.
 *
 * The gate is only a version here: sessions.pml shows what it does. One session, which goes idle IDLE
 * after its last activity; three that touch it (and bring it back if it is parked), one that parks it.
 * All may stand still for any time between any two steps. -DCFG_SEATED or -DCFG_PARKED: how it begins.
 */
#ifdef CFG_PARKED
#define IDLE 2
#else
#define IDLE 6
#endif
#define END IDLE                    /* the clock stops here */
#ifndef TOUCHERS
#define TOUCHERS 3
#endif

byte clock, gate;
bit parked
#ifdef CFG_PARKED
  = 1
#endif
;
byte act;                           /* time << 1 | waking */
#define TIME(w) ((w) >> 1)
#define WAKING(w) ((w) & 1)

/* Ghosts: the look under way */
bit looking, late;                  /* late: a touch has begun and returned since the look began */
bit after[3];                       /* this touch has begun since the look began */

active [TOUCHERS] proctype Toucher() {
  byte t, w, g;
  bit done;
  d_step { after[_pid] = looking; t = clock };
  do
  :: d_step { w = act };
#ifndef M_WAKE_OLD_CLOCK            /* the time is read when the touch begins, not between load and CAS */
     d_step { t = clock };
#endif
     d_step {
       if
       :: act == w ->
          done = 1;
          if
          :: t >= TIME(w) + IDLE / 2 -> w = t << 1 | 1
#ifdef M_WAKE_CLEARS                /* a fresh activity takes the bit away */
          :: t > TIME(w) && t < TIME(w) + IDLE / 2 -> w = t << 1
#else
          :: t > TIME(w) && t < TIME(w) + IDLE / 2 -> w = t << 1 | WAKING(w)
#endif
          :: else
          fi;
          act = w
       :: else
       fi
     };
     if :: done -> break :: !done fi
  od;
  skip;
  if
  :: WAKING(w) ->
#ifdef M_WAKE_CLEARS_FIRST
     d_step { if :: act == w -> act = w & ~1 :: else fi };
     d_step { gate++ }
#else
     d_step { gate++ };
     d_step { if :: act == w -> act = w & ~1 :: else fi }
#endif
  :: !WAKING(w)
  fi;
  d_step {                           /* returns */
    if :: looking && after[_pid] -> late = 1 :: else fi;
    after[_pid] = 0; w = 0; t = 0; done = 0
  };
#ifdef CFG_PARKED                    /* RETURN */
  do
  :: d_step { g = gate };
     if
     :: d_step { !parked -> g = 0 }; break
     :: parked ->
        d_step { t = clock };
        d_step {
          if
#ifdef M_RETURN_NO_WAKING           /* activity that no NOP follows if the RETURN fails */
          :: TIME(act) < t -> act = t << 1 | WAKING(act)
#else
          :: TIME(act) < t -> act = t << 1 | 1; w = act
#endif
          :: else
          fi;
          t = 0
        };
        if
        :: d_step { g != gate -> w = 0 }
        :: d_step { g == gate -> gate++; parked = 0; g = 0 };
           if
           :: d_step { w -> if :: act == w -> act = w & ~1 :: else fi; w = 0 }
           :: !w
           fi;
           break
        fi
     fi
  od;
  skip
#endif
}

active proctype Taker() {
  byte g, since;
end:
  do
  :: d_step { clock >= IDLE -> since = clock - IDLE; looking = 1; late = 0; after[0] = 0; after[1] = 0; after[2] = 0 };
     d_step { g = gate };
     if
     :: d_step { parked || TIME(act) > since -> looking = 0; late = 0; g = 0; since = 0 }
     :: d_step { !parked && TIME(act) <= since -> skip };
        if
        :: d_step { g != gate -> looking = 0; late = 0; g = 0; since = 0 }
        :: d_step {
             g == gate ->
             assert(!late);
             gate++; parked = 1; looking = 0; g = 0; since = 0
           }
        fi
     fi
  od
}

active proctype Time() {
end:
  do
  :: d_step { clock < END -> clock++ }
  od
}
