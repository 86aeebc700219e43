/* libsessreg: the session registry for login services that are not PAM clients.
 *
 * Web gateways, VNC and RDP brokers and the like count their user sessions in the same registry as
 * the PAM module, and so under the same limits. A login goes
 *
 *     sessreg_open     a site, once
 *     sessreg_admit    takes a seat, or refuses with a line for the user
 *     sessreg_bind     the session is open: its process, its id, its token
 *     sessreg_touch    it is used
 *     sessreg_close    the seat is free again; also of a session that was never bound
 *
 * For all functions:
 *
 * Errors. A function that can fail returns an enum sessreg_code, and fills in *error: one line that
 * says what, where, and the remedy; for a refusal, the configured message to the user. `error` may
 * be NULL. A ret_ pointer to a handle is set to NULL unless the answer is SESSREG_OK. No function
 * throws, exits, or is a cancellation point; errno, the locale, the umask, the environment and
 * signal handlers stay as they are.
 *
 * Text that is passed in is copied. It must hold no control characters, and be no longer than is
 * said there. Text that comes back about a session is as some login service got it, maybe from a
 * stranger: escape it where you show it. Texts of errors are escaped.
 *
 * Structures are the caller's and made with their _INIT; `size` tells the library which version of
 * this header made them. New members come at the end, and 0 in them will mean what was done before.
 *
 * Threads. A site, a list and keys never change: any number of threads may use one at once. A
 * session is for one thread at a time. No function waits for another thread or process, neither in
 * the registry nor on a lock of its own; one that ends an older session for a newer one pauses for
 * a tenth of a second, so that what is written to that session's terminal is shown. Looking up a
 * user asks the system's name service, which may wait for a server: see SESSREG_NAME_AS_GIVEN.
 *
 * Forks. Sites and sessions belong to the process that made them. In a child, functions that take
 * one answer SESSREG_EFORKED, except those that free and those that only read the handle. Open the
 * site again there; sessreg_find finds the session. No descriptor and no mapping stays open between
 * calls. Of what is open inside a call, exec closes the descriptors, and a child that another
 * thread forks just then does not get the mapping.
 *
 * Rights. Whatever looks into the registry needs root's; verifying tokens needs none.
 *
 * Times are in seconds: since 1970 by CLOCK_REALTIME, or for how long.
 */
#ifndef SESSREG_H
#define SESSREG_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SESSREG_VERSION_MAJOR 0
#define SESSREG_VERSION_MINOR 1
#define SESSREG_VERSION_PATCH 0
/* Of this header; compare with sessreg_version(), which is that of the library that runs. */
#define SESSREG_VERSION \
  (SESSREG_VERSION_MAJOR * 1000000 + SESSREG_VERSION_MINOR * 1000 + SESSREG_VERSION_PATCH)

#if defined(__GNUC__)
#define SESSREG_CHECK_RESULT __attribute__((warn_unused_result))
#else
#define SESSREG_CHECK_RESULT
#endif

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

/* The values are fixed. Later versions may add some, in their ranges. */
enum sessreg_code {
  SESSREG_OK = 0,

  /* 1 to 31: it could not be done */
  SESSREG_EINVAL = 1,       /* an argument is wrong: the text says which */
  SESSREG_EUNSUPPORTED = 2, /* a newer program asks for what this library does not know */
  SESSREG_EFORKED = 3,      /* the object belongs to the parent process */
  SESSREG_ESTATE = 4,       /* out of order: the session is bound, not yet bound, or closed */
  SESSREG_ENOMEM = 5,
  SESSREG_ECONFIG = 6,     /* the configuration is missing, wrong or could be changed by others */
  SESSREG_EREGISTRY = 7,   /* the registry is damaged, not one, or of another version or host */
  SESSREG_EPERMISSION = 8, /* the system said so; mostly: not root */
  SESSREG_ENOSPACE = 9,    /* for the registry */
  SESSREG_EKEY = 10,       /* there is no usable public key */
  SESSREG_ESYSTEM = 11,    /* any other system call failed */

  /* 32 to 63: refused; the text is the configured message, for the user */
  SESSREG_SITE_FULL = 32,
  SESSREG_DRAIN = 33, /* nobody new is admitted */
  SESSREG_USER_FULL = 34,
  SESSREG_USER_LOCKED = 35, /* until `seconds` have passed */
  SESSREG_GROUP_FULL = 36,
  SESSREG_TABLE_FULL = 37,  /* sessions without a seat take up the table, too */
  SESSREG_BLACKLISTED = 38, /* the host, for `seconds` */

  /* 64 to 95: the state of a session or token */
  SESSREG_NO_SESSION = 64,
  SESSREG_REVOKED = 65, /* it has to end; the text says why */
  SESSREG_EXPIRED = 66, /* session or token: out of time */
  SESSREG_BAD_TOKEN = 67
};

#define SESSREG_IS_REFUSAL(code) ((code) >= 32 && (code) <= 63)

/* The code in a few fixed words, never NULL. Any thread, any process, any time. */
const char* sessreg_strerror(int code);

/* As SESSREG_VERSION. Likewise. */
int sessreg_version(void);

/* What went wrong, or was refused. After a success all but `text` is 0, and `text` is empty or says
 * what is missing: no token (the key could not be read), an exempt session not listed. */
typedef struct sessreg_error {
  size_t size;
  int code;
  /* 1: it could not be decided, but the login is to be let through uncounted all the same: the
   * user is root, or the site has on_error = allow. */
  int let_through;
  uint32_t seconds; /* until it is worth trying again (as for Retry-After); 0: not known */
  int32_t limit;    /* for a refusal: the limit that was reached */
  uint32_t count;   /* and how many there are */
  char text[1024];  /* one line of printable UTF-8, cut if it must be */
} sessreg_error;
#define SESSREG_ERROR_INIT \
  { sizeof(sessreg_error), 0, 0, 0, 0, 0, "" }

/* --- Sites --- */

typedef struct sessreg_site sessreg_site;

/* Reads the site's configuration, to find its faults early; nothing is kept open, and every later
 * call takes what is in the file then. `name`: NULL or "default", or another site's. `conf_file`:
 * an absolute path; NULL: /etc/security/sessreg.conf, for others /etc/security/sessreg.d/NAME.conf.
 * Errors: EINVAL, ECONFIG, EPERMISSION, ENOMEM, ESYSTEM. */
int sessreg_open(const char* name, const char* conf_file, sessreg_site** ret_site,
                 sessreg_error* error) SESSREG_CHECK_RESULT;

/* Frees the handle; NULL is fine. Sessions, also open ones, and lists stay as they are. */
void sessreg_site_free(sessreg_site* site);

/* --- What is told of a session --- */

enum sessreg_state {
  SESSREG_ACTIVE = 0,   /* holds a seat */
  SESSREG_PARKED = 1,   /* lives on without one, which somebody else needed while it was idle */
  SESSREG_RESERVED = 2, /* a seat that is not bound to a session yet */
  SESSREG_ORPHANED = 3, /* its leader is gone, but other processes of it still run */
  SESSREG_ENDING = 4,   /* has to end, but its processes have not gone yet */
  SESSREG_LISTED = 5,   /* not counted: exempt, or let in by `observe` of a PAM line */
  SESSREG_LEFT = 6      /* as orphaned, where what a session leaves running is to count */
};

/* Texts are never NULL, and belong to whatever gave the entry; a long one was cut when it was recorded (user 40 bytes,
 * service 24, host 48, tty 16). */
typedef struct sessreg_entry {
  size_t size;
  const char* id;
  const char* user;
  const char* service;
  const char* host;
  const char* tty;    /* of a session without a process: a label of its device */
  const char* reason; /* why it has to end */
  int state;          /* enum sessreg_state */
  int has_seat;
  int64_t uid;  /* -1: no account of the system */
  pid_t leader; /* 0: it has no process */
  int64_t opened_s;
  int64_t last_activity_s;
  int64_t expires_s; /* 0: never */
  int64_t idle_s;    /* since the last activity */
  int has_process;
} sessreg_entry;
#define SESSREG_ENTRY_INIT \
  { sizeof(sessreg_entry), NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/* --- Logging in and out --- */

/* No account of the system is looked up for `user`: only the name counts, it has no uid and is in
 * no group, and nothing waits for the name service. */
#define SESSREG_NAME_AS_GIVEN 1u

/* No process is the session's own: a browser's session, or a mail client's, which lasts for days while
 * processes come and go. It ends by sessreg_close, by being revoked or evicted, or by its own times,
 * and by nothing else. It has a time to live, and can be idle, from its opening on: touch it at each
 * request. Revoked or evicted its seat is free at once, and for a day sessreg_touch says why. */
#define SESSREG_NO_PROCESS 2u

typedef struct sessreg_login {
  size_t size;
  const char* user; /* 512 bytes at most, not empty */
  const char*
      service;      /* 255; as of a PAM service: sections and lists of the configuration name it */
  const char* host; /* 255; where the user comes from, best an address. NULL: from here */
  const char* tty;  /* 255; terminal, display or the like, to be shown. NULL: none */
  uint32_t flags;   /* SESSREG_NAME_AS_GIVEN, SESSREG_NO_PROCESS; 0: neither */

  /* The others are for SESSREG_NO_PROCESS alone. */

  /* Names the browser or client, and proves nothing: 255 bytes at most. Of one user and service at
   * most one session has a given key: a login with it takes the seat of the one there is, whose token
   * and id are over then, whatever the limits. NULL: none. */
  const char* device;
  /* The id of a session of the same user that is to give way to this login, and ends. NULL: none. */
  const char* take_over;
  uint32_t ttl_s; /* the time to live, if it is shorter than the configured one; 0: that one */
} sessreg_login;
#define SESSREG_LOGIN_INIT \
  { sizeof(sessreg_login), NULL, NULL, NULL, NULL, 0, NULL, NULL, 0 }

typedef struct sessreg_session sessreg_session;

enum sessreg_standing {
  SESSREG_COUNTED = 0,
  SESSREG_EXEMPT = 1, /* `exempt`: listed when it is bound, neither counted nor refused */
  SESSREG_IGNORED = 2 /* `only_services`, `ignore_services`: nothing is done or recorded */
};

/* Takes a seat. It is kept for the session until sessreg_bind, sessreg_close, the end of this
 * process, or for `reservation_time` (130 s unless configured), whichever is first; after three
 * seconds another login that would be refused otherwise may have it, and sessreg_bind then takes
 * one anew or refuses. The configuration is read anew. A blacklisted host is refused; else the user's failures from there
 * are forgotten, as in PAM's account phase, so call it after the authentication. An exempt user or
 * ignored service is admitted without a seat, and goes on like the others. So does a login for
 * which more would have to be taken from others than they could have back: sessreg_bind takes it.
 * Errors: the refusals; EINVAL, EUNSUPPORTED, EFORKED, ECONFIG, EREGISTRY, EPERMISSION,
 * ENOSPACE, ENOMEM, ESYSTEM. */
int sessreg_admit(const sessreg_site* site, const sessreg_login* login,
                  sessreg_session** ret_session, sessreg_error* error) SESSREG_CHECK_RESULT;

typedef struct sessreg_binding {
  size_t size;
  pid_t leader;    /* the session lasts as long as this process; 0: the service's, see below */
  const char* tty; /* NULL: as it was admitted with */
} sessreg_binding;
#define SESSREG_BINDING_INIT \
  { sizeof(sessreg_binding), 0, NULL }

/* The session is open. From now on it is listed and holds its seat until it is closed, or until its
 * leader and every process whose sid is the leader's pid are gone. `binding` NULL: the defaults. If
 * the reservation has run out, a seat is taken anew, and then it can be refused, and tried again.
 * With a user_limit_policy that evicts, a session that gives way is told and ended now.
 * A leader that is named IS SIGNALLED when its session is to end (revoked, evicted, out of time),
 * and so is what descends from it: name a process that serves this session alone. With `leader` 0
 * the session is kept by the calling process, which serves others too and is never signalled; nor
 * is one that leads several sessions. Such a session is marked, and gives up its seat at once:
 * touch it, and when the answer is REVOKED or EXPIRED, stop serving its user. Leader 1 is refused
 * (EINVAL). With SESSREG_NO_PROCESS the leader must be 0.
 * Errors: as sessreg_admit, and ESTATE. */
int sessreg_bind(sessreg_session* session, const sessreg_binding* binding,
                 sessreg_error* error) SESSREG_CHECK_RESULT;

/* For a service that is told the user at each request, as by HTTP's passwords: marks the session of
 * login->device as used, or opens one, in one call. login->flags has SESSREG_NO_PROCESS, and a device.
 * The session is bound. Any number of these at once, with one device, leave one session.
 * Errors: as sessreg_admit, and REVOKED: the device's session was revoked or evicted; it is told so
 * for a day, or its time to live, or until it logs in by sessreg_admit. A site_full that the session
 * of the device meets because it was parked is the refusal of that limit. */
int sessreg_use(const sessreg_site* site, const sessreg_login* login, sessreg_session** ret_session,
                sessreg_error* error) SESSREG_CHECK_RESULT;

int sessreg_session_standing(const sessreg_session* session); /* enum sessreg_standing */
/* 32 hex digits; "" before it is bound, and for what is not recorded. The session's. */
const char* sessreg_session_id(const sessreg_session* session);
/* The signed token that proves the session; "" where there is none. The session's. Whoever has it
 * can use it as long as the session lives. */
const char* sessreg_session_token(const sessreg_session* session);

/* The session with that id (all of it), whichever process bound it for that service: to be used
 * after a restart of the service, or in a child. Reads the whole table, some 0.3 ms for 4096 seats.
 * Errors: NO_SESSION, EINVAL, EFORKED, ECONFIG, EREGISTRY, EPERMISSION, ENOMEM, ESYSTEM. */
int sessreg_find(const sessreg_site* site, const char* id, const char* service,
                 sessreg_session** ret_session, sessreg_error* error) SESSREG_CHECK_RESULT;

/* The session whose token that is, at the cost of a look at one record.
 * Errors: as sessreg_touch_token. */
int sessreg_find_token(const sessreg_site* site, const char* token, sessreg_session** ret_session,
                       sessreg_error* error) SESSREG_CHECK_RESULT;

/* Marks the session as used now; from the first time on it can also be idle and expire. One that
 * was parked takes a seat again; if there is none, the answer is a refusal, for its user, and what
 * becomes of it is configured (on_return). Errors: NO_SESSION (it has ended), REVOKED, EXPIRED,
 * SITE_FULL (whichever limit it is that is full), ESTATE, EFORKED, ECONFIG, EREGISTRY, EPERMISSION,
 * ENOMEM, ESYSTEM. After REVOKED and EXPIRED: end it, and close it. */
int sessreg_touch(sessreg_session* session, sessreg_error* error) SESSREG_CHECK_RESULT;

/* The same by its token, whoever opened it. A token that its session knows needs no signature
 * check. Errors: also BAD_TOKEN, EINVAL, EKEY; not ESTATE. */
int sessreg_touch_token(const sessreg_site* site, const char* token,
                        sessreg_error* error) SESSREG_CHECK_RESULT;

/* What sessreg_touch would answer, and the session as a list shows it, without marking it: for what
 * happens without the user, such as a page that refreshes itself. *ret_entry holds until the next call
 * with this session; it is left alone unless the session is there. Errors: as sessreg_touch, without
 * the refusals: for a session that has lost its seat, *ret_entry is SESSREG_PARKED. */
int sessreg_look(sessreg_session* session, sessreg_entry* ret_entry,
                 sessreg_error* error) SESSREG_CHECK_RESULT;

/* Ends a session without a process: its seat is free, and its holder is told `reason` (63 bytes are
 * kept; NULL: none) for a day. Errors: ESTATE (it has a process: see sessreg_close and sessreg(8)),
 * NO_SESSION, EINVAL, EFORKED, EREGISTRY, EPERMISSION, ENOMEM, ESYSTEM. */
int sessreg_revoke(sessreg_session* session, const char* reason,
                   sessreg_error* error) SESSREG_CHECK_RESULT;

/* Frees the seat of a reservation or a session; what the process does is its own affair. Closing it
 * again, or closing a session that has ended by itself, is no error. Errors: EINVAL, EFORKED,
 * EREGISTRY, EPERMISSION, ENOMEM, ESYSTEM; then try again, or it ends with its processes. */
int sessreg_close(sessreg_session* session, sessreg_error* error);

/* Frees the handle, and wipes the token in it; NULL is fine. Closes nothing. */
void sessreg_session_free(sessreg_session* session);

/* --- Listing --- */

typedef struct sessreg_list sessreg_list;

/* The site's sessions as they are now, stalest first. Frees the seats of what has ended, and takes
 * typing on terminals as activity, as sessreg(8) does. A site without a registry has none.
 * Errors: EINVAL, EFORKED, ECONFIG, EREGISTRY, EPERMISSION, ENOMEM, ESYSTEM. */
int sessreg_list_new(const sessreg_site* site, sessreg_list** ret_list,
                     sessreg_error* error) SESSREG_CHECK_RESULT;
/* The same, of one user, one service, or both; NULL: any. Errors: the same. */
int sessreg_list_of(const sessreg_site* site, const char* user, const char* service,
                    sessreg_list** ret_list, sessreg_error* error) SESSREG_CHECK_RESULT;
size_t sessreg_list_count(const sessreg_list* list);
uint32_t sessreg_list_seats(const sessreg_list* list); /* that were taken */
int32_t sessreg_list_limit(const sessreg_list* list);  /* that was in force; -1: none */
/* `index` from 0. *ret_entry holds as long as the list. Errors: EINVAL. */
int sessreg_list_get(const sessreg_list* list, size_t index,
                     sessreg_entry* ret_entry) SESSREG_CHECK_RESULT;
/* NULL is fine. */
void sessreg_list_free(sessreg_list* list);

/* --- Verifying tokens --- */

typedef struct sessreg_keys sessreg_keys;

/* The public keys of a site, from its file (/var/lib/sessreg/SITE.pub), or from such text, one
 * "k4.public...." a line (`sessreg token public`). Errors: EKEY, EINVAL, EPERMISSION, ENOMEM,
 * ESYSTEM. */
int sessreg_keys_read(const char* file, sessreg_keys** ret_keys,
                      sessreg_error* error) SESSREG_CHECK_RESULT;
int sessreg_keys_parse(const char* text, sessreg_keys** ret_keys,
                       sessreg_error* error) SESSREG_CHECK_RESULT;
/* NULL is fine. */
void sessreg_keys_free(sessreg_keys* keys);

typedef struct sessreg_claims {
  size_t size;
  int64_t issued_s;
  int64_t expires_s; /* of the token; the session may be over long before */
  char id[33];
  char site[65];
  char user[1537]; /* bytes that are not UTF-8 have become U+FFFD */
} sessreg_claims;
#define SESSREG_CLAIMS_INIT \
  { sizeof(sessreg_claims), 0, 0, "", "", "" }

/* Whether the token was issued by that site and is not out of time, by its signature alone: in any
 * process, on any host, without a registry. So it cannot say whether the session has ended since:
 * sessreg_touch_token can. `site` NULL: "default". `ret_claims` may be NULL.
 * Errors: BAD_TOKEN, EXPIRED, EINVAL, ENOMEM. */
int sessreg_verify(const sessreg_keys* keys, const char* site, const char* token,
                   sessreg_claims* ret_claims, sessreg_error* error) SESSREG_CHECK_RESULT;

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

#endif
