/* SPDX-License-Identifier: Apache-2.0 */
/* Which entries of the library's own lists a set of problems has used: every type and presence of a
 * tensor, every choice, every flag. What is added to a list of the ABI is missed here until some
 * problem uses it. */
#ifndef TENON_CONFIGURATION_COVERAGE_H
#define TENON_CONFIGURATION_COVERAGE_H

#include "bench_problem.h"
#include "test_host.h"

enum { COVERAGE_OPS = 32, COVERAGE_FIELDS = 64 };

typedef struct field_coverage {
    uint64_t types, choices; /* by place in the field's list */
    bool present, absent;
} field_coverage;

/* The last operation stands for the descriptors of all. */
static field_coverage covered[COVERAGE_OPS][COVERAGE_FIELDS];
static uint32_t covered_flags[COVERAGE_OPS];

static inline uint64_t coverage_of_type(const char *types, const char *name) {
    uint64_t bit = 1;
    for (const char *t = types; *t; t += strspn(t, " "), bit <<= 1) {
        const size_t n = strcspn(t, " ");
        if (strlen(name) == n && !memcmp(t, name, n)) return bit;
        t += n;
    }
    return 0;
}

static inline void cover_choices(const tenon_op_info *list, field_coverage *to, const char *base) {
    for (uint32_t f = 0; f < list->n_fields; f++) {
        int32_t value;
        memcpy(&value, base + list->fields[f].offset_bytes, sizeof value);
        for (uint32_t c = 0; c < list->fields[f].n_choices; c++)
            if (list->fields[f].choices[c].value == value) to[f].choices |= 1ull << c;
    }
}

static inline void cover(const tenon_api *api, const bench_problem *p) {
    const uint32_t quant = api->op_count();
    bool there[COVERAGE_FIELDS] = {false};
    for (int32_t i = 0; i < p->n_tensors; i++) {
        const bench_tensor *t = &p->tensor[i];
        field_coverage *c =
            t->member < 0 ? &covered[p->info->op][t->field] : &covered[quant][t->member];
        c->types |= coverage_of_type(t->info->types, bench_type_name(t->view.dtype));
        if (t->member < 0) there[t->field] = true;
        c->present = true;
    }
    for (uint32_t f = 0; f < p->info->n_fields; f++)
        if (!there[f]) covered[p->info->op][f].absent = true;
    cover_choices(p->info, covered[p->info->op], (const char *)p->args.bytes);
    covered_flags[p->info->op] |= p->args.head.flags;
    for (int32_t q = 0; q < p->n_quants; q++) {
        cover_choices(api->quant_info(), covered[quant], (const char *)&p->quant[q]);
        covered_flags[quant] |= p->quant[q].flags;
    }
}

static inline void check_covered_list(const char *name, const tenon_op_info *list,
                                      const field_coverage *c, uint32_t flags) {
    for (uint32_t f = 0; f < list->n_fields; f++) {
        const tenon_field_info *info = &list->fields[f];
        const bool tensor = strstr(info->kind, "in") == info->kind || strstr(info->kind, "out");
        const bool optional = !strncmp(info->kind, "opt_", 4);
        for (uint32_t i = 0; i < info->n_choices; i++)
            CHECK(c[f].choices >> i & 1, "no problem of %s has %s=%s", name, info->name,
                  info->choices[i].name);
        CHECK(!optional || (c[f].present && (c[f].absent || list->op < 0)),
              "no problem of %s is with, or none without, %s", name, info->name);
        if (!(tensor || optional) || info->types[0] == '*') continue;
        uint64_t bit = 1;
        for (const char *t = info->types; *t; t += strspn(t, " "), bit <<= 1) {
            const size_t n = strcspn(t, " ");
            CHECK(c[f].types & bit, "no problem of %s has %s in %.*s", name, info->name, (int)n, t);
            t += n;
        }
    }
    for (uint32_t i = 0; i < list->n_flags; i++)
        CHECK(flags & list->flags[i].value, "no problem of %s has the flag %s", name,
              list->flags[i].name);
}

static inline void check_covered(const tenon_api *api) {
    const uint32_t quant = api->op_count();
    for (uint32_t op = 0; op < quant; op++)
        check_covered_list(api->op_info(op)->name, api->op_info(op), covered[op],
                           covered_flags[op]);
    check_covered_list("any operation", api->quant_info(), covered[quant], covered_flags[quant]);
}

#endif /* TENON_CONFIGURATION_COVERAGE_H */
