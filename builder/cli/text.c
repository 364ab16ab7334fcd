/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

void text_size(uint64_t bytes, char out[TEXT_MAX])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double n = (double)bytes;
    size_t unit = 0;
    if (bytes < 1024) {
        snprintf(out, TEXT_MAX, "%" PRIu64 " B", bytes);
        return;
    }
    for (n /= 1024; n >= 1023.95 && unit < 5; unit++)
        n /= 1024;
    snprintf(out, TEXT_MAX, "%.1f %s", n, units[unit]);
}

void text_count(uint64_t n, char out[TEXT_MAX])
{
    char digits[TEXT_MAX];
    int len = snprintf(digits, sizeof digits, "%" PRIu64, n);
    int at = 0;
    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0)
            out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = '\0';
}

void text_age(int64_t ns, char out[TEXT_MAX])
{
    double s = ns < 0 ? 0 : (double)ns / 1e9;
    if (s < 10)
        snprintf(out, TEXT_MAX, "%.1f s", s);
    else if (s < 120)
        snprintf(out, TEXT_MAX, "%.0f s", s);
    else if (s < 7200)
        snprintf(out, TEXT_MAX, "%.0f min", s / 60);
    else if (s < 172800)
        snprintf(out, TEXT_MAX, "%.0f h", s / 3600);
    else
        snprintf(out, TEXT_MAX, "%.0f d", s / 86400);
}

void text_took(int64_t ns, char out[TEXT_MAX])
{
    if (ns >= 0 && ns < 50000)
        snprintf(out, TEXT_MAX, "less than 0.1 ms");
    else if (ns >= 0 && ns < 9950000)
        snprintf(out, TEXT_MAX, "%.1f ms", (double)ns / 1e6);
    else if (ns >= 0 && ns < 999500000)
        snprintf(out, TEXT_MAX, "%.0f ms", (double)ns / 1e6);
    else
        text_age(ns, out);
}

void text_time(int64_t realtime_ns, char out[TEXT_MAX])
{
    time_t t = (time_t)(realtime_ns / 1000000000);
    struct tm tm;
    if (!realtime_ns || !localtime_r(&t, &tm) || !strftime(out, TEXT_MAX, "%Y-%m-%d %H:%M:%S", &tm))
        snprintf(out, TEXT_MAX, "-");
}

void text_rfc3339(int64_t realtime_ns, char out[TEXT_MAX])
{
    time_t t = (time_t)(realtime_ns / 1000000000);
    char day[TEXT_MAX - 8];
    struct tm tm;
    if (!gmtime_r(&t, &tm) || !strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm))
        snprintf(day, sizeof day, "?");
    snprintf(out, TEXT_MAX, "%s.%03dZ", day, (int)(realtime_ns / 1000000 % 1000));
}

void grid_init(struct grid *grid, const char *const *headers)
{
    *grid = (struct grid){0};
    for (; headers[grid->n_columns]; grid->n_columns++) {
        if (headers[grid->n_columns][0] == '>')
            grid->right |= 1u << grid->n_columns;
    }
    for (size_t i = 0; i < grid->n_columns; i++)
        grid_add(grid, "%s", headers[i] + (headers[i][0] == '>'));
}

void grid_add(struct grid *grid, const char *fmt, ...)
{
    if (grid->n_cells == grid->cap) {
        size_t cap = grid->cap ? 2 * grid->cap : 64;
        char **cells = realloc(grid->cells, cap * sizeof *cells);
        if (!cells)
            return;
        grid->cells = cells;
        grid->cap = cap;
    }
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL;
    va_end(ap);
    grid->cells[grid->n_cells++] = text;
}

/* Columns on the screen: bytes that begin a UTF-8 character. */
static int cell_width(const char *cell)
{
    int width = 0;
    for (; cell && *cell; cell++)
        width += (*cell & 0xc0) != 0x80;
    return width;
}

void grid_print(struct grid *grid, FILE *file)
{
    int widths[32] = {0};
    for (size_t i = 0; i < grid->n_cells; i++) {
        int width = cell_width(grid->cells[i]);
        int *widest = &widths[i % grid->n_columns];
        *widest = width > *widest ? width : *widest;
    }
    for (size_t i = 0; i < grid->n_cells; i++) {
        size_t column = i % grid->n_columns;
        const char *cell = grid->cells[i] ? grid->cells[i] : "";
        int pad = widths[column] - cell_width(cell);
        bool last = column + 1 == grid->n_columns;
        if (grid->right >> column & 1)
            fprintf(file, "%*s%s", pad, "", cell);
        else
            fprintf(file, "%s%*s", cell, last ? 0 : pad, "");
        fputs(last ? "\n" : "  ", file);
    }
    grid_free(grid);
}

void grid_free(struct grid *grid)
{
    for (size_t i = 0; i < grid->n_cells; i++)
        free(grid->cells[i]);
    free(grid->cells);
    *grid = (struct grid){0};
}
