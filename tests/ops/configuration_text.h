/* SPDX-License-Identifier: Apache-2.0 */
/* The language of configurations/, as test_no_reference_row.c describes it: every problem string
 * that a file stands for. */
#ifndef TENON_CONFIGURATION_TEXT_H
#define TENON_CONFIGURATION_TEXT_H

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIGURATION_NAMES = 200, CONFIGURATION_ROOM = 1 << 16 };

static struct {
    char *name, *text;
} configuration_name[CONFIGURATION_NAMES];
static int n_configuration_names;

static inline void configuration_fail(const char *what, const char *where) {
    fprintf(stderr, "configurations: %s: %.200s\n", what, where);
    exit(1);
}

static inline const char *configuration_find(const char *name, size_t length) {
    for (int i = 0; i < n_configuration_names; i++)
        if (strlen(configuration_name[i].name) == length &&
            !memcmp(configuration_name[i].name, name, length))
            return configuration_name[i].text;
    return NULL;
}

/* The character that closes what stands at *p, nesting counted. */
static inline const char *configuration_close(const char *p, char open, char close) {
    int depth = 0;
    for (const char *at = p; *at; at++) {
        depth += (*at == open) - (*at == close);
        if (!depth) return at;
    }
    configuration_fail("not closed", p);
    return NULL;
}

/* text with $1.. replaced by args ("a;b"); what is not given is nothing. */
static inline char *configuration_substitute(const char *text, const char *args, size_t length) {
    char *out = malloc(CONFIGURATION_ROOM);
    size_t used = 0;
    if (!out) exit(1);
    for (const char *t = text; *t; t++) {
        const char *from = t;
        size_t n = 1;
        if (*t == '$' && isdigit((unsigned char)t[1])) {
            from = args, n = 0;
            int wanted = *++t - '1';
            size_t at = 0;
            for (; at < length && wanted; at++) wanted -= args[at] == ';';
            from = args + at;
            while (!wanted && at + n < length && from[n] != ';') n++;
        }
        if (used + n + 1 > CONFIGURATION_ROOM) configuration_fail("too long", text);
        memcpy(out + used, from, n);
        used += n;
    }
    out[used] = 0;
    return out;
}

/* Replaces every $name and $name(..), those in the replacements too. Frees text. */
static inline char *configuration_resolve(char *text) {
    for (char *dollar; (dollar = strchr(text, '$'));) {
        size_t length = 0;
        const char *name = dollar + 1;
        while (islower((unsigned char)name[length]) || isdigit((unsigned char)name[length]) ||
               name[length] == '_')
            length++;
        const char *body = configuration_find(name, length), *args = name + length, *end = args;
        if (!body) configuration_fail("unknown name", dollar);
        if (*args == '(') end = configuration_close(args, '(', ')') + 1, args++;
        char *insert =
            configuration_substitute(body, args, end > args ? (size_t)(end - 1 - args) : 0);
        const size_t before = (size_t)(dollar - text), n = strlen(insert), after = strlen(end);
        char *joined = malloc(before + n + after + 1);
        if (!joined || before + n + after >= CONFIGURATION_ROOM)
            configuration_fail("too long", text);
        memcpy(joined, text, before);
        memcpy(joined + before, insert, n);
        memcpy(joined + before + n, end, after + 1);
        free(insert);
        free(text);
        text = joined;
    }
    return text;
}

/* Every string that `rest` stands for, behind the `used` characters of out. */
static inline void configuration_each(char *out, size_t used, const char *rest,
                                      void (*fn)(const char *problem)) {
    const size_t plain = strcspn(rest, "<");
    if (used + plain + 1 > CONFIGURATION_ROOM) configuration_fail("too long", rest);
    memcpy(out + used, rest, plain + 1);
    if (!rest[plain]) {
        fn(out);
        return;
    }
    const char *open = rest + plain, *close = configuration_close(open, '<', '>');
    for (const char *from = open + 1; from <= close;) {
        const char *to = from;
        while (to < close && *to != '/')
            to = *to == '<' ? configuration_close(to, '<', '>') + 1 : to + 1;
        const size_t n = (size_t)(to - from), tail = strlen(close + 1);
        char *next = malloc(n + tail + 1);
        if (!next) exit(1);
        memcpy(next, from, n);
        memcpy(next + n, close + 1, tail + 1);
        configuration_each(out, used + plain, next, fn);
        free(next);
        from = to + 1;
    }
}

static inline void configuration_line(char *line, void (*fn)(const char *problem)) {
    if (!strncmp(line, "let ", 4)) {
        char *equals = strstr(line, " = ");
        if (!equals || n_configuration_names == CONFIGURATION_NAMES ||
            configuration_find(line + 4, (size_t)(equals - line - 4)))
            configuration_fail("a name without \" = \", twice, or one too many", line);
        *equals = 0;
        configuration_name[n_configuration_names].name = strdup(line + 4);
        configuration_name[n_configuration_names++].text = strdup(equals + 3);
        return;
    }
    char *out = malloc(CONFIGURATION_ROOM), *text = strdup(line);
    if (!out || !text) exit(1);
    text = configuration_resolve(text);
    configuration_each(out, 0, text, fn);
    free(text);
    free(out);
}

/* Hands each line of a file, continuations joined, comments left out. */
static inline void configuration_lines(const char *path, void (*each)(char *line)) {
    FILE *file = fopen(path, "r");
    char *line = calloc(1, CONFIGURATION_ROOM), part[4096];
    if (!file || !line) configuration_fail("cannot read", path);
    for (;;) {
        const bool more = fgets(part, sizeof part, file);
        const bool continues = more && part[0] == ' ';
        if (more && (part[0] == '#' || part[0] == '\n')) continue;
        if (!continues && line[0]) {
            each(line);
            line[0] = 0;
        }
        if (!more) break;
        part[strcspn(part, "\n")] = 0;
        const char *text = part + strspn(part, " ");
        const size_t used = strlen(line);
        if (used + strlen(text) + 2 > CONFIGURATION_ROOM) configuration_fail("too long", path);
        /* An alternative begins where its stroke stands; anything else is a new word. */
        snprintf(line + used, CONFIGURATION_ROOM - used, "%s%s",
                 continues && *text != '/' && *text != '>' ? " " : "", text);
    }
    fclose(file);
    free(line);
}

#endif /* TENON_CONFIGURATION_TEXT_H */
