/* Searching for things. */
#include "identity/registry_query.h"

#include "rig/test.h"

#include <stdio.h>
#include <string.h>

static struct registry_attribute press_attributes[] = {
    {"hall", "7"}, {"model", "m93"}, {"rpm", "150"}, {"sn", "A5"}, {"weird", "x/y:z"}};
static struct registry_type press_type = {.key = {"press", 5, 0}};
static struct registry_group site = {.key = {"Site", 4, 0}}, hall = {.key = {"hall7", 5, 0}, .parent = &site};
static const struct registry_thing press = {
    .key = {"press-07", 8, 0},
    .id = "9c1b4f52-7a11-4c8e-8f35-1be0b8d6c0aa",
    .type = &press_type,
    .attributes = {press_attributes, array_size(press_attributes)},
    .groups = {&hall},
    .group_count = 1,
    .connectivity_ms = 1759999999000,
    .disconnect_reason = "CONNECTION_LOST",
};

/* "yes", "no", or why it is no query. */
static const char *ask(const char *text)
{
    static char said[300];
    struct registry_query *query;
    char *why;
    if (registry_query_compile(&query, text, strlen(text), REGISTRY_QUERY_TERMS_MAX, &why) < 0) {
        (void)snprintf(said, sizeof said, "%s", why);
        free(why);
        return said;
    }
    bool found = registry_query_matches(query, &press);
    (void)registry_query_free(query);
    return found ? "yes" : "no";
}

static const struct example {
    const char *query, *answer;
} examples[] = {
    {"thingName:press* AND attributes.hall:7", "yes"},
    {"thingName:PRESS-07", "yes"},
    {"thingName:press", "no"},
    {"attributes.rpm:[100 TO 200}", "yes"},
    {"attributes.rpm:{150 TO 200}", "no"},
    {"attributes.rpm:[150 TO *]", "yes"},
    {"attributes.rpm:{* TO 150}", "no"},
    {"attributes.rpm>60", "yes"},
    {"attributes.rpm>=150 attributes.rpm<150.5", "yes"},
    {"attributes.rpm:150.0", "yes"},
    {"attributes.rpm:\"150.0\"", "no"},
    {"attributes.sn:[\"A0\" TO \"A9\"]", "yes"},
    {"attributes.sn:[\"B0\" TO \"B9\"]", "no"},
    {"thingTypeName:(pump OR press) AND NOT attributes.retired:*", "yes"},
    {"registry.thingTypeName:press", "yes"},
    {"thingGroupNames:hall7 AND thingName:(p* -p9)", "yes"},
    {"thingGroupNames:hall7 AND thingName:(p* -press*)", "no"},
    {"thingGroupNames:site", "yes"},
    {"attributes.model:m?3", "yes"},
    {"attributes.model:m?4", "no"},
    {"attributes.model:*", "yes"},
    {"attributes.none:*", "no"},
    {"attributes.weird:x\\/y\\:z", "yes"},
    {"connectivity.connected:false AND connectivity.timestamp<1760000000000", "yes"},
    {"connectivity.connected:true", "no"},
    {"connectivity.disconnectReason:connection_lost", "yes"},
    {"NOT attributes.none:*", "yes"},
    {"-thingName:press*", "no"},
    {"*", "yes"},
    {"m93", "yes"},
    {"m94", "no"},
    {"thingName:x OR attributes.hall:7 AND attributes.sn:A5", "yes"},
    {"(thingName:x OR attributes.hall:7) attributes.sn:A6", "no"},
    {"thingId:9c1b4f52*", "yes"},
    {"\"press-07\"", "yes"},
};

TEST(queries_find_what_they_say)
{
    for (size_t i = 0; i < array_size(examples); i++)
        if (strcmp(ask(examples[i].query), examples[i].answer) != 0)
            FAIL("%s: expected %s, found %s", examples[i].query, examples[i].answer, ask(examples[i].query));
}

static const struct example mistakes[] = {
    {"", "character 1: expected a term"},
    {"thingName:", "character 11: expected a value"},
    {"(thingName:x", "character 13: expected )"},
    {"thingName:x)", "character 12: expected the end, or another term"},
    {"a OR", "character 5: expected a term"},
    {"thingName:\"x", "character 13: expected a \" at the end of the phrase"},
    {"attributes.a:[1 2]", "character 17: expected TO between the bounds of a range"},
    {"attributes.a:[1 TO 2", "character 21: expected ] or } at the end of a range"},
    {"thingName:***", "character 14: expected at most two * and five ? in a term"},
    {"thingName:*a attributes.b:*c",
     "character 29: expected one term that begins with a wildcard, of at most 100 characters"},
    {"a b c d e f g h i j k l m", "expected at most 12 terms"},
};

TEST(what_is_no_query_is_refused_with_the_place)
{
    for (size_t i = 0; i < array_size(mistakes); i++)
        CHECK_STR(ask(mistakes[i].query), mistakes[i].answer);
    CHECK(strstr(ask("shadow.reported.temp>60"), "expected a field: thingName"));
}

TEST(a_query_that_is_too_long_or_too_deep_is_refused)
{
    char text[1200];
    memset(text, 'a', sizeof text);
    text[1100] = '\0';
    CHECK_STR(ask(text), "expected at most 1000 characters, none of them U+0000");
    memset(text, '(', 900);
    text[900] = '\0';
    CHECK(strstr(ask(text), "fewer parentheses"));
    memset(text, '-', 900);
    CHECK(strstr(ask(text), "fewer NOTs"));
}
