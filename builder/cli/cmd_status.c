/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/args.h"
#include "builder/cli/cli.h"
#include "builder/cli/cmd.h"
#include "builder/cli/fleet.h"
#include "builder/cli/screen.h"
#include "builder/cli/status_json.h"
#include "builder/cli/status_text.h"
#include "builder/cli/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPTION_NODE = 0x7400, OPTION_WATCH, OPTION_CHECK, ISSUES_MAX = 40, ISSUES_MIN = 3 };

#define WATCH_NS (2 * STATUS_SECOND_NS)
/* Asking takes a fifth of the time, but once in five seconds is not too much. */
enum { WATCH_SHARE = 4 };
#define WATCH_SHARE_MAX_NS (5 * STATUS_SECOND_NS)

struct args {
    struct cli_common common;
    const char *table;
    const char *node;
    bool all;
    bool check;
    int64_t watch_ns; /* 0: once */
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &args->common;
        return 0;
    case 'a':
        args->all = true;
        return 0;
    case OPTION_NODE:
        args->node = arg;
        return 0;
    case OPTION_CHECK:
        args->check = true;
        return 0;
    case OPTION_WATCH:
        args->watch_ns = arg ? arg_need_duration(state, "--watch", arg) : WATCH_NS;
        if (args->watch_ns < STATUS_SECOND_NS / 10)
            argp_error(state, "--watch: expected at least 100ms, found '%s'", arg);
        return 0;
    case ARGP_KEY_ARG:
        if (args->table)
            argp_error(state, "expected one table, found another: '%s'", arg);
        args->table = arg;
        return 0;
    case ARGP_KEY_END:
        if (args->check && args->watch_ns)
            argp_error(state, "--check looks once, --watch until it is stopped");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"all", 'a', NULL, 0, "Every node and table, not only what is not as it should be", 0},
    {"node", OPTION_NODE, "NAME", 0, "Everything that this node says", 0},
    {"watch", OPTION_WATCH, "TIME", OPTION_ARG_OPTIONAL, "Again every TIME (2s), until ^C", 0},
    {"check", OPTION_CHECK, NULL, 0, "Exit with 3 when there is a problem", 0},
    {0},
};

static const char doc[] =
    "Shows the fleet: what is current in each table and how many nodes serve it, what is on its "
    "way, then every node that is not as it should be: behind, failing and why, gone, pinned, on "
    "canary. A node speaks through its heartbeat on the store; one that was silent for 30 seconds "
    "counts as gone."
    "\v"
    "Examples:\n"
    "  fkv status\n"
    "  fkv status ads --all\n"
    "  fkv status --node web17\n"
    "  fkv status --watch=1s\n"
    "  fkv status --check || page-somebody\n"
    "  fkv status --json | jq '.nodes[] | select(.live | not) | .node'\n";

/* What was read, and when. */
struct view {
    struct session *session;
    const struct args *args;
    struct heartbeat_list nodes;
    struct heartbeat_list before; /* what was read the time before */
    struct record last;           /* of the log */
    int64_t asked_ns;             /* how long reading took */
    int64_t good_ns;              /* when it last worked, by cli_now_ns() */
    struct err trouble;           /* why it did not, just now */
};

static void view_release(struct view *view)
{
    heartbeat_list_release(&view->nodes);
    heartbeat_list_release(&view->before);
    record_release(&view->last);
}

static void read_last_record(struct view *view)
{
    uint64_t seq = manifest_state(view->session->manifest)->seq;
    struct record record = {0};
    if (seq == view->last.seq || manifest_read_record(view->session->manifest, seq, &record, NULL))
        return;
    record_release(&view->last);
    view->last = record;
}

static int view_read(struct view *view, struct err *err)
{
    struct heartbeat_list nodes = {0};
    int64_t begin_ns = cli_now_ns();
    int rc = manifest_refresh(view->session->manifest, NULL, err);
    if (!rc)
        rc = heartbeat_list_read(view->session->store, &nodes, err);
    if (rc)
        return rc;
    heartbeat_list_release(&view->before);
    view->before = view->nodes;
    view->nodes = nodes;
    read_last_record(view);
    view->good_ns = cli_now_ns();
    view->asked_ns = view->good_ns - begin_ns;
    return 0;
}

static void show_store(const struct view *view, int64_t now_ns, FILE *file)
{
    char age[TEXT_MAX];
    fprintf(file, "store  %s: ", store_url(view->session->store));
    if (view->trouble.code) {
        text_age(cli_now_ns() - view->good_ns, age);
        fprintf(file, "CANNOT BE ASKED, all below is %s old: %s\n", age, view->trouble.text);
        return;
    }
    if (view->last.seq) {
        text_age(now_ns - view->last.time_ns, age);
        fprintf(file, "record %" PRIu64 ", %s ago by %s; ", view->last.seq, age, view->last.author);
    }
    text_took(view->asked_ns, age);
    fprintf(file, "answered in %s\n", age);
}

static const struct heartbeat *find_node(const struct view *view, const char *name)
{
    for (size_t i = 0; i < view->nodes.n_nodes; i++) {
        if (!strcmp(view->nodes.nodes[i].node, name))
            return &view->nodes.nodes[i];
    }
    return NULL;
}

static void show_text(const struct view *view, const struct status *status, size_t rows, FILE *file)
{
    const struct args *args = view->args;
    const struct heartbeat *node = args->node ? find_node(view, args->node) : NULL;
    struct status_layout layout = {.max_issues = ISSUES_MAX, .all = args->all};
    if (rows != SIZE_MAX) {
        size_t above = status->n_tables + 7;
        layout.max_issues = rows > above + ISSUES_MIN ? rows - above : ISSUES_MIN;
    }
    show_store(view, status->now_ns, file);
    if (args->node && node)
        status_show_node(status, node, file);
    else if (args->node)
        fprintf(file, "node %s has not reported\n", args->node);
    if (args->node)
        return;
    if (args->table && status->n_tables)
        status_show_table(status, &status->tables[0], file);
    status_show(status, &layout, file);
    if (!view->nodes.n_nodes)
        fprintf(file,
                "\nno node has reported to %s yet; start one with: fkvd --store %s --mount /fkv\n",
                store_url(view->session->store), store_url(view->session->store));
}

static int make(const struct view *view, struct status *status, struct err *err)
{
    struct status_input input = {
        .state = manifest_state(view->session->manifest),
        .nodes = &view->nodes,
        .before = view->before.n_nodes ? &view->before : NULL,
        .only_table = view->args->table,
        .only_node = view->args->node,
        .now_ns = manifest_now_ns(view->session->manifest),
    };
    return status_make(&input, status, err);
}

/* The picture as text; *len bytes, freed by the caller. */
static char *picture(const struct view *view, const struct status *status, size_t rows, size_t *len)
{
    char *text = NULL;
    FILE *file = open_memstream(&text, len);
    if (!file)
        return NULL;
    if (view->args->common.json) {
        json_t *json = status_json(status, store_url(view->session->store), view->args->node);
        struct buf out = {0};
        if (view->trouble.code)
            json_put_string(json, "error", view->trouble.text);
        json_write(json, !view->args->watch_ns, &out);
        fwrite(out.data, 1, out.len, file);
        buf_release(&out);
        json_decref(json);
    } else {
        show_text(view, status, rows, file);
    }
    if (fclose(file) == 0)
        return text;
    free(text);
    return NULL;
}

static int problems(const struct status *status, struct err *err)
{
    for (size_t i = 0; i < status->n_issues; i++) {
        const struct status_issue *issue = &status->issues[i];
        if (issue->is_problem)
            return err_set(err, -EPERM, "%zu problem%s; %s%s%s%s%s", status->n_problems,
                           status->n_problems == 1 ? "" : "s", issue->node ? issue->node->node : "",
                           issue->node ? ": " : "", issue->table ? issue->table->name : "",
                           issue->table ? ": " : "", issue->text);
    }
    return 0;
}

static int show_once(struct view *view, struct err *err)
{
    struct status status = {0};
    size_t len = 0;
    int rc = view_read(view, err);
    if (!rc && view->args->node && !find_node(view, view->args->node))
        rc = err_set(err, -ENOENT, "node %s has not reported to %s; see: fkv status --all",
                     view->args->node, store_url(view->session->store));
    if (!rc)
        rc = make(view, &status, err);
    if (rc)
        return rc;
    char *text = picture(view, &status, SIZE_MAX, &len);
    if (text)
        fwrite(text, 1, len, stdout);
    rc = text ? cli_flush(err) : err_sys(err, -ENOMEM, "showing the fleet");
    free(text);
    if (!rc && view->args->check)
        rc = problems(&status, err);
    status_release(&status);
    return rc;
}

/* A store that cannot be asked for a while leaves the last picture, and says so. */
static int draw(struct view *view, struct screen *screen, struct err *err)
{
    struct status status = {0};
    size_t len = 0;
    struct err why = {0};
    int rc = view_read(view, &why);
    view->trouble = (struct err){0};
    if (rc && (!view->good_ns || !fleet_is_passing(rc)))
        return err_set(err, rc, "%s", err_text(&why, rc));
    if (rc)
        err_set(&view->trouble, rc, "%s", err_text(&why, rc));
    rc = make(view, &status, err);
    if (rc)
        return rc;
    char *text = picture(view, &status, screen_rows(screen), &len);
    rc = text ? screen_draw(screen, text, len, err) : err_sys(err, -ENOMEM, "showing the fleet");
    free(text);
    status_release(&status);
    return rc;
}

static int watch(struct view *view, struct err *err)
{
    struct screen *screen = NULL;
    int64_t ns = 0;
    int rc = screen_new(!view->args->common.json, &screen, err);
    if (rc)
        return rc;
    do {
        rc = draw(view, screen, err);
        ns = WATCH_SHARE * view->asked_ns;
        ns = ns < WATCH_SHARE_MAX_NS ? ns : WATCH_SHARE_MAX_NS;
        ns = ns < view->args->watch_ns ? view->args->watch_ns : ns;
    } while (!rc && screen_pause(screen, ns));
    screen_free(screen);
    return rc;
}

int cmd_status(int argc, char **argv, struct err *err)
{
    static const struct argp argp = {.options = options,
                                     .parser = parse,
                                     .args_doc = "[TABLE]",
                                     .doc = doc,
                                     .children = cli_children};
    struct args args = {0};
    scope_session struct session session = {0};
    struct view view = {.session = &session, .args = &args};
    const struct table_state *table = NULL;
    cli_parse(&argp, argc, argv, &args);
    int rc = session_open(&args.common, &session, err);
    if (!rc && args.table)
        rc = session_table(&session, args.table, &table, err);
    if (!rc)
        rc = args.watch_ns ? watch(&view, err) : show_once(&view, err);
    view_release(&view);
    return rc;
}
