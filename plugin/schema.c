/* SPDX-License-Identifier: Apache-2.0 */
#include "schema.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor.h"

/* ---- choices, by the name that a field's types column gives ---- */
#define CHOICE(name, value, doc) {#name, value, doc},
static const tenon_choice_info format_choices[] = {TENON_FORMAT_LIST(CHOICE)};
static const tenon_choice_info element_choices[] = {TENON_ELEMENT_LIST(CHOICE)};
static const tenon_choice_info scale_layout_choices[] = {TENON_SCALE_LAYOUT_LIST(CHOICE)};
static const tenon_choice_info scale_rounding_choices[] = {TENON_SCALE_ROUNDING_LIST(CHOICE)};
static const tenon_choice_info compute_choices[] = {TENON_COMPUTE_LIST(CHOICE)};
static const tenon_choice_info activation_choices[] = {TENON_ACTIVATION_LIST(CHOICE)};
static const tenon_choice_info gate_layout_choices[] = {TENON_GATE_LAYOUT_LIST(CHOICE)};
static const tenon_choice_info scoring_choices[] = {TENON_SCORING_LIST(CHOICE)};
static const tenon_choice_info group_score_choices[] = {TENON_GROUP_SCORE_LIST(CHOICE)};
static const tenon_choice_info mla_cache_choices[] = {TENON_MLA_CACHE_LIST(CHOICE)};

#define CHOICES(name) {#name, name##_choices, sizeof name##_choices / sizeof name##_choices[0]}
static const struct {
    const char *name;
    const tenon_choice_info *choices;
    uint32_t count;
} choice_sets[] = {
    CHOICES(format),      CHOICES(element),    CHOICES(scale_layout), CHOICES(scale_rounding),
    CHOICES(compute),     CHOICES(activation), CHOICES(gate_layout),  CHOICES(scoring),
    CHOICES(group_score), CHOICES(mla_cache),
};

/* ---- the lists, once as field tables and once as layout checks ---- */
#define SIZE_in        sizeof(void *)
#define SIZE_opt_in    sizeof(void *)
#define SIZE_out       sizeof(void *)
#define SIZE_opt_out   sizeof(void *)
#define SIZE_inout     sizeof(void *)
#define SIZE_opt_inout sizeof(void *)
#define SIZE_quant     sizeof(void *)
#define SIZE_i32       4
#define SIZE_i64       8
#define SIZE_f32       4
#define SIZE_choice    4
#define FIELD(STRUCT, kind, name, types, shape, doc)                                               \
    {#name, #kind, offsetof(STRUCT, name), SIZE_##kind, types, shape, doc, NULL, 0, 0},

#define FIELD_attention(k, n, t, s, d)      FIELD(tenon_attention_args, k, n, t, s, d)
#define FIELD_mla_attention(k, n, t, s, d)  FIELD(tenon_mla_attention_args, k, n, t, s, d)
#define FIELD_kv_append(k, n, t, s, d)      FIELD(tenon_kv_append_args, k, n, t, s, d)
#define FIELD_mla_append(k, n, t, s, d)     FIELD(tenon_mla_append_args, k, n, t, s, d)
#define FIELD_kv_gather(k, n, t, s, d)      FIELD(tenon_kv_gather_args, k, n, t, s, d)
#define FIELD_merge_states(k, n, t, s, d)   FIELD(tenon_merge_states_args, k, n, t, s, d)
#define FIELD_moe_route(k, n, t, s, d)      FIELD(tenon_moe_route_args, k, n, t, s, d)
#define FIELD_moe_dispatch(k, n, t, s, d)   FIELD(tenon_moe_dispatch_args, k, n, t, s, d)
#define FIELD_moe_matmul(k, n, t, s, d)     FIELD(tenon_moe_matmul_args, k, n, t, s, d)
#define FIELD_moe_combine(k, n, t, s, d)    FIELD(tenon_moe_combine_args, k, n, t, s, d)
#define FIELD_moe(k, n, t, s, d)            FIELD(tenon_moe_args, k, n, t, s, d)
#define FIELD_matmul(k, n, t, s, d)         FIELD(tenon_matmul_args, k, n, t, s, d)
#define FIELD_pack_weights(k, n, t, s, d)   FIELD(tenon_pack_weights_args, k, n, t, s, d)
#define FIELD_unpack_weights(k, n, t, s, d) FIELD(tenon_unpack_weights_args, k, n, t, s, d)
#define FIELD_quantize(k, n, t, s, d)       FIELD(tenon_quantize_args, k, n, t, s, d)
#define FIELD_dequantize(k, n, t, s, d)     FIELD(tenon_dequantize_args, k, n, t, s, d)
#define FIELD_quant_struct(k, n, t, s, d)   FIELD(tenon_quant, k, n, t, s, d)

/* The last entry keeps a list without flags from being an empty array. */
#define FLAG(name, bit, doc) {#name, 1u << bit, 0, doc},
#define TABLES(op, OP, number, doc)                                                                \
    static tenon_field_info op##_fields[] = {TENON_##OP##_FIELDS(FIELD_##op)};                     \
    static const tenon_flag_info op##_flags[] = {TENON_##OP##_FLAGS(FLAG){NULL, 0, 0, NULL}};      \
    _Static_assert(sizeof(tenon_##op##_args) <= TENON_MAX_ARGS_BYTES, "args struct of " #op);
TENON_OP_LIST(TABLES)
static tenon_field_info quant_fields[] = {TENON_QUANT_FIELDS(FIELD_quant_struct)};
static const tenon_flag_info quant_flags[] = {TENON_QUANT_FLAGS(FLAG){NULL, 0, 0, NULL}};

static tenon_schema schemas[TENON_OP_COUNT];
static tenon_op_info quant_schema;
static tenon_field_code quant_codes[sizeof quant_fields / sizeof quant_fields[0]];
static pthread_once_t build_once = PTHREAD_ONCE_INIT;

/* A list that cannot be compiled is a defect of the library, found by the first test that runs;
 * there is nothing to return it to. */
static void defect(const char *op, const char *field, const char *what) {
    fprintf(stderr, "tenon: field list of %s: %s: %s\n", op, field, what);
    abort();
}

static int8_t symbol_index(tenon_schema *s, const char *name, size_t length, const char *field) {
    for (int i = 0; i < s->n_symbols; i++)
        if (strlen(s->symbols[i]) == length && !memcmp(s->symbols[i], name, length))
            return (int8_t)i;
    if (s->n_symbols == TENON_MAX_SYMBOLS || length >= sizeof s->symbols[0])
        defect(s->info.name, field, "too many or too long symbols");
    memcpy(s->symbols[s->n_symbols], name, length);
    return (int8_t)s->n_symbols++;
}

/* One extent, up to ',' or ']': "*", "1", "name", "~name", "~name+1". */
static const char *parse_dim(tenon_schema *s, const char *p, tenon_dim_rule *dim,
                             const char *field) {
    while (*p == ' ') p++;
    if (*p == '~') dim->bound = true, p++;
    if (*p == '*') {
        dim->symbol = TENON_DIM_ANY;
        p++;
    } else if (*p >= '0' && *p <= '9') {
        dim->symbol = TENON_DIM_LITERAL;
        dim->add = (int16_t)strtol(p, (char **)&p, 10);
    } else {
        size_t length = strcspn(p, "+,] ");
        dim->symbol = symbol_index(s, p, length, field);
        p += length;
        if (*p == '+') dim->add = (int16_t)strtol(p + 1, (char **)&p, 10);
    }
    while (*p == ' ') p++;
    if (*p != ',' && *p != ']') defect(s->info.name, field, "bad extent in shape");
    return p;
}

static void parse_shapes(tenon_schema *s, tenon_slot_rule *slot, const char *text,
                         const char *field) {
    if (!strcmp(text, "*")) {
        slot->any_shape = true;
        return;
    }
    const char *p = text;
    for (;;) {
        while (*p == ' ') p++;
        if (*p != '[' || slot->n_shapes == TENON_MAX_SHAPES)
            defect(s->info.name, field, "bad shape");
        tenon_shape_rule *shape = &slot->shapes[slot->n_shapes++];
        do {
            if (shape->ndim == TENON_MAX_RULE_NDIM)
                defect(s->info.name, field, "too many dimensions");
            p = parse_dim(s, p + 1, &shape->dim[shape->ndim++], field);
        } while (*p == ',');
        p++;
        if (*p == 's') shape->strided = true, p++;
        while (*p == ' ') p++;
        if (!*p) return;
        if (*p++ != '|') defect(s->info.name, field, "bad shape");
    }
}

static uint32_t parse_types(const char *op, const char *field, const char *text) {
    uint32_t mask = 0;
    if (!strcmp(text, "*")) return 0;
    for (const char *p = text; *p; p += strspn(p, " ")) {
        size_t length = strcspn(p, " ");
        int type = tenon_type_by_name(p, length);
        if (type < 0) defect(op, field, "unknown element type");
        mask |= 1u << type;
        p += length;
    }
    return mask;
}

static void add_slot(tenon_schema *s, const tenon_field_info *f, uint16_t field, int16_t member,
                     uint16_t offset, uint16_t member_offset, bool written) {
    if (s->n_slots == TENON_MAX_SLOTS) defect(s->info.name, f->name, "too many tensors");
    tenon_slot_rule *slot = &s->slots[s->n_slots++];
    slot->field = field;
    slot->member = member;
    slot->offset = offset;
    slot->member_offset = member_offset;
    slot->required = strncmp(f->kind, "opt_", 4) != 0;
    slot->written = written;
    slot->types = parse_types(s->info.name, f->name, f->types);
    parse_shapes(s, slot, f->shape, f->name);
}

static bool kind_writes(const char *kind) {
    return strstr(kind, "out") != NULL;
}

/* quantize and moe_dispatch write the scale and zero point of the descriptor of what they write;
 * unpack_weights writes all its tensors. */
static bool quant_member_written(const char *op, const char *field, const char *member) {
    bool scales = !strcmp(member, "scale") || !strcmp(member, "zero_point");
    if (!strcmp(op, "quantize") || (!strcmp(op, "moe_dispatch") && !strcmp(field, "x_out_quant")))
        return scales;
    return !strcmp(op, "unpack_weights");
}

static tenon_field_code code_of(const tenon_field_info *f) {
    static const uint8_t whole[] = {[TENON_STORE_TENSOR] = TENON_VALUE_TENSOR,
                                    [TENON_STORE_QUANT] = TENON_VALUE_POINTER,
                                    [TENON_STORE_I32] = TENON_NO_WHOLE,
                                    [TENON_STORE_I64] = TENON_VALUE_INT,
                                    [TENON_STORE_F32] = TENON_NO_WHOLE};
    tenon_field_code code = {(uint16_t)f->offset_bytes, TENON_STORE_TENSOR, 0, 0};
    if (!strcmp(f->kind, "quant")) code.store = TENON_STORE_QUANT;
    if (!strcmp(f->kind, "i32") || !strcmp(f->kind, "choice")) code.store = TENON_STORE_I32;
    if (!strcmp(f->kind, "i64")) code.store = TENON_STORE_I64;
    if (!strcmp(f->kind, "f32")) code.store = TENON_STORE_F32;
    code.whole = whole[code.store];
    return code;
}

static void add_range(tenon_schema *s, const tenon_field_info *f) {
    tenon_range *last = s->n_ranges ? &s->ranges[s->n_ranges - 1] : NULL;
    if (last && last->offset + last->bytes == f->offset_bytes) {
        last->bytes = (uint16_t)(last->bytes + f->size_bytes);
        return;
    }
    if (s->n_ranges == TENON_MAX_RANGES)
        defect(s->info.name, f->name, "too many ranges of scalars");
    s->ranges[s->n_ranges++] = (tenon_range){(uint16_t)f->offset_bytes, (uint16_t)f->size_bytes};
}

static void set_choices(const char *op, tenon_field_info *f) {
    for (size_t i = 0; i < sizeof choice_sets / sizeof choice_sets[0]; i++)
        if (!strcmp(choice_sets[i].name, f->types)) {
            f->choices = choice_sets[i].choices;
            f->n_choices = choice_sets[i].count;
            return;
        }
    defect(op, f->name, "unknown enumeration");
}

/* Tail padding would let a field be appended without a change of sizeof: a short struct could then
 * not be told from a full one. */
static void check_no_padding(const tenon_op_info *info, size_t head_bytes) {
    size_t end = head_bytes;
    for (uint32_t i = 0; i < info->n_fields; i++) {
        if (info->fields[i].offset_bytes != end)
            defect(info->name, info->fields[i].name, "padding before the field");
        end += info->fields[i].size_bytes;
    }
    if (end != info->args_size_bytes) defect(info->name, "(end)", "padding after the last field");
}

static void compile(tenon_schema *s, tenon_field_info *fields) {
    const tenon_op_info *info = &s->info;
    check_no_padding(info, offsetof(tenon_merge_states_args, partial_out));
    for (uint32_t i = 0; i < info->n_flags; i++) s->known_flags |= info->flags[i].value;
    for (uint32_t i = 0; i < info->n_fields; i++) {
        tenon_field_info *f = &fields[i];
        if (i == TENON_MAX_FIELDS) defect(info->name, f->name, "too many fields");
        s->code[i] = code_of(f);
        s->code[i].quant = (uint8_t)s->n_quants;
        if (!strcmp(f->kind, "choice")) set_choices(info->name, f);
        if (!strcmp(f->kind, "quant")) {
            if (s->n_quants == TENON_MAX_QUANTS)
                defect(info->name, f->name, "too many quant fields");
            s->quant_offset[s->n_quants] = (uint16_t)f->offset_bytes;
            s->quant_field[s->n_quants++] = (uint16_t)i;
            for (uint32_t m = 0; m < quant_schema.n_fields; m++)
                if (!strcmp(quant_fields[m].kind, "opt_in"))
                    add_slot(s, &quant_fields[m], (uint16_t)i, (int16_t)m,
                             (uint16_t)f->offset_bytes, (uint16_t)quant_fields[m].offset_bytes,
                             quant_member_written(info->name, f->name, quant_fields[m].name));
        } else if (f->size_bytes == sizeof(void *) && strcmp(f->kind, "i64")) {
            add_slot(s, f, (uint16_t)i, -1, (uint16_t)f->offset_bytes, 0, kind_writes(f->kind));
        } else {
            add_range(s, f);
        }
    }
}

static void build(void) {
    quant_schema = (tenon_op_info){sizeof quant_schema,
                                   -1,
                                   "quant",
                                   "quantization descriptor beside a tensor",
                                   sizeof(tenon_quant),
                                   sizeof quant_fields / sizeof quant_fields[0],
                                   quant_fields,
                                   quant_flags,
                                   sizeof quant_flags / sizeof quant_flags[0] - 1,
                                   0};
    check_no_padding(&quant_schema, offsetof(tenon_quant, format));
    for (uint32_t i = 0; i < quant_schema.n_fields; i++) {
        quant_codes[i] = code_of(&quant_fields[i]);
        if (!strcmp(quant_fields[i].kind, "choice")) set_choices("quant", &quant_fields[i]);
    }
#define BUILD(op, OP, number, doc)                                                                 \
    schemas[number].info = (tenon_op_info){sizeof(tenon_op_info),                                  \
                                           number,                                                 \
                                           #op,                                                    \
                                           doc,                                                    \
                                           sizeof(tenon_##op##_args),                              \
                                           sizeof op##_fields / sizeof op##_fields[0],             \
                                           op##_fields,                                            \
                                           op##_flags,                                             \
                                           sizeof op##_flags / sizeof op##_flags[0] - 1,           \
                                           0};                                                     \
    compile(&schemas[number], op##_fields);
    TENON_OP_LIST(BUILD)
}

const tenon_schema *tenon_schema_of(int32_t op) {
    pthread_once(&build_once, build);
    return &schemas[op];
}

const tenon_op_info *tenon_quant_schema(void) {
    pthread_once(&build_once, build);
    return &quant_schema;
}

const tenon_field_code *tenon_quant_codes(void) {
    return quant_codes;
}

int32_t tenon_op_by_name(const char *name) {
    for (int32_t op = 0; op < TENON_OP_COUNT; op++)
        if (!strcmp(tenon_schema_of(op)->info.name, name)) return op;
    return -1;
}
