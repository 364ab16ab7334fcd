/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/summary.h"

#include "builder/cli/fleet_show.h"
#include "builder/cli/text.h"

#include <inttypes.h>

/* Waiting that was no more than asking. */
#define READY_AT_ONCE_NS 20000000LL

/* From the record to the last node's flip, by what nodes say; negative: none says it. */
static int64_t flip_ns(const struct fleet_look *look, const struct switch_result *result)
{
    int64_t ns = look->last_switch_ns - result->written_ns;
    return look->n_switched && ns >= 0 ? ns : -1;
}

static void steps_text(const struct fleet_look *look, const struct switch_result *result,
                       bool prepared, struct buf *out)
{
    char text[TEXT_MAX];
    const char *between = ": ";
    if (prepared && result->prepare_ns < READY_AT_ONCE_NS) {
        buf_printf(out, "%snodes were ready", between);
        between = ", ";
    } else if (prepared) {
        text_took(result->prepare_ns, text);
        buf_printf(out, "%s%s fetching and loading", between, text);
        between = ", ";
    }
    if (flip_ns(look, result) >= 0) {
        text_took(flip_ns(look, result), text);
        buf_printf(out, "%s%s to the switch", between, text);
    }
    if (look->n_switched > 1) {
        text_took(look->last_switch_ns - look->first_switch_ns, text);
        buf_printf(out, "; switched within %s of each other", text);
    }
}

void summary_text(const struct fleet_look *look, const struct switch_result *result, bool prepared,
                  struct buf *out)
{
    char total[TEXT_MAX];
    text_took(result->total_ns, total);
    buf_printf(out, "serving on %u of %u live node%s after %s", look->n_there, look->n_live,
               look->n_live == 1 ? "" : "s", total);
    steps_text(look, result, prepared, out);
    if (look->n_held) {
        buf_printf(out, "; pinned elsewhere: ");
        fleet_names_text(look->held, look->n_held, out);
    }
    buf_add_byte(out, 0);
}

static json_t *missing_json(const struct fleet_look *look)
{
    json_t *list = json_array();
    for (size_t i = 0; i < look->n_marks; i++) {
        const struct fleet_mark *mark = &look->marks[i];
        if (mark->there)
            continue;
        json_t *one = json_object();
        json_put_string(one, "node", mark->node->node);
        json_put_string(one, "table", mark->target->table);
        json_put_u64(one, "version", mark->target->version);
        json_put(one, "state",
                 mark->version ? json_string(node_version_state_name(mark->version->state))
                               : json_null());
        if (mark->version && mark->version->reason)
            json_put_string(one, "reason", mark->version->reason);
        json_append(list, one);
    }
    return list;
}

static json_t *seconds(int64_t ns)
{
    return ns < 0 ? json_null() : json_real((double)ns / 1e9);
}

json_t *summary_json(const struct fleet_look *look, const struct switch_result *result)
{
    json_t *out = json_object();
    json_t *held = json_array();
    json_t *times = json_object();
    char when[TEXT_MAX];
    for (size_t i = 0; i < look->n_held; i++)
        json_append(held, json_string(look->held[i]->node));
    text_rfc3339(result->effective_ns, when);
    json_put(out, "record", result->appended ? json_integer((json_int_t)result->seq) : json_null());
    json_put(out, "effective", result->effective_ns ? json_string(when) : json_null());
    json_put_bool(out, "waited", result->waited);
    json_put_u64(out, "live_nodes", look->n_marks || look->n_held ? look->n_live : result->n_live);
    json_put_u64(out, "expected_nodes", look->n_marks);
    json_put_u64(out, "serving_nodes", result->waited ? look->n_there : 0);
    json_put(out, "held_nodes", held);
    json_put(out, "missing_nodes", missing_json(look));
    json_put(times, "prepare", seconds(result->prepare_ns));
    json_put(times, "switch", seconds(result->waited ? flip_ns(look, result) : -1));
    json_put(times, "total", seconds(result->waited ? result->total_ns : -1));
    json_put(out, "seconds", times);
    json_put(out, "skew_ms",
             result->waited && look->n_switched > 1
                 ? json_real((double)(look->last_switch_ns - look->first_switch_ns) / 1e6)
                 : json_null());
    return out;
}
