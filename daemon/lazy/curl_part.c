/* The only file of gatehouse-curl.so that is not in tests and tools. */
#include "lazy/curl_table.h"

extern const struct curl_table gatehouse_curl;

LAZY_EXPORTED const struct curl_table gatehouse_curl = {
    .part = LAZY_PART,
    .new_curl = post_curl_new,
    .free = post_curl_free,
    .send = post_curl_send,
    .wake = post_curl_wake,
};
