// The kernels of linear as a processor with AVX512_BF16 runs them, as emulated::linear and so on.
#include "emulated/avx512.h"

#undef WITH_LIBXSMM
#define WITH_LIBXSMM 0
#define KEYHEADS_ISA emulated
#include "ops/linear_cpu.cc"
