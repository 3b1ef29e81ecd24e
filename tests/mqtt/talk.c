#include "mqtt/talk.h"

#include "mqtt/play.h"

struct house_options talk_options(void)
{
    struct house_options options = house_options();
    options.store = true;
    return options;
}

static void begin(struct talk *talk, const struct house_options *options, unsigned version)
{
    struct house_options with_disk = talk_options();
    talk->play = play_open(options ? options : &with_disk, version);
    talk->house = play_house(talk->play);
}

void talk_begin(struct talk *talk, const struct house_options *options)
{
    begin(talk, options, SCRIPT_5);
}

void talk_begin_old(struct talk *talk, const struct house_options *options)
{
    begin(talk, options, SCRIPT_311);
}

/* Does not come back when something went wrong. */
static void check(int r, char *why, const char *file, int line)
{
    if (r == 0)
        return;
    print_error("%s\n", why);
    free(why);
    _fail(file, line);
}

void talk_end(struct talk *talk)
{
    char *why = NULL;
    int r = play_close(talk->play, &why);
    check(r, why, __FILE__, __LINE__);
}

void talk_line(struct talk *talk, const char *file, int line, char *text)
{
    char *why = NULL;
    int r = play_lines(talk->play, text, &why);
    free(text);
    check(r, why, file, line);
}

void talk_lines(struct talk *talk, const char *file, int line, const char *const *lines)
{
    char *text = str_copy("");
    for (size_t i = 0; lines[i]; i++) {
        char *before = text;
        text = str_printf("%s%s\n", before, lines[i]);
        free(before);
    }
    talk_line(talk, file, line, text);
}
