/* SPDX-License-Identifier: Apache-2.0 */
/* Problem strings, both ways. Grammar: doc/problem_strings.md. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_problem.h"

static bool fail(bench_problem *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool fail(bench_problem *p, const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(p->message, sizeof p->message, format, list);
    va_end(list);
    return false;
}

/* "[1,2,3]", "(1,2)" or "{1,2,3}" into values; *text moves behind it. -1: malformed. */
static int64_t parse_list(const char **text, char open, char close, int64_t *values, int64_t room) {
    const char *p = *text;
    int64_t n = 0;
    if (*p++ != open) return -1;
    while (isspace((unsigned char)*p)) p++;
    if (*p == close) {
        *text = p + 1;
        return 0;
    }
    for (;;) {
        char *end;
        int64_t value = strtoll(p, &end, 10);
        if (end == p || n == room) return -1;
        values[n++] = value;
        p = end;
        while (isspace((unsigned char)*p)) p++;
        if (*p == ',') {
            p++;
            continue;
        }
        if (*p++ != close) return -1;
        *text = p;
        return n;
    }
}

static bool kind_is_tensor(const char *kind) {
    return strstr(kind, "in") == kind || strstr(kind, "out") == kind || !strncmp(kind, "opt_", 4);
}

static bool parse_tensor(bench_problem *p, const char *value, bench_tensor *t) {
    size_t length = strcspn(value, "[");
    const char *name_end = value + length;
    bool pair = length > 2 && !memcmp(name_end - 2, "x2", 2) && value[0] == 'e';
    if (!bench_type_by_name(value, pair ? length - 2 : length, &t->view.dtype))
        return fail(p, "unknown element type in \"%.60s\"", value);
    if (pair) t->view.dtype.lanes = 2;
    const char *rest = name_end;
    int64_t ndim = parse_list(&rest, '[', ']', t->shape, 8);
    if (ndim < 0) return fail(p, "bad shape in \"%.60s\"", value);
    t->view.ndim = (int32_t)ndim;
    t->view.device.device_type = kDLCPU;
    int64_t step = 1;
    for (int64_t i = ndim - 1; i >= 0; i--) {
        t->strides[i] = step;
        step *= t->shape[i] > 0 ? t->shape[i] : 1;
    }
    if (*rest == ':') {
        rest++;
        if (parse_list(&rest, '(', ')', t->strides, 8) != ndim)
            return fail(p, "bad strides in \"%.60s\"", value);
    }
    if (*rest == '{') {
        int64_t room = bench_count(t);
        t->contents = malloc(sizeof(int64_t) * (size_t)(room > 0 ? room : 1));
        t->n_contents = t->contents ? parse_list(&rest, '{', '}', t->contents, room) : -1;
        if (t->n_contents != room)
            return fail(p, "the contents of \"%.60s\" are not %lld integers", value,
                        (long long)room);
    }
    if (*rest) return fail(p, "trailing text \"%.40s\"", rest);
    t->view.shape = t->shape;
    t->view.strides = t->strides;
    return true;
}

static bool parse_scalar(bench_problem *p, const tenon_field_info *f, const char *value, void *at) {
    char *end;
    if (f->choices && !isdigit((unsigned char)*value) && *value != '-') {
        for (uint32_t i = 0; i < f->n_choices; i++)
            if (!strcmp(f->choices[i].name, value)) {
                *(int32_t *)at = f->choices[i].value;
                return true;
            }
        return fail(p, "%s has no choice \"%s\"", f->name, value);
    }
    if (f->kind[0] == 'f')
        *(float *)at = strtof(value, &end);
    else if (f->size_bytes == 8)
        *(int64_t *)at = strtoll(value, &end, 10);
    else
        *(int32_t *)at = (int32_t)strtol(value, &end, 10);
    return *end ? fail(p, "%s=\"%s\" is not a number", f->name, value) : true;
}

static bool parse_flags(bench_problem *p, const tenon_op_info *info, const char *value,
                        uint32_t *flags) {
    while (*value) {
        size_t length = strcspn(value, "|");
        uint32_t bit = 0;
        for (uint32_t i = 0; i < info->n_flags; i++)
            if (strlen(info->flags[i].name) == length &&
                !memcmp(info->flags[i].name, value, length))
                bit = info->flags[i].value;
        if (!bit && isdigit((unsigned char)*value)) bit = (uint32_t)strtoul(value, NULL, 0);
        if (!bit && strncmp(value, "0", length))
            return fail(p, "%s has no flag \"%s\"", info->name, value);
        *flags |= bit;
        value += length;
        if (*value == '|') value++;
    }
    return true;
}

static const tenon_field_info *find_field(const tenon_op_info *info, const char *name,
                                          size_t length) {
    for (uint32_t i = 0; i < info->n_fields; i++)
        if (strlen(info->fields[i].name) == length && !memcmp(info->fields[i].name, name, length))
            return &info->fields[i];
    return NULL;
}

static tenon_quant *quant_of(bench_problem *p, int32_t field) {
    for (int32_t q = 0; q < p->n_quants; q++)
        if (p->quant_field[q] == field) return &p->quant[q];
    if (p->n_quants == BENCH_MAX_QUANTS) return NULL;
    tenon_quant *quant = &p->quant[p->n_quants];
    p->quant_field[p->n_quants++] = field;
    quant->struct_size = sizeof *quant;
    *(const tenon_quant **)(p->args.bytes + p->info->fields[field].offset_bytes) = quant;
    return quant;
}

static bool is_written(const bench_problem *p, const tenon_field_info *f,
                       const tenon_field_info *member) {
    const char *op = p->info->name;
    if (!member) return strstr(f->kind, "out") != NULL;
    if (!strcmp(op, "quantize") || (!strcmp(op, "moe_dispatch") && !strcmp(f->name, "x_out_quant")))
        return !strcmp(member->name, "scale") || !strcmp(member->name, "zero_point");
    return !strcmp(op, "unpack_weights");
}

static bool parse_assignment(const tenon_api *api, bench_problem *p, const char *name,
                             size_t name_length, const char *value) {
    if (name_length == 5 && !memcmp(name, "flags", 5))
        return parse_flags(p, p->info, value, &p->args.head.flags);
    const char *dot = memchr(name, '.', name_length);
    size_t field_length = dot ? (size_t)(dot - name) : name_length;
    const tenon_field_info *f = find_field(p->info, name, field_length), *member = NULL;
    if (!f) return fail(p, "%s has no field \"%.*s\"", p->info->name, (int)name_length, name);
    void *at = p->args.bytes + f->offset_bytes;
    int32_t field = (int32_t)(f - p->info->fields), member_index = -1;
    if (!strcmp(f->kind, "quant") != (dot != NULL))
        return fail(p, "%s: write the members of a quant field, name.member=value, and only those",
                    f->name);
    if (dot) {
        const tenon_op_info *list = api->quant_info();
        tenon_quant *quant = quant_of(p, field);
        size_t length = name_length - field_length - 1;
        if (!quant) return fail(p, "too many quant fields");
        if (length == 5 && !memcmp(dot + 1, "flags", 5))
            return parse_flags(p, list, value, &quant->flags);
        member = find_field(list, dot + 1, length);
        if (!member) return fail(p, "tenon_quant has no member \"%.*s\"", (int)length, dot + 1);
        member_index = (int32_t)(member - list->fields);
        at = (char *)quant + member->offset_bytes;
    }
    const tenon_field_info *target = member ? member : f;
    if (!kind_is_tensor(target->kind) || !strncmp(target->kind, "i32", 3) ||
        !strncmp(target->kind, "i64", 3))
        return parse_scalar(p, target, value, at);
    if (p->n_tensors == BENCH_MAX_TENSORS) return fail(p, "too many tensors");
    bench_tensor *t = &p->tensor[p->n_tensors];
    memset(t, 0, sizeof *t);
    t->info = target, t->field = field, t->member = member_index,
    t->written = is_written(p, f, member);
    p->n_tensors++;
    *(const DLTensor **)at = &t->view;
    return parse_tensor(p, value, t);
}

bool bench_parse(const tenon_api *api, const char *text, bench_problem *p) {
    memset(p, 0, sizeof *p);
    while (isspace((unsigned char)*text)) text++;
    size_t length = strcspn(text, " \t\n");
    for (uint32_t i = 0; i < api->op_count(); i++)
        if (strlen(api->op_info(i)->name) == length && !memcmp(api->op_info(i)->name, text, length))
            p->info = api->op_info(i);
    if (!p->info) return fail(p, "no operation \"%.*s\"", (int)length, text);
    p->args.head.struct_size = p->info->args_size_bytes;
    p->args.head.fault = &p->fault;
    for (const char *word = text + length;;) {
        while (isspace((unsigned char)*word)) word++;
        if (!*word || *word == '#') return true;
        size_t word_length = strcspn(word, " \t\n"), name_length = strcspn(word, "=");
        if (name_length >= word_length)
            return fail(p, "\"%.*s\" is not name=value", (int)word_length, word);
        char *value = strndup(word + name_length + 1, word_length - name_length - 1);
        bool ok = value && parse_assignment(api, p, word, name_length, value);
        free(value);
        if (!ok) return false;
        word += word_length;
    }
}

/* ---- printing ---- */

typedef struct writer {
    char *text;
    size_t bytes, used;
} writer;

static void put(writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(writer *w, const char *format, ...) {
    va_list list;
    va_start(list, format);
    int n = w->used < w->bytes ? vsnprintf(w->text + w->used, w->bytes - w->used, format, list) : 0;
    va_end(list);
    w->used += n > 0 ? (size_t)n : 0;
}

static void put_list(writer *w, char open, char close, const int64_t *values, int64_t n) {
    put(w, "%c", open);
    for (int64_t i = 0; i < n; i++) put(w, i ? ",%lld" : "%lld", (long long)values[i]);
    put(w, "%c", close);
}

static void put_tensor(writer *w, const bench_tensor *t) {
    put(w, "%s%s", bench_type_name(t->view.dtype), t->view.dtype.lanes == 2 ? "x2" : "");
    put_list(w, '[', ']', t->shape, t->view.ndim);
    int64_t step = 1;
    bool compact = true;
    for (int32_t i = t->view.ndim - 1; i >= 0; i--) {
        compact &= t->shape[i] <= 1 || t->strides[i] == step;
        step *= t->shape[i] > 0 ? t->shape[i] : 1;
    }
    if (!compact) put(w, ":"), put_list(w, '(', ')', t->strides, t->view.ndim);
    if (t->contents) put_list(w, '{', '}', t->contents, t->n_contents);
}

static void put_scalar(writer *w, const char *prefix, const tenon_field_info *f, const void *at) {
    int32_t narrow;
    int64_t wide;
    float real;
    if (f->kind[0] == 'f') {
        memcpy(&real, at, 4);
        if (real != 0) put(w, " %s%s=%.9g", prefix, f->name, (double)real);
        return;
    }
    memcpy(&narrow, at, 4), wide = narrow;
    if (f->size_bytes == 8) memcpy(&wide, at, 8);
    if (!wide) return;
    for (uint32_t c = 0; c < f->n_choices; c++)
        if (f->choices[c].value == narrow) {
            put(w, " %s%s=%s", prefix, f->name, f->choices[c].name);
            return;
        }
    put(w, " %s%s=%lld", prefix, f->name, (long long)wide);
}

static void put_flags(writer *w, const char *prefix, const tenon_op_info *info, uint32_t flags) {
    if (!flags) return;
    put(w, " %sflags=", prefix);
    const char *separator = "";
    for (uint32_t i = 0; i < info->n_flags; i++)
        if (flags & info->flags[i].value)
            put(w, "%s%s", separator, info->flags[i].name), separator = "|";
}

void bench_print(const tenon_api *api, const bench_problem *p, char *text, size_t bytes) {
    writer w = {text, bytes, 0};
    const tenon_op_info *list = api->quant_info();
    put(&w, "%s", p->info->name);
    for (uint32_t i = 0; i < p->info->n_fields; i++) {
        const tenon_field_info *f = &p->info->fields[i];
        for (int32_t k = 0; k < p->n_tensors; k++)
            if (p->tensor[k].field == (int32_t)i && p->tensor[k].member < 0)
                put(&w, " %s=", f->name), put_tensor(&w, &p->tensor[k]);
        for (int32_t q = 0; q < p->n_quants; q++) {
            if (p->quant_field[q] != (int32_t)i) continue;
            char prefix[40];
            snprintf(prefix, sizeof prefix, "%s.", f->name);
            put_flags(&w, prefix, list, p->quant[q].flags);
            for (uint32_t m = 0; m < list->n_fields; m++) {
                if (!kind_is_tensor(list->fields[m].kind) || !strncmp(list->fields[m].kind, "i", 1))
                    put_scalar(&w, prefix, &list->fields[m],
                               (const char *)&p->quant[q] + list->fields[m].offset_bytes);
                for (int32_t k = 0; k < p->n_tensors; k++)
                    if (p->tensor[k].field == (int32_t)i && p->tensor[k].member == (int32_t)m)
                        put(&w, " %s%s=", prefix, list->fields[m].name),
                            put_tensor(&w, &p->tensor[k]);
            }
        }
        if (f->size_bytes < sizeof(void *) || !strcmp(f->kind, "i64"))
            put_scalar(&w, "", f, p->args.bytes + f->offset_bytes);
    }
    put_flags(&w, "", p->info, p->args.head.flags);
}
