/* SPDX-License-Identifier: Apache-2.0 */
/* The heartbeat's decoder on any bytes: what passes encodes to itself, and the rollout rule takes it. */
#include "manifest/rollout.h"
#include "sealed.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct heartbeat heartbeat = {0};
    struct heartbeat again = {0};
    struct buf text = {0};
    struct buf twice = {0};
    struct err err = {0};
    if (heartbeat_decode(data, len, "nodes/x", &heartbeat, &err)) {
        expect(err.code && err.text[0]);
        return 0;
    }
    expect(heartbeat_encode(&heartbeat, &text, NULL) == 0);
    expect(heartbeat_decode(text.data, text.len, "nodes/x", &again, NULL) == 0);
    expect(heartbeat_encode(&again, &twice, NULL) == 0);
    expect(text.len == twice.len && memcmp(text.data, twice.data, text.len) == 0);
    struct heartbeat_list list = {.nodes = &heartbeat, .n_nodes = 1};
    struct pin_entry pin = {"h", 6, false};
    struct table_state table = {.name = "ads", .current = 6, .pins = &pin};
    const struct rollout_clock clock = {.now_ns = heartbeat.time_ns,
                                        .away_until_ns = heartbeat.started_ns,
                                        .watched_since_ns = heartbeat.contact_ns};
    for (uint32_t quorum = 0; quorum < 3; quorum++) {
        table.n_pins = quorum & 1;
        struct rollout got = rollout_decide(&list, &table, 7, quorum, &clock);
        expect(got.n_live + got.n_elsewhere == !heartbeat.stopped &&
               got.n_ready + got.n_failed <= got.n_live);
    }
    heartbeat_release(&heartbeat);
    heartbeat_release(&again);
    buf_release(&text);
    buf_release(&twice);
    return 0;
}
