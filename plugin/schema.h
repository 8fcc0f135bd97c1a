/* SPDX-License-Identifier: Apache-2.0 */
/* The field lists of abi/, compiled into tables: what the API shows (tenon_op_info) and what
 * validation reads (slots, shapes). */
#ifndef TENON_SCHEMA_H
#define TENON_SCHEMA_H

#include <stdbool.h>

#include "tenon.h"

enum {
    TENON_MAX_SLOTS = 40,   /* tensors of one operation, members of quant fields included */
    TENON_MAX_SYMBOLS = 32, /* names of extents in one operation */
    TENON_MAX_NDIM = 8,
    TENON_MAX_RULE_NDIM = 6,
    TENON_MAX_SHAPES = 3,
    TENON_MAX_RANGES = 4,
    TENON_MAX_QUANTS = 4,
    TENON_MAX_FIELDS = 40,
    TENON_MAX_ARGS_BYTES = 512
};

/* One extent of a shape rule: symbol + add; or the literal `add` if symbol is TENON_DIM_LITERAL; or
 * anything. */
enum { TENON_DIM_ANY = -1, TENON_DIM_LITERAL = -2 };
typedef struct tenon_dim_rule {
    int8_t symbol;
    bool bound; /* a run may have less than the plan */
    int16_t add;
} tenon_dim_rule;

typedef struct tenon_shape_rule {
    uint8_t ndim;
    bool strided; /* the last dimension need not be contiguous */
    tenon_dim_rule dim[TENON_MAX_RULE_NDIM];
} tenon_shape_rule;

/* One tensor of an operation: a field, or a member of a quant field. */
typedef struct tenon_slot_rule {
    uint16_t field;
    int16_t member;         /* index in TENON_QUANT_FIELDS, or -1 */
    uint16_t offset;        /* of the pointer in the args struct */
    uint16_t member_offset; /* of the pointer in tenon_quant, if member >= 0 */
    bool required;
    bool written;
    bool any_shape;
    uint8_t n_shapes;
    uint32_t types; /* mask of TENON_TYPE_*; 0: any */
    tenon_shape_rule shapes[TENON_MAX_SHAPES];
} tenon_slot_rule;

typedef struct tenon_range {
    uint16_t offset, bytes;
} tenon_range;

/* A field as a packed call stores to it. */
enum { TENON_STORE_TENSOR, TENON_STORE_QUANT, TENON_STORE_I32, TENON_STORE_I64, TENON_STORE_F32, TENON_NO_WHOLE = 255 };
typedef struct tenon_field_code {
    uint16_t offset;
    uint8_t store; /* TENON_STORE_* */
    uint8_t quant; /* of a quant field: which of the operation's descriptors */
    uint8_t whole; /* TENON_VALUE_* whose 8 bytes are the field's; TENON_NO_WHOLE: none is */
} tenon_field_code;

typedef struct tenon_schema {
    tenon_op_info info;
    uint32_t known_flags;
    uint16_t n_slots, n_symbols, n_ranges, n_quants;
    tenon_slot_rule slots[TENON_MAX_SLOTS];
    char symbols[TENON_MAX_SYMBOLS][20];
    tenon_range ranges[TENON_MAX_RANGES]; /* scalar fields, without padding between */
    uint16_t quant_offset[TENON_MAX_QUANTS];
    uint16_t quant_field[TENON_MAX_QUANTS];
    tenon_field_code code[TENON_MAX_FIELDS];
} tenon_schema;

/* Built on first use, then constant. op must be in [0, TENON_OP_COUNT). */
const tenon_schema *tenon_schema_of(int32_t op);
const tenon_op_info *tenon_quant_schema(void);
/* The members of tenon_quant, in the order of its list; for callers that have a schema already. */
const tenon_field_code *tenon_quant_codes(void);
/* Number of the operation of that name, or -1. */
int32_t tenon_op_by_name(const char *name);

/* Indices of fields:  TENON_FIELD(attention, q). */
#define TENON_FIELD(op, name) (TENON_FIELD_INDEX_##op##_##name)

#define TENON_FIELD_ENUM_attention(kind, name, types, shape, doc)                                  \
    TENON_FIELD_INDEX_attention_##name,
#define TENON_FIELD_ENUM_mla_attention(kind, name, types, shape, doc)                              \
    TENON_FIELD_INDEX_mla_attention_##name,
#define TENON_FIELD_ENUM_kv_append(kind, name, types, shape, doc)                                  \
    TENON_FIELD_INDEX_kv_append_##name,
#define TENON_FIELD_ENUM_mla_append(kind, name, types, shape, doc)                                 \
    TENON_FIELD_INDEX_mla_append_##name,
#define TENON_FIELD_ENUM_kv_gather(kind, name, types, shape, doc)                                  \
    TENON_FIELD_INDEX_kv_gather_##name,
#define TENON_FIELD_ENUM_merge_states(kind, name, types, shape, doc)                               \
    TENON_FIELD_INDEX_merge_states_##name,
#define TENON_FIELD_ENUM_moe_route(kind, name, types, shape, doc)                                  \
    TENON_FIELD_INDEX_moe_route_##name,
#define TENON_FIELD_ENUM_moe_dispatch(kind, name, types, shape, doc)                               \
    TENON_FIELD_INDEX_moe_dispatch_##name,
#define TENON_FIELD_ENUM_moe_matmul(kind, name, types, shape, doc)                                 \
    TENON_FIELD_INDEX_moe_matmul_##name,
#define TENON_FIELD_ENUM_moe_combine(kind, name, types, shape, doc)                                \
    TENON_FIELD_INDEX_moe_combine_##name,
#define TENON_FIELD_ENUM_moe(kind, name, types, shape, doc)    TENON_FIELD_INDEX_moe_##name,
#define TENON_FIELD_ENUM_matmul(kind, name, types, shape, doc) TENON_FIELD_INDEX_matmul_##name,
#define TENON_FIELD_ENUM_pack_weights(kind, name, types, shape, doc)                               \
    TENON_FIELD_INDEX_pack_weights_##name,
#define TENON_FIELD_ENUM_unpack_weights(kind, name, types, shape, doc)                             \
    TENON_FIELD_INDEX_unpack_weights_##name,
#define TENON_FIELD_ENUM_quantize(kind, name, types, shape, doc) TENON_FIELD_INDEX_quantize_##name,
#define TENON_FIELD_ENUM_dequantize(kind, name, types, shape, doc)                                 \
    TENON_FIELD_INDEX_dequantize_##name,
#define TENON_FIELD_INDICES(op, OP, number, doc)                                                   \
    enum { TENON_##OP##_FIELDS(TENON_FIELD_ENUM_##op) TENON_FIELD_COUNT_##op };
TENON_OP_LIST(TENON_FIELD_INDICES)

#endif /* TENON_SCHEMA_H */
