/* SPDX-License-Identifier: Apache-2.0
 *
 * How vector instructions read sources and write results. A source without modifiers is the
 * register itself; all else (constants, scalars, DPP, SDWA, op_sel, abs, neg) goes through
 * amd_prepare, which fills a scratch row.
 */
#ifndef AMD_VECTOR_H
#define AMD_VECTOR_H

#include "amd_core.h"
#include "amd_numbers.h"

const uint32_t *amd_prepare(amd_wave *wave, const amd_instruction *inst, int operand,
                            amd_row scratch);
/* Single-precision source when denormals are flushed. */
const uint32_t *amd_prepare_flushed(amd_wave *wave, const amd_instruction *inst, int operand,
                                    amd_row scratch);
/* Register number part of an operand of several registers; scalars and constants are spread. No
 * modifiers but neg and abs of f64. */
const uint32_t *amd_prepare_part(amd_wave *wave, const amd_instruction *inst, int operand, int part,
                                 amd_row scratch);
void amd_write_general(amd_wave *wave, const amd_instruction *inst, int operand, int part,
                       const amd_row result);
/* clamp, mul:2 .. and denormal flush of a single-precision result, in place. */
void amd_finish_float(const amd_wave *wave, const amd_instruction *inst, amd_row result);

/* Lanes that an instruction with DPP writes. */
uint64_t amd_dpp_lanes(const amd_wave *wave, const amd_instruction *inst);
/* Lane that a DPP control reads for a lane, -1: none. */
int amd_dpp_source(uint32_t control, int lane);

static inline const uint32_t *amd_source(amd_wave *wave, const amd_instruction *inst, int operand,
                                         amd_row scratch) {
    const amd_operand *source = &inst->operand[operand];
    return source->plain ? wave->vector[source->first] : amd_prepare(wave, inst, operand, scratch);
}

static inline const uint32_t *amd_source_f32(amd_wave *wave, const amd_instruction *inst,
                                             int operand, amd_row scratch) {
    if (wave->flush_f32) return amd_prepare_flushed(wave, inst, operand, scratch);
    return amd_source(wave, inst, operand, scratch);
}

/* row[lane] = result[lane] in the given lanes. */
void amd_blend(uint32_t *row, const amd_row result, uint64_t lanes);

static inline void amd_write_part(amd_wave *wave, const amd_instruction *inst, int operand,
                                  int part, const amd_row result) {
    if (inst->plain_write && amd_exec(wave) == ~(uint64_t)0)
        memmove(wave->vector[inst->operand[operand].first + part], result, sizeof(amd_row));
    else
        amd_write_general(wave, inst, operand, part, result);
}

static inline void amd_write(amd_wave *wave, const amd_instruction *inst, const amd_row result) {
    amd_write_part(wave, inst, 0, 0, result);
}

static inline void amd_write_f32(amd_wave *wave, const amd_instruction *inst, amd_row result) {
    if (wave->flush_f32 || inst->clamp || inst->result_scale) amd_finish_float(wave, inst, result);
    amd_write_part(wave, inst, 0, 0, result);
}

typedef uint64_t amd_row64[AMD_LANES];

/* A 64-bit source; f64 takes neg and abs. */
void amd_source64(amd_wave *wave, const amd_instruction *inst, int operand, amd_row64 out);
void amd_write64(amd_wave *wave, const amd_instruction *inst, int operand, const amd_row64 result);

/* Bit per lane of a row of truth values (0 or 1 each). */
static inline uint64_t amd_gather_bits(const uint8_t truth[AMD_LANES]) {
    uint64_t bits = 0;
    for (int group = 0; group < 8; group++) {
        uint64_t eight;
        memcpy(&eight, truth + 8 * group, 8);
        bits |= (eight * 0x0102040810204080u >> 56) << 8 * group;
    }
    return bits;
}

/* ---- scalars ---- */

static inline uint32_t amd_scalar(const amd_wave *wave, const amd_instruction *inst, int operand) {
    const amd_operand *source = &inst->operand[operand];
    if (source->kind == AMD_SCALAR) return wave->scalar[source->first];
    return source->kind == AMD_SCC ? wave->scc : (uint32_t)source->value;
}

static inline uint64_t amd_scalar64(const amd_wave *wave, const amd_instruction *inst,
                                    int operand) {
    const amd_operand *source = &inst->operand[operand];
    return source->kind == AMD_SCALAR ? amd_get64(wave, source->first)
           : source->kind == AMD_SCC  ? wave->scc
                                      : source->value;
}

#endif
