/* Uplinks and their maps as the configuration says, at the start and when it is read again. */
#include "house.h"
#include "settings.h"

#include "base/log.h"
#include "services/uplink/uplink_maps.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { SECRETS = 3 }; /* of an uplink, in files of their own */

/* What a set of options points to that is not the configuration's. */
struct wanted {
    struct uplink_options *uplinks;
    struct uplink_map_options *maps;
    char **secrets;
    size_t count, map_count;
};

/* The first line of the file; what is secret is not in the configuration itself. */
static int read_password(const char *path, char **ret)
{
    if (!*path)
        return 0;
    cleanup(fd_close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
    char text[8192];
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (n < 0)
        return house_fault("cannot read", path, -errno);
    text[n] = '\0';
    text[strcspn(text, "\r\n")] = '\0';
    *ret = str_copy(text);
    return 0;
}

static int wanted_init(struct wanted *wanted, const struct config *config)
{
    int r = 0;
    *wanted = (struct wanted){.count = config->uplink_count, .map_count = config->downlink_count};
    wanted->uplinks = mem_new_bytes((wanted->count + 1) * sizeof *wanted->uplinks);
    wanted->maps = mem_new_bytes((wanted->map_count + 1) * sizeof *wanted->maps);
    wanted->secrets = mem_new_bytes((SECRETS * wanted->count + 1) * sizeof(char *));
    for (size_t i = 0; i < wanted->count && r >= 0; i++) {
        const struct config_uplink *uplink = &config->uplinks[i];
        char **secrets = &wanted->secrets[SECRETS * i];
        r = read_password(uplink->password_file, &secrets[0]);
        if (r >= 0)
            r = read_password(uplink->proxy_password_file, &secrets[1]);
        if (r >= 0)
            r = read_password(uplink->authorization_file, &secrets[2]);
        wanted->uplinks[i] = settings_uplink(uplink, config->name);
        wanted->uplinks[i].password = secrets[0];
        wanted->uplinks[i].proxy_password = secrets[1];
        wanted->uplinks[i].authorization = secrets[2];
    }
    for (size_t i = 0; i < wanted->map_count; i++) {
        const struct config_downlink *downlink = &config->downlinks[i];
        wanted->maps[i] =
            (struct uplink_map_options){downlink->name, downlink->uplink, downlink->filter, downlink->topic};
    }
    return r;
}

static void wanted_done(struct wanted *wanted)
{
    for (size_t i = 0; i < SECRETS * wanted->count; i++)
        free(wanted->secrets[i]);
    free(wanted->secrets);
    free(wanted->uplinks);
    free(wanted->maps);
}

int open_uplinks(struct house *house)
{
    struct wanted wanted;
    int r = wanted_init(&wanted, &house->config);
    if (r >= 0)
        r = uplinks_new(&house->uplinks, house->bus, wanted.uplinks, wanted.count);
    if (r >= 0)
        uplinks_set_maps(house->uplinks, wanted.maps, wanted.map_count);
    wanted_done(&wanted);
    return r;
}

int reload_uplinks(struct house *house, const struct config *config)
{
    struct wanted wanted;
    int r = wanted_init(&wanted, config);
    if (r >= 0)
        r = uplinks_apply(house->uplinks, wanted.uplinks, wanted.count);
    if (r >= 0)
        uplinks_set_maps(house->uplinks, wanted.maps, wanted.map_count);
    for (size_t i = 0; r >= 0 && i < config->uplink_count; i++)
        streams_set_link(house->streams, config->uplinks[i].name, &config->uplinks[i].link);
    wanted_done(&wanted);
    return r;
}
