/* A login service in small: lets one user in, for as long as its standard input is open.
 *
 *     cc gateway.c $(pkg-config --cflags --libs libsessreg) -o gateway
 *     ./gateway USER [HOST [CONF-FILE]]
 *
 * Each line of input is a use of the session. It authenticates nobody: a real service does that
 * first. Exit status: 0 done, 1 refused, 2 usage, 3 something does not work.
 *
 * As a web application's worker: one request of a browser, whose session lasts longer than any worker.
 *
 *     ./gateway --no-process USER DEVICE [CONF-FILE]
 *     ./gateway --log-out TOKEN [CONF-FILE]
 */
#include <sessreg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { kDone = 0, kRefused = 1, kUsage = 2, kBroken = 3 };

/* What to tell of an answer that is not SESSREG_OK, and how to leave. */
static int fail(const char *doing, const sessreg_error *error) {
  if (SESSREG_IS_REFUSAL(error->code)) {
    printf("%s\n", error->text); /* for the user */
    return kRefused;
  }
  fprintf(stderr, "gateway: %s: %s (%s)\n", doing, error->text, sessreg_strerror(error->code));
  return kBroken;
}

static int list_sessions(const sessreg_site *site) {
  sessreg_error error = SESSREG_ERROR_INIT;
  sessreg_list *list = NULL;
  size_t i;
  if (sessreg_list_new(site, &list, &error) != SESSREG_OK) return fail("list", &error);
  printf("%u seats taken\n", (unsigned)sessreg_list_seats(list));
  for (i = 0; i < sessreg_list_count(list); ++i) {
    sessreg_entry entry = SESSREG_ENTRY_INIT;
    if (sessreg_list_get(list, i, &entry) != SESSREG_OK) break;
    printf("%.8s pid %ld idle %lds\n", entry.id, (long)entry.leader, (long)entry.idle_s);
  }
  sessreg_list_free(list);
  return kDone;
}

/* Serves a user who has been admitted, from this very process: so there is no leader to name, and
 * nobody signals it when the session is to end. It learns of that when it touches the session. */
static int serve(const sessreg_site *site, sessreg_session *session) {
  sessreg_error error = SESSREG_ERROR_INIT;
  char line[256];
  int status;
  if (sessreg_bind(session, NULL, &error) != SESSREG_OK) return fail("bind", &error);
  if (error.text[0] != '\0') fprintf(stderr, "gateway: %s\n", error.text);
  printf("session %s\n", sessreg_session_id(session));
  status = list_sessions(site);
  fflush(stdout);
  while (status == kDone && fgets(line, sizeof line, stdin) != NULL) {
    /* Revoked, expired or without a seat: the user has to go. */
    if (sessreg_touch(session, &error) != SESSREG_OK) return fail("touch", &error);
    printf("used\n");
    fflush(stdout);
  }
  return status;
}

/* One request that the user of that browser has been authenticated for. */
static int serve_request(const sessreg_site *site, const char *user, const char *device) {
  sessreg_error error = SESSREG_ERROR_INIT;
  sessreg_login login = SESSREG_LOGIN_INIT;
  sessreg_session *session = NULL;
  const char *token;
  int code;
  login.user = user;
  login.service = "gateway";
  login.tty = "a browser"; /* to be shown */
  login.flags = SESSREG_NO_PROCESS | SESSREG_NAME_AS_GIVEN;
  login.device = device; /* from a cookie that names the browser */
  code = sessreg_use(site, &login, &session, &error);
  if (code == SESSREG_REVOKED) {
    printf("Your session has been ended: %s\n", error.text);
    return kRefused;
  }
  if (code != SESSREG_OK) return fail("use", &error);
  token = sessreg_session_token(session); /* of a session that was opened now */
  printf("session %s %s\n", sessreg_session_id(session), token[0] != '\0' ? token : "used");
  sessreg_session_free(session);
  return kDone;
}

static int log_out(const sessreg_site *site, const char *token) {
  sessreg_error error = SESSREG_ERROR_INIT;
  sessreg_session *session = NULL;
  int status = kDone;
  if (sessreg_find_token(site, token, &session, &error) != SESSREG_OK) return fail("find", &error);
  if (sessreg_close(session, &error) != SESSREG_OK) status = fail("close", &error);
  sessreg_session_free(session);
  return status;
}

static int usage(void) {
  fprintf(stderr, "usage: gateway USER [HOST [CONF-FILE]]\n"
                  "       gateway --no-process USER DEVICE [CONF-FILE]\n"
                  "       gateway --log-out TOKEN [CONF-FILE]\n");
  return kUsage;
}

/* The other ways to call it. */
static int main_without_process(int argc, char **argv) {
  sessreg_error error = SESSREG_ERROR_INIT;
  sessreg_site *site = NULL;
  const int is_request = strcmp(argv[1], "--no-process") == 0;
  const int conf = is_request ? 4 : 3;
  int status;
  if (argc < conf || argc > conf + 1 || (!is_request && strcmp(argv[1], "--log-out") != 0))
    return usage();
  if (sessreg_open(NULL, argc > conf ? argv[conf] : NULL, &site, &error) != SESSREG_OK)
    return fail("open", &error);
  status = is_request ? serve_request(site, argv[2], argv[3]) : log_out(site, argv[2]);
  sessreg_site_free(site);
  return status;
}

int main(int argc, char **argv) {
  sessreg_error error = SESSREG_ERROR_INIT;
  sessreg_login login = SESSREG_LOGIN_INIT;
  sessreg_site *site = NULL;
  sessreg_session *session = NULL;
  int status = kDone;

  if (argc > 1 && argv[1][0] == '-') return main_without_process(argc, argv);
  if (argc < 2 || argc > 4) return usage();
  login.user = argv[1];
  login.service = "gateway";
  login.host = argc > 2 ? argv[2] : NULL;

  if (sessreg_open(NULL, argc > 3 ? argv[3] : NULL, &site, &error) != SESSREG_OK)
    return fail("open", &error);
  if (sessreg_admit(site, &login, &session, &error) == SESSREG_OK) {
    status = serve(site, session);
  } else {
    status = fail("admit", &error);
    /* The administrator prefers uncounted users to none: a service that goes on without a session. */
    if (error.let_through) fprintf(stderr, "gateway: let through uncounted\n");
  }
  if (session != NULL && sessreg_close(session, &error) != SESSREG_OK)
    status = fail("close", &error);
  sessreg_session_free(session);
  sessreg_site_free(site);
  return status;
}
