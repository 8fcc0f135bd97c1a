/* SPDX-License-Identifier: Apache-2.0 */
/* The tensor view of DLPack 1.3 (github.com/dmlc/dlpack), as far as Tenon needs it.
 *
 * If the host has included its own <dlpack/dlpack.h>, that one wins; define TENON_USE_SYSTEM_DLPACK to include it from here. Otherwise
 * this header declares the same layout, so that a C host needs no other package. tests/abi compares every size and offset with
 * the real header.
 */
#ifndef TENON_DLPACK_H
#define TENON_DLPACK_H

#include <stdint.h>

#if defined(TENON_USE_SYSTEM_DLPACK) && !defined(DLPACK_DLPACK_H_)
#    include <dlpack/dlpack.h>
#endif

#ifndef DLPACK_DLPACK_H_
#    define DLPACK_DLPACK_H_

/* Where data lives: device_type is one of kDL*, device_id counts within the type. */
typedef enum {
    kDLCPU = 1,
    kDLCUDA = 2,
    kDLCUDAHost = 3,
    kDLROCM = 10,
    kDLROCMHost = 11,
    kDLCUDAManaged = 13
} DLDeviceType;

typedef struct DLDevice {
    DLDeviceType device_type;
    int32_t device_id;
} DLDevice;

/* Element type: code is one of kDL*, bits the width of one element, lanes 1 except for packed pairs. */
typedef enum {
    kDLInt = 0,
    kDLUInt = 1,
    kDLFloat = 2,
    kDLOpaqueHandle = 3,
    kDLBfloat = 4,
    kDLComplex = 5,
    kDLBool = 6,
    kDLFloat8_e3m4 = 7,
    kDLFloat8_e4m3 = 8,
    kDLFloat8_e4m3b11fnuz = 9,
    kDLFloat8_e4m3fn = 10,
    kDLFloat8_e4m3fnuz = 11,
    kDLFloat8_e5m2 = 12,
    kDLFloat8_e5m2fnuz = 13,
    kDLFloat8_e8m0fnu = 14,
    kDLFloat6_e2m3fn = 15,
    kDLFloat6_e3m2fn = 16,
    kDLFloat4_e2m1fn = 17
} DLDataTypeCode;

typedef struct DLDataType {
    uint8_t code;
    uint8_t bits;
    uint16_t lanes;
} DLDataType;

/* A borrowed view. strides count elements; NULL means compact row-major. The first element is at (char *)data + byte_offset. */
typedef struct DLTensor {
    void *data;
    DLDevice device;
    int32_t ndim;
    DLDataType dtype;
    int64_t *shape;
    int64_t *strides;
    uint64_t byte_offset;
} DLTensor;

#endif /* DLPACK_DLPACK_H_ */
#endif /* TENON_DLPACK_H */
