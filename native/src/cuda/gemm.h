// Matrix products of row-major matrices: by cuBLASLt where it was found (lt.cu), else by plain
// kernels (gemm.cu). A product of given shapes and alignments is always computed the same way.
#pragma once
#include "base/view.h"
#include "cuda/queue.h"

namespace keyheads::cuda {

// One operand, in f32 or bf16.
struct Operand {
  const void* data;
  int64_t stride;
  bool bf16;
  bool transposed;  // element (i, j) lies at j * stride + i, else at i * stride + j
};

// c = a b + bias, or with `accumulate` c += a b. Sums are in f32; both operands are of one type,
// f32 rounded to TF32 where the queue says so.
struct Product {
  Mat<float> c;  // (M, N)
  Operand a;     // (M, depth)
  Operand b;     // (depth, N)
  int64_t depth;
  bool accumulate;
  const float* bias;  // (N) or null; null with `accumulate`
};
void multiply(Queue& queue, const Product& product);

// x rounded to bf16 in scratch memory, its rows 16-byte aligned.
Operand rounded(Queue& queue, const Mat<const float>& x);

// By cuBLASLt; false where it has no way to do it.
bool lt_multiply(Queue& queue, const Product& product);

// Searches, in this order: `path`, KEYHEADS_CUBLASLT, the system's libcublasLt.so.13 and .12, the
// toolkit's folder. Null where there is none. Throws where `path` or KEYHEADS_CUBLASLT is none.
Lt* open_lt(const char* path);
// As cublasLtGetVersion gives it; 0 of null.
int version_of(const Lt* lt);

}  // namespace keyheads::cuda
