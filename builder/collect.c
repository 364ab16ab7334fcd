/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/collect_impl.h"

#include "base/scope.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECOND_NS 1000000000LL

enum { POLL_NS = 200 * 1000 * 1000, POLL_SHARE = 4 };

void collect_options_default(struct collect_options *options)
{
    *options = (struct collect_options){.staging_age_ns = 24 * 3600 * SECOND_NS,
                                        .sealed_age_ns = 7 * 24 * 3600 * SECOND_NS,
                                        .wait_ns = 10 * SECOND_NS};
}

static int64_t monotonic_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * SECOND_NS + ts.tv_nsec;
}

void collect_say(const struct collecting *c, const char *fmt, ...)
{
    char line[512];
    va_list ap;
    if (!c->options->say)
        return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    c->options->say(c->options->context, line);
}

const char *collect_verb(const struct collecting *c)
{
    return c->options->dry_run ? "would remove" : "remove";
}

/* Which versions a record of one kind is for. */
typedef bool (*choose_fn)(const struct collecting *c, const struct heartbeat_list *nodes,
                          const struct table_state *table, const struct version_entry *version);

static bool should_retire(const struct collecting *c, const struct heartbeat_list *nodes,
                          const struct table_state *table, const struct version_entry *version)
{
    return version->state != VERSION_RETIRED && version->state != VERSION_FORGOTTEN &&
           !table_state_is_kept(table, version);
}

/* Has this node the version, or is about to? A retired one it drops, and says nothing of it when it is gone. */
static bool node_names(const struct heartbeat *node, const char *table, uint64_t version)
{
    const struct node_table *t = heartbeat_find_table(node, table);
    const struct node_version *v = t ? node_table_find_version(t, version) : NULL;
    if (t && (t->serving == version || t->local_pin == version))
        return true;
    return v && v->state != NODE_FAILED;
}

static bool is_live(const struct collecting *c, const struct heartbeat *node)
{
    return heartbeat_is_live(node, c->now_ns);
}

static const struct heartbeat *holder(const struct collecting *c,
                                      const struct heartbeat_list *nodes, const char *table,
                                      uint64_t version)
{
    for (size_t i = 0; i < nodes->n_nodes; i++) {
        if (is_live(c, &nodes->nodes[i]) && node_names(&nodes->nodes[i], table, version))
            return &nodes->nodes[i];
    }
    return NULL;
}

static bool should_forget(const struct collecting *c, const struct heartbeat_list *nodes,
                          const struct table_state *table, const struct version_entry *version)
{
    return version->state == VERSION_RETIRED && !holder(c, nodes, table->name, version->version);
}

struct recording {
    const struct collecting *c;
    const struct heartbeat_list *nodes;
    choose_fn choose;
    enum op_kind kind;
    struct op *ops;
    size_t n_ops;
};

static int build_ops(void *context, const struct state *state, struct op_list *ops, struct err *err)
{
    struct recording *r = context;
    r->n_ops = 0;
    for (size_t i = 0; i < state->n_tables; i++) {
        const struct table_state *table = &state->tables[i];
        for (size_t j = 0; j < table->n_versions && r->n_ops < RECORD_OPS_MAX; j++) {
            if (!r->choose(r->c, r->nodes, table, &table->versions[j]))
                continue;
            struct op *op = &r->ops[r->n_ops++];
            *op = (struct op){.kind = r->kind, .version = table->versions[j].version};
            memcpy(op->table, table->name, sizeof op->table);
        }
    }
    *ops = (struct op_list){.ops = r->ops, .n_ops = r->n_ops};
    return r->n_ops ? 0 : err_set(err, -EALREADY, "nothing to %s", op_kind_name(r->kind));
}

/* Appends records until nothing is left that choose wants one for. */
static int record_all(struct collecting *c, enum op_kind kind, choose_fn choose,
                      const struct heartbeat_list *nodes, const char *reason, struct err *err)
{
    scope_free struct op *ops = calloc(RECORD_OPS_MAX, sizeof *ops);
    if (!ops)
        return err_sys(err, -ENOMEM, "collecting");
    struct recording r = {c, nodes, choose, kind, ops, 0};
    for (;;) {
        struct op_list list;
        int rc = build_ops(&r, manifest_state(c->manifest), &list, NULL);
        if (rc == -EALREADY)
            return 0;
        struct err why = {0};
        rc = manifest_append(c->manifest, reason, build_ops, &r, NULL, &why);
        if (rc == -EALREADY)
            return 0;
        if (rc)
            return err_set(err, rc, "%s", err_text(&why, rc));
    }
}

/* Has every live node read the log as far as we have, and let go of what is retired? */
static bool nodes_let_go(const struct collecting *c, const struct heartbeat_list *nodes)
{
    const struct state *state = manifest_state(c->manifest);
    for (size_t i = 0; i < nodes->n_nodes; i++) {
        if (is_live(c, &nodes->nodes[i]) && nodes->nodes[i].seq < state->seq)
            return false;
    }
    for (size_t i = 0; i < state->n_tables; i++) {
        const struct table_state *table = &state->tables[i];
        for (size_t j = 0; j < table->n_versions; j++) {
            if (table->versions[j].state == VERSION_RETIRED &&
                holder(c, nodes, table->name, table->versions[j].version))
                return false;
        }
    }
    return true;
}

static bool any_retired(const struct state *state)
{
    for (size_t i = 0; i < state->n_tables; i++) {
        for (size_t j = 0; j < state->tables[i].n_versions; j++) {
            if (state->tables[i].versions[j].state == VERSION_RETIRED)
                return true;
        }
    }
    return false;
}

/* Who cannot be read may use anything, so nothing is taken away from under him. */
static bool is_guess(struct collecting *c, const struct heartbeat_list *nodes)
{
    if (!nodes->n_bad || !any_retired(manifest_state(c->manifest)))
        return nodes->n_bad > 0;
    collect_say(c,
                "keep   what is retired (nodes/%s.json cannot be read, so nobody knows what that "
                "node uses; remove the file if the node is gone)",
                nodes->bad);
    return true;
}

/* The node that keeps everything from being forgotten, because it has not read the log that far. */
static const struct heartbeat *behind(const struct collecting *c,
                                      const struct heartbeat_list *nodes)
{
    for (size_t i = 0; i < nodes->n_nodes; i++) {
        if (is_live(c, &nodes->nodes[i]) && nodes->nodes[i].seq < manifest_state(c->manifest)->seq)
            return &nodes->nodes[i];
    }
    return NULL;
}

/* With many nodes on a slow store, reading takes a fifth of the time. */
static void pause_for(int64_t ns)
{
    ns = ns < POLL_NS ? POLL_NS : ns;
    nanosleep(&(struct timespec){.tv_sec = ns / SECOND_NS, .tv_nsec = ns % SECOND_NS}, NULL);
}

/* Waits a while for live nodes; *nodes is their last word and released by the caller. */
static int wait_for_nodes(struct collecting *c, struct heartbeat_list *nodes, struct err *err)
{
    int64_t end = monotonic_ns() + c->options->wait_ns;
    for (;;) {
        int64_t begin = monotonic_ns();
        int rc = heartbeat_list_read(c->store, nodes, err);
        if (rc)
            return rc;
        c->now_ns = manifest_now_ns(c->manifest);
        if (nodes_let_go(c, nodes) || monotonic_ns() >= end)
            return 0;
        heartbeat_list_release(nodes);
        pause_for(POLL_SHARE * (monotonic_ns() - begin));
    }
}

static void say_held(struct collecting *c, const struct heartbeat_list *nodes)
{
    const struct state *state = manifest_state(c->manifest);
    const struct heartbeat *late = behind(c, nodes);
    for (size_t i = 0; i < state->n_tables; i++) {
        const struct table_state *table = &state->tables[i];
        for (size_t j = 0; j < table->n_versions; j++) {
            const struct version_entry *v = &table->versions[j];
            if (v->state != VERSION_RETIRED)
                continue;
            const struct heartbeat *node = holder(c, nodes, table->name, v->version);
            if (!node)
                node = late;
            if (!node)
                continue;
            c->result->n_held++;
            collect_say(c, "keep   %s/v/%" PRIu64 " (retired, but node %s %s)", table->name,
                        v->version, node->node,
                        node == late ? "has not read that yet" : "still uses it");
        }
    }
}

/* Does another version of the table link this part? */
static bool is_shared(struct store *store, const char *table, uint64_t version,
                      const struct layout_versions *all, const char *file)
{
    for (size_t i = 0; i < all->n; i++) {
        char path[STORE_PATH_MAX];
        snprintf(path, sizeof path, "tables/%s/v/%" PRIu64 "/parts/%s", table, all->ids[i], file);
        if (all->ids[i] != version && layout_exists(store, path, NULL) == 1)
            return true;
    }
    return false;
}

/* Bytes that go with this directory: parts that no other version of the table links. */
static uint64_t bytes_freed(struct store *store, const char *table, uint64_t version)
{
    char dir[STORE_PATH_MAX];
    struct store_list files = {0};
    struct layout_versions all = {0};
    uint64_t sum = 0;
    snprintf(dir, sizeof dir, "tables/%s/v/%" PRIu64 "/parts", table, version);
    if (!layout_list_versions(store, table, &all, NULL) && !layout_list(store, dir, &files, NULL)) {
        for (size_t i = 0; i < files.n_names; i++) {
            char path[STORE_PATH_MAX];
            struct store_stat st;
            if (snprintf(path, sizeof path, "%s/%s", dir, files.names[i]) < (int)sizeof path &&
                !is_shared(store, table, version, &all, files.names[i]) &&
                !store_stat(store, path, &st, NULL))
                sum += st.len;
        }
    }
    store_list_release(&files);
    free(all.ids);
    return sum;
}

static int remove_version(struct collecting *c, const char *table, uint64_t version,
                          struct err *err)
{
    char dir[LAYOUT_PATH_MAX];
    layout_version_dir(table, version, dir);
    int rc = layout_exists(c->store, dir, err);
    if (rc <= 0)
        return rc;
    uint64_t bytes = bytes_freed(c->store, table, version);
    collect_say(c, "%s %s/v/%" PRIu64, collect_verb(c), table, version);
    rc = c->options->dry_run ? 0 : store_remove_tree(c->store, dir, err);
    if (!rc) {
        c->result->n_versions++;
        c->result->bytes += bytes;
    }
    return rc;
}

/* Files of what is forgotten, also by an earlier run that was killed; a dry run counts what would be. */
static int remove_versions(struct collecting *c, const struct heartbeat_list *nodes,
                           struct err *err)
{
    const struct state *state = manifest_state(c->manifest);
    int rc = 0;
    for (size_t i = 0; !rc && i < state->n_tables; i++) {
        const struct table_state *table = &state->tables[i];
        for (size_t j = 0; !rc && j < table->n_versions; j++) {
            const struct version_entry *v = &table->versions[j];
            bool goes = v->state == VERSION_FORGOTTEN;
            if (c->options->dry_run && !goes)
                goes = !c->is_guess &&
                       (should_retire(c, nodes, table, v) || should_forget(c, nodes, table, v));
            if (goes)
                rc = remove_version(c, table->name, v->version, err);
        }
    }
    return rc;
}

static int collect_versions(struct collecting *c, struct err *err)
{
    struct heartbeat_list nodes = {0};
    int rc = 0;
    if (!c->options->dry_run)
        rc = record_all(c, OP_RETIRE, should_retire, &nodes, "gc: beyond the keep rule", err);
    if (!rc && !c->options->dry_run && any_retired(manifest_state(c->manifest)))
        rc = wait_for_nodes(c, &nodes, err);
    else if (!rc)
        rc = heartbeat_list_read(c->store, &nodes, err);
    if (!rc)
        say_held(c, &nodes);
    c->is_guess = !rc && is_guess(c, &nodes);
    if (!rc && !c->options->dry_run && !behind(c, &nodes) && !c->is_guess)
        rc = record_all(c, OP_FORGET, should_forget, &nodes, "gc: no node uses it", err);
    if (!rc)
        rc = remove_versions(c, &nodes, err);
    if (!rc)
        rc = collect_nodes(c, &nodes, err);
    heartbeat_list_release(&nodes);
    return rc;
}

int collect_run(struct store *store, struct manifest *manifest,
                const struct collect_options *options, struct collect_result *result,
                struct err *err)
{
    struct collect_result sum = {0};
    struct collecting c = {
        .store = store, .manifest = manifest, .options = options, .result = &sum};
    struct err why = {0};
    int rc = manifest_read_clock(manifest, &c.now_ns, &why);
    if (rc)
        return err_set(err, rc, "ages cannot be judged, as the store's clock cannot be read: %s",
                       err_text(&why, rc));
    rc = manifest_refresh(manifest, NULL, err);
    if (!rc)
        rc = collect_versions(&c, err);
    c.now_ns = manifest_now_ns(manifest);
    if (!rc)
        rc = collect_sweep(&c, err);
    if (!rc)
        *result = sum;
    return rc;
}
