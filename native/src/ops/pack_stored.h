#pragma once
#include "ops/op.h"

namespace keyheads::ops {

// Types that checkpoint files hold.
enum class Stored : uint8_t { f32, f64, f16, bf16 };

// W[row0 + r, col0 + c] = number r * row_step + c * col_step of `data`, converted and rounded as W
// is stored. One of the steps is 1; col0 is even. On the calling thread: a file is packed piece by
// piece, by many threads, also to a device.
template <class T>
struct PackStored {
  Weight<T> w;       // (N, K)  =, in the given rows and columns
  const void* data;  // host; numbers of `type`, at any alignment
  Stored type;
  int64_t row_step, col_step;
  int64_t row0, rows, col0, cols;
};

// y[i] = number i of `data`, converted, and rounded as a weight of that storage is. On the calling
// thread.
template <class T>
struct ConvertStored {
  T* y;              // (count)  =
  const void* data;  // host; numbers of `type`, at any alignment
  Stored type;
  Storage storage;
  int64_t count;
};

DECLARE_OP(pack_stored, PackStored)
DECLARE_OP(convert_stored, ConvertStored)

}  // namespace keyheads::ops
