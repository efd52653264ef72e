#include "cuda/gemm.h"

namespace keyheads::cuda {

Lt* open_lt(const char*) { return nullptr; }
int version_of(const Lt*) { return 0; }

}  // namespace keyheads::cuda
