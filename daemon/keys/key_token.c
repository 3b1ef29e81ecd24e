#include "keys/key_token.h"

#include <dlfcn.h>
#include <string.h>

/* The part of PKCS #11 v2.40 that it takes to list tokens; its structures have natural alignment on Unix. */
enum { CKR_OK = 0, LABEL_BYTES = 32, TOKENS_MAX = 64, INFO_BYTES = 512 /* CK_TOKEN_INFO has 208 */ };

struct function_list {
    unsigned char version[2];
    void (*initialize)(void), (*finalize)(void), (*get_info)(void), (*get_function_list)(void);
    unsigned long (*get_slot_list)(unsigned char with_token, unsigned long *slots, unsigned long *count);
    void (*get_slot_info)(void);
    unsigned long (*get_token_info)(unsigned long slot, void *info); /* begins with the label */
};

typedef unsigned long get_function_list(struct function_list **ret);

static int digit_of(char c)
{
    const char *digits = "0123456789abcdef0123456789ABCDEF", *at = c ? strchr(digits, c) : NULL;
    return at ? (int)((at - digits) % 16) : -1;
}

bool key_token_label(char ret[KEY_LABEL_BYTES], const char *name)
{
    const char *at = strstr(name, "token=");
    if (!at || at == name || (at[-1] != ':' && at[-1] != ';'))
        return false;
    size_t len = 0;
    for (at += strlen("token="); *at && *at != ';'; at++) {
        int high = *at == '%' ? digit_of(at[1]) : -1, low = high >= 0 ? digit_of(at[2]) : -1;
        if (len == LABEL_BYTES)
            return false;
        ret[len++] = low >= 0 ? (char)(high << 4 | low) : *at;
        at += low >= 0 ? 2 : 0;
    }
    ret[len] = '\0';
    return len;
}

/* Labels are filled up with blanks. */
static bool get_label(const struct function_list *list, unsigned long slot, char ret[KEY_LABEL_BYTES])
{
    union {
        char bytes[INFO_BYTES];
        unsigned long align;
    } info = {0};
    if (list->get_token_info(slot, &info) != CKR_OK)
        return false;
    size_t len = LABEL_BYTES;
    while (len && info.bytes[len - 1] == ' ')
        len--;
    memcpy(ret, info.bytes, len);
    ret[len] = '\0';
    return len;
}

static bool look(const struct function_list *list, const char *wanted, char **found)
{
    unsigned long slots[TOKENS_MAX], count = TOKENS_MAX;
    if (list->get_slot_list(1, slots, &count) != CKR_OK)
        return false;
    char *labels = str_copy("");
    bool there = false;
    for (unsigned long i = 0; i < count; i++) {
        char label[KEY_LABEL_BYTES];
        if (!get_label(list, slots[i], label))
            continue;
        there = there || strcmp(label, wanted) == 0;
        char *more = str_printf("%s%s\"%s\"", labels, *labels ? ", " : "", label);
        free(labels);
        labels = more;
    }
    if (there)
        free(labels);
    else
        *found = labels;
    return !there;
}

bool key_token_is_missing(const char *name, const char *module, char **found)
{
    char wanted[KEY_LABEL_BYTES];
    module = module ? module : getenv("PKCS11_MODULE_PATH");
    if (!module || !key_token_label(wanted, name))
        return false;
    void *library = dlopen(module, RTLD_NOW | RTLD_LOCAL |
                                       RTLD_NOLOAD); /* the engine has loaded it, and asked it to begin */
    void *symbol = library ? dlsym(library, "C_GetFunctionList") : NULL;
    get_function_list *get;
    struct function_list *list = NULL;
    memcpy(&get, &symbol, sizeof get); /* a pointer to a function, which ISO C does not convert */
    bool missing = symbol && get(&list) == CKR_OK && list && look(list, wanted, found);
    if (library)
        (void)dlclose(library);
    return missing;
}
