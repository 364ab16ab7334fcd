/* SPDX-License-Identifier: Apache-2.0 */
/* What formats of a row a line have in common. */
#include "builder/input_impl.h"

#include <string.h>

/* In strips whose counts fit a byte each, which the compiler turns into vectors. */
uint64_t input_count_lines(const char *data, size_t len)
{
    enum { WIDTH = 64, ROUNDS = 255 };
    uint64_t n = 0;
    while (len >= WIDTH) {
        uint8_t counts[WIDTH] = {0};
        size_t rounds = len / WIDTH < ROUNDS ? len / WIDTH : ROUNDS;
        for (size_t r = 0; r < rounds; r++, data += WIDTH)
            for (int i = 0; i < WIDTH; i++)
                counts[i] += data[i] == '\n';
        for (int i = 0; i < WIDTH; i++)
            n += counts[i];
        len -= rounds * WIDTH;
    }
    for (size_t i = 0; i < len; i++)
        n += data[i] == '\n';
    return n;
}

void row_cut_lines(struct row_cut *cut, const char *data, size_t len)
{
    const char *from = data + cut->scanned;
    size_t n_new = len - cut->scanned;
    const char *end = NULL;
    if (n_new)
        end = cut->first ? memchr(from, '\n', n_new) : memrchr(from, '\n', n_new);
    cut->scanned = len;
    if (!end)
        return;
    cut->row_end = (size_t)(end - data) + 1;
    cut->lines = input_count_lines(data, cut->row_end);
}

int input_block_line(struct input_block *block, uint64_t *line, char **text, size_t *len)
{
    while (block->pos < block->len) {
        char *at = block->data + block->pos;
        char *end = memchr(at, '\n', block->len - block->pos);
        size_t n = end ? (size_t)(end - at) : block->len - block->pos;
        block->row_begin = block->pos;
        block->pos += n + (end ? 1 : 0);
        *line = block->line++;
        if (n && at[n - 1] == '\r')
            n--;
        if (n == 0)
            continue;
        *text = at;
        *len = n;
        return 1;
    }
    return 0;
}
