/* Certificates and requests as strangers send them: what is read of them is read without looking anywhere else, and whoever
 * refuses says why. The first byte says what the rest is. */
#include "identity/x509.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_field(void *self, const char *key, const char *value, size_t len)
{
    size_t *sum = self;
    *sum += strlen(key) + len;
    for (size_t i = 0; i < len; i++)
        *sum += (uint8_t)value[i];
}

static void read_der(const uint8_t *der, size_t len)
{
    struct x509_facts facts;
    char *why = NULL;
    if (x509_facts(&facts, der, len, &why) < 0) {
        if (!why)
            abort();
        free(why);
        return;
    }
    size_t sum = 0;
    x509_each_field(der, len, on_field, &sum);
    (void)x509_is_issued_by(der, len, der, len);
    free(x509_to_pem(der, len));
    x509_facts_done(&facts);
}

static void sign(const char *request, size_t len)
{
    static struct x509_signer *signer;
    struct x509_issued issued;
    char *why = NULL;
    if (!signer) {
        const struct x509_wish ca = {
            .usage = X509_AUTHORITY, .common_name = "ca", .not_before_s = 1, .not_after_s = 2000000000};
        if (x509_issue(&issued, NULL, &ca, &why) < 0 ||
            x509_signer_open(&signer, issued.pem, issued.key_pem, &why) < 0)
            abort();
        x509_issued_done(&issued);
    }
    const struct x509_wish wish = {
        .request = request, .request_len = len, .not_before_s = 1, .not_after_s = 2000000000};
    if (x509_issue(&issued, signer, &wish, &why) == 0)
        x509_issued_done(&issued);
    else if (!why)
        abort();
    free(why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    uint8_t *der;
    size_t len;
    char *why = NULL;
    const char *text = (const char *)data + 1;
    switch (data[0] % 3) {
    case 0: read_der(data + 1, size - 1); break;
    case 1:
        if (x509_from_pem(&der, &len, text, size - 1, &why) == 0) {
            read_der(der, len);
            free(der);
        } else if (!why) {
            abort();
        }
        free(why);
        break;
    default: sign(text, size - 1); break;
    }
    return 0;
}
