#include "ops/objective.h"
#include "ops/rows.h"

namespace keyheads::ops {
namespace {

template <class T>
void weigh_columns_impl(Context& ctx, const WeighColumns<T>& a) {
  for_rows(ctx, a.x.rows, a.width, [&](int64_t r) {
    const T* x = a.x.row(r);
    double sum = 0;
    for (int64_t j = 0; j < a.width; ++j) {
      const int64_t entry = r * a.width + j;
      const T value = x[a.ids ? a.ids[entry] : j];
      sum += static_cast<double>(a.weights[entry]) * static_cast<double>(value);
    }
    a.sums[r] = sum;
  });
}

template <class T>
void weigh_columns_backward_impl(Context& ctx, const WeighColumnsBackward<T>& a) {
  for_rows(ctx, a.dx.rows, a.width, [&](int64_t r) {
    T* dx = a.dx.row(r);
    for (int64_t j = 0; j < a.width; ++j) {
      const int64_t entry = r * a.width + j;
      dx[a.ids ? a.ids[entry] : j] += a.weights[entry];
    }
  });
}

}  // namespace

DEFINE_OP(weigh_columns, WeighColumns)
DEFINE_OP(weigh_columns_backward, WeighColumnsBackward)

}  // namespace keyheads::ops
