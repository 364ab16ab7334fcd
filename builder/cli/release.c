/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/release.h"

#include "base/scope.h"
#include "builder/cli/activation.h"
#include "builder/cli/canary_nodes.h"
#include "builder/cli/fleet_show.h"
#include "builder/cli/history.h"
#include "builder/cli/release_report.h"
#include "builder/cli/summary.h"
#include "builder/cli/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* One publish on its way to the fleet. */
struct releasing {
    struct session *session;
    const struct release_options *options;
    bool quiet;
    const struct publish_version *versions;
    struct fleet_target *targets;
    size_t n;
    struct fleet fleet;
    int64_t begin_ns;
    int64_t published_ns; /* by the store's clock */
    bool activated;
    struct switch_result result;
};

static const char *plural(size_t n)
{
    return n == 1 ? "" : "s";
}

static void say_activated(void *context, uint64_t seq)
{
    struct releasing *r = context;
    r->activated = true;
}

static void show_activated(const struct releasing *r)
{
    struct buf text = {0};
    uint32_t n_live = r->result.n_live;
    if (r->result.unread) {
        printf("activated without waiting for nodes; heartbeats could not be read\n");
    } else if (!n_live) {
        printf("activated at once: no node is live; nodes take it up when they come\n");
    } else if (r->options->no_wait) {
        printf("activated without waiting for %u live node%s\n", n_live, plural(n_live));
    } else {
        summary_text(&r->fleet.look, &r->result, true, &text);
        printf("activated: %s\n", text.data ? (const char *)text.data : "");
        if (r->options->quorum && r->fleet.look.n_there < r->fleet.look.n_marks)
            printf("the others follow\n");
    }
    buf_release(&text);
}

/* Waits until nodes are ready, activates, waits for the flip. */
static int activate(struct releasing *r, struct err *err)
{
    const struct release_options *o = r->options;
    const struct fleet_target *first = &r->targets[0];
    scope_activation struct activation activation = {0};
    scope_free struct op *ops = calloc(r->n, sizeof *ops);
    struct err why = {0};
    if (!ops)
        return err_sys(err, -ENOMEM, "activating");
    for (size_t i = 0; i < r->n; i++) {
        ops[i] = (struct op){.kind = OP_ACTIVATE, .version = r->targets[i].version};
        snprintf(ops[i].table, sizeof ops[i].table, "%s", r->targets[i].table);
    }
    int rc = activation_init(&activation, r->session, r->targets, r->n, err);
    if (rc)
        return rc;
    struct switch_plan plan = {
        .fleet = &r->fleet,
        .targets = r->targets,
        .ops = ops,
        .n = r->n,
        .prepares = true,
        .no_wait = o->no_wait,
        .quorum = o->quorum,
        .timeout_ns = o->timeout_ns,
        .reason = o->reason,
        .check = activation_check,
        .context = &activation,
        .appended = say_activated,
        .appended_context = r,
    };
    rc = switch_run(&plan, r->begin_ns, &r->result, &why);
    if (rc == -EALREADY && !r->quiet)
        printf("%s\n", why.text);
    if (rc == -EALREADY)
        return 0;
    if (rc)
        err_set(err, rc, "%s", err_text(&why, rc));
    if (rc && r->activated)
        return err_wrap(err, rc, "activated, but");
    if (rc && fleet_is_passing(rc) && rc != -ETIMEDOUT)
        return err_wrap(err, rc, "published, but not activated; fkv activate %s goes on from here",
                        first->table);
    if (rc == -ETIMEDOUT)
        return err_wrap(err, rc,
                        "not activated; the candidate stays, activate it later with "
                        "fkv activate %s=%" PRIu64,
                        first->table, first->version);
    if (!rc && !r->quiet)
        show_activated(r);
    return rc;
}

/* Did somebody promote, abort or overtake it while we waited? */
static int canary_goes_on(void *context, const struct state *state, struct err *err)
{
    const struct releasing *r = context;
    for (size_t i = 0; i < r->n; i++) {
        const struct table_state *table = state_find_table(state, r->targets[i].table);
        if (!table || table_state_canary(table) != r->targets[i].version)
            return err_set(err, -ESTALE,
                           "the canary of table %s version %" PRIu64
                           " was ended meanwhile; see: fkv log %s",
                           r->targets[i].table, r->targets[i].version, r->targets[i].table);
    }
    return 0;
}

static void tables_text(const struct releasing *r, struct buf *out)
{
    for (size_t i = 0; i < r->n; i++)
        buf_printf(out, " %s", r->targets[i].table);
    buf_add_byte(out, 0);
}

static void show_canary(struct releasing *r)
{
    const struct fleet_look *look = &r->fleet.look;
    const struct heartbeat **nodes = calloc(look->n_marks + 1, sizeof *nodes);
    struct buf names = {0}, tables = {0};
    char took[TEXT_MAX];
    for (size_t i = 0; nodes && i < look->n_marks; i++)
        nodes[i] = look->marks[i].node;
    if (nodes)
        fleet_names_text(nodes, look->n_marks, &names);
    tables_text(r, &tables);
    text_took(r->result.total_ns, took);
    const char *t = tables.data ? (const char *)tables.data : "";
    if (r->options->no_wait)
        printf("canary: not waiting for it\n");
    else
        printf(
            "canary: serving on %u of %u live nodes after %s: %.*s; the others stay as they are\n",
            look->n_there, look->n_live, took, (int)names.len,
            names.data ? (const char *)names.data : "");
    printf("look at them: fkv status%s, and what your own figures say of these nodes\n"
           "then either:  fkv promote%s\n"
           "or:           fkv abort%s --reason TEXT\n",
           r->n == 1 ? t : "", t, t);
    buf_release(&names);
    buf_release(&tables);
    free(nodes);
}

/* Waits until the nodes that try it serve it. */
static int canary(struct releasing *r, struct err *err)
{
    struct fleet_wait wait = {
        .targets = r->targets,
        .n_targets = r->n,
        .goal = FLEET_SERVING,
        .timeout_ns = r->options->timeout_ns,
        .since_ns = r->published_ns,
        .needs_node = true,
        .check = canary_goes_on,
        .context = r,
    };
    r->result = (struct switch_result){.written_ns = r->published_ns};
    snprintf(r->fleet.on_interrupt, sizeof r->fleet.on_interrupt,
             "the canary goes on; end it with fkv promote %s or fkv abort %s", r->targets[0].table,
             r->targets[0].table);
    int rc = r->options->no_wait ? 0 : fleet_wait(&r->fleet, &wait, err);
    r->result.waited = !rc && !r->options->no_wait;
    r->result.total_ns = cli_now_ns() - r->begin_ns;
    if (rc)
        return err_wrap(err, rc,
                        "published and on canary, but (it goes on: fkv promote %s or fkv abort %s)",
                        r->targets[0].table, r->targets[0].table);
    if (!r->quiet)
        show_canary(r);
    return 0;
}

/* Before anything is published: is there anybody to try it? */
static int check_canaries(struct releasing *r, const struct publish_item *items, struct err *err)
{
    const struct release_options *o = r->options;
    const struct state *state = manifest_state(r->session->manifest);
    int rc = o->n_canaries ? fleet_read(&r->fleet, err) : 0;
    for (size_t i = 0; !rc && o->n_canaries && i < r->n; i++) {
        rc = table_name_check(items[i].table, err);
        if (!rc)
            rc = canary_nodes_check(&r->fleet.nodes.list, items[i].table,
                                    state_find_table(state, items[i].table), o->canaries,
                                    o->n_canaries, manifest_now_ns(r->session->manifest), err);
    }
    return rc;
}

static int publish(struct releasing *r, const struct publish_item *items,
                   struct publish_version *versions, struct err *err)
{
    const struct release_options *o = r->options;
    struct publish_request request = {.items = items,
                                      .n_items = r->n,
                                      .limits = &o->limits,
                                      .reason = o->reason,
                                      .canaries = o->canaries,
                                      .n_canaries = o->n_canaries,
                                      .cancel = o->cancel};
    uint64_t seq = 0;
    int rc = check_canaries(r, items, err);
    if (rc)
        return rc;
    rc = publish_run(r->session->store, r->session->manifest, &request, versions, &seq, err);
    if (!r->quiet)
        release_show_reports(versions, r->n);
    if (rc)
        return rc;
    r->published_ns = manifest_now_ns(r->session->manifest);
    r->begin_ns = cli_now_ns();
    for (size_t i = 0; i < r->n; i++)
        r->targets[i] = (struct fleet_target){versions[i].table, versions[i].version};
    if (!r->quiet)
        release_show_published(versions, r->n, seq);
    return 0;
}

int release_run(struct session *session, const struct publish_item *items, size_t n_items,
                const struct release_options *o, bool quiet, json_t **json, struct err *err)
{
    scope_free struct publish_version *versions = calloc(n_items, sizeof *versions);
    scope_free struct fleet_target *targets = calloc(n_items, sizeof *targets);
    struct releasing r = {.session = session,
                          .options = o,
                          .quiet = quiet,
                          .versions = versions,
                          .targets = targets,
                          .n = n_items};
    if (!versions || !targets)
        return err_sys(err, -ENOMEM, "publishing");
    fleet_init(&r.fleet, session, quiet);
    r.fleet.cancel = o->cancel;
    int rc = publish(&r, items, versions, err);
    bool switches = !rc && !o->no_activate;
    if (switches)
        rc = o->n_canaries ? canary(&r, err) : activate(&r, err);
    if (json)
        *json = release_json(versions, n_items, r.activated,
                             switches ? summary_json(&r.fleet.look, &r.result) : NULL);
    fleet_release(&r.fleet);
    return rc;
}

int release_activate(struct session *session, const char *table, uint64_t version,
                     const struct release_options *options, bool quiet, struct err *err)
{
    struct fleet_target target = {table, version};
    struct releasing r = {
        .session = session, .options = options, .quiet = quiet, .targets = &target, .n = 1};
    fleet_init(&r.fleet, session, quiet);
    r.fleet.cancel = options->cancel;
    r.published_ns = manifest_now_ns(session->manifest);
    r.begin_ns = cli_now_ns();
    int rc = activate(&r, err);
    fleet_release(&r.fleet);
    return rc;
}
