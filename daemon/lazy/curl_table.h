/* The table of gatehouse-curl.so: the functions of cloud/post_curl.h. */
#pragma once

#include "cloud/post_curl.h"
#include "lazy/lazy.h"

struct curl_table {
    struct lazy_part part;
    __typeof__(post_curl_new) *new_curl;
    __typeof__(post_curl_free) *free;
    __typeof__(post_curl_send) *send;
    __typeof__(post_curl_wake) *wake;
};
