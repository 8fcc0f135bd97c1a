/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs compiled AMD code objects (gfx90a, gfx942, gfx950) on the CPU, instruction by instruction,
 * and reports what hardware would leave silent: a wait that is missing, an access out of bounds, a
 * race in LDS.
 *
 *   gpu_amd_device *device = gpu_amd_open("gfx942");
 *   gpu_amd_module *module = gpu_amd_load(device, image, bytes, text, sizeof text);
 *   gpu_amd_register(device, buffer, bytes, GPU_AMD_READ | GPU_AMD_WRITE);
 *   gpu_amd_launch launch = {.grid = {8, 1, 1}, .block = {256, 1, 1}, .arguments = &arguments};
 *   gpu_amd_fault fault;
 *   gpu_amd_kernel *kernel = gpu_amd_find_kernel(module, "saxpy");
 *   if (!gpu_amd_run(kernel, &launch, &fault)) puts(fault.text);
 *
 * Device memory is the host's: an address in a kernel argument is a host pointer, and only ranges
 * that were registered may be touched. Calls on one device may come from several threads; a range
 * must not be unregistered while a kernel runs. Nothing here prints or ends the process.
 */
#ifndef GPU_AMD_H
#define GPU_AMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gpu_amd_device gpu_amd_device;
typedef struct gpu_amd_module gpu_amd_module;
typedef struct gpu_amd_kernel gpu_amd_kernel;

/* ---- a device: one target, its memory ---- */

/* target: "gfx90a", "gfx942" or "gfx950", anything after a ':' is ignored. NULL for another one, or
 * no memory. */
gpu_amd_device *gpu_amd_open(const char *target);
/* Frees the device; its modules must be unloaded before. NULL is accepted. */
void gpu_amd_close(gpu_amd_device *device);
const char *gpu_amd_target(const gpu_amd_device *device);

enum { GPU_AMD_READ = 1, GPU_AMD_WRITE = 2 };

/* Lets kernels touch [start, start + bytes). False: bytes is 0, the range overlaps a registered
 * one, or no memory. */
bool gpu_amd_register(gpu_amd_device *device, const void *start, size_t bytes, unsigned access);
/* start as it was registered. False: there is no such range. */
bool gpu_amd_unregister(gpu_amd_device *device, const void *start);
/* Fills memory with what fresh memory holds: a pattern that is NaN in every float format. */
void gpu_amd_poison(void *start, size_t bytes);

/* ---- a module: one code object ---- */

/* Size of the ELF file that begins at image, from its headers; for interfaces that pass a pointer
 * alone. 0: no ELF. */
size_t gpu_amd_image_bytes(const void *image);
/* Copies, checks and decodes a code object. NULL with the reason in text: damaged file, other
 * target, no disassembler. An instruction that is unknown is no reason: it stops the launch that
 * reaches it. */
gpu_amd_module *gpu_amd_load(gpu_amd_device *device, const void *image, size_t bytes, char *text,
                             size_t text_bytes);
void gpu_amd_unload(gpu_amd_module *module);

size_t gpu_amd_kernel_count(const gpu_amd_module *module);
gpu_amd_kernel *gpu_amd_kernel_at(gpu_amd_module *module, size_t index);
/* NULL: no kernel of this name. */
gpu_amd_kernel *gpu_amd_find_kernel(gpu_amd_module *module, const char *name);
/* Address of a global variable of the module in device memory, NULL: none. */
void *gpu_amd_find_global(gpu_amd_module *module, const char *name, size_t *bytes);

typedef struct gpu_amd_kernel_info {
    const char *name;
    uint32_t argument_bytes; /* kernarg segment, hidden arguments included */
    uint32_t explicit_bytes; /* what the caller passes; the interpreter fills the hidden rest */
    uint32_t lds_bytes;      /* static */
    uint32_t scratch_bytes;  /* per lane; a kernel with scratch is refused at launch */
    uint32_t vgprs, agprs;   /* of a lane; on these targets they share one file of 512 */
    uint32_t sgprs;
    uint32_t vgpr_spills, sgpr_spills;
    uint32_t max_block_threads;
} gpu_amd_kernel_info;

const gpu_amd_kernel_info *gpu_amd_info(const gpu_amd_kernel *kernel);
/* Waves on one SIMD (of 8) that registers and LDS let run at once; 0: the block does not fit at
 * all. */
unsigned gpu_amd_occupancy(const gpu_amd_kernel *kernel, uint32_t block_threads,
                           uint32_t dynamic_lds_bytes);

/* ---- a launch ---- */

typedef enum gpu_amd_fault_kind {
    GPU_AMD_NO_FAULT,
    GPU_AMD_BAD_LAUNCH, /* sizes that the kernel or the target cannot take, scratch, no memory */
    GPU_AMD_UNKNOWN_INSTRUCTION, /* mnemonic, operand, modifier or register that is not implemented
                                  */
    GPU_AMD_PENDING_REGISTER,    /* a register whose load has not been waited for is read or
                                    overwritten */
    GPU_AMD_PENDING_LDS,   /* LDS bytes that a direct-to-LDS load is still to fill are touched */
    GPU_AMD_GLOBAL_BOUNDS, /* an address outside the registered ranges, or a store to a read-only
                              one */
    GPU_AMD_LDS_BOUNDS,
    GPU_AMD_MISALIGNED,     /* an atomic; loads and stores may be, and are counted */
    GPU_AMD_LDS_RACE,       /* two waves touch a byte, one writes, no barrier between them */
    GPU_AMD_REGISTER_RANGE, /* a register beyond what the kernel descriptor allocates */
    GPU_AMD_NO_CODE,        /* the program counter left the code */
    GPU_AMD_TRAP,
    GPU_AMD_HUNG /* more instructions than the launch allows */
} gpu_amd_fault_kind;

typedef struct gpu_amd_fault {
    gpu_amd_fault_kind kind;
    uint32_t workgroup[3], wave; /* where; lane is -1 when the whole wave is meant */
    int32_t lane;
    uint64_t code_offset; /* of the instruction, as llvm-objdump prints it */
    char text[512];       /* all of it in words, the instruction's text included */
} gpu_amd_fault;

typedef enum gpu_amd_class {
    GPU_AMD_SCALAR,
    GPU_AMD_SCALAR_MEMORY,
    GPU_AMD_VECTOR,
    GPU_AMD_TRANSCENDENTAL, /* quarter rate: exp, log, rcp, rsq, sqrt, sin, cos */
    GPU_AMD_MATRIX,
    GPU_AMD_GLOBAL_LOAD,
    GPU_AMD_GLOBAL_STORE,
    GPU_AMD_GLOBAL_ATOMIC,
    GPU_AMD_GLOBAL_TO_LDS,
    GPU_AMD_LDS,
    GPU_AMD_BRANCH,
    GPU_AMD_WAIT,
    GPU_AMD_BARRIER,
    GPU_AMD_OTHER, /* nop, priority, cache control */
    GPU_AMD_CLASSES
} gpu_amd_class;

typedef enum gpu_amd_matrix_type {
    GPU_AMD_MATRIX_F32,
    GPU_AMD_MATRIX_F16,
    GPU_AMD_MATRIX_BF16,
    GPU_AMD_MATRIX_I8,
    GPU_AMD_MATRIX_F8,   /* every FP8 and BF8 form, the f8f6f4 instruction with an 8-bit operand
                            included */
    GPU_AMD_MATRIX_F6F4, /* the f8f6f4 instruction without an 8-bit operand */
    GPU_AMD_MATRIX_TYPES
} gpu_amd_matrix_type;

typedef struct gpu_amd_counters {
    uint64_t launches, workgroups, waves;
    uint64_t instructions[GPU_AMD_CLASSES];     /* of waves */
    uint64_t matrix_flop[GPU_AMD_MATRIX_TYPES]; /* 2 M N K of every matrix instruction; integer ones
                                                   too */
    uint64_t global_accesses;                   /* instructions with at least one active lane */
    uint64_t global_read_bytes, global_written_bytes; /* of active lanes */
    uint64_t global_segments; /* 128-byte lines touched, summed over the accesses */
    uint64_t global_half_segments; /* the same in halves of 64 bytes */
    /* 128-byte lines that a launch touched at all: what memory moves if every line stays in the
     * caches until the launch ends. Scalar loads and arguments included. */
    uint64_t global_read_lines, global_written_lines;
    uint64_t scalar_read_bytes;
    uint64_t global_misaligned,
        lds_misaligned; /* accesses with a lane off its own size (4 bytes at most) */
    uint64_t lds_accesses, lds_bytes;
    uint64_t lds_cycles, lds_cycles_ideal; /* their quotient is the bank-conflict factor */
} gpu_amd_counters;

typedef struct gpu_amd_launch {
    uint32_t grid[3];  /* in workgroups */
    uint32_t block[3]; /* in threads */
    uint32_t dynamic_lds_bytes;
    const void
        *arguments; /* laid out as the kernel's argument segment; hidden arguments are filled in */
    size_t argument_bytes;
    uint64_t
        seed; /* order of workgroups and waves; the same seed gives the same run on one thread */
    uint32_t threads;           /* of the host; 0: one per core */
    uint64_t instruction_limit; /* of one workgroup's waves together; 0: 2^32 */
    gpu_amd_counters *counters; /* NULL, or added to */
} gpu_amd_launch;

/* Runs all workgroups. False: fault says what and where (fault may be NULL); memory holds what was
 * written until then. */
bool gpu_amd_run(gpu_amd_kernel *kernel, const gpu_amd_launch *launch, gpu_amd_fault *fault);

/* What all launches of this kernel counted since it was loaded or reset. */
void gpu_amd_get_counters(const gpu_amd_kernel *kernel, gpu_amd_counters *out);
void gpu_amd_reset_counters(gpu_amd_kernel *kernel);
void gpu_amd_add_counters(gpu_amd_counters *sum, const gpu_amd_counters *more);
const char *gpu_amd_class_name(gpu_amd_class instruction_class);
const char *gpu_amd_fault_name(gpu_amd_fault_kind kind);

/* ---- what the interpreter knows of the hardware ---- */

/* A fact that rests on fewer than two sources: what, for which instructions, and what it rests on.
 */
typedef struct gpu_amd_unconfirmed {
    const char *instructions, *fact, *source;
} gpu_amd_unconfirmed;

const gpu_amd_unconfirmed *gpu_amd_unconfirmed_facts(size_t *count);
/* Mnemonics with an implementation, for the documentation and for gates. */
size_t gpu_amd_instruction_count(void);
const char *gpu_amd_instruction_name(size_t index);

#ifdef __cplusplus
}
#endif

#endif
