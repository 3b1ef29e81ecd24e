/* Where authorizers may be: passwords go there. */
#include "services/authorizer/authorizer.h"

#include "rig/rig.h"

TEST(passwords_leave_the_machine_with_tls_only)
{
    static const char *const good[] = {
        "https://h/",
        "https://shop.example:8443/ask?code=a%20b",
        "https://10.0.0.1/a",
        "https://[fd00::1]/a",
        "https://[fd00::1]:8443/a",
        "http://127.0.0.1/a",
        "http://127.1.2.3:8080/a",
        "http://localhost:8080/a",
        "http://[::1]:8080/a",
    };
    static const char *const bad[] = {
        "",
        "h",
        "https://",
        "https:///",
        "https://h",
        "https://h?a=/",
        "https://h:/a",
        "https://h:123456/a",
        "https://h:1a/a",
        "https://u@h/a",
        "https://u:p@h/a",
        "https://a b/a",
        "https://[fd00::1/a",
        "https://[]/a",
        "https://[fd00::1]x/a",
        "https://fd00::1/a",
        "https://h/a b",
        "https://h/a#b",
        "https://h/\xc3\xa4",
        "ftp://127.0.0.1/a",
        "HTTP://h/a",
        "http://h/a",
        "http://10.0.0.1/a",
        "http://127.0.0.1.example/a",
        "http://localhost.example/a",
        "http://127.0.0.1@h/a",
        "http://127.1/a",
        "http://[::2]/a",
        "http://[::1].example/a",
    };
    for (size_t i = 0; i < array_size(good); i++)
        if (authorizer_uri_check(good[i]))
            FAIL("%s: %s", good[i], authorizer_uri_check(good[i]));
    for (size_t i = 0; i < array_size(bad); i++)
        if (!authorizer_uri_check(bad[i]))
            FAIL("\"%s\" is taken", bad[i]);
    CHECK(authorizer_uri_has_tls("https://h/"));
    CHECK(!authorizer_uri_has_tls("http://localhost/"));
    CHECK(!authorizer_uri_has_tls(""));
}
