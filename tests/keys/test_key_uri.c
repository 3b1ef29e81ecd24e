#include "keys/key_uri.h"

#include "keys/key.h"
#include "keys/key_pin.h"
#include "keys/key_token.h"
#include "rig/test.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static struct key_uri parsed(const char *text)
{
    struct key_uri uri;
    char *why = NULL;
    if (key_uri_parse(&uri, text, &why) < 0)
        FAIL("%s: %s", text, why);
    return uri;
}

static void check_refused(const char *text, const char *expected)
{
    struct key_uri uri;
    char *why = NULL;
    if (key_uri_parse(&uri, text, &why) != -EINVAL)
        FAIL("%s is taken", text);
    if (!strstr(why, expected) || strncmp(why, "expected ", 9) != 0)
        FAIL("%s: %s", text, why);
    free(why);
}

TEST(a_path_is_a_file)
{
    cleanup(key_uri_done) struct key_uri uri = parsed("/etc/gatehouse/server.key");
    CHECK_INT(uri.where, KEY_IN_FILE);
    CHECK_STR(uri.name, "/etc/gatehouse/server.key");
    CHECK(!uri.pin && !uri.module);
}

TEST(what_is_for_us_is_taken_out_of_a_tokens_uri_wherever_it_stands)
{
    static const char *const texts[] = {"pkcs11:token=gw;object=a?pin-source=/p&module-path=/m",
                                        "pkcs11:token=gw;pin-source=file:/p;object=a;module-path=/m",
                                        "pkcs11:module-path=%2Fm;token=gw;object=a?pin-source=file:///p"};
    for (size_t i = 0; i < array_size(texts); i++) {
        cleanup(key_uri_done) struct key_uri uri = parsed(texts[i]);
        CHECK_INT(uri.where, KEY_IN_TOKEN);
        CHECK_STR(uri.name, "pkcs11:token=gw;object=a");
        CHECK_STR(uri.pin, "/p");
        CHECK_STR(uri.module, "/m");
    }
}

TEST(a_persistent_object_of_a_tpm_may_have_an_authorization)
{
    cleanup(key_uri_done) struct key_uri uri = parsed("handle:0x81000001?pin-source=credential:tpm");
    CHECK_INT(uri.where, KEY_IN_TPM);
    CHECK_STR(uri.name, "handle:0x81000001");
    CHECK_STR(uri.pin, "credential:tpm");
}

TEST(what_is_wrong_is_said_and_a_pin_is_not_repeated)
{
    check_refused("", "a PEM file");
    check_refused("pkcs11:", "token=…;object=…");
    check_refused("pkcs11:token=gw;object=a", "pin-source=FILE or pin-source=credential:NAME");
    check_refused("pkcs11:token=gw;colour=red;pin-source=/p", "attributes of RFC 7512");
    check_refused("pkcs11:token=%zz;pin-source=/p", "attributes of RFC 7512");
    check_refused("pkcs11:token=gw?pin-source=pin", "an absolute path, or credential:NAME");
    check_refused("pkcs11:token=gw?pin-source=credential:../x", "an absolute path, or credential:NAME");
    check_refused("pkcs11:token=gw?pin-source=/p&module-path=lib.so", "module-path with an absolute path");
    check_refused("handle:0x80000001", "handle:0x81");
    check_refused("handle:0x81000001;0x81000002", "handle:0x81");
    check_refused("handle:", "handle:0x81");
    char *why = NULL;
    struct key_uri uri;
    CHECK_INT(key_uri_parse(&uri, "pkcs11:token=gw?pin-value=48121", &why), -EINVAL);
    CHECK(strstr(why, "pin-source=FILE") && !strstr(why, "48121"));
    free(why);
}

TEST(a_tokens_label_is_decoded)
{
    char label[KEY_LABEL_BYTES];
    CHECK(key_token_label(label, "pkcs11:object=a;token=my%20gw"));
    CHECK_STR(label, "my gw");
    CHECK(!key_token_label(label, "pkcs11:object=a"));
    CHECK(!key_token_label(label, "pkcs11:token=123456789012345678901234567890123"));
}

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    (void)close(fd);
}

TEST(a_pin_is_the_first_line_of_its_file_or_of_a_credential)
{
    char folder[] = "/tmp/gatehouse-pin-XXXXXX", pin[KEY_PIN_MAX + 1];
    CHECK(mkdtemp(folder));
    cleanup_free char *path = str_printf("%s/pin", folder);
    char *why = NULL;
    put(path, "48121\nmore\n");
    CHECK_INT(key_pin_read(pin, path, &why), 0);
    CHECK_STR(pin, "48121");
    CHECK_INT(setenv("CREDENTIALS_DIRECTORY", folder, 1), 0);
    CHECK_INT(key_pin_read(pin, "credential:pin", &why), 0);
    CHECK_STR(pin, "48121");
    CHECK_INT(unsetenv("CREDENTIALS_DIRECTORY"), 0);
    CHECK_INT(key_pin_read(pin, "credential:pin", &why), -EINVAL);
    CHECK(strstr(why, "LoadCredential="));
    free(why);
    put(path, "\n");
    CHECK_INT(key_pin_read(pin, path, &why), -EINVAL);
    CHECK(strstr(why, "a PIN in the first line"));
    free(why);
    char longest[KEY_PIN_MAX + 2] = "";
    memset(longest, '1', KEY_PIN_MAX);
    put(path, longest);
    CHECK_INT(key_pin_read(pin, path, &why), 0);
    CHECK_STR(pin, longest);
    longest[KEY_PIN_MAX] = '1';
    put(path, longest);
    CHECK_INT(key_pin_read(pin, path, &why), -EINVAL);
    CHECK(strstr(why, "at most 255 bytes") && !strstr(why, "111"));
    free(why);
    CHECK_INT(key_pin_read(pin, NULL, &why), 0);
    CHECK_STR(pin, "");
    (void)unlink(path);
    (void)rmdir(folder);
}

TEST(a_key_that_is_not_there_is_said_with_its_place)
{
    struct evp_pkey_st *key;
    char *why = NULL;
    CHECK_INT(key_load(&key, "/nowhere/server.key", &why), -EINVAL);
    CHECK(strstr(why, "/nowhere/server.key: expected a private key in PEM form, without a passphrase"));
    free(why);
}
