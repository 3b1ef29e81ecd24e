#define OPENSSL_SUPPRESS_DEPRECATED /* engines: there is no provider for tokens in Debian 12 */
#include "keys/key_engine.h"

#include "keys/key_token.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/engine.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

/* The engine remembers the PIN it was told last and would try it on other tokens, which counts there as a failure. So the PIN
 * goes with each key, in the URI that the engine gets and nobody else sees: it is told to be quiet, or it would print it when
 * the key is not there. */

bool key_engine_is_there(void)
{
    ENGINE_load_dynamic();
    ENGINE *engine = ENGINE_by_id("pkcs11");
    ENGINE_free(engine);
    ERR_clear_error();
    return engine;
}

static char *uri_with(const char *name, const char *pin)
{
    char *uri = mem_new_bytes(strlen(name) + strlen("?pin-value=") + 3 * strlen(pin) + 1);
    size_t at = (size_t)snprintf(uri, strlen(name) + strlen("?pin-value=") + 1, "%s%s", name, "?pin-value=");
    for (; *pin; pin++)
        at += (size_t)snprintf(uri + at, 4, isalnum((unsigned char)*pin) ? "%c" : "%%%02X",
                               (unsigned char)*pin);
    return uri;
}

/* The deepest one. */
static const char *reason(void)
{
    unsigned long code = ERR_peek_error();
    const char *text = code ? ERR_reason_error_string(code) : NULL;
    return text ? text : "no reason is known";
}

static int wrong_pin(char **why, const char *name)
{
    *why = str_printf("%s: expected the token's PIN in the file of pin-source: %s", name, reason());
    return -EACCES;
}

static int no_key(char **why, const char *name, const char *module)
{
    cleanup_free char *labels = NULL;
    int r = -EINVAL;
    if (key_token_is_missing(name, module, &labels))
        *why =
            str_printf("%s: expected a token with this label, found %s", name, *labels ? labels : "no token");
    else if (strstr(reason(), "PIN") || strstr(reason(), "pin"))
        r = wrong_pin(why, name);
    else
        *why = str_printf("%s: expected a private key like this in the token: %s", name, reason());
    ERR_clear_error();
    return r;
}

static int no_engine(char **why, const char *name)
{
    *why = str_printf("%s: expected the library of a PKCS#11 token that can be loaded: %s", name, reason());
    ERR_clear_error();
    return -EINVAL;
}

int key_engine_load(EVP_PKEY **ret, const char *name, const char *module, const char *pin, char **why)
{
    ENGINE *engine = ENGINE_by_id("pkcs11");
    bool quiet = engine && ENGINE_ctrl_cmd_string(engine, "QUIET", NULL, 0) == 1;
    bool good = quiet && (!module || ENGINE_ctrl_cmd_string(engine, "MODULE_PATH", module, 0) == 1);
    if (!good || ENGINE_init(engine) != 1) {
        ENGINE_free(engine);
        return no_engine(why, module ? module : name);
    }
    char *uri = uri_with(name, pin);
    EVP_PKEY *key = ENGINE_load_private_key(engine, uri, NULL, NULL);
    OPENSSL_cleanse(uri, strlen(uri));
    free(uri);
    int r = key ? 0 : no_key(why, name, module);
    (void)ENGINE_finish(engine); /* the key holds it */
    ENGINE_free(engine);
    if (r < 0)
        return r;
    *ret = key;
    return 0;
}
