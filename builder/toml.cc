/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parser is good but not made for any bytes, so text_check looks through the text first, for what it cannot take:
 *
 *   - It builds a tree and takes it down again by recursion, and bounds only how deep lists and inline tables nest; a key of half a
 *     million dots would end the program's stack.
 *   - Where it asks whether a character is white space, version 3.3 has no defined answer for some beyond ASCII. It asks outside of
 *     strings, where TOML has ASCII only, and in strings behind a backslash and the white space that this may join lines over.
 *
 * text_check knows just enough of TOML to tell what stands within strings and comments, and where it is wrong the text is no
 * TOML and the parser stops there.
 */
extern "C" {
#include "builder/toml.h"
#include "base/buf.h"
#include "base/err.h"
}

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

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

/* ---- before it is parsed ---- */

class text_check
{
  public:
    explicit text_check(std::string_view text) : text_(text)
    {
    }

    void run()
    {
        if (at("\xEF\xBB\xBF")) /* a byte order mark */
            pos_ += 3;
        while (pos_ < text_.size())
            step();
    }

  private:
    std::string_view text_;
    size_t pos_ = 0;
    size_t line_ = 1;
    size_t line_begin_ = 0;
    size_t dots_ = 0;     /* of the key being read */
    size_t brackets_ = 0; /* open */

    [[noreturn]] void refuse(std::string text) const
    {
        const toml::source_position at = {static_cast<toml::source_index>(line_),
                                          static_cast<toml::source_index>(pos_ - line_begin_ + 1)};
        throw refusal{at, std::move(text)};
    }

    [[noreturn]] void refuse_depth() const
    {
        refuse("expected at most " + std::to_string(int{TOML_DEPTH_MAX}) +
               " levels of tables and lists, found more");
    }

    bool is_ascii() const
    {
        return pos_ >= text_.size() || static_cast<unsigned char>(text_[pos_]) < 0x80;
    }

    bool at(std::string_view word) const
    {
        return text_.substr(pos_, word.size()) == word;
    }

    void end_line()
    {
        pos_++;
        line_++;
        line_begin_ = pos_;
    }

    void step()
    {
        switch (text_[pos_]) {
        case '"':
        case '\'':
            skip_string();
            return;
        case '#':
            /* The parser refuses the other three, and must not come as far as what follows them. */
            pos_ = std::min(text_.find_first_of("\n\v\f\r", pos_), text_.size());
            return;
        case '\n':
            dots_ = 0;
            end_line();
            return;
        case '.':
            if (++dots_ >= TOML_DEPTH_MAX)
                refuse_depth();
            break;
        case '[':
        case '{':
            dots_ = 0;
            if (++brackets_ > TOML_DEPTH_MAX)
                refuse_depth();
            break;
        case ']':
        case '}':
            brackets_ -= brackets_ > 0;
            dots_ = 0;
            break;
        case '=':
        case ',':
            dots_ = 0;
            break;
        default:
            if (!is_ascii())
                refuse(
                    "expected letters of ASCII outside of texts and comments, found another; put "
                    "it in quotes");
            break;
        }
        pos_++;
    }

    void skip_string()
    {
        const char quote = text_[pos_];
        const std::string three(3, quote);
        if (at(three)) {
            skip_lines(quote, three);
            return;
        }
        /* A line end within it is an error, which the parser finds. */
        for (pos_++; pos_ < text_.size() && text_[pos_] != '\n'; pos_++) {
            if (text_[pos_] == quote) {
                pos_++;
                return;
            }
            pos_ += quote == '"' && text_[pos_] == '\\' && !at("\\\n");
        }
    }

    /* Behind a backslash: a letter, or the white space that it joins lines over. */
    void skip_escape()
    {
        const size_t letter = ++pos_;
        while (pos_ < text_.size() && std::strchr(" \t\r\n\v\f", text_[pos_]) && text_[pos_]) {
            if (text_[pos_] == '\n')
                end_line();
            else
                pos_++;
        }
        if (!is_ascii())
            refuse(
                "expected a letter of ASCII behind a backslash or the lines that it joins, found "
                "another; write it as \\uXXXX");
        if (pos_ == letter && pos_ < text_.size())
            pos_++;
    }

    /* Up to two quotes may stand right before the three that end it. */
    void skip_lines(char quote, std::string_view three)
    {
        pos_ += 3;
        while (pos_ < text_.size() && !at(three)) {
            if (quote == '"' && text_[pos_] == '\\')
                skip_escape();
            else if (text_[pos_] == '\n')
                end_line();
            else
                pos_++;
        }
        pos_ = std::min(pos_ + 3, text_.size());
        for (int i = 0; i < 2 && pos_ < text_.size() && text_[pos_] == quote; i++)
            pos_++;
    }
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

void convert(std::string_view text, struct buf *json)
{
    text_check(text).run();
    const toml::table table = toml::parse(text);
    json_writer(json).table(table, nullptr);
    if (buf_add(json, "\n", 1))
        throw std::bad_alloc();
}

int refused(const char *name, const toml::source_position &at, std::string_view text,
            struct err *err)
{
    return err_set(err, -EBADMSG, "%s: line %u, column %u: %.*s", name,
                   static_cast<unsigned>(at.line), static_cast<unsigned>(at.column),
                   static_cast<int>(std::min(text.size(), size_t{400})), text.data());
}

} // namespace

extern "C" int toml_to_json(const char *text, size_t len, const char *name, struct buf *json,
                            struct err *err)
{
    const size_t before = json->len;
    int ret = 0;
    if (len > TOML_LEN_MAX)
        return err_set(err, -EBADMSG, "%s: expected at most %d bytes, found %zu", name,
                       int{TOML_LEN_MAX}, len);
    try {
        convert(std::string_view(text, len), json);
        return 0;
    } catch (const refusal &why) {
        ret = refused(name, why.at, why.text, err);
    } catch (const toml::parse_error &why) {
        ret = refused(name, why.source().begin, why.description(), err);
    } catch (const std::bad_alloc &) {
        ret = err_sys(err, -ENOMEM, "%s: reading TOML", name);
    } catch (const std::exception &why) {
        ret = err_set(err, -EBADMSG, "%s: expected TOML, found what breaks the rule '%s'", name,
                      why.what());
    } catch (...) {
        ret = err_set(err, -EBADMSG, "%s: expected TOML, found what cannot be read", name);
    }
    json->len = before;
    return ret;
}
