/* SPDX-License-Identifier: Apache-2.0 */
/* Heartbeats on the store, and questions to one. Their text is heartbeat_json.c's. */
#include "manifest/heartbeat.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void heartbeat_release(struct heartbeat *heartbeat)
{
    if (!heartbeat)
        return;
    for (size_t i = 0; i < heartbeat->n_labels; i++)
        free(heartbeat->labels[i]);
    for (size_t i = 0; i < heartbeat->n_tables; i++) {
        struct node_table *table = &heartbeat->tables[i];
        for (size_t j = 0; j < table->n_versions; j++)
            free(table->versions[j].reason);
        free(table->versions);
    }
    free(heartbeat->tables);
    *heartbeat = (struct heartbeat){0};
}

static bool is_within(const struct heartbeat *heartbeat, int64_t now_ns, int64_t limit_ns)
{
    int64_t age = 0;
    if (__builtin_sub_overflow(now_ns, heartbeat->time_ns, &age))
        return false;
    return age < limit_ns && age > -limit_ns;
}

bool heartbeat_is_live(const struct heartbeat *heartbeat, int64_t now_ns)
{
    return !heartbeat->stopped && is_within(heartbeat, now_ns, HEARTBEAT_LIVE_NS);
}

bool heartbeat_is_missed(const struct heartbeat *heartbeat, int64_t now_ns)
{
    return !heartbeat->stopped && !heartbeat_is_live(heartbeat, now_ns) &&
           is_within(heartbeat, now_ns, HEARTBEAT_MISSED_NS);
}

bool heartbeat_is_abandoned(const struct heartbeat *heartbeat, int64_t now_ns)
{
    return !is_within(heartbeat, now_ns, HEARTBEAT_ABANDONED_NS);
}

const struct node_table *heartbeat_find_table(const struct heartbeat *heartbeat, const char *table)
{
    for (size_t i = 0; i < heartbeat->n_tables; i++)
        if (strcmp(heartbeat->tables[i].name, table) == 0)
            return &heartbeat->tables[i];
    return NULL;
}

const struct node_version *node_table_find_version(const struct node_table *table, uint64_t version)
{
    for (size_t i = 0; i < table->n_versions; i++)
        if (table->versions[i].version == version)
            return &table->versions[i];
    return NULL;
}

enum { NODE_PATH_MAX = NODE_NAME_MAX + 16 };

int heartbeat_put(struct store *store, const struct heartbeat *heartbeat, struct err *err)
{
    char path[NODE_PATH_MAX];
    struct buf text = {0};
    int ret = heartbeat_encode(heartbeat, &text, err);
    if (!ret) {
        snprintf(path, sizeof path, "nodes/%s.json", heartbeat->node);
        ret = store_put(store, path, text.data, text.len, err);
    }
    buf_release(&text);
    return ret;
}

/* The node's name in "<node>.json"; false for any other name. */
static bool node_of_file(const char *file, char node[NODE_NAME_MAX + 1])
{
    static const char suffix[] = ".json";
    size_t suffix_len = sizeof suffix - 1;
    size_t len = strlen(file);
    if (len <= suffix_len || strcmp(file + len - suffix_len, suffix) != 0)
        return false;
    len -= suffix_len;
    if (len > NODE_NAME_MAX)
        return false;
    memcpy(node, file, len);
    node[len] = '\0';
    return node_name_check(node, NULL) == 0;
}

/* Will what lies there never be a heartbeat, however often it is read? Anything else says nothing of the node. */
static bool is_bad_file(int ret)
{
    return ret == -EBADMSG || ret == -E2BIG || ret == -EISDIR || ret == -EPERM;
}

/* 1 when it was read, 0 when it is bad, which is counted, or gone. */
static int read_one(struct store *store, const char *node, struct heartbeat_list *list,
                    struct err *err)
{
    char path[NODE_PATH_MAX];
    struct buf text = {0};
    struct err why = {0};
    struct heartbeat heartbeat = {0};
    snprintf(path, sizeof path, "nodes/%s.json", node);
    int ret = store_get(store, path, HEARTBEAT_JSON_MAX, &text, &why);
    if (!ret) {
        ret = heartbeat_decode(text.data, text.len, path, &heartbeat, &why);
        /* Also one of a later format. */
        ret = ret && ret != -ENOMEM ? -EBADMSG : ret;
    }
    buf_release(&text);
    if (!ret && strcmp(heartbeat.node, node) != 0) {
        heartbeat_release(&heartbeat);
        ret = -EBADMSG;
    }
    if (!ret) {
        list->nodes[list->n_nodes++] = heartbeat;
        return 1;
    }
    if (ret == -ENOENT) /* gone since the listing: nothing bad about that */
        return 0;
    if (!is_bad_file(ret))
        return err_set(err, ret, "%s", err_text(&why, ret));
    if (!list->n_bad++)
        snprintf(list->bad, sizeof list->bad, "%s", node);
    return 0;
}

static int by_node(const void *a, const void *b)
{
    return strcmp(((const struct heartbeat *)a)->node, ((const struct heartbeat *)b)->node);
}

int heartbeat_list_read(struct store *store, struct heartbeat_list *out, struct err *err)
{
    struct store_list files = {0};
    struct heartbeat_list list = {0};
    int ret = store_list(store, "nodes", &files, err);
    if (ret)
        return ret;
    list.nodes = calloc(files.n_names + 1, sizeof *list.nodes);
    if (!list.nodes)
        ret = err_sys(err, -ENOMEM, "reading heartbeats");
    for (size_t i = 0; i < files.n_names && !ret; i++) {
        char node[NODE_NAME_MAX + 1];
        if (!node_of_file(files.names[i], node))
            continue;
        ret = read_one(store, node, &list, err);
        ret = ret < 0 ? ret : 0;
    }
    store_list_release(&files);
    if (ret) {
        heartbeat_list_release(&list);
        return ret;
    }
    qsort(list.nodes, list.n_nodes, sizeof *list.nodes, by_node);
    *out = list;
    return 0;
}

void heartbeat_list_release(struct heartbeat_list *list)
{
    if (!list)
        return;
    for (size_t i = 0; i < list->n_nodes; i++)
        heartbeat_release(&list->nodes[i]);
    free(list->nodes);
    *list = (struct heartbeat_list){0};
}
