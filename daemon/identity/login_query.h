/* What AWS IoT has behind the ? of a user name, for custom authorizers:
 *
 *      alice?x-amz-customauthorizer-name=shop&token=abc%2B1&x-amz-customauthorizer-signature=BASE64
 *
 * Pure. */
#pragma once

#include "base/base.h"

#define LOGIN_QUERY_AUTHORIZER "x-amz-customauthorizer-name"
#define LOGIN_QUERY_SIGNATURE  "x-amz-customauthorizer-signature"

/* The value of that key, percent-decoded: 1, with the text in ret (its terminator does not count in *len). 0: it is not there.
 * -EINVAL: it is there twice, is no text, or does not fit. */
int login_query_find(const char *user, const char *key, char *ret, size_t size, size_t *len) must_check;
