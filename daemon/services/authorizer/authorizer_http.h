/* One authorizer that is asked by HTTP: the same question is posted, and the same answer comes back.
 *
 *      200                   the answer
 *      401, 403              no
 *      else, or none at all  he is refused, and it is not counted against him
 *
 * AUTHORIZER_LINES questions are under way at a time, each on a thread with a connection of its own that is kept alive; threads come when
 * they are needed, libcurl with the first question. Others wait in line, and no longer than their own time. Questions are wiped. Redirects
 * are not followed: a password goes where the configuration says and nowhere else.
 */
#pragma once

#include "services/authorizer/authorizer.h"

enum { AUTHORIZER_LINES = 16, AUTHORIZER_WAITING_MAX = 256, AUTHORIZER_ANSWER_MAX = 64 * 1024 };

struct authorizer_http;

/* Copies what it is told. */
struct authorizer_http *authorizer_http_new(struct loop *loop, struct login *login,
                                            const struct authorizer_server *server);
struct authorizer_http *authorizer_http_free(struct authorizer_http *far);
bool authorizer_http_is(const struct authorizer_http *far, const char *name);
/* NULL: login_answered() or login_unanswered() comes later. Else why it is not asked, a constant. */
const char *authorizer_http_ask(struct authorizer_http *far, const char *number, const char *json);
/* Nobody waits for that answer any more. One that was not asked is none. */
void authorizer_http_forget(struct authorizer_http *far, const char *number);
