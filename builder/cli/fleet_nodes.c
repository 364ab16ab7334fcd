/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/fleet_nodes.h"

#include "builder/cli/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* All of them every five seconds, which must not take more than a tenth of the time. A node that dies is noticed after 30. */
#define LIST_EVERY_NS  5000000000LL
#define LIST_EVERY_MAX 15000000000LL
enum { LIST_SHARE = 10 };

void fleet_nodes_init(struct fleet_nodes *nodes, struct store *store)
{
    *nodes = (struct fleet_nodes){.store = store};
}

void fleet_nodes_release(struct fleet_nodes *nodes)
{
    heartbeat_list_release(&nodes->list);
    *nodes = (struct fleet_nodes){0};
}

static int64_t list_every_ns(const struct fleet_nodes *nodes)
{
    int64_t every_ns = LIST_SHARE * nodes->list_took_ns;
    if (every_ns < LIST_EVERY_NS)
        return LIST_EVERY_NS;
    return every_ns < LIST_EVERY_MAX ? every_ns : LIST_EVERY_MAX;
}

int fleet_nodes_list(struct fleet_nodes *nodes, int64_t now_ns, bool *did, struct err *err)
{
    struct heartbeat_list list = {0};
    *did = false;
    if (nodes->listed_ns && now_ns - nodes->listed_ns < list_every_ns(nodes))
        return 0;
    int64_t begin_ns = cli_now_ns();
    int rc = heartbeat_list_read(nodes->store, &list, err);
    if (rc)
        return rc;
    heartbeat_list_release(&nodes->list);
    nodes->list = list;
    nodes->listed_ns = cli_now_ns();
    nodes->list_took_ns = nodes->listed_ns - begin_ns;
    *did = true;
    return 0;
}

int fleet_nodes_reread(struct fleet_nodes *nodes, const struct heartbeat *node, struct err *err)
{
    char path[NODE_NAME_MAX + 16];
    struct buf text = {0};
    struct err why = {0};
    struct heartbeat fresh = {0};
    snprintf(path, sizeof path, "nodes/%s.json", node->node);
    int rc = store_get(nodes->store, path, HEARTBEAT_JSON_MAX, &text, &why);
    if (rc) {
        buf_release(&text);
        return rc == -ENOENT || rc == -E2BIG ? 0 : err_set(err, rc, "%s", err_text(&why, rc));
    }
    rc = heartbeat_decode(text.data, text.len, path, &fresh, NULL);
    buf_release(&text);
    if (rc || strcmp(fresh.node, node->node) != 0) {
        heartbeat_release(&fresh);
        return 0;
    }
    struct heartbeat *place = &nodes->list.nodes[node - nodes->list.nodes];
    heartbeat_release(place);
    *place = fresh;
    return 0;
}
