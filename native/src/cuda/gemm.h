// Matrix products of row-major matrices, by cuBLASLt where it was found, else by plain kernels that
// also are its twin in tests.
#pragma once
#include "cuda/queue.h"

namespace keyheads::cuda {

// Searches, in this order: `path`, KEYHEADS_CUBLASLT, the system's libcublasLt.so.13 and .12, the
// toolkit's folder. Null where there is none. Throws where `path` or KEYHEADS_CUBLASLT is none.
Lt* open_lt(const char* path);
// As cublasLtGetVersion gives it; 0 of null.
int version_of(const Lt* lt);

}  // namespace keyheads::cuda
