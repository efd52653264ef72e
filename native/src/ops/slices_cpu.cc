#include "ops/rows.h"
#include "ops/slices.h"

namespace keyheads::ops {
namespace {

template <class T>
void read_slice_impl(Context& ctx, const ReadSlice<T>& a) {
  a.w.visit([&]<class E>(const Panels<E>& w) {
    for_rows(ctx, a.out.rows, 4 * a.out.cols, [&](int64_t i) {
      for (int64_t j = 0; j < a.out.cols; ++j) {
        T value = read_element(w, a.n0 + i, a.k0 + j);
        if constexpr (kPerElement < E >> 1) {
          if (a.master) value = master_value(value, a.master[i * a.out.cols + j]);
        }
        a.out.row(i)[j] = value;
      }
    });
  });
}

template <class T>
void write_slice_impl(Context& ctx, const WriteSlice<T>& a) {
  a.w.visit([&](const auto& w) {
    for_rows(ctx, a.values.rows, 4 * a.values.cols, [&](int64_t i) {
      const T* values = a.values.row(i);
      for (int64_t j = 0; j < a.values.cols; ++j) {
        write_element(w, a.n0 + i, a.k0 + j, values[j]);
      }
    });
  });
}

}  // namespace

DEFINE_OP(read_slice, ReadSlice)
DEFINE_OP(write_slice, WriteSlice)

}  // namespace keyheads::ops
