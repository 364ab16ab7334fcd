/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest/name.h"

#include "base/utf8.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static const char label_prefix[] = "label:";
_Static_assert(sizeof label_prefix - 1 == NODE_NAME_MAX - LABEL_NAME_MAX, "a pin holds any label");

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_lower_alnum(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z');
}

static bool is_alnum(char c)
{
    return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

/* Lower-case names: tables and tags. */
static int lower_name_check(const char *what, const char *name, size_t max, struct err *err)
{
    size_t len = strnlen(name, max + 1);
    bool is_good = len >= 1 && len <= max && is_lower_alnum(name[0]);
    for (size_t i = 1; is_good && i < len; i++)
        is_good = is_lower_alnum(name[i]) || name[i] == '_' || name[i] == '-';
    if (!is_good)
        return err_set(err, -EINVAL,
                       "%s name \"%.80s\": expected 1 to %zu of a-z 0-9 _ -, the first a letter or "
                       "a digit",
                       what, name, max);
    return 0;
}

/* Names that machines give: hosts and tasks. */
static int mixed_name_check(const char *what, const char *name, size_t max, struct err *err)
{
    size_t len = strnlen(name, max + 1);
    bool is_good = len >= 1 && len <= max && is_alnum(name[0]);
    for (size_t i = 1; is_good && i < len; i++)
        is_good = is_alnum(name[i]) || name[i] == '.' || name[i] == '_' || name[i] == '-';
    if (!is_good)
        return err_set(err, -EINVAL,
                       "%s name \"%.80s\": expected 1 to %zu of A-Z a-z 0-9 . _ -, the first a "
                       "letter or a digit",
                       what, name, max);
    return 0;
}

int table_name_check(const char *name, struct err *err)
{
    return lower_name_check("table", name, TABLE_NAME_MAX, err);
}

int node_name_check(const char *name, struct err *err)
{
    return mixed_name_check("node", name, NODE_NAME_MAX, err);
}

int label_name_check(const char *name, struct err *err)
{
    return mixed_name_check("label", name, LABEL_NAME_MAX, err);
}

int task_name_check(const char *name, struct err *err)
{
    return mixed_name_check("task", name, TASK_NAME_MAX, err);
}

int tag_name_check(const char *name, struct err *err)
{
    int ret = lower_name_check("tag", name, TAG_NAME_MAX, err);
    if (ret)
        return ret;
    if (name[strspn(name, "0123456789")] == '\0')
        return err_set(err, -EINVAL, "tag name \"%s\": only digits, which mean a version", name);
    if (strcmp(name, "current") == 0 || strcmp(name, "previous") == 0)
        return err_set(err, -EINVAL, "tag name \"%s\": this word has a meaning already", name);
    return 0;
}

int pin_name_check(const char *name, struct err *err)
{
    size_t prefix_len = sizeof label_prefix - 1;
    if (strncmp(name, label_prefix, prefix_len) == 0)
        return label_name_check(name + prefix_len, err);
    return node_name_check(name, err);
}

int text_check(const char *what, const char *text, size_t max, struct err *err)
{
    size_t len = strnlen(text, max + 1);
    if (len > max)
        return err_set(err, -EINVAL, "%s: expected at most %zu bytes", what, max);
    for (size_t i = 0; i < len;) {
        size_t n = utf8_len(text + i, len - i);
        if (n == 0)
            return err_set(err, -EINVAL, "%s: not UTF-8 at byte %zu", what, i);
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7F)
            return err_set(err, -EINVAL, "%s: a control character at byte %zu", what, i);
        i += n;
    }
    return 0;
}
