#include "keys/key_uri.h"

#include <errno.h>
#include <string.h>

/* Attributes stand between ; ? and &. Ours are taken out, wherever they are; the rest is put together again: path attributes
 * with ;, those behind the first ? with ? and &. */

static const char token_scheme[] = "pkcs11:", tpm_scheme[] = "handle:";

static const char *const path_attributes[] = {"token",
                                              "manufacturer",
                                              "serial",
                                              "model",
                                              "library-manufacturer",
                                              "library-version",
                                              "library-description",
                                              "object",
                                              "type",
                                              "id",
                                              "slot-manufacturer",
                                              "slot-description",
                                              "slot-id"};

bool key_uri_is_elsewhere(const char *text)
{
    return strncmp(text, token_scheme, strlen(token_scheme)) == 0 ||
           strncmp(text, tpm_scheme, strlen(tpm_scheme)) == 0;
}

void key_uri_done(struct key_uri *uri)
{
    free(uri->name);
    free(uri->pin);
    free(uri->module);
    *uri = (struct key_uri){0};
}

static int wrong(char **why, char *sentence)
{
    *why = sentence;
    return -EINVAL;
}

static int digit_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* %2F is /; NULL: % without two digits, or a zero byte. */
static char *decoded(const char *text, size_t len)
{
    char *ret = mem_new_bytes(len + 1);
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        int high = text[i] == '%' && i + 2 < len ? digit_of(text[i + 1]) : -1;
        int low = high >= 0 ? digit_of(text[i + 2]) : -1;
        if (text[i] == '%' && (low < 0 || (!high && !low))) {
            free(ret);
            return NULL;
        }
        ret[n++] = low < 0 ? text[i] : (char)(high << 4 | low);
        i += low < 0 ? 0 : 2;
    }
    return ret;
}

static bool is(const char *attribute, size_t len, const char *name)
{
    return len >= strlen(name) && strncmp(attribute, name, strlen(name)) == 0;
}

static int take_file(char **ret, const char *name, const char *value, size_t len, char **why)
{
    char *text = decoded(value, len);
    const char *at = text && strncmp(text, "file:", 5) == 0 ? text + 5 : text;
    while (at && at[0] == '/' && at[1] == '/') /* file:///etc/pin */
        at++;
    bool is_pin = strcmp(name, "pin-source") == 0;
    bool credential =
        is_pin && at && at == text && strncmp(at, "credential:", 11) == 0 && at[11] && !strchr(at + 11, '/');
    if (!at || (*at != '/' && !credential)) {
        free(text);
        return wrong(why, str_printf("expected %s with an absolute path%s", name,
                                     is_pin ? ", or credential:NAME" : ""));
    }
    free(*ret);
    *ret = str_copy(at);
    free(text);
    return 0;
}

/* 1: it was one of ours. */
static int take_ours(struct key_uri *uri, const char *attribute, size_t len, char **why)
{
    static const char pin[] = "pin-source=", module[] = "module-path=";
    int r = 0;
    if (is(attribute, len, "pin-value"))
        r = wrong(why,
                  str_copy("expected pin-source=FILE in place of pin-value: a PIN must not be seen here"));
    else if (is(attribute, len, pin))
        r = take_file(&uri->pin, "pin-source", attribute + strlen(pin), len - strlen(pin), why);
    else if (uri->where == KEY_IN_TOKEN && is(attribute, len, module))
        r = take_file(&uri->module, "module-path", attribute + strlen(module), len - strlen(module), why);
    else
        return 0;
    return r < 0 ? r : 1;
}

static bool is_path_attribute(const char *attribute, size_t len)
{
    size_t n = 0;
    while (n < len && attribute[n] != '=')
        n++;
    for (size_t i = 0; n + 1 < len && i < array_size(path_attributes); i++)
        if (strlen(path_attributes[i]) == n && strncmp(path_attributes[i], attribute, n) == 0) {
            char *value = decoded(attribute + n + 1, len - n - 1);
            free(value);
            return value != NULL;
        }
    return false;
}

static bool is_handle(const char *text, size_t len)
{
    if (len != 10 || strncmp(text, "0x81", 4) != 0) /* TCG: persistent objects */
        return false;
    for (size_t i = 4; i < len; i++)
        if (digit_of(text[i]) < 0)
            return false;
    return true;
}

static int take_name(struct key_uri *uri, const char *scheme, const char *attribute, size_t len, char **why)
{
    bool first = strcmp(uri->name, scheme) == 0;
    if (uri->where == KEY_IN_TPM && (!first || !is_handle(attribute, len)))
        return wrong(
            why,
            str_copy("expected handle:0x81……, a TPM's persistent object, with pin-source=FILE if it has an "
                     "authorization"));
    if (uri->where == KEY_IN_TOKEN && !is_path_attribute(attribute, len))
        return wrong(why, str_copy("expected pkcs11:token=…;object=…, or other attributes of RFC 7512, with "
                                   "?pin-source=FILE"));
    char *longer = str_printf("%s%s%.*s", uri->name, first ? "" : ";", (int)len, attribute);
    free(uri->name);
    uri->name = longer;
    return 0;
}

int key_uri_parse(struct key_uri *ret, const char *text, char **why)
{
    if (!key_uri_is_elsewhere(text)) {
        if (!*text)
            return wrong(why, str_copy("expected a PEM file, pkcs11:… or handle:0x81……, found nothing"));
        *ret = (struct key_uri){.where = KEY_IN_FILE, .name = str_copy(text)};
        return 0;
    }
    bool token = strncmp(text, token_scheme, strlen(token_scheme)) == 0;
    const char *scheme = token ? token_scheme : tpm_scheme;
    struct key_uri uri = {.where = token ? KEY_IN_TOKEN : KEY_IN_TPM, .name = str_copy(scheme)};
    int r = 0;
    for (const char *at = text + strlen(scheme); r >= 0 && *at;) {
        size_t len = strcspn(at, ";?&");
        r = len ? take_ours(&uri, at, len, why) : 1;
        if (r == 0)
            r = take_name(&uri, scheme, at, len, why);
        at += len + (at[len] != '\0');
    }
    if (r >= 0 && strcmp(uri.name, scheme) == 0)
        r = take_name(&uri, scheme, "", 0, why);
    else if (r >= 0 && token && !uri.pin)
        r = wrong(why, str_copy("expected pin-source=FILE or pin-source=credential:NAME with a token's PIN"));
    if (r < 0) {
        key_uri_done(&uri);
        return r;
    }
    *ret = uri;
    return 0;
}
