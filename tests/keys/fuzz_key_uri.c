/* Where a key is. What is taken has its parts, and is taken again when they are put together; what is refused has a sentence,
 * without the PIN. */
#include "keys/key_token.h"
#include "keys/key_uri.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool is_so)
{
    if (!is_so)
        abort();
}

/* As an attribute; in another one's value it is a text like any. */
static bool names_pin(const char *name)
{
    return strncmp(name, "pkcs11:pin-source=", 18) == 0 || strstr(name, ";pin-source=");
}

static void again(const struct key_uri *uri)
{
    char label[KEY_LABEL_BYTES];
    struct key_uri twice;
    char *why = NULL;
    (void)key_token_label(label, uri->name);
    if (uri->where != KEY_IN_TOKEN)
        return;
    cleanup_free char *text = str_printf("%s?pin-source=/p", uri->name);
    must(key_uri_parse(&twice, text, &why) == 0);
    must(strcmp(twice.name, uri->name) == 0 && !twice.module && strcmp(twice.pin, "/p") == 0);
    key_uri_done(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct key_uri uri;
    char *why = NULL, *text = str_copy_n((const char *)data, len);
    if (key_uri_parse(&uri, text, &why) < 0) {
        must(why && strncmp(why, "expected ", 9) == 0);
        free(why);
    } else {
        must(!why && *uri.name);
        must(uri.where == KEY_IN_FILE ? !uri.pin && !uri.module : !names_pin(uri.name));
        must(!uri.pin || *uri.pin == '/' || strncmp(uri.pin, "credential:", 11) == 0);
        must(!uri.module || (*uri.module == '/' && uri.where == KEY_IN_TOKEN));
        again(&uri);
        key_uri_done(&uri);
    }
    free(text);
    return 0;
}
