/* For tests of TLS: certificates made on the spot, and the other side of a connection.
 *
 * The other side, `struct far`, is an SSL between two memory BIOs and a raw descriptor. The test decides when bytes pass
 * between them, in which pieces, and sees every record that comes. */
#pragma once

#include "net/net_rig.h"

#include <openssl/ssl.h>

/* A key and its certificate. */
struct identity {
    EVP_PKEY *key;
    X509 *certificate;
};

/* Signed by the issuer; NULL: by itself, and an authority. days: until it expires, negative when it has. */
struct identity identity_new(const struct identity *issuer, const void *name, size_t name_len, int days);
void identity_done(struct identity *identity);
/* FOLDER/NAME.pem and FOLDER/NAME.key. */
void identity_save(const struct identity *identity, const char *folder, const char *name);

/* A folder with ca, server, client and others' files, and what is made of them. */
struct tls_world {
    char *folder;
    struct identity ca, server, client;
    SSL_CTX *server_context; /* ours, asks for client certificates */
    SSL_CTX *client_context; /* shows the client's certificate, trusts the ca */
    int version;             /* of the far side's TLS; 0: the highest */
};

struct tls_world *tls_world_new(void);
struct tls_world *tls_world_free(struct tls_world *world);
define_cleanup(struct tls_world *, tls_world_free)

/* FOLDER/NAME, valid until the call after the next three. */
const char *tls_world_file(const struct tls_world *world, const char *name);
/* What tls_server_context() makes of ca.pem and server.pem and .key; the CA only if wanted. */
SSL_CTX *tls_world_server(const struct tls_world *world, bool with_ca);

struct far {
    SSL *tls;
    BIO *in, *out;
    int fd;
    bool deaf;      /* takes nothing from the descriptor */
    size_t piece;   /* bytes that pass at once, in each direction; 0: all */
    size_t skip;    /* so many bytes from the descriptor are not TLS */
    uint8_t *bytes; /* what has come, decrypted */
    size_t len;
    unsigned records; /* of application data that have come, and the largest of them */
    size_t record_max;
    bool goodbye;    /* close_notify has come */
    bool ended;      /* the descriptor is at its end */
    int error;       /* SSL_ERROR_... that ended it */
    int reason;      /* and OpenSSL's reason */
    uint8_t head[5]; /* private: of the record that is coming */
    size_t head_len, left;
};

/* A connection that accepts TLS on one end of a pair; the far side connects on the other. */
void far_pair(struct far *ret, struct net_rig *rig, struct tls_world *world, struct recorder *recorder);
/* The far side of a raw descriptor, which it takes over. */
void far_init(struct far *ret, SSL_CTX *context, int fd, bool accepts);
void far_done(struct far *far);
/* Lets bytes pass until nothing moves any more, with turns of the loop in between. */
void far_settle(struct far *far, struct net_rig *rig);
/* One step: what moved? */
bool far_step(struct far *far);
/* Encrypts; the bytes pass with the next step. */
void far_write(struct far *far, const void *bytes, size_t len);
bool far_is_up(const struct far *far);
/* Fills what the kernel takes for that descriptor, a dup() of the connection's, with bytes the far side will skip. */
void far_clog(struct far *far, int fd);
