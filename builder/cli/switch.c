/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/switch.h"

#include "builder/cli/args.h"

#include <inttypes.h>
#include <stdio.h>

#define SECOND_NS 1000000000LL

enum { OPTION_FORCE = 0x5300, OPTION_NO_WAIT, OPTION_TIMEOUT, OPTION_REASON };

static const struct argp_option options[] = {
    {"force", OPTION_FORCE, NULL, 0, "Also to a version that is quarantined", 0},
    {"no-wait", OPTION_NO_WAIT, NULL, 0, "Do not wait until nodes have switched", 0},
    {"timeout", OPTION_TIMEOUT, "TIME", 0, "How long to wait for nodes (1m)", 0},
    {"reason", OPTION_REASON, "TEXT", 0, "Why, for `fkv log`", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct switch_options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        o->timeout_ns = 60 * SECOND_NS;
        state->child_inputs[0] = &o->common;
        return 0;
    case OPTION_FORCE:
        o->force = true;
        return 0;
    case OPTION_NO_WAIT:
        o->no_wait = true;
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

static const struct argp argp = {.options = options, .parser = parse, .children = cli_children};
const struct argp_child switch_children[] = {{&argp, 0, NULL, 0}, {0}};

static int show_json(const struct fleet_target *targets, const struct op *ops, size_t n,
                     uint64_t seq, uint32_t n_live, bool waited, struct err *err)
{
    json_t *out = json_object();
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *one = json_object();
        json_put_string(one, "table", targets[i].table);
        json_put_u64(one, "version", targets[i].version);
        json_put_u64(one, "from", ops[i].from);
        json_append(list, one);
    }
    json_put_u64(out, "record", seq);
    json_put(out, "tables", list);
    json_put_u64(out, "live_nodes", n_live);
    json_put_bool(out, "waited", waited);
    return cli_print_json(out, err);
}

static void show(const struct fleet_target *targets, const struct op *ops, size_t n, uint64_t seq)
{
    for (size_t i = 0; i < n; i++) {
        printf("%s is now at version %" PRIu64, targets[i].table, targets[i].version);
        if (ops[i].kind == OP_ROLLBACK)
            printf("; version %" PRIu64 " is quarantined", ops[i].from);
        printf(" (record %" PRIu64 ")\n", seq);
    }
    fflush(stdout);
}

int switch_run(struct session *session, const struct switch_options *o, struct op *ops,
               const struct fleet_target *targets, size_t n, struct err *err)
{
    uint32_t n_live = 0;
    uint64_t seq = 0;
    int rc = fleet_count(session, &n_live, err);
    int64_t effective_ns = fleet_effective_ns(n_live);
    for (size_t i = 0; i < n; i++) {
        ops[i].effective_ns = effective_ns;
        ops[i].force = o->force;
    }
    if (!rc)
        rc = session_append(session, o->reason, ops, n, &seq, err);
    if (rc)
        return rc;
    if (!o->common.json)
        show(targets, ops, n, seq);
    bool waits = n_live && !o->no_wait;
    struct fleet_wait wait = {session, targets, n, 0, o->timeout_ns};
    if (waits)
        rc = fleet_wait_serving(&wait, &n_live, err);
    if (rc)
        return err_wrap(err, rc, "record %" PRIu64 " is written, nodes follow when they can", seq);
    if (o->common.json)
        return show_json(targets, ops, n, seq, n_live, waits, err);
    if (waits)
        printf("%u live node%s switched\n", n_live, n_live == 1 ? "" : "s");
    else if (!n_live)
        printf("no node is live; nodes take it up when they come\n");
    return 0;
}
