#include "services/streams/stream_result.h"

#include "rig/test.h"

#include <errno.h>

TEST(only_what_the_record_itself_is_refused_for_is_for_ever)
{
    CHECK_INT(result_kind(0), RESULT_DELIVERED);
    for (int code = 1; code < 256; code++)
        CHECK_INT(result_kind(code),
                  code == 0x90 || code == 0x95 || code == 0x99 ? RESULT_NEVER : RESULT_AGAIN);
    CHECK_INT(result_kind(-EIO), RESULT_AGAIN);
    CHECK_INT(result_kind(-ENOSPC), RESULT_AGAIN);
}

TEST(a_result_has_words)
{
    char text[RESULT_TEXT_MAX];
    CHECK_STR(result_text(text, 0x95, NULL), "packet too large (0x95)");
    CHECK_STR(result_text(text, 0x87, "the policy of this client"),
              "not authorized (0x87): the policy of this client");
    CHECK_STR(result_text(text, 0xA5, NULL), "refused (0xA5)");
    CHECK_STR(result_text(text, -ENOSPC, NULL), "No space left on device");
}

TEST(what_is_known_besides_is_cut_when_it_is_too_long)
{
    char text[RESULT_TEXT_MAX];
    cleanup_free char *much = mem_new_bytes(1000);
    memset(much, 'x', 999);
    CHECK_INT((int64_t)strlen(result_text(text, 0x80, much)), RESULT_TEXT_MAX - 1);
}
