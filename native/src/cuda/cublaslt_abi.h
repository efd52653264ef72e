// What of cuBLASLt's binary interface is used: it is opened at run time, and no header of it need
// be there to build. The names are shortened; the values are those of cublasLt.h since
// version 11.4, which is compared where it is found.
#pragma once
#include <cstddef>
#include <cstdint>

#include "cuda/launch.h"

namespace keyheads::cuda::lt {

using Handle = void*;
using Status = int;
using Description = void*;  // cublasLtMatmulDesc_t
using Layout = void*;       // cublasLtMatrixLayout_t
using Preference = void*;   // cublasLtMatmulPreference_t

inline constexpr Status kSuccess = 0;

enum DataType : int { kF32 = 0, kBf16 = 14 };                    // cudaDataType_t
enum ComputeType : int { kComputeF32 = 68, kComputeTf32 = 77 };  // cublasComputeType_t
enum Operation : int32_t { kPlain = 0, kTransposed = 1 };        // cublasOperation_t
enum Epilogue : uint32_t { kNothing = 1, kAddBias = 4 };         // cublasLtEpilogue_t
enum DescriptionAttribute : int {                                // cublasLtMatmulDescAttributes_t
  kTransA = 3,
  kTransB = 4,
  kEpilogue = 7,
  kBiasPointer = 8,
};
enum PreferenceAttribute : int {  // cublasLtMatmulPreferenceAttributes_t
  kMaxWorkspace = 1,              // uint64_t
  kMinAlignmentA = 5,             // uint32_t, and so the next three
  kMinAlignmentB = 6,
  kMinAlignmentC = 7,
  kMinAlignmentD = 8,
};

struct Algorithm {
  uint64_t data[8];
};
struct Heuristic {  // cublasLtMatmulHeuristicResult_t
  Algorithm algorithm;
  size_t workspace;
  Status state;
  float waves;
  int reserved[4];
};

// The functions, by their names without the prefix cublasLt.
struct Functions {
  size_t (*GetVersion)();
  Status (*Create)(Handle*);
  Status (*MatmulDescCreate)(Description*, int compute_type, int scale_type);
  Status (*MatmulDescDestroy)(Description);
  Status (*MatmulDescSetAttribute)(Description, int attribute, const void* value, size_t bytes);
  Status (*MatrixLayoutCreate)(Layout*, int type, uint64_t rows, uint64_t cols, int64_t ld);
  Status (*MatrixLayoutDestroy)(Layout);
  Status (*MatmulPreferenceCreate)(Preference*);
  Status (*MatmulPreferenceDestroy)(Preference);
  Status (*MatmulPreferenceSetAttribute)(Preference, int attribute, const void* value,
                                         size_t bytes);
  Status (*MatmulAlgoGetHeuristic)(Handle, Description, Layout a, Layout b, Layout c, Layout d,
                                   Preference, int wanted, Heuristic* results, int* found);
  // d = alpha a b + beta c, of column-major matrices; c may be d
  Status (*Matmul)(Handle, Description, const void* alpha, const void* a, Layout, const void* b,
                   Layout, const void* beta, const void* c, Layout, void* d, Layout,
                   const Algorithm*, void* workspace, size_t workspace_bytes, cudaStream_t);
};

}  // namespace keyheads::cuda::lt

#if defined(__CUDACC__) && __has_include(<cublasLt.h>)
#include <cublasLt.h>
namespace keyheads::cuda::lt {
static_assert(int(kSuccess) == CUBLAS_STATUS_SUCCESS);
static_assert(int(kF32) == CUDA_R_32F && int(kBf16) == CUDA_R_16BF);
static_assert(int(kComputeF32) == CUBLAS_COMPUTE_32F);
static_assert(int(kComputeTf32) == CUBLAS_COMPUTE_32F_FAST_TF32);
static_assert(int(kPlain) == CUBLAS_OP_N && int(kTransposed) == CUBLAS_OP_T);
static_assert(int(kNothing) == CUBLASLT_EPILOGUE_DEFAULT);
static_assert(int(kAddBias) == CUBLASLT_EPILOGUE_BIAS);
static_assert(int(kTransA) == CUBLASLT_MATMUL_DESC_TRANSA);
static_assert(int(kTransB) == CUBLASLT_MATMUL_DESC_TRANSB);
static_assert(int(kEpilogue) == CUBLASLT_MATMUL_DESC_EPILOGUE);
static_assert(int(kBiasPointer) == CUBLASLT_MATMUL_DESC_BIAS_POINTER);
static_assert(int(kMaxWorkspace) == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES);
static_assert(int(kMinAlignmentA) == CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES);
static_assert(int(kMinAlignmentB) == CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES);
static_assert(int(kMinAlignmentC) == CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES);
static_assert(int(kMinAlignmentD) == CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES);
static_assert(sizeof(Algorithm) == sizeof(cublasLtMatmulAlgo_t));
static_assert(sizeof(Heuristic) == sizeof(cublasLtMatmulHeuristicResult_t));
static_assert(offsetof(Heuristic, workspace) ==
              offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize));
static_assert(offsetof(Heuristic, state) == offsetof(cublasLtMatmulHeuristicResult_t, state));
}  // namespace keyheads::cuda::lt
#endif
