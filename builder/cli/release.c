/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/release.h"

#include "base/scope.h"
#include "builder/cli/args.h"
#include "builder/cli/fleet.h"
#include "builder/cli/history.h"
#include "builder/cli/text.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define SECOND_NS 1000000000LL

enum {
    OPTION_CHANGE = 0x5200,
    OPTION_ROWS,
    OPTION_NOT_FINITE,
    OPTION_SCHEMA,
    OPTION_NO_ACTIVATE,
    OPTION_NO_WAIT,
    OPTION_QUORUM,
    OPTION_TIMEOUT,
    OPTION_REASON,
};

static const struct argp_option options[] = {
    {NULL, 0, NULL, 0, "What the validators allow:", 10},
    {"max-change", OPTION_CHANGE, "PCT", 0,
     "Change of the number of rows since the current version (20; 0: any)", 10},
    {"min-rows", OPTION_ROWS, "N", 0, "Rows there must be (1)", 10},
    {"max-not-finite", OPTION_NOT_FINITE, "N", 0, "Vectors that may hold NaN or Inf (0)", 10},
    {"allow-schema-change", OPTION_SCHEMA, NULL, 0, "Key or value type may differ", 10},
    {NULL, 0, NULL, 0, "Activation:", 20},
    {"no-activate", OPTION_NO_ACTIVATE, NULL, 0, "Leave it a candidate; see: fkv activate", 20},
    {"no-wait", OPTION_NO_WAIT, NULL, 0, "Activate at once, whether or not nodes are ready", 20},
    {"quorum", OPTION_QUORUM, "N", 0, "So many ready nodes are enough (all live ones)", 20},
    {"timeout", OPTION_TIMEOUT, "TIME", 0, "How long to wait for nodes (10m)", 20},
    {"reason", OPTION_REASON, "TEXT", 0, "Why, for `fkv log`", 20},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct release_options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        *o = (struct release_options){.timeout_ns = 600 * SECOND_NS, .reason = ""};
        validate_limits_default(&o->limits);
        return 0;
    case OPTION_CHANGE:
        o->limits.max_change_pct = arg_need_percent(state, "--max-change", arg);
        return 0;
    case OPTION_ROWS:
        o->limits.min_rows = arg_need_u64(state, "--min-rows", arg);
        return 0;
    case OPTION_NOT_FINITE:
        o->limits.max_not_finite = arg_need_u64(state, "--max-not-finite", arg);
        return 0;
    case OPTION_SCHEMA:
        o->limits.allow_schema_change = true;
        return 0;
    case OPTION_NO_ACTIVATE:
        o->no_activate = true;
        return 0;
    case OPTION_NO_WAIT:
        o->no_wait = true;
        return 0;
    case OPTION_QUORUM:
        o->quorum = arg_need_u32(state, "--quorum", arg, 0, UINT32_MAX);
        return 0;
    case OPTION_TIMEOUT:
        o->timeout_ns = arg_need_duration(state, "--timeout", arg);
        return 0;
    case OPTION_REASON:
        o->reason = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp release_argp = {.options = options, .parser = parse};

static void show_report(const struct publish_version *v)
{
    for (int rule = 0; rule < RULE_COUNT && v->validated; rule++) {
        const struct validate_finding *f = &v->report.findings[rule];
        printf("  %s  %s\n", f->skipped ? "skip" : f->passed ? "ok  " : "FAIL", f->text);
    }
}

static void show_versions(const struct publish_version *versions, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!versions[i].validated)
            continue;
        printf("%s: build %s\n", versions[i].table, versions[i].task);
        show_report(&versions[i]);
    }
}

static void show_published(const struct publish_version *versions, size_t n, uint64_t seq)
{
    for (size_t i = 0; i < n; i++) {
        const struct publish_version *v = &versions[i];
        char keys[TEXT_MAX], size[TEXT_MAX];
        text_count(v->n_keys, keys);
        text_size(v->len, size);
        printf("published %s version %" PRIu64, v->table, v->version);
        if (v->base)
            printf(" (a delta on %" PRIu64 ")", v->base);
        printf(": %s keys, %s; record %" PRIu64 "\n", keys, size, seq);
    }
    fflush(stdout);
}

static json_t *report_json(const struct validate_report *report)
{
    static const char *const names[RULE_COUNT] = {
        [RULE_READ_BACK] = "read_back",   [RULE_MIN_ROWS] = "min_rows",
        [RULE_ROW_CHANGE] = "row_change", [RULE_DUPLICATES] = "duplicates",
        [RULE_NOT_FINITE] = "not_finite", [RULE_SCHEMA] = "schema",
    };
    json_t *list = json_array();
    for (int rule = 0; rule < RULE_COUNT; rule++) {
        const struct validate_finding *f = &report->findings[rule];
        json_t *one = json_object();
        json_put_string(one, "rule", names[rule]);
        json_put_bool(one, "passed", f->passed);
        json_put_bool(one, "skipped", f->skipped);
        json_put_string(one, "text", f->text);
        json_append(list, one);
    }
    return list;
}

static json_t *versions_json(const struct publish_version *versions, size_t n, bool activated)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        const struct publish_version *v = &versions[i];
        json_t *one = json_object();
        json_put_string(one, "table", v->table);
        json_put_string(one, "task", v->task);
        json_put_u64(one, "version", v->version);
        json_put_u64(one, "base", v->base);
        json_put_u64(one, "n_keys", v->n_keys);
        json_put_u64(one, "bytes", v->len);
        json_put_bool(one, "activated", activated);
        if (v->validated)
            json_put(one, "validators", report_json(&v->report));
        json_append(list, one);
    }
    return list;
}

struct activation {
    struct session *session;
    const struct fleet_target *targets;
    const uint64_t *was; /* each table's current version when ours were published */
    uint64_t seq;        /* by this record */
    size_t n;
    int64_t effective_ns;
    struct op *ops;
};

/* What an operator decided while we waited for nodes stands. */
static int check_not_gone_back(const struct activation *a, struct err *err)
{
    for (size_t i = 0; i < a->n; i++) {
        const struct fleet_target *target = &a->targets[i];
        struct history_switch back = {0};
        int rc = history_gone_back(a->session, target->table, a->seq, a->was[i], &back, err);
        if (rc)
            return rc;
        if (back.seq)
            return err_set(
                err, -ESTALE,
                "not activated: record %" PRIu64 " by %s took table %s back to version %" PRIu64
                " meanwhile; the candidate stays, fkv activate %s=%" PRIu64 " if you insist",
                back.seq, back.author, target->table, back.version, target->table, target->version);
    }
    return 0;
}

/*
 * A slower publisher must not take the fleet back from a later version: -EALREADY when all targets are superseded; -ESTALE when some
 * are, because versions that were published together are not to be switched to apart.
 */
static int build_activation(void *context, const struct state *state, struct op_list *list,
                            struct err *err)
{
    const struct activation *a = context;
    const struct fleet_target *late = NULL;
    size_t n_late = 0;
    for (size_t i = 0; i < a->n; i++) {
        if (fleet_is_superseded(state, &a->targets[i])) {
            late = &a->targets[i];
            n_late++;
        }
        a->ops[i] = (struct op){
            .kind = OP_ACTIVATE, .version = a->targets[i].version, .effective_ns = a->effective_ns};
        snprintf(a->ops[i].table, sizeof a->ops[i].table, "%s", a->targets[i].table);
    }
    *list = (struct op_list){.ops = a->ops, .n_ops = a->n};
    if (!late)
        return check_not_gone_back(a, err);
    return err_set(err, n_late == a->n ? -EALREADY : -ESTALE,
                   "not activated: %s has a later version than %" PRIu64
                   " as its current one, %" PRIu64,
                   late->table, late->version, state_find_table(state, late->table)->current);
}

static int append_activation(struct activation *a, const char *reason, uint32_t n_live,
                             struct err *err)
{
    scope_free struct op *ops = calloc(a->n, sizeof *ops);
    if (!ops)
        return err_sys(err, -ENOMEM, "activating");
    a->ops = ops;
    a->effective_ns = fleet_effective_ns(n_live);
    return manifest_append(a->session->manifest, reason, build_activation, a, NULL, err);
}

static const char *plural(uint32_t n)
{
    return n == 1 ? "" : "s";
}

/* Waits until nodes are ready, and activates; -EALREADY when later versions are current. */
static int prepare_and_activate(const struct fleet_wait *wait, struct activation *a,
                                const struct release_options *o, uint32_t *n_live, struct err *err)
{
    const struct fleet_target *first = &wait->targets[0];
    int rc =
        o->no_wait ? fleet_count(wait->session, n_live, err) : fleet_wait_ready(wait, n_live, err);
    if (rc == -ETIMEDOUT)
        return err_wrap(err, rc,
                        "not activated; the candidate stays, activate it later with "
                        "fkv activate %s=%" PRIu64,
                        first->table, first->version);
    return rc ? rc : append_activation(a, o->reason, *n_live, err);
}

/* Waits, activates, waits for the flip. */
static int activate(struct activation *a, const struct release_options *o, bool quiet,
                    bool *activated, struct err *err)
{
    struct fleet_wait wait = {a->session, a->targets, a->n, o->quorum, o->timeout_ns};
    struct err why = {0};
    uint32_t n_live = 0;
    int64_t begin = cli_now_ns();
    int rc = prepare_and_activate(&wait, a, o, &n_live, &why);
    if (rc == -EALREADY && !quiet)
        printf("%s\n", why.text);
    if (rc)
        return rc == -EALREADY ? 0 : err_set(err, rc, "%s", err_text(&why, rc));
    *activated = true;
    if (!quiet && !n_live)
        printf("activated at once: no node is live; nodes take it up when they come\n");
    if (!quiet && n_live && o->no_wait)
        printf("activated without waiting for %u live node%s\n", n_live, plural(n_live));
    if (!n_live || o->no_wait)
        return 0;
    wait.timeout_ns -= cli_now_ns() - begin;
    rc = fleet_wait_serving(&wait, &n_live, err);
    if (rc)
        return err_wrap(err, rc, "activated, but");
    if (!quiet)
        printf("activated: serving on %s%u live node%s\n", o->quorum ? "at least a quorum of " : "",
               n_live, plural(n_live));
    return 0;
}

int release_run(struct session *session, const struct publish_item *items, size_t n_items,
                const struct release_options *o, bool quiet, json_t **json, struct err *err)
{
    scope_free struct publish_version *versions = calloc(n_items, sizeof *versions);
    scope_free struct fleet_target *targets = calloc(n_items, sizeof *targets);
    scope_free uint64_t *was = calloc(n_items, sizeof *was);
    uint64_t seq = 0;
    if (!versions || !targets || !was)
        return err_sys(err, -ENOMEM, "publishing");
    int rc = publish_run(session->store, session->manifest, items, n_items, &o->limits, o->reason,
                         versions, &seq, err);
    if (!quiet)
        show_versions(versions, n_items);
    for (size_t i = 0; !rc && i < n_items; i++) {
        targets[i] = (struct fleet_target){versions[i].table, versions[i].version};
        was[i] = state_find_table(manifest_state(session->manifest), versions[i].table)->current;
    }
    if (!rc && !quiet)
        show_published(versions, n_items, seq);
    bool activated = false;
    struct activation activation = {session, targets, was, seq, n_items, 0, NULL};
    if (!rc && !o->no_activate)
        rc = activate(&activation, o, quiet, &activated, err);
    if (json)
        *json = versions_json(versions, n_items, activated);
    return rc;
}
