#include "net/tls_psk.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <string.h>

/* A handshake asks three things:
 *
 *      ClientHello ─▶ must it wait? ─▶ yes: not now, the connection comes again (once)
 *                                      no ─▶ whose key? ─▶ a session with it, or with a random one ─▶ what became of it
 *
 * OpenSSL calls a shared key a session: it has the key for its secret, and TLS 1.3 goes on as if it were resumed.
 * The binder of a random key is wrong for everybody, so an identity that is not known and a wrong key take the same way from
 * there to the same alert. A session with any cipher of SHA-256 will do for all of them. */

enum { RECORD_TO_NODE = 512, EXTENSION_PSK = 41 };

static const unsigned char chacha20_poly1305_sha256[] = {0x13, 0x03};

static int context_index = -1, try_index = -1;

static void on_context_gone(void *context, void *data, CRYPTO_EX_DATA *all, int index, long number, void *arg)
{
    (void)context, (void)all, (void)index, (void)number, (void)arg;
    struct tls_psk *psk = data;
    if (psk)
        psk->gone(psk);
}

static void on_try_gone(void *tls, void *data, CRYPTO_EX_DATA *all, int index, long number, void *arg)
{
    (void)tls, (void)all, (void)index, (void)number, (void)arg;
    free(data);
}

static void note_identity(struct tls_psk_try *try, const char *identity, size_t len)
{
    try->identity[0] = '\0';
    bool valid = len >= 1 && len <= TLS_PSK_IDENTITY_MAX;
    for (size_t i = 0; valid && i < len; i++)
        valid = identity[i] > ' ' && identity[i] <= '~';
    if (!valid)
        return;
    memcpy(try->identity, identity, len);
    try->identity[len] = '\0';
}

static const char *identity_or_null(const struct tls_psk_try *try)
{
    return *try->identity ? try->identity : NULL;
}

/* The first identity of a pre_shared_key extension: a list of {length, bytes, age}, behind its own length. */
static void peek(struct tls_psk_try *try, const unsigned char *bytes, size_t len)
{
    size_t n = len >= 4 ? (size_t)bytes[2] << 8 | bytes[3] : 0;
    if (n && n <= len - 4)
        note_identity(try, (const char *)bytes + 4, n);
}

static int on_hello(SSL *tls, int *alert, void *arg)
{
    (void)alert, (void)arg;
    struct tls_psk_try *try = tls_psk_of(tls);
    const unsigned char *extension;
    size_t len;
    if (!try || try->has_waited)
        return SSL_CLIENT_HELLO_SUCCESS;
    try->has_waited = true; /* whether it has to or not */
    if (SSL_client_hello_get0_ext(tls, EXTENSION_PSK, &extension, &len))
        peek(try, extension, len);
    bool waits = try->psk->must_wait(try->psk, identity_or_null(try), try->peer);
    return waits ? SSL_CLIENT_HELLO_RETRY : SSL_CLIENT_HELLO_SUCCESS;
}

/* The key, or a random one. */
static bool take_key(struct tls_psk_try *try, const char *identity, size_t len,
                     uint8_t key[TLS_PSK_KEY_BYTES])
{
    uint8_t found[TLS_PSK_KEY_BYTES] = {0};
    if (RAND_bytes(key, TLS_PSK_KEY_BYTES) != 1)
        return false;
    note_identity(try, identity, len);
    try->asked = true;
    try->known = *try->identity && try->psk->find(try->psk, try->identity, found);
    if (try->known)
        memcpy(key, found, TLS_PSK_KEY_BYTES);
    OPENSSL_cleanse(found, sizeof found);
    return true;
}

/* TLS 1.3 */
static int on_session(SSL *tls, const unsigned char *identity, size_t len, SSL_SESSION **ret)
{
    uint8_t key[TLS_PSK_KEY_BYTES];
    struct tls_psk_try *try = tls_psk_of(tls);
    const SSL_CIPHER *cipher = SSL_CIPHER_find(tls, chacha20_poly1305_sha256);
    SSL_SESSION *session = SSL_SESSION_new();
    bool good = try && cipher && session && take_key(try, (const char *)identity, len, key) &&
                SSL_SESSION_set1_master_key(session, key, sizeof key) == 1 &&
                SSL_SESSION_set_cipher(session, cipher) == 1 &&
                SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) == 1;
    OPENSSL_cleanse(key, sizeof key);
    if (good)
        *ret = session;
    else
        SSL_SESSION_free(session);
    return good;
}

/* TLS 1.2. 0 would be an alert of its own for an identity that is not known. */
static unsigned on_key(SSL *tls, const char *identity, unsigned char *ret, unsigned max)
{
    struct tls_psk_try *try = tls_psk_of(tls);
    if (!try || max < TLS_PSK_KEY_BYTES || !take_key(try, identity, strlen(identity), ret))
        return 0;
    return TLS_PSK_KEY_BYTES;
}

static int no_context(char **why)
{
    *why = str_printf("TLS: %s", tls_reason(ERR_peek_last_error()));
    ERR_clear_error();
    return -ENOMEM;
}

int tls_psk_context(struct ssl_ctx_st **ret, const struct tls_options *options, char **why)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (!context)
        return no_context(why);
    if (context_index < 0) {
        context_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, on_context_gone);
        try_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, on_try_gone);
    }
    bool old = options->psk_tls12;
    bool good =
        SSL_CTX_set_min_proto_version(context, old ? TLS1_2_VERSION : TLS1_3_VERSION) == 1 &&
        SSL_CTX_set_ciphersuites(context, "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256") == 1 &&
        SSL_CTX_set_cipher_list(context, "ECDHE-PSK-CHACHA20-POLY1305") == 1 &&
        SSL_CTX_set1_groups_list(context, "X25519:P-256") == 1 &&
        SSL_CTX_set_max_send_fragment(context, RECORD_TO_NODE) == 1 &&
        SSL_CTX_set_num_tickets(context, 0) == 1 &&
        SSL_CTX_set_ex_data(context, context_index, options->psk) == 1; /* last: it goes with the context */
    if (!good) {
        SSL_CTX_free(context);
        return no_context(why);
    }
    (void)SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
                                           SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
    (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_client_hello_cb(context, on_hello, NULL);
    SSL_CTX_set_psk_find_session_callback(context, on_session);
    if (old)
        SSL_CTX_set_psk_server_callback(context, on_key);
    *ret = context;
    return 0;
}

struct tls_psk_try *tls_psk_begin(struct ssl_st *tls)
{
    struct tls_psk *psk = context_index < 0 ? NULL : SSL_CTX_get_ex_data(SSL_get_SSL_CTX(tls), context_index);
    if (!psk)
        return NULL;
    struct tls_psk_try *try = mem_new(struct tls_psk_try);
    try->psk = psk;
    if (SSL_set_ex_data(tls, try_index, try) != 1)
        abort(); /* a pointer in a list: the rule of mem_new() */
    return try;
}

struct tls_psk_try *tls_psk_of(const struct ssl_st *tls)
{
    return try_index < 0 ? NULL : SSL_get_ex_data(tls, try_index);
}

const char *tls_psk_end(struct tls_psk_try *try, bool good)
{
    if (try->ended || !try->asked)
        return NULL; /* whoever shows no identity is none of the keys' concern */
    try->ended = true;
    try->psk->tried(try->psk, identity_or_null(try), try->peer, try->known, good);
    return good ? NULL : try->known ? "its key is wrong" : "its identity is not known";
}

/* ---- codes on stickers ------------------------------------------------------------------------------------------------- */

bool tls_sha256(const void *bytes, size_t len, uint8_t ret[32])
{
    bool good = EVP_Digest(bytes, len, ret, NULL, EVP_sha256(), NULL) == 1;
    ERR_clear_error();
    return good;
}

bool tls_scrypt(const char *password, const char *salt, uint8_t ret[32])
{
    enum { N = 32768, R = 8, P = 1, MEMORY_MAX = 64 << 20 };
    bool good = EVP_PBE_scrypt(password, strlen(password), (const unsigned char *)salt, strlen(salt), N, R, P,
                               MEMORY_MAX, ret, 32) == 1;
    ERR_clear_error();
    return good;
}
