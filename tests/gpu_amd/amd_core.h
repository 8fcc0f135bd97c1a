/* SPDX-License-Identifier: Apache-2.0
 *
 * What every part of the interpreter shares: a decoded instruction, a wave, its workgroup.
 *
 * A table row (amd_opcode) gives a mnemonic its handler; the decoder makes an amd_instruction of
 * each line of the disassembly; amd_workgroup.c runs the handlers of one wave after the other.
 */
#ifndef AMD_CORE_H
#define AMD_CORE_H

#include "gpu_amd.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { AMD_LANES = 64, AMD_OPERANDS = 8, AMD_MAX_WAVES = 16, AMD_VECTOR_ROWS = 512 };
/* First row of the accumulation registers in a wave's register file. */
enum { AMD_ACCUMULATORS = 256 };
/* Scalar registers with a meaning of their own, by their number in the encoding. */
enum { AMD_VCC = 106, AMD_M0 = 124, AMD_EXEC = 126, AMD_SCALARS = 128 };

typedef enum amd_target { AMD_GFX90A, AMD_GFX942, AMD_GFX950 } amd_target;

typedef struct amd_wave amd_wave;
typedef struct amd_instruction amd_instruction;
typedef void (*amd_execute)(amd_wave *wave, const amd_instruction *inst);
/* One 32-bit value per lane. */
typedef uint32_t amd_row[AMD_LANES];

#define AMD_EACH_LANE(lane) for (int lane = 0; lane < AMD_LANES; lane++)

/* ---- a row of an instruction table ---- */

/* How a float constant in the text becomes bits, and which bit neg and abs mean. */
typedef enum amd_number { AMD_F32, AMD_F16, AMD_F64, AMD_BF16 } amd_number;

/* Modifiers that a row honours; any other one makes the instruction unknown. */
enum {
    AMD_MOD_SIGN = 1, /* neg and abs of float sources */
    AMD_MOD_CLAMP = 2,
    AMD_MOD_SCALE = 4, /* mul:2, mul:4, div:2 of the result */
    AMD_MOD_DPP = 8,
    AMD_MOD_SDWA = 16,
    AMD_MOD_HALF = 32,    /* op_sel picks the upper 16 bits of sources and result */
    AMD_MOD_PACKED = 64,  /* op_sel, op_sel_hi, neg_lo, neg_hi: the handler reads them */
    AMD_MOD_SELECT = 128, /* op_sel alone: the handler reads it */
    AMD_MOD_OFFSET = 256,
    AMD_MOD_OFFSETS = 512,     /* offset0, offset1 */
    AMD_MOD_CACHE = 1024,      /* sc0, sc1, nt, glc, slc: no meaning here but sc0 of atomics */
    AMD_MOD_BUFFER = 2048,     /* offen, idxen, lds */
    AMD_MOD_MATRIX = 4096,     /* cbsz, abid, blgp */
    AMD_MOD_TRUTH_TABLE = 8192 /* bitop3 */
};
enum {
    AMD_MODS_INTEGER = AMD_MOD_DPP | AMD_MOD_SDWA,
    AMD_MODS_FLOAT = AMD_MOD_SIGN | AMD_MOD_CLAMP | AMD_MOD_SCALE | AMD_MOD_DPP | AMD_MOD_SDWA
};

typedef struct amd_opcode {
    const char *name;
    amd_execute execute;
    uint8_t unit;         /* gpu_amd_class */
    uint8_t number;       /* amd_number */
    uint8_t destinations; /* leading operands that are written */
    uint16_t modifiers;
    int32_t detail; /* the handler's own */
} amd_opcode;

typedef struct amd_opcode_table {
    const amd_opcode *rows;
    size_t count;
} amd_opcode_table;

extern const amd_opcode_table amd_scalar_table, amd_scalar_memory_table, amd_vector_integer_table,
    amd_vector_float_table, amd_vector_half_table, amd_vector_double_table, amd_vector_packed_table,
    amd_vector_convert_table, amd_vector_lane_table, amd_compare_table, amd_scaled_convert_table,
    amd_matrix_table, amd_global_table, amd_buffer_table, amd_lds_table, amd_lds_exchange_table,
    amd_control_table;

/* NULL: no such mnemonic. */
const amd_opcode *amd_find_opcode(const char *name);

/* ---- a decoded instruction ---- */

typedef enum amd_operand_kind {
    AMD_NONE,
    AMD_VECTOR,
    AMD_SCALAR,
    AMD_CONSTANT,
    AMD_OFF,
    AMD_SCC
} amd_operand_kind;

typedef struct amd_operand {
    uint8_t kind, count; /* registers */
    bool negate, absolute, sign_extend;
    bool plain;     /* a vector register read as it is */
    bool is_float;  /* a constant written with a point */
    uint16_t first; /* row of the vector file, or number of the scalar */
    uint64_t
        value; /* of a constant; integers are sign-extended, floats have the row's number format */
} amd_operand;

typedef enum amd_select {
    AMD_BYTE_0,
    AMD_BYTE_1,
    AMD_BYTE_2,
    AMD_BYTE_3,
    AMD_WORD_0,
    AMD_WORD_1,
    AMD_DWORD
} amd_select;
typedef enum amd_unused { AMD_UNUSED_PAD, AMD_UNUSED_SEXT, AMD_UNUSED_PRESERVE } amd_unused;

struct amd_instruction {
    amd_execute execute;
    const amd_opcode *opcode;
    const char *text;    /* of the disassembly */
    const char *problem; /* why execute stops the run; NULL: it does not */
    uint64_t code_offset;
    amd_operand operand[AMD_OPERANDS];
    uint8_t operand_count, first_source;
    uint8_t size_bytes;
    bool plain_write; /* no DPP, SDWA, op_sel on the result */
    bool clamp;
    uint8_t result_scale; /* 1: times 2, 2: times 4, 3: halved */
    uint8_t op_sel, op_sel_hi, neg_lo, neg_hi;
    bool has_dpp, bound_control;
    uint16_t dpp_control;
    uint8_t row_mask, bank_mask;
    bool has_sdwa;
    uint8_t destination_select, destination_unused, source_select[2];
    int32_t offset;
    uint8_t offset0, offset1;
    bool sc0, offen, idxen, to_lds;
    uint8_t cbsz, abid, blgp, truth_table;
    uint16_t vector_top, accumulator_top, scalar_top; /* registers that it needs */
    int32_t target;                                   /* of a branch: index of an instruction */
    uint32_t immediate;                               /* waitcnt fields, hwreg, swizzle */
};

/* ---- memory ---- */

typedef struct amd_range {
    uintptr_t start, end;
    unsigned access;
    size_t first_line; /* in amd_memory's lines */
} amd_range;

enum { AMD_LINE_BYTES = 128 };

typedef struct amd_memory {
    const amd_range *ranges; /* sorted, disjoint */
    size_t count;
    uint64_t *read_lines, *written_lines; /* a bit for each line that was touched; atomic */
} amd_memory;

/* ---- loads on the way ---- */

typedef enum amd_queue { AMD_QUEUE_VECTOR, AMD_QUEUE_LDS, AMD_QUEUE_SCALAR } amd_queue;

/* An operation that was issued and not yet waited for. */
typedef struct amd_outstanding {
    const amd_instruction *inst;
    uint16_t first;      /* registers on the way; for AMD_QUEUE_SCALAR scalar ones */
    uint8_t count;       /* 0: a store */
    bool touches_lds;    /* then what follows says where */
    bool fills_lds;      /* a direct-to-LDS load */
    uint8_t touch, size; /* amd_touch; bytes of a lane */
    uint64_t lanes;
    amd_row address;
} amd_outstanding;

enum { AMD_VECTOR_LIMIT = 63, AMD_LGKM_LIMIT = 15 };

typedef struct amd_ring {
    amd_outstanding *entry; /* 64 of them */
    uint32_t head, count;
} amd_ring;

/* ---- a workgroup ---- */

/* Bank conflicts of an LDS instruction's latest address pattern. */
typedef struct amd_bank_pattern {
    uint64_t lanes;
    uint32_t place, size, cycles;
    bool valid;
    amd_row relative;
} amd_bank_pattern;

typedef struct amd_workgroup {
    const struct amd_launch_state *launch;
    uint32_t id[3];
    uint8_t *lds;
    uint32_t lds_bytes;
    uint64_t *shadow;  /* per dword of LDS: who touched it in which epoch (amd_race.c) */
    uint64_t *filling; /* per dword a bit: a direct-to-LDS load is still to come */
    uint32_t filling_loads;
    uint32_t epoch; /* barriers passed */
    uint32_t wave_count;
    uint64_t budget; /* instructions left */
    uint64_t random;
    gpu_amd_counters *counters;
    amd_bank_pattern *patterns; /* two per instruction */
    gpu_amd_fault *fault;
    jmp_buf escape;
    size_t recent_range; /* a guess that is right most of the time */
} amd_workgroup;

/* What all workgroups of a launch share, constant while it runs. */
typedef struct amd_launch_state {
    const gpu_amd_launch *request;
    const gpu_amd_kernel *kernel;
    const amd_instruction *program;
    size_t program_count;
    amd_target target;
    amd_memory memory;
    const uint8_t *arguments, *packet;
    uint64_t code_base; /* what s_getpc adds to a code offset */
    long entry;         /* index of the first instruction */
    uint32_t lds_bytes;
} amd_launch_state;

struct amd_wave {
    amd_row *vector;                   /* 256 VGPRs, then 256 accumulators */
    uint32_t scalar[AMD_SCALARS + 16]; /* some to spare, for operands of damaged code */
    const amd_instruction *current;
    uint32_t pc;
    bool scc, ended, at_barrier;
    bool flush_f32;     /* single-precision denormals are zero */
    uint32_t mode;      /* hardware register MODE */
    uint8_t index_mode; /* s_set_gpr_idx_on: 1 source 0, 8 destination */
    uint8_t index_register;
    uint16_t vector_limit, accumulator_limit;
    uint32_t number; /* in the workgroup */
    amd_target target;
    amd_workgroup *group;
    bool anything_pending;
    uint64_t vector_pending[AMD_VECTOR_ROWS / 64 + 1], scalar_pending[AMD_SCALARS / 64 + 1];
    amd_ring queue[3]; /* by amd_queue */
};

/* Ends the run with a fault of the current instruction; lane -1: all of them. */
_Noreturn void amd_stop(amd_wave *wave, gpu_amd_fault_kind kind, int lane, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static inline uint64_t amd_get64(const amd_wave *wave, int scalar) {
    return wave->scalar[scalar] | (uint64_t)wave->scalar[scalar + 1] << 32;
}

static inline void amd_set64(amd_wave *wave, int scalar, uint64_t value) {
    wave->scalar[scalar] = (uint32_t)value;
    wave->scalar[scalar + 1] = (uint32_t)(value >> 32);
}

static inline uint64_t amd_exec(const amd_wave *wave) {
    return amd_get64(wave, AMD_EXEC);
}

/* splitmix64 */
static inline uint64_t amd_random(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

#endif
