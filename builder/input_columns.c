/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/input_columns.h"

#include "builder/number.h"

#include <errno.h>
#include <string.h>

static int column_find(const char *asked, uint32_t fallback, const char *flag,
                       const char *const *names, const size_t *lens, uint32_t n, bool has_header,
                       uint32_t *out, struct err *err)
{
    if (!asked) {
        *out = fallback;
        return 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (lens[i] == strlen(asked) && memcmp(names[i], asked, lens[i]) == 0) {
            *out = i;
            return 0;
        }
    }
    uint64_t number = 0;
    if (number_u64(asked, strlen(asked), &number) == 0 && number >= 1 &&
        number <= INPUT_COLUMNS_MAX && (!has_header || number <= n)) {
        *out = (uint32_t)number - 1;
        return 0;
    }
    if (has_header)
        return err_set(err, -EINVAL,
                       "%s: expected the name of a column in the header, or a number from 1 to %u, "
                       "found \"%s\"",
                       flag, n, asked);
    return err_set(err, -EINVAL,
                   "%s: expected a column number from 1 to %d (a name needs a header), found "
                   "\"%s\"",
                   flag, (int)INPUT_COLUMNS_MAX, asked);
}

int input_columns_choose(const struct input_options *options, const char *const *names,
                         const size_t *lens, uint32_t n, bool has_header, struct input_columns *out,
                         struct err *err)
{
    struct input_columns columns = {0};
    int ret = column_find(options->key_column, 0, "--key-column", names, lens, n, has_header,
                          &columns.key, err);
    if (!ret)
        ret = column_find(options->value_column, 1, "--value-column", names, lens, n, has_header,
                          &columns.value, err);
    if (ret)
        return ret;
    if (columns.key == columns.value)
        return err_set(err, -EINVAL, "key and value are the same column, %u", columns.key + 1);
    if (!has_header && !options->key_column && !options->value_column)
        columns.exact = 2;
    *out = columns;
    return 0;
}

int input_columns_count(const struct input_columns *columns, uint32_t n,
                        const struct input_row *row, const char *separator, struct err *err)
{
    if (columns->exact && n > columns->exact)
        return err_set(err, -EBADMSG,
                       "expected %u fields between %ss, found more (escape a %s inside a value, or "
                       "choose columns)",
                       columns->exact, separator, separator);
    if (row->key.form == FIELD_ABSENT)
        return err_set(err, -EBADMSG, "expected a key in column %u, found %u fields",
                       columns->key + 1, n);
    return 0;
}
