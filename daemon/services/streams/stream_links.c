/* What uplinks may send, for those who ask for streams: so that it can be simulated (gatehouse uplink simulate). */
#include "services/streams/stream.h"

#include "schedule/schedule_text.h"

void streams_put_links(struct json_writer *w, const struct streams *streams)
{
    json_key(w, "links");
    json_begin_array(w);
    for (size_t i = 0; i < streams->outlet_count; i++) {
        const struct outlet *outlet = streams->outlets[i];
        json_begin_object(w);
        json_key(w, "uplink");
        json_put_string(w, outlet->name);
        stream_put_number(w, "window", outlet->window);
        schedule_link_put(&outlet->schedule.link, w);
        json_end_object(w);
    }
    json_end_array(w);
}
