/* Who is at the other end of a connection. */
#include "net/channel.h"
#include "net/conn.h"

enum { NAMES = 4 }; /* of peers, valid at the same time */

bool conn_credentials(const struct conn *conn, pid_t *pid, uid_t *uid)
{
    if (conn_channel(conn)->peer.family != AF_UNIX)
        return false;
    *pid = conn_channel(conn)->peer.process.pid;
    *uid = conn_channel(conn)->peer.process.uid;
    return true;
}

const struct address *conn_address(const struct conn *conn)
{
    return &conn_channel(conn)->peer;
}

const char *conn_peer(const struct conn *conn)
{
    static char names[NAMES][ADDRESS_TEXT_BYTES];
    static unsigned next;
    char *name = names[next++ % NAMES];
    address_text(&conn_channel(conn)->peer, name);
    return name;
}

const char *conn_certificate_name(const struct conn *conn)
{
    return channel_certificate_name(conn_channel(conn));
}

uint8_t *conn_certificate(const struct conn *conn, size_t *len)
{
    return channel_certificate(conn_channel(conn), len);
}

const char *conn_server_name(const struct conn *conn)
{
    return channel_server_name(conn_channel(conn));
}
