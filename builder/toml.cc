/* SPDX-License-Identifier: Apache-2.0 */
/* What the parser gets, and what it gives, goes through toml_text.h, which says why. */
extern "C" {
#include "builder/toml.h"
#include "base/buf.h"
#include "base/err.h"
#include "builder/toml_text.h"
}

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>

/* Some texts that are no TOML the parser meets with an assertion. Those throw, and are always compiled in. */
[[noreturn]] static void rule_broken(const char *rule)
{
    throw std::logic_error(rule);
}
#undef NDEBUG
#define TOML_ASSERT(rule) static_cast<void>((rule) || (rule_broken(#rule), false))
#define TOML_HEADER_ONLY  1
#include <toml++/toml.h>

namespace
{

/* Thrown here, caught in toml_to_json(). */
struct refusal {
    toml::source_position at;
    std::string text;
};

/* ---- the tree as JSON ---- */

/* Where a value stands: its key or its place in a list, and so on up. Only an error spells it out. */
struct place {
    const place *up;
    std::string_view key;
    size_t index;
    int depth;

    std::string text() const
    {
        const std::string name =
            key.empty() ? '[' + std::to_string(index) + ']' : std::string(key.substr(0, 40));
        if (!up)
            return name;
        return up->text() + (key.empty() ? "" : ".") + name;
    }
};

class json_writer
{
  public:
    explicit json_writer(struct buf *out) : out_(out)
    {
    }

    void table(const toml::table &table, const place *up)
    {
        const char *before = "{";
        for (const auto &[key, node] : table) {
            const place here = {up, key.str(), 0, up ? up->depth + 1 : 1};
            add(before);
            string(key.str(), key.source().begin, here);
            add(":");
            value(node, here);
            before = ",";
        }
        add(table.empty() ? "{}" : "}");
    }

  private:
    struct buf *out_;

    void add(std::string_view text)
    {
        if (buf_add(out_, text.data(), text.size()))
            throw std::bad_alloc();
    }

    [[noreturn]] static void refuse(const toml::source_position &at, const place &here,
                                    const char *expected, const char *found)
    {
        throw refusal{at, here.text() + ": expected " + expected + ", found " + found};
    }

    void value(const toml::node &node, const place &here)
    {
        static const char *const plain = "a text, a number, true or false";
        const toml::source_position &at = node.source().begin;
        if (here.depth > TOML_DEPTH_MAX)
            refuse(at, here, "fewer levels of tables and lists", "one more");
        switch (node.type()) {
        case toml::node_type::table:
            table(*node.as_table(), &here);
            return;
        case toml::node_type::array:
            array(*node.as_array(), here);
            return;
        case toml::node_type::string:
            string(node.as_string()->get(), at, here);
            return;
        case toml::node_type::integer:
            add(std::to_string(node.as_integer()->get()));
            return;
        case toml::node_type::floating_point:
            real(node.as_floating_point()->get(), at, here);
            return;
        case toml::node_type::boolean:
            add(node.as_boolean()->get() ? "true" : "false");
            return;
        case toml::node_type::date:
            refuse(at, here, plain, "a date");
        case toml::node_type::time:
            refuse(at, here, plain, "a time of day");
        case toml::node_type::date_time:
            refuse(at, here, plain, "a date and time");
        case toml::node_type::none:
            break;
        }
        refuse(at, here, plain, "nothing");
    }

    void array(const toml::array &array, const place &up)
    {
        place here = {&up, "", 0, up.depth + 1};
        add("[");
        for (const auto &node : array) {
            if (here.index)
                add(",");
            value(node, here);
            here.index++;
        }
        add("]");
    }

    void string(std::string_view text, const toml::source_position &at, const place &here)
    {
        add("\"");
        for (const char c : text) {
            const auto byte = static_cast<unsigned char>(c);
            char escape[8];
            if (!byte)
                refuse(at, here, "a text", "one with a NUL");
            if (byte < ' ')
                snprintf(escape, sizeof escape, "\\u%04x", unsigned{byte});
            else
                snprintf(escape, sizeof escape, c == '"' || c == '\\' ? "\\%c" : "%c", c);
            add(escape);
        }
        add("\"");
    }

    /* The shortest text that reads as the same number, and as a real one. */
    void real(double number, const toml::source_position &at, const place &here)
    {
        char text[64];
        if (!std::isfinite(number))
            refuse(at, here, "a number", std::isnan(number) ? "nan" : "inf");
        const auto end = std::to_chars(text, text + sizeof text, number).ptr;
        const std::string_view digits(text, static_cast<size_t>(end - text));
        add(digits);
        if (digits.find_first_of(".e") == std::string_view::npos)
            add(".0");
    }
};

/* Memory that goes when an exception passes, too. */
struct text {
    struct buf buf = {};

    text() = default;
    text(const text &) = delete;
    text &operator=(const text &) = delete;
    ~text()
    {
        buf_release(&buf);
    }

    std::string_view view() const
    {
        return {reinterpret_cast<const char *>(buf.data), buf.len};
    }
};

void parse(std::string_view prepared, struct buf *json)
{
    const toml::table table = toml::parse(prepared);
    json_writer(json).table(table, nullptr);
    if (buf_add(json, "\n", 1))
        throw std::bad_alloc();
}

int refused(const char *name, const toml::source_position &at, std::string_view why,
            struct err *err)
{
    text words;
    int ret = toml_text_restore(why.data(), std::min(why.size(), size_t{400}), &words.buf);
    if (ret)
        return err_sys(err, ret, "%s: reading TOML", name);
    return err_set(err, -EBADMSG, "%s: line %u, column %u: %.*s", name,
                   static_cast<unsigned>(at.line), static_cast<unsigned>(at.column),
                   static_cast<int>(words.buf.len), words.view().data());
}

/* All that can be thrown ends here. */
int convert(std::string_view prepared, const char *name, struct buf *json, struct err *err)
{
    try {
        parse(prepared, json);
        return 0;
    } catch (const refusal &why) {
        return refused(name, why.at, why.text, err);
    } catch (const toml::parse_error &why) {
        return refused(name, why.source().begin, why.description(), err);
    } catch (const std::bad_alloc &) {
        return err_sys(err, -ENOMEM, "%s: reading TOML", name);
    } catch (const std::exception &why) {
        return err_set(err, -EBADMSG, "%s: expected TOML, found what breaks the rule '%s'", name,
                       why.what());
    } catch (...) {
        return err_set(err, -EBADMSG, "%s: expected TOML, found what cannot be read", name);
    }
}

} // namespace

extern "C" int toml_to_json(const char *text, size_t len, const char *name, struct buf *json,
                            struct err *err)
{
    struct text prepared;
    struct text raised;
    const size_t before = json->len;
    if (len > TOML_LEN_MAX)
        return err_set(err, -EBADMSG, "%s: expected at most %d bytes, found %zu", name,
                       int{TOML_LEN_MAX}, len);
    int ret = toml_text_prepare(text, len, name, &prepared.buf, err);
    if (!ret)
        ret = convert(prepared.view(), name, &raised.buf, err);
    if (ret)
        return ret;
    if (toml_text_restore(raised.view().data(), raised.buf.len, json)) {
        json->len = before;
        return err_sys(err, -ENOMEM, "%s: reading TOML", name);
    }
    return 0;
}
